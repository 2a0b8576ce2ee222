//! `wasi:cli`: arguments, environment, standard streams, terminals, and the guest's end.

use std::sync::Arc;

use innkeeper_component::{Linker, Resource};
use innkeeper_engine::Error;

use super::context::Context;
use super::interface::{FindContext, Interface};
use super::streams::{InputStream, OutputStream};
use super::table::Held;
use crate::exit::Exit;
use crate::host::Stream;

/// `wasi:cli/terminal-input.terminal-input`: says that a stream is a terminal, and no more.
#[derive(Debug)]
pub(crate) struct TerminalInput;

/// `wasi:cli/terminal-output.terminal-output`
#[derive(Debug)]
pub(crate) struct TerminalOutput;

impl Held for TerminalInput {
    const NAME: &'static str = "wasi:cli/terminal-input terminal-input";
}

impl Held for TerminalOutput {
    const NAME: &'static str = "wasi:cli/terminal-output terminal-output";
}

pub(crate) fn bind<T: Send + 'static>(
    linker: &mut Linker<T>,
    context: impl FindContext<T>,
) -> Result<(), Error> {
    Interface::new(linker, "wasi:cli/environment", context)?
        .func::<(), Vec<(String, String)>>("get-environment", |cx, ()| Ok(cx.host.environment().to_vec()))
        .func::<(), Vec<String>>("get-arguments", |cx, ()| Ok(cx.host.arguments().to_vec()))
        .func::<(), Option<String>>("initial-cwd", |_, ()| Ok(None));
    Interface::new(linker, "wasi:cli/exit", context)?
        .func::<(Result<(), ()>,), ()>("exit", |_, (status,)| exit(u32::from(status.is_err())))
        .func::<(u8,), ()>("exit-with-code", |_, (code,)| exit(code.into()));
    bind_streams(linker, context)?;
    bind_terminals(linker, context)
}

fn bind_streams<T: Send + 'static>(
    linker: &mut Linker<T>,
    context: impl FindContext<T>,
) -> Result<(), Error> {
    Interface::new(linker, "wasi:cli/stdin", context)?
        .func::<(), Resource<InputStream>>("get-stdin", |cx, ()| {
            Ok(cx.push(InputStream::standard(cx.stdin.clone()))?)
        });
    Interface::new(linker, "wasi:cli/stdout", context)?
        .func::<(), Resource<OutputStream>>("get-stdout", |cx, ()| {
            Ok(cx.push(OutputStream::standard(cx.stdout.clone()))?)
        });
    Interface::new(linker, "wasi:cli/stderr", context)?
        .func::<(), Resource<OutputStream>>("get-stderr", |cx, ()| {
            Ok(cx.push(OutputStream::standard(cx.stderr.clone()))?)
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

pub(crate) fn exit(code: u32) -> Result<(), Error> {
    Err(Error::from_host(Exit(code)))
}

pub(crate) fn terminal<H: Held>(
    cx: &mut Context,
    stream: fn(&Context) -> &Option<Arc<Stream>>,
    value: H,
) -> Result<Option<Resource<H>>, Error> {
    let is_terminal = stream(cx).as_ref().is_some_and(|stream| stream.is_terminal());
    Ok(if is_terminal { Some(cx.push(value)?) } else { None })
}
