//! The code cache, and modules and components that are compiled ahead of time, as a user meets them.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::{inn, inn_with_mount, scratch};

const TEXT: &str = r#"(module (memory 1)
    (func (export "twice") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
    (func (export "load") (param i32) (result i32) (i32.load (local.get 0))))"#;

/// A folder with `m.wat`.
pub(crate) fn module() -> tempfile::TempDir {
    let dir = scratch();
    fs::write(dir.path().join("m.wat"), TEXT).unwrap();
    dir
}

pub(crate) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_cache_is_filled_shown_used_and_cleared() {
    let (dir, cache) = (module(), scratch());
    let cache = text(&cache.path().join("new"));
    let run = |expected: &str| {
        let args = ["--cache", &cache, "--tier", "compiled", "--invoke", "twice", "m.wat", "21"];
        inn(&args).current_dir(&dir).run().code(0).stdout(expected).stderr("");
    };
    inn(&["cache", "info", "--cache", &cache])
        .run()
        .code(0)
        .prints(&["programs   0\n", "limit      1.0 GiB\n"]);
    run("42\n");
    inn(&["cache", "info", "--cache", &cache]).run().code(0).prints(&[&cache, "programs   1\n", "KiB"]);
    run("42\n");
    inn(&["cache", "clear", "--cache", &cache]).run().code(0).prints(&["removed 1 program, "]);
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 0);
    run("42\n");
}

/// A mistake in the name makes no directories.
#[test]
fn a_cache_is_made_in_a_directory_that_is_there_only() {
    let dir = module();
    let wrong = text(&dir.path().join("wrnog/cache"));
    for args in [
        &["--cache", &wrong, "--invoke", "twice", "m.wat", "21"][..],
        &["cache", "info", "--cache", &wrong],
        &["cache", "fill", "m.wat", "--cache", &wrong],
        &["cache", "clear", "--cache", &wrong],
    ] {
        let ran = inn(args).current_dir(&dir).run();
        assert_ne!(ran.code, Some(0), "{ran:#?}");
        ran.says(&["there is no directory", "wrnog", "make that directory"]);
        assert!(!dir.path().join("wrnog").exists(), "{args:?}");
    }
}

#[test]
fn a_cache_can_be_filled() {
    let (dir, cache) = (module(), scratch());
    let directory = text(&cache.path().join("new"));
    // So large that its verdict alone would be worth a file.
    let data = format!("(module (data \"{}\")", "x".repeat(300 << 10));
    fs::write(dir.path().join("m.wat"), TEXT.replacen("(module", &data, 1)).unwrap();
    let fill = inn(&["cache", "fill", "m.wat", "--cache", &directory]).current_dir(&dir).run();
    fill.code(0).stdout("m.wat: 2 functions compiled\n").stderr("");
    let before = fs::read_dir(&directory).unwrap().next().unwrap().unwrap().metadata().unwrap();
    let args = ["--cache", &directory, "--tier", "compiled", "--invoke", "twice", "m.wat", "21"];
    inn(&args).current_dir(&dir).run().code(0).stdout("42\n");
    let after = fs::read_dir(&directory).unwrap().next().unwrap().unwrap().metadata().unwrap();
    assert!(after.len() > 4096, "there is code in it");
    assert_eq!(before.ino(), after.ino(), "nothing was compiled, so nothing was written");
}

#[test]
fn a_cache_can_be_off() {
    let (dir, home) = (module(), scratch());
    let args = ["--cache", "off", "--tier", "compiled", "--invoke", "twice", "m.wat", "21"];
    inn(&args).env("XDG_CACHE_HOME", &text(home.path())).current_dir(&dir).run().code(0).stdout("42\n");
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    inn(&args[2..]).env("XDG_CACHE_HOME", &text(home.path())).current_dir(&dir).run().code(0).stdout("42\n");
    assert_eq!(fs::read_dir(home.path().join("innkeeper")).unwrap().count(), 1);
}

#[test]
fn c4_a_cache_that_others_can_write_to_is_refused() {
    let (dir, cache) = (module(), scratch());
    fs::set_permissions(cache.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let args = ["--cache", &text(cache.path()), "--invoke", "twice", "m.wat", "21"];
    inn(&args)
        .current_dir(&dir)
        .run()
        .code(1)
        .stdout("")
        .says(&["can be written to by others", "--cache off"]);
    // The usual one is done without.
    let home = scratch();
    let usual = home.path().join("innkeeper");
    fs::create_dir(&usual).unwrap();
    fs::set_permissions(&usual, fs::Permissions::from_mode(0o770)).unwrap();
    let args = ["--tier", "compiled", "--invoke", "twice", "m.wat", "21"];
    let inn = inn(&args).env("XDG_CACHE_HOME", &text(home.path()));
    inn.current_dir(&dir).run().code(0).stdout("42\n").stderr("");
    assert_eq!(fs::read_dir(&usual).unwrap().count(), 0);
}

#[test]
fn c7_a_cache_within_reach_of_the_guest_is_refused() {
    let (dir, cache) = (module(), scratch());
    let inner = cache.path().join("a/b");
    let beneath = inner.join("c");
    fs::create_dir_all(&beneath).unwrap();
    for mode in [inner.clone(), cache.path().to_owned()] {
        fs::set_permissions(mode, fs::Permissions::from_mode(0o700)).unwrap();
    }
    for granted in [cache.path(), &cache.path().join("a"), &inner, &beneath] {
        for access in ["rw", "ro", "cow"] {
            let grant = format!("{}::/data::{access}", text(granted));
            let run = ["--dir", &grant, "--cache", &text(&inner), "--tier", "compiled"];
            let args = [&run[..], &["--invoke", "twice", "m.wat", "21"]].concat();
            let ran = inn(&args).current_dir(&dir).run();
            ran.code(1)
                .stdout("")
                .says(&["cannot be inside a directory that the guest is granted", "--cache DIR"]);
        }
    }
    // The usual one is done without, and that is said once.
    let grant = format!("{}::/data", text(cache.path()));
    let run = || {
        let run = inn(&["--dir", &grant, "--tier", "compiled", "--invoke", "twice", "m.wat", "21"]);
        let ran = run.env("XDG_CACHE_HOME", &text(&inner)).current_dir(&dir).run();
        ran.code(0).stdout("42\n");
        ran
    };
    let warning = ["warning", "cannot be inside a directory that the guest is granted"];
    run().says(&warning);
    run().stderr("");
    let usual = text(&inner.join("innkeeper"));
    inn(&["cache", "info", "--cache", &usual]).run().code(0).prints(&["programs   0\n"]);
    inn(&["cache", "clear", "--cache", &usual]).run().code(0);
    assert_eq!(fs::read_dir(&usual).unwrap().count(), 0);
    run().says(&warning);
}

#[test]
fn a_module_is_compiled_ahead_and_run_only_if_that_is_allowed() {
    let dir = module();
    inn(&["compile", "m.wat"])
        .current_dir(&dir)
        .run()
        .code(0)
        .prints(&["m.cwasm: ", "2 functions compiled"])
        .stderr("");
    let run = |args: &[&str]| inn(&[&["--invoke"], args].concat()).current_dir(&dir).run();
    run(&["twice", "m.cwasm", "21"])
        .code(1)
        .stdout("")
        .says(&["compiled ahead of time", "--allow-precompiled"]);
    let allowed =
        |args: &[&str]| inn(&[&["--allow-precompiled", "--invoke"], args].concat()).current_dir(&dir).run();
    allowed(&["twice", "m.cwasm", "21"]).code(0).stdout("42\n").stderr("");
    allowed(&["load", "m.cwasm", "65536"]).code(134).says(&["out of bounds", "at offset 0x"]);
    inn(&["inspect", "m.cwasm"]).current_dir(&dir).run().code(1).says(&["compiled ahead of time"]);
}

#[test]
fn what_was_compiled_ahead_is_refused_where_it_does_not_fit() {
    let dir = module();
    inn(&["compile", "m.wat", "-o", "out.cwasm"]).current_dir(&dir).run().code(0).prints(&["out.cwasm: "]);
    let file = dir.path().join("out.cwasm");
    let run = |args: &[&str]| {
        let all = [&["--allow-precompiled", "--invoke", "twice"], args].concat();
        inn(&all).current_dir(&dir).run()
    };
    // Canonical NaNs need other code.
    run(&["--deterministic", "out.cwasm", "21"])
        .code(1)
        .says(&["other features of WebAssembly", "without --fuel, --deterministic"]);
    let original = fs::read(&file).unwrap();
    let len = original.len();
    for damage in [&original[..len - 1], &original[..100], &[&original[..], &[0]].concat()] {
        fs::write(&file, damage).unwrap();
        run(&["out.cwasm", "21"]).code(1).stdout("").says(&["out.cwasm", "damaged", "inn compile"]);
    }
    // A function that is damaged is interpreted.
    let mut damaged = original.clone();
    damaged[len - 1] ^= 1;
    fs::write(&file, &damaged).unwrap();
    let load = ["--allow-precompiled", "--invoke", "load", "out.cwasm", "0"];
    inn(&load).current_dir(&dir).run().code(0).stdout("0\n");
    run(&["out.cwasm", "21"]).code(0).stdout("42\n");
    fs::write(&file, &original).unwrap();
    run(&["out.cwasm", "21"]).code(0).stdout("42\n");
}

/// A folder with `flat.wat`, a program with a flat profile: it calls each of many functions once, and prints nothing; and `component.wat`, which is such a component.
fn flat() -> tempfile::TempDir {
    let dir = scratch();
    let functions: String = (0..FLAT).map(|i| format!("(func $f{i} (result i32) (i32.const {i}))")).collect();
    let calls: String = (0..FLAT).map(|i| format!("(drop (call $f{i}))")).collect();
    let text = format!("(module {functions} (func (export \"_start\") {calls}))");
    fs::write(dir.path().join("flat.wat"), text).unwrap();
    let component = format!(
        r#"(component
            (core module $m {functions} (func (export "run") (result i32) {calls} (i32.const 0)))
            (core instance $i (instantiate $m))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $program (export "run" (func $run)))
            (export "wasi:cli/run@0.2.3" (instance $program)))"#
    );
    fs::write(dir.path().join("component.wat"), component).unwrap();
    dir
}

const FLAT: usize = 300;

#[test]
fn what_was_called_can_be_compiled_for_the_next_run() {
    for file in ["flat.wat", "component.wat"] {
        let (dir, cache) = (flat(), scratch());
        let cache = text(cache.path());
        let fill = || inn(&["cache", "fill", "--called", "--cache", &cache, file]).current_dir(&dir).run();
        let compiled = |count: usize| format!("{file}: {count} functions compiled\n");
        fill().code(0).stdout(&compiled(0));
        inn(&["--cache", &cache, "--compile-after", "off", file]).current_dir(&dir).run().code(0);
        fill().code(0).stdout(&compiled(FLAT + 1)).stderr("");
        fill().code(0).stdout(&compiled(0));
        assert_eq!(fs::read_dir(&cache).unwrap().count(), 1, "{file}");
    }
}

#[test]
fn a_component_fills_the_cache_and_is_compiled_ahead() {
    let (dir, cache) = (flat(), scratch());
    let cache = text(cache.path());
    let compiled = format!("{} functions compiled\n", FLAT + 1);
    let fill = inn(&["cache", "fill", "component.wat", "--cache", &cache]).current_dir(&dir).run();
    fill.code(0).stdout(&format!("component.wat: {compiled}"));
    inn(&["--cache", &cache, "component.wat"]).current_dir(&dir).run().code(0).stderr("");
    inn(&["compile", "component.wat"])
        .current_dir(&dir)
        .run()
        .code(0)
        .prints(&["component.cwasm: ", &compiled]);
    let run = |flags: &[&str]| inn(&[flags, &["component.cwasm"]].concat()).current_dir(&dir).run();
    run(&[]).code(1).says(&["compiled ahead of time", "--allow-precompiled"]);
    run(&["--allow-precompiled"]).code(0).stdout("").stderr("");
    // What is told of it is as always.
    run(&["--allow-precompiled", "--explain"]).code(0);
}

/// A program that is over soon and was interpreted, in a loop if it is `busy`: not long enough for anybody to have waited for its code.
fn short(is_busy: bool) -> tempfile::TempDir {
    let dir = scratch();
    let times = if is_busy { 200_000 } else { 20 };
    let text = format!(
        "(module
          (func $step (param i32) (result i32) (i32.sub (local.get 0) (i32.const 1)))
          (func (export \"_start\") (local i32)
            (local.set 0 (i32.const {times}))
            (loop (br_if 0 (local.tee 0 (call $step (local.get 0)))))))"
    );
    fs::write(dir.path().join("short.wat"), text).unwrap();
    dir
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_leaves_a_process_behind_that_compiles_for_the_next() {
    // Whether it called many functions, or few that took their time: the hottest are compiled, however little the run took; how many is a matter of its time.
    for (dir, module) in [(flat(), "flat.wat"), (flat(), "component.wat"), (short(true), "short.wat")] {
        let cache = scratch();
        let cache = text(cache.path());
        let run = |more: &[&str]| {
            let args = [&["--cache", &cache][..], more, &[module]].concat();
            inn(&args).current_dir(&dir).run().code(0).stdout("").stderr("");
        };
        // The process has the directory for itself from before the run's end to its own.
        let wait = || fs::File::open(&cache).unwrap().lock().unwrap();
        run(&["--compile-after", "off"]);
        wait();
        let fill = || {
            let fill = inn(&["cache", "fill", "--called", "--cache", &cache, module]).current_dir(&dir).run();
            let said = &fill.stdout;
            said.split(' ').nth(1).and_then(|count| count.parse::<usize>().ok()).unwrap()
        };
        run(&[]);
        wait();
        let (count, left) = (if module == "short.wat" { 2 } else { FLAT + 1 }, fill());
        assert!(left < count, "{module}: {left} functions have been left for the next process");
    }
}

/// A function that takes longer to compile than the program runs and is called once, beside one that is hot: no run is to begin with it again.
#[cfg(target_os = "linux")]
#[test]
fn runs_come_to_an_end_of_compiling() {
    const RUNS: usize = 6;
    let dir = scratch();
    let body: String =
        (1..20_000).map(|i| format!("(i32.const {i}) i32.mul (local.get 0) i32.rotl\n")).collect();
    let text_of = format!(
        "(module
          (func $once (param i32) (result i32) local.get 0 {body})
          (func $step (param i32) (result i32) (i32.sub (local.get 0) (i32.const 1)))
          (func (export \"_start\") (local i32)
            (local.set 0 (i32.const 20000000))
            (drop (call $once (i32.const 1)))
            (loop (br_if 0 (local.tee 0 (call $step (local.get 0)))))))"
    );
    fs::write(dir.path().join("m.wat"), text_of).unwrap();
    for compile_after in ["off", "auto"] {
        let cache = scratch();
        let directory = text(cache.path());
        let written: Vec<u64> = (0..RUNS)
            .map(|_| {
                let args = ["--cache", &directory, "--compile-after", compile_after, "m.wat"];
                inn(&args).current_dir(&dir).run().code(0).stdout("").stderr("");
                // Whoever was left behind has the directory for itself from before the run's end to its own.
                fs::File::open(&directory).unwrap().lock().unwrap();
                let file = fs::read_dir(&directory).unwrap().next().unwrap().unwrap();
                file.metadata().unwrap().ino()
            })
            .collect();
        assert!(
            written[RUNS - 3..].iter().all(|inode| *inode == written[RUNS - 1]),
            "{compile_after}: {written:?}"
        );
    }
}

/// Where the system weighs sessions against each other, the lowest priority within its own is not enough: it would have half of a processor.
#[cfg(target_os = "linux")]
#[test]
fn what_is_left_behind_gets_out_of_the_way_of_other_sessions() {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
    let weighs = fs::read_to_string("/proc/sys/kernel/sched_autogroup_enabled");
    if !weighs.is_ok_and(|is_enabled| is_enabled.trim() == "1") {
        eprintln!(
            "KNOWN GAP: not tried, since this system weighs no sessions (kernel.sched_autogroup_enabled)"
        );
        return;
    }
    let (dir, cache) = (flat(), scratch());
    let cache = text(cache.path());
    inn(&["--cache", &cache, "--compile-after", "off", "flat.wat"]).current_dir(&dir).run().code(0);
    let weight = |budget| {
        let args = ["cache", "fill", "--called", "--background", "--cache", &cache, "--budget", budget];
        let mut command = inn(&[&args[..], &["flat.wat"]].concat()).command;
        let mut child = command.current_dir(&dir).stdout(std::process::Stdio::null()).spawn().unwrap();
        let id = Pid::from_child(&child);
        // It has ended, and is still there to be asked.
        waitid(WaitId::Pid(id), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
        let weight = fs::read_to_string(format!("/proc/{}/autogroup", child.id()));
        child.wait().unwrap();
        weight.unwrap()
    };
    // The system hears of it from one process at a time only, of those without privileges.
    for (budget, expected) in [("100", " nice 10"), ("60000", " nice 19")] {
        let is_low = (0..20).any(|_| weight(budget).trim().ends_with(expected));
        assert!(is_low, "{}", weight(budget));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_process_is_left_behind_for_what_is_hot_and_was_not_compiled_in_time() {
    // A function gets hot just before the end. What was interpreted would not be felt; that the next run compiles the function would be.
    const CALLS_UNTIL_HOT: u32 = 500;
    const INSTRUCTIONS: u32 = 600;
    let (dir, cache) = (scratch(), scratch());
    let body: String = (1..INSTRUCTIONS).map(|i| format!("(i32.const {i}) i32.xor\n")).collect();
    let text_of = format!(
        "(module
          (func $step (param i32) (result i32) local.get 0 {body})
          (func (export \"_start\") (local i32)
            (loop
              (drop (call $step (local.get 0)))
              (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const {times}))))))",
        times = CALLS_UNTIL_HOT + 2
    );
    fs::write(dir.path().join("late.wat"), text_of).unwrap();
    let cache = text(cache.path());
    inn(&["--cache", &cache, "late.wat"]).current_dir(&dir).run().code(0).stdout("").stderr("");
    fs::File::open(&cache).unwrap().lock().unwrap();
    let fill = inn(&["cache", "fill", "--called", "--cache", &cache, "late.wat"]).current_dir(&dir).run();
    // At least the function that is worth most has been compiled: `_start` may be left.
    assert!(!fill.stdout.starts_with("late.wat: 2"), "{}", fill.stdout);
}

#[cfg(target_os = "linux")]
#[test]
fn no_process_is_left_behind_where_nothing_would_be_felt() {
    let (dir, cache) = (short(false), scratch());
    inn(&["--cache", &text(cache.path()), "short.wat"]).current_dir(&dir).run().code(0);
    assert_eq!(fs::read_dir(cache.path()).unwrap().count(), 0);
}

/// A guest that may write to where inn's program and the module are removes both. The system then calls the program by a name that another file can have.
#[cfg(target_os = "linux")]
#[test]
fn y5_the_process_left_behind_is_the_running_program_and_compiles_the_module_that_ran() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let cache = scratch();
    let cache = text(cache.path());
    let at = |name: &str| dir.path().join(name);
    let module = "(module
        (import \"wasi_snapshot_preview1\" \"path_unlink_file\" (func $unlink (param i32 i32 i32) (result i32)))
        (memory (export \"memory\") 1)
        (data (i32.const 0) \"innm.wat\")
        (func $step (param i32) (result i32) (i32.sub (local.get 0) (i32.const 1)))
        (func (export \"_start\") (local i32)
          (if (call $unlink (i32.const 3) (i32.const 0) (i32.const 3)) (then unreachable))
          (if (call $unlink (i32.const 3) (i32.const 3) (i32.const 5)) (then unreachable))
          (local.set 0 (i32.const 200000))
          (loop (br_if 0 (local.tee 0 (call $step (local.get 0)))))))";
    fs::write(at("m.wat"), module).unwrap();
    fs::write(at("kept.wat"), module).unwrap();
    fs::hard_link(env!("CARGO_BIN_EXE_inn"), at("inn")).unwrap();
    let planted = at("inn (deleted)");
    fs::write(&planted, format!("#!/bin/sh\necho > '{}'\n", text(&at("EXECUTED")))).unwrap();
    fs::set_permissions(&planted, fs::Permissions::from_mode(0o700)).unwrap();
    let mut run = inn(&["--cache", &cache, "--dir", ".", "m.wat"]);
    run.command = {
        let mut command = std::process::Command::new(at("inn"));
        command.args(run.command.get_args());
        command.envs(run.command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command
    };
    run.current_dir(&dir)
        .run()
        .code(0)
        .says(&["the program inn itself lies in", "which the guest may write to"]);
    // The process has the directory for itself from before the run's end to its own.
    fs::File::open(&cache).unwrap().lock().unwrap();
    assert!(!at("EXECUTED").exists(), "what the guest could have put there was executed");
    let fill = inn(&["cache", "fill", "--called", "--cache", &cache, "kept.wat"]).current_dir(&dir).run();
    fill.code(0).stdout("kept.wat: 0 functions compiled\n");
}

/// What stands in the module's place by the time is no module any more: nobody waits for it.
#[cfg(target_os = "linux")]
#[test]
fn the_process_left_behind_waits_for_no_pipe() {
    let (dir, cache) = (scratch(), scratch());
    let pipe = text(&dir.path().join("pipe"));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let cache = text(cache.path());
    inn(&["cache", "fill", "--called", "--background", "--cache", &cache, &pipe]).run().code(1);
}

#[cfg(target_os = "linux")]
#[test]
fn no_process_is_left_behind_where_one_is_at_work() {
    let (dir, cache) = (flat(), scratch());
    let cache = text(cache.path());
    let at_work = fs::File::open(&cache).unwrap();
    at_work.lock().unwrap();
    inn(&["--cache", &cache, "flat.wat"]).current_dir(&dir).run().code(0);
    drop(at_work);
    let fill = inn(&["cache", "fill", "--called", "--cache", &cache, "flat.wat"]).current_dir(&dir).run();
    fill.code(0).stdout(&format!("flat.wat: {} functions compiled\n", FLAT + 1));
}

#[test]
fn y4_the_key_is_the_users_own_and_without_it_there_is_no_cache() {
    let (dir, home) = (module(), scratch());
    let at = |name: &str| text(&home.path().join(name));
    let run = |more: &[&str], state: &str| {
        let args = [more, &["--tier", "compiled", "--invoke", "twice", "m.wat", "21"]].concat();
        let run = inn(&args).env("XDG_CACHE_HOME", &at("cache")).env("XDG_STATE_HOME", state);
        run.current_dir(&dir).run()
    };
    let files = || fs::read_dir(at("cache/innkeeper")).map_or(0, |entries| entries.count());
    run(&[], &at("state")).code(0).stdout("42\n").stderr("");
    assert_eq!(files(), 1);
    let key = at("state/innkeeper/cache-key/key");
    let made = fs::metadata(&key).unwrap();
    assert_eq!((made.mode() & 0o7777, made.len()), (0o600, 32));
    let file = fs::read_dir(at("cache/innkeeper")).unwrap().next().unwrap().unwrap().path();
    let inode = || fs::metadata(&file).unwrap().ino();
    let before = inode();
    run(&[], &at("state")).code(0).stdout("42\n");
    assert_eq!(inode(), before, "what this key vouches for is used");
    // Whoever has another key has left this file, for all that is known here.
    run(&[], &at("other")).code(0).stdout("42\n");
    assert_ne!(inode(), before, "what it does not vouch for is made again");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    fs::remove_file(&file).unwrap();
    let told = run(&[], &at("state"));
    told.code(0).stdout("42\n").says(&["warning: ", "cache-key", "is open to others (mode 0644)"]);
    // Once is enough.
    run(&[], &at("state")).code(0).stdout("42\n").stderr("");
    run(&["--explain"], &at("state")).code(0).says(&["note: ", "cache-key", "is open to others (mode 0644)"]);
    assert_eq!(files(), 1, "no cache without a key, but a note that this was said");
    run(&["--cache", &at("asked")], &at("state")).code(1).says(&["open to others", "--cache off"]);
}

/// A guest may be granted the file that is executed: it does not change what is.
#[test]
fn y4_code_compiled_ahead_is_not_changed_under_a_running_guest() {
    let dir = scratch();
    // Opens itself for writing, makes itself empty, and then calls what it had not called before.
    let body: String = (0..200).map(|i| format!("(drop (i32.add (i32.const {i}) (i32.const 1)))")).collect();
    let text = format!(
        r#"(module
        (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 16) "m.cwasm")
        (func $later (result i32) {body} (i32.const 42))
        (func (export "run") (result i32)
            (if (call $open (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 7) (i32.const 8)
                (i64.const 64) (i64.const 64) (i32.const 0) (i32.const 0)) (then unreachable))
            (call $later)))"#
    );
    fs::write(dir.path().join("m.wat"), text).unwrap();
    inn(&["compile", "m.wat"]).current_dir(&dir).run().code(0);
    let args = ["--dir", ".", "--tier", "compiled", "--allow-precompiled", "--invoke", "run", "m.cwasm"];
    inn(&args).current_dir(&dir).run().code(0).stdout("42\n");
    assert_eq!(fs::metadata(dir.path().join("m.cwasm")).unwrap().len(), 0);
}

/// A folder with a home directory that has a key and a cache, and `open.wat`, which opens the path that it is called with in its first directory and returns
/// what the host says.
fn home_with_a_key() -> tempfile::TempDir {
    let dir = scratch();
    for path in [".local/state/innkeeper/cache-key", ".cache/innkeeper"] {
        fs::create_dir_all(dir.path().join("home").join(path)).unwrap();
    }
    fs::write(dir.path().join("home/.local/state/innkeeper/cache-key/key"), [7; 32]).unwrap();
    fs::write(dir.path().join("home/.cache/innkeeper/code"), "code").unwrap();
    fs::write(dir.path().join("home/ordinary"), "text").unwrap();
    for (name, path) in [
        ("key", ".local/state/innkeeper/cache-key/key"),
        ("code", ".cache/innkeeper/code"),
        ("ordinary", "ordinary"),
    ] {
        let text = format!(
            r#"(module
            (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "{path}")
            (func (export "open") (result i32)
                (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const {}) (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 1000))))"#,
            path.len()
        );
        fs::write(dir.path().join(format!("{name}.wat")), text).unwrap();
    }
    dir
}

#[test]
fn y4_the_key_of_the_home_directory_is_hidden_in_every_environment() {
    const NOT_PERMITTED: &str = "63\n";
    for (name, said) in [("key", NOT_PERMITTED), ("code", NOT_PERMITTED), ("ordinary", "0\n")] {
        let dir = home_with_a_key();
        let home = text(&dir.path().join("home"));
        let module = text(&dir.path().join(format!("{name}.wat")));
        let args = ["--dir", &home, "--invoke", "open", &module];
        // The cache and state of this environment are elsewhere: `inn` sets them.
        inn(&args).env("HOME", &home).run().code(0).stdout(said);
        // The environment's home directory is another one, and the system knows this one.
        let users = dir.path().join("passwd");
        let user = fs::metadata(dir.path()).unwrap().uid();
        fs::write(&users, format!("somebody:x:{user}:0:remark:{home}:/bin/sh\n")).unwrap();
        let Some(run) = inn_with_mount(&args, (&users, Path::new("/etc/passwd"))) else { return };
        run.env("HOME", "/nowhere").run().code(0).stdout(said);
    }
}

/// A part of what is granted is mounted where the cache is.
#[test]
fn c7_a_cache_within_reach_by_a_mount_is_refused() {
    for (granted, part) in [("data", "data/part"), ("data/part", "data"), ("data", "data")] {
        let (dir, place) = (module(), scratch());
        let at = |name: &str| place.path().join(name);
        fs::create_dir_all(at("data/part/cache")).unwrap();
        fs::create_dir_all(at("data/cache")).unwrap();
        fs::create_dir(at("seen")).unwrap();
        for directory in ["data", "data/part", "data/cache", "data/part/cache"] {
            fs::set_permissions(at(directory), fs::Permissions::from_mode(0o700)).unwrap();
        }
        // Where the granted directory is a part of the cache, that is all of what is mounted.
        let cache = if granted == "data" { "seen/cache" } else { "seen" };
        let (granted, cache) = (text(&at(granted)), text(&at(cache)));
        let args = ["--dir", &granted, "--cache", &cache, "--invoke", "twice", "m.wat", "21"];
        let Some(run) = inn_with_mount(&args, (&at(part), &at("seen"))) else { return };
        run.current_dir(&dir).run().code(1).says(&["cannot be inside a directory that the guest is granted"]);
    }
}
