//! Compiling after a run, for the next one: a process of the lowest priority that the run leaves behind.
//!
//! Must stay true: nobody waits for it, and it has nothing of the guest's: its standard streams, its descriptors, its environment and its directory are not
//! those of the run. It knows the cache, and where the cache's key is.
//!
//! A guest can have replaced whatever has a path that it may write to, in this run. So what is executed is this process's own program, and what is compiled is
//! the file that the module was read from: both by what they are. The paths of the cache and its key lead through nothing that a guest could change.

#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "system calls")]
mod process;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use innkeeper::{Cache, Lacking};

use crate::input::ModuleFile;

/// Leaves a process behind that compiles what the cache lacks of a module or component: of the first of `all` of which that is much, if none is at work in the cache. Each of them is with
/// the file that it was read from. Where the system refuses, or the file is another one by now, the next run compiles what it can.
#[cfg(target_os = "linux")]
pub(crate) fn leave_behind(all: impl IntoIterator<Item = (Lacking, Option<ModuleFile>)>, cache: &Cache) {
    use std::os::unix::process::CommandExt;
    use std::path::absolute;
    use std::process::{Command, Stdio};

    let much = all.into_iter().find(|(lacking, _)| lacking.is_much());
    let Some((_, source)) = much else { return };
    let (Some(directory), Some(seal)) = (cache.directory(), cache.seal()) else { return };
    let (Ok(path), Ok(key)) = (absolute(directory.path()), absolute(seal.directory())) else { return };
    let Some(module) = source.and_then(ModuleFile::unchanged) else { return };
    let Some(reserved) = directory.reserve() else { return };
    let mut command = Command::new(OWN_PROGRAM);
    command.arg0("inn");
    command.args(["cache", "fill", "--called", "--background", "--cache"]).arg(path);
    command.arg("--budget").arg(budget(process::used_cpu()).as_millis().to_string());
    command.arg("--key").arg(key).arg("-");
    command.env_clear().current_dir("/");
    // It holds the reservation, a directory, until it ends: what it says goes nowhere.
    let _ = command.stdin(module).stdout(Stdio::null()).stderr(Stdio::from(reserved)).spawn();
}

/// The program that this process executes, whatever its path leads to by now.
#[cfg(target_os = "linux")]
const OWN_PROGRAM: &str = "/proc/self/exe";

/// There are no such processes.
#[cfg(not(target_os = "linux"))]
pub(crate) fn leave_behind(_: impl IntoIterator<Item = (Lacking, Option<ModuleFile>)>, _: &Cache) {}

/// What a process may take of the processor after a run that took so much: whoever runs something short pays little for later runs that may not come.
#[cfg(target_os = "linux")]
fn budget(run: Duration) -> Duration {
    if run < SHORT { run * 2 } else { MAX_CPU }
}

/// Makes this process one that nobody notices; what it gives says whether there is time left of `budget`, its processor time. There always is for the first
/// function that is asked about: each run brings the next one further.
pub(crate) fn retire(budget: Option<Duration>) -> impl Fn() -> bool + Sync {
    #[cfg(target_os = "linux")]
    process::retire();
    #[cfg(target_os = "linux")]
    let is_weighed = AtomicBool::new(false);
    let budget = budget.unwrap_or(MAX_CPU).min(MAX_CPU);
    #[cfg(target_os = "linux")]
    let priority = if budget < 2 * SHORT { process::LOW_PRIORITY } else { process::LOWEST_PRIORITY };
    #[cfg(target_os = "linux")]
    let weigh = move || {
        if !is_weighed.load(Ordering::Relaxed) {
            is_weighed.store(has_been_weighed(priority), Ordering::Relaxed);
        }
    };
    #[cfg(target_os = "linux")]
    weigh();
    let start = Instant::now();
    let is_first = AtomicBool::new(true);
    move || {
        #[cfg(target_os = "linux")]
        weigh();
        if is_first.swap(false, Ordering::Relaxed) {
            return true;
        }
        #[cfg(target_os = "linux")]
        if process::used_cpu() >= budget {
            return false;
        }
        start.elapsed() < MAX_TIME
    }
}

/// Whether the system has been told what this process's session weighs, or never will be: of somebody without privileges it hears that a few times a second only.
#[cfg(target_os = "linux")]
fn has_been_weighed(priority: i32) -> bool {
    !matches!(process::weigh_session(priority), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

/// Runs that took less of the processor are short.
#[cfg(target_os = "linux")]
const SHORT: Duration = Duration::from_millis(250);
/// Processor time after which no further function is begun, whatever the run took: what is left is for the process after the next run.
const MAX_CPU: Duration = Duration::from_secs(60);
/// The same, where others have the processor all the time.
const MAX_TIME: Duration = Duration::from_secs(600);

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_behind_takes_at_most_twice_what_a_short_run_took() {
        let of = |milliseconds| budget(Duration::from_millis(milliseconds)).as_millis();
        assert_eq!((of(0), of(3), of(249)), (0, 6, 498));
        assert_eq!((of(250), of(10_000)), (60_000, 60_000));
    }
}
