//! Keys: what is refused until it is granted, and what is said about it.

use std::fs;
use std::os::unix::fs::symlink;

use crate::{inn, scratch};

const GREETING: &str = "Hello, World!\n";
const HELLOS: [&str; 3] = ["{hello-c}", "{hello-rust}", "{hello-as}"];

/// Prints its environment, each variable ended by a NUL.
pub(crate) const PRINT_ENV: &str = r#"(module
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (drop (call $sizes (i32.const 0) (i32.const 4)))
        (drop (call $environ (i32.const 1024) (i32.const 4096)))
        (i32.store (i32.const 8) (i32.const 4096))
        (i32.store (i32.const 12) (i32.load (i32.const 4)))
        (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 16)))))"#;

#[test]
fn hello_writes_where_it_was_granted() {
    for hello in HELLOS {
        for flag in [
            &["--dir", "work::/helloworld"],
            &["--dir", "work::/helloworld::rw"],
            &["--mapdir", "/helloworld::work"],
        ] {
            let dir = scratch();
            fs::create_dir(dir.path().join("work")).unwrap();
            let args: Vec<&str> = flag.iter().copied().chain([hello]).collect();
            inn(&args).current_dir(&dir).run().code(0).stdout(GREETING).stderr("");
            assert_eq!(fs::read_to_string(dir.path().join("work/helloworld.txt")).unwrap(), GREETING);
        }
    }
}

#[test]
fn hello_without_a_key_fails_and_names_path_and_flag() {
    for hello in HELLOS {
        let dir = scratch();
        let ran = inn(&[hello]).current_dir(&dir).run();
        ran.code(1).stdout(GREETING).says(&[
            "denied: open for writing /helloworld/helloworld.txt: no key covers it; grant it with --dir HOST::/helloworld::rw\n",
        ]);
        assert_eq!(ran.stderr.lines().count(), 2, "the guest's line and inn's: {ran:#?}");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
    }
}

#[test]
fn a_read_only_key_reads_and_does_not_write() {
    let dir = scratch();
    fs::write(dir.path().join("notes"), "kept").unwrap();
    inn(&["--dir", ".::/d::ro", "{cat}", "/d/notes"])
        .current_dir(&dir)
        .run()
        .code(0)
        .stdout("kept")
        .stderr("");
    let ran = inn(&["--dir", ".::/d::ro", "{hello-c}", "/d/notes"]).current_dir(&dir).run();
    ran.code(1).says(&["denied: open for writing /d/notes", "granted read-only", "--dir .::/d::rw"]);
    assert_eq!(ran.stderr.matches("denied:").count(), 1, "{ran:#?}");
    assert_eq!(fs::read_to_string(dir.path().join("notes")).unwrap(), "kept");
}

#[test]
fn a_directory_without_a_guest_path_has_its_own() {
    let dir = scratch();
    fs::create_dir(dir.path().join("sub")).unwrap();
    fs::write(dir.path().join("sub/notes"), "found").unwrap();
    inn(&["--dir", ".", "{cat}", "sub/notes"]).current_dir(&dir).run().code(0).stdout("found");
    inn(&["--dir", "sub", "{cat}", "sub/notes"]).current_dir(&dir).run().code(0).stdout("found");
    inn(&["--dir", "sub::ro", "{cat}", "sub/notes"]).current_dir(&dir).run().code(0).stdout("found");
}

#[test]
fn a_relative_path_is_found_in_a_directory_for_everything() {
    for hello in ["{hello-c}", "{hello-rust}"] {
        for name in [".", "./", "/"] {
            let dir = scratch();
            let flag = format!(".::{name}");
            inn(&["--dir", &flag, hello, "new"]).current_dir(&dir).run().code(0).stderr("");
            inn(&["--dir", &flag, hello, "/new too"]).current_dir(&dir).run().code(0).stderr("");
            assert_eq!(fs::read_dir(&dir).unwrap().count(), 2);
        }
    }
}

#[test]
fn a_path_beside_the_keys_is_denied_by_name() {
    let dir = scratch();
    fs::create_dir(dir.path().join("work")).unwrap();
    let ran = inn(&["--dir", "work::/elsewhere", "{hello-c}", "/other/file"]).current_dir(&dir).run();
    ran.code(1).says(&["denied: open for writing /other/file: no key covers it", "--dir HOST::/other::rw"]);
}

#[test]
fn a_failure_that_no_key_would_mend_is_the_guests_own() {
    inn(&["{clockrandom}", "--cooked"]).run().code(2).says(&["usage: clockrandom"]);
    let ran = inn(&["{clockrandom}", "--cooked"]).run();
    assert!(!ran.stderr.contains("note:") && !ran.stderr.contains("denied:"), "{ran:#?}");
}

#[test]
fn a_denial_is_said_when_the_guest_succeeds_only_if_asked() {
    let dir = scratch();
    // Opens `../secret` in its first directory, and does not mind being refused.
    let text = r#"(module
        (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 16) "../secret")
        (func (export "_start")
            (drop (call $open (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 9) (i32.const 0)
                (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 0)))))"#;
    inn(&["--dir", ".::/d", "-"]).current_dir(&dir).stdin(text).run().code(0).stderr("");
    let ran = inn(&["--explain", "--dir", ".::/d", "-"]).current_dir(&dir).stdin(text).run();
    ran.code(0).says(&["denied: open for reading /d/../secret", "--dir "]);
}

#[test]
fn explain_says_so_where_nothing_was_denied() {
    inn(&["--explain", "{exit-code}"])
        .run()
        .code(42)
        .stderr("note: nothing that the guest asked the host for was denied\n");
}

#[test]
fn a_key_that_cannot_be_honoured_is_named() {
    let dir = scratch();
    fs::write(dir.path().join("file"), "").unwrap();
    inn(&["--dir", "gone", "{exit-code}"])
        .current_dir(&dir)
        .run()
        .code(2)
        .says(&["error: cannot grant gone: ", "create it"]);
    inn(&["--dir", "file", "{exit-code}"])
        .current_dir(&dir)
        .run()
        .code(2)
        .says(&["error: cannot grant file: ", "not a directory"]);
    for bad in ["a::RO", "a::/b::COW", "::a", "", "a::b::ro::c"] {
        inn(&["--dir", bad, "{exit-code}"])
            .current_dir(&dir)
            .run()
            .code(2)
            .says(&["--dir HOST[::GUEST][::ro|rw|cow][::unsafe]"]);
    }
    inn(&["--mapdir", "a", "{exit-code}"]).current_dir(&dir).run().code(2).says(&["GUEST::HOST"]);
}

#[test]
fn the_environment_is_what_was_granted() {
    let env = |args: &[&str]| {
        let args: Vec<&str> = args.iter().copied().chain(["-"]).collect();
        inn(&args).env("INN_TEST_SET", "in herited").stdin(PRINT_ENV).run()
    };
    env(&[]).code(0).stdout("");
    env(&["--env", "A=1", "--env", "B=", "--env=C=x=y"]).code(0).stdout("A=1\0B=\0C=x=y\0");
    env(&["--env", "INN_TEST_SET"]).code(0).stdout("INN_TEST_SET=in herited\0");
    env(&["--env", "INN_TEST_SET=own"]).code(0).stdout("INN_TEST_SET=own\0");
    env(&["--env", "INN_TEST_UNSET"]).code(2).says(&[
        "error: --env INN_TEST_UNSET: the variable is not set",
        "help: ",
        "=VALUE",
    ]);
    env(&["--env", "=x"]).code(2).says(&["the name is empty"]);
}

/// Where the user's own files would be has nothing to do with what is granted, and may be nonsense.
#[test]
fn a_directory_is_granted_whatever_the_home_is() {
    let long = format!("/{}", "h".repeat(300));
    for home in ["/dev/null", "/nonexistent/home", &long] {
        let dir = scratch();
        std::fs::write(dir.path().join("file"), "text").expect("a file");
        let key = format!("{}::/d::ro", dir.path().display());
        let run = inn(&["--dir", &key, "{cat}", "/d/file"]).env("HOME", home);
        run.env("XDG_CACHE_HOME", &format!("{home}/cache"))
            .env("XDG_STATE_HOME", &format!("{home}/state"))
            .run()
            .code(0)
            .stdout("text");
    }
}

/// The largest size that files may have is a limit of the guest's, and of `inn`'s own reports: an error, and not the process's end.
#[test]
fn the_systems_limit_of_file_sizes_is_an_error() {
    let dir = scratch();
    std::fs::write(dir.path().join("from"), vec![b'x'; 10_000]).expect("a file");
    let inn = env!("CARGO_BIN_EXE_inn");
    let guest = crate::guest("cp");
    let script = format!(
        "ulimit -f 1; exec {inn} --cache off --dir {}::/d {} /d/from /d/to",
        dir.path().display(),
        guest.display()
    );
    let status =
        std::process::Command::new("sh").args(["-c", &script]).stderr(std::process::Stdio::null()).status();
    let status = status.expect("sh runs");
    assert!(status.code().is_some_and(|code| code != 0), "{status:?}");
}

/// Whatever a stream is read from or written to, by whichever name.
#[test]
fn y4_no_standard_stream_is_what_is_hidden() {
    const SECRET: &str = "what only this user reads, 32 byt";
    let dir = scratch();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir_all(at("state/innkeeper/cache-key")).unwrap();
    fs::create_dir_all(at("cache/innkeeper")).unwrap();
    let files = ["state/innkeeper/cache-key/key", "cache/innkeeper/x.code"];
    files.iter().for_each(|file| fs::write(at(file), SECRET).unwrap());
    symlink("state/innkeeper", at("alias")).unwrap();
    symlink("state/innkeeper/cache-key/key", at("link")).unwrap();
    fs::hard_link(at(files[0]), at("same")).unwrap();
    fs::write(at("m.wat"), "(module (memory (export \"memory\") 1) (func (export \"_start\")))").unwrap();
    let run = |args: &[&str]| {
        let module: &[&str] = if args[0] == "policy" { &[] } else { &["m.wat"] };
        let run = inn(&[args, module].concat()).current_dir(&dir);
        let paths = ["cache", "state"].map(|name| at(name).to_str().unwrap().to_owned());
        run.env("XDG_CACHE_HOME", &paths[0]).env("XDG_STATE_HOME", &paths[1]).run()
    };
    let refused = "the code cache or its key is kept there";
    // What is not there cannot be opened to be read, and what cannot be opened is compared with nothing.
    let told = |stream: &str, file: &str| match (stream.ends_with("stdin"), file.ends_with("new")) {
        (true, true) => (2, "No such file"),
        // A link in the last place is not followed to what is written.
        (false, _) if file == "link" => (1, "symbolic link"),
        _ => (2, refused),
    };
    for file in [files[0], files[1], "alias/cache-key/key", "alias/cache-key/new", "link", "same"] {
        for flag in ["--stdin file:", "--stdout file:", "--stdout append:", "--stderr file:"] {
            let (flag, kind) = flag.split_once(' ').unwrap();
            let (code, says) = told(flag, file);
            run(&[flag, &format!("{kind}{file}")]).code(code).says(&[says]);
        }
        // What is wrong with a file is printed, and so is some of what is in it.
        let is_there = !file.ends_with("new");
        for words in [
            &["--policy", file][..],
            &["policy", "check", file],
            &["policy", "learn", "--to", "new.toml", "--policy", file, "m.wat"],
        ] {
            let ran = run(words);
            ran.code(2).says(&[refused]);
            assert!(!ran.stderr.contains("only this user"), "{ran:#?}");
        }
        for words in [&["replay", file][..], &["replay", "p.toml", file]] {
            let ran = inn(words).current_dir(&dir).env("XDG_CACHE_HOME", at("cache").to_str().unwrap());
            let ran = ran.env("XDG_STATE_HOME", at("state").to_str().unwrap()).run();
            ran.code(2).says(&[refused]);
        }
        assert!(is_there || !at(file).exists());
        for stream in ["stdin", "stdout", "stderr"] {
            fs::write(at("p.toml"), format!("[stdio]\n{stream} = {{ file = \"{file}\" }}\n")).unwrap();
            let (code, says) = told(stream, file);
            run(&["--policy", "p.toml"]).code(code).says(&[says]);
            run(&["policy", "check", "p.toml"]).code(2).says(&[refused]);
        }
        files.iter().for_each(|file| assert_eq!(fs::read_to_string(at(file)).unwrap(), SECRET));
    }
    run(&["--stdout", "file:state/other", "--cache", "off"]).code(0);
}

#[test]
fn a_policy_that_has_no_end_or_does_not_come_is_given_up() {
    let dir = scratch();
    fs::write(dir.path().join("m.wat"), "(module (func (export \"_start\")))").unwrap();
    let pipe = dir.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let run = |args: &[&str]| inn(&[args, &["m.wat"]].concat()).current_dir(&dir).run();
    run(&["--policy", "/dev/zero"]).code(2).says(&["/dev/zero", "it is larger than 1048576 bytes"]);
    let ran = run(&["--timeout", "100ms", "--policy", "pipe"]);
    assert_eq!(ran.code, Some(134), "{ran:#?}");
}

#[test]
fn where_the_process_may_open_no_more_that_is_said() {
    let dir = scratch();
    fs::write(dir.path().join("m.wat"), "(module (func (export \"_start\")))").unwrap();
    let mut refused = 0;
    for most in 4..20 {
        let script =
            format!("ulimit -n {most}; exec {} --dir . --stdin file:m.wat m.wat", env!("CARGO_BIN_EXE_inn"));
        let mut command = std::process::Command::new("sh");
        let home = dir.path().join("home");
        let ran = command.args(["-c", &script]).current_dir(&dir).env("HOME", home).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        if !ran.status.success() {
            refused += 1;
            assert!(said.contains("ulimit -n"), "{most}: {said}");
        }
        assert!(!said.contains("mend the directory"), "{most}: {said}");
    }
    assert!(refused > 0);
}

#[test]
fn names_that_would_drive_the_terminal_are_made_visible() {
    let dir = scratch();
    fs::write(dir.path().join("m.wat"), "(module (func (export \"_start\")))").unwrap();
    let run = |args: &[&str]| inn(args).current_dir(&dir).run();
    let (odd, shown) = ("a\x1b[2J\nb", "a\\u{1b}[2J\\u{a}b");
    run(&["compile", "m.wat", "-o", odd]).code(0).prints(&[shown]);
    run(&["explore", "m.wat", "--to", odd]).code(0).prints(&[shown]);
    run(&["--dir", &format!("missing{odd}::/d"), "m.wat"]).code(2).says(&[shown]);
}
