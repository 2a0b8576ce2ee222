//! Keys of a table as flags of a command line, each with its place.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{ArgAction, Command};
use toml::Spanned;
use toml::de::{DeString, DeValue};

use super::PAGE;
use crate::nearest::nearest;
use crate::report::{Problem, visible};
use crate::usage;

/// A configuration's text, in which places are found.
pub(super) struct Text {
    name: String,
    text: String,
}

/// A flag as a command line has it, and where it was written.
pub(super) struct Word {
    /// Without hyphens.
    pub(super) flag: String,
    pub(super) word: OsString,
    pub(super) place: String,
}

/// A part of a configuration, whose keys are these flags.
pub(super) struct Section<'a> {
    pub(super) text: &'a Text,
    pub(super) flags: &'a Command,
    /// The flags of the other part, and where they stand.
    pub(super) other: (&'a Command, &'static str),
}

/// A key with its value.
type Entry<'a, 'i> = (&'a Spanned<DeString<'i>>, &'a Spanned<DeValue<'i>>);

impl Text {
    pub(super) fn new(name: String, text: String) -> Text {
        Text { name, text }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// File and line of an offset.
    pub(super) fn at(&self, offset: usize) -> String {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        format!("{}:{}", self.name, before.matches('\n').count() + 1)
    }

    /// What is wrong with the value of a key.
    pub(super) fn problem(&self, offset: usize, key: &str, reason: &str) -> Problem {
        Problem::new(visible(key), reason).help(PAGE).at(&self.at(offset)).mistake()
    }
}

impl Section<'_> {
    /// The keys as flags, in the order in which they stand there; `path` makes of a flag's value what it is from here.
    pub(super) fn words(
        &self,
        mut entries: Vec<Entry<'_, '_>>,
        path: impl Fn(&str, &str) -> OsString,
    ) -> Result<Vec<Word>, Problem> {
        entries.sort_by_key(|(key, _)| key.span().start);
        let mut words = Vec::new();
        for (key, value) in entries {
            let flag = self.known(key)?;
            let all = match value.get_ref() {
                DeValue::Array(values) => values.iter().collect(),
                _ => vec![value],
            };
            let first = words.len();
            for value in all {
                let Some(word) = self.word(flag, value, &path)? else { continue };
                let place = self.text.at(value.span().start);
                words.push(Word { flag: flag.to_owned(), word, place });
                self.check(&words[words.len() - 1..])?;
            }
            self.check(&words[first..])?;
        }
        Ok(words)
    }

    /// The flag that a key is.
    fn known<'k>(&self, key: &'k Spanned<DeString<'_>>) -> Result<&'k str, Problem> {
        let name: &str = key.get_ref();
        let is_there =
            |flags: &Command| flags.get_arguments().any(|argument| argument.get_long() == Some(name));
        if is_there(self.flags) {
            return Ok(name);
        }
        let problem = self.text.problem(key.span().start, name, "there is no such key");
        let (other, where_it_stands) = self.other;
        if is_there(other) || super::GUEST_KEYS.contains(&name) {
            return Err(problem.help(format!("{name} stands elsewhere: {where_it_stands}")));
        }
        let known = self.flags.get_arguments().filter_map(clap::Arg::get_long);
        Err(match nearest(name, known.chain(super::GUEST_KEYS)) {
            Some(near) => problem.help(format!("did you mean {near}?")),
            None => problem.help("keys are the flags of inn serve without their hyphens: inn help serve"),
        })
    }

    /// A flag with one value; nothing where it is one without a value that is switched off.
    fn word(
        &self,
        flag: &str,
        value: &Spanned<DeValue<'_>>,
        path: impl Fn(&str, &str) -> OsString,
    ) -> Result<Option<OsString>, Problem> {
        let argument = self.flags.get_arguments().find(|argument| argument.get_long() == Some(flag));
        let takes_value = argument.is_some_and(|argument| argument.get_action().takes_values());
        let is_optional = argument
            .is_some_and(|argument| argument.get_num_args().is_some_and(|count| count.min_values() == 0));
        let wrong = |reason: &str| Err(self.text.problem(value.span().start, flag, reason));
        let text = match value.get_ref() {
            DeValue::Boolean(true) if !takes_value || is_optional => {
                return Ok(Some(format!("--{flag}").into()));
            }
            DeValue::Boolean(false) if !takes_value || is_optional => return Ok(None),
            _ if !takes_value => return wrong("it is true or false"),
            DeValue::String(text) => &**text,
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            DeValue::Float(number) => number.as_str(),
            _ => return wrong("it is a text or a number, or several in brackets"),
        };
        let mut word = OsString::from(format!("--{flag}="));
        word.push(path(flag, text));
        Ok(Some(word))
    }

    /// Refuses words that the flags do not have, whatever else stands beside them.
    fn check(&self, words: &[Word]) -> Result<(), Problem> {
        let Some(Word { flag, place, .. }) = words.last() else { return Ok(()) };
        let line = words.iter().map(|word| &word.word);
        match self.flags.clone().try_get_matches_from(line) {
            Err(error) if error.kind() == ErrorKind::ArgumentConflict => {
                let argument = self.flags.get_arguments().find(|argument| argument.get_long() == Some(flag));
                let is_once =
                    argument.is_some_and(|argument| !matches!(argument.get_action(), ArgAction::Append));
                let reason = if is_once { "it has one value" } else { "it cannot stand beside another" };
                Err(Problem::new(flag, reason).at(place).mistake())
            }
            // Others can stand beside it that it wants.
            Err(error) if error.kind() != ErrorKind::MissingRequiredArgument => {
                Err(usage::problem(&error).at(place).mistake())
            }
            _ => Ok(()),
        }
    }
}
