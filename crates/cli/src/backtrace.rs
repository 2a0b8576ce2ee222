//! A guest's backtrace as a person reads it: names demangled, with the source files and lines where the module has DWARF.
//!
//! The environment variable `INN_BACKTRACE` says how much: `off` for none of it, `full` also for what compilers have inlined and for who executed each frame.

use std::fmt::{self, Display, Write as _};

use innkeeper::{Backtrace, FrameInfo, FrameTier, SourceFrame};

use crate::report::short;

/// How much of a backtrace is shown.
const VARIABLE: &str = "INN_BACKTRACE";

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Amount {
    Nothing,
    /// Each frame, and the line that it is at.
    Lines,
    Everything,
}

impl Amount {
    fn asked() -> Amount {
        match std::env::var_os(VARIABLE) {
            Some(word) if word == "off" || word == "0" => Amount::Nothing,
            Some(word) if word == "full" => Amount::Everything,
            _ => Amount::Lines,
        }
    }
}

/// The lines of a backtrace.
pub(crate) fn text(backtrace: &Backtrace) -> String {
    lines(backtrace, Amount::asked())
}

fn lines(backtrace: &Backtrace, amount: Amount) -> String {
    let mut text = String::new();
    if amount == Amount::Nothing {
        return text;
    }
    for (depth, (frame, sources)) in backtrace.frames().iter().zip(backtrace.sources()).enumerate() {
        // Writing to a string does not fail.
        let _ = write!(text, "  {depth:>2}: {}", Frame(frame));
        if amount == Amount::Everything {
            text.push_str(match frame.tier {
                FrameTier::Interpreted => ", interpreted",
                FrameTier::Compiled => ", compiled",
                _ => "",
            });
        }
        text.push('\n');
        text.push_str(&places(&sources, amount));
        if frame.times > 1 {
            let _ = writeln!(text, "      ... {} times", thousands(frame.times));
        }
    }
    if backtrace.omitted() > 0 {
        let least = if backtrace.is_complete() { "" } else { "at least " };
        let _ = writeln!(text, "      and {least}{} more", thousands(backtrace.omitted()));
    }
    text
}

/// Where a frame's instruction comes from.
fn places(sources: &[SourceFrame], amount: Amount) -> String {
    let mut text = String::new();
    for (i, source) in sources.iter().enumerate() {
        // Where it happened, and where in the frame's own function that is: what was inlined may be nobody's whom its reader knows.
        if amount != Amount::Everything && i > 0 && i + 1 < sources.len() {
            continue;
        }
        let _ = write!(text, "        at {}", short(&source.to_string()));
        if let Some(name) = source.func_name.as_ref().filter(|_| amount == Amount::Everything) {
            let how = if i + 1 < sources.len() { ", inlined" } else { "" };
            let _ = write!(text, " ({}{how})", demangled(name));
        }
        text.push('\n');
    }
    text
}

/// A number as a person reads it: 524,287.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A frame as a person reads it: names demangled and without control characters.
struct Frame<'a>(&'a FrameInfo);

impl Display for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Frame(frame) = self;
        if let Some(module) = &frame.module_name {
            write!(f, "{}!", short(module))?;
        }
        // A name of nothing says less than the number.
        match frame.func_name.as_ref().filter(|name| !name.is_empty()) {
            Some(name) => f.write_str(&demangled(name))?,
            None => write!(f, "func[{}]", frame.func.0)?,
        }
        match frame.offset_bytes {
            Some(offset) => write!(f, " (at offset 0x{offset:x})"),
            None => Ok(()),
        }
    }
}

fn demangled(name: &str) -> String {
    short(&format!("{:#}", rustc_demangle::demangle(name)))
}
