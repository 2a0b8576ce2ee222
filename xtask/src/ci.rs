//! Everything that a change must pass, in the order in which failures are cheapest.

use std::path::Path;
use std::process::Command;

pub(crate) fn run(root: &Path) -> Result<(), String> {
    step(root, "formatting", "cargo", &["fmt", "--all", "--", "--check"])?;
    println!("== tidiness");
    crate::tidy::run(root)?;
    step(
        root,
        "lints",
        "cargo",
        &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
    )?;
    elsewhere(root)?;
    let portable = ["test", "-q", "-p", "innkeeper-interp", "--features", "loop-dispatch", "--locked"];
    step(root, "portable dispatch", "cargo", &portable)?;
    let waiting = [
        "test",
        "-q",
        "-p",
        "innkeeper",
        "--features",
        "async,bindgen",
        "--test",
        "asynchronous",
        "--test",
        "bindings",
        "--test",
        "components",
        "--test",
        "examples",
        "--test",
        "executors",
        "--test",
        "fuel",
        "--test",
        "limits_in_tiers",
        "--test",
        "wasi_waits",
        "--test",
        "soak",
        "--locked",
    ];
    step(root, "calls that wait", "cargo", &waiting)?;
    let inside = ["test", "-q", "-p", "innkeeper-engine", "--features", "async", "--lib", "--locked"];
    step(root, "calls that wait, from inside", "cargo", &inside)?;
    let shown = ["test", "-q", "-p", "innkeeper", "--features", "async", "--doc", "--locked"];
    step(root, "calls that wait, as documented", "cargo", &shown)?;
    let documented =
        ["RUSTDOCFLAGS=-D warnings", "cargo", "doc", "-q", "--no-deps", "--locked", "-p", "innkeeper"];
    step(root, "the library's documentation", "env", &documented)?;
    // What an embedder may leave out.
    for features in ["", "wasi", "wat,dwarf", "compiler", "compiler,wasi,async", "wat,bindgen,async"] {
        let part =
            ["check", "-q", "--locked", "-p", "innkeeper", "--no-default-features", "--features", features];
        step(root, &format!("the library with the features `{features}`"), "cargo", &part)?;
    }
    // Every order in which threads can act on what they share, in small models. The whole workspace, for the same libraries as the tests below: the compiler is then built once for both.
    let features = "innkeeper-interp/loom,innkeeper-jit/loom";
    let models = ["test", "-q", "--workspace", "--lib", "--features", features, "--locked", "model::"];
    step(root, "models", "cargo", &models)?;
    // As embedders build it, without optimization across crates: handlers must jump to each other all the same.
    let embedded = [
        "CARGO_PROFILE_RELEASE_LTO=off",
        "CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16",
        "cargo",
        "test",
        "--release",
        "-q",
        "--locked",
        "-p",
        "innkeeper-interp",
        "--test",
        "dispatch",
    ];
    step(root, "dispatch in an embedder's build", "env", &embedded)?;
    for command in readme_commands(root)? {
        step(root, &format!("README: {command}"), "sh", &["-c", &command])?;
    }
    step(
        root,
        "guests, in a release build",
        "cargo",
        &["build", "--release", "-q", "--locked", "-p", "innkeeper-cli"],
    )?;
    println!("== what a start takes");
    crate::startup::run(root, ["--check".to_owned()].into_iter())?;
    step(root, "guests", "tests/guests.sh", &[])?;
    // In a development build only a part of the bytes is flipped.
    let malformed = ["test", "--release", "-q", "--locked", "-p", "innkeeper-cli", "--test", "malformed"];
    step(root, "every damaged byte of a module", "cargo", &malformed)
}

/// A system that nothing is compiled to machine code for: what stands in for the compiler there is built nowhere else.
const ELSEWHERE: &str = "aarch64-unknown-linux-gnu";
/// The compiler for C there, by the name under which build programs look for it.
const C_COMPILER_ELSEWHERE: &str = "aarch64-linux-gnu-gcc";

/// Whether everything compiles for [`ELSEWHERE`], where there are the toolchain's libraries and a compiler for C.
fn elsewhere(root: &Path) -> Result<(), String> {
    let libraries = Command::new("rustc").args(["--print", "target-libdir", "--target", ELSEWHERE]).output();
    let libraries = libraries.map_err(|error| format!("cannot run rustc: {error}"))?.stdout;
    if !Path::new(String::from_utf8_lossy(&libraries).trim()).is_dir() {
        println!("== {ELSEWHERE}: left out, `rustup target add {ELSEWHERE}` makes it possible");
        return Ok(());
    }
    // What encrypts is in part C, which is compiled by a check as well.
    if Command::new(C_COMPILER_ELSEWHERE).arg("--version").output().is_err() {
        println!("== {ELSEWHERE}: left out, {C_COMPILER_ELSEWHERE} makes it possible");
        return Ok(());
    }
    let check = ["check", "-q", "--workspace", "--all-targets", "--locked", "--target", ELSEWHERE];
    step(root, ELSEWHERE, "cargo", &check)
}

fn step(root: &Path, name: &str, program: &str, arguments: &[&str]) -> Result<(), String> {
    println!("== {name}");
    let status = Command::new(program).args(arguments).current_dir(root).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{name} failed ({status})")),
        Err(error) => Err(format!("{name}: cannot run {program}: {error}")),
    }
}

/// The two commands of the README: the indented lines under "Two commands".
fn readme_commands(root: &Path) -> Result<Vec<String>, String> {
    let readme = root.join("README.md");
    let text = std::fs::read_to_string(&readme).map_err(|error| format!("{}: {error}", readme.display()))?;
    let section = text.split("\n## ").find(|section| section.starts_with("Two commands")).unwrap_or_default();
    let mut commands = Vec::new();
    let mut inside = false;
    for line in section.lines() {
        if line.starts_with("```") {
            inside = line == "```sh";
        } else if inside && !line.is_empty() && !line.starts_with('#') {
            commands.push(line.to_owned());
        }
    }
    if commands.len() == 2 {
        Ok(commands)
    } else {
        Err(format!("README.md shows {} commands, not two", commands.len()))
    }
}
