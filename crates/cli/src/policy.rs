//! `inn policy`: policies checked, and learned from runs.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Subcommand, ValueHint};
use innkeeper::wasi::host::Way;
use innkeeper::wasi::keys::policy::PolicyAccess;
use innkeeper::wasi::keys::{KeyLine, KeyLineKind, Keys, Policy, StdinKey, StdoutKey};
use innkeeper::wasi::p1::Context;
use rustix::fs::{AtFlags, CWD};

use crate::deadline::Deadline;
use crate::flags::RunArgs;
use crate::handed_over::is_own_descriptor;
use crate::keys;
use crate::output::Output;
use crate::report::{self, Problem, visible};
use crate::run;
use crate::wording::Wording;
use crate::work::WorkFlags;
use crate::writable::Writable;

/// What stands at the top of a policy that was learned.
const LEARNED: &str =
    "# What a guest made use of; `inn policy learn` extends it, `inn --policy` grants it.\n\n";

#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct PolicyArgs {
    #[command(subcommand)]
    pub(crate) command: PolicyCommand,
}

impl PolicyArgs {
    /// What a guest is run with, if one is.
    pub(crate) fn learns(&self) -> Option<&RunArgs> {
        match &self.command {
            PolicyCommand::Learn { run, .. } => Some(run),
            PolicyCommand::Check { .. } => None,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Check that a policy says something that can be granted here
    Check {
        /// The policy
        #[arg(value_name = "FILE.toml", value_hint = ValueHint::FilePath)]
        file: OsString,
        #[command(flatten)]
        work: WorkFlags,
    },
    /// Run a program with the keys given, and write the least policy that covers what it used
    ///
    /// A policy that is there is extended, so that it covers several runs.
    #[command(override_usage = "inn policy learn --to FILE.toml [FLAGS] FILE [ARGS]...")]
    Learn {
        /// The policy to write or extend
        #[arg(long, short = 'o', alias = "output", value_name = "FILE.toml", value_hint = ValueHint::FilePath)]
        to: OsString,
        #[command(flatten)]
        run: Box<RunArgs>,
    },
}

pub(crate) fn policy(args: &PolicyArgs) -> Result<ExitCode, Problem> {
    match &args.command {
        PolicyCommand::Check { file, work } => {
            work.watch()?;
            check(file)
        }
        PolicyCommand::Learn { to, run } => learn(to, run),
    }
}

/// Reads a policy, says what it grants, and opens that, except for files that would be written to.
fn check(file: &OsStr) -> Result<ExitCode, Problem> {
    let name = file.to_string_lossy();
    let policy = keys::read_policy(file)?;
    let granted = policy
        .grant(Keys::builder(), std::env::vars_os())
        .map_err(|error| Problem::new(&name, error).help(keys::POLICY_PAGE).mistake())?;
    let mut keys = granted.build();
    let complete = keys::complete(&mut keys, None).and_then(|()| keys::require_streams_in_sight(&keys));
    report::output(&in_words(&keys.in_words()))?;
    complete?;
    Writable::granted_by(&keys).warn_of_input(Path::new(file), "the policy");
    if let StdinKey::File(path) = &keys.stdin {
        readable(path).map_err(|error| {
            Problem::new(
                path.to_string_lossy(),
                format!("it is to be standard input, and cannot be read: {error}"),
            )
            .help("create it, or correct the path")
            .mistake()
        })?;
    }
    keys.stdin = Keys::default().stdin;
    (keys.stdout, keys.stderr) = (Keys::default().stdout, Keys::default().stderr);
    Context::new(&keys).map_err(|error| Wording::of_policy(file).cannot_be_granted(&error))?;
    report::output(&format!("\n{name}: it can be granted\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// Whether a file can be read. It is not opened: a pipe would wait for its other end, and then lose it.
fn readable(path: &Path) -> io::Result<()> {
    if path.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(rustix::fs::accessat(CWD, path, rustix::fs::Access::READ_OK, AtFlags::EACCESS)?)
}

/// The lines under a heading for each of their kinds.
fn in_words(lines: &[KeyLine]) -> String {
    let headings = [
        (KeyLineKind::Granted, "Granted:"),
        (KeyLineKind::NotGranted, "Not granted:"),
        (KeyLineKind::Limit, "Limits:"),
    ];
    let width = lines.iter().map(|line| line.thing.chars().count()).max().unwrap_or(0).min(MAX_THING_CHARS);
    let mut text = String::new();
    for (kind, heading) in headings {
        let between = if text.is_empty() { "" } else { "\n" };
        text += &format!("{between}{heading}\n");
        let of_kind: Vec<&KeyLine> = lines.iter().filter(|line| line.kind == kind).collect();
        // What is said of several places in a row is said once.
        for alike in of_kind.chunk_by(|one, other| one.thing == other.thing && one.words == other.words) {
            let hosts: Vec<&Path> = alike.iter().filter_map(|line| line.host.as_deref()).collect();
            let KeyLine { thing, words, .. } = alike[0];
            let places = match hosts[..] {
                [] => String::new(),
                [host] => format!(": {}", place(host)),
                _ => format!(": {}", places(&hosts)),
            };
            text += &visible(&format!("  {thing:<width$}  {words}{places}"));
            text.push('\n');
        }
    }
    text
}

/// Characters of a name that what stands beside it is lined up with.
const MAX_THING_CHARS: usize = 40;

/// Where several things are on the host: the first, those that are there, and how many others are not.
fn places(hosts: &[&Path]) -> String {
    let mut words = Vec::new();
    let mut not_there = 0;
    for (i, host) in hosts.iter().enumerate() {
        match i == 0 || host.symlink_metadata().is_ok() {
            true => words.push(place(host)),
            false => not_there += 1,
        }
    }
    if not_there > 0 {
        words.push(format!("{not_there} more that are not there"));
    }
    words.join(", ")
}

/// Where something is on the host: in full, with what links lead to, and whether it is there.
fn place(path: &Path) -> String {
    let full = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let shown = full.to_string_lossy();
    match full.canonicalize() {
        Ok(real) if real == full => format!("{shown} ({})", kind(&real)),
        Ok(real) => format!("{shown}, which is {} ({})", real.to_string_lossy(), kind(&real)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => format!("{shown} (not there)"),
        Err(error) => format!("{shown} (cannot be looked at: {error})"),
    }
}

fn kind(path: &Path) -> &'static str {
    match path.metadata() {
        Ok(found) if found.is_dir() => "a directory",
        Ok(found) if found.is_file() => "a file",
        Ok(_) => "neither a file nor a directory",
        Err(_) => "not there",
    }
}

/// Runs a guest, and writes or extends a policy by what it used, however it ended: the exit code is the guest's.
fn learn(to: &OsStr, args: &RunArgs) -> Result<ExitCode, Problem> {
    let (begin, name) = (Instant::now(), visible(&to.to_string_lossy()));
    // A policy can come from a pipe that nobody writes to, and go to one that nobody reads.
    let reading = Deadline::watch(&keys::limits_of_flags(args), begin, name.clone())?;
    // So is a mistake in a policy that is there, before the guest runs.
    let keys = keys::keys(args)?;
    let writable = Writable::of(&keys, args);
    let output = Output::open(to, &writable)?;
    let streams = StreamWays::of(&keys);
    let known = if Path::new(to).exists() { Some(keys::read_policy(to)?) } else { None };
    drop(reading);
    // While the guest runs, its own deadline comes first; this one is for what comes after it.
    let _writing = Deadline::watch_work(&keys.limits, begin, name)?;
    let mut learned = None;
    let code = run::run_and_then(args, (begin, writable), |opened, host| {
        // By now the files are open; a policy names them.
        let mut named = opened.clone();
        (named.stdout, named.stderr) = (keys.stdout.clone(), keys.stderr.clone());
        let mut unnamed = streams.leave_out(&mut named);
        learned = host.usage().map(|usage| {
            unnamed.extend_from_slice(&usage.unnamed);
            (inheriting(Policy::covering(&named, &usage)), unnamed, host.denials().len())
        });
    })?;
    let Some((learned, unnamed, denials)) = learned else {
        return Ok(code);
    };
    let policy = match known {
        Some(known) => known.absolute().merged(learned),
        None => learned,
    };
    let here = std::env::current_dir().unwrap_or_default();
    // Paths in a policy are looked up from where it really is, which is not where the guest may have had its path lead by now.
    let policy = match output.folder() {
        Ok(folder) => policy.relative_to(&folder, &here),
        Err(_) => policy,
    };
    output.write(|file| file.write_all(format!("{LEARNED}{}", policy.to_text()).as_bytes()))?;
    let name = to.to_string_lossy();
    report::note(&Problem::new(
        &name,
        format!("it grants {}; `inn policy check {name}` says all of it", learned_words(&policy)),
    ));
    for path in &unnamed {
        let reason = "what was used there is not in the policy: by now the path leads elsewhere, or nobody can tell where";
        report::warning(
            &Problem::new(path.to_string_lossy(), reason).help("look what the guest has made of it"),
        );
    }
    if denials > 0 {
        let things = if denials == 1 {
            "what the guest was denied is"
        } else {
            "the things that the guest was denied are"
        };
        report::note(&Problem::new(&name, format!("{things} not in it; grant that, and learn again")));
    }
    Ok(code)
}

/// How the paths of standard streams led to their files before the guest ran.
struct StreamWays([Option<StreamWay>; 3]);

struct StreamWay {
    path: PathBuf,
    /// To an input itself, and to the directory of an output; none where it cannot be gone step by step.
    way: Option<Way>,
}

impl StreamWays {
    fn of(keys: &Keys) -> StreamWays {
        let stdin = match &keys.stdin {
            StdinKey::File(path) => Some(path).filter(|path| !is_own_descriptor(path)),
            _ => None,
        };
        let file = |key: &StdoutKey| match key {
            StdoutKey::File { path, .. } => Some(path.clone()).filter(|path| !is_own_descriptor(path)),
            _ => None,
        };
        let directory = |path: PathBuf| {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let way = Way::of(parent.unwrap_or(Path::new(".")));
            StreamWay { path, way }
        };
        StreamWays([
            stdin.map(|path| StreamWay { path: path.clone(), way: Way::of(path) }),
            file(&keys.stdout).map(directory),
            file(&keys.stderr).map(directory),
        ])
    }

    /// Takes files out of keys to which their paths do not lead any more: a policy would grant what the guest has put there. Gives their paths.
    fn leave_out(&self, keys: &mut Keys) -> Vec<PathBuf> {
        let mut left_out = Vec::new();
        let mut is_changed = |index: usize| {
            let changed = self.0[index].as_ref().filter(|it| !it.way.as_ref().is_some_and(Way::is_unchanged));
            left_out.extend(changed.map(|it| it.path.clone()));
            changed.is_some()
        };
        if is_changed(0) {
            keys.stdin = StdinKey::Empty;
        }
        for (index, key) in [(1, &mut keys.stdout), (2, &mut keys.stderr)] {
            if is_changed(index) {
                *key = StdoutKey::Discard;
            }
        }
        left_out
    }
}

/// Names the variables that are this process's own instead of writing down what they hold, which may be secret. A name that would mean others as well is no name.
fn inheriting(mut policy: Policy) -> Policy {
    let is_own = |(name, value): &(String, String)| {
        !name.contains('*') && std::env::var(name).is_ok_and(|own| own == *value)
    };
    let (own, others) = std::mem::take(&mut policy.environment.set).into_iter().partition(is_own);
    policy.environment.set = others;
    let own: std::collections::BTreeMap<String, String> = own;
    policy.environment.inherit.extend(own.into_keys());
    policy
}

/// What a policy that was learned grants, in a few words.
fn learned_words(policy: &Policy) -> String {
    let mut words: Vec<String> = policy
        .directories
        .iter()
        .map(|directory| {
            let guest = directory.guest.as_deref().unwrap_or_default();
            let access = match directory.access {
                PolicyAccess::Ro => "ro",
                PolicyAccess::Rw => "rw",
                _ => "cow",
            };
            format!("{guest} ({access})")
        })
        .collect();
    let more = words.len().saturating_sub(MAX_DIRECTORIES_TOLD);
    words.truncate(MAX_DIRECTORIES_TOLD);
    if more > 0 {
        words.push(format!("{more} more directories"));
    }
    words.extend(policy.temporaries.iter().map(|temporary| format!("{} (in memory)", temporary.guest)));
    match policy.environment.set.len() + policy.environment.inherit.len() {
        0 => {}
        1 => words.push(String::from("a variable")),
        count => words.push(format!("{count} variables")),
    }
    words.extend(policy.network.listen.iter().map(|address| format!("connections to {address}")));
    let (told, more) = policy.network.allow.split_at(policy.network.allow.len().min(MAX_DIRECTORIES_TOLD));
    words.extend(told.iter().map(ToString::to_string));
    if !more.is_empty() {
        words.push(format!("{} more keys to the network", more.len()));
    }
    let (told, more) = policy.http.allow.split_at(policy.http.allow.len().min(MAX_DIRECTORIES_TOLD));
    words.extend(told.iter().map(ToString::to_string));
    if !more.is_empty() {
        words.push(format!("{} more keys to requests of HTTP", more.len()));
    }
    if words.is_empty() { String::from("no directory, variable or socket") } else { words.join(", ") }
}

/// Directories of a policy, and keys to the network, that are told one by one.
const MAX_DIRECTORIES_TOLD: usize = 4;
