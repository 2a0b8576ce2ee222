//! What `inn` itself writes, where a guest of this run or of an earlier one has left links.
//!
//! Which flags there are is asked of the command itself, by the completion script that is made from the definition of its arguments: one that is new and takes a path has
//! to be put into a list here.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::{Ran, inn, inn_with_mount, scratch};

/// Flags that name a file to write, with a command line that writes to `F`.
pub(crate) const WRITES: &[(&str, &[&str])] = &[
    ("profile", &["--tier", "interpreter", "--profile", "F", "m.wat"]),
    ("trace-file", &["--trace", "--trace-file", "F", "m.wat"]),
    ("trace-file", &["--trace=summary", "--trace-file", "F", "m.wat"]),
    ("record", &["--record", "F", "m.wat"]),
    ("coredump", &["--coredump", "F", "m.wat"]),
    ("cow-changes", &["--dir", "sub::/c::cow", "--cow-changes", "tar=F", "m.wat"]),
    ("stdout", &["--stdout", "file:F", "m.wat"]),
    ("stdout", &["--stdout", "append:F", "m.wat"]),
    ("stderr", &["--stderr", "file:F", "m.wat"]),
    ("policy", &["--policy", "streams.toml", "m.wat"]),
    ("to", &["policy", "learn", "--to", "F", "m.wat"]),
    ("to", &["explore", "m.wat", "--to", "F"]),
    ("output", &["compile", "m.wat", "-o", "F"]),
    // Of components.
    ("profile", &["--tier", "interpreter", "--profile", "F", "c.wat"]),
    ("coredump", &["--coredump", "F", "c.wat"]),
    ("to", &["explore", "c.wat", "--to", "F"]),
    ("output", &["compile", "c.wat", "-o", "F"]),
    ("output", &["compose", "app.wat", "--plug", "constants.wat", "--plug", "math.wat", "-o", "F"]),
];

/// Commands that write and run no guest.
pub(crate) const ALONE: &[&str] = &["explore", "compile", "compose"];

/// Flags that name what is granted or read, with a command line that does so with `F`, and what is there. The guest must not choose what it is.
const READS: &[(&str, &[&str], What)] = &[
    ("dir", &["--dir", "F::/f::ro", "m.wat"], What::Directory),
    ("dir", &["--dir", "F::/f", "m.wat"], What::Directory),
    ("dir", &["--dir", "F::/f::cow", "m.wat"], What::Directory),
    ("mapdir", &["--mapdir", "/f::F", "m.wat"], What::Directory),
    ("stdin", &["--stdin", "file:F", "m.wat"], What::File),
    ("cache", &["--cache", "F", "m.wat"], What::Directory),
    ("policy", &["--policy", "reads.toml", "m.wat"], What::Directory),
];

/// Flags of which the guest's module, or what decides about later runs, is only warned where the guest can change it, those of commands that run no guest, and those of `inn serve`: a certificate, whose key may not lie where
/// the guest is granted anything, and directories of files that are for everybody, out of which no link leads, and where sockets are handed over, to which
/// no link that a guest has left may lead (tests of `inn serve`).
const WARNED_OR_ALONE: &[&str] =
    &["handover", "key", "plug", "policy", "profile", "static", "tls-cert", "tls-key"];

/// What a flag names.
#[derive(Clone, Copy, Debug)]
enum What {
    File,
    Directory,
}

/// A folder with a module, a directory that a guest may be granted, and a file outside of it that nobody is to touch.
pub(crate) fn folder() -> tempfile::TempDir {
    let dir = scratch();
    let loop_text = "(local i32) (loop (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 30000000))))";
    let text = format!("(module (memory (export \"memory\") 1) (func (export \"_start\") {loop_text}))");
    fs::write(dir.path().join("m.wat"), text).unwrap();
    let component = format!(
        r#"(component
            (core module $m (func (export "run") (result i32) {loop_text} (i32.const 0)))
            (core instance $i (instantiate $m))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $program (export "run" (func $run)))
            (export "wasi:cli/run@0.2.3" (instance $program)))"#
    );
    fs::write(dir.path().join("c.wat"), component).unwrap();
    for (name, text) in COMPONENTS {
        fs::write(dir.path().join(name), text).unwrap();
    }
    fs::write(dir.path().join("streams.toml"), "[stdio]\nstdout = { file = \"F\" }\n").unwrap();
    fs::write(dir.path().join("reads.toml"), "[[directory]]\nhost = \"F\"\nguest = \"/p\"\n").unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    fs::create_dir(dir.path().join("outside")).unwrap();
    fs::write(dir.path().join("outside/file"), PRECIOUS).unwrap();
    dir
}

/// Components to be composed.
const COMPONENTS: [(&str, &str); 3] = [
    ("app.wat", include_str!("components/app.wat")),
    ("math.wat", include_str!("components/math.wat")),
    ("constants.wat", include_str!("components/constants.wat")),
];

pub(crate) const PRECIOUS: &str = "nobody writes here";

/// Runs with `F` replaced.
fn run(dir: &Path, before: &[&str], args: &[&str], file: &str) -> Ran {
    let all = replace_all(dir, before, args, file);
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    inn(&all).current_dir(dir).run()
}

/// A command line with `F` replaced, also in the policies.
pub(crate) fn replace_all(dir: &Path, before: &[&str], args: &[&str], file: &str) -> Vec<String> {
    for policy in ["streams.toml", "reads.toml"] {
        let text = fs::read_to_string(dir.join(policy)).unwrap();
        fs::write(dir.join(policy), text.replace("\"F\"", &format!("{file:?}"))).unwrap();
    }
    let args: Vec<String> = args
        .iter()
        .map(|arg| if arg.starts_with('-') { (*arg).to_owned() } else { replaced(arg, file) })
        .collect();
    let own = args.iter().position(|arg| arg == "learn" || ALONE.contains(&arg.as_str()));
    let (command, flags) = args.split_at(own.map_or(0, |at| at + 1));
    let before = before.iter().map(|arg| (*arg).to_owned());
    command.iter().cloned().chain(before).chain(flags.iter().cloned()).collect()
}

fn replaced(arg: &str, file: &str) -> String {
    match arg.rsplit_once([':', '=']) {
        _ if arg == "F" => file.to_owned(),
        Some((_, "F")) => format!("{}{file}", &arg[..arg.len() - 1]),
        _ if arg.starts_with("F::") => format!("{file}{}", &arg[1..]),
        _ => arg.to_owned(),
    }
}

/// Every file in a folder, with what is in it.
pub(crate) fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap_or_default()))
        .collect();
    found.sort();
    found
}

/// `-` is standard output where a document can go there, and no file anywhere: one of that name is written `./-`.
#[test]
fn a_dash_is_no_file_that_is_written() {
    for (flag, args) in WRITES {
        let dir = folder();
        let ran = run(dir.path(), &[], args, "-");
        assert!(!dir.path().join("-").exists(), "{args:?}");
        assert!(!dir.path().join("-.folded").exists(), "{args:?}");
        match args[0] {
            own if ALONE.contains(&own) => {
                ran.code(0).says(&["standard output: "]);
                assert!(ran.stdout.len() > 500, "{args:?}: {ran:#?}");
            }
            _ => {
                ran.code(2).says(&["./-"]);
                assert_eq!(ran.stdout, "", "{args:?}");
            }
        }
        let ran = run(folder().path(), &[], args, "./-");
        assert!(ran.code == Some(0) || *flag == "profile", "{args:?}: {ran:#?}");
    }
}

#[test]
fn y3_every_flag_is_known_to_write_or_not() {
    let script = inn(&["completion", "fish"]).run().stdout;
    let flags: BTreeSet<&str> = script
        .lines()
        .filter(|line| line.starts_with("complete "))
        // Only the parser knows which flags take paths; a test of its own sees to it that none is forgotten there.
        .filter(|line| line.ends_with(" -F") || line.contains("__fish_complete_directories"))
        .filter_map(|line| line.split(" -l ").nth(1)?.split_whitespace().next())
        .collect();
    assert!(flags.len() > 10, "{script}");
    let writes = WRITES.iter().map(|(flag, _)| *flag);
    let reads = READS.iter().map(|(flag, ..)| *flag).chain(WARNED_OR_ALONE.iter().copied());
    let known: BTreeSet<&str> = writes.chain(reads).collect();
    assert_eq!(
        flags, known,
        "a flag that writes a file belongs into WRITES, one that names another path of the host's into READS"
    );
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
        // A core dump is written only where the guest traps, which this one does not.
        if *flag == "coredump" {
            continue;
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

/// What is open is compared, whatever leads there.
#[test]
fn y4_no_output_is_where_the_cache_or_its_key_is() {
    const KEY: &str = "state/innkeeper/cache-key/key";
    for (_, args) in WRITES {
        for target in [KEY, "cache/innkeeper/new", "alias/new", "sub/same"] {
            let dir = folder();
            let at = |name: &str| dir.path().join(name);
            fs::create_dir_all(at("state/innkeeper/cache-key")).unwrap();
            fs::create_dir_all(at("cache/innkeeper")).unwrap();
            fs::write(at(KEY), PRECIOUS).unwrap();
            fs::hard_link(at(KEY), at("sub/same")).unwrap();
            symlink("state/innkeeper/cache-key", at("alias")).unwrap();
            let all = replace_all(dir.path(), &[], args, target);
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            let run = inn(&all).current_dir(&dir);
            let paths = ["cache", "state"].map(|name| at(name).to_str().unwrap().to_owned());
            let ran = run.env("XDG_CACHE_HOME", &paths[0]).env("XDG_STATE_HOME", &paths[1]).run();
            // What is written as a whole takes the other name only.
            if target != "sub/same" {
                ran.code(2).says(&["the code cache or its key is kept there"]);
            }
            assert_eq!(fs::read_to_string(at(KEY)).unwrap(), PRECIOUS, "{args:?} {target}");
            assert_eq!(contents(&at("state/innkeeper/cache-key")).len(), 1, "{args:?} {target}");
            assert!(!at("cache/innkeeper/new").exists(), "{args:?} {target}");
        }
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
        for (flag, args) in WRITES.iter().filter(|(_, args)| !ALONE.contains(&args[0])) {
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
    for (flag, args) in WRITES.iter().filter(|(_, args)| !ALONE.contains(&args[0])) {
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

#[test]
fn y3_nothing_is_granted_or_read_through_a_link_that_the_guest_may_have_left() {
    for granted in ["sub", "alias", "."] {
        for (flag, args, what) in READS {
            for path in ["sub/last", "sub/way/thing"] {
                let dir = folder();
                symlink("sub", dir.path().join("alias")).unwrap();
                match what {
                    What::File => fs::write(dir.path().join("outside/thing"), "text").unwrap(),
                    What::Directory => fs::create_dir(dir.path().join("outside/thing")).unwrap(),
                }
                symlink("../outside", dir.path().join("sub/way")).unwrap();
                symlink("../outside/thing", dir.path().join("sub/last")).unwrap();
                let grant = format!("{granted}::/g");
                let ran = run(dir.path(), &["--dir", &grant], args, path);
                assert_eq!(ran.code, Some(1), "{flag} {granted} {path}: {ran:#?}");
                ran.says(&["on the way there is a symbolic link in a directory that the guest may write to"]);
                if *flag == "cache" {
                    continue;
                }
                // Where the guest may only read, whoever left the link meant it.
                run(dir.path(), &["--dir", &format!("{granted}::/g::ro")], args, path).code(0);
            }
        }
    }
}

#[test]
fn y3_what_decides_about_later_runs_is_warned_of_where_a_link_leads_to_it() {
    let dir = folder();
    fs::write(dir.path().join("outside/p.toml"), "[limits]\nthreads = 1\n").unwrap();
    inn(&["compile", "m.wat", "-o", "outside/m.cwasm"]).current_dir(&dir).run().code(0);
    symlink("../outside", dir.path().join("sub/way")).unwrap();
    symlink("../outside/p.toml", dir.path().join("sub/p.toml")).unwrap();
    for policy in ["sub/way/p.toml", "sub/p.toml"] {
        let args = ["--dir", "sub", "--policy", policy, "m.wat"];
        inn(&args).current_dir(&dir).run().says(&["the way to the policy", "the next run"]);
    }
    let args = ["--dir", "sub", "--allow-precompiled", "sub/way/m.cwasm"];
    inn(&args).current_dir(&dir).run().code(0).says(&["the way to the machine code"]);
}

/// The directory that the guest may write to is a part of one that is mounted elsewhere too, and the path goes by there.
#[test]
fn y3_a_mount_does_not_lead_around_what_the_guest_may_write_to() {
    let commands = WRITES.iter().filter(|(_, args)| !ALONE.contains(&args[0]));
    let reads = READS.iter().map(|(flag, args, _)| (flag, args));
    for (flag, args) in commands.map(|(flag, args)| (flag, args)).chain(reads) {
        // What is mounted is in the granted directory, or is around it.
        for (granted, from, path) in [
            ("sub", "sub/inner", "seen/way/thing"),
            ("sub/inner", "sub", "seen/inner/way/thing"),
            ("sub", "sub", "seen/inner/way/thing"),
        ] {
            let dir = folder();
            fs::create_dir(dir.path().join("sub/inner")).unwrap();
            fs::create_dir(dir.path().join("seen")).unwrap();
            symlink("../../outside", dir.path().join("sub/inner/way")).unwrap();
            let before = contents(&dir.path().join("outside"));
            let grant = format!("{granted}::/g");
            let args = replace_all(dir.path(), &["--dir", &grant], args, path);
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let mount = (&*dir.path().join(from), &*dir.path().join("seen"));
            let Some(inn) = inn_with_mount(&args, mount) else { return };
            let ran = inn.current_dir(&dir).run();
            assert_eq!(ran.code, Some(1), "{flag} {granted} {from}: {ran:#?}");
            ran.says(&["on the way there is a symbolic link in a directory that the guest may write to"]);
            assert_eq!(contents(&dir.path().join("outside")), before, "{flag} {granted} {from}");
        }
    }
    // What is mounted from elsewhere in the same file system is as it was.
    let dir = folder();
    fs::create_dir(dir.path().join("other")).unwrap();
    fs::create_dir(dir.path().join("seen")).unwrap();
    symlink("../outside", dir.path().join("other/way")).unwrap();
    let args = ["--dir", "sub::/g", "--stdout", "file:seen/way/out.x", "m.wat"];
    let mount = (&*dir.path().join("other"), &*dir.path().join("seen"));
    if let Some(inn) = inn_with_mount(&args, mount) {
        inn.current_dir(&dir).run().code(0);
        assert!(dir.path().join("outside/out.x").exists());
    }
}

/// What the guest may write to has another directory mounted in it, and the path goes by where that is.
#[test]
fn y3_what_is_mounted_where_the_guest_may_write_is_written_to_as_well() {
    let commands = WRITES.iter().filter(|(_, args)| !ALONE.contains(&args[0]));
    let reads = READS.iter().map(|(flag, args, _)| (flag, args));
    for (flag, args) in commands.map(|(flag, args)| (flag, args)).chain(reads) {
        for path in ["other/way/thing", "other/inner/way/thing"] {
            let dir = folder();
            fs::create_dir_all(dir.path().join("other/inner")).unwrap();
            fs::create_dir_all(dir.path().join("sub/deep/seen")).unwrap();
            symlink("../outside", dir.path().join("other/way")).unwrap();
            symlink("../../outside", dir.path().join("other/inner/way")).unwrap();
            let before = contents(&dir.path().join("outside"));
            let args = replace_all(dir.path(), &["--dir", "sub::/g"], args, path);
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let mount = (&*dir.path().join("other"), &*dir.path().join("sub/deep/seen"));
            let Some(inn) = inn_with_mount(&args, mount) else { return };
            let ran = inn.current_dir(&dir).run();
            assert_eq!(ran.code, Some(1), "{flag} {path}: {ran:#?}");
            ran.says(&["on the way there is a symbolic link in a directory that the guest may write to"]);
            assert_eq!(contents(&dir.path().join("outside")), before, "{flag} {path}");
        }
    }
    // A cache that can be reached by such a mount is none.
    let dir = folder();
    fs::create_dir(dir.path().join("other")).unwrap();
    fs::create_dir(dir.path().join("sub/seen")).unwrap();
    let args = ["--dir", "sub::/g", "--cache", "other/cache", "m.wat"];
    let mount = (&*dir.path().join("other"), &*dir.path().join("sub/seen"));
    if let Some(inn) = inn_with_mount(&args, mount) {
        inn.current_dir(&dir).run().code(1).says(&["cannot be inside a directory that the guest is granted"]);
    }
}

#[test]
fn two_outputs_of_one_name_are_refused_before_the_guest_runs() {
    let shared = |first: &[&str], second: &[&str], names: [&str; 2]| {
        let dir = folder();
        symlink("sub", dir.path().join("alias")).unwrap();
        fs::write(dir.path().join("sub/there"), "old").unwrap();
        fs::hard_link(dir.path().join("sub/there"), dir.path().join("sub/same")).unwrap();
        let args: Vec<String> = [(first, names[0]), (second, names[1])]
            .iter()
            .flat_map(|(args, name)| args.iter().map(|arg| replaced(arg, name)))
            .collect();
        let args: Vec<&str> = args.iter().map(String::as_str).chain(["m.wat"]).collect();
        let ran = inn(&args).current_dir(&dir).run();
        (fs::read_to_string(dir.path().join("sub/there")).unwrap(), ran)
    };
    let flags: Vec<&[&str]> = WRITES
        .iter()
        .map(|(_, args)| &args[..args.len() - 1])
        .filter(|args| args[0].starts_with("--") && args[0] != "--policy")
        .collect();
    for (at, first) in flags.iter().enumerate() {
        for second in &flags[at + 1..] {
            // A flag that is given twice is another mistake.
            if first[0] == second[0] || first[0].starts_with("--trace") && second[0].starts_with("--trace") {
                continue;
            }
            for names in [["sub/out.x", "alias/../sub/out.x"], ["sub/there", "sub/same"]] {
                let (left, ran) = shared(first, second, names);
                let both_append =
                    [first, second].iter().all(|args| args.last().is_some_and(|it| it.contains("append")));
                assert!(!both_append, "no such pair in the list");
                assert_eq!(ran.code, Some(2), "{first:?} {second:?}: {ran:#?}");
                ran.says(&["another output of this run goes to the same file"]);
                // A stream is opened as soon as its turn has come, and so may be empty.
                assert!(left == "old" || left.is_empty(), "{first:?} {second:?}");
            }
        }
    }
    let dir = folder();
    let both = ["--stdout", "append:sub/log", "--stderr", "append:sub/log", "m.wat"];
    inn(&both).current_dir(&dir).run().code(0);
    let special = ["--stdout", "file:/dev/null", "--stderr", "file:/dev/null", "m.wat"];
    inn(&special).current_dir(&dir).run().code(0);
    let args = ["policy", "learn", "--to", "sub/p", "--trace", "--trace-file", "sub/p", "m.wat"];
    inn(&args).current_dir(&dir).run().code(2).says(&["another output of this run"]);
}

/// Whatever is read in a run is not written in it, by whatever name, and the guest does not run.
#[test]
fn no_output_overwrites_what_the_same_run_reads() {
    let policy = "[stdio]\nstdin = { file = \"in\" }\n";
    // What is read, with flags that make it be read.
    let inputs: &[(&str, &[&str])] = &[
        ("m.wat", &[]),
        ("in", &["--stdin", "file:in"]),
        ("p.toml", &["--policy", "p.toml"]),
        ("in", &["--policy", "p.toml"]),
    ];
    for (flag, args) in WRITES {
        let is_alone = ALONE.contains(&args[0]);
        for (input, before) in inputs {
            // Of components, another file is what runs.
            let program = args.iter().find(|arg| arg.ends_with(".wat")).unwrap_or(&"m.wat");
            let input = if *input == "m.wat" { program } else { input };
            // Another policy would be the second one; a policy that is learned may extend the one that is granted.
            let is_policy = before.contains(&"--policy");
            let extends = args.contains(&"learn") && *input == "p.toml";
            if is_alone && !before.is_empty() || is_policy && *flag == "policy" || extends {
                continue;
            }
            // The graph of a profile has its stacks beside it.
            let names =
                ["same.x", if *flag == "profile" { "beside.svg" } else { "same.x" }, "./sub/../same.x"];
            for name in names {
                let dir = folder();
                fs::write(dir.path().join("in"), "text").unwrap();
                fs::write(dir.path().join("p.toml"), policy).unwrap();
                let link = if name == "beside.svg" { "beside.folded" } else { "same.x" };
                fs::hard_link(dir.path().join(input), dir.path().join(link)).unwrap();
                let text = fs::read(dir.path().join(input)).unwrap();
                let before: &[&str] = if is_alone { &[] } else { before };
                let ran = run(dir.path(), before, args, name);
                assert_eq!(ran.code, Some(2), "{flag} {input} {name}: {ran:#?}");
                ran.says(&["it is read in this run", "would be overwritten"]);
                assert_eq!(fs::read(dir.path().join(input)).unwrap(), text, "{flag} {input} {name}");
            }
        }
    }
    // What a shell has opened for standard input is no other case.
    let dir = folder();
    let command = r#""$0" --stdout file:m.wat - <m.wat"#;
    let ran = std::process::Command::new("sh")
        .args(["-c", command, env!("CARGO_BIN_EXE_inn")])
        .current_dir(&dir)
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(2), "{ran:?}");
    assert!(String::from_utf8_lossy(&ran.stderr).contains("as standard input"), "{ran:?}");
    // The profile that a page is made with is an input, too.
    fs::write(dir.path().join("m.folded"), "func[0] 1\n").unwrap();
    let args = ["explore", "--profile", "m.folded", "--to", "m.folded", "m.wat"];
    inn(&args).current_dir(&dir).run().code(2).says(&["it is read in this run"]);
}

#[test]
fn an_empty_path_of_an_output_is_said_to_be_empty() {
    let dir = folder();
    inn(&["--trace", "--trace-file", "", "m.wat"])
        .current_dir(&dir)
        .run()
        .code(1)
        .says(&["the path of a file to write is empty", "name a file"]);
}

/// The guest has the directory that a report is written in, and makes names that could be the one that it is written under.
#[test]
fn nobody_can_guess_the_name_that_a_document_is_written_under() {
    let dir = folder();
    let script = r#"for n in $(seq 0 120); do : > "sub/.inn-$$-$n"; done; exec "$0" "$@""#;
    let ran = std::process::Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_inn")])
        .args(["--cache", "off", "--dir", "sub::/c::cow", "--cow-changes", "tar=sub/out.x", "m.wat"])
        .current_dir(&dir)
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:?}");
    assert!(dir.path().join("sub/out.x").exists());
}
