//! Runs the differential harness in a release build; the harness itself, and what it depends on, is in `crates/differential`.

use std::path::Path;
use std::process::Command;

pub(crate) fn run(root: &Path, arguments: impl Iterator<Item = String>) -> Result<(), String> {
    // The third engine takes minutes to compile, once; this is the one place where that is worth it.
    let cargo = [
        "run",
        "--release",
        "--quiet",
        "--locked",
        // The compiler's verifier, without which code that is wrong runs, or is given up and interpreted unseen.
        "--config",
        "profile.release.package.innkeeper-jit.debug-assertions=true",
        "-p",
        "innkeeper-differential",
        "--features",
        "wasmtime",
        "--",
    ];
    let status = Command::new("cargo").args(cargo).args(arguments).current_dir(root).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("the harness ended with {status}")),
        Err(error) => Err(format!("cannot run cargo: {error}")),
    }
}
