//! Telling others where machine code is, for tools that look at the process from outside.

use std::sync::OnceLock;

use innkeeper_engine::tier::NewCode;

type Watcher = Box<dyn Fn(NewCode<'_>) + Send + Sync>;

static WATCHER: OnceLock<Watcher> = OnceLock::new();

/// Has `watcher` told of all machine code of this process from now on, on the thread that made it and before it is executed. Only the first watcher
/// of a process is told; what this gives says whether that is the one.
pub fn watch_code(watcher: impl Fn(NewCode<'_>) + Send + Sync + 'static) -> bool {
    WATCHER.set(Box::new(watcher)).is_ok()
}

/// Whether there is a watcher, so that code is where tools expect it: not in a file.
pub(crate) fn is_watched() -> bool {
    WATCHER.get().is_some()
}

/// Tells the watcher, if there is one, what `describe` says.
pub(crate) fn tell(describe: impl FnOnce(&dyn Fn(NewCode<'_>))) {
    if let Some(watcher) = WATCHER.get() {
        describe(watcher);
    }
}
