//! The home directories of this user: the one that the environment names, and the one that the system has for him.
//!
//! What is kept in a home directory is to be hidden from guests in whichever environment they are run.

use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// The system's users, one a line: name, password, number, group, remark, home directory, shell.
const USERS: &str = "/etc/passwd";
/// So much of it is read.
const MAX_USERS_BYTES: u64 = 1 << 20;

/// Absolute paths of them, each once. A user whom only a service on the network knows has none but the environment's. Where programs are run in containers, one
/// often is the root.
pub(crate) fn homes() -> Vec<PathBuf> {
    let named = std::env::var_os("HOME").map(PathBuf::from);
    let mut text = Vec::new();
    let read = File::open(USERS).and_then(|file| file.take(MAX_USERS_BYTES).read_to_end(&mut text));
    let known = read.ok().and_then(|_| home_of(rustix::process::geteuid().as_raw(), &text));
    homes_of(named, known)
}

fn homes_of(named: Option<PathBuf>, known: Option<PathBuf>) -> Vec<PathBuf> {
    let mut homes: Vec<PathBuf> = named.into_iter().chain(known).filter(|home| home.is_absolute()).collect();
    homes.dedup();
    homes
}

fn home_of(user: u32, users: &[u8]) -> Option<PathBuf> {
    let user = user.to_string();
    users.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        let home = fields.nth(2).filter(|number| *number == user.as_bytes()).and_then(|_| fields.nth(2))?;
        Some(PathBuf::from(std::ffi::OsString::from_vec(home.to_vec())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_home_is_found_by_his_number() {
        let users =
            b"root:x:0:0:root:/root:/bin/sh\nodd\n\na:x:10:0::/home/a:/bin/sh\nb:x:1:0::/home/b:\nc:x:2\n";
        assert_eq!(home_of(0, users), Some("/root".into()));
        assert_eq!(home_of(1, users), Some("/home/b".into()));
        assert_eq!(home_of(10, users), Some("/home/a".into()));
        assert_eq!((home_of(2, users), home_of(3, users)), (None, None));
    }

    #[test]
    fn y4_a_home_in_the_root_is_one_as_any() {
        let of = |named: &str, known: &str| homes_of(Some(named.into()), Some(known.into()));
        assert_eq!(of("/", "/home/a"), [PathBuf::from("/"), "/home/a".into()]);
        assert_eq!(of("/home/a", "/"), [PathBuf::from("/home/a"), "/".into()]);
        assert_eq!(of("/", "/"), [PathBuf::from("/")]);
        assert_eq!(of("a", "/home/a"), [PathBuf::from("/home/a")]);
    }
}
