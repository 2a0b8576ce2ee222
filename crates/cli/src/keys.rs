//! From flags to [`Keys`]: what `--dir`, `--mapdir`, `--env` and the guest's arguments mean.
//!
//! Nothing is granted that no flag names, apart from the standard streams. Whether a directory exists is found out when the keys are
//! opened, not here.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use innkeeper::wasi::keys::{Access, DirKey, Keys, LockedRoot};

use crate::args::RunArgs;
use crate::report::Problem;

/// A value of `--dir` or `--mapdir`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DirFlag(DirKey);

impl DirFlag {
    /// Reads `HOST[::GUEST][::ro|rw]`.
    pub(crate) fn parse_dir(value: &str) -> Result<DirFlag, String> {
        match *value.split("::").collect::<Vec<_>>() {
            [host] => DirFlag::new(host, host, Access::ReadWrite),
            [host, last] => match access(last) {
                Some(access) => DirFlag::new(host, host, access),
                None if is_like_access(last) => Err(format!(
                    "`{last}` is not an access: write `ro` or `rw`; a guest path of that name needs both, {host}::{last}::rw"
                )),
                None => DirFlag::new(host, last, Access::ReadWrite),
            },
            [host, guest, last] => {
                let access =
                    access(last).ok_or_else(|| format!("`{last}` is not an access: write `ro` or `rw`"))?;
                DirFlag::new(host, guest, access)
            }
            _ => Err(String::from("too many `::`: the form is HOST[::GUEST][::ro|rw]")),
        }
    }

    /// Reads `GUEST::HOST`.
    pub(crate) fn parse_mapdir(value: &str) -> Result<DirFlag, String> {
        match *value.split("::").collect::<Vec<_>>() {
            [guest, host] => DirFlag::new(host, guest, Access::ReadWrite),
            _ => Err(String::from("the form is GUEST::HOST; for a read-only key use --dir HOST::GUEST::ro")),
        }
    }

    fn new(host: &str, guest: &str, access: Access) -> Result<DirFlag, String> {
        if host.is_empty() || guest.is_empty() {
            return Err(String::from("neither path may be empty; the current directory is `.`"));
        }
        Ok(DirFlag(DirKey::new(host, guest, access)))
    }
}

/// A value of `--env`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EnvFlag {
    name: String,
    /// Absent where inn's own value is meant.
    value: Option<String>,
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

    fn value(&self) -> Result<String, Problem> {
        if let Some(value) = &self.value {
            return Ok(value.clone());
        }
        let name = &self.name;
        let thing = format!("--env {name}");
        match std::env::var(name) {
            Ok(value) => Ok(value),
            Err(std::env::VarError::NotPresent) => {
                Err(Problem::new(thing, "the variable is not set, so it cannot be passed on")
                    .help(format!("give it a value, --env {name}=VALUE, or leave the flag out")))
            }
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(Problem::new(thing, "its value is not UTF-8, which WASI wants")
                    .help(format!("give it another value, --env {name}=VALUE")))
            }
        }
    }
}

/// The keys that a command line grants.
pub(crate) fn keys(args: &RunArgs) -> Result<Keys, Problem> {
    let mut keys = Keys::builder().inherit_stdio().argument(guest_name(args)?);
    for argument in args.guest_args() {
        keys = keys.argument(utf8(argument, "an argument of the guest")?);
    }
    for variable in &args.variables {
        keys = keys.variable(&*variable.name, variable.value()?);
    }
    let directories = || args.dirs.iter().chain(&args.mapdirs);
    for DirFlag(key) in directories() {
        keys = keys.directory(key.clone());
    }
    Ok(keys.locked_root(LockedRoot::Present).build())
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

fn access(word: &str) -> Option<Access> {
    [Access::ReadOnly, Access::ReadWrite].into_iter().find(|access| access.flag_word() == word)
}

/// Words that are so close to an access that taking one for a guest path would grant more than was meant.
fn is_like_access(word: &str) -> bool {
    ["ro", "rw", "cow", "r", "w", "readonly", "read-only"]
        .iter()
        .any(|close| word.eq_ignore_ascii_case(close))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(value: &str) -> Result<(String, String, Access), String> {
        DirFlag::parse_dir(value).map(|DirFlag(key)| (key.host.display().to_string(), key.guest, key.access))
    }

    #[test]
    fn a_directory_has_up_to_three_parts() {
        let key = |host: &str, guest: &str, access| Ok((host.to_owned(), guest.to_owned(), access));
        assert_eq!(dir("."), key(".", ".", Access::ReadWrite));
        assert_eq!(dir("a/b::ro"), key("a/b", "a/b", Access::ReadOnly));
        assert_eq!(dir("a::/b"), key("a", "/b", Access::ReadWrite));
        assert_eq!(dir("a::/b::rw"), key("a", "/b", Access::ReadWrite));
        assert_eq!(dir("a::ro::rw"), key("a", "ro", Access::ReadWrite));
        assert_eq!(dir("a:b"), key("a:b", "a:b", Access::ReadWrite));
    }

    #[test]
    fn what_could_grant_more_than_was_meant_is_refused() {
        for value in
            ["", "::/b", "a::", "a::/b::", "a::/b::RO", "a::RO", "a::cow", "a::/b::cow", "a::/b::ro::x"]
        {
            assert!(dir(value).is_err(), "{value}");
        }
        for value in ["", "a", "::b", "a::", "a::b::ro"] {
            assert!(DirFlag::parse_mapdir(value).is_err(), "{value}");
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
}
