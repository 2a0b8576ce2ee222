//! How a guest ends itself, whichever version of WASI it speaks: with an error that leads out of all its calls.

use innkeeper_engine::Error;

/// The guest has ended itself with this exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("the guest exited with code {0}")]
pub struct Exit(pub u32);

/// The code that a guest has exited with, if it is why a call has not returned: exiting ends the guest with an error, also where the code is 0.
#[must_use]
pub fn exit_code(error: &Error) -> Option<i32> {
    error.downcast_ref::<Exit>().map(|Exit(code)| code.cast_signed())
}
