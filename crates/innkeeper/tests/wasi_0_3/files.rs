//! Files and directories through `wasi:filesystem`, where it is otherwise than in WASI 0.2; streams of files by programs.

use std::fs;

use innkeeper::component::{ResourceAny, Val};
use innkeeper::wasi::keys::{Access, Capture, Keys, StdoutKey};

use super::driver::{Driver, flags_val, follow, text_val};
use super::drivers;
use super::program::run;

fn granted() -> (tempfile::TempDir, Keys) {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::builder().dir(folder.path(), "/work", Access::ReadWrite).build();
    (folder, keys)
}

fn flags(driver: &mut Driver, of: ResourceAny) -> Option<Val> {
    driver.at("get-flags", of, &[]).unwrap()
}

/// A file that nothing is asked for is opened for reading, one that may be created for writing; directories have what was asked for. So the specification's tests have it.
#[test]
fn flags_are_told_as_they_are_meant() {
    let (folder, keys) = granted();
    for mut driver in drivers(&keys) {
        fs::write(folder.path().join("f"), "x").unwrap();
        let (at, name) = driver.directories().remove(0);
        assert_eq!(name, "/work");
        for (open, asked, told) in [
            (&[][..], &[][..], &["read"][..]),
            (&[], &["read"], &["read"]),
            (&[], &["write"], &["write"]),
            (&["exclusive"], &[], &["read"]),
            (&["create"], &[], &["read", "write"]),
            (&["create"], &["write"], &["write"]),
            (&["create"], &["read"], &["read", "write"]),
            (
                &["create"],
                &["read", "write", "data-integrity-sync"],
                &["read", "write", "data-integrity-sync"],
            ),
        ] {
            let file = driver.open(at, "f", (open, asked)).unwrap();
            assert_eq!(flags(&mut driver, file), Some(flags_val(told)), "{open:?} {asked:?}");
            driver.drop(file);
        }
        assert_eq!(flags(&mut driver, at), Some(flags_val(&["read", "mutate-directory"])));
        for (asked, told) in
            [(&[][..], &["read"][..]), (&["read", "mutate-directory"], &["read", "mutate-directory"])]
        {
            let directory = driver.open(at, ".", (&["directory"], asked)).unwrap();
            assert_eq!(flags(&mut driver, directory), Some(flags_val(told)), "{asked:?}");
            driver.drop(directory);
        }
        let told = driver.open(at, "f", (&["create", "exclusive"], &["write"])).map(drop);
        assert_eq!(told, Err("exist".to_owned()));
    }
}

#[test]
fn kinds_and_times_are_told() {
    let (folder, keys) = granted();
    std::os::unix::fs::symlink("f", folder.path().join("link")).unwrap();
    fs::create_dir(folder.path().join("d")).unwrap();
    for mut driver in drivers(&keys) {
        fs::write(folder.path().join("f"), "x").unwrap();
        let at = driver.directories()[0].0;
        let time = |seconds: i64, nanoseconds: u32| {
            let time = Val::record([("seconds", Val::S64(seconds)), ("nanoseconds", Val::U32(nanoseconds))]);
            Val::variant("timestamp", Some(time))
        };
        let mut set = |time: Val| {
            driver.at("set-times-at", at, &[follow(false), text_val("f"), time.clone(), time]).map(drop)
        };
        assert_eq!(set(time(1, 1_000_000_000)), Err("invalid".to_owned()));
        assert_eq!(
            set(time(i64::MAX, 0)).and(Ok(())).or(Ok::<_, String>(())),
            Ok(()),
            "whatever comes of it"
        );
        assert_eq!(set(time(-1, 5)), Ok(()), "a time before 1970 is one");
        for (name, kind, size) in
            [("f", "regular-file", Some(1)), ("link", "symbolic-link", None), ("d", "directory", None)]
        {
            let stat = driver.at("stat-at", at, &[follow(false), text_val(name)]).unwrap();
            let Some(Val::Record(fields)) = stat else { panic!("no record") };
            let named = |name: &str| fields.iter().find(|(known, _)| &**known == name).unwrap().1.clone();
            assert_eq!(named("type"), Val::variant(kind, None));
            if let Some(size) = size {
                assert_eq!(named("size"), Val::U64(size));
                let Val::Variant(_, expected) = time(-1, 5) else { panic!() };
                assert_eq!(named("data-modification-timestamp"), Val::Option(expected));
            }
        }
        let file = driver.open(at, "f", (&[], &["read", "write"])).unwrap();
        let (keep, now) = (Val::variant("no-change", None), Val::variant("now", None));
        driver.at("set-times", file, &[keep, now]).unwrap();
        driver.at("set-size", file, &[Val::U64(3)]).unwrap();
        driver.at("sync", file, &[]).unwrap();
        driver.at("sync-data", file, &[]).unwrap();
        driver.at("advise", file, &[Val::U64(0), Val::U64(0), Val::enumeration("will-need")]).unwrap();
        assert_eq!(driver.at("get-type", file, &[]).unwrap(), Some(Val::variant("regular-file", None)));
        assert_eq!(fs::read(folder.path().join("f")).unwrap(), b"x\0\0");
        let hash = |driver: &mut Driver| driver.at("metadata-hash", file, &[]).unwrap();
        let first = hash(&mut driver);
        assert_eq!(hash(&mut driver), first);
        fs::write(folder.path().join("f"), "changed").unwrap();
        assert_ne!(hash(&mut driver), first);
        driver.drop(file);
    }
}

/// Writes at a place, at the end, and reads from a place to standard output: each stream has its own.
const FILE: &str = "
    (local.set $a (call $directory))
    ;; create, truncate; read, write
    (local.set $b (call $open (local.get $a) (i32.const 9) (i32.const 3)))
    (i64.store (i32.const 200) (i64.const 0x3837363534333231))
    (local.set $ends (call $new))
    (local.set $c (call $write-file (local.get $b) (call $readable (local.get $ends)) (i64.const 3)))
    (drop (call $write (call $writable (local.get $ends)) (i32.const 200) (i32.const 4)))
    (drop (call $write (call $writable (local.get $ends)) (i32.const 204) (i32.const 2)))
    (call $drop-writable (call $writable (local.get $ends)))
    (if (call $file-ended (local.get $c)) (then (return (i32.const 1))))
    (local.set $ends (call $new))
    (local.set $c (call $append (local.get $b) (call $readable (local.get $ends))))
    (drop (call $write (call $writable (local.get $ends)) (i32.const 206) (i32.const 2)))
    (call $drop-writable (call $writable (local.get $ends)))
    (if (call $file-ended (local.get $c)) (then (return (i32.const 1))))
    (call $read-file (local.get $b) (i64.const 1) (i32.const 16))
    (local.set $ends (call $new))
    (local.set $e (call $stdout (call $readable (local.get $ends))))
    (call $pump (i32.load (i32.const 16)) (call $writable (local.get $ends)))
    (i32.or (call $file-ended (i32.load (i32.const 20))) (call $ended (local.get $e)))";

#[test]
fn streams_of_files_have_places_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let capture = Capture::new(1 << 20);
    let keys = Keys::builder()
        .dir(folder.path(), "/work", Access::ReadWrite)
        .stdout(StdoutKey::Capture(capture.clone()))
        .build();
    assert_eq!(run(FILE, &keys), [0, 0]);
    assert_eq!(fs::read(folder.path().join("f")).unwrap(), b"\0\0\x0012345678");
    assert_eq!(capture.contents(), b"\0\x0012345678\0\x0012345678");
}

/// Copies a file that is longer than what goes over in one turn.
#[test]
fn long_files_are_copied() {
    let folder = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|index| (index % 253) as u8).collect();
    fs::write(folder.path().join("f"), &bytes).unwrap();
    let capture = Capture::new(16 << 20);
    let keys = Keys::builder()
        .dir(folder.path(), "/work", Access::ReadOnly)
        .stdout(StdoutKey::Capture(capture.clone()))
        .build();
    let body = "
        (local.set $b (call $open (call $directory) (i32.const 0) (i32.const 1)))
        (call $read-file (local.get $b) (i64.const 0) (i32.const 16))
        PASS
        (i32.or (call $file-ended (i32.load (i32.const 20))) (call $ended (local.get $e)))";
    let guests =
        "(local.set $ends (call $new)) (local.set $e (call $stdout (call $readable (local.get $ends))))
        (call $pump (i32.load (i32.const 16)) (call $writable (local.get $ends)))";
    let hosts = "(local.set $e (call $stdout (i32.load (i32.const 16))))";
    for pass in [guests, hosts] {
        let before = capture.contents().len();
        assert_eq!(run(&body.replace("PASS", pass), &keys), [0, 0]);
        assert!(capture.contents()[before..] == [&bytes[..], &bytes].concat());
    }
}

/// What a descriptor was not opened for, and what is no file: the stream ends at once, and its future says why.
#[test]
fn what_cannot_be_streamed_is_told_by_the_future() {
    let (folder, keys) = granted();
    fs::write(folder.path().join("f"), "x").unwrap();
    let codes = [("(local.get $a)", 13), ("(call $open (local.get $a) (i32.const 0) (i32.const 2))", 2)];
    for (descriptor, code) in codes {
        let body = format!(
            "(local.set $a (call $directory))
            (call $read-file {descriptor} (i64.const 0) (i32.const 16))
            ;; nothing, and it was dropped
            (if (i32.ne (call $read (i32.load (i32.const 16))) (i32.const 1)) (then (return (i32.const 1))))
            (call $drop-readable (i32.load (i32.const 16)))
            (if (i32.eqz (call $file-ended (i32.load (i32.const 20)))) (then (return (i32.const 1))))
            (i32.ne (i32.load8_u (i32.const 68)) (i32.const {code}))"
        );
        assert_eq!(run(&body, &keys), [0, 0], "{descriptor}");
    }
    let body = "
        (local.set $b (call $open (call $directory) (i32.const 0) (i32.const 1)))
        (local.set $ends (call $new))
        (local.set $c (call $write-file (local.get $b) (call $readable (local.get $ends)) (i64.const 0)))
        (if (call $write (call $writable (local.get $ends)) (i32.const 200) (i32.const 1)) (then (return (i32.const 1))))
        (call $drop-writable (call $writable (local.get $ends)))
        (if (i32.eqz (call $file-ended (local.get $c))) (then (return (i32.const 1))))
        (i32.ne (i32.load8_u (i32.const 68)) (i32.const 2))";
    assert_eq!(run(body, &keys), [0, 0]);
    assert_eq!(fs::read(folder.path().join("f")).unwrap(), b"x");
}

/// Counts the entries of a directory, and adds up the lengths of their names.
#[test]
fn directories_are_listed_as_streams() {
    let (folder, keys) = granted();
    for i in 0..150 {
        fs::write(folder.path().join(format!("file{i:03}")), "").unwrap();
    }
    // An entry has 24 bytes: the name's length is at 20.
    let body = "
        (call $list (call $directory) (i32.const 16))
        (local.set $a (i32.load (i32.const 16)))
        (loop $more
            (local.set $b (call $wait (local.get $a)
                (call $entries-read (local.get $a) (i32.const 65536) (i32.const 40))))
            (local.set $c (i32.shr_u (local.get $b) (i32.const 4)))
            (loop $each
                (if (local.get $c) (then
                    (local.set $c (i32.sub (local.get $c) (i32.const 1)))
                    (local.set $d (i32.add (local.get $d) (i32.const 1)))
                    (local.set $e (i32.add (local.get $e)
                        (i32.load offset=65556 (i32.mul (local.get $c) (i32.const 24)))))
                    (br $each))))
            (br_if $more (i32.eqz (i32.and (local.get $b) (i32.const 15)))))
        (call $drop-entries (local.get $a))
        (i32.or (call $file-ended (i32.load (i32.const 20)))
            (i32.or (i32.ne (local.get $d) (i32.const 150)) (i32.ne (local.get $e) (i32.const 1050))))";
    assert_eq!(run(body, &keys), [0, 0]);
    let file = "
        (call $list (call $open (call $directory) (i32.const 0) (i32.const 1)) (i32.const 16))
        (call $drop-entries (i32.load (i32.const 16)))
        (i32.eqz (call $file-ended (i32.load (i32.const 20))))";
    fs::write(folder.path().join("f"), "").unwrap();
    assert_eq!(run(file, &keys), [0, 0]);
}
