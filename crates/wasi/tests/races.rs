//! Races with an attacker on the host: cases R1 to R5 of the sandbox, both resolvers, bounded by count.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use innkeeper_wasi::p1::Errno;
use support::*;

const DIR: u32 = 3;
const ROUNDS: usize = 2500;

/// Runs `attack` over and over in another thread while `case` runs.
fn under_attack(attack: impl Fn() + Send + Sync, case: impl FnOnce()) {
    /// Ends the attack also when the case fails.
    struct Over<'a>(&'a AtomicBool);

    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _over = Over(&over);
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                attack();
            }
        });
        case();
    });
}

/// Swaps two names in a directory, atomically.
fn exchange(directory: &Path, one: &str, other: &str) {
    let (one, other) = (directory.join(one), directory.join(other));
    let cwd = rustix::fs::CWD;
    let _ = rustix::fs::renameat_with(cwd, &one, cwd, &other, rustix::fs::RenameFlags::EXCHANGE);
}

#[test]
fn r1_a_directory_swapped_with_a_link() {
    for_each_resolver(|resolver, sandbox, tuning| {
        let inside = sandbox.inside();
        fs::create_dir_all(inside.join("d/sub")).expect("d");
        fs::write(inside.join("d/secret"), "harmless").expect("decoy");
        sandbox.link("../out", "x");
        let mut guest = TestGuest::new(&sandbox.keys(tuning).build());
        under_attack(
            || exchange(&inside, "d", "x"),
            || {
                for round in 0..ROUNDS {
                    let case = format!("R1 round {round} {resolver}");
                    for path in ["d/secret", "d/../d/secret", "d/sub/../secret"] {
                        if let Ok(fd) = guest.open(DIR, path, open_for(READ, 0)) {
                            assert_eq!(guest.read(fd, 64).as_deref(), Ok(&b"harmless"[..]), "{case}: {path}");
                            guest.close(fd).expect("close");
                        }
                    }
                    if let Ok(stat) = guest.stat(DIR, FOLLOW, "d/secret") {
                        assert_eq!(stat.size, 8, "{case}");
                    }
                    let create = Open { lookup: FOLLOW, oflags: CREAT, rights: WRITE, fdflags: 0 };
                    if let Ok(fd) = guest.open(DIR, "d/made", create) {
                        guest.close(fd).expect("close");
                    }
                    let _ = guest.set_times(DIR, FOLLOW, "d/secret");
                    let _ = guest.mkdir(DIR, "d/dir");
                    let _ = guest.rename((DIR, "d/made"), (DIR, "d/renamed"));
                    let _ = guest.unlink(DIR, "d/renamed");
                    let _ = guest.rmdir(DIR, "d/dir");
                }
            },
        );
    });
}

#[test]
fn r2_r5_a_directory_moved_outside_and_back() {
    for_each_resolver(|resolver, sandbox, tuning| {
        let inside = sandbox.inside();
        // A place to move to, outside of the grant and of what the harness compares.
        let elsewhere = tempfile::tempdir().expect("temporary directory");
        fs::write(elsewhere.path().join("f"), "outside").expect("f");
        let away = elsewhere.path().join("b");
        let mut guest = TestGuest::new(&sandbox.keys(tuning).build());
        let home = inside.join("a/b");
        under_attack(
            || {
                let _ = fs::rename(&home, &away);
                let _ = fs::rename(&away, &home);
            },
            || {
                for round in 0..ROUNDS {
                    for path in ["a/b/../../f", "a/b/.."] {
                        let case = format!("R2 round {round} {path} {resolver}");
                        match guest.open(DIR, path, open_for(READ, 0)) {
                            Ok(fd) if path == "a/b/.." => {
                                assert!(guest.stat(fd, 0, "f").is_err(), "{case}: left the directory");
                                guest.close(fd).expect("close");
                            }
                            Ok(fd) => {
                                assert_eq!(guest.read(fd, 64).as_deref(), Ok(&b"inside"[..]), "{case}");
                                guest.close(fd).expect("close");
                            }
                            Err(errno) => {
                                let fine = [Errno::NoEnt, Errno::Perm].map(number);
                                assert!(fine.contains(&errno), "{case}: {errno}");
                            }
                        }
                    }
                }
            },
        );
    });
}

#[test]
fn r3_r4_a_file_swapped_with_a_link() {
    for_each_resolver(|resolver, sandbox, tuning| {
        let inside = sandbox.inside();
        fs::write(inside.join("file"), "harmless").expect("file");
        symlink("../out/secret", inside.join("link")).expect("link");
        let mut guest = TestGuest::new(&sandbox.keys(tuning).build());
        under_attack(
            || exchange(&inside, "file", "link"),
            || {
                for round in 0..ROUNDS {
                    let case = format!("R3 round {round} {resolver}");
                    for lookup in [0, FOLLOW] {
                        let how = Open { lookup, oflags: 0, rights: READ, fdflags: 0 };
                        if let Ok(fd) = guest.open(DIR, "file", how) {
                            assert_eq!(guest.read(fd, 64).as_deref(), Ok(&b"harmless"[..]), "{case}");
                            guest.close(fd).expect("close");
                        }
                        if let Ok(fd) = guest.open(DIR, "file", Open { rights: WRITE, ..how }) {
                            guest.close(fd).expect("close");
                        }
                        let _ = guest.set_times(DIR, lookup, "file");
                        if let Ok(stat) = guest.stat(DIR, lookup, "file") {
                            assert!(stat.filetype == 7 || stat.size == 8, "{case}");
                        }
                    }
                    let _ = guest.link(0, (DIR, "file"), (DIR, "hard"));
                    let _ = guest.unlink(DIR, "hard");
                }
            },
        );
    });
}
