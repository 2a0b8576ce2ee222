//! Policies: granted, checked, learned.

use std::fs;

use crate::components::component_of;
use crate::keys::PRINT_ENV;
use crate::{guest, inn, scratch, site};

#[test]
fn a_policy_grants_what_it_says_relative_to_its_folder() {
    let dir = scratch();
    fs::create_dir_all(dir.path().join("etc/data")).unwrap();
    fs::write(dir.path().join("etc/data/notes"), "kept").unwrap();
    fs::write(
        dir.path().join("etc/p.toml"),
        "[[directory]]\nhost = \"data\"\nguest = \"/d\"\n[stdio]\nstdout = { file = \"out\" }\n",
    )
    .unwrap();
    inn(&["policy", "check", "etc/p.toml"]).current_dir(&dir).run().code(0).prints(&["it can be granted"]);
    inn(&["--policy", "etc/p.toml", "{cat}", "/d/notes"]).current_dir(&dir).run().code(0).stdout("");
    assert_eq!(fs::read_to_string(dir.path().join("etc/out")).unwrap(), "kept");
    // Flags add, and a policy's directory is read-only unless it says otherwise.
    let args = ["--policy", "etc/p.toml", "--stdout", "inherit", "{cp}", "/d/notes", "/d/copy"];
    inn(&args).current_dir(&dir).run().code(1).says(&["denied", "read-only"]);
}

/// Whoever learns it in the program's folder and writes it above: both can travel together.
#[test]
fn what_lies_beneath_a_learned_policys_folder_is_relative_to_it() {
    let dir = scratch();
    fs::create_dir_all(dir.path().join("app/data")).unwrap();
    fs::write(dir.path().join("app/data/notes"), "kept").unwrap();
    let learn = ["policy", "learn", "--to", "../p.toml", "--dir", "data::/d::ro", "{cat}", "/d/notes"];
    inn(&learn).current_dir(dir.path().join("app")).run().code(0).stdout("kept");
    let learned = fs::read_to_string(dir.path().join("p.toml")).unwrap();
    assert!(learned.contains("host = \"app/data\""), "{learned}");
    inn(&["--policy", "p.toml", "{cat}", "/d/notes"]).current_dir(&dir).run().code(0).stdout("kept");
}

/// What a component makes use of is learned as what a module does, and enough for it.
#[test]
fn a_policy_is_learned_from_a_component() {
    let dir = scratch();
    let module = fs::read(guest("cat")).unwrap();
    fs::write(dir.path().join("cat.wasm"), component_of(&module).unwrap()).unwrap();
    for folder in ["used", "unused"] {
        fs::create_dir(dir.path().join(folder)).unwrap();
        fs::write(dir.path().join(folder).join("notes"), "kept").unwrap();
    }
    let keys = ["--dir", "used::/d", "--dir", "unused::/u", "--env", "A=B", "--net", "connect:127.0.0.1:9"];
    let learn = [&["policy", "learn", "--to", "p.toml"], &keys[..], &["cat.wasm", "/d/notes"]].concat();
    inn(&learn).current_dir(&dir).run().code(0).stdout("kept");
    let learned = fs::read_to_string(dir.path().join("p.toml")).unwrap();
    assert!(learned.contains("guest = \"/d\"\naccess = \"ro\""), "{learned}");
    for unused in ["/u", "connect", "rw"] {
        assert!(!learned.contains(unused), "{unused} is in {learned}");
    }
    inn(&["--policy", "p.toml", "cat.wasm", "/d/notes"]).current_dir(&dir).run().code(0).stdout("kept");
    inn(&["--policy", "p.toml", "cat.wasm", "/u/notes"]).current_dir(&dir).run().code(1).says(&["denied"]);
}

#[test]
fn a_policy_that_its_guest_may_change_is_warned_of() {
    let dir = scratch();
    let check = |access: &str| {
        fs::write(dir.path().join("p.toml"), format!("[[directory]]\nhost = \".\"\naccess = \"{access}\"\n"))
            .unwrap();
        inn(&["policy", "check", "p.toml"]).current_dir(&dir).run()
    };
    check("rw").code(0).says(&["p.toml: the policy lies in ", "which the guest may write to"]);
    check("ro").code(0).stderr("");
    check("cow").code(0).stderr("");
}

#[test]
fn a_variable_that_is_not_utf8_is_left_out_of_a_pattern_and_asked_for_by_its_name() {
    use std::os::unix::ffi::OsStrExt;
    let dir = scratch();
    fs::write(dir.path().join("m.wat"), PRINT_ENV).unwrap();
    let run = |inherit: &str| {
        fs::write(dir.path().join("p.toml"), format!("[environment]\ninherit = {inherit}\n")).unwrap();
        let mut run = inn(&["--policy", "p.toml", "m.wat"]).current_dir(&dir).env("BA", "good");
        run.command.env("BX", std::ffi::OsStr::from_bytes(b"\xff"));
        run.run()
    };
    run("[\"B*\"]").code(0).stdout("BA=good\0").stderr("");
    run("[\"B*\", \"BX\"]").code(2).says(&["BX is not UTF-8"]);
}

#[test]
fn a_mistake_in_a_policy_is_named_with_its_place() {
    let dir = scratch();
    for (text, says) in [
        ("[[directory]]\nhost = \"x\"\nacess = \"rw\"\n", vec!["line 3", "acess"]),
        ("[limits]\nwall = \"soon\"\n", vec!["line 2", "not a duration"]),
        ("directory = 3\n", vec!["line 1"]),
        ("[[directory]]\nhost = \"missing\"\n", vec!["there is no such directory"]),
        ("[stdio]\nstdin = \"discard\"\n", vec!["stdin cannot be"]),
        ("[network]\nlisten = [\"nowhere\"]\n", vec!["line 2"]),
    ] {
        fs::write(dir.path().join("p.toml"), text).unwrap();
        inn(&["policy", "check", "p.toml"]).current_dir(&dir).run().code(2).says(&says);
    }
    inn(&["--policy", "none.toml", "{hello-c}"]).current_dir(&dir).run().code(2).says(&["none.toml"]);
}

/// Checking opens no pipe, and neither that nor learning waits for ever.
#[test]
fn policies_that_name_pipes_are_checked_and_learned_in_time() {
    let dir = scratch();
    for pipe in ["in", "out", "p"] {
        let made = std::process::Command::new("mkfifo").arg(dir.path().join(pipe)).status().unwrap();
        assert!(made.success());
    }
    fs::write(dir.path().join("m.wat"), "(module (func (export \"_start\") (loop (br 0))))").unwrap();
    let text = "[stdio]\nstdin = { file = \"in\" }\nstdout = { file = \"out\" }\n";
    fs::write(dir.path().join("p.toml"), text).unwrap();
    let run = |args: &[&str]| inn(args).current_dir(&dir).run();
    run(&["policy", "check", "--timeout", "10s", "p.toml"]).code(0).prints(&["it can be granted"]);
    run(&["policy", "check", "--timeout", "100ms", "p"]).code(1).says(&["it takes longer than 100ms"]);
    let learn = ["policy", "learn", "--timeout", "200ms", "--to"];
    // The policy to extend, one that is granted, and the guest.
    for (to, flags) in [("p", &[][..]), ("l.toml", &["--policy", "p"]), ("l.toml", &[])] {
        run(&[&learn[..], &[to], flags, &["m.wat"]].concat()).code(134).says(&["deadline exceeded"]);
    }
}

#[test]
fn a_learned_policy_covers_the_run_and_no_more() {
    let dir = site();
    fs::create_dir(dir.path().join("out")).unwrap();
    fs::create_dir(dir.path().join("secret")).unwrap();
    fs::write(dir.path().join("secret/page.md"), "# Secret\n").unwrap();
    let run = |args: &[&str]| inn(args).current_dir(&dir).run();
    let build = ["{markdown-site}", "build", "/w/site", "/w/out"];
    run(&[&["policy", "learn", "--to", "p.toml", "--dir", ".::/w"][..], &build].concat()).code(0);
    let learned = fs::read_to_string(dir.path().join("p.toml")).unwrap();
    assert!(learned.contains("guest = \"/w/site\"\naccess = \"ro\""), "{learned}");
    assert!(learned.contains("guest = \"/w/out\"\naccess = \"rw\""), "{learned}");
    assert!(learned.contains("stdin = \"empty\""), "{learned}");
    fs::remove_dir_all(dir.path().join("out")).unwrap();
    fs::create_dir(dir.path().join("out")).unwrap();
    run(&[&["--policy", "p.toml"][..], &build].concat()).code(0);
    // One more path, to read or to write, is refused.
    let other = ["--policy", "p.toml", "{markdown-site}", "build", "/w/secret", "/w/out"];
    run(&other).code(3).says(&["denied", "/w/secret"]);
    run(&["--policy", "p.toml", "{markdown-site}", "build", "/w/site", "/w/site/out"])
        .code(3)
        .says(&["denied"]);
    // A second run extends it.
    let learn = [
        "policy",
        "learn",
        "--to",
        "p.toml",
        "--dir",
        ".::/w",
        "{markdown-site}",
        "build",
        "/w/secret",
        "/w/out",
    ];
    run(&learn).code(0);
    run(&other).code(0);
    run(&[&["--policy", "p.toml"][..], &build].concat()).code(0);
}

/// A name of a variable that would be a pattern, and an input that is empty, are learned as that.
#[test]
fn a_learned_policy_grants_no_other_variables_and_no_other_input() {
    let dir = scratch();
    fs::write(
        dir.path().join("p.toml"),
        "[environment.set]\n\"ROOM*\" = \"1\"\n[stdio]\nstdin = \"empty\"\n",
    )
    .unwrap();
    let module = r#"(module
        (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start")
            (drop (call $sizes (i32.const 0) (i32.const 4)))
            (drop (call $read (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 32)))))"#;
    fs::write(dir.path().join("m.wat"), module).unwrap();
    let run = |args: &[&str]| {
        inn(args).env("ROOM*", "1").env("ROOMKEY", "secret").stdin("secret").current_dir(&dir).run()
    };
    run(&["policy", "learn", "--to", "learned.toml", "--policy", "p.toml", "m.wat"]).code(0);
    let learned = fs::read_to_string(dir.path().join("learned.toml")).unwrap();
    assert!(learned.contains("stdin = \"empty\""), "{learned}");
    assert!(learned.contains("\"ROOM*\" = \"1\"") && !learned.contains("inherit ="), "{learned}");
}

#[test]
fn a_learned_policy_lets_paths_with_dots_be_found_again() {
    let dir = scratch();
    fs::create_dir(dir.path().join("sub")).unwrap();
    fs::write(dir.path().join("sub/f"), "found").unwrap();
    for name in [".", "/"] {
        for path in ["./sub/f", "sub/f", "/sub/f"] {
            let run = |args: &[&str]| inn(&[args, &["{cat}", path]].concat()).current_dir(&dir).run();
            let grant = format!(".::{name}");
            let first = run(&["policy", "learn", "--to", "p.toml", "--dir", &grant]);
            let second = run(&["--policy", "p.toml"]);
            assert_eq!((first.code, first.stdout), (second.code, second.stdout), "{name} {path}");
            fs::remove_file(dir.path().join("p.toml")).unwrap();
        }
    }
}

#[test]
fn a_learned_policy_means_the_same_where_its_folder_is_a_link() {
    let dir = scratch();
    for (folder, text) in [("w", "meant"), ("real/w", "not meant")] {
        fs::create_dir_all(dir.path().join(folder)).unwrap();
        fs::write(dir.path().join(folder).join("f"), text).unwrap();
    }
    fs::create_dir_all(dir.path().join("real/deep")).unwrap();
    std::os::unix::fs::symlink("real/deep", dir.path().join("link")).unwrap();
    let run = |args: &[&str]| {
        inn(args).current_dir(&dir).run().code(0).stdout("meant");
    };
    run(&["policy", "learn", "--to", "link/p.toml", "--dir", "w::/w", "{cat}", "/w/f"]);
    run(&["--policy", "link/p.toml", "{cat}", "/w/f"]);
}

/// A guest that looks into its second directory, makes a file there if it may, then moves the directory `D` of its first one away and puts `link` in its place.
fn leads_elsewhere(link: &str) -> String {
    format!(
        r#"(module
        (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_rename" (func $rename (param i32 i32 i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_symlink" (func $symlink (param i32 i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "in/f") (data (i32.const 16) "D") (data (i32.const 32) "old") (data (i32.const 64) "{link}")
        (data (i32.const 128) "\c8\00\00\00\01")
        (func (export "_start")
            (drop (call $open (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 2) (i32.const 2) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 192)))
            (drop (call $open (i32.const 4) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 192)))
            (drop (call $read (i32.const 0) (i32.const 128) (i32.const 1) (i32.const 192)))
            (if (call $rename (i32.const 3) (i32.const 16) (i32.const 1) (i32.const 3) (i32.const 32) (i32.const 3)) (then unreachable))
            (if (call $symlink (i32.const 64) (i32.const {}) (i32.const 3) (i32.const 16) (i32.const 1)) (then unreachable))))"#,
        link.len()
    )
}

/// Whatever a policy names is named by its path: a directory, an input, an output. Where the guest has had that lead elsewhere, it is left out, and that is said.
#[test]
fn a_learned_policy_names_nothing_that_its_guest_has_led_elsewhere() {
    let applied = ["--dir", "P::/p::cow", "--cow-changes", "apply"];
    let written = ["--dir", "P::/p"];
    let named: [(&[&str], &str); 6] = [
        (&["--dir", "P/D::/d"], "P/D"),
        (&["--dir", "P/D::/d::ro"], "P/D"),
        (&["--dir", "P/D::/d::cow"], "P/D"),
        (&["--stdin", "file:P/D/in/file"], "P/D/in/file"),
        (&["--stdout", "file:P/D/in/out"], "P/D/in/out"),
        (&["--stderr", "append:P/D/in/out"], "P/D/in/out"),
    ];
    // To what was not granted, and back to where it was, by a way that the guest can change again.
    for link in ["../secret", "old"] {
        for granted in [&applied[..], &written] {
            for (flags, path) in named {
                let dir = scratch();
                for name in ["P/D/in", "secret/in"] {
                    fs::create_dir_all(dir.path().join(name)).unwrap();
                    fs::write(dir.path().join(name).join("file"), "text").unwrap();
                }
                fs::write(dir.path().join("m.wat"), leads_elsewhere(link)).unwrap();
                let learn = ["policy", "learn", "--to", "p.toml"];
                let ran = inn(&[&learn[..], granted, flags, &["m.wat"]].concat()).current_dir(&dir).run();
                ran.code(0);
                let learned = fs::read_to_string(dir.path().join("p.toml")).unwrap();
                assert!(!learned.contains("P/D"), "{link} {granted:?} {flags:?}: {learned}");
                assert!(learned.contains("\"P\""), "{link} {granted:?} {flags:?}: {learned}");
                ran.says(&[&format!("{path}: what was used there is not in the policy")]);
            }
        }
    }
}

/// Paths in a policy are relative to where it lies, and not to where the guest has had the path lead by which it was to be written.
#[test]
fn a_learned_policy_is_relative_to_where_it_lies_whatever_its_guest_has_done_to_the_way() {
    let dir = scratch();
    for name in ["P/D/in", "P/E/in", "deep/deeper/D"] {
        fs::create_dir_all(dir.path().join(name)).unwrap();
    }
    fs::write(dir.path().join("m.wat"), leads_elsewhere("../deep/deeper/D")).unwrap();
    let learn = ["policy", "learn", "--to", "P/D/p.toml", "--dir", "P::/p", "--dir", "P/E::/e", "m.wat"];
    inn(&learn).current_dir(&dir).run().code(0);
    let learned = fs::read_to_string(dir.path().join("P/old/p.toml")).unwrap();
    assert!(learned.contains("host = \"../E/in\""), "{learned}");
}

/// Whatever is written when the guest has ended, each output and each thing that is done with changes, is written although it has left open all that it could.
#[test]
fn a_guest_that_leaves_everything_open_takes_no_output_with_it() {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "in/f") (data (i32.const 16) ".")
        (func (export "_start") (local i32)
            (if (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 192)) (then unreachable))
            (loop (br_if 0 (i32.eqz (call $open (i32.const 4) (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 2) (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 192)))))
            (loop (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 30000000))))))"#;
    let cow = ["--dir", "C::/c::cow", "--dir", "C::/o::ro"];
    let profile = ["--tier", "interpreter", "--profile", "out.svg"];
    let learn = ["policy", "learn", "--to", "out.toml", "--dir", "C::/c", "--dir", "C::/o::ro"];
    let cases: [(Vec<&str>, &str); 8] = [
        ([&cow[..], &["--cow-changes", "apply"]].concat(), "C/in/f"),
        ([&cow[..], &["--cow-changes", "tar=out.tar"]].concat(), "out.tar"),
        ([&cow[..], &["--cow-changes", "list"]].concat(), "m.wat"),
        ([&cow[..], &profile].concat(), "out.svg"),
        ([&cow[..], &["--trace=summary", "--trace-file", "out.txt"]].concat(), "out.txt"),
        ([&cow[..], &["--record", "out.rec"]].concat(), "out.rec"),
        (learn.to_vec(), "out.toml"),
        ([&learn[..], &profile].concat(), "out.toml"),
    ];
    for (flags, made) in cases {
        let dir = scratch();
        fs::create_dir_all(dir.path().join("C/in")).unwrap();
        fs::write(dir.path().join("m.wat"), text).unwrap();
        let args = [&flags[..], &["m.wat"]].concat();
        let mut run = inn(&args).current_dir(&dir);
        let plain = std::mem::replace(&mut run.command, std::process::Command::new("sh"));
        run.command
            .args(["-c", "ulimit -n 60; exec \"$@\"", "sh"])
            .arg(plain.get_program())
            .args(plain.get_args());
        run.command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let run = run.current_dir(&dir).run();
        run.code(0);
        assert!(dir.path().join(made).exists(), "{flags:?}: {run:#?}");
        if made == "out.toml" {
            let learned = fs::read_to_string(dir.path().join(made)).unwrap();
            assert!(
                learned.contains("\"C/in\"") && !learned.contains("access = \"rw\"\nhost = \"C\""),
                "{learned}"
            );
        }
    }
}

#[test]
fn a_learned_policy_names_the_variables_of_its_user_and_not_what_they_hold() {
    let dir = scratch();
    fs::write(dir.path().join("env.wat"), PRINT_ENV).unwrap();
    let run = |args: &[&str]| {
        let ran = inn(args).current_dir(&dir).env("SECRET_OF_MINE", "hunter2").run();
        ran.code(0).prints(&["SECRET_OF_MINE=hunter2\0", "MODE=fast\0"]);
    };
    run(&["policy", "learn", "--to", "p.toml", "--env", "SECRET_OF_MINE", "--env", "MODE=fast", "env.wat"]);
    run(&["--policy", "p.toml", "env.wat"]);
    let learned = fs::read_to_string(dir.path().join("p.toml")).unwrap();
    assert!(!learned.contains("hunter2"), "{learned}");
}

#[test]
fn a_file_of_a_guest_that_looks_like_unfinished_changes_keeps_no_directory_from_being_granted() {
    let dir = scratch();
    fs::write(dir.path().join("phase"), "phase 0\nsealed x\n").unwrap();
    for access in ["ro", "rw", "cow"] {
        let grant = format!(".::/d::{access}");
        inn(&["--dir", &grant, "{cat}", "/d/phase"]).current_dir(&dir).run().code(0);
    }
}

#[test]
fn a_check_says_in_plain_words_what_the_example_of_the_manual_grants() {
    let page = include_str!("../../../../docs/policies.md");
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let dir = scratch();
    let root = dir.path().canonicalize().unwrap();
    fs::create_dir(root.join("real")).unwrap();
    std::os::unix::fs::symlink("real", root.join("data")).unwrap();
    fs::create_dir(root.join("out")).unwrap();
    // Whatever else listens on this machine.
    fs::write(root.join("all.toml"), example.replace(":8080", ":0")).unwrap();
    let check = || {
        let command = inn(&["policy", "check", "all.toml"]).current_dir(&root);
        command.env("LANG", "de_DE").env("LC_ALL", "hush").env("OTHER", "x").run()
    };
    let ran = check();
    let root = root.to_str().unwrap();
    let data = format!("read: {root}/data, which is {root}/real (a directory)");
    let out = format!("read and change: {root}/out (a directory)");
    let errors = format!("to a file, after what is in it: {root}/errors.log (not there)");
    let lines = [
        ("Granted:", ""),
        ("directory /data", &*data),
        ("directory /out", &out),
        ("directory /tmp", "read and change, in memory, gone with the guest, at most 16 MiB"),
        ("variable LANG", "with the value that it has now"),
        ("variable LC_ALL", "with the value that it has now"),
        ("variable MODE", "with the value that it has now"),
        ("variable RETRIES", "with the value that it has now"),
        ("standard output", "that of inn"),
        ("standard error", &errors),
        ("socket 127.0.0.1:0", "connections to it can be accepted"),
        (
            "connections to api.example.com",
            "by TCP, on port 443, at the addresses that its name has when it is first looked up",
        ),
        ("connections to 10.0.0.0/8", "by TCP, on the ports 5432,8000-8999"),
        ("listening at 127.0.0.1", "connections by TCP can be accepted on a port that the system chooses"),
        ("datagrams with 192.0.2.1", "by UDP, on port 53"),
        ("addresses of *.example.com", "can be looked up"),
        (
            "requests by GET,POST to https://api.example.com/v1/*",
            "can be sent, and its answer read, but to no address of this machine or of a private network",
        ),
        ("clocks", "the machine's"),
        ("randomness", "the system's generator"),
        ("lists of directories", "in the order of the host's file system"),
        ("Not granted:", ""),
        ("standard input", "it is empty"),
        ("arguments", "none but those after FILE on the command line"),
        ("other variables", "none of the host's is seen"),
        ("other files", "nothing outside of the directories above, and what it looks for is told as denied"),
        (
            "files of the kernel's",
            "those in /proc, /sys and their like, also where a directory above has them",
        ),
        ("network", "nothing but what is said above"),
        ("everything else", "no other programs, devices, users or settings of the machine"),
        ("Limits:", ""),
        ("wall", "60s, from the start of the command to its end"),
        ("cpu", "30s, of processor time"),
        ("memory", "256 MiB, for all that the guest makes its host hold"),
        ("written", "1 GiB, for what is written, and what files are made longer by"),
        ("handles", "256 files, directories and sockets open at once"),
        ("threads", "8 besides the first"),
        ("overlay", "64 MiB, for the changes in each cow directory"),
        ("interests", "16384 things waited for at once"),
        ("all.toml: it can be granted", ""),
    ];
    let said: Vec<(&str, &str)> = ran
        .code(0)
        .stdout
        .lines()
        .filter(|line| !line.is_empty() && !line.contains("out of sight"))
        .map(|line| {
            line.trim_start()
                .split_once("  ")
                .map_or((line, ""), |(thing, words)| (thing, words.trim_start()))
        })
        .collect();
    assert_eq!(said, lines, "{ran:#?}");
    ran.prints(&["out of sight", "inn's own, wherever a directory above has it: /"]);
    assert_eq!(ran.stdout.matches("out of sight").count(), 1, "{ran:#?}");
    assert!(!ran.stdout.contains("hush") && !ran.stdout.contains("batch"), "{ran:#?}");
    // What is missing is said where it stands, and why nothing comes of the whole.
    fs::remove_dir(dir.path().join("out")).unwrap();
    let missing = format!("read and change: {root}/out (not there)");
    check().code(2).prints(&[&missing]).says(&["there is no such directory"]);
}

#[test]
fn a_learned_policy_names_the_files_that_outputs_went_to() {
    let dir = scratch();
    fs::write(dir.path().join("m.wat"), r#"(module (func (export "_start")))"#).unwrap();
    let args = [
        "policy",
        "learn",
        "--to",
        "p.toml",
        "--stdout",
        "file:out.txt",
        "--stderr",
        "append:err.txt",
        "m.wat",
    ];
    inn(&args).current_dir(&dir).run().code(0);
    let text = fs::read_to_string(dir.path().join("p.toml")).unwrap();
    for line in ["\"out.txt\"", "\"err.txt\"", "append = true"] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    fs::remove_file(dir.path().join("out.txt")).unwrap();
    inn(&["--policy", "p.toml", "m.wat"]).current_dir(&dir).run().code(0);
    assert!(dir.path().join("out.txt").exists());
}

/// A policy says what the flags say, in their spellings.
#[test]
fn a_policy_takes_the_values_that_flags_take() {
    let dir = scratch();
    fs::write(dir.path().join("m.wat"), r#"(module (func (export "_start")))"#).unwrap();
    let check = |text: &str| {
        fs::write(dir.path().join("p.toml"), text).unwrap();
        inn(&["policy", "check", "p.toml"]).current_dir(&dir).run()
    };
    for (address, socket) in [
        ("0", "127.0.0.1:0"),
        ("\"0\"", "127.0.0.1:0"),
        ("\":0\"", "127.0.0.1:0"),
        ("\"localhost:0\"", "127.0.0.1:0"),
        ("\"0.0.0.0:0\"", "0.0.0.0:0"),
    ] {
        let socket = format!("socket {socket}");
        check(&format!("[network]\nlisten = [{address}]\n")).code(0).prints(&[&socket]);
        let flag = address.trim_matches('"');
        inn(&["--listen", flag, "m.wat"]).current_dir(&dir).run().code(0);
    }
    check("[network]\nlisten = [\"nowhere\"]\n")
        .code(2)
        .says(&["`nowhere` is no address: write PORT, or ADDRESS:PORT"]);
    check("[[temporary]]\nguest = \"/t\"\n").code(0).prints(&["directory /t", "64 MiB"]);
    check("[limits]\nwall = 0\n").code(0).prints(&["  wall ", " 0s, from the start"]);
}

/// Whoever learns is told what the policy lacks, whatever the guest makes of its refusals.
#[test]
fn learning_lists_what_was_denied_to_a_guest_that_succeeds() {
    let dir = scratch();
    fs::write(
        dir.path().join("m.wat"),
        r#"(module (import "wasi_snapshot_preview1" "path_open" (func $f (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 16) "wanted") (func (export "_start")
        (drop (call $f (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 6) (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 8)))))"#,
    )
    .unwrap();
    let ran = inn(&["policy", "learn", "--to", "p.toml", "m.wat"]).current_dir(&dir).run();
    ran.code(0).says(&["denied: open for reading ", "wanted", "what the guest was denied is not in it"]);
    inn(&["m.wat"]).current_dir(&dir).run().code(0).stderr("");
}
