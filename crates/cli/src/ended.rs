//! The end of a run: what is told of how the guest ended and of what it was denied, the exit code, and what becomes of its changes.

use std::process::ExitCode;
use std::time::Duration;

use innkeeper::wasi::Exit;
use innkeeper::wasi::host::Host;
use innkeeper::wasi::keys::WasiLimits;
use innkeeper::wasi::p1::Explanation;
use innkeeper::wasi::stop::TimeLimit;
use innkeeper::{Error, Trap};

use crate::changes;
use crate::deadline::Deadline;
use crate::flags::RunArgs;
use crate::guest::Ending;
use crate::report::{self, Explain, Problem};
use crate::signals::Came;
use crate::wording::{self, Wording};
use crate::{invoke, runtimes};

/// The exit code after a trap: what a shell reports for a process that aborted.
pub(crate) const TRAP_EXIT_CODE: u8 = 134;

/// Whether what a guest makes use of is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    Ignored,
    Noted,
}

/// A guest that has ended, a module or a component.
pub(crate) struct Ended<'a> {
    pub(crate) ending: &'a Ending,
    pub(crate) host: &'a Host,
    /// The signal that ended it, if one did.
    pub(crate) signal: &'a Came,
    /// What there is to say of its keys.
    pub(crate) explanations: Vec<Explanation>,
    /// Whether it was given sockets.
    pub(crate) has_sockets: bool,
    /// Whether it may be the interpreter of a language whose library is elsewhere.
    pub(crate) may_lack_library: bool,
}

impl Ended<'_> {
    /// How much is told of its keys. What a policy is learned from has to say what the policy lacks.
    pub(crate) fn told(&self, usage: Usage, is_asked: bool) -> Explain {
        match (usage, is_asked) {
            (_, true) => Explain::Asked,
            (Usage::Ignored, false) if self.ending.is_success() => Explain::Success,
            _ => Explain::Failure,
        }
    }

    /// Tells what there is to tell, and gives the process's exit code; `not_started` says why a guest could not even begin.
    pub(crate) fn report(
        &self,
        (args, told): (&RunArgs, Explain),
        (name, wording): (&str, &Wording),
        (deadline, limits): (&Deadline, (&WasiLimits, Option<u64>)),
        not_started: impl FnOnce(&Error) -> Problem,
    ) -> Result<ExitCode, Problem> {
        let code = match self.ending {
            Ending::Returned(results) => {
                let lines: String = results.iter().map(|value| invoke::result(value) + "\n").collect();
                report::output(&lines)?;
                ExitCode::SUCCESS
            }
            Ending::Exited(Exit(code)) => ExitCode::from(system_code(*code)),
            Ending::Trapped(error) => {
                report::stopped(error);
                tell_of_limit(error.trap(), deadline, limits, wording);
                ExitCode::from(TRAP_EXIT_CODE)
            }
            Ending::Threw(error, thrown) => {
                report::threw(error, thrown);
                ExitCode::from(TRAP_EXIT_CODE)
            }
            Ending::Interrupted => ExitCode::from(self.signal.exit_code().unwrap_or(TRAP_EXIT_CODE)),
            Ending::Unreplayed(error) | Ending::Failed(error) => {
                report::problem(&not_started(error));
                ExitCode::FAILURE
            }
        };
        let is_over = matches!(self.ending, Ending::Failed(_) | Ending::Interrupted);
        if !is_over {
            report::explain(&self.explanations, self.has_sockets, told, wording);
        }
        let has_failed = !self.ending.is_success() && !is_over;
        if has_failed
            && self.may_lack_library
            && let Some(text) = runtimes::missing_library(self.host, args.file())
        {
            report::note(&Problem::new(name, text));
        }
        Ok(code)
    }

    /// Does with its changes what the flags say; gives all that has failed.
    pub(crate) fn carry_out_changes(
        &self,
        changes: changes::Wishes<'_>,
        args: &RunArgs,
        deadline: &Deadline,
    ) -> Vec<Problem> {
        if deadline.has_passed() && !args.reports.cow_changes.is_empty() {
            let problem =
                Problem::new("--cow-changes", "nothing was done with them: the deadline has passed");
            let problem = problem.help("give it more time");
            // A guest that was stopped has an exit code that says so.
            if self.ending.is_success() {
                return vec![problem];
            }
            report::problem(&problem);
            return Vec::new();
        }
        // Whoever has ended the guest wants what it has changed; whoever comes later wants this to end.
        let is_interrupted = || self.signal.exit_code().is_some();
        let was_interrupted = is_interrupted();
        let stop = || deadline.has_passed() || !was_interrupted && is_interrupted();
        changes.carry_out(self.host, &stop)
    }
}

/// Tells of all that has failed but the last, which is the answer, as it would be alone.
pub(crate) fn all_told(
    code: Result<ExitCode, Problem>,
    mut problems: Vec<Problem>,
) -> Result<ExitCode, Problem> {
    let code = code.map_err(|problem| problems.insert(0, problem));
    let last = problems.pop();
    problems.iter().for_each(report::problem);
    match (last, code) {
        (None, Ok(code)) => Ok(code),
        (Some(problem), _) => Err(problem),
        // It was among the problems.
        (None, Err(())) => Ok(ExitCode::FAILURE),
    }
}

impl Ending {
    /// Whether the guest itself has said that all is well.
    pub(crate) fn is_success(&self) -> bool {
        matches!(self, Ending::Returned(_) | Ending::Exited(Exit(0)))
    }
}

/// Says which limit a trap was, and its value.
pub(crate) fn tell_of_limit(
    trap: Option<Trap>,
    deadline: &Deadline,
    (limits, fuel): (&WasiLimits, Option<u64>),
    wording: &Wording,
) {
    let time = |name, limit: Option<Duration>| limit.map(|limit| wording.stopped(name, limit));
    let line = match (trap, deadline.passed()) {
        (Some(Trap::DeadlineExceeded), Some(TimeLimit::Wall)) => time(wording::WALL, limits.wall_time),
        (Some(Trap::DeadlineExceeded), Some(TimeLimit::Processor)) => {
            time(wording::PROCESSOR, limits.processor_time)
        }
        (Some(Trap::OutOfFuel), _) => {
            fuel.map(|fuel| format!("the guest was stopped: --fuel is {fuel} units"))
        }
        (Some(Trap::CallStackExhausted), _) => Some(wording::deep_calls()),
        _ => None,
    };
    if let Some(line) = line {
        report::limit(&line);
    }
}

/// What the system is told of a guest's exit code: of every process it keeps the low 8 bits. A guest that failed does not pass for one that succeeded by that.
fn system_code(code: u32) -> u8 {
    match (code & 0xff) as u8 {
        0 if code != 0 => 1,
        low => low,
    }
}
