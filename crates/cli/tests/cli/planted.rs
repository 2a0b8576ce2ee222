//! What `inn` itself writes, where a guest of this run or of an earlier one has left links.
//!
//! Which flags there are is asked of the command itself, by the completion script that is made from the definition of its arguments: one that is new has to be
//! put into a list here.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::{Ran, inn, scratch};

/// Flags that name a file to write, with a command line that writes to `F`.
const WRITES: &[(&str, &[&str])] = &[
    ("profile", &["--tier", "interpreter", "--profile", "F", "m.wat"]),
    ("trace-file", &["--trace", "--trace-file", "F", "m.wat"]),
    ("trace-file", &["--trace=summary", "--trace-file", "F", "m.wat"]),
    ("record", &["--record", "F", "m.wat"]),
    ("cow-changes", &["--dir", "sub::/c::cow", "--cow-changes", "tar=F", "m.wat"]),
    ("stdout", &["--stdout", "file:F", "m.wat"]),
    ("stdout", &["--stdout", "append:F", "m.wat"]),
    ("stderr", &["--stderr", "file:F", "m.wat"]),
    ("policy", &["--policy", "streams.toml", "m.wat"]),
    ("to", &["policy", "learn", "--to", "F", "m.wat"]),
    ("to", &["explore", "m.wat", "--to", "F"]),
    ("output", &["compile", "m.wat", "-o", "F"]),
];

/// Flags that name nothing to write, or a directory that has rules of its own (`cache`).
const OTHERS: &[&str] = &[
    "allow-precompiled",
    "argv0",
    "background",
    "cache",
    "called",
    "clocks",
    "compile-after",
    "deterministic",
    "dir",
    "env",
    "explain",
    "functions",
    "help",
    "invoke",
    "key",
    "listen",
    "mapdir",
    "max-cow",
    "max-cpu",
    "max-handles",
    "max-memory",
    "max-threads",
    "max-written",
    "random",
    "stdin",
    "tier",
    "timeout",
    "tmp",
    "trace",
    "version",
    "trust",
];

/// A folder with a module, a directory that a guest may be granted, and a file outside of it that nobody is to touch.
fn folder() -> tempfile::TempDir {
    let dir = scratch();
    let loop_text = "(local i32) (loop (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 30000000))))";
    let text = format!("(module (memory (export \"memory\") 1) (func (export \"_start\") {loop_text}))");
    fs::write(dir.path().join("m.wat"), text).unwrap();
    fs::write(dir.path().join("streams.toml"), "[stdio]\nstdout = { file = \"F\" }\n").unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    fs::create_dir(dir.path().join("outside")).unwrap();
    fs::write(dir.path().join("outside/file"), PRECIOUS).unwrap();
    dir
}

const PRECIOUS: &str = "nobody writes here";

/// Runs with `F` replaced.
fn run(dir: &Path, before: &[&str], args: &[&str], file: &str) -> Ran {
    let policy = fs::read_to_string(dir.join("streams.toml")).unwrap();
    fs::write(dir.join("streams.toml"), policy.replace("\"F\"", &format!("{file:?}"))).unwrap();
    let args: Vec<String> = args
        .iter()
        .map(|arg| if arg.starts_with('-') { (*arg).to_owned() } else { replaced(arg, file) })
        .collect();
    let own = args.iter().position(|arg| ["learn", "explore", "compile"].contains(&arg.as_str()));
    let (command, flags) = args.split_at(own.map_or(0, |at| at + 1));
    let all: Vec<&str> = command
        .iter()
        .map(String::as_str)
        .chain(before.iter().copied())
        .chain(flags.iter().map(String::as_str))
        .collect();
    inn(&all).current_dir(dir).run()
}

fn replaced(arg: &str, file: &str) -> String {
    match arg.rsplit_once([':', '=']) {
        _ if arg == "F" => file.to_owned(),
        Some((_, "F")) => format!("{}{file}", &arg[..arg.len() - 1]),
        _ => arg.to_owned(),
    }
}

/// Every file in a folder, with what is in it.
fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap_or_default()))
        .collect();
    found.sort();
    found
}

#[test]
fn y3_every_flag_is_known_to_write_or_not() {
    let script = inn(&["completion", "fish"]).run().stdout;
    let flags: BTreeSet<&str> = script
        .lines()
        .filter(|line| line.starts_with("complete "))
        .filter_map(|line| line.split(" -l ").nth(1)?.split_whitespace().next())
        .collect();
    assert!(flags.len() > 30, "{script}");
    let known: BTreeSet<&str> = WRITES.iter().map(|(flag, _)| *flag).chain(OTHERS.iter().copied()).collect();
    assert_eq!(flags, known, "a flag that writes a file belongs into WRITES, every other into OTHERS");
}

#[test]
fn y3_no_output_goes_through_a_link_in_the_last_place() {
    for (flag, args) in WRITES {
        for target in ["../outside/file", "../outside/new"] {
            for ending in ["", ".folded"] {
                if !ending.is_empty() && *flag != "profile" {
                    continue;
                }
                let dir = folder();
                let link =
                    Path::new("sub/out.x").with_extension(if ending.is_empty() { "x" } else { "folded" });
                symlink(target, dir.path().join(&link)).unwrap();
                let ran = run(dir.path(), &[], args, "sub/out.x");
                assert_eq!(ran.code, Some(1), "{args:?}: {ran:#?}");
                ran.says(&["symbolic link", "a guest may have left"]);
                let outside = contents(&dir.path().join("outside"));
                assert_eq!(outside, [("file".to_owned(), PRECIOUS.into())], "{args:?}");
                assert!(fs::symlink_metadata(dir.path().join(&link)).unwrap().is_symlink(), "{args:?}");
            }
        }
        // Without the link, the same is written.
        let dir = folder();
        let ran = run(dir.path(), &[], args, "sub/out.x");
        assert_eq!(ran.code, Some(0), "{args:?}: {ran:#?}");
        let written = contents(&dir.path().join("sub"));
        assert!(written.iter().any(|(name, _)| name == "out.x"), "{args:?}: {written:?}");
        assert!(written.iter().all(|(name, _)| name.starts_with("out.")), "{args:?}: {written:?}");
    }
}

#[test]
fn y3_outputs_beside_the_module_go_through_no_link_either() {
    for (command, name) in [("explore", "m.html"), ("compile", "m.cwasm")] {
        let dir = folder();
        symlink("outside/file", dir.path().join(name)).unwrap();
        inn(&[command, "m.wat"]).current_dir(&dir).run().code(1).says(&["symbolic link"]);
        assert_eq!(fs::read_to_string(dir.path().join("outside/file")).unwrap(), PRECIOUS);
    }
}

#[test]
fn y3_no_output_goes_through_a_link_that_the_guest_may_have_left_on_the_way() {
    // The granted directory by its name, by a link to it, and from within it.
    for granted in ["sub", "alias", "sub/../sub", "."] {
        for (flag, args) in WRITES.iter().filter(|(_, args)| !["explore", "compile"].contains(&args[0])) {
            let dir = folder();
            symlink("sub", dir.path().join("alias")).unwrap();
            symlink("../outside", dir.path().join("sub/way")).unwrap();
            let grant = format!("{granted}::/g");
            let ran = run(dir.path(), &["--dir", &grant], args, "sub/way/out.x");
            assert_eq!(ran.code, Some(1), "{flag} {granted}: {ran:#?}");
            ran.says(&["on the way there is a symbolic link"]);
            let outside = contents(&dir.path().join("outside"));
            assert_eq!(outside, [("file".to_owned(), PRECIOUS.into())], "{args:?}");
        }
    }
    // Whoever grants nothing has left the link there himself.
    let dir = folder();
    symlink("../outside", dir.path().join("sub/way")).unwrap();
    run(dir.path(), &[], &["--stdout", "file:F", "m.wat"], "sub/way/out.x").code(0);
    assert!(dir.path().join("outside/out.x").exists());
}

#[test]
fn y3_an_output_that_the_guest_can_change_is_warned_of() {
    for (flag, args) in WRITES.iter().filter(|(_, args)| !["explore", "compile"].contains(&args[0])) {
        // What is written to a standard stream is the guest's own in any case.
        let is_stream = ["stdout", "stderr", "policy"].contains(flag);
        for (granted, file, is_warned) in [
            ("sub::/g", "sub/out.x", true),
            ("sub::/g::ro", "sub/out.x", false),
            ("outside::/g", "sub/out.x", false),
        ] {
            let dir = folder();
            let ran = run(dir.path(), &["--dir", granted], args, file);
            assert_eq!(ran.code, Some(0), "{flag}: {ran:#?}");
            let warns = ran.stderr.contains("which the guest may write to: what it says can be the guest's");
            assert_eq!(warns, is_warned && !is_stream, "{flag} {granted}: {ran:#?}");
        }
    }
    // What decides about later runs is as dangerous where it is read.
    let dir = folder();
    fs::write(dir.path().join("p.toml"), "[[directory]]\nhost = \".\"\naccess = \"rw\"\n").unwrap();
    inn(&["--policy", "p.toml", "m.wat"])
        .current_dir(&dir)
        .run()
        .code(0)
        .says(&["the policy lies in", "the next run"]);
    inn(&["compile", "m.wat"]).current_dir(&dir).run().code(0);
    let args = ["--dir", ".", "--allow-precompiled", "m.cwasm"];
    inn(&args).current_dir(&dir).run().code(0).says(&["the machine code lies in"]);
}

/// The guest has its directory while the run goes on: what it puts in the place of a document is replaced, not written through.
#[test]
fn y3_a_link_that_the_guest_leaves_in_this_run_is_replaced() {
    let dir = folder();
    let text = r#"(module
        (import "wasi_snapshot_preview1" "path_symlink" (func $symlink (param i32 i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "../outside/file")
        (data (i32.const 32) "out.svg")
        (data (i32.const 48) "out.folded")
        (func (export "_start") (local i32)
            (if (call $symlink (i32.const 0) (i32.const 15) (i32.const 3) (i32.const 32) (i32.const 7)) (then unreachable))
            (if (call $symlink (i32.const 0) (i32.const 15) (i32.const 3) (i32.const 48) (i32.const 10)) (then unreachable))
            (loop (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 100000000))))))"#;
    fs::write(dir.path().join("plant.wat"), text).unwrap();
    for args in [
        &["--dir", "sub::/g", "--profile", "sub/out.svg", "plant.wat"][..],
        &["policy", "learn", "--to", "sub/out.svg", "--dir", "sub::/g", "plant.wat"],
    ] {
        inn(args).current_dir(&dir).run().code(0);
        assert_eq!(fs::read_to_string(dir.path().join("outside/file")).unwrap(), PRECIOUS, "{args:?}");
        assert!(fs::symlink_metadata(dir.path().join("sub/out.svg")).unwrap().is_file(), "{args:?}");
        for name in ["out.svg", "out.folded"] {
            let _ = fs::remove_file(dir.path().join("sub").join(name));
        }
    }
}

#[test]
fn what_is_there_and_no_file_is_written_to_as_it_is() {
    let dir = folder();
    for file in ["/dev/null", "/dev/stdout", "/dev/fd/1"] {
        run(dir.path(), &[], &["--trace", "--trace-file", "F", "m.wat"], file).code(0);
        run(dir.path(), &[], &["--stdout", "file:F", "m.wat"], file).code(0);
    }
    assert!(fs::metadata("/dev/null").unwrap().len() == 0);
}
