//! `--profile perf`: which machine code is which function, for the profiler of that name.
//!
//! The file has a line for each function, its first address and length in hexadecimal and its name, and stays when the process has ended: `perf report` reads it
//! then.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

use innkeeper::{NewCode, watch_code};

use crate::names::name;
use crate::report::Problem;

/// Begins the file of this process, to which all code is added before it is executed.
pub(crate) fn write_map() -> Result<(), Problem> {
    let path = format!("/tmp/perf-{}.map", std::process::id());
    let file = create(&path)
        .map_err(|error| Problem::new(&path, error).help("check that the file is not another user's"))?;
    // A line is one write, whole even where the process is killed; that it fails is no reason to stop the guest.
    watch_code(move |code| drop((&file).write_all(line(&code).as_bytes())));
    Ok(())
}

/// A new file, never one that somebody else has put there; a process that had the same number may have left one.
fn create(path: &str) -> io::Result<File> {
    let create = || File::options().write(true).create_new(true).mode(0o600).open(path);
    create().or_else(|_| {
        fs::remove_file(path)?;
        create()
    })
}

fn line(code: &NewCode<'_>) -> String {
    let name = code.func.map_or_else(|| String::from("[trampoline]"), |func| name(code.func_name, func));
    format!("{:x} {:x} {name}\n", code.start, code.bytes)
}
