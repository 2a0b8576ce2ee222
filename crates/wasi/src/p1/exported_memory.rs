//! The memory that calls work on: the one that the calling instance exports as `memory`, by WASI's convention.
//!
//! It is looked up by name once for an instance, and remembered: every call asks for it.

use innkeeper_engine::{Caller, Instance, Memory};

/// The name that the memory is exported by.
const NAME: &str = "memory";

/// Instances that are remembered. Of a store in which more call, some are looked up anew.
const MOST_REMEMBERED: usize = 8;

/// What instances export as `memory`, each with the instance that does, the one that called last first.
#[derive(Clone, Debug, Default)]
pub(super) struct ExportedMemories(Vec<(Instance, Option<Memory>)>);

impl ExportedMemories {
    /// That of an instance, if it is known: none inside where the instance has none.
    #[inline]
    pub(super) fn of(&mut self, instance: Instance) -> Option<Option<Memory>> {
        match self.0.first() {
            Some((last, memory)) if *last == instance => Some(*memory),
            _ => self.of_another(instance),
        }
    }

    /// That of another instance than the last, which becomes the last.
    #[cold]
    fn of_another(&mut self, instance: Instance) -> Option<Option<Memory>> {
        let at = self.0.iter().position(|(known, _)| *known == instance)?;
        self.0.swap(0, at);
        Some(self.0[0].1)
    }

    fn remember(&mut self, instance: Instance, memory: Option<Memory>) {
        self.0.truncate(MOST_REMEMBERED - 1);
        self.0.insert(0, (instance, memory));
    }
}

/// The memory that the calling instance exports; none where there is no such memory, or the host itself called.
#[inline]
pub(super) fn exported_memory<T: 'static>(
    caller: &mut Caller<'_, T>,
    known: impl Fn(&mut T) -> &mut ExportedMemories,
) -> Option<Memory> {
    let instance = caller.instance()?;
    match known(caller.data_mut()).of(instance) {
        Some(memory) => memory,
        None => look_up(caller, instance, known),
    }
}

#[cold]
fn look_up<T: 'static>(
    caller: &mut Caller<'_, T>,
    instance: Instance,
    known: impl Fn(&mut T) -> &mut ExportedMemories,
) -> Option<Memory> {
    let memory = instance.get_memory(&mut *caller, NAME);
    known(caller.data_mut()).remember(instance, memory);
    memory
}
