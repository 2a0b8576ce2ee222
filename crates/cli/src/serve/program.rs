//! What `inn serve` answers requests by: a component of WASI 0.2 or 0.3, or a module of WASI 0.1.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use innkeeper::component::{Component, Linker};
use innkeeper::wasi::host::OpenKeys;
use innkeeper::wasi::keys::{Keys, WasiLimits};
use innkeeper::{Engine, Precompiled};
use innkeeper_http::p2::INCOMING_HANDLER;
use innkeeper_http::p3::HANDLER;
use innkeeper_http::{Cgi, CgiLimits, Handler, Proxy, ProxyTimes, Words};

use super::flags::GuestFlags;
use super::keys::MEMORY_BYTES;
use super::sources::{Sources, Unread, When};
use crate::call::{Exported, exported, listed};
use crate::handed_over::is_own_descriptor;
use crate::input::{Code, Input};
use crate::interfaces::add_used;
use crate::report::{self, Problem, short, visible};
use crate::wording::{HANDLES, MEMORY, OVERLAY, WRITTEN, Wording};
use crate::writable::Writable;

/// Processor time of one request, if nobody says otherwise.
const PROCESSOR_TIME: Duration = Duration::from_secs(10);

/// A program that is ready to answer.
pub(super) struct Program {
    pub(super) handler: Arc<dyn Handler>,
    pub(super) code: Code,
}

/// Whether a program is what whoever starts the server has handed over: standard input, or a descriptor.
pub(super) fn is_handed_over(path: &Path) -> bool {
    path == Path::new("-") || is_own_descriptor(path)
}

/// Reads what is to be served, of which there has to be a way to serve it.
pub(super) fn read(
    file: &OsStr,
    flags: &GuestFlags,
    sources: &Sources,
    (writable, when): (&Writable, When),
) -> Result<Input, Problem> {
    let name = visible(&file.to_string_lossy());
    let path = Path::new(file);
    // What was handed over can be a pipe, which is read once.
    let input = match is_handed_over(path) && when == When::AtTheStart {
        true => Ok(Input::read(file)),
        false => match sources.program(path, (writable, when)) {
            Ok((bytes, _)) if Precompiled::is_one(&bytes) => Err(()),
            Ok((bytes, _)) => Ok(Input::of_bytes(file, Ok(bytes))),
            Err(Unread::System(error)) => Ok(Input::of_bytes(file, Err(error))),
            Err(Unread::Refused(reason)) => return Err(Unread::refusal(path, &reason)),
        },
    };
    let Ok(input) = input else {
        return Err(Problem::new(name, "it was compiled ahead of time, which inn serve does not take")
            .help("serve the .wasm that it was made from: what is compiled of it is kept in the cache"));
    };
    let input = input?;
    match (input.is_component(), flags.cgi) {
        (true, true) => Err(Problem::new(name, "a component, and --cgi is for modules of WASI 0.1")
            .help("leave --cgi away")
            .mistake()),
        (false, false) => Err(Problem::new(
            name,
            "a module, which can only be served as the Common Gateway Interface describes",
        )
        .help("add --cgi if it reads a request from its environment and prints the answer")
        .mistake()),
        _ => Ok(input),
    }
}

impl Program {
    /// Makes ready what was read.
    pub(super) fn new(
        flags: &GuestFlags,
        mut input: Input,
        (engine, keys, open): (&Engine, &Keys, OpenKeys),
    ) -> Result<Program, Problem> {
        let wording = wording(flags, keys);
        if input.is_component() {
            let component = input.component(engine)?;
            let handler = proxy(&component, &input.name, (open, processor_time(flags, keys)))?;
            let handler = handler.with_words(words(wording));
            return Ok(Program { handler: Arc::new(handler), code: Code::Component(component) });
        }
        let module = input.module(engine)?;
        let limits = CgiLimits { processor_time: processor_time(flags, keys), ..CgiLimits::default() };
        let cgi =
            Cgi::new(&module, open, input.name.clone(), limits).map_err(|error| input.problem(&error))?;
        Ok(Program { handler: Arc::new(cgi.with_words(words(wording))), code: Code::Module(module) })
    }
}

/// The processor time that one request may take.
fn processor_time(flags: &GuestFlags, keys: &Keys) -> Option<Duration> {
    let told = flags.limits.max_cpu.or(keys.limits.processor_time);
    Some(told.unwrap_or(PROCESSOR_TIME))
}

/// A component that answers.
fn proxy(
    component: &Component,
    name: &str,
    (keys, processor_time): (OpenKeys, Option<Duration>),
) -> Result<Proxy, Problem> {
    let functions = exported(component);
    if !functions.iter().any(answers_requests) {
        return Err(answers_nothing(name, &functions));
    }
    let problem = |error: &dyn std::fmt::Display| Problem::new(name, error);
    let mut linker = Linker::new(component.engine());
    add_used(&mut linker, std::iter::once(component)).map_err(|error| problem(&error))?;
    // Components import more than they use, so what nobody provides fails when it is called.
    if let Err(missing) = linker.instantiate_pre(component) {
        report::note(&Problem::of_lines(name, missing).help("requests that need it are answered with 500"));
        linker.define_unknown_imports_as_traps(component).map_err(|error| problem(&error))?;
    }
    let pre = linker.instantiate_pre(component).map_err(|error| problem(&error))?;
    let mut times = ProxyTimes::default();
    times.processor_time = processor_time;
    Proxy::new(pre, keys, name.to_owned(), times).map_err(|error| problem(&error))
}

/// How keys and limits are called where they were set.
pub(super) fn wording(flags: &GuestFlags, keys: &Keys) -> Wording {
    let (given, held, usual) = (&flags.limits, &keys.limits, WasiLimits::default());
    let of_policy = [
        (MEMORY, given.max_memory.is_none() && held.memory_bytes != Some(MEMORY_BYTES)),
        (WRITTEN, given.max_written.is_none() && held.written_bytes.is_some()),
        (HANDLES, given.max_handles.is_none() && held.max_open_handles != usual.max_open_handles),
        (OVERLAY, given.max_cow.is_none() && held.overlay_bytes != usual.overlay_bytes),
    ];
    Wording::of_grants(&flags.grants, &of_policy)
}

/// How what guests are denied and limited is told: with the flag that grants it, or raises it.
fn words(wording: Wording) -> Words {
    Arc::new(move |explanation| wording.explain_one(explanation))
}

/// Whether it is what a component answers requests by.
pub(crate) fn answers_requests(function: &Exported) -> bool {
    let interface = function.interface.as_deref().unwrap_or_default();
    let is_of = |handler, version| {
        interface.strip_prefix(handler).is_some_and(|rest: &str| rest.starts_with(version))
    };
    function.name == "handle" && (is_of(INCOMING_HANDLER, "@0.2.") || is_of(HANDLER, "@0.3."))
}

/// Says what a component is for that answers no requests.
fn answers_nothing(name: &str, functions: &[Exported]) -> Problem {
    let of = |package: &str| {
        let mut interfaces = functions.iter().filter_map(|function| function.interface.as_deref());
        interfaces.find(|interface| interface.starts_with(package)).map(short)
    };
    if let Some(interface) = of("wasi:http/") {
        let reason = format!("it answers requests of another version of WASI: it exports `{interface}`");
        return Problem::new(name, reason)
            .help("build it for the world wasi:http/proxy of WASI 0.2, or wasi:http/service of WASI 0.3");
    }
    if let Some(interface) = of("wasi:cli/run@") {
        let reason =
            format!("it is a program, which runs once and answers no requests: it exports `{interface}`");
        return Problem::new(name, reason).help(format!("run it: inn run {name}")).mistake();
    }
    let problem = Problem::new(
        name,
        format!("it exports no `{INCOMING_HANDLER}` and no `{HANDLER}`, so it answers no requests"),
    );
    match functions {
        [] => problem.help("it exports no function at all; `inn inspect` shows what it holds"),
        _ => problem.mistake().help(format!(
            "call a function by name, with inn run --invoke; it exports {}",
            listed(functions)
        )),
    }
}
