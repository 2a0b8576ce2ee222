//! What makes a process one of the background, on Linux. Whatever the system refuses is done without.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setpriority_process, setrlimit, setsid};
use rustix::time::{ClockId, clock_gettime};

/// Where the system ends the process, which has not ended itself: compiling one function took so long.
const CPU_LIMIT_SECONDS: u64 = 2 * super::MAX_CPU.as_secs();
/// Bytes of its own that the process may have; it is ended by not getting more.
const MEMORY_LIMIT_BYTES: u64 = 1 << 30;
pub(super) const LOWEST_PRIORITY: i32 = 19;
/// Of a session that will be over soon: it has a tenth of a processor that others want, and others wait for what it makes.
pub(super) const LOW_PRIORITY: i32 = 10;

/// Leaves the session and the descriptors that were inherited, and goes behind everybody else.
pub(super) fn retire() {
    close_inherited();
    let _ = setsid();
    let _ = setpriority_process(None, LOWEST_PRIORITY);
    run_when_idle();
    let limit = |value| Rlimit { current: Some(value), maximum: Some(value) };
    let _ = setrlimit(Resource::Cpu, limit(CPU_LIMIT_SECONDS));
    let _ = setrlimit(Resource::Data, limit(MEMORY_LIMIT_BYTES));
}

/// Processor time that this process has had.
pub(super) fn used_cpu() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap_or_default()
}

/// Closes what whoever started the run has left open for it, such as a pipe that others read to its end.
fn close_inherited() {
    const FIRST: libc::c_uint = 3;
    // SAFETY: the process has done nothing yet but read its command line, and owns no descriptor but the standard streams.
    unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, 0) };
}

/// Where the system weighs sessions against each other rather than processes (autogroups), policy and priority of a process that has a session of its own count for nothing
/// outside of it, and it would have as much of a processor as everybody else together. Says what priority the session has as a whole.
pub(super) fn weigh_session(priority: i32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open("/proc/self/autogroup")?;
    file.write_all(priority.to_string().as_bytes())
}

/// Takes the processor only where nobody else wants it.
fn run_when_idle() {
    // SAFETY: of an integer, which may be 0.
    let mut parameters: libc::sched_param = unsafe { std::mem::zeroed() };
    parameters.sched_priority = 0;
    // SAFETY: the parameters live as long as the call; 0 is the calling process.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters) };
}
