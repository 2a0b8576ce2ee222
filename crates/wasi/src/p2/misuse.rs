//! What a guest may not do with WASI 0.2 and no function has an error for: it is a trap, which says what was wrong.

use innkeeper_engine::Error;

/// A guest has used WASI 0.2 in a way that it forbids.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("wasm trap: {0}")]
pub struct Misuse(String);

impl Misuse {
    /// What was wrong, as a sentence that names the resource or function.
    #[must_use]
    pub fn new(what: impl Into<String>) -> Misuse {
        Misuse(what.into())
    }

    /// A handle behind which there is nothing any more.
    pub(crate) fn gone(resource: &str) -> Misuse {
        Misuse(format!("the {resource} was dropped before"))
    }

    /// A resource is dropped before what was made from it.
    pub(crate) fn has_children(resource: &str, child: &str) -> Misuse {
        Misuse(format!("the {resource} was dropped before the {child} that was made from it"))
    }
}

/// What a call that was to stop ends with, where WASI has no word for it.
pub(crate) fn interrupted() -> Error {
    innkeeper_engine::Trap::Interrupted.into()
}
