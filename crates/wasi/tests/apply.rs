//! Carrying changes out in the host's directory: nothing is lost, whatever others do to it meanwhile and wherever the process ends (Y7, Y10, Y12).

mod support;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use innkeeper_wasi::host::{Aftermath, ApplyCause, ApplyError, Finish};
use innkeeper_wasi::keys::Access;
use support::populated::*;
use support::*;

/// What a guest does in that directory.
fn rearrange(guest: &mut TestGuest) {
    // With a link that nobody has looked at, a pipe and a socket.
    guest.rename((DIR, "a"), (DIR, "moved")).expect("a");
    guest.rename((DIR, "secret"), (DIR, "moved/secret")).expect("secret");
    guest.rename((DIR, "d1/h1"), (DIR, "d2/h1")).expect("h1");
    guest.link(0, (DIR, "d2/h2"), (DIR, "h4")).expect("h4");
    guest.link(0, (DIR, "x1"), (DIR, "d1/x1")).expect("d1/x1");
    guest.unlink(DIR, "old").expect("old");
    guest.rmdir(DIR, "gone").expect("gone");
    guest.mkdir(DIR, "new").expect("new");
    guest.mkdir(DIR, "new/er").expect("new/er");
    write(guest, "new/er/f", CREAT, &[1; 40_000], 5000);
    guest.link(0, (DIR, "new/er/f"), (DIR, "new/g")).expect("new/g");
    guest.symlink("er/f", DIR, "new/l").expect("new/l");
    write(guest, "patched", 0, b"PATCH", 50_000);
    write(guest, "cut", 0, b"tail", 200_000);
    let fd = guest.open(DIR, "cut", open_for(WRITE, 0)).expect("cut");
    guest.call("fd_filestat_set_size", &[fd.into(), 33_000]).expect("shorter");
    guest.call("fd_filestat_set_size", &[fd.into(), 120_000]).expect("longer");
    guest.close(fd).expect("close");
    write(guest, "emptied", TRUNC, b"little", 0);
    write(guest, "sparse", 0, b"end", (1 << 33) - 3);
    guest.rename((DIR, "sparse"), (DIR, "new/sparse")).expect("sparse");
    for (from, to) in [("x1", "t"), ("x2", "x1"), ("t", "x2")] {
        guest.rename((DIR, from), (DIR, to)).expect(from);
    }
    // What was inside is outside.
    guest.rename((DIR, "full/x"), (DIR, "outer")).expect("full/x");
    guest.rename((DIR, "full"), (DIR, "outer/y/full")).expect("full");
    guest.set_times(DIR, 0, "keep").expect("times of keep");
    guest.set_times(DIR, 0, "new/er/f").expect("times of new/er/f");
    guest.set_times(DIR, 0, "outer").expect("times of outer");
}

/// What `rearrange` makes of the directory where it works in it directly.
fn rearranged() -> BTreeMap<PathBuf, String> {
    let native = scratch();
    populate(native.path());
    rearrange(&mut guest_in(native.path(), Access::ReadWrite));
    whole(native.path(), Times::Set)
}

fn staged_names(root: &Path) -> Vec<String> {
    let names = fs::read_dir(root).expect("list").map(|entry| entry.expect("entry").file_name());
    names.filter_map(|name| name.into_string().ok()).filter(|name| name.starts_with(".innkeeper")).collect()
}

#[test]
fn what_is_applied_is_what_working_there_would_have_made_of_it() {
    let beneath = scratch();
    populate(beneath.path());
    let mut guest = guest_in(beneath.path(), Access::CopyOnWrite);
    let before = whole(beneath.path(), Times::All);
    rearrange(&mut guest);
    assert_eq!(whole(beneath.path(), Times::All), before);
    overlay(&guest).apply(MINE, &never).expect("apply");
    assert_eq!(whole(beneath.path(), Times::Set), rearranged());
    // The hole has stayed one.
    assert!(fs::metadata(beneath.path().join("new/sparse")).expect("sparse").blocks() < 1000);
}

#[test]
fn times_of_the_top_are_those_that_the_guest_set_or_those_that_were() {
    let beneath = scratch();
    fs::create_dir(beneath.path().join("sub")).expect("sub");
    set_modified(beneath.path(), 1234);
    let mut guest = guest_in(beneath.path(), Access::CopyOnWrite);
    write(&mut guest, "sub/f", CREAT, b"f", 0);
    overlay(&guest).apply(MINE, &never).expect("apply");
    assert_eq!(fs::metadata(beneath.path()).expect("top").mtime(), 1234, "nothing in it has changed");
    let mut guest = guest_in(beneath.path(), Access::CopyOnWrite);
    write(&mut guest, "f", CREAT, b"f", 0);
    guest.set_times(DIR, 0, ".").expect("times");
    overlay(&guest).apply(MINE, &never).expect("apply");
    assert_eq!(fs::metadata(beneath.path()).expect("top").mtime_nsec(), 2);
}

/// Stops at the given step.
fn stop_at(step: usize) -> impl Fn() -> bool {
    let left = Cell::new(step);
    move || match left.get() {
        0 => true,
        more => {
            left.set(more - 1);
            false
        }
    }
}

fn apply_until(root: &Path, step: usize) -> Result<Vec<Vec<u8>>, ApplyError> {
    let mut guest = guest_in(root, Access::CopyOnWrite);
    rearrange(&mut guest);
    overlay(&guest).apply(MINE, &stop_at(step))
}

/// Everything that apply does asks before each step whether it is to stop; what is there then is what a process leaves that is killed.
#[test]
fn whoever_is_stopped_anywhere_can_go_on_and_go_back() {
    let after = rearranged();
    let mut kept = 0;
    let mut half = 0;
    for step in 0.. {
        let [resumed, undone] = [0, 1].map(|_| {
            let beneath = scratch();
            populate(beneath.path());
            beneath
        });
        let before = whole(undone.path(), Times::All);
        let Err(error) = apply_until(resumed.path(), step) else {
            break;
        };
        assert_eq!(error.cause, ApplyCause::Stopped, "{step}");
        match error.left {
            Aftermath::Nothing => {
                assert_eq!(staged_names(resumed.path()), [""; 0]);
                continue;
            }
            Aftermath::Unstaged => {
                let refused =
                    finish_apply(resumed.path(), Finish::Resume, &never).expect_err("not all is there");
                assert_eq!(refused.cause, ApplyCause::NoJournal, "{step}");
            }
            Aftermath::Damaged | Aftermath::Foreign => panic!("{step}: {error}"),
            Aftermath::Staged | Aftermath::HalfMade | Aftermath::Made => {
                kept += 1;
                half += usize::from(error.left == Aftermath::HalfMade);
                finish_apply(resumed.path(), Finish::Resume, &never)
                    .unwrap_or_else(|error| panic!("{step}: {error}"));
                assert_eq!(whole(resumed.path(), Times::Set), after, "{step}: resumed");
            }
        }
        let error = apply_until(undone.path(), step).expect_err("stopped as well");
        let undo = finish_apply(undone.path(), Finish::Undo, &never);
        if error.left == Aftermath::Made {
            assert_eq!(undo.expect_err("done").cause, ApplyCause::AllDone, "{step}");
            continue;
        }
        undo.unwrap_or_else(|error| panic!("{step}: {error}"));
        let times = if error.left == Aftermath::Unstaged { Times::Beneath } else { Times::All };
        let mut expected = populated(times);
        let found = whole(undone.path(), times);
        if times == Times::All {
            // Each directory was made at its own time.
            expected.remove(Path::new(""));
        }
        for (path, text) in expected {
            assert_eq!(found.get(&path), Some(&text), "{step}: undone");
        }
        assert_eq!(found.len(), before.len(), "{step}");
        if times == Times::All {
            assert_eq!(found[Path::new("")], before[Path::new("")], "{step}: times of the top");
        }
    }
    assert!(kept > 40 && half > 30, "{kept} {half}");
}

fn populated(times: Times) -> BTreeMap<PathBuf, String> {
    let fresh = scratch();
    populate(fresh.path());
    whole(fresh.path(), times)
}

/// Stopped on the way there, on the way on, and on the way back.
#[test]
fn whoever_is_stopped_again_and_again_comes_to_an_end() {
    let after = rearranged();
    for round in 0..40 {
        let beneath = scratch();
        populate(beneath.path());
        let before = whole(beneath.path(), Times::Beneath);
        let mut step = 75 + round * 5;
        if apply_until(beneath.path(), step).is_ok() {
            break;
        }
        let mut last = Finish::Resume;
        for turn in 0.. {
            step = (step * 7 + turn * 3) % 23;
            last = if turn >= 30 || (turn + round) % 3 > 0 { Finish::Resume } else { Finish::Undo };
            let stop = stop_at(if turn < 30 { step } else { usize::MAX });
            match finish_apply(beneath.path(), last, &stop) {
                Ok(()) => break,
                Err(error) if error.cause == ApplyCause::Stopped => {}
                Err(error) if error.cause == ApplyCause::AllDone && last == Finish::Undo => {}
                // A part of it was removed already when undoing was stopped.
                Err(error) if error.cause == ApplyCause::NoJournal => {
                    last = Finish::Undo;
                    finish_apply(beneath.path(), last, &never).expect("undo");
                    break;
                }
                Err(error) => panic!("{round} {turn} {last:?}: {error}"),
            }
        }
        match last {
            Finish::Resume => assert_eq!(whole(beneath.path(), Times::Set), after, "{round}"),
            Finish::Undo => assert_eq!(whole(beneath.path(), Times::Beneath), before, "{round}"),
        }
    }
}

/// What others do to the directory while the guest runs, where it is in the way, and how they make room again.
#[test]
fn what_others_have_done_meanwhile_is_not_lost() {
    type Meddle = fn(&Path);
    let cases: [(&str, ApplyCause, &str, Meddle, Meddle); 7] = [
        (
            "a removed directory is filled",
            ApplyCause::Filled,
            "gone",
            |root| fs::write(root.join("gone/theirs"), "theirs").expect("write"),
            |root| fs::rename(root.join("gone/theirs"), root.join("theirs")).expect("rename"),
        ),
        (
            "a changed file is changed",
            ApplyCause::Changed,
            "patched",
            |root| fs::write(root.join("patched"), vec![8; 100_000]).expect("write"),
            |_| {},
        ),
        (
            "a removed file is changed",
            ApplyCause::Changed,
            "old",
            |root| fs::write(root.join("old"), "theirs").expect("write"),
            |_| {},
        ),
        (
            "a moved file is replaced",
            ApplyCause::Changed,
            "secret",
            |root| {
                fs::write(root.join("theirs"), "theirs").expect("write");
                fs::rename(root.join("theirs"), root.join("secret")).expect("rename");
            },
            |_| {},
        ),
        (
            "a moved directory is removed",
            ApplyCause::Changed,
            "a",
            |root| fs::remove_dir_all(root.join("a")).expect("remove"),
            |_| {},
        ),
        (
            "the place of a new name is taken",
            ApplyCause::Occupied,
            "new",
            |root| fs::write(root.join("new"), "theirs").expect("write"),
            |root| fs::rename(root.join("new"), root.join("theirs")).expect("rename"),
        ),
        (
            "a directory is replaced by a link",
            ApplyCause::Changed,
            "d2",
            |root| {
                fs::rename(root.join("d2"), root.join("theirs")).expect("rename");
                symlink("theirs", root.join("d2")).expect("symlink");
            },
            |root| {
                fs::remove_file(root.join("d2")).expect("remove");
                fs::rename(root.join("theirs"), root.join("d2")).expect("rename");
            },
        ),
    ];
    for (case, cause, path, meddle, make_room) in cases {
        for finish in [Finish::Resume, Finish::Undo] {
            let beneath = scratch();
            populate(beneath.path());
            let mut guest = guest_in(beneath.path(), Access::CopyOnWrite);
            rearrange(&mut guest);
            meddle(beneath.path());
            let before = whole(beneath.path(), Times::Beneath);
            let error = overlay(&guest).apply(MINE, &never).expect_err(case);
            assert_eq!((error.cause, &*String::from_utf8_lossy(&error.path)), (cause, path), "{case}");
            assert_eq!(error.left, Aftermath::Staged, "{case}");
            let staging = error.staging.expect("all is kept");
            let mode = fs::metadata(beneath.path().join(&staging)).expect("staging").mode();
            assert_eq!(mode & 0o7777, 0o700, "{case}");
            let mut now = whole(beneath.path(), Times::Beneath);
            now.retain(|path, _| !path.starts_with(&staging));
            // Names of their own that files beneath have in the staging directory count.
            let counts = |tree: &BTreeMap<PathBuf, String>| -> BTreeMap<PathBuf, String> {
                let without = |text: &String| {
                    let (front, content) = text.split_once("): ").expect("content");
                    let (front, _) = front.rsplit_once('(').expect("links");
                    let (front, _) = front.rsplit_once(" as ").expect("names");
                    format!("{front} {content}")
                };
                tree.iter().map(|(path, text)| (path.clone(), without(text))).collect()
            };
            assert_eq!(counts(&now), counts(&before), "{case}");
            if finish == Finish::Undo {
                finish_apply(beneath.path(), finish, &never).expect(case);
                assert_eq!(whole(beneath.path(), Times::Beneath), before, "{case}");
                continue;
            }
            make_room(beneath.path());
            let theirs = fs::read_to_string(beneath.path().join("theirs")).ok();
            if matches!(case, "a moved directory is removed" | "a moved file is replaced") {
                let error = finish_apply(beneath.path(), finish, &never).expect_err("it is gone");
                assert_eq!(error.left, Aftermath::Staged, "{case}");
                continue;
            }
            finish_apply(beneath.path(), finish, &never).unwrap_or_else(|error| panic!("{case}: {error}"));
            let mut now = whole(beneath.path(), Times::Set);
            now.remove(Path::new("theirs"));
            if cause != ApplyCause::Changed || path == "d2" {
                assert_eq!(now, rearranged(), "{case}");
            }
            assert_eq!(fs::read_to_string(beneath.path().join("theirs")).ok(), theirs, "{case}");
        }
    }
}

/// Days later, somebody may have written into what is new, or put a file of their own in its place, which can have the same number, size and time.
#[test]
fn what_others_have_in_the_place_of_what_is_new_is_not_removed() {
    type Meddle = fn(&Path);
    let cases: [(&str, Meddle); 3] = [
        ("written to", |path| fs::write(path, "theirs: longer").expect("write")),
        ("written to, as long as before", |path| fs::write(path, "theirs").expect("write")),
        ("replaced, as long and as old as before", |path| {
            let old = fs::metadata(path).expect("old");
            fs::remove_file(path).expect("remove");
            // Of some file systems, one of the next files has its number.
            for further in 0.. {
                fs::write(path, "theirs").expect("write");
                if further == 100 || fs::metadata(path).expect("new").ino() == old.ino() {
                    break;
                }
                fs::rename(path, path.with_extension(further.to_string())).expect("rename");
            }
            let file = fs::File::options().write(true).open(path).expect("open");
            file.set_modified(old.modified().expect("time")).expect("set");
        }),
    ];
    for (case, meddle) in cases {
        for step in 0.. {
            let beneath = scratch();
            let path = beneath.path().join("f");
            let mut guest = guest_in(beneath.path(), Access::CopyOnWrite);
            write(&mut guest, "f", CREAT, b"guest\n", 0);
            guest.set_times(DIR, 0, "f").expect("times");
            let error = overlay(&guest).apply(MINE, &stop_at(step)).expect_err("stopped");
            if !path.exists() {
                continue;
            }
            if error.left == Aftermath::Made {
                assert!(step > 5, "nothing was half made");
                break;
            }
            meddle(&path);
            let error = finish_apply(beneath.path(), Finish::Undo, &never).expect_err(case);
            assert_eq!((error.cause, error.left), (ApplyCause::Changed, Aftermath::HalfMade), "{case}");
            assert!(fs::read_to_string(&path).expect(case).starts_with("theirs"), "{case}");
        }
    }
}

/// A file that cannot be is found out before anything is changed, and takes no room on the disk.
#[test]
fn a_file_as_large_as_can_be_changes_nothing_or_takes_no_room() {
    // Not in memory: there such files can be.
    let beneath = tempfile::tempdir().expect("temporary directory");
    fs::write(beneath.path().join("a"), "a").expect("a");
    fs::write(beneath.path().join("other"), "other").expect("other");
    let before = whole(beneath.path(), Times::All);
    let mut guest = guest_in(beneath.path(), Access::CopyOnWrite);
    guest.unlink(DIR, "other").expect("unlink");
    let fd = guest.open(DIR, "a", open_for(WRITE, 0)).expect("a");
    guest.call("fd_filestat_set_size", &[fd.into(), i64::MAX as u64]).expect("set_size");
    guest.rename((DIR, "a"), (DIR, "b")).expect("rename");
    match overlay(&guest).apply(MINE, &never) {
        Ok(_) => {
            let b = fs::metadata(beneath.path().join("b")).expect("b");
            assert!(b.blocks() < 1000 && b.len() == i64::MAX as u64);
        }
        Err(error) => {
            assert_eq!(error.left, Aftermath::Nothing, "{error}");
            assert_eq!(whole(beneath.path(), Times::All), before);
        }
    }
}

#[test]
fn half_made_changes_are_finished_before_others_are_made() {
    let beneath = scratch();
    populate(beneath.path());
    let mut step = 60;
    while apply_until(beneath.path(), step).expect_err("stopped").left != Aftermath::HalfMade {
        finish_apply(beneath.path(), Finish::Undo, &never).expect("undo");
        step += 10;
    }
    let mut guest = guest_in(beneath.path(), Access::CopyOnWrite);
    write(&mut guest, "f", CREAT, b"f", 0);
    let error = overlay(&guest).apply(MINE, &never).expect_err("unfinished");
    assert_eq!((error.cause, error.left), (ApplyCause::Unfinished, Aftermath::Nothing));
    assert!(!beneath.path().join("f").exists());
    finish_apply(beneath.path(), Finish::Resume, &never).expect("resume");
    overlay(&guest).apply(MINE, &never).expect("apply");
}

/// A file that was changed and lost the name that the guest knew has what was written under the others.
#[test]
fn other_names_of_a_changed_file_have_its_bytes() {
    for look in [false, true] {
        let beneath = scratch();
        fs::create_dir(beneath.path().join("sub")).expect("sub");
        fs::write(beneath.path().join("f"), vec![1; 40_000]).expect("f");
        fs::hard_link(beneath.path().join("f"), beneath.path().join("sub/g")).expect("sub/g");
        let mut guest = guest_in(beneath.path(), Access::CopyOnWrite);
        write(&mut guest, "f", 0, b"written", 20_000);
        guest.set_times(DIR, 0, "f").expect("times");
        guest.unlink(DIR, "f").expect("unlink");
        if look {
            let fd = guest.open(DIR, "sub/g", open_for(READ, 0)).expect("sub/g");
            assert_eq!(guest.seek(fd, 20_000, 0), Ok(20_000));
            assert_eq!(guest.read(fd, 7).expect("read"), b"written");
        }
        overlay(&guest).apply(MINE, &never).expect("apply");
        let bytes = fs::read(beneath.path().join("sub/g")).expect("sub/g");
        assert_eq!((bytes.len(), &bytes[20_000..20_007]), (40_000, &b"written"[..]), "{look}");
        let found = fs::metadata(beneath.path().join("sub/g")).expect("sub/g");
        assert_eq!((found.mtime(), found.mtime_nsec()), (0, 2), "{look}: the times that were set");
        assert!(!beneath.path().join("f").exists());
    }
}

/// The group of a directory that hands it on is that of what is new in it.
#[test]
fn what_is_new_has_the_group_that_its_directory_hands_on() {
    let beneath = scratch();
    fs::create_dir(beneath.path().join("shared")).expect("shared");
    fs::set_permissions(beneath.path().join("shared"), fs::Permissions::from_mode(0o2775)).expect("mode");
    // Only some users may give files away.
    let _ = std::os::unix::fs::chown(beneath.path().join("shared"), None, Some(12));
    fs::set_permissions(beneath.path().join("shared"), fs::Permissions::from_mode(0o2775)).expect("mode");
    let native = guest_in(beneath.path(), Access::ReadWrite);
    let mut guests = [(native, "n"), (guest_in(beneath.path(), Access::CopyOnWrite), "c")];
    for (guest, name) in &mut guests {
        guest.mkdir(DIR, &format!("shared/{name}")).expect("mkdir");
        guest.mkdir(DIR, &format!("shared/{name}/sub")).expect("mkdir");
        write(guest, &format!("shared/{name}/sub/f"), CREAT, b"f", 0);
    }
    overlay(&guests[1].0).apply(MINE, &never).expect("apply");
    for path in ["", "/sub", "/sub/f"] {
        let [n, c] = ["n", "c"].map(|name| {
            let found = fs::metadata(beneath.path().join(format!("shared/{name}{path}"))).expect("metadata");
            (found.mode(), found.gid())
        });
        assert_eq!(n, c, "{path}");
    }
}

/// What a directory hands on to those in it, or has for a mode, keeps nobody from having changes made in it, and does not come to where nothing is handed on.
#[test]
fn changes_are_made_whatever_a_directory_hands_on() {
    for mode in [0o2775, 0o2700, 0o1777, 0o3777, 0o700] {
        let made = [Access::ReadWrite, Access::CopyOnWrite].map(|access| {
            let beneath = scratch();
            fs::create_dir(beneath.path().join("plain")).expect("plain");
            // Only some users may give files away.
            let _ = std::os::unix::fs::chown(beneath.path(), None, Some(12));
            fs::set_permissions(beneath.path(), fs::Permissions::from_mode(mode)).expect("mode");
            let mut guest = guest_in(beneath.path(), access);
            write(&mut guest, "f", CREAT, b"f", 0);
            guest.mkdir(DIR, "plain/d").expect("mkdir");
            write(&mut guest, "plain/f", CREAT, b"f", 0);
            if access == Access::CopyOnWrite {
                overlay(&guest).apply(MINE, &never).unwrap_or_else(|error| panic!("{mode:o}: {error}"));
            }
            assert!(staged_names(beneath.path()).is_empty(), "{mode:o}");
            ["f", "plain/d", "plain/f"].map(|path| {
                let found = fs::metadata(beneath.path().join(path)).expect(path);
                (found.mode(), found.gid())
            })
        });
        assert_eq!(made[0], made[1], "{mode:o}");
    }
}

/// Between any two pieces of a file that is written, whoever wants it to end is asked.
#[test]
fn writing_a_large_file_can_be_stopped() {
    const PIECES: usize = 200;
    for is_new in [true, false] {
        let beneath = scratch();
        if !is_new {
            fs::write(beneath.path().join("large"), "old").expect("large");
        }
        let mut guest = guest_in(beneath.path(), Access::CopyOnWrite);
        for piece in 0..PIECES {
            write(&mut guest, "large", CREAT, b"x", piece as u64 * 16 * 1024);
        }
        let asked = Cell::new(0);
        let count = || {
            asked.set(asked.get() + 1);
            false
        };
        overlay(&guest).apply(MINE, &count).expect("apply");
        assert!(asked.get() >= PIECES, "new: {is_new}: {} times", asked.get());
    }
}
