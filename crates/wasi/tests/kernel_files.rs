//! What no directory includes, by whatever path, link or mount it is reached: the kernel's own files, what the host keeps for itself, and what changes are
//! staged in.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use innkeeper_wasi::host::MissingKey;
use innkeeper_wasi::keys::{
    Access, DirKey, DirectoryOrder, KernelFiles, KeyError, Keys, NameAliases, WasiTuning,
};
use innkeeper_wasi::p1::{self, Context, Errno, Version};
use support::*;

const PERM: i32 = number(Errno::Perm);
const READ_IT: Open = open_for(READ, 0);
const KINDS: [Access; 3] = [Access::ReadOnly, Access::ReadWrite, Access::CopyOnWrite];

/// Everything on a path that WASI 0.1 has, as what is done with it and its name. The path may be there or not; `free` is one that is not.
fn everything(guest: &mut TestGuest, dir: u32, path: &str, free: &str) -> Vec<(&'static str, Answer<()>)> {
    let open = |guest: &mut TestGuest, how: Open| guest.open(dir, path, how).and_then(|fd| guest.close(fd));
    let follow = Open { lookup: FOLLOW, ..READ_IT };
    let done = vec![
        ("path_open", open(guest, READ_IT)),
        ("path_open", open(guest, follow)),
        ("path_open", open(guest, open_for(READ, DIRECTORY))),
        ("path_open", open(guest, open_for(WRITE, TRUNC))),
        ("path_open", open(guest, open_for(READ | WRITE, CREAT))),
        ("path_open", open(guest, open_for(WRITE, CREAT | EXCL))),
        ("path_filestat_get", guest.stat(dir, 0, path).map(drop)),
        ("path_filestat_get", guest.stat(dir, FOLLOW, path).map(drop)),
        ("path_filestat_set_times", guest.set_times(dir, 0, path)),
        ("path_readlink", guest.readlink(dir, path).map(drop)),
        ("path_create_directory", guest.mkdir(dir, path)),
        ("path_symlink", guest.symlink("x", dir, path)),
        ("path_link", guest.link(0, (dir, path), (dir, free))),
        ("path_rename", guest.rename((dir, path), (dir, free))),
        ("path_unlink_file", guest.unlink(dir, path)),
        ("path_remove_directory", guest.rmdir(dir, path)),
    ];
    for function in p1::functions(Version::Preview1).iter().filter(|it| it.name.starts_with("path_")) {
        assert!(done.iter().any(|(name, _)| *name == function.name), "{} is not tried", function.name);
    }
    done
}

#[test]
fn y9_the_kernels_files_are_no_part_of_a_directory() {
    let outside = tempfile::tempdir().expect("a temporary directory");
    fs::write(outside.path().join("f"), "ordinary").expect("f");
    let up = "../".repeat(outside.path().components().count() - 1);
    symlink(format!("{up}proc/self/environ"), outside.path().join("l")).expect("l");
    let relative =
        |name: &str| outside.path().join(name).strip_prefix("/").unwrap().to_str().unwrap().to_owned();
    for (name, tuning) in resolvers() {
        for access in KINDS {
            let case = format!("{name} {access:?}");
            let key = DirKey::new("/", "/r", access);
            let mut guest = TestGuest::new(&Keys::builder().directory(key).tuning(tuning.clone()).build());
            let link = relative("l");
            for path in [
                "proc/self/environ",
                "proc/self/mem",
                "proc/self/maps",
                "proc/self/fd/0",
                "proc/self/root/etc",
                "proc/version",
                "proc/../proc/version",
                "etc/../proc/self/environ",
                "sys/kernel",
                "proc/self",
                "proc/self/ns/net",
            ] {
                for (function, answer) in everything(&mut guest, 3, path, "proc/free") {
                    assert!(answer.is_err(), "{case}: {function} of {path}");
                }
            }
            for path in ["proc/self/environ", "proc/self/mem", "proc/version", "sys/kernel", &link] {
                let how = Open { lookup: FOLLOW, ..READ_IT };
                assert_eq!(guest.open(3, path, how), Err(PERM), "{case}: {path}");
                assert_eq!(guest.stat(3, FOLLOW, path).err(), Some(PERM), "{case}: {path}");
            }
            // By one step at a time, too: there is no handle to begin with.
            assert_eq!(guest.stat(3, 0, "proc").err(), Some(PERM), "{case}");
            assert_eq!(guest.set_times(3, 0, "proc").err(), Some(PERM), "{case}");
            assert_eq!(guest.open(3, "proc", open_for(READ, DIRECTORY)), Err(PERM), "{case}");
            let denials = guest.cx.host().denials();
            assert!(denials.iter().any(
                |denial| matches!(&denial.missing, MissingKey::KernelFiles { guest, .. } if guest == "/r")
            ));
            // What is not the kernel's is part of it, across mounts or not.
            let fd = guest.open(3, &relative("f"), READ_IT).expect("an ordinary file");
            assert_eq!(guest.read(fd, 100).unwrap(), b"ordinary", "{case}");
            assert!(guest.open(3, "dev/null", READ_IT).is_ok() || access == Access::CopyOnWrite, "{case}");
        }
        let unsafe_key =
            |host: &str| DirKey::new(host, "/r", Access::ReadOnly).with_kernel_files(KernelFiles::Granted);
        for (host, path) in [("/", "proc/self/status"), ("/proc", "self/status"), ("/proc/self", "status")] {
            let keys = Keys::builder().tuning(tuning.clone());
            let refused = Context::new(&keys.clone().dir(host, "/r", Access::ReadOnly).build());
            match refused {
                Ok(_) => assert_eq!(host, "/"),
                Err(error) => {
                    assert!(matches!(&error, KeyError::KernelFiles(at) if at == Path::new(host)), "{error}")
                }
            }
            let mut guest = TestGuest::new(&keys.directory(unsafe_key(host)).build());
            let fd = guest.open(3, path, READ_IT).expect(name);
            assert!(!guest.read(fd, 100).unwrap().is_empty(), "{name}: {host}");
        }
    }
}

/// A home directory with a secret in it, which is hidden, on a way that leads through a link, and a place where one will be.
fn home() -> (tempfile::TempDir, Vec<std::path::PathBuf>) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let at = |path: &str| home.path().join(path);
    fs::create_dir_all(at("state/inn/seal")).expect("the secret's directory");
    fs::write(at("state/inn/seal/key"), "secret").expect("the secret");
    fs::create_dir(at(".local")).expect(".local");
    symlink("../state", at(".local/state")).expect("a link");
    fs::write(at("f"), "ordinary").expect("f");
    let hidden = ["", "/key"].map(|end| at(&format!(".local/state/inn/seal{end}")));
    let hidden = hidden.into_iter().chain([at(".cache/inn")]).collect();
    (home, hidden)
}

#[test]
fn y4_what_the_host_keeps_for_itself_is_out_of_sight() {
    for (name, tuning) in resolvers() {
        for access in KINDS {
            let (home, hidden) = home();
            let before = snapshot(&home.path().join("state/inn/seal"));
            let case = format!("{name} {access:?}");
            let mut keys = Keys::builder().dir(home.path(), "/h", access).tuning(tuning.clone()).build();
            keys.hidden = hidden;
            let mut guest = TestGuest::new(&keys);
            assert_eq!(guest.open(3, "state/inn/seal/key", READ_IT), Err(PERM), "{case}");
            for path in [
                "state/inn/seal/key",
                "state/inn/seal/new",
                "state/inn/seal/../seal/key",
                ".local/state/inn/seal/key",
                "./.local/../state/inn/seal/key",
                ".cache/inn/new",
            ] {
                for (function, answer) in everything(&mut guest, 3, path, "free") {
                    assert!(answer.is_err(), "{case}: {function} of {path}");
                }
            }
            for path in ["state/inn/seal", "state/inn/seal/"] {
                for (function, answer) in everything(&mut guest, 3, path, "free") {
                    assert!(answer.is_err(), "{case}: {function} of {path}");
                }
            }
            for path in ["state", "state/inn", ".local", ".local/state", ".cache", ".cache/inn"] {
                for (function, answer) in everything(&mut guest, 3, path, "free") {
                    let only_looks =
                        ["path_open", "path_filestat_get", "path_filestat_set_times", "path_readlink"];
                    let may_succeed = only_looks.contains(&function);
                    assert!(answer.is_err() || may_succeed, "{case}: {function} of {path}");
                }
            }
            assert!(guest.stat(3, 0, ".cache").is_err(), "{case}: made where a hidden directory will be");
            // Handles on the way lead no further than paths do.
            let state = guest.open(3, "state/inn", open_for(READ, DIRECTORY));
            if let Ok(fd) = state {
                for (function, answer) in everything(&mut guest, fd, "seal", "free") {
                    assert!(answer.is_err(), "{case}: {function} of seal in a handle");
                }
                assert!(guest.open(fd, "seal/key", READ_IT).is_err(), "{case}");
            }
            assert!(guest.open(3, "f", READ_IT).is_ok(), "{case}");
            assert_eq!(snapshot(&home.path().join("state/inn/seal")), before, "{case}");
            assert!(!home.path().join(".cache").exists(), "{case}: made where a hidden directory will be");
            assert_eq!(
                fs::read_link(home.path().join(".local/state")).unwrap(),
                Path::new("../state"),
                "{case}"
            );
        }
        let (home, hidden) = home();
        for inside in ["state/inn/seal", ".local/state/inn/seal"] {
            let mut keys = Keys::builder().dir(home.path().join(inside), "/h", Access::ReadOnly).build();
            keys.hidden.clone_from(&hidden);
            assert!(matches!(Context::new(&keys), Err(KeyError::Hidden(_))), "{name}: {inside}");
        }
        // Whoever makes a path step by step is told what is there.
        for access in [Access::CopyOnWrite, Access::ReadWrite] {
            let mut keys = Keys::builder().dir(home.path(), "/h", access).tuning(tuning.clone()).build();
            keys.hidden.clone_from(&hidden);
            let mut guest = TestGuest::new(&keys);
            for path in [".local", "state/inn", "state/inn/seal"] {
                assert_eq!(guest.mkdir(3, path), Err(number(Errno::Exist)), "{access:?}: {path}");
            }
            guest.mkdir(3, "state/other").expect("beside what is hidden, everything is as it was");
            guest.rename((3, "state/other"), (3, "other")).expect("so it is");
            guest.rmdir(3, "other").expect("so it is");
            assert_eq!(guest.rename((3, ".local"), (3, "other")), Err(PERM), "{access:?}");
        }
    }
}

/// A staging directory is told by what it is: links and mounts of it lead to it, and what only has a file of that name is none.
#[test]
fn y4_no_link_or_mount_grants_a_staging_directory() {
    in_own_mounts("y4_no_link_or_mount_grants_a_staging_directory", || {
        let beneath = tempfile::tempdir().expect("a temporary directory");
        let at = |path: &str| beneath.path().join(path);
        let staging = at(".innkeeper-cow-0123456789abcdef");
        for directory in [staging.join("0"), at("mounted"), at("other")] {
            fs::create_dir_all(directory).expect("a directory");
        }
        let digest = "0".repeat(64);
        fs::write(staging.join("phase"), format!("phase 0\nsealed {digest} -\n")).expect("the phase");
        let alone = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(staging.join("phase"), alone).expect("permissions");
        fs::write(at("other/phase"), "phase 2 of the moon\n").expect("another file");
        std::os::unix::fs::symlink(&staging, at("link")).expect("link");
        std::os::unix::fs::symlink(staging.join("0"), at("inside")).expect("link");
        let _mount = Mounted::bind(&staging, &at("mounted"));
        for access in KINDS {
            for host in ["link", "inside", "link/.", "mounted"] {
                let refused = Context::new(&Keys::builder().dir(at(host), "/h", access).build());
                assert!(matches!(refused, Err(KeyError::Reserved(_))), "{host} {access:?}");
            }
            Context::new(&Keys::builder().dir(at("other"), "/h", access).build())
                .expect("it is no staging directory");
        }
    });
}

/// In every kind of directory, and in every order, such names are in no listing, and the others all are, in the order of their indices.
#[test]
fn y4_no_listing_names_a_staging_directory() {
    for order in [DirectoryOrder::Host, DirectoryOrder::Sorted] {
        for access in KINDS {
            let beneath = tempfile::tempdir().expect("a temporary directory");
            let mut wanted = vec![String::from("."), String::from("..")];
            for index in 0..1000 {
                let name = format!("name-{index:04}");
                fs::write(beneath.path().join(&name), "").expect("a file");
                wanted.push(name);
                if index % 3 == 0 {
                    fs::create_dir(beneath.path().join(format!(".Innkeeper-COW-{index}"))).expect("staging");
                }
            }
            let mut keys = Keys::builder().dir(beneath.path(), "/h", access).build();
            keys.directory_order = order;
            let mut names = TestGuest::new(&keys).list(3, 300);
            names.sort();
            assert_eq!(names, wanted, "{order:?} {access:?}");
        }
    }
}

/// Where a file system has names that do not tell by their text what they lead to, a staging directory is told by what is in it: each function is tried on each path through
/// one that has another name.
#[test]
fn y4_no_alias_leads_to_a_staging_directory() {
    for access in KINDS {
        let beneath = tempfile::tempdir().expect("a temporary directory");
        let at = |path: &str| beneath.path().join(path);
        fs::create_dir_all(at("sub/alias/0")).expect("the staging directory");
        fs::create_dir_all(at("sub/other")).expect("another directory");
        fs::write(at("sub/alias/0/f"), "staged").expect("what is staged");
        fs::write(at("sub/other/phase"), "phase 2 of the moon\n").expect("another file");
        // Such file systems do not say that a file is the user's alone.
        fs::write(at("sub/alias/phase"), format!("phase 0\nsealed {} -\n", "0".repeat(64)))
            .expect("the phase");
        symlink("alias/0/f", at("sub/link")).expect("link");
        let before = snapshot(beneath.path());
        let guest_with = |aliases| {
            let tuning = WasiTuning::with_aliases(aliases);
            TestGuest::new(&Keys::builder().dir(beneath.path(), "/h", access).tuning(tuning).build())
        };
        let mut guest = guest_with(NameAliases::Assumed);
        // A tree has its own directory there, and finds nothing in it.
        let itself = (access != Access::CopyOnWrite).then_some("sub/alias/.");
        let beneath_it = ["sub/alias/phase", "sub/alias/0/f", "sub/alias/0/new", "sub/alias/new"];
        for path in beneath_it.into_iter().chain(itself) {
            for (function, answer) in everything(&mut guest, 3, path, "free") {
                assert!(answer.is_err(), "{access:?}: {function} of {path}");
            }
        }
        assert!(guest.open(3, "sub/link", Open { lookup: FOLLOW, ..READ_IT }).is_err(), "{access:?}");
        assert!(guest.open(3, "sub/other/phase", READ_IT).is_ok(), "{access:?}: it is no staging directory");
        if access == Access::ReadWrite {
            for (function, answer) in everything(&mut guest, 3, "sub/alias", "free") {
                assert!(answer.is_err(), "{function} of the directory");
            }
            let sub = guest.open(3, "sub", open_for(READ, DIRECTORY)).expect("sub");
            assert_eq!(guest.open(sub, "alias", open_for(READ, DIRECTORY)), Err(PERM), "from beneath");
        }
        assert_eq!(snapshot(beneath.path()), before, "{access:?}");
        // By the names of an ordinary file system, it is a directory like any.
        assert!(guest_with(NameAliases::Auto).open(3, "sub/alias/0/f", READ_IT).is_ok(), "{access:?}");
    }
}

#[test]
fn y4_no_guest_makes_or_reaches_a_staging_directory() {
    let staging = ".innkeeper-cow-0123456789abcdef";
    let temporary = Access::Temporary { limit_bytes: 1 << 20 };
    for (name, tuning) in resolvers() {
        for access in KINDS.into_iter().chain([temporary]) {
            let beneath = tempfile::tempdir().expect("a temporary directory");
            let at = |path: &str| beneath.path().join(path);
            fs::create_dir_all(at("sub").join(staging)).expect("the staging directory");
            fs::write(at("sub").join(staging).join("journal"), "journal").expect("the journal");
            let before = snapshot(&at("sub"));
            let case = format!("{name} {access:?}");
            let key = DirKey::new(beneath.path(), "/h", access);
            let mut guest = TestGuest::new(&Keys::builder().directory(key).tuning(tuning.clone()).build());
            let sub = match access {
                Access::ReadOnly | Access::ReadWrite | Access::CopyOnWrite => "sub/",
                _ => "",
            };
            for path in [
                format!("{sub}{staging}"),
                format!("{sub}{staging}/"),
                format!("{sub}{staging}/journal"),
                format!("{sub}{staging}/../new"),
                format!("{sub}{staging}/new"),
                format!("{sub}.INNkeeper-cow-new"),
                String::from(".innkeeper-cow-"),
                // What other file systems take for the same name.
                format!("{sub}INNKEE~1/journal"),
                format!("{sub}.inn\u{212a}eeper-cow-0123456789abcdef/journal"),
                format!("{sub}.innkeeper\u{200d}-cow-new"),
            ] {
                for (function, answer) in everything(&mut guest, 3, &path, "free") {
                    assert_eq!(answer, Err(PERM), "{case}: {function} of {path}");
                }
            }
            if access != temporary {
                let sub = guest.open(3, "sub", open_for(READ, DIRECTORY)).expect("sub");
                assert_eq!(guest.list(sub, 4096), [".", ".."], "{case}");
                guest.close(sub).expect("close");
            }
            // What is there comes to such a name no other way, and no link leads to one.
            if access != Access::ReadOnly {
                guest.mkdir(3, "mine").expect("mkdir");
                for answer in [
                    guest.rename((3, "mine"), (3, staging)),
                    guest.symlink(&format!("{sub}{staging}"), 3, "link"),
                    guest.symlink(&format!("x/../{staging}/journal"), 3, "link"),
                ] {
                    assert_eq!(answer, Err(PERM), "{case}");
                }
                guest.rmdir(3, "mine").expect("rmdir");
            }
            let denials = guest.cx.host().denials();
            let told = denials.iter().any(|denial| denial.missing == MissingKey::Reserved);
            assert!(told || access == Access::ReadOnly, "{case}: {denials:?}");
            assert_eq!(snapshot(&at("sub")), before, "{case}");
        }
        let beneath = tempfile::tempdir().expect("a temporary directory");
        let inside = beneath.path().join(staging).join("0");
        fs::create_dir_all(&inside).expect("a directory in it");
        for host in [inside.as_path(), inside.parent().unwrap()] {
            let refused = Context::new(&Keys::builder().dir(host, "/h", Access::ReadOnly).build());
            assert!(matches!(refused, Err(KeyError::Reserved(_))), "{name}");
        }
    }
}
