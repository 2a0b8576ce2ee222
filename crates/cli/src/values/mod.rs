//! Values of flags, read and checked as text: whether a directory exists is found out when the keys are opened, not here.
//!
//! Must stay true: a path of the host is any bytes, whatever stands around it in a value. What the guest reads is UTF-8.

mod count;
mod determined;
mod directory;
mod observed;
mod stream;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use innkeeper::{Feature, Features};

use crate::nearest::nearest;

pub(crate) use count::{parse_count, parse_positive};
pub(crate) use determined::{ClockFlag, RandomFlag};
pub(crate) use directory::{ACCESSES, DirFlag, TmpFlag};
pub(crate) use observed::{ProfileFlag, TraceFlag};
pub(crate) use stream::{InputFlag, OutputFlag};

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

#[cfg(test)]
mod tests {
    use innkeeper::wasi::keys::StdinKey;

    use super::*;

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
