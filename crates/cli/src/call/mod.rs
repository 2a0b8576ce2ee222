//! `--invoke` of components: calls of functions that a component exports, written in WAVE (`add(1, 2)`), and their results, printed in WAVE.
//!
//! All calls of one command are made in one instance, one after the other, so that a resource that one gives can be used by those after it. Nothing here knows what
//! the component imports: the instance and its store are made by whoever runs components.
//!
//! Must stay true: what a component or a user has chosen is printed as text that drives no terminal.

mod find;
mod read;
mod session;
mod write;

use std::cell::Cell;
use std::ffi::OsString;

use innkeeper::component::TypeResource;

use crate::report::Problem;

pub(crate) use find::{Exported, exported, listed};
pub(crate) use session::{Called, Session};

/// One `--invoke`: `add(1, 2)`, `counter = counter.new(1)`, or a name alone, whose arguments stand after FILE.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Call<'a> {
    /// The flag's value, for messages.
    text: &'a str,
    /// What the resource is called that the call gives.
    name: Option<&'a str>,
    function: &'a str,
    arguments: Arguments<'a>,
}

#[derive(Debug, PartialEq, Eq)]
enum Arguments<'a> {
    /// In parentheses, with these.
    Wave(&'a str),
    /// Words of the command line, each of which is one.
    Words(&'a [OsString]),
}

impl<'a> Call<'a> {
    /// The calls of a command, with the words that stand after FILE: where there is one call, of a name alone, they are its arguments.
    ///
    /// # Errors
    /// A mistake, where a value of the flag is no call.
    pub(crate) fn all(invoke: &'a [String], words: &'a [OsString]) -> Result<Vec<Call<'a>>, Problem> {
        let words = if invoke.len() == 1 { words } else { &[] };
        invoke.iter().map(|text| Call::parse(text, words)).collect()
    }

    /// Refuses what can be seen to be wrong before anything is made: functions that there are not, and arguments of the first call. Names of resources, which calls before
    /// give, are not known yet.
    ///
    /// # Errors
    /// A mistake, as the call itself would say it.
    pub(crate) fn check_all(calls: &[Call<'_>], functions: &[Exported]) -> Result<(), Problem> {
        for (i, call) in calls.iter().enumerate() {
            if i > 0 && call.function.contains('.') {
                continue;
            }
            let found = find::find(functions, call.function);
            let function = found.map_err(|(reason, help)| call.mistake(reason).help(help))?;
            if i == 0 {
                let asks_for_handle = Cell::new(false);
                let handle_of = |_: &TypeResource, _: &str| {
                    asks_for_handle.set(true);
                    Err(String::new())
                };
                let read = read::arguments(&call.arguments, &function.ty, Vec::new(), &handle_of);
                if let (Err(reason), false) = (read, asks_for_handle.get()) {
                    return Err(call.mistake(reason).help(format!("its type is {}", function.ty)));
                }
            }
        }
        Ok(())
    }

    fn parse(text: &'a str, words: &'a [OsString]) -> Result<Call<'a>, Problem> {
        let mistake = |reason: &str| {
            Problem::new(format!("--invoke {text}"), reason)
                .help("write a call, as in --invoke 'add(1, 2)', or a function's name with its arguments after FILE")
                .mistake()
        };
        let (name, call) = match text.split_once('=') {
            Some((name, call)) if is_label(name.trim()) => (Some(name.trim()), call.trim()),
            _ => (None, text.trim()),
        };
        let (function, arguments) = match call.find('(') {
            Some(at) => {
                let (function, arguments) = call.split_at(at);
                if !arguments.ends_with(')') {
                    return Err(mistake(
                        "the parenthesis after the function's name is not closed at the end",
                    ));
                }
                (function.trim_end(), Arguments::Wave(arguments))
            }
            None => (call, Arguments::Words(words)),
        };
        if function.is_empty() {
            return Err(mistake("it names no function"));
        }
        Ok(Call { text, name, function, arguments })
    }

    fn mistake(&self, reason: impl std::fmt::Display) -> Problem {
        Problem::new(format!("--invoke {}", self.text), reason).mistake()
    }
}

/// Whether it is a name as WAVE has them: words of letters and digits with `-` between.
fn is_label(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && !text.ends_with('-')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_a_name_a_function_and_arguments() {
        let words = [OsString::from("1")];
        for (text, name, function, arguments) in [
            ("add(1, 2)", None, "add", Arguments::Wave("(1, 2)")),
            (" add ( 1 ) ", None, "add", Arguments::Wave("( 1 )")),
            ("c = counter.new(1)", Some("c"), "counter.new", Arguments::Wave("(1)")),
            ("c=a:b/c@1.0.0.make()", Some("c"), "a:b/c@1.0.0.make", Arguments::Wave("()")),
            (r#"say("a = b")"#, None, "say", Arguments::Wave(r#"("a = b")"#)),
            ("add", None, "add", Arguments::Words(&words)),
        ] {
            let parsed = Call::parse(text, &words).unwrap();
            assert_eq!(parsed, Call { text, name, function, arguments });
        }
        for text in ["", "(1)", "c = ", "add(1", "add(1) 2"] {
            assert!(Call::parse(text, &[]).is_err(), "{text}");
        }
    }
}
