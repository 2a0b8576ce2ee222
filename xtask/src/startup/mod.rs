//! `cargo xtask startup`: puts the code that a start executes in one place.
//!
//! The system maps code in windows of 64 KiB around each page that is touched. A start enters a tenth of the functions, which are
//! everywhere, so that nearly all of `inn` would be mapped for a program that says hello. This traces which functions are entered
//! and writes a linker script that has them first. [`crate::dist`] does the same for the binary that is handed out.
//!
//! A script names sections, and so can only be out of date, never wrong: what it does not name, or names in vain, is where the
//! linker would have it anyway. `--check` says when it is out of date, by what a start costs: see [`footprint`].

mod footprint;
mod functions;
mod guest;
mod script;
mod sections;
#[cfg_attr(all(target_os = "linux", target_arch = "x86_64"), path = "tracee/x86_64_linux.rs")]
#[cfg_attr(not(all(target_os = "linux", target_arch = "x86_64")), path = "tracee/elsewhere.rs")]
mod tracee;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) use footprint::check;
use functions::Functions;
use guest::{COMPILING, COMPONENTS, HELLO, House, PROGRAMS, Run};
use sections::Sections;

/// The script of builds by `cargo build`, in the repository.
const COMMITTED: &str = "crates/cli/startup.ld";

/// Where the command's build script finds the path of another one.
pub(crate) const SCRIPT_VARIABLE: &str = "INNKEEPER_STARTUP";

/// The most memory that such a build may take for the smallest program, in KiB: a quarter more than it took (docs/benchmarks.md).
const BUILT_KIB: u64 = 5800;

pub(crate) fn run(root: &Path, arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let arguments: Vec<String> = arguments.collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {
            let map = crate::target_folder()?.join("inn.map");
            let inn = build(root, &Output::Mapped(&map))?;
            let script = script(root, &inn, &map)?;
            fs::write(root.join(COMMITTED), script).map_err(|error| format!("{COMMITTED}: {error}"))?;
            check(root, &build(root, &Output::Program)?, BUILT_KIB)
        }
        ["--check"] => {
            let inn = build(root, &Output::Program)?;
            check(root, &inn, BUILT_KIB)?;
            footprint::check_opens(root, &inn)
        }
        // By `House::traced`, not by people.
        ["--traced", program, ..] => Err(tracee::become_traced(program, &arguments[2..])),
        _ => Err("usage: cargo xtask startup [--check]".to_owned()),
    }
}

/// A linker script with the functions first that `inn`, of which the linker made `map`, enters when it starts and runs small guests.
pub(crate) fn script(root: &Path, inn: &Path, map: &Path) -> Result<String, String> {
    let sections = Sections::read(map)?;
    let functions = Functions::read(inn)?;
    let house = House::new(root, inn)?;
    let mut groups = Vec::new();
    for runs in [HELLO, PROGRAMS, COMPONENTS, COMPILING] {
        groups.push(entered(&house, &functions, runs)?);
    }
    Ok(script::write(&sections, &groups))
}

/// The functions that are entered in `runs`, by address.
fn entered(house: &House, functions: &Functions, runs: &[Run]) -> Result<BTreeSet<u64>, String> {
    let mut entered = BTreeSet::new();
    for run in runs {
        if run.is_traced {
            entered.append(&mut tracee::entered(house, run, functions)?);
        } else {
            let mut command = house.command(run);
            let status = command.status().map_err(|error| format!("{command:?}: {error}"))?;
            if status.code() != Some(run.exit_code) {
                return Err(format!("{command:?} ended with {status}"));
            }
        }
    }
    Ok(entered)
}

/// What `cargo build --release` makes, or a linked file and the linker's map of it.
pub(crate) enum Output<'a> {
    Program,
    Mapped(&'a Path),
}

impl Output<'_> {
    /// The command of cargo that makes it. Whoever runs it adds where and for what.
    pub(crate) fn cargo(&self, options: &[&str]) -> Command {
        let mut cargo = Command::new("cargo");
        let verb = if matches!(self, Output::Program) { "build" } else { "rustc" };
        cargo
            .arg(verb)
            .args(["--release", "--quiet", "--locked", "-p", "innkeeper-cli", "--bin", "inn"])
            .args(options);
        if let Output::Mapped(map) = self {
            cargo.arg("--").arg(format!("-Clink-arg=-Wl,-Map={}", map.display()));
        }
        cargo
    }
}

/// Builds `inn` as users do, and says where it is.
fn build(root: &Path, output: &Output) -> Result<PathBuf, String> {
    crate::done(output.cargo(&[]).current_dir(root))?;
    Ok(crate::target_folder()?.join("release/inn"))
}
