//! Values of flags, read and checked as text: whether a directory exists is found out when the keys are opened, not here.
//!
//! Must stay true: a path of the host is any bytes, whatever stands around it in a value. What the guest reads is UTF-8.

use std::ffi::{OsStr, OsString};
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use innkeeper::wasi::keys::{
    Access, Clocks, DirKey, FileMode, KernelFiles, Random, StdinKey, StdoutKey, parse_size,
};
use innkeeper::wasi::observe::TraceForm;
use innkeeper::{Feature, Features};

use crate::elsewhere;
use crate::nearest::nearest;
use crate::report::visible;

/// What whoever wants a cache or none writes elsewhere, in the place of a directory.
const SWITCHES: [&str; 11] = ["on", "yes", "y", "true", "1", "auto", "default", "no", "n", "false", "0"];

/// A value of `--cache`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CacheFlag {
    Off,
    Directory(PathBuf),
}

impl CacheFlag {
    /// Reads `off` or a path.
    pub(crate) fn parse(value: OsString) -> Result<CacheFlag, String> {
        match value.as_bytes() {
            b"off" => Ok(CacheFlag::Off),
            b"" => Err(String::from("write a directory, or off")),
            word if SWITCHES.iter().any(|switch| word.eq_ignore_ascii_case(switch.as_bytes())) => {
                let word = value.to_string_lossy();
                Err(format!(
                    "`{word}` is no directory, which it wants, or off; there is a cache without the flag, and a directory of that name is written ./{word}"
                ))
            }
            _ => Ok(CacheFlag::Directory(PathBuf::from(value))),
        }
    }
}

/// A value of `--dir` or `--mapdir`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DirFlag(pub(crate) DirKey);

impl DirFlag {
    /// Reads `HOST[::GUEST][::ro|rw|cow][::unsafe]`.
    pub(crate) fn parse_dir(value: OsString) -> Result<DirFlag, String> {
        let mut parts = parts(&value);
        if parts.len() > 1 && parts.last() == Some(&OsStr::new("unsafe")) {
            parts.pop();
            return DirFlag::parse_parts(&parts)
                .map(|DirFlag(key)| DirFlag(key.with_kernel_files(KernelFiles::Granted)));
        }
        DirFlag::parse_parts(&parts)
    }

    fn parse_parts(parts: &[&OsStr]) -> Result<DirFlag, String> {
        match *parts {
            [host] => DirFlag::new(host, host, Access::ReadWrite),
            [host, last] => match access(last) {
                Some(access) => DirFlag::new(host, host, access),
                None if is_like_access(last) => Err(format!(
                    "`{0}` is not an access: write `ro`, `rw` or `cow`; a guest path of that name needs both, {1}::{0}::rw",
                    last.to_string_lossy(),
                    host.to_string_lossy()
                )),
                None => DirFlag::new(host, last, Access::ReadWrite),
            },
            [host, guest, last] => {
                let access = access(last).ok_or_else(|| {
                    format!("`{}` is not an access: write `ro`, `rw` or `cow`", last.to_string_lossy())
                })?;
                DirFlag::new(host, guest, access)
            }
            _ => Err(String::from("too many `::`: the form is HOST[::GUEST][::ro|rw|cow][::unsafe]")),
        }
    }

    /// Reads `GUEST::HOST`.
    pub(crate) fn parse_mapdir(value: OsString) -> Result<DirFlag, String> {
        match *parts(&value) {
            [guest, host] => DirFlag::new(host, guest, Access::ReadWrite),
            [one] if one.as_bytes().contains(&b':') => {
                let text = one.to_string_lossy();
                let (guest, host) = text.split_once(':').unwrap_or((&text, ""));
                Err(format!(
                    "two colons stand between the guest's path and the host's: --mapdir {guest}::{host}"
                ))
            }
            [_, _, _] => Err(String::from("it has no access: for another than rw use --dir HOST::GUEST::ro")),
            _ => Err(String::from("the host's path is missing")),
        }
    }

    fn new(host: &OsStr, guest: &OsStr, access: Access) -> Result<DirFlag, String> {
        if host.is_empty() || guest.is_empty() {
            return Err(String::from("neither path may be empty; the current directory is `.`"));
        }
        let guest = guest.to_str().ok_or_else(|| {
            format!(
                "`{}` is no name for the guest, which reads UTF-8: give it another, HOST::GUEST",
                guest.to_string_lossy()
            )
        })?;
        let near =
            ACCESSES.iter().find_map(|word| Some((guest.strip_suffix(word)?.strip_suffix(':')?, word)));
        match near.filter(|(front, _)| !front.is_empty() && host != guest) {
            Some((front, word)) => Err(format!(
                "`{guest}` ends in `:{word}`, and two colons stand before an access: --dir {}::{front}::{word}",
                host.to_string_lossy()
            )),
            None => Ok(DirFlag(DirKey::new(host, guest, access))),
        }
    }
}

/// The words for an access at the end of a value.
pub(crate) const ACCESSES: [&str; 3] = ["ro", "rw", "cow"];

/// The parts of a value between `::`.
fn parts(value: &OsStr) -> Vec<&OsStr> {
    let (mut parts, mut rest) = (Vec::new(), value.as_bytes());
    while let Some(at) = rest.windows(2).position(|two| two == b"::") {
        parts.push(OsStr::from_bytes(&rest[..at]));
        rest = &rest[at + 2..];
    }
    parts.push(OsStr::from_bytes(rest));
    parts
}

/// A value of `--env`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EnvFlag {
    /// A pattern where it has a `*` and no value.
    pub(crate) name: String,
    /// Absent where inn's own value is meant.
    pub(crate) value: Option<String>,
}

impl EnvFlag {
    /// Reads `NAME[=VALUE]`.
    pub(crate) fn parse(flag: &str) -> Result<EnvFlag, String> {
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(String::from(value))),
            None => (flag, None),
        };
        if name.is_empty() {
            return Err(String::from(
                "the name is empty: the form is NAME=VALUE, or NAME for inn's own value",
            ));
        }
        Ok(EnvFlag { name: String::from(name), value })
    }

    /// Whether it stands for all of inn's own variables that match.
    pub(crate) fn is_pattern(&self) -> bool {
        self.value.is_none() && self.name.contains('*')
    }
}

/// A value of `--tmp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TmpFlag(pub(crate) DirKey);

impl TmpFlag {
    /// Reads `GUEST[::SIZE]`.
    pub(crate) fn parse(value: &str) -> Result<TmpFlag, String> {
        let (guest, bytes) = match value.split_once("::") {
            Some((guest, size)) => (guest, parse_size(size)?),
            None => (value, DirKey::TEMPORARY_BYTES),
        };
        if let Some((front, size)) = guest.rsplit_once(':')
            && parse_size(size).is_ok()
        {
            return Err(format!("two colons stand before the size: --tmp {front}::{size}"));
        }
        if guest.is_empty() {
            return Err(String::from(
                "the guest's path is empty: the form is GUEST[::SIZE], as in /tmp::64MiB",
            ));
        }
        Ok(TmpFlag(DirKey::temporary(guest, bytes)))
    }
}

/// A value of `--features`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FeaturesFlag(pub(crate) Features);

impl FeaturesFlag {
    /// Reads `[-]NAME`, several of them separated by commas.
    pub(crate) fn parse(value: &str) -> Result<FeaturesFlag, String> {
        let mut features = Features::default();
        for word in value.split(',') {
            let (name, is_on) = match word.strip_prefix('-') {
                Some(name) => (name, false),
                None => (word.strip_prefix('+').unwrap_or(word), true),
            };
            if name == "mvp" && is_on {
                features = Features::MVP;
                continue;
            }
            let names = Feature::ALL.iter().map(|feature| feature.name());
            let Some(feature) = Feature::ALL.iter().find(|feature| feature.name() == name) else {
                let near = nearest(name, names.clone()).map(|near| format!("did you mean {near}?"));
                let all: Vec<&str> = names.collect();
                let mend = near.unwrap_or_else(|| format!("there are mvp, {}", all.join(", ")));
                return Err(format!("`{name}` is no part of WebAssembly that can be switched off: {mend}"));
            };
            features = if is_on { features.with(*feature) } else { features.without(*feature) };
        }
        Ok(FeaturesFlag(features))
    }
}

/// Reads a count: a whole number, also in thousands, millions or thousands of millions, as in 10k, 5M or 2G.
pub(crate) fn parse_count<T: TryFrom<u64>>(value: &str) -> Result<T, String> {
    let text = value.trim();
    let (digits, factor) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&text[..at], 1_000),
        Some((at, 'M')) => (&text[..at], 1_000_000),
        Some((at, 'G')) => (&text[..at], 1_000_000_000),
        _ => (text, 1),
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    if !is_number {
        return Err(format!("`{value}` is no count: write a whole number, as in 1000, 10k or 5M"));
    }
    let count = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(factor));
    count
        .and_then(|count| T::try_from(count).ok())
        .ok_or_else(|| format!("`{value}` is larger than any that is counted here"))
}

/// Reads how many there are to be: a count of at least one.
pub(crate) fn parse_positive(value: &str) -> Result<NonZeroUsize, String> {
    NonZeroUsize::new(parse_count(value)?)
        .ok_or_else(|| format!("`{value}` would be nothing: write 1 or more"))
}

/// A value of `--stdin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InputFlag(pub(crate) StdinKey);

impl InputFlag {
    /// Reads `inherit`, `empty`, `closed` or `file:PATH`.
    pub(crate) fn parse(value: OsString) -> Result<InputFlag, String> {
        match (value.as_bytes(), path_after(&value, "file:")) {
            (b"inherit", _) => Ok(StdinKey::Inherit),
            (b"empty", _) => Ok(StdinKey::Empty),
            (b"closed", _) => Ok(StdinKey::Closed),
            (_, Some(path)) if path == Path::new("-") => Err(standard("input")),
            (_, Some(path)) => Ok(StdinKey::File(path)),
            _ => Err(String::from("write inherit, empty, closed or file:PATH")),
        }
        .map(InputFlag)
    }
}

/// What to say to `file:-`.
fn standard(direction: &str) -> String {
    format!("inn's own standard {direction} is `inherit`; a file of that name is written file:./-")
}

/// A value of `--stdout` or `--stderr`.
#[derive(Clone, Debug)]
pub(crate) struct OutputFlag(pub(crate) StdoutKey);

impl OutputFlag {
    /// Reads `inherit`, `discard`, `closed`, `file:PATH` or `append:PATH`.
    pub(crate) fn parse(value: OsString) -> Result<OutputFlag, String> {
        match (value.as_bytes(), path_after(&value, "file:"), path_after(&value, "append:")) {
            (b"inherit", ..) => Ok(StdoutKey::Inherit),
            (b"discard", ..) => Ok(StdoutKey::Discard),
            (b"closed", ..) => Ok(StdoutKey::Closed),
            (_, Some(path), _) | (_, _, Some(path)) if path == Path::new("-") => Err(standard("output")),
            (_, Some(path), _) => Ok(StdoutKey::File { path, mode: FileMode::Truncate }),
            (_, _, Some(path)) => Ok(StdoutKey::File { path, mode: FileMode::Append }),
            _ => Err(String::from("write inherit, discard, closed, file:PATH or append:PATH")),
        }
        .map(OutputFlag)
    }
}

/// A value of `--clocks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClockFlag(pub(crate) Clocks);

impl ClockFlag {
    /// Reads `real`, `fixed[:SECONDS]` or `stepped[:SECONDS]`.
    pub(crate) fn parse(value: &str) -> Result<ClockFlag, String> {
        let (kind, seconds) = match value.split_once(':') {
            Some((kind, seconds)) => {
                (kind, Some(seconds.parse().map_err(|_| format!("`{seconds}` is no number of seconds"))?))
            }
            None => (value, None),
        };
        let Clocks::Stepped { realtime, step } = Clocks::stepped() else {
            return Err(String::from("there are no stepped clocks"));
        };
        let realtime = seconds.map_or(realtime, Duration::from_secs);
        match (kind, seconds) {
            ("real", None) => Ok(ClockFlag(Clocks::Real)),
            ("fixed", _) => Ok(ClockFlag(Clocks::Fixed { realtime })),
            ("stepped", _) => Ok(ClockFlag(Clocks::Stepped { realtime, step })),
            _ => Err(String::from("write real, fixed[:SECONDS] or stepped[:SECONDS]")),
        }
    }
}

/// A value of `--random`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RandomFlag(pub(crate) Random);

impl RandomFlag {
    /// Reads `real` or `seed:NUMBER`.
    pub(crate) fn parse(value: &str) -> Result<RandomFlag, String> {
        let seed = value.strip_prefix("seed:").and_then(|seed| seed.parse().ok());
        match (value, seed) {
            ("real", _) => Ok(RandomFlag(Random::Real)),
            (_, Some(seed)) => Ok(RandomFlag(Random::Seeded(seed))),
            _ => Err(String::from("write real, or seed:NUMBER")),
        }
    }
}

/// A value of `--trace`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TraceFlag {
    Lines(TraceForm),
    Summary,
}

impl TraceFlag {
    /// Reads `text`, `json` or `summary`.
    pub(crate) fn parse(value: &str) -> Result<TraceFlag, String> {
        match value {
            "text" => Ok(TraceFlag::Lines(TraceForm::Text)),
            "json" => Ok(TraceFlag::Lines(TraceForm::Json)),
            "summary" => Ok(TraceFlag::Summary),
            _ => Err(String::from("write text, json or summary; --trace-file FILE says where it goes")),
        }
    }
}

/// Endings of files that are something else than a flame graph, or the stacks beside it.
const NO_GRAPHS: [&str; 15] = [
    "folded", "gif", "gz", "htm", "html", "jpeg", "jpg", "json", "pb", "pdf", "png", "pprof", "txt", "wasm",
    "webp",
];

/// A value of `--profile`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProfileFlag {
    File(OsString),
    Perf,
}

impl ProfileFlag {
    /// Reads `perf` or a path. A word that could be a kind of profile is no path: a file of that name can be written as `./NAME`.
    pub(crate) fn parse(value: OsString) -> Result<ProfileFlag, String> {
        let is_file = || match Path::new(&value).extension().and_then(OsStr::to_str) {
            Some(ending) if NO_GRAPHS.iter().any(|other| ending.eq_ignore_ascii_case(other)) => Err(format!(
                "`{}`: a flame graph is written as SVG, and not as {ending}: name it {}",
                visible(&value.to_string_lossy()),
                visible(&Path::new(&value).with_extension("svg").to_string_lossy())
            )),
            _ => Ok(ProfileFlag::File(value.clone())),
        };
        match value.to_str() {
            Some("perf") => Ok(ProfileFlag::Perf),
            Some(word) if word.contains('/') => is_file(),
            Some(word) => match elsewhere::profile(word) {
                Some(answer) => Err(format!("`{}` is another host's: {answer}", visible(word))),
                None if !word.is_empty() && !word.contains('.') => Err(format!(
                    "`{0}` is no kind of profile; a flame graph goes to a file such as {0}.svg, or ./{0}",
                    visible(word)
                )),
                None => is_file(),
            },
            None => is_file(),
        }
    }
}

/// A value of `--cow-changes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChangesFlag {
    List,
    Tar(PathBuf),
    Apply,
}

impl ChangesFlag {
    /// Reads `list`, `tar=FILE` or `apply`.
    pub(crate) fn parse(value: OsString) -> Result<ChangesFlag, String> {
        match (value.as_bytes(), path_after(&value, "tar=")) {
            (b"list", _) => Ok(ChangesFlag::List),
            (b"apply", _) => Ok(ChangesFlag::Apply),
            (_, Some(path)) => Ok(ChangesFlag::Tar(path)),
            _ => Err(String::from("write list, tar=FILE or apply")),
        }
    }
}

/// The path after a prefix, if there is one.
fn path_after(value: &OsStr, prefix: &str) -> Option<PathBuf> {
    let path = value.as_bytes().strip_prefix(prefix.as_bytes()).filter(|path| !path.is_empty())?;
    Some(PathBuf::from(OsStr::from_bytes(path)))
}

fn access(word: &OsStr) -> Option<Access> {
    [Access::ReadOnly, Access::ReadWrite, Access::CopyOnWrite]
        .into_iter()
        .find(|access| access.flag_word() == word)
}

/// Words that are so close to an access that taking one for a guest path would grant more than was meant.
fn is_like_access(word: &OsStr) -> bool {
    ["ro", "rw", "cow", "r", "w", "readonly", "read-only", "unsafe"]
        .iter()
        .any(|close| word.eq_ignore_ascii_case(close))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(value: &str) -> Result<(String, String, Access), String> {
        DirFlag::parse_dir(value.into())
            .map(|DirFlag(key)| (key.host.display().to_string(), key.guest, key.access))
    }

    #[test]
    fn a_directory_has_up_to_three_parts() {
        let key = |host: &str, guest: &str, access| Ok((host.to_owned(), guest.to_owned(), access));
        assert_eq!(dir("."), key(".", ".", Access::ReadWrite));
        assert_eq!(dir("a/b::ro"), key("a/b", "a/b", Access::ReadOnly));
        assert_eq!(dir("a::/b"), key("a", "/b", Access::ReadWrite));
        assert_eq!(dir("a::/b::rw"), key("a", "/b", Access::ReadWrite));
        assert_eq!(dir("a::cow"), key("a", "a", Access::CopyOnWrite));
        assert_eq!(dir("a::ro::rw"), key("a", "ro", Access::ReadWrite));
        assert_eq!(dir("a:b"), key("a:b", "a:b", Access::ReadWrite));
    }

    #[test]
    fn the_kernels_files_are_granted_by_a_word_of_their_own() {
        let kernel_files =
            |value: &str| DirFlag::parse_dir(value.into()).map(|DirFlag(key)| key.kernel_files);
        for value in ["/proc::unsafe", "/proc::/p::unsafe", "/proc::ro::unsafe", "/proc::/p::ro::unsafe"] {
            assert_eq!(kernel_files(value), Ok(KernelFiles::Granted), "{value}");
        }
        assert_eq!(dir("/proc::/p::ro::unsafe"), Ok(("/proc".into(), "/p".into(), Access::ReadOnly)));
        for value in ["/proc", "/proc::/p::ro", "unsafe"] {
            assert_eq!(kernel_files(value), Ok(KernelFiles::Refused), "{value}");
        }
        for value in ["::unsafe", "/proc::Unsafe", "/proc::unsafe::unsafe", "/proc::/p::unsafe::ro"] {
            assert!(DirFlag::parse_dir(value.into()).is_err(), "{value}");
        }
    }

    #[test]
    fn what_could_grant_more_than_was_meant_is_refused() {
        for value in
            ["", "::/b", "a::", "a::/b::", "a::/b::RO", "a::RO", "a::COW", "a::/b::Cow", "a::/b::ro::x"]
        {
            assert!(dir(value).is_err(), "{value}");
        }
        for value in ["", "a", "::b", "a::", "a::b::ro"] {
            assert!(DirFlag::parse_mapdir(value.into()).is_err(), "{value}");
        }
    }

    #[test]
    fn a_variable_has_a_name() {
        let variable = |name: &str, value: Option<&str>| {
            Ok(EnvFlag { name: name.into(), value: value.map(String::from) })
        };
        assert_eq!(EnvFlag::parse("A=b=c"), variable("A", Some("b=c")));
        assert_eq!(EnvFlag::parse("A="), variable("A", Some("")));
        assert_eq!(EnvFlag::parse("A"), variable("A", None));
        assert!(EnvFlag::parse("=b").is_err());
        assert!(EnvFlag::parse("").is_err());
    }

    #[test]
    fn a_directory_in_memory_has_a_size() {
        let flag = |guest: &str, bytes| Ok(TmpFlag(DirKey::temporary(guest, bytes)));
        assert_eq!(TmpFlag::parse("/tmp"), flag("/tmp", 64 << 20));
        assert_eq!(TmpFlag::parse("/tmp::1k"), flag("/tmp", 1024));
        for value in ["", "::1k", "/tmp::", "/tmp::x", "/tmp::1k::x"] {
            assert!(TmpFlag::parse(value).is_err(), "{value}");
        }
    }

    #[test]
    fn counts_are_as_people_write_them() {
        for (value, count) in
            [("0", 0), ("17", 17), ("10k", 10_000), ("5M", 5_000_000), ("2G", 2_000_000_000)]
        {
            assert_eq!(parse_count::<u32>(value), Ok(count), "{value}");
        }
        for value in ["", "k", "-1", "1.5k", "x", "0x10", "5G", "99999999999999999999", "1 0"] {
            assert!(parse_count::<u32>(value).is_err(), "{value}");
        }
    }

    #[test]
    fn words_with_a_value_need_it() {
        assert_eq!(InputFlag::parse("file:x".into()).map(|it| it.0), Ok(StdinKey::File("x".into())));
        for value in ["", "file", "file:", "discard", "Inherit"] {
            assert!(InputFlag::parse(value.into()).is_err(), "{value}");
        }
        for value in ["", "empty", "append:", "tee:x"] {
            assert!(OutputFlag::parse(value.into()).is_err(), "{value}");
        }
        for value in ["seed", "seed:", "seed:x", "urandom"] {
            assert!(RandomFlag::parse(value).is_err(), "{value}");
        }
        for value in ["fixed:", "stepped:x", "real:1", "now"] {
            assert!(ClockFlag::parse(value).is_err(), "{value}");
        }
        for value in ["tar", "tar=", "commit", ""] {
            assert!(ChangesFlag::parse(value.into()).is_err(), "{value}");
        }
    }
}
