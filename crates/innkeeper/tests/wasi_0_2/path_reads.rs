//! C107: cases of paths in which something is listed or read, which is done otherwise in WASI 0.3.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use innkeeper::component::{List, ResourceAny, Val};
use innkeeper::wasi::keys::{Access, Keys};

use super::driver::{Driver, bytes_val, resource};
use super::drivers;
use super::path_cases::{for_each_guest, open, said, stat};
use super::path_races::under_attack;
use super::paths::{Sandbox, directory, tunings};

/// The names in a directory.
fn names(driver: &mut Driver, at: ResourceAny) -> Vec<String> {
    let listing = resource(driver.at("read-directory", at, &[]).unwrap());
    let next = |driver: &mut Driver| {
        driver
            .outcome("[method]directory-entry-stream.read-directory-entry", &[Val::Resource(listing)])
            .unwrap()
    };
    let mut names = Vec::new();
    while let Some(Val::Option(Some(entry))) = next(driver) {
        match *entry {
            Val::Record(mut fields) => match fields.pop() {
                Some((_, Val::String(name))) => names.push(name),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }
    driver.drop(listing);
    names
}

#[test]
fn f9_host_names_that_are_not_utf8_are_listed_with_replacements() {
    for_each_guest(&[], |inside, driver, at| {
        let name = std::ffi::OsStr::from_bytes(b"bad\xff");
        if fs::write(inside.join(name), "x").is_err() {
            return;
        }
        let names = names(driver, at);
        assert!(names.contains(&"bad\u{fffd}".to_owned()), "{names:?}");
        assert_eq!(stat(driver, at, ("bad\u{fffd}", true)), said("no-entry"));
    });
}

/// A device is what it is, and a mount beneath is part of the directory.
#[test]
fn f23_f24_devices_and_mounts() {
    for tuning in tunings() {
        for mut driver in drivers(&Keys::builder().dir("/", "/", Access::ReadOnly).tuning(tuning).build()) {
            let at = directory(&mut driver);
            let zero = open(&mut driver, at, ("dev/zero", true), &[]).unwrap();
            assert_eq!(driver.at("get-type", zero, &[]), Ok(Some(Val::Enum("character-device".into()))));
            let stream = driver.at("read-via-stream", zero, &[Val::U64(0)]).map(resource).unwrap();
            let read =
                driver.outcome("[method]input-stream.blocking-read", &[Val::Resource(stream), Val::U64(4)]);
            assert_eq!(read, Ok(Some(bytes_val(&[0; 4]))));
        }
    }
}

#[test]
fn f32_a_handle_does_only_what_it_was_opened_for() {
    for_each_guest(&[], |_, driver, at| {
        let mut open = |flags: &[&str]| driver.open(at, "file", (&[], flags)).unwrap();
        let (reader, writer) = (open(&["read"]), open(&["write"]));
        for (name, file, rest) in [
            ("read", writer, vec![Val::U64(1), Val::U64(0)]),
            ("read-via-stream", writer, vec![Val::U64(0)]),
            ("write", reader, vec![bytes_val(b"x"), Val::U64(0)]),
            ("write-via-stream", reader, vec![Val::U64(0)]),
            ("append-via-stream", reader, vec![]),
            ("set-size", reader, vec![Val::U64(0)]),
        ] {
            assert!(driver.at(name, file, &rest).is_err(), "{name}");
        }
        assert_eq!(
            driver.at("read", reader, &[Val::U64(2), Val::U64(0)]).map(|it| match it {
                Some(Val::Tuple(parts)) => parts[0].clone(),
                other => panic!("{other:?}"),
            }),
            Ok(Val::List(List::U8(b"in".to_vec())))
        );
    });
}

/// R6: a listing ends, whatever others make and remove meanwhile, and nothing in it is named that never was there.
#[test]
fn r6_listings_end_while_entries_come_and_go() {
    for tuning in tunings() {
        let sandbox = Sandbox::new();
        let many = sandbox.0.path().join("in/many");
        fs::create_dir(&many).unwrap();
        let entries: Vec<_> = (0..100).map(|i| many.join(format!("entry-{i}"))).collect();
        let listed = AtomicUsize::new(0);
        let [mut driver, _] = drivers(&sandbox.keys(Access::ReadWrite, tuning));
        let at = directory(&mut driver);
        let many = driver.open(at, "many", (&["directory"], &["read"])).unwrap();
        let attack = || {
            entries.iter().for_each(|entry| drop(fs::write(entry, "")));
            entries.iter().for_each(|entry| drop(fs::remove_file(entry)));
        };
        under_attack(attack, || {
            for _ in 0..50 {
                let names = names(&mut driver, many);
                assert!(names.iter().all(|name| name.starts_with("entry-")), "{names:?}");
                // Each comes and goes a few times at most while one listing is made.
                assert!(names.len() < 10_000);
                listed.fetch_add(names.len(), Ordering::Relaxed);
            }
            // There was something to list.
            while listed.load(Ordering::Relaxed) == 0 {
                listed.fetch_add(self::names(&mut driver, many).len(), Ordering::Relaxed);
            }
        });
    }
}
