//! C107: what others do with names while a guest uses them. At length: `cargo xtask races`.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

use innkeeper::component::{ResourceAny, Val};
use innkeeper::wasi::keys::Access;

use super::driver::{Driver, follow, text_val};
use super::drivers;
use super::path_cases::open;
use super::paths::{Sandbox, directory, tunings};

/// Says when a test is over, also when it fails.
struct AtTheEnd<'a>(&'a AtomicBool);

impl Drop for AtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does something over and over on another thread while a case is tried.
pub(crate) fn under_attack(attack: impl Fn() + Send + Sync, case: impl FnOnce()) {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _end = AtTheEnd(&is_over);
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                attack();
            }
        });
        case();
    });
}

const TRIES: usize = 2_000;

/// How many bytes are in a file that is open.
fn size(driver: &mut Driver, file: ResourceAny) -> Option<Val> {
    let Some(Val::Record(fields)) = driver.at("stat", file, &[]).unwrap() else { panic!("no record") };
    fields.into_iter().find(|(name, _)| &**name == "size").map(|(_, size)| size)
}

/// R1, R4: while somebody else makes a link of a directory and back, nothing outside is ever opened, told of or changed.
#[test]
fn r1_r4_directories_that_become_links_do_not_lead_out() {
    for tuning in tunings() {
        let sandbox = Sandbox::new();
        let inside = sandbox.0.path().join("in");
        let outside = sandbox.tree("out");
        symlink("../out", inside.join("turn")).unwrap();
        fs::create_dir(inside.join("other")).unwrap();
        fs::write(inside.join("other/secret"), "own").unwrap();
        let [mut driver, _] = drivers(&sandbox.keys(Access::ReadWrite, tuning));
        let at = directory(&mut driver);
        let attack = || {
            // The link and the directory change places.
            for (from, to) in [("turn", "kept"), ("other", "turn"), ("turn", "other"), ("kept", "turn")] {
                fs::rename(inside.join(from), inside.join(to)).unwrap();
            }
        };
        under_attack(attack, || {
            for _ in 0..TRIES {
                if let Ok(file) = open(&mut driver, at, ("turn/secret", true), &[]) {
                    assert_eq!(size(&mut driver, file), Some(Val::U64(3)));
                    driver.drop(file);
                }
                let _ = driver.at("unlink-file-at", at, &[text_val("turn/sub")]);
                let _ = driver.at("create-directory-at", at, &[text_val("turn/made")]);
                let _ = driver.at("remove-directory-at", at, &[text_val("turn/made")]);
            }
        });
        assert_eq!(sandbox.tree("out"), outside);
    }
}

/// R3, R4: the same of a file that becomes a link, followed or not.
#[test]
fn r3_r4_files_that_become_links_do_not_lead_out() {
    for tuning in tunings() {
        let sandbox = Sandbox::new();
        let inside = sandbox.0.path().join("in");
        let outside = sandbox.tree("out");
        symlink("../out/secret", inside.join("link")).unwrap();
        let [mut driver, _] = drivers(&sandbox.keys(Access::ReadWrite, tuning));
        let at = directory(&mut driver);
        let attack = || {
            for (from, to) in [("file", "kept"), ("link", "file"), ("file", "link"), ("kept", "file")] {
                fs::rename(inside.join(from), inside.join(to)).unwrap();
            }
        };
        under_attack(attack, || {
            for _ in 0..TRIES {
                for follows in [false, true] {
                    if let Ok(file) = open(&mut driver, at, ("file", follows), &[]) {
                        // "in/file", where outside there is "out/secret".
                        assert_eq!(size(&mut driver, file), Some(Val::U64(7)));
                        driver.drop(file);
                    }
                    if let Ok(file) = driver.open(at, "file", (&[], &["write"])) {
                        driver.drop(file);
                    }
                    let times = [Val::Variant("no-change".into(), None), Val::Variant("now".into(), None)];
                    let [keep, now] = times;
                    let _ = driver.at("set-times-at", at, &[follow(follows), text_val("file"), keep, now]);
                }
                let to = [follow(true), text_val("file"), Val::Resource(at), text_val("hard")];
                let _ = driver.at("link-at", at, &to);
                let _ = driver.at("unlink-file-at", at, &[text_val("hard")]);
            }
        });
        assert_eq!(sandbox.tree("out"), outside);
    }
}

/// R2, R5: a directory goes out of the grant and back while it is passed on the way up again; what is found is inside, and a guest is never told to try again.
#[test]
fn r2_r5_directories_that_are_moved_out_and_back() {
    for tuning in tunings() {
        let sandbox = Sandbox::new();
        let inside = sandbox.0.path().join("in");
        // With a file of the same name that is of another size.
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("file"), "outside").unwrap();
        fs::write(inside.join("file"), "own").unwrap();
        fs::create_dir(inside.join("dir/deep")).unwrap();
        let (home, away) = (inside.join("dir/deep"), elsewhere.path().join("deep"));
        let [mut driver, _] = drivers(&sandbox.keys(Access::ReadWrite, tuning));
        let at = directory(&mut driver);
        let attack = || {
            let _ = fs::rename(&home, &away);
            let _ = fs::rename(&away, &home);
        };
        under_attack(attack, || {
            for _ in 0..TRIES {
                for path in ["dir/deep/../../file", "dir/deep/.."] {
                    match open(&mut driver, at, (path, true), &[]) {
                        Ok(file) if path.ends_with("file") => {
                            assert_eq!(size(&mut driver, file), Some(Val::U64(3)), "{path}");
                            driver.drop(file);
                        }
                        Ok(directory) => {
                            // What is in "dir", and not what is in the other place.
                            let found =
                                driver.at("stat-at", directory, &[follow(true), text_val("deep/../file")]);
                            if let Ok(Some(Val::Record(fields))) = found {
                                let size = fields.into_iter().find(|(name, _)| &**name == "size");
                                assert_eq!(
                                    size.map(|(_, size)| size),
                                    Some(Val::U64("in/dir/file".len() as u64))
                                );
                            }
                            driver.drop(directory);
                        }
                        Err(error) => {
                            assert!(
                                ["no-entry", "not-permitted"].contains(&error.as_str()),
                                "{path}: {error}"
                            );
                        }
                    }
                }
            }
        });
    }
}
