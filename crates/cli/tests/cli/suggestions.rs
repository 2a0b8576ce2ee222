//! What is suggested after a denial, typed: the same access must succeed then.
//!
//! Every combination of a way to write a path, of what is there, of keys that are granted before and of what is done is tried with a program whose library chooses
//! directories by name, as those of C and Rust do. Each suggestion is added to the command line by a shell (or put in the place of the flag that it replaces), until
//! the access succeeds, or the host has nothing more to refuse.

use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};

use crate::{guest, scratch};

/// A tree around `top/cwd`, where `inn` is started.
fn tree() -> tempfile::TempDir {
    let dir = scratch();
    let top = dir.path();
    for directory in [
        "cwd/data",
        "cwd/data/sub",
        "cwd/a b",
        "cwd/x::y",
        "cwd/-d",
        "cwd/empty",
        "beside",
        "beside/deep",
        "other",
    ] {
        fs::create_dir_all(top.join(directory)).unwrap();
        fs::write(top.join(directory).join("file"), "text").unwrap();
    }
    let odd = std::ffi::OsString::from_vec(b"odd\xff".to_vec());
    fs::create_dir(top.join("other").join(&odd)).unwrap();
    fs::write(top.join("other").join(&odd).join("file"), "text").unwrap();
    fs::write(top.join("cwd/file"), "text").unwrap();
    fs::write(top.join("file"), "text").unwrap();
    symlink("../../beside/file", top.join("cwd/data/out")).unwrap();
    symlink("data", top.join("cwd/link")).unwrap();
    dir
}

fn run(cwd: &Path, flags: &[String], guest_args: &[&str]) -> Output {
    let name = guest(guest_args[0]);
    let quoted: Vec<String> = guest_args[1..].iter().map(|arg| format!("'{arg}'")).collect();
    let command = format!(r#"exec "$INN" --cache off {} "$GUEST" {}"#, flags.join(" "), quoted.join(" "));
    Command::new("bash")
        .args(["-c", &command])
        .current_dir(cwd)
        .env("INN", env!("CARGO_BIN_EXE_inn"))
        .env("GUEST", name)
        .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
        .env("XDG_STATE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/state"))
        .output()
        .unwrap()
}

/// How a chain of suggestions ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The access succeeded.
    Done,
    /// It was never denied, or is not any more: what is wanted is not there.
    NotThere,
    /// It is said that no key changes it, or that a directory has to be chosen.
    Told,
}

/// Types what is suggested until the access succeeds.
fn follow(cwd: &Path, granted: &[&str], guest_args: &[&str]) -> End {
    let mut flags: Vec<String> = granted.iter().map(|flag| (*flag).to_owned()).collect();
    let mut seen: Vec<String> = Vec::new();
    loop {
        let ran = run(cwd, &flags, guest_args);
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        let what = format!("{guest_args:?} beside {flags:?}: {said}");
        // Outside of the working directory nobody has looked whether it is there, and that is said.
        let is_known = seen.last().is_none_or(|line| {
            !line.contains("if the host has that directory, ")
                && !line.contains("if this machine's is meant, ")
        });
        if !is_known && said.contains("there is no such directory on this machine") {
            return End::NotThere;
        }
        assert!(ran.status.code() != Some(2), "a suggestion is refused: {what}");
        if ran.status.success() {
            return End::Done;
        }
        let denials: Vec<&str> = said.lines().filter(|line| line.starts_with("denied: ")).collect();
        let Some(line) = denials.first() else { return End::NotThere };
        if let Some((_, name)) = line.split_once(", where the guest finds it by the name ") {
            let name = name.strip_suffix(" only").expect(&what).trim_matches('"');
            let again = run(cwd, &flags, &[guest_args[0], name]);
            let said = String::from_utf8_lossy(&again.stderr).into_owned();
            assert!(!said.contains("denied: "), "{name} is not found either: {said}; {what}");
            return if again.status.success() { End::Done } else { End::NotThere };
        }
        let Some((_, mend)) = line.rsplit_once("grant it with ") else { return End::Told };
        if mend.starts_with("--dir HOST::") {
            return End::Told;
        }
        assert!(!seen.iter().any(|known| known == line), "it goes round in a circle: {what}");
        seen.push((*line).to_owned());
        match mend.strip_suffix(" instead") {
            Some(flag) => {
                // It takes the place of the flag of the same name.
                let name = flag.rsplit("::").nth(1).unwrap_or_default().to_owned();
                let is_replaced = |known: &String| {
                    let parts: Vec<&str> = known.trim_start_matches("--dir ").split("::").collect();
                    let named = if ["ro", "rw", "cow"].contains(parts.last().unwrap()) {
                        parts.len() - 2
                    } else {
                        parts.len() - 1
                    };
                    parts[named].trim_matches('\'') == name.trim_matches('\'')
                };
                let before = flags.len();
                flags.retain(|known| !is_replaced(known));
                assert_eq!(flags.len() + 1, before, "nothing is replaced by {flag}: {what}");
                flags.push(flag.to_owned());
            }
            None => flags.push(mend.to_owned()),
        }
        assert!(flags.len() < 6, "{what}");
    }
}

/// Keys that are granted before.
const GRANTED: &[&[&str]] = &[
    &[],
    &["--dir ."],
    &["--dir .::ro"],
    &["--dir .::/"],
    &["--dir .::/work"],
    &["--dir data"],
    &["--dir data::/d::ro"],
    &["--dir data::/x", "--dir data/sub::/x/y::ro"],
    &["--dir ../other::/o", "--dir .::cow"],
    &["--tmp /t"],
];

#[test]
fn whatever_is_suggested_makes_the_same_access_succeed() {
    let dir = tree();
    let cwd = dir.path().join("cwd");
    let absolute = dir.path().display().to_string();
    let paths: Vec<(String, bool)> = [
        ("file", true),
        ("./file", true),
        ("data/file", true),
        ("./data/./file", true),
        ("data//sub/file", true),
        ("data/../file", true),
        ("data/sub/../../a b/file", true),
        ("a b/file", true),
        ("-d/file", true),
        ("x::y/file", false),
        ("link/file", true),
        ("data/out", false),
        ("../beside/file", true),
        ("../beside/deep/../file", true),
        ("data/../../beside/file", true),
        ("../file", true),
        ("./../beside/file", false),
        ("../../nowhere/file", false),
        ("missing/file", false),
        ("{top}/beside/file", true),
        ("{top}/cwd/../beside/file", true),
        ("{top}/cwd/data/sub/file", true),
        ("/work/../beside/file", false),
        ("/work/../work/data/../../beside/file", false),
        ("/d/../file", false),
        ("/x/y/../file", false),
        ("/x/y/../../file", false),
        ("/t/../file", false),
        ("/etc/../etc/hostname", false),
    ]
    .map(|(path, is_there)| (path.replace("{top}", &absolute), is_there))
    .into();
    let mut ends = [0; 3];
    for (i, granted) in GRANTED.iter().enumerate() {
        for (j, (path, is_there)) in paths.iter().enumerate() {
            // Each path meets each way of access, and so does each key; each of all three would take long.
            let end = match (i + j) % 3 {
                0 => follow(&cwd, granted, &["cat", path]),
                1 => follow(&cwd, granted, &["hello-c", &path.replace("file", "new")]),
                _ => follow(
                    &cwd,
                    granted,
                    &["ls", path.rsplit_once('/').map_or(".", |(directory, _)| directory)],
                ),
            };
            // What is there under its own name can be had, where no directory is granted in which it is looked up instead.
            let is_plain = !granted.iter().any(|flag| flag.starts_with("--dir"));
            assert!(!(is_plain && *is_there) || end == End::Done, "{path} beside {granted:?}: {end:?}");
            ends[end as usize] += 1;
        }
    }
    assert!(ends[End::Done as usize] > 170, "{ends:?}");
    let odd = ["--dir $'../other/odd\\377'::/o::ro"];
    assert_eq!(follow(&cwd, &odd, &["hello-c", "/o/new"]), End::Done);
}

#[test]
fn an_absolute_path_that_is_looked_up_in_the_current_directory_is_told_of() {
    let dir = tree();
    let cwd = dir.path().join("cwd");
    let path = dir.path().canonicalize().unwrap().join("beside/file").display().to_string();
    let flags = vec![String::from("--dir .")];
    let ran = run(&cwd, &flags, &["cat", &path]);
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    let (_, flag) = said.trim_end().split_once("; if this machine's is meant, grant it with ").expect(&said);
    let ran = run(&cwd, &[flags[0].clone(), flag.to_owned()], &["cat", &path]);
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "text", "{said}");
    // Nothing is said of what is on neither side.
    let ran = run(&cwd, &flags, &["cat", "/nowhere/at/all"]);
    assert_eq!(String::from_utf8_lossy(&ran.stderr).lines().count(), 1, "{ran:?}");
}
