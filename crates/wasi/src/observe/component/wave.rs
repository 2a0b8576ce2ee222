//! Values in WAVE, as traces and records have them: of bounded length, handles by name and number, lists of bytes as text.
//!
//! Guests choose some of the texts in here; all are written so that none drives a terminal. A checksum is of all that was shown, also of what is left out.

use std::fmt::Write as _;
use std::sync::Arc;

use innkeeper_component::{Compound, Part, ValueVisitor};
use innkeeper_engine::Error;

use super::{MAX_BYTES, MAX_ELEMENTS, MAX_LINE_BYTES, MAX_TEXT_CHARS};
use crate::host::visible;
use crate::observe::InputChecksum;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct WaveText {
    text: String,
    levels: Vec<Level>,
    /// How deep in something it is that is left out.
    hidden: u32,
    /// Bytes or characters that were shown of the last list of bytes, or string.
    bytes: Vec<u8>,
    chars: usize,
    is_cut: bool,
    checksum: Option<InputChecksum>,
}

/// Something that has begun.
#[derive(Clone, Copy, Debug)]
struct Level {
    kind: Kind,
    /// Values in it so far.
    count: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Compound(Compound),
    Payload,
}

impl WaveText {
    /// An empty text, and a checksum with it.
    pub(crate) fn with_checksum() -> WaveText {
        WaveText { checksum: Some(InputChecksum::default()), ..WaveText::default() }
    }

    /// What was written, and the checksum.
    pub(crate) fn finish(self) -> (String, u64) {
        (self.text, self.checksum.map_or(0, |checksum| checksum.finish()))
    }

    /// A value begins; says whether it is written.
    fn begins(&mut self) -> bool {
        if self.text.len() > MAX_LINE_BYTES && !self.is_cut {
            self.is_cut = true;
            self.text.push_str("...");
        }
        let Some(level) = self.levels.last_mut() else { return !self.is_cut };
        let number = level.count;
        level.count += 1;
        if self.is_cut {
            return false;
        }
        match level.kind {
            Kind::Compound(Compound::List(length)) if number >= MAX_ELEMENTS => {
                if number == MAX_ELEMENTS {
                    let _ = write!(self.text, ", ... {length} in all");
                }
                false
            }
            Kind::Compound(Compound::List(_) | Compound::Tuple) if number > 0 => {
                self.text.push_str(", ");
                true
            }
            _ => true,
        }
    }

    fn value(&mut self, text: std::fmt::Arguments<'_>) {
        if self.begins() {
            // Writing to a string does not fail.
            let _ = self.text.write_fmt(text);
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
        self.chars = 0;
    }

    fn end(&mut self) {
        let Some(Level { kind, .. }) = self.levels.pop() else { return };
        let closing = match kind {
            Kind::Compound(Compound::String) if self.chars > MAX_TEXT_CHARS => "\"...",
            Kind::Compound(Compound::String) => "\"",
            Kind::Compound(Compound::Bytes(length)) => {
                bytes(&mut self.text, &self.bytes);
                self.text.push('"');
                if length as usize > MAX_BYTES {
                    let _ = write!(self.text, "... {length} bytes");
                }
                ""
            }
            Kind::Compound(Compound::List(_)) => "]",
            Kind::Compound(Compound::Record) => "}",
            Kind::Compound(Compound::Tuple) | Kind::Payload => ")",
        };
        self.text.push_str(closing);
    }

    fn characters(&mut self, piece: &str) {
        for character in piece.chars() {
            self.chars += 1;
            if self.chars > MAX_TEXT_CHARS {
                return;
            }
            escape(&mut self.text, character);
        }
    }
}

impl ValueVisitor for WaveText {
    fn part(&mut self, part: Part<'_>) -> Result<(), Error> {
        if let Some(checksum) = &mut self.checksum {
            add(checksum, part);
        }
        if self.hidden > 0 {
            match part {
                Part::Begin(_) | Part::Case(_, _, true) => self.hidden += 1,
                Part::End => self.hidden -= 1,
                _ => {}
            }
            return Ok(());
        }
        match part {
            Part::Bool(value) => self.value(format_args!("{value}")),
            Part::Signed(value) => self.value(format_args!("{value}")),
            Part::Unsigned(value) => self.value(format_args!("{value}")),
            Part::Float32(value) => self.float(value.into()),
            Part::Float64(value) => self.float(value),
            Part::Char(value) => self.character(value),
            Part::Handle { resource, index, .. } => {
                self.value(format_args!("{}#{index}", resource.unwrap_or("resource")));
            }
            Part::Flags(labels, bits) => self.flags(labels, bits),
            Part::Case(_, label, false) => self.value(format_args!("{label}")),
            Part::Case(_, label, true) => self.begin(Kind::Payload, &format!("{label}(")),
            Part::Begin(compound) => self.begin(
                Kind::Compound(compound),
                match compound {
                    Compound::String => "\"",
                    Compound::Bytes(_) => "b\"",
                    Compound::List(_) => "[",
                    Compound::Record => "{",
                    Compound::Tuple => "(",
                },
            ),
            Part::Field(name) => {
                let is_first = self.levels.last().is_none_or(|level| level.count == 0);
                if !self.is_cut {
                    let _ = write!(self.text, "{}{name}: ", if is_first { "" } else { ", " });
                }
            }
            Part::Text(piece) if self.chars <= MAX_TEXT_CHARS => self.characters(piece),
            Part::Bytes(piece) => {
                let room = MAX_BYTES - self.bytes.len().min(MAX_BYTES);
                self.bytes.extend_from_slice(&piece[..piece.len().min(room)]);
            }
            Part::End => self.end(),
            _ => {}
        }
        Ok(())
    }
}

impl WaveText {
    fn character(&mut self, character: char) {
        if self.begins() {
            self.text.push('\'');
            escape(&mut self.text, character);
            self.text.push('\'');
        }
    }

    fn flags(&mut self, labels: &[Arc<str>], bits: u32) {
        if self.begins() {
            let set = labels.iter().enumerate().filter(|(at, _)| bits >> at & 1 != 0);
            let labels: Vec<&str> = set.map(|(_, label)| &**label).collect();
            // Writing to a string does not fail.
            let _ = write!(self.text, "{{{}}}", labels.join(", "));
        }
    }

    fn float(&mut self, value: f64) {
        match value.is_nan() {
            true => self.value(format_args!("nan")),
            false => self.value(format_args!("{value:?}")),
        }
    }
}

/// Bytes as text where they are, else as text where that is ASCII.
fn bytes(to: &mut String, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.chars().for_each(|character| escape(to, character)),
        Err(_) => bytes.iter().for_each(|byte| match byte {
            b' '..=b'~' => escape(to, char::from(*byte)),
            // Writing to a string does not fail.
            _ => drop(write!(to, "\\x{byte:02x}")),
        }),
    }
}

fn escape(to: &mut String, character: char) {
    match character {
        '\n' => to.push_str("\\n"),
        '\r' => to.push_str("\\r"),
        '\t' => to.push_str("\\t"),
        '\\' | '"' => to.extend(['\\', character]),
        _ => to.push_str(&visible(character.encode_utf8(&mut [0; 4]))),
    }
}

/// Adds a part to a checksum, in a way that no two different values have in common. A resource is its handle: what stands for it is another number in each run.
fn add(checksum: &mut InputChecksum, part: Part<'_>) {
    let mut number = |tag: u8, number: u64| {
        let mut bytes = [tag; 9];
        bytes[1..].copy_from_slice(&number.to_le_bytes());
        checksum.update(&bytes);
    };
    match part {
        Part::Bool(value) => number(1, value.into()),
        Part::Signed(value) => number(2, value.cast_unsigned()),
        Part::Unsigned(value) => number(3, value),
        Part::Float32(value) => number(4, value.to_bits().into()),
        Part::Float64(value) => number(5, value.to_bits()),
        Part::Char(value) => number(6, u32::from(value).into()),
        // The ends of pieces are nobody's business.
        Part::Text(piece) => checksum.update(piece.as_bytes()),
        Part::Bytes(piece) => checksum.update(piece),
        Part::Handle { index, .. } => number(7, index.into()),
        Part::Flags(_, bits) => number(8, bits.into()),
        Part::Case(case, ..) => number(9, case.into()),
        Part::Begin(Compound::Bytes(length) | Compound::List(length)) => number(10, length.into()),
        Part::End => number(0xff, 0),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(parts: &[Part<'_>]) -> String {
        let mut text = WaveText::default();
        parts.iter().for_each(|part| text.part(*part).unwrap());
        text.finish().0
    }

    #[test]
    fn values_are_written_as_in_wave() {
        let handle = Part::Handle { resource: Some("descriptor"), index: 3, rep: 77 };
        let flags = ["create".into(), "truncate".into()];
        let parts = [
            Part::Begin(Compound::Tuple),
            handle,
            Part::Flags(&flags, 2),
            Part::Begin(Compound::String),
            Part::Text("a\"\u{1b}"),
            Part::Text("\n"),
            Part::End,
            Part::Begin(Compound::Bytes(3)),
            Part::Bytes(b"x\xff\0"),
            Part::End,
            Part::Begin(Compound::Record),
            Part::Field("one"),
            Part::Signed(-1),
            Part::Field("two"),
            Part::Case(0, "some", true),
            Part::Float64(1.0),
            Part::End,
            Part::End,
            Part::Begin(Compound::List(0)),
            Part::End,
            Part::Case(1, "none", false),
            Part::End,
        ];
        let expected = "(descriptor#3, {truncate}, \"a\\\"\\u{1b}\\n\", b\"x\\xff\\x00\", {one: -1, two: some(1.0)}, [], none)";
        assert_eq!(text(&parts), expected);
    }

    #[test]
    fn whatever_is_long_is_cut() {
        let long = "x".repeat(10_000);
        let string = text(&[Part::Begin(Compound::String), Part::Text(&long), Part::Text(&long), Part::End]);
        assert_eq!(string, format!("\"{}\"...", "x".repeat(MAX_TEXT_CHARS)));
        let bytes = [Part::Begin(Compound::Bytes(20_000)), Part::Bytes(long.as_bytes()), Part::End];
        assert_eq!(text(&bytes), format!("b\"{}\"... 20000 bytes", "x".repeat(MAX_BYTES)));
        let mut parts = vec![Part::Begin(Compound::List(1000))];
        for number in 0..1000 {
            parts.extend([Part::Begin(Compound::Tuple), Part::Unsigned(number), Part::End]);
        }
        parts.push(Part::End);
        let list = text(&parts);
        assert!(list.starts_with("[(0), (1), ") && list.ends_with(", (31), ... 1000 in all]"), "{list}");
        // Many strings, none of which is too long.
        let mut parts = vec![Part::Begin(Compound::Tuple)];
        for _ in 0..1000 {
            parts.extend([Part::Begin(Compound::String), Part::Text(&long[..200]), Part::End]);
        }
        parts.push(Part::End);
        let line = text(&parts);
        assert!(line.len() < MAX_LINE_BYTES + 1000 && line.ends_with("...)"), "{} bytes", line.len());
    }

    #[test]
    fn what_is_left_out_is_in_the_checksum() {
        let checksum = |last: u8| {
            let mut text = WaveText::with_checksum();
            let mut bytes = vec![0; 1000];
            bytes.push(last);
            for part in [Part::Begin(Compound::Bytes(1001)), Part::Bytes(&bytes), Part::End] {
                text.part(part).unwrap();
            }
            text.finish()
        };
        assert_eq!(checksum(1).0, checksum(2).0);
        assert_ne!(checksum(1).1, checksum(2).1);
    }
}
