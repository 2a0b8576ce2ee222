//! `inn policy`: policies checked, and learned from runs.

use std::ffi::OsStr;
use std::path::Path;
use std::process::ExitCode;

use innkeeper::wasi::keys::{Keys, Policy};
use innkeeper::wasi::p1::Context;

use crate::args::{PolicyArgs, PolicyCommand, RunArgs};
use crate::keys;
use crate::output::Output;
use crate::report::{self, Problem};
use crate::run;
use crate::writable::Writable;

/// What stands at the top of a policy that was learned.
const LEARNED: &str =
    "# What a guest made use of; `inn policy learn` extends it, `inn --policy` grants it.\n\n";

pub(crate) fn policy(args: &PolicyArgs) -> Result<ExitCode, Problem> {
    match &args.command {
        PolicyCommand::Check { file } => check(file),
        PolicyCommand::Learn { to, run } => learn(to, run),
    }
}

/// Reads a policy and opens what it grants, except for files that would be written to.
fn check(file: &OsStr) -> Result<ExitCode, Problem> {
    let name = file.to_string_lossy();
    let policy = keys::read_policy(file)?;
    let granted =
        policy.grant(Keys::builder(), std::env::vars_os()).map_err(|error| Problem::new(&name, error))?;
    let mut keys = granted.build();
    keys.stdin = Keys::default().stdin;
    (keys.stdout, keys.stderr) = (Keys::default().stdout, Keys::default().stderr);
    Context::new(&keys).map_err(|error| Problem::new(&name, error))?;
    report::output(&format!("{name}: it can be granted\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Runs a guest, and writes or extends a policy by what it used, however it ended.
fn learn(to: &OsStr, args: &RunArgs) -> Result<ExitCode, Problem> {
    // So is a mistake in a policy that is there, before the guest runs.
    let writable = Writable::of(&keys::keys(args)?, &args.reports.cow_changes);
    let output = Output::open(to, &writable)?;
    let known = if Path::new(to).exists() { Some(keys::read_policy(to)?) } else { None };
    let mut learned = None;
    let code = run::run_and_then(args, writable, |keys, context| {
        learned = context.host().usage().map(|usage| Policy::covering(keys, &usage));
    })?;
    let Some(learned) = learned else {
        return Ok(code);
    };
    let policy = match known {
        Some(known) => known.merged(learned),
        None => learned,
    };
    output.write(|file| file.write_all(format!("{LEARNED}{}", policy.to_text()).as_bytes()))?;
    Ok(code)
}
