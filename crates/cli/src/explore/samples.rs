//! What a profile says of a module's functions: the folded stacks that `inn --profile` has written.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt::Display;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::absent;
use crate::profile::{ModuleHash, OF_MODULE, OMITTED};
use crate::report::Problem;

/// The time of functions in a profile.
#[derive(Debug, Default)]
pub(super) struct Samples {
    /// The time of each function that was the innermost of a stack, by its name.
    own: HashMap<String, u64>,
    /// All time together, whoever's it is.
    pub(super) total: u64,
    /// The lines that say of which module the profile is: several where profiles were joined, none where another tool has left them out.
    modules: Vec<String>,
}

impl Samples {
    pub(super) fn read(path: &OsStr) -> Result<Samples, Problem> {
        const MEND: &str = "name the .folded file that `inn --profile` has written, beside the graph";
        let problem = |reason: &dyn Display| Problem::new(path.to_string_lossy(), reason).help(MEND);
        let text = fs::read_to_string(path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => absent::unopened(path, "profile", &error),
            _ => problem(&error),
        })?;
        if text.contains("<svg") {
            return Err(graph(path));
        }
        let samples = Samples::parse(&text)
            .ok_or_else(|| problem(&"its lines are not stacks with a number behind each").mistake())?;
        if samples.own.is_empty() { Err(problem(&"no stack is in it").mistake()) } else { Ok(samples) }
    }

    /// Nothing where a line is no stack with its time.
    fn parse(folded: &str) -> Option<Samples> {
        let mut samples = Samples::default();
        for line in folded.lines().filter(|line| !line.is_empty()) {
            if line.starts_with(OF_MODULE) {
                samples.modules.push(line.to_owned());
                continue;
            }
            let (stack, count) = line.rsplit_once(' ')?;
            let count: u64 = count.parse().ok()?;
            let innermost = stack.rsplit(';').next().unwrap_or(stack);
            let own = samples.own.entry(innermost.to_owned()).or_default();
            *own = own.saturating_add(count);
            samples.total = samples.total.saturating_add(count);
        }
        Some(samples)
    }

    /// Whether the profile says that it is of other modules than this one.
    pub(super) fn is_of_another(&self, module: ModuleHash) -> bool {
        !self.modules.is_empty() && !self.modules.contains(&module.line())
    }

    /// The time in which a function was the innermost.
    pub(super) fn of(&self, name: &str) -> u64 {
        self.own.get(name).copied().unwrap_or(0)
    }

    /// The time of what has no name that is `known`.
    pub(super) fn unknown(&self, known: impl Fn(&str) -> bool) -> u64 {
        let unknown = self.own.iter().filter(|(name, _)| !name.starts_with(OMITTED) && !known(name));
        unknown.fold(0, |sum: u64, (_, ticks)| sum.saturating_add(*ticks))
    }
}

/// What to say where the picture is named in the place of what it was made from.
fn graph(path: &OsStr) -> Problem {
    let stacks = Path::new(path).with_extension("folded");
    let problem = Problem::new(path.to_string_lossy(), "it is the flame graph, a picture of the stacks");
    let problem = match stacks.is_file() {
        true => problem.help(format!("the stacks are beside it: --profile {}", stacks.display())),
        false => problem.help("name the .folded file that `inn --profile` has written beside it"),
    };
    problem.mistake()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_belongs_to_the_innermost_function() {
        let samples = Samples::parse("a;b 3\na;c d 4\nb 5\n\n(… and 2 more samples) 6\n").unwrap();
        assert_eq!((samples.of("a"), samples.of("b"), samples.of("c d"), samples.total), (0, 8, 4, 18));
        assert_eq!(samples.unknown(|name| name == "b"), 4);
        for text in ["nonsense", "a;b 3\n<svg/>", "a b c"] {
            assert!(Samples::parse(text).is_none(), "{text}");
        }
    }
}
