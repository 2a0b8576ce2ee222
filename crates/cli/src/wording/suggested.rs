//! A key as the flag or the lines of a policy that grant it.
//!
//! Must stay true: what is suggested grants exactly that key when it is typed into a shell, or written into a policy, whatever bytes are in its paths; where no flag can say
//! it, none is suggested.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use innkeeper::wasi::host::Transport;
use innkeeper::wasi::keys::{DirKey, HttpKey, KernelFiles, NetAction, NetKey};

use crate::report::visible;
use crate::values::DirFlag;

/// How a key is granted, by the flag where one can say it.
pub(super) fn grant_with(key: &DirKey, instead: &str) -> String {
    match dir_flag(key) {
        Some(flag) => format!("grant it with {flag}{instead}"),
        None => {
            let word = key.access.flag_word();
            let is_granted = key.kernel_files == KernelFiles::Granted;
            let kernel_files = if is_granted { ", unsafe = true" } else { "" };
            format!(
                "no flag can say it, as its path has `::` in it, but a policy can: [[directory]] host = {}, guest = {}, access = {word:?}{kernel_files}",
                toml_string(&key.host.to_string_lossy()),
                toml_string(&key.guest)
            )
        }
    }
}

/// How a key to the network is granted.
pub(super) fn grant_network_with(key: &NetKey) -> String {
    let flag = net_flag(key);
    match key.action {
        NetAction::Resolve => format!(
            "grant it with {flag}, or with --net connect:{}:PORT, which lets the guest connect there, too",
            key.host
        ),
        _ => format!("grant it with {flag}"),
    }
}

/// How a key to send requests is granted.
pub(super) fn grant_http_with(key: &HttpKey) -> String {
    format!("grant it with --http {}", quoted(OsStr::new(&key.to_string())))
}

/// How a key is granted for which a socket could be used.
pub(super) fn grant_socket_with(transport: Transport) -> String {
    let forms = match transport {
        Transport::Tcp => "--net connect:HOST:PORT, or --net listen:ADDRESS:PORT",
        Transport::Udp => "--net udp:HOST:PORT, or --net udp-bind:ADDRESS:PORT",
    };
    format!("grant one with {forms}")
}

/// The flag that grants a key to the network, as it is typed into a shell.
fn net_flag(key: &NetKey) -> String {
    format!("--net {}", quoted(OsStr::new(&key.to_string())))
}

/// A text as TOML has it, on one line, with what does not show escaped.
fn toml_string(text: &str) -> String {
    let mut written = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => written.extend(['\\', character]),
            _ if visible(character.encode_utf8(&mut [0; 4])).chars().count() == 1 => written.push(character),
            _ => written.push_str(&format!("\\U{:08X}", u32::from(character))),
        }
    }
    written + "\""
}

/// The flag that grants a key, as it is typed into a shell; nothing where it would be read as another.
pub(crate) fn dir_flag(key: &DirKey) -> Option<String> {
    let host = match key.host.as_os_str().as_bytes().first() {
        // It would be taken for a flag.
        Some(b'-') => Path::new(".").join(&key.host),
        _ => key.host.clone(),
    };
    let mut value = OsString::from(&host);
    value.push(format!("::{}::{}", key.guest, key.access.flag_word()));
    if key.kernel_files == KernelFiles::Granted {
        value.push("::unsafe");
    }
    let same = DirKey::new(host, &key.guest, key.access).with_kernel_files(key.kernel_files);
    let is_same = DirFlag::parse_dir(value.clone()).is_ok_and(|DirFlag(read)| read == same);
    is_same.then(|| format!("--dir {}", quoted(&value)))
}

/// A word as a shell reads it back.
fn quoted(word: &OsStr) -> String {
    // Bash expands `~` behind `=`, too; and what is a letter depends on the locale.
    let is_plain = |text: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|character| character.is_ascii_alphanumeric() || "/._-:,@%+".contains(character))
    };
    match word.to_str() {
        Some(text) if is_plain(text) => text.to_owned(),
        Some(text) if visible(text) == text => format!("'{}'", text.replace('\'', r"'\''")),
        _ => {
            let mut text = String::from("$'");
            for chunk in word.as_bytes().utf8_chunks() {
                for character in chunk.valid().chars() {
                    match character {
                        '\'' | '\\' => text.extend(['\\', character]),
                        _ if visible(character.encode_utf8(&mut [0; 4])).chars().count() == 1 => {
                            text.push(character)
                        }
                        _ => escape(&mut text, character.encode_utf8(&mut [0; 4]).as_bytes()),
                    }
                }
                escape(&mut text, chunk.invalid());
            }
            text + "'"
        }
    }
}

/// Adds bytes as `$'...'` has them.
fn escape(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.push_str(&format!(r"\{byte:03o}"));
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;
    use std::path::PathBuf;

    use innkeeper::wasi::keys::Access;

    use super::*;

    #[test]
    fn a_suggested_flag_is_read_back_by_a_shell_as_the_key() {
        let hosts: [&[u8]; 16] = [
            b"a=~/x",
            b"a:~/x",
            b"{a,b}",
            b"=ls",
            b".",
            b"a b",
            b"it's",
            b"-x",
            b"~x",
            b"$HOME",
            b"caf\xe9",
            b"a\nb",
            b"\xe2\x80\xaeb",
            b"a\\b",
            "\u{e9}".as_bytes(),
            b"a:b",
        ];
        for host in hosts {
            for guest in [".", "/g", "../g", "a b", "ro"] {
                for access in [Access::ReadOnly, Access::ReadWrite, Access::CopyOnWrite] {
                    let host = PathBuf::from(OsString::from_vec(host.to_vec()));
                    let key = DirKey::new(&host, guest, access).with_kernel_files(KernelFiles::Granted);
                    let flag = dir_flag(&key).unwrap_or_else(|| panic!("{key:?}"));
                    let ran = std::process::Command::new("bash")
                        .args(["-c", &format!("printf %s {}", flag.trim_start_matches("--dir "))])
                        .output()
                        .unwrap();
                    let DirFlag(read) = DirFlag::parse_dir(OsString::from_vec(ran.stdout)).unwrap();
                    let plain = |host: &Path| host.strip_prefix("./").unwrap_or(host).to_owned();
                    assert_eq!(plain(&read.host), plain(&host), "{flag}");
                    assert_eq!(
                        (read.guest, read.access, read.kernel_files),
                        (key.guest, access, KernelFiles::Granted),
                        "{flag}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_a_policy_is_to_say_is_read_back_as_the_key() {
        for text in ["a::b", "a::\u{202e}b", "a::\"\\", "a::\0\u{1b}\u{e0041}", "a::\u{e9}"] {
            let suggested = grant_with(&DirKey::new(text, "/g::h", Access::ReadOnly), "");
            let (_, fields) = suggested.split_once("[[directory]] ").expect("a table");
            let policy = format!("[[directory]]\n{}", fields.replace(", ", "\n"));
            let read = innkeeper::wasi::keys::Policy::parse(&policy).expect("a policy");
            assert_eq!(
                (read.directories[0].host.as_path(), read.directories[0].guest.as_deref()),
                (Path::new(text), Some("/g::h"))
            );
            assert_eq!(visible(&suggested), suggested);
        }
    }

    #[test]
    fn a_suggested_network_key_is_read_back_by_a_shell_as_the_key() {
        for text in [
            "connect:192.0.2.1:80",
            "connect:[2001:db8::1]:443",
            "udp:example.com:53",
            "resolve:*.example.com",
            "listen:*:0",
        ] {
            let key: NetKey = text.parse().unwrap();
            let flag = net_flag(&key);
            let word = flag.strip_prefix("--net ").unwrap();
            let ran = std::process::Command::new("bash")
                .args(["-c", &format!("printf %s {word}")])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(ran.stdout).unwrap().parse(), Ok(key), "{flag}");
        }
    }

    #[test]
    fn a_suggested_http_key_is_read_back_by_a_shell_as_the_key() {
        for text in [
            "GET:https://example.com/a;b=$(c)'d'&e~",
            "*:http://[2001:db8::1]:81/*",
            "M-SEARCH:http://*.example.com:*/a%20b/*",
        ] {
            let key: HttpKey = text.parse().unwrap();
            let suggested = grant_http_with(&key);
            let word = suggested.strip_prefix("grant it with --http ").unwrap();
            let ran = std::process::Command::new("bash")
                .args(["-c", &format!("printf %s {word}")])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(ran.stdout).unwrap().parse(), Ok(key), "{suggested}");
        }
    }

    #[test]
    fn what_no_flag_can_say_is_not_suggested_as_one() {
        for (host, guest) in [("a::b", "/g"), ("a", "/g::h"), ("a:", "/g"), ("a", "g:"), ("a", "/g::ro")] {
            let key = DirKey::new(host, guest, Access::ReadOnly);
            assert_eq!(dir_flag(&key), None, "{host} {guest}");
            assert!(grant_with(&key, "").contains("[[directory]]"), "{host} {guest}");
        }
    }
}
