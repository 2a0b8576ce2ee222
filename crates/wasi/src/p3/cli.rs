//! `wasi:cli`: arguments, environment, standard streams, terminals, and the guest's end.

use innkeeper_component::{ComponentType, Lift, Linker, Lower, Resource, StreamOf, Val};
use innkeeper_engine::Error;

use super::interface::Interface;
use super::streams::Code;
use crate::host;
use crate::p2::cli::{TerminalInput, TerminalOutput, exit, terminal};
use crate::p2::interface::FindContext;
use crate::p2::streams::{InputSource, OutputSink};
use crate::p2::table::Full;

/// `wasi:cli/types.error-code`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(path = innkeeper_component)]
enum ErrorCode {
    Io,
    IllegalByteSequence,
    Pipe,
}

impl From<host::Error> for ErrorCode {
    fn from(error: host::Error) -> ErrorCode {
        match error {
            host::Error::Pipe => ErrorCode::Pipe,
            host::Error::IllegalBytes => ErrorCode::IllegalByteSequence,
            _ => ErrorCode::Io,
        }
    }
}

impl From<Full> for ErrorCode {
    fn from(_: Full) -> ErrorCode {
        ErrorCode::Io
    }
}

impl Code for ErrorCode {
    fn val(self) -> Val {
        Val::enumeration(match self {
            ErrorCode::Io => "io",
            ErrorCode::IllegalByteSequence => "illegal-byte-sequence",
            ErrorCode::Pipe => "pipe",
        })
    }
}

pub(super) fn bind<T: Send + 'static>(
    linker: &mut Linker<T>,
    context: impl FindContext<T>,
) -> Result<(), Error> {
    Interface::new(linker, "wasi:cli/environment", context)?
        .func::<(), Vec<(String, String)>>("get-environment", |cx, ()| Ok(cx.host.environment().to_vec()))
        .func::<(), Vec<String>>("get-arguments", |cx, ()| Ok(cx.host.arguments().to_vec()))
        .func::<(), Option<String>>("get-initial-cwd", |_, ()| Ok(None));
    Interface::new(linker, "wasi:cli/exit", context)?
        .func::<(Result<(), ()>,), ()>("exit", |_, (status,)| exit(u32::from(status.is_err())))
        .func::<(u8,), ()>("exit-with-code", |_, (code,)| exit(code.into()));
    Interface::new(linker, "wasi:cli/types", context)?;
    bind_streams(linker, context)?;
    bind_terminals(linker, context)
}

/// A guest that has no such stream reads the end, and what it writes fails.
fn bind_streams<T: Send + 'static>(
    linker: &mut Linker<T>,
    context: impl FindContext<T>,
) -> Result<(), Error> {
    Interface::new(linker, "wasi:cli/stdin", context)?.reads::<(), ErrorCode>("read-via-stream", |cx, ()| {
        Ok(Ok(cx.stdin.clone().map_or(InputSource::Nothing, InputSource::Standard)))
    });
    Interface::new(linker, "wasi:cli/stdout", context)?
        .writes::<(StreamOf<u8>,), ErrorCode>("write-via-stream", |cx, (data,)| {
            Ok((data, Ok(cx.stdout.clone().map_or(OutputSink::Nothing, OutputSink::Standard))))
        });
    Interface::new(linker, "wasi:cli/stderr", context)?
        .writes::<(StreamOf<u8>,), ErrorCode>("write-via-stream", |cx, (data,)| {
            Ok((data, Ok(cx.stderr.clone().map_or(OutputSink::Nothing, OutputSink::Standard))))
        });
    Ok(())
}

fn bind_terminals<T: Send + 'static>(
    linker: &mut Linker<T>,
    context: impl FindContext<T>,
) -> Result<(), Error> {
    Interface::new(linker, "wasi:cli/terminal-input", context)?.resource::<TerminalInput>("terminal-input");
    Interface::new(linker, "wasi:cli/terminal-output", context)?
        .resource::<TerminalOutput>("terminal-output");
    Interface::new(linker, "wasi:cli/terminal-stdin", context)?
        .func::<(), Option<Resource<TerminalInput>>>("get-terminal-stdin", |cx, ()| {
            terminal(cx, |cx| &cx.stdin, TerminalInput)
        });
    Interface::new(linker, "wasi:cli/terminal-stdout", context)?
        .func::<(), Option<Resource<TerminalOutput>>>("get-terminal-stdout", |cx, ()| {
            terminal(cx, |cx| &cx.stdout, TerminalOutput)
        });
    Interface::new(linker, "wasi:cli/terminal-stderr", context)?
        .func::<(), Option<Resource<TerminalOutput>>>("get-terminal-stderr", |cx, ()| {
            terminal(cx, |cx| &cx.stderr, TerminalOutput)
        });
    Ok(())
}
