//! Records and replays: the guest's output as it was, and damage that is blamed on the record.

use std::fs;
use std::path::Path;

use crate::observe::CLOCK;
use crate::{Ran, inn, scratch, site};

#[test]
fn a_replay_needs_nothing_and_does_the_same() {
    let dir = site();
    let args = ["--record", "r", "--dir", "site", "{markdown-site}", "build", "site", "site/out"];
    inn(&args).current_dir(&dir).run().code(0);
    fs::remove_dir_all(dir.path().join("site")).unwrap();
    let ran = inn(&["replay", "r"]).current_dir(&dir).run();
    ran.code(0).says(&["all as recorded; the guest returned\n"]);
    assert!(!dir.path().join("site").exists());
}

#[test]
fn what_the_host_answered_is_what_a_replay_answers() {
    let dir = scratch();
    fs::write(dir.path().join("clock.wat"), CLOCK).unwrap();
    let recorded = inn(&["--record", "r", "clock.wat"]).current_dir(&dir).run().code;
    let words = format!("the guest exited with {}\n", recorded.unwrap());
    for _ in 0..3 {
        inn(&["replay", "r"]).current_dir(&dir).run().code(0).stdout("").says(&["replayed 2 calls", &words]);
    }
}

#[test]
fn a_replay_of_another_module_or_a_damaged_record_says_so() {
    let dir = scratch();
    fs::write(dir.path().join("clock.wat"), CLOCK).unwrap();
    inn(&["--record", "r", "clock.wat"]).current_dir(&dir).run();
    fs::write(dir.path().join("other.wat"), CLOCK.replace("127", "63")).unwrap();
    let ran = inn(&["replay", "r", "other.wat"]).current_dir(&dir).run();
    ran.code(1).says(&["not the one that was recorded"]);
    let mut record = fs::read(dir.path().join("r")).unwrap();
    let last = record.len() - 1;
    record[last] ^= 1;
    fs::write(dir.path().join("r"), &record).unwrap();
    inn(&["replay", "r"]).current_dir(&dir).run().code(1).says(&["r: the record is damaged at byte"]);
    fs::write(dir.path().join("r"), "text").unwrap();
    inn(&["replay", "r"]).current_dir(&dir).run().code(1).says(&["not a record"]);
    inn(&["replay", "missing"])
        .current_dir(&dir)
        .run()
        .code(2)
        .says(&["missing: no such file", "check the path of the record"]);
}

/// Writes to both streams, moves one to another number, and opens a file at the number that has become free.
const SPEAKER: &str = r#"(module
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_renumber" (func $renumber (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 100) "out\0aerr\0amoved\0ain the file\0anowhere\0af")
    (func $say (param $to i32) (param $at i32) (param $length i32)
        (i32.store (i32.const 0) (local.get $at))
        (i32.store (i32.const 4) (i32.const 1))
        (i32.store (i32.const 8) (i32.add (local.get $at) (i32.const 1)))
        (i32.store (i32.const 12) (i32.sub (local.get $length) (i32.const 1)))
        (drop (call $write (local.get $to) (i32.const 0) (i32.const 2) (i32.const 16))))
    (func (export "_start")
        (call $say (i32.const 1) (i32.const 100) (i32.const 4))
        (call $say (i32.const 2) (i32.const 104) (i32.const 4))
        (drop (call $renumber (i32.const 1) (i32.const 3)))
        (call $say (i32.const 3) (i32.const 108) (i32.const 6))
        (call $say (i32.const 1) (i32.const 126) (i32.const 8))
        (drop (call $open (i32.const 4) (i32.const 0) (i32.const 134) (i32.const 1) (i32.const 1)
            (i64.const 0x40) (i64.const 0) (i32.const 0) (i32.const 20)))
        (call $say (i32.load (i32.const 20)) (i32.const 114) (i32.const 12))
        (drop (call $close (i32.const 2)))
        (call $say (i32.const 2) (i32.const 126) (i32.const 8))
        (call $exit (i32.const 7))))"#;

#[test]
fn a_replay_prints_what_the_guest_wrote_wherever_it_went() {
    let dir = scratch();
    fs::write(dir.path().join("m.wat"), SPEAKER).unwrap();
    let plain = ["--tmp", "/a", "--tmp", "/b", "--record", "r"];
    let record = |flags: &[&str]| {
        inn(&[&plain[..], flags, &["m.wat"]].concat()).current_dir(&dir).run().code(7);
        let ran = inn(&["replay", "r"]).current_dir(&dir).run();
        ran.code(0).says(&["m.wat: replayed 1", "all as recorded; the guest exited with 7\n"]);
        ran
    };
    for flags in [
        &[][..],
        &["--stdout", "discard", "--stderr", "discard"],
        &["--stdout", "file:o", "--stderr", "file:e"],
    ] {
        let ran = record(flags);
        ran.stdout("out\nmoved\n");
        assert!(ran.stderr.starts_with("err\nnote: "), "{ran:#?}");
    }
    // What the host refused was no output: of 13 bytes in all, the last writes get none.
    record(&["--max-written", "6"]).stdout("out\n");
    let ran = record(&["--stdout", "closed", "--stderr", "closed"]);
    ran.stdout("");
    assert!(ran.stderr.starts_with("note: "), "{ran:#?}");
}

#[test]
fn a_replay_tells_of_results_traps_and_exceptions_as_the_run_did() {
    let dir = scratch();
    let text = r#"(module
        (tag $e (param i32))
        (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
        (func $crash (export "crash") unreachable)
        (func (export "throw") (throw $e (i32.const 3))))"#;
    fs::write(dir.path().join("m.wat"), text).unwrap();
    for call in [&["add", "2", "40"][..], &["crash"], &["throw"]] {
        let (name, arguments) = call.split_first().unwrap();
        let args = [&["--record", "r", "--invoke", name, "m.wat"], arguments].concat();
        let recorded = inn(&args).current_dir(&dir).run();
        let replayed = inn(&["replay", "r"]).current_dir(&dir).run();
        replayed.code(0).stdout(&recorded.stdout).says(&["all as recorded", &recorded.stderr]);
    }
}

/// The replay of a run that was stopped ends where that was, and does not go on for ever.
#[test]
fn a_run_that_was_stopped_is_replayed_up_to_there() {
    let dir = scratch();
    let text = SPEAKER.replace("(call $exit (i32.const 7))", "(loop $l (br $l))");
    fs::write(dir.path().join("m.wat"), text).unwrap();
    fs::write(dir.path().join("silent.wat"), r#"(module (func (export "_start") (loop $l (br $l))))"#)
        .unwrap();
    for (file, calls, stdout) in
        [("m.wat", "replayed 9 calls", "out\nmoved\n"), ("silent.wat", "replayed 0 calls", "")]
    {
        let args = ["--tmp", "/a", "--tmp", "/b", "--timeout", "300ms", "--record", "r", file];
        inn(&args).current_dir(&dir).run().code(134);
        let ran = inn(&["replay", "--timeout", "60s", "r"]).current_dir(&dir).run();
        ran.code(0).stdout(stdout).says(&[calls, "there the recorded run was stopped"]);
    }
}

#[test]
fn what_bounds_and_features_made_of_a_run_they_make_of_its_replay() {
    let dir = scratch();
    let text = r#"(module
        (memory (export "memory") 1)
        (func (export "grow") (result i32) (memory.grow (i32.const 100)))
        (func (export "spin") (loop $l (br $l))))"#;
    fs::write(dir.path().join("m.wat"), text).unwrap();
    fs::write(dir.path().join("simd.wat"), r#"(module (func (export "f") (drop (v128.const i64x2 0 0))))"#)
        .unwrap();
    let cases = [
        (&["--max-memory", "1MiB", "--invoke", "grow", "m.wat"][..], "the guest returned -1"),
        (&["--invoke", "grow", "m.wat"], "the guest returned 1"),
        (&["--fuel", "1000", "--invoke", "spin", "m.wat"], "fuel"),
        (&["--features", "mvp,simd", "--invoke", "f", "simd.wat"], "the guest returned"),
    ];
    for (args, says) in cases {
        inn(&[&["--record", "r"], args].concat()).current_dir(&dir).run();
        inn(&["replay", "r"]).current_dir(&dir).run().code(0).says(&["all as recorded", says]);
    }
}

/// The answer to a damaged record: it replays as it was, or is blamed by name, and the guest is not.
#[track_caller]
fn is_right_or_blames_the_record(ran: &Ran, record: &str, what: &str) {
    if ran.code == Some(0) {
        ran.stdout("out\nmoved\n").says(&["all as recorded; the guest exited with 7"]);
        return;
    }
    ran.code(1).says(&["record the run again"]);
    let error = ran.stderr.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
    assert!(error.starts_with(&format!("error: {record}: ")) && error.contains("record"), "{what}: {ran:#?}");
    for never in ["panicked", "diverges", "the guest's code"] {
        assert!(!ran.stderr.contains(never), "{what}: {ran:#?}");
    }
}

#[test]
fn a_record_that_is_cut_off_or_altered_anywhere_is_blamed_itself() {
    let dir = scratch();
    fs::write(dir.path().join("m.wat"), SPEAKER).unwrap();
    inn(&["--tmp", "/a", "--tmp", "/b", "--record", "r", "m.wat"]).current_dir(&dir).run().code(7);
    let whole = fs::read(dir.path().join("r")).unwrap();
    let try_from = |first: usize, dir: &Path| {
        let name = format!("r{first}");
        let try_one = |bytes: &[u8], what: &str| {
            fs::write(dir.join(&name), bytes).unwrap();
            is_right_or_blames_the_record(&inn(&["replay", &name]).current_dir(dir).run(), &name, what);
        };
        for position in (first..whole.len()).step_by(2) {
            try_one(&whole[..position], &format!("cut off at {position}"));
            let mut altered = whole.clone();
            altered[position] ^= 1 << (position % 8);
            try_one(&altered, &format!("byte {position} altered"));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| try_from(0, dir.path()));
        scope.spawn(|| try_from(1, dir.path()));
    });
}
