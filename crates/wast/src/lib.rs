//! Runs script files in the format of the specification's test suite (`.wast`).
//!
//! A script defines modules and asserts what calls of their exports return or how they fail. Every directive is counted, and every one
//! that does not hold becomes a [`Failure`] with line and reason; nothing is skipped in silence. Threads of a script are threads of the
//! host, each with a store of its own.
//!
//! Format: WebAssembly/spec `interpreter/README.md`, "Scripts".

#![forbid(unsafe_code)]

mod component;
mod script;
mod spectest;
mod thread;
mod value;

use innkeeper::Engine;
use wast::lexer::Lexer;
use wast::parser::{self, ParseBuffer};
use wast::{Wast, WastDirective};

use script::Script;

/// What came of a script.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Directives that held.
    pub passed: usize,
    /// Directives that did not.
    pub failures: Vec<Failure>,
}

impl Outcome {
    /// Adds what came of another part of the script.
    fn merge(&mut self, other: Outcome) {
        self.passed += other.passed;
        self.failures.extend(other.failures);
    }
}

/// A directive that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Line of the directive, from 1.
    pub line: usize,
    /// What was expected and what happened.
    pub message: String,
}

/// Runs a script on an engine, in a store of its own.
#[must_use]
pub fn run(engine: &Engine, text: &str) -> Outcome {
    let mut outcome = Outcome::default();
    let mut lexer = Lexer::new(text);
    lexer.allow_confusing_unicode(true);
    let parsed = ParseBuffer::new_with_lexer(lexer);
    let buffer = match &parsed {
        Ok(buffer) => buffer,
        Err(error) => {
            outcome.failures.push(not_a_script(text, error));
            return outcome;
        }
    };
    let directives: Vec<WastDirective<'_>> = match parser::parse::<Wast<'_>>(buffer) {
        Ok(wast) => wast.directives,
        Err(error) => {
            outcome.failures.push(not_a_script(text, &error));
            return outcome;
        }
    };
    std::thread::scope(|scope| match Script::new(engine, text, scope) {
        Ok(script) => outcome = script.run_all(directives),
        Err(error) => outcome.failures.push(Failure { line: 1, message: error.to_string() }),
    });
    outcome
}

/// What components of scripts may use: what is frozen, and what the component model's reference tests have of what is not.
fn component_features() -> innkeeper::component::Features {
    use innkeeper::component::{Feature, Features};
    [
        Feature::FixedLengthLists,
        Feature::StackfulAsync,
        Feature::MoreAsyncBuiltins,
        Feature::Threads,
        Feature::ErrorContext,
    ]
    .into_iter()
    .fold(Features::default(), Features::with)
}

fn not_a_script(text: &str, error: &wast::Error) -> Failure {
    Failure {
        line: error.span().linecol_in(text).0 + 1,
        message: format!("not a script: {}", error.message()),
    }
}
