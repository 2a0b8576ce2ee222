//! Files and directories through `wasi:filesystem`.

use std::fs;

use innkeeper::component::{List, ResourceAny, Val};
use innkeeper::wasi::keys::{Access, Keys};

use super::driver::{Driver, bytes_val, follow, resource, text_val};
use super::drivers;

fn granted() -> (tempfile::TempDir, Keys) {
    let folder = tempfile::tempdir().unwrap();
    let keys = Keys::builder().dir(folder.path(), "/work", Access::ReadWrite).build();
    (folder, keys)
}

fn read(driver: &mut Driver, file: ResourceAny, length: u64, offset: u64) -> Result<(Vec<u8>, bool), String> {
    match driver.at("read", file, &[Val::U64(length), Val::U64(offset)])? {
        Some(Val::Tuple(parts)) => match (&parts[0], &parts[1]) {
            (Val::List(List::U8(bytes)), Val::Bool(is_end)) => Ok((bytes.clone(), *is_end)),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn files_are_written_and_read_at_any_place() {
    let (folder, keys) = granted();
    for mut driver in drivers(&keys) {
        let (at, name) = driver.directories().remove(0);
        assert_eq!(name, "/work");
        let file = driver.open(at, "f", (&["create", "truncate"], &["read", "write"])).unwrap();
        let wrote = driver.at("write", file, &[bytes_val(b"hello"), Val::U64(2)]).unwrap();
        assert_eq!(wrote, Some(Val::U64(5)));
        assert_eq!(read(&mut driver, file, 100, 0), Ok((b"\0\0hello".to_vec(), false)));
        assert_eq!(read(&mut driver, file, 2, 3), Ok((b"el".to_vec(), false)));
        assert_eq!(read(&mut driver, file, 1, 7), Ok((vec![], true)));
        assert_eq!(read(&mut driver, file, 0, 0), Ok((vec![], false)));
        assert_eq!(read(&mut driver, file, 1, u64::MAX).map(drop), Err("invalid".to_owned()));
        driver.at("set-size", file, &[Val::U64(3)]).unwrap();
        driver.at("sync", file, &[]).unwrap();
        driver.at("sync-data", file, &[]).unwrap();
        driver.at("advise", file, &[Val::U64(0), Val::U64(0), Val::Enum("will-need".into())]).unwrap();
        assert_eq!(fs::read(folder.path().join("f")).unwrap(), b"\0\0h");
        let write_only = driver.open(at, "f", (&[], &["write"])).unwrap();
        assert_eq!(read(&mut driver, write_only, 1, 0).map(drop), Err("bad-descriptor".to_owned()));
        assert_eq!(read(&mut driver, at, 1, 0).map(drop), Err("is-directory".to_owned()));
        assert_eq!(driver.at("read-directory", file, &[]).map(drop), Err("not-directory".to_owned()));
        let ty = driver.at("get-type", file, &[]).unwrap();
        assert_eq!(ty, Some(Val::Enum("regular-file".into())));
    }
}

#[test]
fn times_before_1970_and_extremes_do_no_harm() {
    let (folder, keys) = granted();
    for mut driver in drivers(&keys) {
        let at = driver.directories()[0].0;
        fs::write(folder.path().join("f"), "x").unwrap();
        let at_time = |seconds: u64, nanoseconds: u32| {
            let time =
                vec![("seconds".into(), Val::U64(seconds)), ("nanoseconds".into(), Val::U32(nanoseconds))];
            Val::Variant("timestamp".into(), Some(Box::new(Val::Record(time))))
        };
        let mut set = |time: Val| {
            driver.at("set-times-at", at, &[follow(false), text_val("f"), time.clone(), time]).map(drop)
        };
        assert_eq!(set(at_time(1_000_000_000, 7)), Ok(()));
        assert_eq!(set(at_time(1, 1_000_000_000)), Err("invalid".to_owned()));
        assert_eq!(set(at_time(u64::MAX, 0)), Err("invalid".to_owned()));
        // Whatever the file system makes of it.
        let _ = set(at_time(1 << 62, 0));
        assert_eq!(set(at_time(1_000_000_000, 7)), Ok(()));
        let stat = driver.at("stat-at", at, &[follow(false), text_val("f")]).unwrap();
        let Some(Val::Record(fields)) = stat else { panic!("no record") };
        let named = |name: &str| fields.iter().find(|(known, _)| &**known == name).unwrap().1.clone();
        assert_eq!(named("size"), Val::U64(1));
        assert_eq!(
            named("data-modification-timestamp"),
            match at_time(1_000_000_000, 7) {
                Val::Variant(_, time) => Val::Option(time),
                other => other,
            }
        );
        let hash =
            |driver: &mut Driver| driver.at("metadata-hash-at", at, &[follow(false), text_val("f")]).unwrap();
        let first = hash(&mut driver);
        assert_eq!(hash(&mut driver), first);
        fs::write(folder.path().join("f"), "changed").unwrap();
        assert_ne!(hash(&mut driver), first);
    }
}

/// C72: a listing outlives the directory that it is of, and ends also where files are removed meanwhile (R6).
#[test]
fn c72_directories_are_listed_without_dots() {
    let (folder, keys) = granted();
    for i in 0..100 {
        fs::write(folder.path().join(format!("f{i}")), "").unwrap();
    }
    for mut driver in drivers(&keys) {
        let granted = driver.directories()[0].0;
        let at = driver.open(granted, ".", (&["directory"], &["read"])).unwrap();
        let listing = resource(driver.at("read-directory", at, &[]).unwrap());
        driver.drop(at);
        let mut names = Vec::new();
        loop {
            let next = driver
                .outcome("[method]directory-entry-stream.read-directory-entry", &[Val::Resource(listing)])
                .unwrap();
            match next {
                Some(Val::Option(Some(entry))) => match *entry {
                    Val::Record(fields) => names.push(fields[1].1.clone()),
                    other => panic!("{other:?}"),
                },
                _ => break,
            }
        }
        assert_eq!(names.len(), 100);
        assert!(!names.contains(&text_val(".")));
        driver.drop(listing);
    }
}
