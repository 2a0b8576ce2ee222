//! The library for C: installed below a folder, and its tests under what watches memory.
//!
//! What this is not: the tests themselves, which are `crates/c-api/tests/c.rs`.

use std::path::{Path, PathBuf};
use std::process::Command;

const USAGE: &str = "usage: cargo xtask c-library install FOLDER | sanitize | standard EXAMPLES

  install FOLDER     builds the library and puts it, its headers and its pkg-config file below FOLDER
  sanitize           its programs in C under AddressSanitizer, with leaks
  standard EXAMPLES  also the programs of github.com/WebAssembly/wasm-c-api, whose folder `example` is EXAMPLES; after `sanitize`: under that";

/// The number in the library's name, as `crates/c-api/build.rs` has it.
const VERSION: &str = "0";

/// Faults are the library's to handle, and its guests have stacks of their own.
const ASAN_OPTIONS: &str = "handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:detect_stack_use_after_return=0:allocator_may_return_null=1:detect_leaks=1";

pub(crate) fn run(root: &Path, arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let mut arguments = arguments.peekable();
    let mut tests = Command::new("cargo");
    tests.args(["test", "-q", "--locked", "-p", "innkeeper-c-api", "--test", "c"]).current_dir(root);
    match arguments.next().as_deref() {
        Some("install") => {
            let folder = arguments.next().ok_or(USAGE)?;
            return install(root, Path::new(&folder));
        }
        Some("sanitize") => {
            tests.env("INNKEEPER_C_FLAGS", "-fsanitize=address -fno-omit-frame-pointer");
            tests.env("ASAN_OPTIONS", ASAN_OPTIONS);
        }
        Some("standard") => return standard(&mut tests, arguments.next()),
        _ => return Err(USAGE.to_owned()),
    }
    match arguments.next().as_deref() {
        None => crate::done(&mut tests),
        Some("standard") => standard(&mut tests, arguments.next()),
        Some(_) => Err(USAGE.to_owned()),
    }
}

/// The tests, with the programs of the standard in a folder.
fn standard(tests: &mut Command, examples: Option<String>) -> Result<(), String> {
    let examples = PathBuf::from(examples.ok_or(USAGE)?);
    let examples = examples.canonicalize().map_err(|error| format!("{}: {error}", examples.display()))?;
    crate::done(tests.env("WASM_C_API_EXAMPLES", examples))
}

fn install(root: &Path, folder: &Path) -> Result<(), String> {
    let build = ["build", "--release", "--locked", "-p", "innkeeper-c-api"];
    crate::done(Command::new("cargo").args(build).current_dir(root))?;
    let failed = |error: std::io::Error| format!("cannot install below {}: {error}", folder.display());
    let (headers, libraries) = (folder.join("include"), folder.join("lib"));
    std::fs::create_dir_all(libraries.join("pkgconfig")).map_err(failed)?;
    std::fs::create_dir_all(&headers).map_err(failed)?;
    for header in ["wasm.h", "innkeeper.h"] {
        std::fs::copy(root.join("crates/c-api/include").join(header), headers.join(header))
            .map_err(failed)?;
    }
    let built = crate::target_folder()?.join("release");
    let built = if built.is_dir() { built } else { root.join("target/release") };
    let named = format!("libinnkeeper_c.so.{VERSION}");
    std::fs::copy(built.join("libinnkeeper_c.so"), libraries.join(&named)).map_err(failed)?;
    std::fs::copy(built.join("libinnkeeper_c.a"), libraries.join("libinnkeeper_c.a")).map_err(failed)?;
    let link = libraries.join("libinnkeeper_c.so");
    match std::fs::remove_file(&link) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => std::os::unix::fs::symlink(&named, &link).map_err(failed)?,
    }
    let prefix = folder.canonicalize().map_err(failed)?;
    std::fs::write(libraries.join("pkgconfig/innkeeper-c.pc"), package(&prefix)).map_err(failed)?;
    println!("installed below {}", prefix.display());
    Ok(())
}

/// What pkg-config tells of the library.
fn package(prefix: &Path) -> String {
    format!(
        "prefix={}\nlibdir=${{prefix}}/lib\nincludedir=${{prefix}}/include\n\nName: innkeeper-c\nDescription: Innkeeper, a WASI host: the library for C\nVersion: {}\nLibs: -L${{libdir}} -linnkeeper_c\nLibs.private: -lpthread -ldl -lm\nCflags: -I${{includedir}}\n",
        prefix.display(),
        env!("CARGO_PKG_VERSION")
    )
}
