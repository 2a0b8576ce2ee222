//! A guest that is a memory and an allocator, which says what it was asked for.

use std::sync::Arc;

use innkeeper_engine::{Budget, Error};

use crate::abi::{Guest, Side};
use crate::decode::Encoding;
use crate::state::{InstanceId, Shared, State};

/// What its allocator does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Not,
    Unaligned,
    OutOfBounds,
}

pub(super) struct TestGuest {
    state: State,
    pub(super) budget: Budget,
    pub(super) memory: Vec<u8>,
    next: u32,
    broken: Broken,
    pub(super) reallocs: Vec<[u32; 4]>,
}

pub(super) const MEMORY_BYTES: usize = 1 << 17;

impl TestGuest {
    pub(super) fn new(broken: Broken) -> TestGuest {
        let budget = Budget::new(Some(1 << 30), "a test");
        // Nothing is at zero, where nobody's values are.
        TestGuest {
            state: state(),
            budget,
            memory: vec![0; MEMORY_BYTES],
            next: 8,
            broken,
            reallocs: Vec::new(),
        }
    }
}

impl Default for TestGuest {
    fn default() -> TestGuest {
        TestGuest::new(Broken::Not)
    }
}

pub(super) fn state() -> State {
    let mut state = State::default();
    state.new_instance(None, false);
    state
}

pub(super) fn side(shared: &Arc<Shared>, encoding: Encoding) -> Side {
    Side { shared: Arc::clone(shared), instance: InstanceId(0), encoding, memory: None, realloc: None }
}

impl Guest for TestGuest {
    fn state(&mut self) -> &mut State {
        &mut self.state
    }

    fn budget(&self) -> Budget {
        self.budget.clone()
    }

    fn memory(&mut self) -> Result<&mut [u8], Error> {
        Ok(&mut self.memory)
    }

    fn check_interrupts(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn realloc(&mut self, old: u32, old_size: u32, align: u32, new_size: u32) -> Result<u32, Error> {
        self.reallocs.push([old, old_size, align, new_size]);
        match self.broken {
            Broken::Not => {}
            Broken::Unaligned => return Ok(self.next | 1),
            Broken::OutOfBounds => return Ok(!(align - 1)),
        }
        let address = self.next.next_multiple_of(align);
        let kept = old_size.min(new_size) as usize;
        if address as usize + kept <= self.memory.len() {
            self.memory.copy_within(old as usize..old as usize + kept, address as usize);
        }
        self.next = address.saturating_add(new_size);
        Ok(address)
    }
}
