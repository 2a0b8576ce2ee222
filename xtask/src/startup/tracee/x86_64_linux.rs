//! A process under control: which functions it enters, how many files it opens, and how much memory it has in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::ptrace::{self, Event, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::functions::Functions;
use super::guest::{House, Run};

/// The instruction that stops a process for its tracer (Intel SDM, volume 2, INT3).
const INT3: u8 = 0xcc;

/// The auxiliary vector's number for the address of the first instruction (`getauxval(3)`).
const AT_ENTRY: u64 = 9;

/// The functions that `run` enters, by their address in the file.
///
/// Each has a breakpoint, which is taken away when it was met once: thousands of stops, not one for each call.
pub(super) fn entered(house: &House, run: &Run, functions: &Functions) -> Result<BTreeSet<u64>, String> {
    let mut tracee = Tracee::start(house, run)?;
    let memory = tracee.memory()?;
    let base = tracee.entry_address()?.wrapping_sub(functions.entry);
    let mut original = BTreeMap::new();
    for &address in &functions.starts {
        let at = base.wrapping_add(address);
        let mut byte = [0];
        memory
            .read_exact_at(&mut byte, at)
            .map_err(|error| format!("cannot read code at {at:#x}: {error}"))?;
        memory.write_all_at(&[INT3], at).map_err(|error| format!("cannot write code at {at:#x}: {error}"))?;
        original.insert(at, byte);
    }
    let mut entered = BTreeSet::new();
    tracee.go_on(Until::Trap, |thread| {
        let mut registers = ptrace::getregs(thread).map_err(|error| format!("no registers: {error}"))?;
        let at = registers.rip.wrapping_sub(1);
        // Another thread may have met the same breakpoint meanwhile, so that it is gone and this one must go back all the same.
        let Some(byte) = original.get(&at) else { return Ok(()) };
        memory.write_all_at(byte, at).map_err(|error| format!("cannot write code at {at:#x}: {error}"))?;
        registers.rip = at;
        ptrace::setregs(thread, registers).map_err(|error| format!("cannot set registers: {error}"))?;
        entered.insert(at.wrapping_sub(base));
        Ok(())
    })?;
    Ok(entered)
}

/// The most memory that `run` had at once, in KiB: what getrusage(2) says of it, without what its parent had before it.
pub(super) fn peak_kib(house: &House, run: &Run) -> Result<u64, String> {
    Tracee::start(house, run)?.go_on(Until::Trap, |_| Ok(()))
}

/// How often `run` opens a file, those that its libraries are in included.
pub(super) fn opens(house: &House, run: &Run) -> Result<usize, String> {
    /// Numbers of `open`, `openat` and `openat2`.
    const OPENS: [u64; 3] = [2, 257, 437];
    /// What the result of a call is before it is made: that there is no such call.
    const NOT_YET: u64 = (-38_i64).cast_unsigned();
    let mut count = 0;
    Tracee::start(house, run)?.go_on(Until::SystemCall, |thread| {
        let registers = ptrace::getregs(thread).map_err(|error| format!("no registers: {error}"))?;
        count += usize::from(OPENS.contains(&registers.orig_rax) && registers.rax == NOT_YET);
        Ok(())
    })?;
    Ok(count)
}

/// Until when a process is let run.
#[derive(Clone, Copy, PartialEq)]
enum Until {
    Trap,
    /// The beginning or the end of one.
    SystemCall,
}

/// Becomes `program`, and stops before its first instruction for the process that started this one. Returns why not.
pub(super) fn become_traced(program: &str, arguments: &[String]) -> String {
    match ptrace::traceme() {
        Ok(()) => format!("cannot run {program}: {}", Command::new(program).args(arguments).exec()),
        Err(error) => format!("cannot be traced: {error}"),
    }
}

/// A process that is stopped before its first instruction.
struct Tracee {
    process: Pid,
    what: String,
    exit_code: i32,
}

impl Tracee {
    fn start(house: &House, run: &Run) -> Result<Tracee, String> {
        let mut command = house.traced(run)?;
        let what = format!("inn {}", run.arguments.join(" "));
        let child = command.spawn().map_err(|error| format!("{what}: {error}"))?;
        let process = Pid::from_raw(child.id().cast_signed());
        match waitpid(process, None) {
            Ok(WaitStatus::Stopped(_, Signal::SIGTRAP)) => {}
            other => return Err(format!("{what}: cannot be traced: {other:?}")),
        }
        let options = Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEEXIT
            | Options::PTRACE_O_EXITKILL
            | Options::PTRACE_O_TRACESYSGOOD;
        ptrace::setoptions(process, options).map_err(|error| format!("{what}: cannot be traced: {error}"))?;
        Ok(Tracee { process, what, exit_code: run.exit_code })
    }

    fn memory(&self) -> Result<File, String> {
        let path = format!("/proc/{}/mem", self.process);
        OpenOptions::new().read(true).write(true).open(&path).map_err(|error| format!("{path}: {error}"))
    }

    /// Where the process has the first instruction of its file.
    fn entry_address(&self) -> Result<u64, String> {
        let path = format!("/proc/{}/auxv", self.process);
        let bytes = fs::read(&path).map_err(|error| format!("{path}: {error}"))?;
        let words: Vec<u64> = bytes.as_chunks().0.iter().map(|&word| u64::from_ne_bytes(word)).collect();
        let entry = words.as_chunks().0.iter().find(|[kind, _]| *kind == AT_ENTRY);
        entry.map(|[_, address]| *address).ok_or_else(|| format!("{path} has no entry"))
    }

    /// Lets the process run to its end, with `at_stop` at each stop of a thread's own making, or at each system call. Returns the most memory that it
    /// had, in KiB.
    fn go_on(
        &mut self,
        until: Until,
        mut at_stop: impl FnMut(Pid) -> Result<(), String>,
    ) -> Result<u64, String> {
        let complain = |what: &dyn std::fmt::Display| format!("{}: {what}", self.what);
        let mut peak_kib = 0;
        let go_on = |thread, signal| match until {
            Until::Trap => ptrace::cont(thread, signal),
            Until::SystemCall => ptrace::syscall(thread, signal),
        };
        go_on(self.process, None).map_err(|error| complain(&error))?;
        loop {
            let status = waitpid(None, Some(WaitPidFlag::__WALL)).map_err(|error| complain(&error))?;
            let (thread, signal) = match status {
                WaitStatus::Exited(thread, code) if thread == self.process => {
                    return if code == self.exit_code {
                        Ok(peak_kib)
                    } else {
                        Err(complain(&format!("exit code {code}")))
                    };
                }
                WaitStatus::Signaled(thread, signal, _) if thread == self.process => {
                    return Err(complain(&signal));
                }
                WaitStatus::Stopped(thread, Signal::SIGTRAP) | WaitStatus::PtraceSyscall(thread) => {
                    at_stop(thread)?;
                    (thread, None)
                }
                // How a new thread begins.
                WaitStatus::Stopped(thread, Signal::SIGSTOP) => (thread, None),
                WaitStatus::Stopped(thread, signal) => (thread, Some(signal)),
                WaitStatus::PtraceEvent(thread, _, event) => {
                    if event == Event::PTRACE_EVENT_EXIT as i32 {
                        peak_kib = peak_kib.max(high_water_kib(thread)?);
                    }
                    (thread, None)
                }
                _ => continue,
            };
            // A thread that was killed while it was stopped is gone: its end is reported next.
            match go_on(thread, signal) {
                Ok(()) | Err(nix::errno::Errno::ESRCH) => {}
                Err(error) => return Err(complain(&error)),
            }
        }
    }
}

/// What the system says is the most memory that the thread's process has had at once.
fn high_water_kib(thread: Pid) -> Result<u64, String> {
    let path = format!("/proc/{thread}/status");
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse().ok());
    number.ok_or_else(|| format!("{path} does not say VmHWM"))
}
