//! `wasi:io/streams` and `wasi:io/error`.
//!
//! A stream has no buffer: what a guest writes goes from its memory to the system by one call, and what it reads is read when it asks for it, a bounded piece at a time.
//! To flush is therefore to do nothing. A stream of a file has a position of its own; standard streams are shared by all handles of them.
//!
//! What can be read or written through is an [`InputSource`] or [`OutputSink`]: another kind of handle joins by a case of each, and of what a pollable waits for
//! ([`super::poll::Waitable`]).

pub(crate) mod input;
pub(crate) mod output;

use innkeeper_component::{Borrowed, ComponentType, Linker, Lower, Resource};
use innkeeper_engine::Error;

use super::context::Context;
use super::custom::{StreamEnd, StreamFault};
use super::interface::{FindContext, Interface};
use super::misuse::{Misuse, interrupted};
use super::table::Held;
use crate::host;

pub use input::InputStream;
pub(crate) use input::{InputSource, chunk};
pub(crate) use output::OutputSink;
pub use output::OutputStream;

/// As many bytes are moved by one call at most: the guest asks again, and can be stopped between two calls.
const CHUNK_BYTES: usize = 1 << 16;

/// `wasi:io/error.error`: why the host could not do something.
#[derive(Debug)]
pub struct IoError(Reason);

/// Why.
#[derive(Debug)]
enum Reason {
    Host(host::Error),
    Custom(StreamFault),
}

impl IoError {
    /// The host's error, where it was one.
    pub(crate) fn host(&self) -> Option<host::Error> {
        match self.0 {
            Reason::Host(error) => Some(error),
            Reason::Custom(_) => None,
        }
    }

    /// What a [`super::Source`] or [`super::Sink`] has failed with, where it was one.
    #[must_use]
    pub fn custom(&self) -> Option<&(dyn std::error::Error + Send + Sync + 'static)> {
        match &self.0 {
            Reason::Host(_) => None,
            Reason::Custom(fault) => Some(&**fault),
        }
    }
}

impl Held for IoError {
    const NAME: &'static str = "wasi:io/error error";
}

/// `wasi:io/streams.stream-error`
#[derive(Debug, ComponentType, Lower)]
#[component(path = innkeeper_component)]
pub(crate) enum StreamError {
    LastOperationFailed(Resource<IoError>),
    Closed,
}

/// Why an operation on a stream has failed, before the guest is told.
#[derive(Debug)]
enum Failure {
    /// The stream is at its end, or has failed before.
    Closed,
    Host(host::Error),
    Custom(StreamFault),
    /// The guest is stopped.
    Trap(Error),
}

impl From<host::Error> for Failure {
    fn from(error: host::Error) -> Failure {
        match error {
            host::Error::Interrupted => Failure::Trap(interrupted()),
            error => Failure::Host(error),
        }
    }
}

impl From<StreamEnd> for Failure {
    fn from(end: StreamEnd) -> Failure {
        match end {
            StreamEnd::Closed => Failure::Closed,
            StreamEnd::Failed(fault) => Failure::Custom(fault),
        }
    }
}

impl From<Misuse> for Failure {
    fn from(misuse: Misuse) -> Failure {
        Failure::Trap(misuse.into())
    }
}

/// Tells the guest what came of an operation.
fn told<R>(cx: &mut Context, result: Result<R, Failure>) -> Result<Result<R, StreamError>, Error> {
    let reason = match result {
        Ok(value) => return Ok(Ok(value)),
        Err(Failure::Closed) => return Ok(Err(StreamError::Closed)),
        Err(Failure::Trap(error)) => return Err(error),
        Err(Failure::Host(error)) => Reason::Host(error),
        Err(Failure::Custom(fault)) => Reason::Custom(fault),
    };
    // Who has no room for the reason is told that the stream is over, as after every failure: what others do to a connection does not end the guest.
    Ok(Err(match cx.push(IoError(reason)) {
        Ok(error) => StreamError::LastOperationFailed(error),
        Err(_) => StreamError::Closed,
    }))
}

pub(crate) fn bind<T: Send + 'static>(
    linker: &mut Linker<T>,
    context: impl FindContext<T>,
) -> Result<(), Error> {
    Interface::new(linker, "wasi:io/error", context)?
        .resource::<IoError>("error")
        .func::<(Borrowed<'_, IoError>,), String>("[method]error.to-debug-string", |cx, (error,)| {
            Ok(match &cx.table.get(error)?.0 {
                Reason::Host(error) => error.to_string(),
                Reason::Custom(fault) => fault.to_string(),
            })
        });
    let mut streams = Interface::new(linker, "wasi:io/streams", context)?;
    input::bind(&mut streams);
    output::bind(&mut streams);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Keys;

    #[test]
    fn a_failure_that_there_is_no_room_for_ends_the_stream_and_not_the_guest() {
        let mut keys = Keys::default();
        keys.limits.memory_bytes = Some(1 << 20);
        let mut cx = Context::new(&keys).expect("keys open");
        let fail = |cx: &mut Context| {
            let failed: Result<(), Failure> = Err(Failure::Host(host::Error::ConnectionReset));
            told(cx, failed).expect("no trap").expect_err("it has failed")
        };
        let most = 1_000_000;
        let told = (0..most).find(|_| matches!(fail(&mut cx), StreamError::Closed));
        assert!(told.is_some_and(|reasons| reasons > 0), "{told:?}");
    }
}
