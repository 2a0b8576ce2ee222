//! Keys from a command line: its policy first, then its flags.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use innkeeper::wasi::keys::policy::matches_pattern;
use innkeeper::wasi::keys::{Keys, KeysBuilder, Limits, ListenKey, Policy};

use crate::args::RunArgs;
use crate::flags::{KeyFlags, LimitFlags};
use crate::report::Problem;
use crate::values::{DirFlag, EnvFlag, InputFlag, OutputFlag, TmpFlag};

/// The keys that a command line grants.
pub(crate) fn keys(args: &RunArgs) -> Result<Keys, Problem> {
    let flags = &args.keys;
    let policy = match &flags.policy {
        Some(path) => read_policy(path.as_os_str())?,
        None => Policy::default(),
    };
    let arguments = guest_arguments(args)?;
    let builder = Keys::builder().arguments(arguments);
    let keys = policy.grant(builder, std::env::vars_os()).map_err(|error| match &flags.policy {
        Some(path) => Problem::new(path.display(), error),
        None => Problem::from_message(error),
    })?;
    let mut keys = add_flags(keys, flags)?.build();
    limit(&mut keys.limits, &flags.limits);
    Ok(keys)
}

/// Reads a policy; relative paths in it are relative to its folder.
pub(crate) fn read_policy(path: &OsStr) -> Result<Policy, Problem> {
    let name = path.to_string_lossy();
    let text = std::fs::read_to_string(path).map_err(|reason| {
        Problem::new(&name, format!("cannot be read as a policy: {reason}")).help("check the path")
    })?;
    let policy = Policy::parse(&text)
        .map_err(|error| Problem::new(&name, error).help("docs/sandbox.md lists what a policy can say"))?;
    Ok(policy.in_folder(Path::new(path).parent().unwrap_or(Path::new(""))))
}

fn add_flags(mut keys: KeysBuilder, flags: &KeyFlags) -> Result<KeysBuilder, Problem> {
    for variable in &flags.variables {
        for (name, value) in variables(variable)? {
            keys = keys.variable(name, value);
        }
    }
    for DirFlag(key) in flags.dirs.iter().chain(&flags.mapdirs) {
        keys = keys.directory(key.clone());
    }
    for TmpFlag(key) in &flags.tmps {
        keys = keys.directory(key.clone());
    }
    for address in &flags.listeners {
        keys = keys.listener(ListenKey::new(*address));
    }
    if let Some(seed) = flags.deterministic {
        keys = keys.deterministic(seed);
    }
    if let Some(clocks) = flags.clocks {
        keys = keys.clocks(clocks.0);
    }
    if let Some(random) = flags.random {
        keys = keys.random(random.0);
    }
    if let Some(InputFlag(key)) = &flags.stdin {
        keys = keys.stdin(key.clone());
    }
    if let Some(OutputFlag(key)) = &flags.stdout {
        keys = keys.stdout(key.clone());
    }
    if let Some(OutputFlag(key)) = &flags.stderr {
        keys = keys.stderr(key.clone());
    }
    Ok(keys)
}

fn limit(limits: &mut Limits, flags: &LimitFlags) {
    limits.wall_time = flags.timeout.or(limits.wall_time);
    limits.processor_time = flags.max_cpu.or(limits.processor_time);
    limits.memory_bytes = flags.max_memory.or(limits.memory_bytes);
    limits.written_bytes = flags.max_written.or(limits.written_bytes);
    limits.max_open_handles = flags.max_handles.unwrap_or(limits.max_open_handles);
    limits.max_threads = flags.max_threads.unwrap_or(limits.max_threads);
    limits.overlay_bytes = flags.max_cow.unwrap_or(limits.overlay_bytes);
}

/// The variables that a flag gives: one, or all of inn's own that a pattern matches.
fn variables(flag: &EnvFlag) -> Result<Vec<(String, String)>, Problem> {
    let name = &flag.name;
    if let Some(value) = &flag.value {
        return Ok(vec![(name.clone(), value.clone())]);
    }
    let thing = format!("--env {name}");
    let not_utf8 = || {
        Problem::new(&thing, "its value is not UTF-8, which WASI wants")
            .help(format!("give it another value, --env {name}=VALUE"))
    };
    if name.contains('*') {
        let own = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
        let mut matching: Vec<(String, OsString)> =
            own.filter(|(own, _)| matches_pattern(name, own)).collect();
        matching.sort();
        let pairs = matching
            .into_iter()
            .map(|(name, value)| Ok((name, value.into_string().map_err(|_| not_utf8())?)));
        return pairs.collect();
    }
    match std::env::var(name) {
        Ok(value) => Ok(vec![(name.clone(), value)]),
        Err(std::env::VarError::NotPresent) => {
            Err(Problem::new(thing, "the variable is not set, so it cannot be passed on")
                .help(format!("give it a value, --env {name}=VALUE, or leave the flag out")))
        }
        Err(std::env::VarError::NotUnicode(_)) => Err(not_utf8()),
    }
}

fn guest_arguments(args: &RunArgs) -> Result<Vec<String>, Problem> {
    let mut arguments = vec![guest_name(args)?.to_owned()];
    for argument in args.guest_args() {
        arguments.push(utf8(argument, "an argument of the guest")?.to_owned());
    }
    Ok(arguments)
}

/// The guest's own name: the last part of the path it was started by.
fn guest_name(args: &RunArgs) -> Result<&str, Problem> {
    match &args.argv0 {
        Some(name) => Ok(name),
        None => utf8(
            Path::new(args.file()).file_name().unwrap_or(args.file()),
            "the file's name, which is the guest's argv[0],",
        ),
    }
}

fn utf8<'a>(text: &'a OsStr, what: &str) -> Result<&'a str, Problem> {
    text.to_str().ok_or_else(|| {
        Problem::new(OsString::from(text).to_string_lossy(), format!("{what} is not UTF-8, which WASI wants"))
            .help("use another name; --argv0 NAME sets the guest's own")
    })
}
