//! Directories as flags grant them: `--dir`, `--mapdir`, `--tmp`.
//!
//! Must stay true: a value that could be read in two ways is refused where one of them grants more.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use innkeeper::wasi::keys::{Access, DirKey, KernelFiles, parse_size};

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
    fn a_directory_in_memory_has_a_size() {
        let flag = |guest: &str, bytes| Ok(TmpFlag(DirKey::temporary(guest, bytes)));
        assert_eq!(TmpFlag::parse("/tmp"), flag("/tmp", 64 << 20));
        assert_eq!(TmpFlag::parse("/tmp::1k"), flag("/tmp", 1024));
        for value in ["", "::1k", "/tmp::", "/tmp::x", "/tmp::1k::x"] {
            assert!(TmpFlag::parse(value).is_err(), "{value}");
        }
    }
}
