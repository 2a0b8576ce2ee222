//! Runs the tests that are written in Python, where there is a Python that the module is for.
//!
//! `INNKEEPER_PYTHON` names another interpreter than `python3`; where it is set, none is a failure. `.ci/run` sets it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest minor version of Python 3 that the module is for.
const MINOR: u32 = 11;

const LIBRARY: &str = "libinnkeeper_python.so";

/// The folder that the module was built into.
fn library_folder() -> PathBuf {
    let this = std::env::current_exe().expect("this program has a path");
    let folders = this.ancestors().skip(1).take(2);
    let has_library = |folder: &&Path| folder.join(LIBRARY).is_file();
    folders.into_iter().find(has_library).expect("the module is built together with its tests").to_owned()
}

#[test]
fn what_the_module_for_python_promises() {
    run("promises.py");
}

#[test]
fn what_python_does_around_guests() {
    run("surroundings.py");
}

/// Runs a file of tests.
fn run(tests: &str) {
    let named = std::env::var_os("INNKEEPER_PYTHON");
    let must_be_there = named.is_some();
    let python = named.unwrap_or_else(|| "python3".into());
    let is_usable = Command::new(&python)
        .args(["-c", &format!("import sys; sys.exit(sys.version_info < (3, {MINOR}))")])
        .output()
        .is_ok_and(|ran| ran.status.success());
    if !is_usable {
        assert!(!must_be_there, "there is no Python 3.{MINOR} or later called {python:?}");
        println!("not run: there is no Python 3.{MINOR} or later called {python:?}");
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (library, module) = (library_folder().join(LIBRARY), folder.path().join("innkeeper.abi3.so"));
    std::os::unix::fs::symlink(&library, module).expect("a link");
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let ran = Command::new(&python)
        .arg(here.join("tests").join(tests))
        .env("PYTHONPATH", folder.path())
        .output()
        .expect("Python runs");
    assert!(
        ran.status.success(),
        "{}{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
}
