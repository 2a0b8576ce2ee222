//! Why a function of an interface has failed, whichever codes that interface has for the guest.
//!
//! Not here: which code a host's error is, which each interface says of its own.

use innkeeper_engine::Error;

use super::misuse::Misuse;

/// What the guest is told, or a trap.
#[derive(Debug)]
pub enum Failure<Code> {
    /// The guest is told.
    Code(Code),
    /// The guest is ended.
    Trap(Error),
}

impl<Code> From<Error> for Failure<Code> {
    fn from(error: Error) -> Failure<Code> {
        Failure::Trap(error)
    }
}

impl<Code> From<Misuse> for Failure<Code> {
    fn from(misuse: Misuse) -> Failure<Code> {
        Failure::Trap(misuse.into())
    }
}

/// What a function gives that can fail.
pub type Outcome<R, Code> = Result<Result<R, Code>, Error>;

/// Tells the guest what came of an operation.
///
/// # Errors
/// Those that end the guest.
pub fn told<R, Code>(result: Result<R, Failure<Code>>) -> Outcome<R, Code> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Failure::Code(code)) => Ok(Err(code)),
        Err(Failure::Trap(error)) => Err(error),
    }
}
