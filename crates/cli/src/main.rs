//! `inn`: runs WASI programs that hold only the keys they were given.
//!
//! Argument parsing and presentation only: what a guest may do is decided by the `innkeeper` crate, from the keys that
//! [`keys`] makes of the flags. [`args`] says what the command line looks like, one module per command does it, [`report`] writes
//! every message and turns control characters of foreign text into visible ones.

#![deny(unsafe_code)]

mod absent;
mod args;
mod background;
mod backtrace;
mod cache;
mod call;
mod changes;
mod compile;
mod completion;
mod component;
mod component_reports;
mod compose;
mod deadline;
mod elsewhere;
mod ended;
mod entry;
mod explore;
mod flags;
mod foreign;
mod guest;
mod handed_over;
mod help;
mod homes;
mod input;
mod inspect;
mod interfaces;
mod invoke;
mod keys;
mod makers;
mod misplaced;
mod mounts;
#[allow(unsafe_code, reason = "a function of the C library")]
mod name_service;
mod names;
mod nearest;
mod observers;
mod output;
mod perf;
mod plug;
mod policy;
mod profile;
mod program_names;
mod recorded;
mod replay;
mod report;
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "an allocator")]
mod reserve;
mod run;
mod runtimes;
mod serve;
mod signals;
mod stack;
mod unused;
mod usage;
mod validate;
mod values;
mod wast;
mod wording;
mod work;
mod writable;
mod written;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::CommandFactory;

use args::{Cli, Command};

#[cfg(target_os = "linux")]
#[global_allocator]
static ALLOCATOR: reserve::WithReserve = reserve::WithReserve::new();

fn main() -> ExitCode {
    reserve::share_heaps();
    tell_of_panics();
    signals::survive_file_limits();
    stack::with_enough(begin)
}

/// A panic of the compiler's is no news: the function that it was compiling stays interpreted. Neither is one of the printer of WIT: it is said that there is none.
fn tell_of_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !innkeeper::is_compiling() && !inspect::is_printing_wit() {
            usual(panic);
        }
    }));
}

fn begin() -> ExitCode {
    #[cfg(target_os = "linux")]
    reserve::reach_for_stack();
    let line: Vec<OsString> = std::env::args_os().collect();
    let command = match Command::read(&line) {
        Ok(command) => command,
        Err(error) => return usage::tell(&error),
    };
    let run = match &command {
        Command::Run(args) => Some(&**args),
        Command::Policy(args) => args.learns(),
        _ => None,
    };
    if let Some(Err(problem)) = run.map(usage::check_dashes) {
        report::problem(&problem);
        return problem.exit_code();
    }
    let done = match command {
        Command::Run(args) => run::run(&args),
        Command::Serve(args) => serve::serve(*args),
        Command::Replay(args) => replay::replay(&args),
        Command::Policy(args) => policy::policy(&args),
        Command::Explore(args) => explore::explore(&args),
        Command::Compile(args) => compile::compile(&args),
        Command::Compose(args) => compose::compose(&args),
        Command::Cache(args) => cache::cache(&args),
        Command::Cow(args) => changes::cow(&args.command),
        Command::Inspect(args) => inspect::inspect(&args),
        Command::Validate(args) => validate::validate(&args),
        Command::Wast(args) => wast::wast(&args),
        Command::Completion(args) => completion::completion(&args, Cli::command()),
        Command::Version => help::version(),
    };
    done.unwrap_or_else(|problem| {
        report::problem(&problem);
        problem.exit_code()
    })
}
