//! Threads of a script, and what they share (threads proposal, `interpreter/README.md`, "Scripts").
//!
//! A thread has its own store, so that of the module it is given only shared memories can be used there; its other exports are
//! unknown to the thread.

use std::thread::ScopedJoinHandle;

use innkeeper::{Extern, Instance, SharedMemory, Store};

use crate::{Failure, Outcome};

/// Shared memories with the names under which a module exports them.
pub(crate) type SharedExports = Vec<(String, SharedMemory)>;

/// A thread that was started and not waited for.
pub(crate) struct Thread<'scope> {
    pub(crate) handle: ScopedJoinHandle<'scope, Outcome>,
    /// Line of the directive that started it.
    pub(crate) line: usize,
}

impl Thread<'_> {
    /// Waits for the thread's end.
    pub(crate) fn join(self) -> Outcome {
        let failure = |_| Failure { line: self.line, message: "the thread panicked".to_owned() };
        self.handle.join().unwrap_or_else(|panic| Outcome { passed: 0, failures: vec![failure(panic)] })
    }
}

/// What of an instance's exports other threads can use.
pub(crate) fn shared_exports(store: &mut Store<()>, instance: Instance) -> Result<SharedExports, String> {
    let mut shared = SharedExports::new();
    for (name, item) in instance.exports(&mut *store) {
        if let Extern::Memory(memory) = item
            && let Some(memory) = memory.shared(&*store).map_err(|error| error.to_string())?
        {
            shared.push((name, memory));
        }
    }
    Ok(shared)
}
