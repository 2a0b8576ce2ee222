//! Races with an attacker on the host: cases R1 to R6 of the sandbox, both resolvers, bounded by count.
//!
//! A try is one call of the guest's that an escape could come of; for R6, one entry that is listed. `INNKEEPER_RACE_TRIES` says how many there are for each case and resolver;
//! `cargo xtask races` sets it.

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use innkeeper_wasi::p1::Errno;
use support::*;

const DIR: u32 = 3;
/// Tries where nobody says how many.
const TRIES: u64 = 20_000;

/// The tries of one case with one resolver.
struct Tries {
    left: u64,
    total: u64,
}

impl Tries {
    fn new() -> Tries {
        let wanted = std::env::var("INNKEEPER_RACE_TRIES").ok().and_then(|text| text.parse().ok());
        let total = wanted.unwrap_or(TRIES);
        Tries { left: total, total }
    }

    /// Counts tries that were made; whether there are more to come.
    fn made(&mut self, count: u64) -> bool {
        self.left = self.left.saturating_sub(count);
        self.left > 0
    }

    /// Says what was done, for whoever looks at the output.
    fn report(&self, case: &str, resolver: &str, attacks: u64) {
        println!("{case} {resolver}: {} tries, {attacks} attacks, 0 escapes", self.total);
    }
}

/// Runs `attack` over and over in another thread while `case` runs; gives how often it ran.
fn under_attack(attack: impl Fn() + Send + Sync, case: impl FnOnce()) -> u64 {
    /// Ends the attack also when the case fails.
    struct Over<'a>(&'a AtomicBool);

    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let attacker = scope.spawn(|| {
            let mut attacks = 0;
            while !over.load(Ordering::Relaxed) {
                attack();
                attacks += 1;
            }
            attacks
        });
        let ended = Over(&over);
        case();
        drop(ended);
        attacker.join().expect("the attacker ends")
    })
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
        let mut tries = Tries::new();
        let attacks = under_attack(
            || exchange(&inside, "d", "x"),
            || {
                while tries.made(10) {
                    let case = format!("R1 {} left {resolver}", tries.left);
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
        tries.report("R1", resolver, attacks);
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
        let mut tries = Tries::new();
        let attacks = under_attack(
            || {
                let _ = fs::rename(&home, &away);
                let _ = fs::rename(&away, &home);
            },
            || {
                while tries.made(3) {
                    for path in ["a/b/../../f", "a/b/.."] {
                        let case = format!("R2 {} left {path} {resolver}", tries.left);
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
                                // R5: a rename elsewhere is no reason to try again that a guest would see.
                                let fine = [Errno::NoEnt, Errno::Perm].map(number);
                                assert!(fine.contains(&errno), "{case}: {errno}");
                            }
                        }
                    }
                }
            },
        );
        tries.report("R2 R5", resolver, attacks);
    });
}

#[test]
fn r3_r4_a_file_swapped_with_a_link() {
    for_each_resolver(|resolver, sandbox, tuning| {
        let inside = sandbox.inside();
        fs::write(inside.join("file"), "harmless").expect("file");
        symlink("../out/secret", inside.join("link")).expect("link");
        let mut guest = TestGuest::new(&sandbox.keys(tuning).build());
        let mut tries = Tries::new();
        let attacks = under_attack(
            || exchange(&inside, "file", "link"),
            || {
                while tries.made(10) {
                    let case = format!("R3 {} left {resolver}", tries.left);
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
        tries.report("R3 R4", resolver, attacks);
    });
}

#[test]
fn r6_a_listing_ends_while_entries_come_and_go() {
    for_each_resolver(|resolver, sandbox, tuning| {
        let inside = sandbox.inside().join("many");
        fs::create_dir(&inside).expect("many");
        let names: Vec<_> = (0..200).map(|index| inside.join(format!("entry-{index}"))).collect();
        let mut guest = TestGuest::new(&sandbox.keys(tuning).build());
        let directory = guest.open(DIR, "many", open_for(READ, DIRECTORY)).expect("open");
        let mut tries = Tries::new();
        let attacks = under_attack(
            || {
                names.iter().for_each(|name| drop(fs::write(name, "")));
                names.iter().for_each(|name| drop(fs::remove_file(name)));
            },
            || {
                while tries.made(1) {
                    let (mut cookie, mut calls) = (0, 0);
                    loop {
                        let (entries, used) = guest.readdir(directory, 4096, cookie).expect("readdir");
                        calls += 1;
                        tries.made(entries.len() as u64);
                        // Each entry comes and goes a few times at most while one listing is made.
                        assert!(calls < 1000, "R6 {resolver}: no end after {calls} calls");
                        match entries.last() {
                            Some(last) if used == 4096 => cookie = last.next,
                            _ => break,
                        }
                    }
                }
            },
        );
        tries.report("R6", resolver, attacks);
    });
}
