//! Everything that `inn` prints itself: results on standard output; errors, traps and denials on standard error.
//!
//! Must stay true: text that a guest, a file or a user chose is printed through [`visible`], so that none of it drives
//! the terminal; colours appear on terminals only; a closed pipe ends the output quietly.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::builder::styling::{AnsiColor, Style};
use innkeeper::Error;
use innkeeper::wasi::host::Explanation as OfHost;
use innkeeper::wasi::p1::{Context, Explanation};

use crate::backtrace;
use crate::wording::Wording;

pub(crate) use innkeeper::wasi::host::{named, visible};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const DENIED: Style = AnsiColor::Yellow.on_default().bold();
const HELP: Style = AnsiColor::Cyan.on_default().bold();

/// Characters of a name that are printed; name sections can hold longer ones.
const MAX_NAME_CHARS: usize = 256;

/// What `inn` could not do: the thing, the reason, the mend.
#[derive(Debug)]
pub(crate) struct Problem {
    message: String,
    help: Option<String>,
    code: u8,
}

/// How the system and the host layer say that the process may open no more.
const LACKING_DESCRIPTORS: [&str; 2] = ["(os error 24)", "too many open handles"];
const MORE_DESCRIPTORS: &str =
    "this process may open no more files: raise the limit (ulimit -n), 64 are enough for most guests";

/// The exit code where `inn` itself failed.
const FAILED: u8 = 1;
/// The exit code where the command line is wrong.
pub(crate) const MISTAKEN: u8 = 2;

/// When the report on keys is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Explain {
    /// The guest succeeded: what it can hardly have meant.
    Success,
    /// The guest failed: what it was denied.
    Failure,
    /// It was asked for: everything there is to say.
    Asked,
}

impl Problem {
    /// A problem with `thing`, on one line: names in it that a guest or a file has chosen write no lines of their own.
    pub(crate) fn new(thing: impl Display, reason: impl Display) -> Problem {
        Problem { message: visible(&format!("{thing}: {reason}")), help: None, code: FAILED }
    }

    /// A problem with `thing`, whose reason has lines, such as those of a text and a mark beneath them.
    pub(crate) fn of_lines(thing: impl Display, reason: impl Display) -> Problem {
        Problem { message: format!("{}: {reason}", visible(&thing.to_string())), help: None, code: FAILED }
    }

    /// A problem whose message names thing and reason.
    pub(crate) fn from_message(message: impl Display) -> Problem {
        Problem { message: message.to_string(), help: None, code: FAILED }
    }

    /// The same with the place in a file where its thing is, which is no flag there.
    pub(crate) fn at(self, place: &str) -> Problem {
        let message = self.message.strip_prefix("--").unwrap_or(&self.message);
        Problem { message: format!("{}: {message}", visible(place)), ..self }
    }

    /// Adds how to mend it.
    pub(crate) fn help(self, help: impl Display) -> Problem {
        Problem { help: Some(visible(&help.to_string())), ..self }
    }

    /// Adds how to mend it, where nothing is said of that.
    pub(crate) fn help_if_none(self, help: impl Display) -> Problem {
        if self.help.is_some() { self } else { self.help(help) }
    }

    /// The same as a mistake on the command line, which another command would not have.
    pub(crate) fn mistake(self) -> Problem {
        Problem { code: MISTAKEN, ..self }
    }

    /// These words, with the help. Where the system gives no more descriptors, nothing else helps, whatever was to be opened.
    fn told(&self, words: String) -> String {
        let lacks_descriptors = LACKING_DESCRIPTORS.iter().any(|words| self.message.contains(words));
        match lacks_descriptors.then_some(MORE_DESCRIPTORS).or(self.help.as_deref()) {
            Some(help) => words + &styled(HELP, "help", &visible_lines(help)),
            None => words,
        }
    }

    /// What `inn` exits with.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

/// Writes to standard output. A reader that has gone away is no error.
pub(crate) fn output(text: &str) -> Result<(), Problem> {
    bytes(text.as_bytes())
}

/// [`output`] of what need not be text.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Problem> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Problem::new("standard output", error))
        }
        _ => Ok(()),
    }
}

/// Says what `inn` could not do.
pub(crate) fn problem(problem: &Problem) {
    complain(&problem.told(styled(ERROR, "error", &visible_lines(&problem.message))));
}

/// Says what is done without, and how to mend that.
pub(crate) fn warning(problem: &Problem) {
    complain(&problem.told(styled(DENIED, "warning", &visible_lines(&problem.message))));
}

/// Says what whoever asks for explanations may want to know.
pub(crate) fn note(problem: &Problem) {
    complain(&styled(HELP, "note", &visible_lines(&problem.message)));
}

/// How far long work has come, on one line of a terminal; nothing where standard error is none.
pub(crate) struct Progress {
    what: &'static str,
    percent: AtomicUsize,
    is_shown: bool,
}

impl Progress {
    pub(crate) fn new(what: &'static str) -> Progress {
        Progress { what, percent: AtomicUsize::new(0), is_shown: io::stderr().is_terminal() }
    }

    /// Shows that so much is done; several threads may say so.
    pub(crate) fn tell(&self, done: usize, of: usize) {
        let percent = done * 100 / of.max(1);
        if self.is_shown && self.percent.fetch_max(percent, Ordering::Relaxed) < percent {
            complain(&format!("\r{}: {done} of {of} ({percent} %)", self.what));
        }
    }

    /// Clears the line.
    pub(crate) fn finish(&self) {
        if self.is_shown {
            complain("\r\x1b[K");
        }
    }
}

/// Writes lines that are ready to print to standard error.
pub(crate) fn table(text: &str) {
    complain(text);
}

/// Says how a guest was stopped, and where.
pub(crate) fn stopped(error: &Error) {
    complain(
        &(styled(ERROR, "error", &visible_lines(&error.to_string())) + &backtrace::text(error.backtrace())),
    );
}

/// Says which descriptors a guest's sockets are.
pub(crate) fn sockets(context: &Context) {
    for explanation in context.explain_sockets() {
        complain(&styled(HELP, "note", &explanation.to_string()));
    }
}

/// Says where a server can be reached now.
pub(crate) fn serving(listener: &impl Display) {
    complain(&styled(HELP, "serving", &visible_lines(&listener.to_string())));
}

/// Says where whoever looks after the server is told how it does.
pub(crate) fn administered(listener: &impl Display) {
    complain(&styled(HELP, "admin", &visible_lines(&listener.to_string())));
}

/// Says which limit took effect.
pub(crate) fn limit(line: &str) {
    complain(&styled(DENIED, "limit", &visible_lines(line)));
}

/// Says that a guest threw what nobody caught, and where.
pub(crate) fn threw(error: &Error, thrown: &str) {
    let text = format!("{error}: {thrown}");
    complain(&(styled(ERROR, "error", &visible_lines(&text)) + &backtrace::text(error.backtrace())));
}

/// Says what the keys of a guest did not allow.
pub(crate) fn explain(explanations: &[Explanation], has_sockets: bool, when: Explain, wording: &Wording) {
    let is_denial = |explanation: &Explanation| {
        matches!(
            explanation,
            Explanation::Host(OfHost::Denied(_) | OfHost::DeniedMore(_)) | Explanation::NoSocket { .. }
        )
    };
    let denied = explanations.iter().any(is_denial);
    let mut text = String::new();
    let lines = wording.explain_all(explanations);
    // Without a directory, and with sockets in the place where it would be looked for, nothing that the guest wants is put to the host.
    let is_silent = !denied && has_sockets;
    for (explanation, line) in explanations.iter().zip(&lines) {
        let line = || line.clone();
        match explanation {
            Explanation::NoMemory => text += &styled(DENIED, "warning", &line()),
            Explanation::Host(OfHost::EmptyRoot) if !denied => text += &styled(HELP, "note", &line()),
            _ if when == Explain::Success => {}
            _ if is_denial(explanation) => text += &denial(&line()),
            Explanation::Host(OfHost::LimitReached(_)) => text += &styled(DENIED, "limit", &line()),
            Explanation::Host(OfHost::NoDirectory | OfHost::EmptyRoot | OfHost::Elsewhere { .. })
                if denied => {}
            Explanation::Host(OfHost::NoDirectory | OfHost::DirectoriesHeld(_)) if is_silent => {
                text += &styled(HELP, "note", &line())
            }
            Explanation::Host(OfHost::Elsewhere { .. } | OfHost::Repeated { .. }) => {
                text += &styled(HELP, "note", &line())
            }
            _ if when == Explain::Failure => {}
            _ => text += &styled(HELP, "note", &line()),
        }
    }
    if !denied && when == Explain::Asked {
        text += &styled(HELP, "note", "nothing that the guest asked the host for was denied");
    }
    complain(&text);
}

fn denial(line: &str) -> String {
    styled(DENIED, "denied", line.strip_prefix("denied: ").unwrap_or(line))
}

/// A name of a guest's, fit to print.
pub(crate) fn short(name: &str) -> String {
    let mut kept: String = name.chars().take(MAX_NAME_CHARS).collect();
    if kept.len() < name.len() {
        kept.push_str("...");
    }
    visible(&kept)
}

/// [`visible`], except that line breaks stay.
fn visible_lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| visible(&line.replace('\t', " "))).collect();
    lines.join("\n")
}

fn styled(style: Style, label: &str, text: &str) -> String {
    format!("{style}{label}:{style:#} {text}\n")
}

/// Writes to standard error. There is nobody left to tell if that fails.
fn complain(text: &str) {
    let _ = anstream::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_does_not_drive_the_terminal() {
        assert_eq!(visible_lines("a\x1b[2Jb\r\n\tc\u{202e}"), "a\\u{1b}[2Jb\n c\\u{202e}");
        assert_eq!(short("x\ny"), "x\\u{a}y");
        assert_eq!(short(&"x".repeat(1000)).len(), MAX_NAME_CHARS + 3);
    }
}
