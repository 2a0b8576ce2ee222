//! Values in JSON, of bounded length, for machines that read traces.
//!
//! A record is an object, a tuple or a list an array, flags an array of labels; a case is its label, or an object with the label and the payload, and `none` is null. A
//! handle is its name and number as a string, a list of bytes an object with its length and its beginning as text; what is left out of a long list is its last element.

use std::fmt::Write as _;

use innkeeper_component::{Compound, Part, ValueVisitor};
use innkeeper_engine::Error;

use super::{MAX_BYTES, MAX_ELEMENTS, MAX_LINE_BYTES, MAX_TEXT_CHARS};
use crate::observe::trace::quoted;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct JsonText {
    text: String,
    /// What the parts of the outermost tuple are called, where that is the arguments.
    names: Option<Vec<String>>,
    levels: Vec<Level>,
    hidden: u32,
    /// What was shown of the last list of bytes, or string.
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    kind: Kind,
    count: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Compound(Compound),
    /// The outermost tuple, whose parts have names.
    Arguments,
    Payload,
}

impl JsonText {
    /// For the arguments of a function whose parameters have these names.
    pub(crate) fn of_arguments(names: Vec<String>) -> JsonText {
        JsonText { names: Some(names), ..JsonText::default() }
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }

    /// A value begins; says whether it is written.
    fn begins(&mut self) -> bool {
        let is_full = self.text.len() > MAX_LINE_BYTES;
        let Some(level) = self.levels.last_mut() else { return true };
        let number = level.count;
        level.count += 1;
        match level.kind {
            Kind::Compound(Compound::List(length)) if number >= MAX_ELEMENTS => {
                if number == MAX_ELEMENTS {
                    let _ = write!(self.text, ",{{\"more\":{}}}", length - MAX_ELEMENTS);
                }
                return false;
            }
            Kind::Compound(Compound::List(_) | Compound::Tuple) | Kind::Arguments if number > 0 => {
                self.text.push(',');
            }
            _ => {}
        }
        if level.kind == Kind::Arguments {
            let name = self.names.iter().flatten().nth(number as usize).map_or("self", String::as_str);
            let _ = write!(self.text, "{}:", quoted(name));
        }
        if is_full {
            // Something stands in each place.
            self.text.push_str("\"...\"");
        }
        !is_full
    }

    fn value(&mut self, text: &str) {
        if self.begins() {
            self.text.push_str(text);
        }
    }

    fn begin(&mut self, kind: Kind, opening: &str) {
        if !self.begins() {
            self.hidden = 1;
            return;
        }
        self.text.push_str(opening);
        self.levels.push(Level { kind, count: 0 });
        self.bytes.clear();
    }

    fn end(&mut self) {
        let Some(Level { kind, .. }) = self.levels.pop() else { return };
        match kind {
            Kind::Compound(Compound::String) => {
                let text = String::from_utf8_lossy(&self.bytes);
                let kept: String = text.chars().take(MAX_TEXT_CHARS).collect();
                let dots = if kept.len() < text.len() { "..." } else { "" };
                self.text.push_str(&quoted(&(kept + dots)));
            }
            Kind::Compound(Compound::Bytes(length)) => {
                let begin = quoted(&String::from_utf8_lossy(&self.bytes));
                let _ = write!(self.text, "{{\"bytes\":{length},\"begin\":{begin}}}");
            }
            Kind::Compound(Compound::List(_) | Compound::Tuple) => self.text.push(']'),
            Kind::Compound(Compound::Record) | Kind::Arguments | Kind::Payload => self.text.push('}'),
        }
    }

    fn keep(&mut self, piece: &[u8], at_most: usize) {
        let room = at_most - self.bytes.len().min(at_most);
        self.bytes.extend_from_slice(&piece[..piece.len().min(room)]);
    }
}

impl ValueVisitor for JsonText {
    fn part(&mut self, part: Part<'_>) -> Result<(), Error> {
        if self.hidden > 0 {
            match part {
                Part::Begin(_) | Part::Case(_, _, true) => self.hidden += 1,
                Part::End => self.hidden -= 1,
                _ => {}
            }
            return Ok(());
        }
        match part {
            Part::Bool(value) => self.value(&value.to_string()),
            Part::Signed(value) => self.value(&value.to_string()),
            Part::Unsigned(value) => self.value(&value.to_string()),
            Part::Float32(value) => self.value(&float(value.into())),
            Part::Float64(value) => self.value(&float(value)),
            Part::Char(value) => self.value(&quoted(value.encode_utf8(&mut [0; 4]))),
            Part::Handle { resource, index, .. } => {
                self.value(&quoted(&format!("{}#{index}", resource.unwrap_or("resource"))));
            }
            Part::Flags(labels, bits) => {
                let set = labels.iter().enumerate().filter(|(at, _)| bits >> at & 1 != 0);
                let labels: Vec<String> = set.map(|(_, label)| quoted(label)).collect();
                self.value(&format!("[{}]", labels.join(",")));
            }
            Part::Case(_, "none", false) => self.value("null"),
            Part::Case(_, label, false) => self.value(&quoted(label)),
            Part::Case(_, label, true) => self.begin(Kind::Payload, &format!("{{{}:", quoted(label))),
            Part::Begin(Compound::Tuple) if self.levels.is_empty() && self.names.is_some() => {
                self.begin(Kind::Arguments, "{");
            }
            Part::Begin(compound) => self.begin(
                Kind::Compound(compound),
                match compound {
                    Compound::String | Compound::Bytes(_) => "",
                    Compound::List(_) | Compound::Tuple => "[",
                    Compound::Record => "{",
                },
            ),
            Part::Field(name) => {
                let comma = if self.levels.last().is_none_or(|level| level.count == 0) { "" } else { "," };
                let _ = write!(self.text, "{comma}{}:", quoted(name));
            }
            Part::Text(piece) => self.keep(piece.as_bytes(), 4 * (MAX_TEXT_CHARS + 1)),
            Part::Bytes(piece) => self.keep(piece, MAX_BYTES),
            Part::End => self.end(),
            _ => {}
        }
        Ok(())
    }
}

/// JSON has no infinities, and nothing that is not a number.
fn float(value: f64) -> String {
    if value.is_finite() { format!("{value:?}") } else { quoted(&value.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(mut to: JsonText, parts: &[Part<'_>]) -> String {
        parts.iter().for_each(|part| to.part(*part).unwrap());
        to.finish()
    }

    #[test]
    fn values_are_what_json_has_for_them() {
        let flags = ["create".into(), "truncate".into()];
        let parts = [
            Part::Begin(Compound::Tuple),
            Part::Handle { resource: Some("descriptor"), index: 3, rep: 77 },
            Part::Flags(&flags, 3),
            Part::Begin(Compound::String),
            Part::Text("a\"\u{1b}"),
            Part::End,
            Part::Begin(Compound::Bytes(70)),
            Part::Bytes(b"hello\xff"),
            Part::End,
            Part::Begin(Compound::Record),
            Part::Field("one"),
            Part::Signed(-1),
            Part::Field("two"),
            Part::Case(1, "some", true),
            Part::Begin(Compound::Tuple),
            Part::Float64(f64::NAN),
            Part::Bool(true),
            Part::End,
            Part::End,
            Part::End,
            Part::Case(0, "none", false),
            Part::End,
        ];
        let names = ["self", "flags", "path", "contents", "pair", "last"].map(String::from).to_vec();
        assert_eq!(
            text(JsonText::of_arguments(names), &parts),
            "{\"self\":\"descriptor#3\",\"flags\":[\"create\",\"truncate\"],\"path\":\"a\\\"\\u001b\",\
             \"contents\":{\"bytes\":70,\"begin\":\"hello\u{fffd}\"},\"pair\":{\"one\":-1,\"two\":{\"some\":[\"NaN\",true]}},\"last\":null}"
        );
    }

    #[test]
    fn whatever_is_long_is_cut_and_json_still() {
        let mut parts = vec![Part::Begin(Compound::List(100))];
        for number in 0..100 {
            parts.extend([Part::Begin(Compound::Tuple), Part::Unsigned(number), Part::End]);
        }
        parts.push(Part::End);
        let list = text(JsonText::default(), &parts);
        assert!(list.starts_with("[[0],[1],") && list.ends_with(",[31],{\"more\":68}]"), "{list}");
        let long = "x".repeat(1000);
        let mut parts = vec![Part::Begin(Compound::Tuple)];
        for _ in 0..100 {
            parts.extend([Part::Begin(Compound::String), Part::Text(&long), Part::End]);
        }
        parts.push(Part::End);
        let line = text(JsonText::default(), &parts);
        assert!(line.len() < 2 * MAX_LINE_BYTES && line.ends_with(",\"...\",\"...\"]"), "{line}");
    }
}
