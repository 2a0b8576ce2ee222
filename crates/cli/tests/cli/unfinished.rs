//! `inn cow`: what is left of a run that is killed while it makes changes, with a real kill; whose it is; and how it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{inn, scratch};

/// Renames each of COUNT files: `aaaaaaaa`, `baaaaaaa` and so on, to the same with a `z` before it.
const RENAME_ALL: &str = r#"(module
    (import "wasi_snapshot_preview1" "path_rename" (func $rename (param i32 i32 i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 1023) "z")
    (func $name (param $i i32) (local $k i32)
        (loop $l
            (i32.store8 (i32.add (i32.const 1024) (local.get $k)) (i32.add (i32.const 97) (i32.and (local.get $i) (i32.const 15))))
            (local.set $i (i32.shr_u (local.get $i) (i32.const 4)))
            (local.set $k (i32.add (local.get $k) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get $k) (i32.const 8)))))
    (func (export "_start") (local $i i32)
        (loop $l
            (call $name (local.get $i))
            (if (call $rename (i32.const 3) (i32.const 1024) (i32.const 8) (i32.const 3) (i32.const 1023) (i32.const 9)) (then unreachable))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get $i) (i32.const COUNT))))))"#;

fn name(index: usize) -> String {
    (0..8).map(|digit| char::from(b'a' + (index >> (4 * digit) & 15) as u8)).collect()
}

/// A folder with the guest and `d`, which has `count` files.
fn renaming(count: usize) -> tempfile::TempDir {
    let dir = scratch();
    fs::create_dir(dir.path().join("d")).unwrap();
    for index in 0..count {
        fs::write(dir.path().join("d").join(name(index)), index.to_string()).unwrap();
    }
    fs::write(dir.path().join("m.wat"), RENAME_ALL.replace("COUNT", &count.to_string())).unwrap();
    dir
}

/// The staging directories in `d`.
fn staging(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("d")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().contains("/.innkeeper-cow-")).collect()
}

/// What `inn` calls its environment, without a home directory: a relative one is none.
const HOMELESS: [(&str, &str); 2] = [("HOME", "nowhere"), ("XDG_STATE_HOME", "")];

/// A folder in which a run was killed between its first and its last change, and how many files it has. Whoever is too late tries again with more.
fn killed(environment: &[(&str, &str)]) -> (tempfile::TempDir, usize) {
    for count in [1000, 4000, 16_000, 64_000] {
        let dir = renaming(count);
        let mut run =
            inn(&["--dir", "d::/::cow", "--cow-changes", "apply", "--compile-after", "off", "m.wat"])
                .current_dir(&dir);
        run.command.envs(environment.iter().copied()).stdin(Stdio::null()).stderr(Stdio::null());
        let mut child = run.command.spawn().expect("inn starts");
        // Another phase than the first is noted when the first change is about to be made.
        let has_begun = |staging: &PathBuf| {
            fs::read_to_string(staging.join("phase")).is_ok_and(|phase| !phase.starts_with("phase 0\n"))
        };
        while child.try_wait().unwrap().is_none() {
            if staging(dir.path()).iter().any(has_begun) {
                child.kill().unwrap();
                break;
            }
        }
        child.wait().unwrap();
        // Only where some changes were made and some were not is there something to finish and to take back.
        let mut list = inn(&["cow", "list", "--trust", "d"]).current_dir(&dir);
        list.command.envs(environment.iter().copied());
        if list.run().stdout.contains("some changes made") {
            return (dir, count);
        }
    }
    panic!("it was always done before it could be killed");
}

/// That `d` has all its files, with `prefix` before their names, and nothing else.
#[track_caller]
fn check(dir: &Path, count: usize, prefix: &str) {
    assert_eq!(fs::read_dir(dir.join("d")).unwrap().count(), count);
    for index in 0..count {
        let path = dir.join("d").join(format!("{prefix}{}", name(index)));
        assert_eq!(fs::read_to_string(&path).unwrap(), index.to_string(), "{path:?}");
    }
}

#[test]
fn a_run_that_was_killed_on_the_way_can_be_finished_and_taken_back() {
    for (how, prefix) in [("resume", "z"), ("undo", "")] {
        let (dir, count) = killed(&[]);
        let name = staging(dir.path())[0].file_name().unwrap().to_str().unwrap().to_owned();
        let list = || inn(&["cow", "list", "d"]).current_dir(&dir).run();
        list().code(0).stdout(&format!("{name}  some changes made: resume or undo\n")).stderr("");
        // Others are made afterwards.
        let more = inn(&["--dir", "d::/::cow", "--cow-changes", "apply", "m.wat"]).current_dir(&dir).run();
        assert_ne!(more.code, Some(0), "{more:#?}");
        // How far it comes is left open: to go on in the same way is possible from everywhere.
        let stopped = inn(&["cow", how, "--timeout", "1us", "d"]).current_dir(&dir).run();
        stopped.code(1).says(&["stopped before all changes were made", &format!("`inn cow {how} d`")]);
        inn(&["cow", how, "d"]).current_dir(&dir).run().code(0).stdout("").stderr("");
        check(dir.path(), count, prefix);
        list().code(0).stdout("");
        let again = inn(&["cow", how, "d"]).current_dir(&dir).run();
        again.code(1).says(&["d: it has no unfinished changes"]);
    }
}

#[test]
fn what_this_users_key_has_not_sealed_is_believed_by_who_vouches_for_it_only() {
    for (how, prefix) in [("resume", "z"), ("undo", "")] {
        let (dir, count) = killed(&HOMELESS);
        let mut homeless = inn(&["cow", how, "d"]).current_dir(&dir);
        homeless.command.envs(HOMELESS);
        homeless.run().code(1).says(&["there is no home directory", "HOME or XDG_STATE_HOME", "--trust"]);
        let refused = inn(&["cow", how, "d"]).current_dir(&dir).run();
        let trusting = ["`inn cow resume --trust d`", "`inn cow undo --trust d`"];
        refused.code(1).says(&["does not have the seal of this user's key"]).says(&trusting);
        // It is in nobody's way meanwhile.
        fs::write(dir.path().join("new.wat"), NEW).unwrap();
        let run = inn(&["--dir", "d::/::cow", "--cow-changes", "apply", "new.wat"]).current_dir(&dir).run();
        run.code(0).says(&["warning: d: .innkeeper-cow-", "passed over"]).says(&trusting);
        fs::remove_file(dir.path().join("d/new")).expect("the change was made");
        inn(&["cow", "list", "d"]).current_dir(&dir).run().code(0).prints(&["not sealed by this user's key"]);
        inn(&["cow", how, "--trust", "d"]).current_dir(&dir).run().code(0).stderr("");
        check(dir.path(), count, prefix);
    }
}

/// Makes the file `new`.
const NEW: &str = r#"(module
    (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 0) "new")
    (func (export "_start")
        (if (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 3) (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 8))
            (then unreachable))))"#;

/// The names of staging directories are others' to choose, and do not write lines of their own.
#[test]
fn names_of_staging_directories_do_not_drive_the_terminal() {
    let dir = scratch();
    let forged = dir.path().join("d/.innkeeper-cow-\nerror: \u{1b}[2Jforged");
    fs::create_dir_all(&forged).unwrap();
    fs::write(forged.join("phase"), "phase 1\n").unwrap();
    assert!(Command::new("chmod").arg("700").arg(&forged).status().unwrap().success());
    fs::write(dir.path().join("new.wat"), NEW).unwrap();
    let applied = inn(&["--dir", "d::/::cow", "--cow-changes", "apply", "new.wat"]).current_dir(&dir).run();
    applied.code(0);
    let finished = ["resume", "undo", "list"].map(|how| inn(&["cow", how, "d"]).current_dir(&dir).run());
    for ran in finished.iter().chain([&applied]) {
        let text = format!("{}{}", ran.stdout, ran.stderr);
        assert!(text.contains(r".innkeeper-cow-\u{a}error: \u{1b}[2Jforged"), "{ran:#?}");
        assert!(!text.contains('\u{1b}') && !text.contains("\nerror: [2J"), "{ran:#?}");
    }
    finished[0].code(1).says(&["not everything had been kept", "keep it, as it may have the only copy"]);
}

/// Where the key is beneath, what a guest has made of the directory is not carried out, and the guest does not start.
#[test]
fn changes_around_the_key_are_not_applied() {
    let dir = renaming(1);
    let state = dir.path().join("d/state");
    fs::create_dir(&state).unwrap();
    let run = |changes: &str| {
        inn(&["--dir", "d::/::cow", "--cow-changes", changes, "m.wat"])
            .current_dir(&dir)
            .env("XDG_STATE_HOME", state.to_str().unwrap())
            .run()
    };
    run("apply").code(1).says(&["d: changes cannot be applied to it", "the code cache or its key"]);
    assert!(dir.path().join("d").join(name(0)).exists());
    run("list").code(0);
}

/// Whatever else cannot be written once the guest has ended, its changes are made, and all that has failed is told.
#[test]
fn what_fails_beside_them_does_not_lose_changes() {
    let cases: [(&[&str], &str); 3] = [
        (&["--trace", "--trace-file", "/dev/full"], "/dev/full: cannot be written: "),
        (&["--trace=summary", "--trace-file", "/dev/full"], "/dev/full"),
        (&["--cow-changes", "tar=/dev/full"], "/dev/full: cannot be written: "),
    ];
    for (flags, says) in cases {
        let dir = renaming(1);
        let all = [flags, &["--dir", "d::/::cow", "--cow-changes", "apply", "m.wat"]].concat();
        inn(&all).current_dir(&dir).run().code(1).says(&["No space left", says]);
        check(dir.path(), 1, "z");
    }
    // One directory in which they cannot be made, as somebody else makes some there, keeps no other from it.
    let dir = scratch();
    let [busy, other] = ["busy", "other"].map(|name| dir.path().join(name));
    for path in [&busy, &other] {
        fs::create_dir(path).unwrap();
    }
    let in_each = NEW
        .replace("(func (export \"_start\")", "(func $in (param $fd i32)")
        .replace("(call $open (i32.const 3)", "(call $open (local.get $fd)");
    let start = "(func (export \"_start\") (call $in (i32.const 3)) (call $in (i32.const 4)))";
    let text = format!("{}{start})", in_each.strip_suffix(')').unwrap());
    fs::write(dir.path().join("m.wat"), text).unwrap();
    let held = fs::File::open(&busy).unwrap();
    held.lock().unwrap();
    let flags = ["--dir", "busy::/a::cow", "--dir", "other::/b::cow", "--cow-changes", "apply", "m.wat"];
    let ran = inn(&flags).current_dir(&dir).run();
    ran.code(1).says(&["busy: other changes are just being made", "the guest's changes were not kept"]);
    assert!(other.join("new").exists() && !busy.join("new").exists());
}
