//! What it costs the host to take values from a guest: memory, and time.
//!
//! A guest says in a few bytes how long its lists and strings are, and can let any number of them lie at one address. So whatever is made of that is made here: it is
//! charged to the store's budget before it is allocated, and where the system has no memory, that is an error. Work is counted by what is done, not by how many
//! elements a list has, and every so often it is looked whether the guest is to stop.
//!
//! Must stay true: nothing whose size or number a guest chooses is allocated in another way. Single blocks of a known, small size are charged here
//! ([`Costs::boxed`]) and are the allocator's business.

use std::collections::VecDeque;

use innkeeper_engine::{Budget, BudgetKind, Charge, Error, InterruptHandle};

/// Steps of work after which it is looked whether the guest is to stop: a tenth of a millisecond.
const LOOK_EVERY: usize = 4096;

/// So many bytes that are read, copied or compared are a step of work.
const STEP_BYTES: usize = 64;

/// Budgets are shared, so that a little is charged in advance.
const ADVANCE_BYTES: u64 = 4096;

/// What an allocator takes beside a block's own bytes, at most.
const BLOCK_BYTES: usize = 32;

/// Work that was done since it was last looked whether the guest is to stop.
#[derive(Debug, Default)]
pub(crate) struct Work(usize);

impl Work {
    /// Counts steps; true where it is time to look.
    #[inline]
    pub(crate) fn is_time_to_look(&mut self, steps: usize) -> bool {
        self.0 = self.0.saturating_add(steps);
        if self.0 < LOOK_EVERY {
            return false;
        }
        self.0 = 0;
        true
    }

    /// Steps of work that reading or writing so many bytes is.
    pub(crate) fn of_bytes(bytes: usize) -> usize {
        1 + bytes / STEP_BYTES
    }
}

/// See the module's documentation.
pub(crate) struct Costs<'a> {
    budget: &'a Budget,
    interrupts: &'a InterruptHandle,
    /// Made when something is first charged.
    charge: Option<Charge>,
    /// Bytes that are charged and were not asked for yet.
    advance: usize,
    work: Work,
}

impl<'a> Costs<'a> {
    pub(crate) fn new(budget: &'a Budget, interrupts: &'a InterruptHandle) -> Costs<'a> {
        Costs { budget, interrupts, charge: None, advance: 0, work: Work::default() }
    }

    /// The budget that everything is charged to.
    pub(crate) fn budget(&self) -> &'a Budget {
        self.budget
    }

    /// What was charged, to be held for as long as what it was charged for.
    pub(crate) fn into_charge(self) -> Option<Charge> {
        self.charge
    }

    /// Charges bytes that are about to be allocated.
    pub(crate) fn hold(&mut self, bytes: usize) -> Result<(), Error> {
        let Some(more) = bytes.checked_sub(self.advance).filter(|more| *more > 0) else {
            self.advance -= bytes;
            return Ok(());
        };
        let charge = self.charge.get_or_insert_with(|| self.budget.empty(BudgetKind::Buffer));
        let exact = charge.bytes().saturating_add(more as u64);
        self.advance = 0;
        if charge.set_quietly(exact.saturating_add(ADVANCE_BYTES)) {
            self.advance = ADVANCE_BYTES as usize;
            return Ok(());
        }
        Ok(charge.set(exact)?)
    }

    /// Room for so many values.
    pub(crate) fn room_for<V>(&mut self, length: usize) -> Result<Vec<V>, Error> {
        let mut list = Vec::new();
        if length > 0 {
            self.hold(length.saturating_mul(size_of::<V>()).saturating_add(BLOCK_BYTES))?;
            list.try_reserve_exact(length).map_err(|_| no_memory(length, "values"))?;
        }
        Ok(list)
    }

    /// Room for a text of so many bytes.
    pub(crate) fn room_for_text(&mut self, bytes: usize) -> Result<String, Error> {
        let mut text = String::new();
        if bytes > 0 {
            self.hold(bytes.saturating_add(BLOCK_BYTES))?;
            text.try_reserve_exact(bytes).map_err(|_| no_memory(bytes, "bytes of text"))?;
        }
        Ok(text)
    }

    /// Room for a second copy of a text that is made in a way that cannot fail: it is tried before whether the system has as much.
    pub(crate) fn room_for_copy(&mut self, text: &str) -> Result<(), Error> {
        self.room_for_text(text.len().saturating_add(BLOCK_BYTES)).map(drop)
    }

    /// Room for one more in a list that grows.
    pub(crate) fn room_for_one<V>(&mut self, list: &mut Vec<V>) -> Result<(), Error> {
        // While it grows it is there twice, once with half of its size.
        self.hold(3 * size_of::<V>())?;
        list.try_reserve(1).map_err(|_| no_memory(list.len(), "values"))
    }

    /// The same, at the end of a queue.
    pub(crate) fn room_for_last<V>(&mut self, queue: &mut VecDeque<V>) -> Result<(), Error> {
        self.hold(3 * size_of::<V>())?;
        queue.try_reserve(1).map_err(|_| no_memory(queue.len(), "values"))
    }

    /// A value in a block of its own.
    pub(crate) fn boxed<V>(&mut self, value: V) -> Result<Box<V>, Error> {
        self.hold(size_of::<V>() + BLOCK_BYTES)?;
        Ok(Box::new(value))
    }

    /// Counts work that is about to be done.
    #[inline]
    pub(crate) fn work(&mut self, steps: usize) -> Result<(), Error> {
        if self.work.is_time_to_look(steps) { self.look() } else { Ok(()) }
    }

    /// Counts bytes that are about to be read or copied.
    pub(crate) fn work_on(&mut self, bytes: usize) -> Result<(), Error> {
        self.work(Work::of_bytes(bytes))
    }

    /// Stops where somebody wants the guest to; whoever lifts finds out which it is.
    #[cold]
    pub(crate) fn look(&self) -> Result<(), Error> {
        match self.interrupts.is_stop_asked() {
            true => Err(innkeeper_engine::Trap::Interrupted.into()),
            false => Ok(()),
        }
    }
}

fn no_memory(count: usize, what: &str) -> Error {
    Error::limit(format!("the system has no memory for {count} {what} that a guest hands over"))
}
