//! The stack that the command runs on. That of a process's first thread is as large as the user's limit says (`ulimit -s`), which may be too little for
//! reading the command line.

use std::process::ExitCode;

use crate::report::{self, Problem};

/// What is enough, for guests that call each other through the host as often as they may, too.
pub(crate) const ENOUGH_BYTES: usize = 8 << 20;

/// Does `begin` on a stack that is large enough.
pub(crate) fn with_enough(begin: fn() -> ExitCode) -> ExitCode {
    if limit_bytes() >= ENOUGH_BYTES as u64 / 4 {
        return begin();
    }
    let thread = std::thread::Builder::new().name("main".to_owned()).stack_size(ENOUGH_BYTES);
    match thread.spawn(begin) {
        // A panic has been told of.
        Ok(thread) => thread.join().unwrap_or(ExitCode::from(PANIC_EXIT_CODE)),
        Err(error) => {
            report::problem(&Problem::new("a stack of 8 MiB", error).help("raise the limit (`ulimit -s`)"));
            ExitCode::FAILURE
        }
    }
}

/// What Rust programs end with after a panic.
const PANIC_EXIT_CODE: u8 = 101;

#[cfg(target_os = "linux")]
fn limit_bytes() -> u64 {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::Stack).current.unwrap_or(u64::MAX)
}

#[cfg(not(target_os = "linux"))]
fn limit_bytes() -> u64 {
    u64::MAX
}
