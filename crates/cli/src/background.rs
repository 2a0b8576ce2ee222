//! Compiling after a run, for the next one: a process of the lowest priority that the run leaves behind.
//!
//! Must stay true: nobody waits for it, and it has nothing of the guest's: its standard streams, its descriptors, its environment and its directory are not
//! those of the run. It knows the module's path, the cache, and where the cache's key is.

#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "system calls")]
mod process;

use std::ffi::OsStr;

use innkeeper::Cache;

/// So many functions that were called and are interpreted are worth a process.
#[cfg(target_os = "linux")]
const MANY_FUNCTIONS: usize = 256;

/// Leaves a process behind that compiles what the cache lacks of the module in `file`, if that is enough, and if none is at work in the cache.
/// Where the system refuses, the next run compiles what it can.
#[cfg(target_os = "linux")]
pub(crate) fn leave_behind(lacking: usize, file: &OsStr, cache: &Cache) {
    use std::path::absolute;
    use std::process::{Command, Stdio};

    if lacking < MANY_FUNCTIONS || file == "-" {
        return;
    }
    let (Some(directory), Some(seal)) = (cache.directory(), cache.seal()) else { return };
    let (Ok(inn), Ok(file)) = (std::env::current_exe(), absolute(file)) else { return };
    let (Ok(path), Ok(key)) = (absolute(directory.path()), absolute(seal.directory())) else { return };
    let Some(reserved) = directory.reserve() else { return };
    let mut command = Command::new(inn);
    command.args(["cache", "fill", "--called", "--background", "--cache"]).arg(path);
    command.arg("--key").arg(key).arg("--").arg(file);
    command.env_clear().current_dir("/");
    // It holds the reservation until it ends.
    let _ = command.stdin(Stdio::from(reserved)).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
}

/// There are no such processes.
#[cfg(not(target_os = "linux"))]
pub(crate) fn leave_behind(_: usize, _: &OsStr, _: &Cache) {}

/// Makes this process one that nobody notices; what it gives says whether there is time left.
pub(crate) fn retire() -> impl Fn() -> bool {
    #[cfg(target_os = "linux")]
    process::retire();
    let start = std::time::Instant::now();
    move || {
        #[cfg(target_os = "linux")]
        if process::used_cpu_seconds() >= MAX_CPU_SECONDS {
            return false;
        }
        start.elapsed() < MAX_TIME
    }
}

/// Processor time after which no further function is begun: what is left is for the process after the next run.
#[cfg(target_os = "linux")]
const MAX_CPU_SECONDS: u64 = 60;
/// The same, where others have the processor all the time.
const MAX_TIME: std::time::Duration = std::time::Duration::from_secs(600);
