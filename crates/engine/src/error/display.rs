//! An error in words.
//!
//! Must stay true: nothing is said twice. Where contexts were told, the outermost of them stands for the error, and what went wrong is the first of its causes.

use std::fmt;

use super::{Error, ErrorKind, Kind};

impl fmt::Display for Error {
    /// The outermost context, or what went wrong where there is none; with `{:#}` all contexts and what went wrong, in one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut contexts = self.0.contexts.iter().rev();
        if f.alternate() {
            contexts.try_for_each(|context| write!(f, "{context}: "))?;
        } else if let Some(outermost) = contexts.next() {
            return write!(f, "{outermost}");
        }
        self.fmt_without_contexts(f)
    }
}

impl Error {
    fn fmt_without_contexts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind(), self.out_of_bounds()) {
            (ErrorKind::Trap(trap), Some(beyond)) => write!(f, "wasm trap: {trap}: {beyond}"),
            _ => write!(f, "{}", self.0.kind),
        }
    }

    /// The causes that are in [`Error::chain`] after what went wrong.
    fn further_causes(&self) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
        self.chain().skip(self.0.contexts.len() + 1)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            ErrorKind::Malformed { offset_bytes, message } => {
                write!(f, "not a valid WebAssembly module: {message} (at offset 0x{offset_bytes:x})")
            }
            ErrorKind::MalformedComponent { offset_bytes, message } => {
                write!(f, "not a valid WebAssembly component: {message} (at offset 0x{offset_bytes:x})")
            }
            ErrorKind::Unsupported(what) => write!(f, "not supported: {what}"),
            ErrorKind::Text(message)
            | ErrorKind::Link(message)
            | ErrorKind::Limit(message)
            | ErrorKind::Usage(message)
            | ErrorKind::Precompiled(message)
            | ErrorKind::Os(message) => f.write_str(message),
            ErrorKind::Trap(trap) => write!(f, "wasm trap: {trap}"),
            ErrorKind::Exception(_) => f.write_str("the guest threw an exception that nothing caught"),
            ErrorKind::Host(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Kind {}

impl fmt::Debug for Error {
    /// For people to read, as a program that returns it from `main` shows it: what it is, its causes, and the guest's frames. As data with `{:#?}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            write!(f, "{self}")?;
            if !self.0.contexts.is_empty() {
                let further = self.0.contexts.iter().rev().skip(1);
                further.into_iter().try_for_each(|context| write!(f, "\n  because: {context}"))?;
                f.write_str("\n  because: ")?;
                self.fmt_without_contexts(f)?;
            }
            self.further_causes().try_for_each(|cause| write!(f, "\n  because: {cause}"))?;
            if !self.backtrace().frames().is_empty() {
                write!(f, "\n{}", self.backtrace())?;
            }
            return Ok(());
        }
        let contexts: Vec<_> = self.0.contexts.iter().rev().collect();
        let mut all = f.debug_struct("Error");
        all.field("kind", self.kind()).field("contexts", &contexts);
        all.field("backtrace", &self.0.backtrace).finish()
    }
}
