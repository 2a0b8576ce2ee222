//! One line a call, for people or for machines.
//!
//! Guests choose some of the texts in here; all are printed so that none drives a terminal.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use crate::host::visible;

/// Longest text printed of an argument, in characters.
const MAX_TEXT_CHARS: usize = 256;

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TraceForm {
    /// As a person reads them.
    #[default]
    Text,
    /// A JSON object each.
    Json,
}

/// What an argument or result means.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// A number.
    Number(u64),
    /// A number that can be negative.
    Signed(i64),
    /// Text of the guest's.
    Text(String),
    /// Flags or a choice, by name.
    Names(Vec<&'static str>),
    /// A descriptor, and what it is.
    Descriptor(u32, Option<String>),
    /// An address in guest memory.
    Address(u32),
}

/// A named value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// The parameter's name.
    pub name: &'static str,
    /// What it was, or became.
    pub value: Value,
}

/// Writes lines. An error ends the trace; the guest goes on.
pub struct Tracer {
    to: Box<dyn Write + Send>,
    form: TraceForm,
    error: Option<io::Error>,
}

/// A call, described.
#[derive(Clone, Debug)]
pub struct TracedCall<'a> {
    /// The function's name.
    pub function: &'static str,
    /// Its arguments.
    pub arguments: Vec<Argument>,
    /// How it ended: `ok`, the error's name, or the exit.
    pub ending: &'a str,
    /// What it gave.
    pub results: Vec<Argument>,
    /// How long it took.
    pub time: Duration,
}

impl Tracer {
    /// A trace in this form.
    #[must_use]
    pub fn new(to: Box<dyn Write + Send>, form: TraceForm) -> Tracer {
        Tracer { to, form, error: None }
    }

    /// Writes a line.
    pub fn trace(&mut self, call: &TracedCall<'_>) {
        self.line(&match self.form {
            TraceForm::Text => text_line(call),
            TraceForm::Json => json_line(call),
        });
    }

    /// How lines look.
    #[cfg(feature = "component")]
    pub(crate) fn form(&self) -> TraceForm {
        self.form
    }

    /// Writes a line that is as the form wants it.
    pub(crate) fn line(&mut self, line: &str) {
        if self.error.is_none() {
            self.error = self.to.write_all(line.as_bytes()).err();
        }
    }

    /// Writes what is still in memory.
    ///
    /// # Errors
    /// What writing reported at any time.
    pub fn finish(&mut self) -> io::Result<()> {
        match self.error.take() {
            Some(error) => Err(error),
            None => self.to.flush(),
        }
    }
}

fn text_line(call: &TracedCall<'_>) -> String {
    let list = |values: &[Argument]| {
        values.iter().map(|it| format!("{}={}", it.name, text(&it.value))).collect::<Vec<_>>().join(", ")
    };
    let results = list(&call.results);
    let space = if results.is_empty() { "" } else { " " };
    let micros = call.time.as_secs_f64() * 1e6;
    format!(
        "{}({}) = {}{space}{results} <{micros:.1}us>\n",
        call.function,
        list(&call.arguments),
        call.ending
    )
}

fn text(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        Value::Signed(number) => number.to_string(),
        Value::Text(text) => format!("\"{}\"", short(text)),
        Value::Names(names) if names.is_empty() => String::from("0"),
        Value::Names(names) => names.join("|"),
        Value::Descriptor(number, Some(name)) => format!("{number}<{}>", short(name)),
        Value::Descriptor(number, None) => format!("{number}<not open>"),
        Value::Address(address) => format!("0x{address:x}"),
    }
}

fn short(text: &str) -> String {
    let kept: String = text.chars().take(MAX_TEXT_CHARS).collect();
    let dots = if kept.len() < text.len() { "..." } else { "" };
    visible(&kept) + dots
}

fn json_line(call: &TracedCall<'_>) -> String {
    let mut line = format!("{{\"call\":{}", quoted(call.function));
    for argument in &call.arguments {
        json_member(&mut line, argument);
    }
    // Writing to a string does not fail.
    let _ = write!(line, ",\"result\":{}", quoted(call.ending));
    for argument in &call.results {
        json_member(&mut line, argument);
    }
    let _ = writeln!(line, ",\"ns\":{}}}", call.time.as_nanos());
    line
}

fn json_member(line: &mut String, argument: &Argument) {
    let name = argument.name;
    let value = match &argument.value {
        Value::Number(number) => number.to_string(),
        Value::Signed(number) => number.to_string(),
        Value::Text(text) => quoted(text),
        Value::Names(names) => {
            format!("[{}]", names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(","))
        }
        Value::Descriptor(number, what) => {
            if let Some(what) = what {
                // Writing to a string does not fail.
                let _ = write!(line, ",\"{name}_is\":{}", quoted(what));
            }
            number.to_string()
        }
        Value::Address(address) => address.to_string(),
    };
    let _ = write!(line, ",\"{name}\":{value}");
}

/// A JSON string.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            plain if plain >= ' ' && visible(plain.encode_utf8(&mut [0; 4])).chars().count() == 1 => {
                quoted.push(plain);
            }
            // Control and formatting characters, so that a terminal may show it.
            other => other.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(quoted, "\\u{unit:04x}");
            }),
        }
    }
    quoted.push('"');
    quoted
}

impl std::fmt::Debug for Tracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracer").field("form", &self.form).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_do_not_drive_a_terminal() {
        let text = Value::Text(String::from("a\x1b[2J\n\"\\\u{202e}"));
        let arguments = vec![Argument { name: "path", value: text }];
        let call =
            TracedCall { function: "f", arguments, ending: "ok", results: Vec::new(), time: Duration::ZERO };
        assert_eq!(text_line(&call), "f(path=\"a\\u{1b}[2J\\u{a}\"\\\\u{202e}\") = ok <0.0us>\n");
        assert_eq!(
            json_line(&call),
            "{\"call\":\"f\",\"path\":\"a\\u001b[2J\\u000a\\\"\\\\\\u202e\",\"result\":\"ok\",\"ns\":0}\n"
        );
    }
}
