//! JSON, as far as it is written here: objects of strings, numbers and lists.

use std::fmt::Write as _;

/// Appends a string of JSON.
pub(super) fn string(line: &mut String, text: &str) {
    line.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => line.extend(['\\', character]),
            character if is_hidden(character) => {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    let _ = write!(line, "\\u{unit:04x}");
                }
            }
            character => line.push(character),
        }
    }
    line.push('"');
}

/// Whether a terminal takes a character for a command, or shows what follows in another order than it is in.
fn is_hidden(character: char) -> bool {
    let turns = matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || character.is_control()
}

/// An object that is being written.
#[derive(Debug)]
pub(super) struct Object(String);

impl Object {
    pub(super) fn new() -> Object {
        Object(String::from("{"))
    }

    /// A member whose value is a string.
    pub(super) fn text(&mut self, name: &str, value: &str) -> &mut Object {
        self.name(name);
        string(&mut self.0, value);
        self
    }

    /// A member whose value is JSON already: a number, a truth, or what was written before.
    pub(super) fn value(&mut self, name: &str, value: impl std::fmt::Display) -> &mut Object {
        self.name(name);
        let _ = write!(self.0, "{value}");
        self
    }

    /// A member whose value is a list of what is JSON already.
    pub(super) fn list(&mut self, name: &str, values: impl IntoIterator<Item = String>) -> &mut Object {
        let values: Vec<String> = values.into_iter().collect();
        self.value(name, format_args!("[{}]", values.join(",")))
    }

    pub(super) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        string(&mut self.0, name);
        self.0.push(':');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_keep_to_their_line() {
        let mut line = String::new();
        string(&mut line, "a\"b\\c\n\u{1b}[2J\u{9b}\u{202e}ü");
        assert_eq!(line, r#""a\"b\\c\u000a\u001b[2J\u009b\u202eü""#);
    }

    #[test]
    fn objects_have_members() {
        assert_eq!(Object::new().end(), "{}");
        let mut object = Object::new();
        object.text("a", "b").value("c", 1).list("d", [String::from("2"), String::from("true")]);
        assert_eq!(object.end(), r#"{"a":"b","c":1,"d":[2,true]}"#);
    }
}
