//! What a guest has left in a directory that the host keeps itself, as the owner of the keys reads it.

mod support;

use std::fs;

use innkeeper_wasi::host::Error;
use innkeeper_wasi::keys::{Access, DirKey, KeyError, Keys};
use support::*;

const DIR: u32 = 3;

fn put(guest: &mut TestGuest, path: &str, bytes: &[u8]) {
    let fd = guest.open(DIR, path, open_for(WRITE, CREAT)).expect(path);
    guest.write(fd, bytes).expect("write");
    guest.close(fd).expect("close");
}

#[test]
fn what_a_guest_has_left_can_be_read_back() {
    let beneath = tempfile::tempdir().expect("temporary directory");
    fs::create_dir(beneath.path().join("a")).expect("a directory");
    fs::write(beneath.path().join("a/c"), "beneath").expect("a file");
    let preloaded = DirKey::temporary("/in/", 1 << 20).with_file("sub/before", "from the start");
    for key in [preloaded, DirKey::new(beneath.path(), "/in", Access::CopyOnWrite)] {
        let is_in_memory = key.access != Access::CopyOnWrite;
        let mut guest = TestGuest::new(&Keys::builder().directory(key).build());
        put(&mut guest, "new", b"text");
        put(&mut guest, "gone", b"text");
        guest.unlink(DIR, "gone").expect("unlink");
        guest.symlink("new", DIR, "link").expect("symlink");
        guest.symlink("../../etc", DIR, "out").expect("symlink");
        let kept = guest.cx.host().kept_directory("/in/").expect("it is kept").clone();
        assert!(guest.cx.host().kept_directory("/else").is_none());
        assert_eq!(guest.cx.host().kept_directories().len(), 1);
        assert_eq!(kept.guest_path(), "/in");
        let files = kept.files().expect("files");
        let files: Vec<&str> = files.iter().map(|path| std::str::from_utf8(path).expect("UTF-8")).collect();
        assert_eq!(files, if is_in_memory { vec!["new", "sub/before"] } else { vec!["new"] });
        for (path, most, read) in [
            ("new", 4, Ok("text")),
            ("./new", 4, Ok("text")),
            ("link", 4, Ok("text")),
            ("new", 3, Err(Error::FileTooLarge)),
            ("new/", 4, Err(Error::NotDirectory)),
            ("gone", 4, Err(Error::NotFound)),
            (".", 4, Err(Error::IsDirectory)),
            ("../in/new", 4, Err(Error::Escape)),
            ("/new", 4, Err(Error::Escape)),
            ("out/passwd", 1 << 20, Err(Error::Escape)),
        ] {
            assert_eq!(kept.read_file(path, most), read.map(|text| text.as_bytes().to_vec()), "{path}");
        }
        // As long as a file can be, of holes: nothing is read of it, and so is one that is within the bound.
        let fd = guest.open(DIR, "hole", open_for(WRITE, CREAT)).expect("open");
        for (size, most) in [(i64::MAX as u64, 1 << 20), (200_000, 200_000)] {
            guest.call("fd_filestat_set_size", &[fd.into(), size]).expect("a size");
            let zeros = if size > most { Err(Error::FileTooLarge) } else { Ok(vec![0; size as usize]) };
            assert_eq!(kept.read_file("hole", most), zeros);
        }
        let mut archive = Vec::new();
        assert_eq!(kept.write_tar(&mut archive, &|| false).expect("archive"), Vec::<Vec<u8>>::new());
        assert!(archive.windows(4).any(|part| part == b"text"));
        if !is_in_memory {
            // What is beneath, as far as it was not changed, can be read, too.
            assert_eq!(kept.read_file("a/c", 7), Ok(b"beneath".to_vec()));
        }
    }
}

#[test]
fn files_for_a_directory_that_is_not_in_memory_are_refused() {
    let beneath = tempfile::tempdir().expect("temporary directory");
    for access in [Access::ReadOnly, Access::ReadWrite, Access::CopyOnWrite] {
        let key = DirKey::new(beneath.path(), "/in", access).with_file("a", "b");
        let error = Keys::builder().directory(key).build().check().expect_err("refused");
        assert!(matches!(&error, KeyError::PreloadOfHost { path, .. } if path == "a"), "{error}");
        assert!(error.to_string().contains("/in"), "{error}");
    }
}
