//! Copy-on-write and temporary directories, as a user sees them, with a real program: a site made from Markdown.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use crate::{inn, scratch, site};

const BUILD: [&str; 4] = ["{markdown-site}", "build", "/site", "/site/out"];

/// Every path beneath a directory, sorted.
fn tree(root: &Path) -> Vec<String> {
    let output = Command::new("find").arg(".").current_dir(root).output().expect("find runs");
    let mut paths: Vec<String> =
        String::from_utf8(output.stdout).expect("UTF-8").lines().map(String::from).collect();
    paths.sort();
    paths
}

fn build(dir: &Path, flags: &[&str]) -> crate::Ran {
    let args: Vec<&str> = flags.iter().copied().chain(BUILD).collect();
    inn(&args).current_dir(dir).run()
}

#[test]
fn a_cow_directory_stays_as_it_is_and_its_changes_can_be_had() {
    let dir = site();
    let before = tree(dir.path());
    let ran = build(dir.path(), &["--dir", "site::/site::cow", "--cow-changes", "list"]);
    ran.code(0).says(&["A out/\n", "A out/index.html\n", "A out/guide/rules.html\n"]);
    assert_eq!(tree(dir.path()), before);

    build(dir.path(), &["--dir", "site::/site::cow", "--cow-changes", "tar=changes.tar"]).code(0);
    let mut with_archive = before.clone();
    with_archive.push(String::from("./changes.tar"));
    with_archive.sort();
    assert_eq!(tree(dir.path()), with_archive);

    // What is archived, what is applied and what is written directly are the same.
    let [unpacked, applied, direct] = [(); 3].map(|()| site());
    let mut tar = Command::new("tar");
    tar.arg("xf").arg(dir.path().join("changes.tar")).current_dir(unpacked.path().join("site"));
    assert!(tar.status().expect("tar runs").success());
    build(applied.path(), &["--dir", "site::/site::cow", "--cow-changes", "apply"]).code(0);
    build(direct.path(), &["--dir", "site::/site"]).code(0);
    for other in [&unpacked, &applied] {
        let same =
            Command::new("diff").arg("-r").args([other.path(), direct.path()]).status().expect("diff runs");
        assert!(same.success());
    }
}

#[test]
fn a_temporary_directory_is_gone_with_the_guest_and_can_be_full() {
    let dir = scratch();
    inn(&["--tmp", "/helloworld", "{hello-rust}"])
        .current_dir(&dir)
        .run()
        .code(0)
        .stdout("Hello, World!\n")
        .stderr("");
    assert_eq!(tree(dir.path()), ["."]);
    let ran = inn(&["--tmp", "/helloworld::1", "{hello-rust}"]).current_dir(&dir).run();
    ran.code(1).says(&["No space left"]);
}

#[test]
fn changes_without_a_cow_directory_are_a_mistake() {
    let dir = scratch();
    fs::create_dir(dir.path().join("d")).unwrap();
    let ran =
        inn(&["--dir", "d::/helloworld", "--cow-changes", "apply", "{hello-c}"]).current_dir(&dir).run();
    ran.code(2).says(&["there is no cow directory", "--dir HOST::GUEST::cow"]);
}

/// One run of a guest, as text, on the directory `d`.
fn run_on(dir: &Path, text: &str, flags: &[&str]) -> crate::Ran {
    fs::create_dir_all(dir.join("d")).unwrap();
    fs::write(dir.join("m.wat"), text).unwrap();
    let args: Vec<&str> = ["--dir", "d::/::cow"].iter().chain(flags).chain(&["m.wat"]).copied().collect();
    inn(&args).current_dir(dir).run()
}

/// A file of the host's that was moved and made longer takes what was written of it, in the directory and in an archive.
#[test]
fn y10_what_was_moved_and_grown_takes_no_more_than_was_written() {
    const GUEST: &str = r#"(module
        (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_filestat_set_size" (func $set_size (param i32 i64) (result i32)))
        (import "wasi_snapshot_preview1" "path_rename" (func $rename (param i32 i32 i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "ab")
        (func $must (param i32) (if (local.get 0) (then unreachable)))
        (func (export "_start")
            (call $must (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0) (i64.const -1) (i64.const -1) (i32.const 0) (i32.const 8)))
            (call $must (call $set_size (i32.load (i32.const 8)) (i64.const SIZE)))
            (call $must (call $rename (i32.const 3) (i32.const 0) (i32.const 1) (i32.const 3) (i32.const 1) (i32.const 1)))))"#;
    const LITTLE_BYTES: u64 = 1 << 20;
    for size in [1_u64 << 40, 0x7fff_ffff_ffff_0000] {
        let dir = scratch();
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("d/a"), "a").unwrap();
        let guest = GUEST.replace("SIZE", &size.to_string());
        run_on(dir.path(), &guest, &["--cow-changes", "tar=o.tar"]).code(0);
        assert!(fs::metadata(dir.path().join("o.tar")).unwrap().len() < LITTLE_BYTES, "{size}");
        let applied = run_on(dir.path(), &guest, &["--cow-changes", "apply"]);
        if applied.code == Some(0) {
            let found = fs::metadata(dir.path().join("d/b")).unwrap();
            assert_eq!(found.len(), size);
            assert!(found.blocks() * 512 < LITTLE_BYTES, "{size}: {} blocks", found.blocks());
        } else {
            // Not every file system has files of this size.
            applied.code(1).says(&["file too large", "nothing in it was changed"]);
            assert_eq!(fs::read_to_string(dir.path().join("d/a")).unwrap(), "a");
        }
        assert_eq!(fs::read_dir(dir.path().join("d")).unwrap().count(), 1);
    }
}

/// Forty thousand files are archived and applied before a deadline that work growing with their square would not keep.
#[test]
fn y12_work_grows_with_the_number_of_files() {
    const COUNT: usize = 40_000;
    const GUEST: &str = r#"(module
        (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
        (memory (export "memory") 1)
        (func $name (param $i i32) (local $k i32)
            (loop $l
                (i32.store8 (i32.add (i32.const 1024) (local.get $k)) (i32.add (i32.const 97) (i32.and (local.get $i) (i32.const 15))))
                (local.set $i (i32.shr_u (local.get $i) (i32.const 4)))
                (local.set $k (i32.add (local.get $k) (i32.const 1)))
                (br_if $l (i32.lt_u (local.get $k) (i32.const 8)))))
        (func (export "_start") (local $i i32)
            (loop $l
                (call $name (local.get $i))
                (if (call $open (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 8) (i32.const 1) (i64.const 2) (i64.const -1) (i32.const 0) (i32.const 32))
                    (then unreachable))
                (drop (call $close (i32.load (i32.const 32))))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if $l (i32.lt_u (local.get $i) (i32.const COUNT))))))"#;
    let guest = GUEST.replace("COUNT", &COUNT.to_string());
    let dir = scratch();
    let flags = ["--timeout", "60s", "--cow-changes", "tar=o.tar", "--cow-changes", "apply"];
    run_on(dir.path(), &guest, &flags).code(0).stderr("");
    assert_eq!(fs::read_dir(dir.path().join("d")).unwrap().count(), COUNT);
    // A header for each file, and one for the directory.
    assert!(fs::metadata(dir.path().join("o.tar")).unwrap().len() >= (COUNT as u64 + 1) * 512);
}

/// A guest cannot have NAME removed where an archive is unpacked, by a file called `.wh.NAME`, nor write lines of its own into the message.
#[test]
fn y10_a_file_that_is_named_like_a_whiteout_is_in_no_archive() {
    const GUEST: &str = r#"(module
        (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) ".wh.passwd\0aerror: forged\1b[2J")
        (func (export "_start")
            (if (call $open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const LENGTH) (i32.const 1) (i64.const 66) (i64.const -1) (i32.const 0) (i32.const 512))
                (then unreachable))))"#;
    for (length, name) in [("10", ".wh.passwd"), ("28", ".wh.passwd\nerror: forged\u{1b}[2J")] {
        let dir = scratch();
        let guest = GUEST.replace("LENGTH", length);
        let shown = name.replace('\n', r"\u{a}").replace('\u{1b}', r"\u{1b}");
        let archived = run_on(dir.path(), &guest, &["--cow-changes", "tar=o.tar"]);
        archived
            .code(1)
            .says(&[&format!("d: {shown}: names that begin with `.wh.`"), "nothing was archived"]);
        assert!(!archived.stderr.contains('\u{1b}') && !archived.stderr.contains("\nerror: forged"));
        assert!(!dir.path().join("o.tar").exists());
        run_on(dir.path(), &guest, &["--cow-changes", "apply"]).code(0);
        assert!(dir.path().join("d").join(name).exists(), "{name:?}");
    }
}

/// A device that is always full stands for a full disk.
#[test]
fn an_archive_that_cannot_be_written_is_named_and_not_the_directory() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let dir = site();
    let ran = build(dir.path(), &["--dir", "site::/site::cow", "--cow-changes", "tar=/dev/full"]);
    ran.code(1).says(&[
        "error: /dev/full: cannot be written: ",
        "\nhelp: check that its directory is there, and has room",
    ]);
    assert_eq!(ran.stderr.matches("cannot be").count(), 1, "{ran:#?}");
    inn(&["compile", "{trap}", "-o", "/dev/full"])
        .run()
        .code(1)
        .says(&["error: /dev/full: cannot be written: No space"]);
}
