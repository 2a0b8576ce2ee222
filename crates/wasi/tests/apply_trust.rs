//! Unfinished changes that are not this user's own, and what they say of what no guest may reach: nothing is done for a forged journal, it is in nobody's way, and
//! the message says what is.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use innkeeper_wasi::host::{
    self, Aftermath, ApplyCause, ApplyError, ChangesSeal, Finish, Trust, Unfinished, list_unfinished,
};
use innkeeper_wasi::keys::{Access, DirKey, Keys};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use support::populated::*;
use support::*;

static OTHER: ChangesSeal = ChangesSeal::with_key([8; 32]);

fn finish(root: &Path, trust: Trust<'_>, how: Finish) -> Result<(), ApplyError> {
    host::finish_apply(&Unfinished { directory: root, trust, hidden: &[] }, how, &never)
}

/// Leaves changes in a directory, stopped at the first step at which `left` is there. The guest moves `old` and writes into `patched`.
fn leave(root: &Path, trust: Trust<'_>, wanted: Aftermath) {
    for step in 0.. {
        let mut guest = guest_in(root, Access::CopyOnWrite);
        guest.rename((DIR, "old"), (DIR, "moved")).expect("old");
        write(&mut guest, "patched", 0, b"PATCH", 50_000);
        let left = std::cell::Cell::new(step);
        let stop = || {
            let now = left.get();
            left.set(now.max(1) - 1);
            now == 0
        };
        let error = overlay(&guest).apply(trust, &stop).expect_err("stopped");
        match error.left {
            found if found == wanted => return,
            Aftermath::Nothing => {}
            _ => finish(root, Trust::All, Finish::Undo).expect("undo"),
        }
    }
}

fn staging(root: &Path) -> PathBuf {
    let names = fs::read_dir(root).expect("list").map(|entry| entry.expect("entry").path());
    let mut staging = names.filter(|path| path.to_string_lossy().contains("/.innkeeper-cow-"));
    staging.next().expect("a staging directory")
}

/// Copies a staging directory. (No other process does it here: while one is made, it holds the locks of this one.)
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("directory");
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).expect("mode");
    for entry in fs::read_dir(from).expect("list").map(|entry| entry.expect("entry")) {
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copy");
    }
}

/// Everything that stands in the directory but for staging directories.
fn outside(root: &Path) -> Vec<(PathBuf, String)> {
    let all = whole(root, Times::Beneath).into_iter();
    all.filter(|(path, _)| !path.to_string_lossy().starts_with(".innkeeper-cow-")).collect()
}

/// A small change of somebody else's, which is made.
fn applies(root: &Path, name: &str) -> Vec<Vec<u8>> {
    let mut guest = guest_in(root, Access::CopyOnWrite);
    write(&mut guest, name, CREAT, b"more", 0);
    let passed_over = overlay(&guest).apply(MINE, &never).expect("apply");
    assert_eq!(fs::read(root.join(name)).expect(name), b"more");
    passed_over
}

#[test]
fn what_this_user_has_not_sealed_is_neither_carried_out_nor_in_the_way() {
    type Forge = fn(&Path, Aftermath);
    let cases: [(&str, Forge); 4] = [
        ("without a seal", |root, left| leave(root, Trust::All, left)),
        ("with another key", |root, left| leave(root, Trust::Sealed(&OTHER), left)),
        ("in another directory", |root, left| {
            let original = scratch();
            populate(original.path());
            leave(original.path(), MINE, left);
            let from = staging(original.path());
            copy(&from, &root.join(from.file_name().expect("name")));
        }),
        ("copied in its directory", |root, left| {
            leave(root, MINE, left);
            let real = staging(root);
            copy(&real, &root.join(".innkeeper-cow-forged"));
            fs::remove_dir_all(&real).expect("remove");
        }),
    ];
    for (case, forge) in cases {
        for left in [Aftermath::Staged, Aftermath::HalfMade] {
            let beneath = scratch();
            populate(beneath.path());
            forge(beneath.path(), left);
            let name = staging(beneath.path()).file_name().unwrap().to_string_lossy().into_owned();
            let before = outside(beneath.path());
            for how in [Finish::Resume, Finish::Undo] {
                let error = finish(beneath.path(), MINE, how).expect_err(case);
                assert_eq!((error.cause, error.left), (ApplyCause::Foreign, Aftermath::Foreign), "{case}");
                assert_eq!(error.staging.as_deref(), Some(&*name), "{case}");
            }
            assert_eq!(outside(beneath.path()), before, "{case}");
            let unfinished = Unfinished { directory: beneath.path(), trust: MINE, hidden: &[] };
            let listed = list_unfinished(&unfinished).expect("list");
            assert_eq!((listed.len(), listed[0].left), (1, Aftermath::Foreign), "{case}");
            // Others are made and finished all the same.
            assert_eq!(applies(beneath.path(), "more"), [name.clone().into_bytes()], "{case}");
        }
    }
    // Whoever vouches for it may have it carried out.
    let beneath = scratch();
    populate(beneath.path());
    leave(beneath.path(), Trust::All, Aftermath::HalfMade);
    finish(beneath.path(), Trust::All, Finish::Resume).expect("resume");
    assert!(beneath.path().join("moved").exists());
}

/// On an overlay file system, directories of a lower layer cannot be moved, so that resuming may never help.
#[test]
fn what_is_left_on_an_overlay_is_told_apart() {
    in_own_mounts("what_is_left_on_an_overlay_is_told_apart", || {
        let dir = tempfile::tempdir().expect("directory");
        let at = |path: &str| dir.path().join(path);
        for name in ["plain", "lower", "upper", "work", "merged"] {
            fs::create_dir(at(name)).expect("directory");
        }
        let layers = format!("lowerdir={0}/lower,upperdir={0}/upper,workdir={0}/work", dir.path().display());
        let mount = std::process::Command::new("mount")
            .args(["-t", "overlay", "-o", &layers, "overlay"])
            .arg(at("merged"))
            .output()
            .expect("mount runs");
        if !mount.status.success() {
            eprintln!("KNOWN GAP: no overlay is mounted here: {}", String::from_utf8_lossy(&mount.stderr));
            return;
        }
        for (name, is_on_overlay) in [("plain", false), ("merged", true)] {
            populate(&at(name));
            leave(&at(name), MINE, Aftermath::Staged);
            let unfinished = Unfinished { directory: &at(name), trust: MINE, hidden: &[] };
            let found = list_unfinished(&unfinished).expect("list");
            assert_eq!(found.len(), 1, "{name}");
            assert_eq!((found[0].left, found[0].is_on_overlay), (Aftermath::Staged, is_on_overlay), "{name}");
        }
    });
}

#[test]
fn a_forged_one_beside_it_keeps_nobody_from_finishing() {
    for how in [Finish::Resume, Finish::Undo] {
        let beneath = scratch();
        populate(beneath.path());
        leave(beneath.path(), MINE, Aftermath::HalfMade);
        let forged = beneath.path().join(".innkeeper-cow-!");
        fs::create_dir(&forged).expect("forged");
        fs::set_permissions(&forged, fs::Permissions::from_mode(0o700)).expect("mode");
        for damaged in
            [("phase", "1\n"), ("phase", "phase 1\nsealed x -\n"), ("journal", "innkeeper changes 2\n")]
        {
            fs::write(forged.join(damaged.0), damaged.1).expect("write");
        }
        let error = finish(beneath.path(), MINE, how).expect_err("the forged one");
        assert_eq!((error.cause, error.left), (ApplyCause::NoJournal, Aftermath::Damaged));
        assert_eq!(beneath.path().join("moved").exists(), how == Finish::Resume);
        assert_eq!(staging(beneath.path()), forged, "the other is gone");
        assert_eq!(applies(beneath.path(), "more"), [b".innkeeper-cow-!".to_vec()]);
    }
}

/// Whatever stands in the place of the files that are read there: no answer takes for ever, and nothing is in the way.
#[test]
fn odd_files_in_a_staging_directory_block_nobody() {
    for name in ["phase", "journal"] {
        let kinds: [&dyn Fn(&Path); 4] = [
            &|path| mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("pipe"),
            &|path| fs::create_dir(path).expect("directory"),
            &|path| std::os::unix::fs::symlink("/dev/zero", path).expect("link"),
            &|path| {
                let file = fs::File::create(path).expect("file");
                file.set_len(1 << 40).expect("a hole");
            },
        ];
        for make in kinds {
            let beneath = scratch();
            let forged = beneath.path().join(".innkeeper-cow-0");
            fs::create_dir(&forged).expect("forged");
            fs::set_permissions(&forged, fs::Permissions::from_mode(0o700)).expect("mode");
            make(&forged.join(name));
            applies(beneath.path(), "more");
            finish(beneath.path(), MINE, Finish::Resume).expect_err("nothing to make");
        }
    }
}

/// Whoever makes a directory of such a name has sealed nothing in it, and what is in it is theirs. One that a run has just begun is known by its seal.
#[test]
fn a_staging_directory_without_a_journal_is_believed_by_its_seal_only() {
    for how in [Finish::Resume, Finish::Undo] {
        let beneath = scratch();
        let forged = beneath.path().join(".innkeeper-cow-0");
        fs::create_dir(&forged).expect("forged");
        fs::set_permissions(&forged, fs::Permissions::from_mode(0o700)).expect("mode");
        fs::write(forged.join("1"), "somebody's").expect("write");
        assert_eq!(
            finish(beneath.path(), MINE, how).expect_err("foreign").cause,
            ApplyCause::Foreign,
            "{how:?}"
        );
        assert_eq!(fs::read(forged.join("1")).expect("it is still there"), b"somebody's");
        assert_eq!(applies(beneath.path(), "more"), [b".innkeeper-cow-0".to_vec()]);
    }
    let beneath = scratch();
    write(&mut guest_in(beneath.path(), Access::ReadWrite), "old", CREAT, b"old", 0);
    write(&mut guest_in(beneath.path(), Access::ReadWrite), "patched", CREAT, b"patched", 0);
    leave(beneath.path(), MINE, Aftermath::Unstaged);
    let unfinished = Unfinished { directory: beneath.path(), trust: MINE, hidden: &[] };
    assert_eq!(list_unfinished(&unfinished).expect("list")[0].left, Aftermath::Unstaged);
    finish(beneath.path(), MINE, Finish::Undo).expect("undo");
    assert_eq!(list_unfinished(&unfinished).expect("list"), []);
}

/// What an unfinished apply says of what no guest may reach is not done, whoever vouches for it.
#[test]
fn what_no_guest_may_reach_is_not_touched_by_what_was_left() {
    type Change = fn(&mut TestGuest);
    let cases: [(&str, Change); 8] = [
        ("the key is moved", |guest| guest.rename((DIR, "state/inn/key"), (DIR, "free")).expect("rename")),
        ("its directory is moved", |guest| guest.rename((DIR, "state/inn"), (DIR, "free")).expect("rename")),
        ("a directory on the way", |guest| guest.rename((DIR, "state"), (DIR, "free")).expect("rename")),
        ("the key is removed", |guest| guest.unlink(DIR, "state/inn/key").expect("unlink")),
        ("the key is written to", |guest| write(guest, "state/inn/key", 0, b"mine", 0)),
        ("the key gets a name", |guest| {
            guest.link(0, (DIR, "state/inn/key"), (DIR, "free")).expect("link");
        }),
        ("its times are set", |guest| guest.set_times(DIR, 0, "state/inn/key").expect("times")),
        ("something is made where it will be", |guest| guest.mkdir(DIR, "later").expect("mkdir")),
    ];
    for (case, change) in cases {
        let beneath = scratch();
        let at = |path: &str| beneath.path().join(path);
        fs::create_dir_all(at("state/inn")).expect("state");
        fs::write(at("state/inn/key"), "secret").expect("key");
        let hidden = [at("state/inn/key"), at("later/inn")];
        let mut step = 0;
        loop {
            let mut guest = guest_in(beneath.path(), Access::CopyOnWrite);
            change(&mut guest);
            let count = std::cell::Cell::new(step);
            let stop = || {
                let now = count.get();
                count.set(now.max(1) - 1);
                now == 0
            };
            let left = overlay(&guest).apply(MINE, &stop).expect_err("stopped").left;
            match left {
                Aftermath::Staged => break,
                Aftermath::Nothing => {}
                _ => finish(beneath.path(), MINE, Finish::Undo).expect("undo"),
            }
            step += 1;
        }
        let before = outside(beneath.path());
        let unfinished = Unfinished { directory: beneath.path(), trust: Trust::All, hidden: &hidden };
        let error = loop {
            let error = host::finish_apply(&unfinished, Finish::Resume, &never).expect_err(case);
            // A process that another test is about to start has a copy of the descriptor that was locked, until it is another program.
            if error.cause != ApplyCause::Busy {
                break error;
            }
        };
        assert_eq!((error.cause, error.left), (ApplyCause::Hidden, Aftermath::Staged), "{case}: {error}");
        let names =
            |tree: &[(PathBuf, String)]| tree.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
        assert_eq!(names(&outside(beneath.path())), names(&before), "{case}");
        assert_eq!(fs::read(at("state/inn/key")).expect("key"), b"secret", "{case}");
        host::finish_apply(&unfinished, Finish::Undo, &never).expect(case);

        // Nor is it in the first place.
        let mut keys =
            Keys::builder().directory(DirKey::new(beneath.path(), "/in", Access::CopyOnWrite)).build();
        keys.hidden = hidden.to_vec();
        let mut guest = TestGuest::new(&keys);
        write(&mut guest, "harmless", CREAT, b"f", 0);
        let refused = overlay(&guest).check_apply().expect_err(case);
        assert_eq!((refused.cause, refused.left), (ApplyCause::Hidden, Aftermath::Nothing));
        assert_eq!(overlay(&guest).apply(MINE, &never), Err(refused));
        assert!(!at("harmless").exists());
    }
}

/// However many somebody leaves there, they are in nobody's way.
#[test]
fn more_staging_directories_than_can_be_open_are_in_nobodys_way() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(200);
    setrlimit(Resource::Nofile, limit).expect("limit");
    let beneath = scratch();
    for number in 0..300 {
        let forged = beneath.path().join(format!(".innkeeper-cow-{number}"));
        fs::create_dir(&forged).expect("forged");
        fs::set_permissions(&forged, fs::Permissions::from_mode(0o700)).expect("mode");
        fs::write(forged.join("phase"), "phase 1\n").expect("write");
    }
    assert_eq!(applies(beneath.path(), "more").len(), 300);
    let unfinished = Unfinished { directory: beneath.path(), trust: MINE, hidden: &[] };
    assert_eq!(list_unfinished(&unfinished).expect("list").len(), 300);
    let error = finish(beneath.path(), MINE, Finish::Resume).expect_err("damaged");
    assert_eq!(error.cause, ApplyCause::NoJournal);
}
