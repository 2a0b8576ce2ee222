//! Descriptors that whoever starts `inn` hands over: what they lead to is compared with the cache, its key, and whatever else the run reads and writes.
//!
//! Flags that name a file to write are those of the tests of planted links, where a new one has to be put into the list.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::planted::{ALONE, PRECIOUS, WRITES, contents, folder, replace_all};

const KEY: &str = "state/innkeeper/cache-key/key";
const CODE: &str = "cache/innkeeper/code";
const REASON: &str = "the code cache or its key is kept there, which no guest may reach";

/// Runs `inn` with what a shell opens for it, where `state` and `cache` have the key and the cache.
fn inn_with(dir: &Path, args: &[&str], redirections: &str) -> Output {
    let script = format!("exec \"$0\" \"$@\" {redirections}");
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_inn")]).args(args).current_dir(dir);
    command.env("XDG_CACHE_HOME", dir.join("cache")).env("XDG_STATE_HOME", dir.join("state"));
    command.output().expect("a shell runs")
}

/// A folder in which the key and a file of the cache are, and the key by another name.
fn folder_with_key() -> tempfile::TempDir {
    let dir = folder();
    for file in [KEY, CODE] {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, PRECIOUS).unwrap();
    }
    fs::hard_link(dir.path().join(KEY), dir.path().join("same")).unwrap();
    dir
}

#[track_caller]
fn is_untouched(dir: &Path, case: &str) {
    for file in [KEY, CODE] {
        assert_eq!(fs::read_to_string(dir.join(file)).unwrap(), PRECIOUS, "{case}: {file}");
    }
    assert_eq!(contents(dir.join(KEY).parent().unwrap()).len(), 1, "{case}");
}

#[track_caller]
fn is_refused(ran: &Output, reason: &str, case: &str) {
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stderr), String::from_utf8_lossy(&ran.stdout));
    assert_eq!(ran.status.code(), Some(2), "{case}: {ran:?}");
    assert!(said.contains(reason) && said.contains("help: "), "{case}: {said}");
}

#[test]
fn y4_no_output_goes_by_a_descriptor_to_the_cache_or_its_key() {
    for (flag, args) in WRITES {
        for (descriptor, redirection) in [
            ("/dev/fd/3", format!("3<>{KEY}")),
            ("/proc/self/fd/3", format!("3>>{KEY}")),
            ("/dev/fd/3", format!("3<>{CODE}")),
            ("/dev/fd/3", String::from("3<>same")),
            ("/dev/stdout", format!("1<>{KEY}")),
            ("/dev/stderr", format!("2>>{CODE}")),
        ] {
            let dir = folder_with_key();
            let case = format!("{args:?} {redirection}");
            let all = replace_all(dir.path(), &[], args, descriptor);
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            let ran = inn_with(dir.path(), &all, &redirection);
            // The stacks beside a graph have no descriptor, so that neither is written.
            if *flag == "profile" {
                assert!(!ran.status.success(), "{case}: {ran:?}");
            } else {
                is_refused(&ran, REASON, &case);
            }
            is_untouched(dir.path(), &case);
        }
    }
}

#[test]
fn y4_no_standard_stream_that_is_handed_over_is_of_the_cache_or_its_key() {
    let run: &[&str] = &["m.wat"];
    let commands = [run, &["policy", "learn", "--to", "p.toml", "m.wat"], &["--stdout", "file:out", "m.wat"]];
    for file in [KEY, CODE, "same"] {
        for redirection in ["<", ">>", "1<>", "2>>", "2<>"].map(|how| format!("{how}{file}")) {
            for args in commands {
                let dir = folder_with_key();
                let case = format!("{args:?} {redirection}");
                is_refused(&inn_with(dir.path(), args, &redirection), REASON, &case);
                is_untouched(dir.path(), &case);
            }
        }
        // Where nobody may be told, nobody is.
        let dir = folder_with_key();
        let ran = inn_with(dir.path(), run, &format!(">>{file} 2>&1"));
        assert_eq!(ran.status.code(), Some(2), "{ran:?}");
        is_untouched(dir.path(), file);
        // What other commands print or write is nothing of theirs, either.
        for args in [
            &["compile", "m.wat", "-o", "-"][..],
            &["explore", "m.wat", "--to", "-"],
            &["compose", "app.wat", "--plug", "constants.wat", "--plug", "math.wat", "-o", "-"],
            &["replay", "r"],
        ] {
            let dir = folder_with_key();
            assert!(inn_with(dir.path(), &["--cache", "off", "--record", "r", "m.wat"], "").status.success());
            let case = format!("{args:?} {file}");
            is_refused(&inn_with(dir.path(), args, &format!("1<>{file}")), REASON, &case);
            is_untouched(dir.path(), &case);
        }
    }
    // A guest that gets no standard input reads nothing of it.
    let dir = folder_with_key();
    let ran = inn_with(dir.path(), &["--cache", "off", "--stdin", "empty", "m.wat"], &format!("<{KEY}"));
    assert_eq!(ran.status.code(), Some(0), "{ran:?}");
}

#[test]
fn two_outputs_of_one_file_are_refused_whoever_has_opened_it() {
    const BOTH: &str = "another output of this run goes to the same file";
    for (flag, args) in WRITES
        .iter()
        .filter(|(flag, args)| !ALONE.contains(&args[0]) && !["stderr", "policy", "profile"].contains(flag))
    {
        let is_append = args.iter().any(|arg| arg.starts_with("append:"));
        // By two descriptors, by one and a path, by a stream and a path, and a stream and a descriptor.
        for (first, second, redirections) in [
            ("/dev/fd/3", "/dev/fd/4", "3<>out 4<>out"),
            ("/dev/fd/3", "/dev/fd/3", "3<>out"),
            ("out", "/dev/fd/4", "4<>out"),
            ("/dev/fd/3", "out", "3<>out"),
            ("out", "elsewhere", ">out"),
            ("out", "elsewhere", "2>out"),
            ("/dev/fd/3", "elsewhere", ">out 3<>out"),
        ] {
            let dir = folder();
            fs::write(dir.path().join("out"), "").unwrap();
            let stderr = format!("file:{second}");
            let all = replace_all(dir.path(), &["--cache", "off", "--stderr", &stderr], args, first);
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            let ran = inn_with(dir.path(), &all, redirections);
            assert_eq!(ran.status.code(), Some(2), "{flag} {redirections}: {ran:?}");
            // A message is nowhere else where that is what is written twice.
            if redirections != "2>out" {
                is_refused(&ran, BOTH, &format!("{args:?} {redirections}"));
            }
        }
        // Who adds to the end loses nothing.
        if is_append {
            let dir = folder();
            let args = ["--cache", "off", "--stdout", "append:/dev/fd/3", "--stderr", "append:out", "m.wat"];
            let ran = inn_with(dir.path(), &args, "3>>out");
            assert!(ran.status.success(), "{ran:?}");
            let ran = inn_with(dir.path(), &["--cache", "off", "--stdout", "append:out", "m.wat"], "2>>out");
            assert!(ran.status.success(), "{ran:?}");
        }
    }
    // What is read in the run is not written, either.
    let dir = folder();
    let ran = inn_with(dir.path(), &["--stdout", "file:/dev/fd/3", "m.wat"], "3<>m.wat");
    is_refused(&ran, "it is read in this run", "the module");
}

/// A flag that names the standard stream itself has both go on where the other has written.
#[test]
fn what_goes_to_a_standard_stream_by_its_path_does_not_overwrite_it() {
    let dir = folder();
    let text = r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "\08\00\00\00\05\00\00\00hello")
        (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))))"#;
    fs::write(dir.path().join("hello.wat"), text).unwrap();
    let args = ["--cache", "off", "--trace", "--trace-file", "/dev/stdout", "hello.wat"];
    let ran = inn_with(dir.path(), &args, ">out");
    assert!(ran.status.success(), "{ran:?}");
    let out = fs::read_to_string(dir.path().join("out")).unwrap();
    assert!(out.contains("hello") && out.contains("fd_write"), "{out}");
}

/// What a guest wrote was added to the policy of later runs.
#[test]
fn y4_no_standard_stream_goes_to_what_the_run_reads() {
    for file in ["m.wat", "p.toml"] {
        for redirection in [">>", "1<>", "2>>", "2<>"].map(|how| format!("{how}{file}")) {
            let dir = folder();
            fs::write(dir.path().join("p.toml"), "").unwrap();
            let before = fs::read(dir.path().join(file)).unwrap();
            let ran = inn_with(dir.path(), &["--cache", "off", "--policy", "p.toml", "m.wat"], &redirection);
            is_refused(&ran, "it is read in this run", &redirection);
            assert_eq!(fs::read(dir.path().join(file)).unwrap(), before, "{redirection}");
        }
    }
}

/// Whoever hands a descriptor over says where in the file it stands.
#[test]
fn what_is_handed_over_is_written_where_it_stands() {
    for redirections in ["3>>log", "3<>log; printf %s before >&3"] {
        let dir = folder();
        let old = if redirections.contains("before") { "" } else { "before" };
        fs::write(dir.path().join("log"), old).unwrap();
        let script = format!("exec {redirections}; exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_inn"), "--cache", "off"]).current_dir(&dir);
        command.args(["--trace", "--trace-file", "/dev/fd/3", "--deterministic", "--record", "r", "m.wat"]);
        assert!(command.output().unwrap().status.success(), "{redirections}");
        let log = fs::read_to_string(dir.path().join("log")).unwrap();
        assert!(log.starts_with("before"), "{redirections}: {log}");
    }
}
