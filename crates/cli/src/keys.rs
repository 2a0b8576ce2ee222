//! Keys from a command line: its policy first, then its flags.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use innkeeper::wasi::keys::policy::matches_pattern;
use innkeeper::wasi::keys::{
    Access, DirKey, KernelFiles, Keys, KeysBuilder, ListenKey, Policy, StdinKey, StdoutKey, WasiLimits,
};
use rustix::fs::{AtFlags, CWD};

use crate::absent;
use crate::cache;
use crate::flags::RunArgs;
use crate::flags::{GrantFlags, KeyFlags, LimitFlags};
use crate::foreign;
use crate::mounts;
use crate::name_service;
use crate::report::{self, Problem, named, visible};
use crate::values::{CacheFlag, DirFlag, EnvFlag, InputFlag, OutputFlag, TmpFlag};

/// The keys that a command line grants.
pub(crate) fn keys(args: &RunArgs) -> Result<Keys, Problem> {
    let flags = &args.keys;
    let builder = Keys::builder().arguments(guest_arguments(args)?);
    let mut keys = add_flags(granted(builder, &flags.grants)?, flags).build();
    limit(&mut keys.limits, &flags.limits);
    complete(&mut keys, args.cache.as_ref())?;
    if !args.reports.cow_changes.is_empty()
        && !keys.directories.iter().any(|key| key.access == Access::CopyOnWrite)
    {
        let problem = Problem::new("--cow-changes", "there is no cow directory, and so there are no changes");
        return Err(problem.help("grant one: --dir HOST::GUEST::cow").mistake());
    }
    Ok(keys)
}

/// What a policy and flags grant beside `keys`.
pub(crate) fn granted(keys: KeysBuilder, flags: &GrantFlags) -> Result<KeysBuilder, Problem> {
    let policy = match &flags.policy {
        Some(path) => read_policy(path.as_os_str())?,
        None => Policy::default(),
    };
    granted_by(policy, keys, flags)
}

/// What this policy, and flags grant beside `keys`.
pub(crate) fn granted_by(
    policy: Policy,
    keys: KeysBuilder,
    flags: &GrantFlags,
) -> Result<KeysBuilder, Problem> {
    let keys = policy.grant(keys, std::env::vars_os()).map_err(|error| match &flags.policy {
        Some(path) => Problem::new(path.display(), error).help(POLICY_PAGE).mistake(),
        None => Problem::from_message(error),
    })?;
    add_grants(keys, flags)
}

/// Hides from the guest what is inn's own, and refuses or warns of what cannot be meant.
pub(crate) fn complete(keys: &mut Keys, cache: Option<&CacheFlag>) -> Result<(), Problem> {
    require_distinct_names(keys)?;
    if !keys.network.is_empty() || !keys.http.is_empty() {
        name_service::keep_to_what_is_here();
    }
    if !streams(keys).is_empty() || keys.directories.iter().any(is_native) {
        keys.hidden = cache::out_of_sight(cache);
        keys.directories.iter().filter(|key| is_native(key)).for_each(warn_of);
    }
    Ok(())
}

/// The files of the host that standard streams are.
fn streams(keys: &Keys) -> Vec<PathBuf> {
    let input = match &keys.stdin {
        StdinKey::File(path) => Some(path),
        _ => None,
    };
    let outputs = [&keys.stdout, &keys.stderr].into_iter().filter_map(|key| match key {
        StdoutKey::File { path, .. } => Some(path),
        _ => None,
    });
    input.into_iter().chain(outputs).cloned().collect()
}

/// Refuses files for standard streams that no guest may reach, as far as their paths tell: nothing is opened. When a guest is run, what is open is compared.
pub(crate) fn require_streams_in_sight(keys: &Keys) -> Result<(), Problem> {
    streams(keys).iter().try_for_each(|path| require_in_sight(path, &keys.hidden))
}

/// Refuses one of `hidden`, by whatever name, or one in it.
pub(crate) fn require_in_sight(path: &Path, hidden: &[PathBuf]) -> Result<(), Problem> {
    let look = |path: &Path| mounts::look(CWD, path, AtFlags::empty()).map(|found| found.identity);
    let things: Vec<_> = hidden.iter().filter_map(|path| look(path).ok()).collect();
    let is_thing = |path: &Path| look(path).is_ok_and(|found| things.contains(&found));
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let directories = [path.canonicalize(), parent.canonicalize()];
    let is_in_thing = directories.iter().flatten().any(|path| path.ancestors().any(is_thing));
    let is_to_be_one =
        std::path::absolute(path).is_ok_and(|path| hidden.iter().any(|it| path.starts_with(it)));
    if is_in_thing || is_to_be_one {
        let reason = "the code cache or its key is kept there, which no guest may reach";
        return Err(Problem::new(path.to_string_lossy(), reason).help("name another file").mistake());
    }
    Ok(())
}

/// Whether a key is to a directory of the host's.
fn is_native(key: &DirKey) -> bool {
    !matches!(key.access, Access::Temporary { .. })
}

/// Refuses two directories under one name, of which the guest would find one only.
fn require_distinct_names(keys: &Keys) -> Result<(), Problem> {
    let plain = |guest: &str| guest.trim_end_matches('/').to_owned();
    for (index, key) in keys.directories.iter().enumerate() {
        let same = keys.directories[..index].iter().find(|other| plain(&other.guest) == plain(&key.guest));
        if let Some(other) = same {
            let what = |key: &DirKey| match key.access {
                Access::Temporary { .. } => String::from("a directory in memory"),
                _ => visible(&key.host.to_string_lossy()),
            };
            let reason = format!("two directories are to have this name, {} and {}", what(other), what(key));
            let problem = Problem::new(visible(&key.guest), reason);
            return Err(problem.help("give one of them another name: --dir HOST::GUEST").mistake());
        }
    }
    Ok(())
}

/// What holds credentials for other machines and programs, in a home directory. Whoever reads one of them is this user elsewhere; whoever writes to one
/// decides what this user executes there. (Those of the machine itself are in `/etc` and `/root`, to which `/` is warned of.)
const CREDENTIALS: [&str; 16] = [
    ".ssh",
    ".gnupg",
    ".aws",
    ".azure",
    ".config/gcloud",
    ".config/gh",
    ".kube",
    ".docker",
    ".netrc",
    ".npmrc",
    ".pypirc",
    ".cargo",
    ".git-credentials",
    ".password-store",
    ".local/share/keyrings",
    ".mozilla",
];

/// Says so where a directory is one that leaves little of the sandbox, unless its key says that this is meant.
fn warn_of(key: &DirKey) {
    let Ok(granted) = key.host.canonicalize() else { return };
    if key.kernel_files == KernelFiles::Granted {
        return;
    }
    if let Some(reason) = danger(&granted, std::env::home_dir().and_then(|home| home.canonicalize().ok())) {
        let problem = Problem::new(visible(&key.host.to_string_lossy()), reason);
        report::warning(&problem.help("grant the one directory that the guest needs; `unsafe` at the flag's end says that this is meant"));
    }
}

/// What is so dangerous about granting a directory.
fn danger(granted: &Path, home: Option<PathBuf>) -> Option<String> {
    if granted == Path::new("/") {
        return Some(String::from("the guest is granted every file of the machine that this user can open"));
    }
    let home = home.filter(|home| home != Path::new("/"))?;
    if home.starts_with(granted) {
        let what = "the guest is granted the home directory: credentials, and files that are executed at the next login";
        return Some(String::from(what));
    }
    let within = |entry: &&&str| {
        let entry = home.join(entry);
        granted.starts_with(&entry) || (entry.starts_with(granted) && entry.exists())
    };
    let found = CREDENTIALS.iter().find(within)?;
    Some(format!("the guest is granted ~/{found}, which can hold credentials"))
}

/// Reads a policy; relative paths in it are relative to its folder.
pub(crate) fn read_policy(path: &OsStr) -> Result<Policy, Problem> {
    // What is wrong with it is printed.
    require_in_sight(Path::new(path), &cache::out_of_sight(None))?;
    policy_of(path, read_bounded(path))
}

/// What a text says that was read of a policy.
pub(crate) fn policy_of(path: &OsStr, text: io::Result<String>) -> Result<Policy, Problem> {
    let name = path.to_string_lossy();
    let text = text.map_err(|reason| unreadable_policy(path, &name, &reason))?;
    let policy = Policy::parse(&text).map_err(|error| {
        if let Some((kind, _)) = foreign::kind_by_start(text.as_bytes()) {
            return module_as_policy(&name, kind);
        }
        let help = near_toml(&error.to_string(), &text).unwrap_or(POLICY_PAGE);
        Problem::of_lines(&name, error).help(help).mistake()
    })?;
    Ok(policy.in_folder(Path::new(path).parent().unwrap_or(Path::new(""))))
}

/// Why a file cannot be read as a policy.
fn unreadable_policy(path: &OsStr, name: &str, reason: &io::Error) -> Problem {
    let problem = match reason.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
            return absent::unopened(path, "policy", reason);
        }
        io::ErrorKind::IsADirectory => {
            Problem::new(name, "it is a directory, and a policy is a file").help("name the .toml file")
        }
        io::ErrorKind::InvalidData => match foreign::kind_of_file(Path::new(path)) {
            Some((kind, _)) => module_as_policy(name, kind),
            None => Problem::new(name, "it is not text, and a policy is a TOML file").help(POLICY_PAGE),
        },
        _ => Problem::new(name, format!("cannot be read as a policy: {reason}")).help("check the path"),
    };
    problem.mistake()
}

/// A file that is none of TOML was named as a policy.
fn module_as_policy(name: &str, kind: &str) -> Problem {
    let problem = Problem::new(name, format!("{kind}, and a policy is a TOML file"));
    problem.help("a policy is given with --policy FILE.toml, and the module is FILE").mistake()
}

/// What is meant by something in a policy that TOML reads otherwise.
fn near_toml(error: &str, text: &str) -> Option<&'static str> {
    let has_line =
        |wanted: &str| text.lines().any(|line| line.split('#').next().unwrap_or_default().trim() == wanted);
    if error.contains("invalid type: map, expected a sequence") {
        if has_line("[directory]") {
            return Some("write [[directory]], with two brackets on each side: there can be several");
        }
        if has_line("[temporary]") {
            return Some("write [[temporary]], with two brackets on each side: there can be several");
        }
    }
    (error.contains("unknown variant") && error.contains("`cow`"))
        .then_some("write access = \"ro\", \"rw\" or \"cow\"")
}

/// The text of a policy, which may come from a pipe.
fn read_bounded(path: &OsStr) -> io::Result<String> {
    read_text(File::open(path)?)
}

/// Reads a text that says what is granted, which is short. What has no end is given up.
pub(crate) fn read_text(source: impl Read) -> io::Result<String> {
    let mut text = String::new();
    source.take(MAX_POLICY_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_POLICY_BYTES {
        return Err(io::Error::other(format!("it is larger than {MAX_POLICY_BYTES} bytes")));
    }
    Ok(text)
}

/// Where it is said how policies are written.
pub(crate) const POLICY_PAGE: &str = "docs/policies.md lists what a policy can say";

/// Bytes that a policy may have.
const MAX_POLICY_BYTES: u64 = 1 << 20;

/// The limits that flags alone set, before a policy is read.
pub(crate) fn limits_of_flags(args: &RunArgs) -> WasiLimits {
    let mut limits = WasiLimits::default();
    limit(&mut limits, &args.keys.limits);
    limits
}

fn add_grants(mut keys: KeysBuilder, flags: &GrantFlags) -> Result<KeysBuilder, Problem> {
    // What is said of one variable counts more than what is said of all that a pattern matches, wherever it stands.
    let (patterns, single): (Vec<&EnvFlag>, Vec<&EnvFlag>) =
        flags.variables.iter().partition(|flag| flag.is_pattern());
    note_left_out(&patterns, |name| single.iter().any(|flag| flag.name == name));
    for variable in patterns.into_iter().chain(single) {
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
    for key in &flags.network {
        keys = keys.net(key.clone());
    }
    for key in &flags.http {
        keys = keys.http(key.clone());
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
    Ok(keys)
}

fn add_flags(mut keys: KeysBuilder, flags: &KeyFlags) -> KeysBuilder {
    for address in &flags.listeners {
        keys = keys.listener(ListenKey::new(*address));
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
    keys
}

fn limit(limits: &mut WasiLimits, flags: &LimitFlags) {
    limits.wall_time = flags.timeout.or(limits.wall_time);
    limits.processor_time = flags.max_cpu.or(limits.processor_time);
    limits.memory_bytes = flags.max_memory.or(limits.memory_bytes);
    limits.written_bytes = flags.max_written.or(limits.written_bytes);
    limits.max_open_handles = flags.max_handles.unwrap_or(limits.max_open_handles);
    limits.max_threads = flags.max_threads.unwrap_or(limits.max_threads);
    limits.overlay_bytes = flags.max_cow.unwrap_or(limits.overlay_bytes);
}

/// Says which variables a pattern means and no guest can be given, unless something is said of them alone.
fn note_left_out(patterns: &[&EnvFlag], is_single: impl Fn(&str) -> bool) {
    if patterns.is_empty() {
        return;
    }
    for (name, value) in std::env::vars_os() {
        let what = match (name.to_str(), value.to_str()) {
            (Some(_), Some(_)) => continue,
            (None, _) => "name",
            (Some(_), None) => "value",
        };
        let name = name.to_string_lossy();
        let pattern = patterns.iter().find(|flag| matches_pattern(&flag.name, &name));
        if let Some(EnvFlag { name: pattern, .. }) = pattern.filter(|_| !is_single(&name)) {
            let reason = format!(
                "the variable {} is left out, as its {what} is not UTF-8, which WASI wants",
                named(&name)
            );
            report::note(&Problem::new(format!("--env {pattern}"), reason));
        }
    }
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
    if flag.is_pattern() {
        let own = std::env::vars_os().filter(|(own, _)| matches_pattern(name, &own.to_string_lossy()));
        let pairs =
            own.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let mut pairs: Vec<(String, String)> = pairs.collect();
        pairs.sort();
        return Ok(pairs);
    }
    match std::env::var(name) {
        Ok(value) => Ok(vec![(name.clone(), value)]),
        Err(std::env::VarError::NotPresent) => {
            Err(Problem::new(thing, "the variable is not set, so it cannot be passed on")
                .help(format!("give it a value, --env {name}=VALUE, or leave the flag out"))
                .mistake())
        }
        Err(std::env::VarError::NotUnicode(_)) => Err(not_utf8()),
    }
}

fn guest_arguments(args: &RunArgs) -> Result<Vec<String>, Problem> {
    let mut arguments = vec![guest_name(args)?.to_owned()];
    for argument in args.guest_args() {
        let help = "write it in UTF-8; a file can be given by a link to it, or as standard input";
        arguments.push(utf8(argument, ("an argument of the guest", help))?.to_owned());
    }
    Ok(arguments)
}

/// The guest's own name: the last part of the path it was started by.
fn guest_name(args: &RunArgs) -> Result<&str, Problem> {
    match &args.argv0 {
        Some(name) => Ok(name),
        None => utf8(
            Path::new(args.file()).file_name().unwrap_or(args.file()),
            ("the file's name, which is the guest's argv[0],", "--argv0 NAME sets another"),
        ),
    }
}

fn utf8<'a>(text: &'a OsStr, (what, help): (&str, &str)) -> Result<&'a str, Problem> {
    text.to_str().ok_or_else(|| {
        Problem::new(OsString::from(text).to_string_lossy(), format!("{what} is not UTF-8, which WASI wants"))
            .help(help)
    })
}

#[cfg(test)]
mod tests {
    use super::danger;
    use std::path::Path;

    #[test]
    fn y9_what_leaves_little_of_the_sandbox_is_warned_of() {
        let home = tempfile::tempdir().unwrap();
        let home = home.path().canonicalize().unwrap();
        std::fs::create_dir_all(home.join(".ssh/sub")).unwrap();
        std::fs::create_dir_all(home.join(".config/gcloud")).unwrap();
        std::fs::create_dir(home.join("work")).unwrap();
        let danger_of = |granted: &Path| danger(granted, Some(home.clone())).unwrap_or_default();
        assert!(danger_of(Path::new("/")).contains("every file"));
        for granted in [&*home, home.parent().unwrap()] {
            assert!(danger_of(granted).contains("home directory"), "{granted:?}");
        }
        for granted in [".ssh", ".ssh/sub", ".config", ".config/gcloud"] {
            assert!(danger_of(&home.join(granted)).contains("credentials"), "{granted}");
        }
        for granted in ["work", ".config/other", ".sshd"] {
            assert_eq!(danger_of(&home.join(granted)), "", "{granted}");
        }
        // Nobody lives in the root, whatever the environment says.
        assert_eq!(danger(Path::new("/srv"), Some("/".into())), None);
    }
}
