//! Which functions the page shows, and in which order.

use std::cmp::Reverse;
use std::ffi::OsStr;

use innkeeper::FunctionInfo;

use super::ExploreArgs;
use super::samples::Samples;
use crate::nearest::nearest;
use crate::profile::ModuleHash;
use crate::program_names::{Part, ProgramNames};
use crate::report::{self, Problem, short};

/// How many functions are shown unless somebody says otherwise.
const DEFAULT_COUNT: usize = 100;

/// A function, with the module that it is of.
pub(super) type Chosen<'p> = (&'p Part, FunctionInfo<'p>);

/// The functions to show: those that were asked for by name or, with a profile, those that took time, or else all; hot ones first, then large ones, and no more
/// than were asked for.
pub(super) fn choose<'p>(
    program: &'p ProgramNames,
    samples: Option<&Samples>,
    args: &ExploreArgs,
    file: &str,
) -> Result<Vec<Chosen<'p>>, Problem> {
    let ticks = |(part, info): &Chosen<'_>| samples.map_or(0, |samples| samples.of(&part.name(info.func)));
    let mut chosen: Vec<Chosen<'_>> = match &args.function[..] {
        [] => program.functions().collect(),
        wanted => named(program, wanted, file)?,
    };
    if samples.is_some() && args.function.is_empty() && args.functions.is_none() {
        chosen.retain(|chosen| ticks(chosen) > 0);
    }
    // Those that are alike stay in the program's order.
    chosen.sort_by_cached_key(|chosen| Reverse((ticks(chosen), chosen.1.body.len())));
    chosen.truncate(args.functions.map_or(DEFAULT_COUNT, usize::from));
    Ok(chosen)
}

/// The functions with any of some names.
fn named<'p>(program: &'p ProgramNames, wanted: &[String], file: &str) -> Result<Vec<Chosen<'p>>, Problem> {
    let mut found = Vec::new();
    for word in wanted {
        let of_word = matching(program, word);
        if of_word.is_empty() {
            return Err(no_such_function(program, word, file));
        }
        found.extend(of_word);
    }
    // In the order in which the modules and functions are there.
    let place = |(part, info): &Chosen<'_>| (std::ptr::from_ref(*part).addr(), info.func.0);
    found.sort_by_key(place);
    found.dedup_by_key(|chosen| place(chosen));
    Ok(found)
}

/// The functions that a word means: those of that name or with that index or, where there are none, those in whose names it is.
fn matching<'p>(program: &'p ProgramNames, word: &str) -> Vec<Chosen<'p>> {
    let is_meant = |(part, info): &Chosen<'_>| {
        let index = info.func.0.to_string();
        let name = part.names.name(info.func);
        name == word
            || part.name(info.func) == word
            || info.name == Some(word)
            || index == word
            || format!("func[{index}]") == word
            || name.strip_suffix(&format!(" [{index}]")) == Some(word)
    };
    let meant: Vec<Chosen<'_>> = program.functions().filter(is_meant).collect();
    if !meant.is_empty() {
        return meant;
    }
    let has_word = |(part, info): &Chosen<'_>| !word.is_empty() && part.name(info.func).contains(word);
    program.functions().filter(has_word).collect()
}

fn no_such_function(program: &ProgramNames, word: &str, file: &str) -> Problem {
    let all: Vec<String> = program.functions().map(|(part, info)| part.name(info.func)).collect();
    let problem = Problem::new(file, format!("it defines no function `{}`", short(word)));
    let problem = match nearest(word, all.iter().map(String::as_str)) {
        Some(near) => problem.help(format!("did you mean --function '{near}'?")),
        None if program.functions().all(|(_, info)| info.name.is_none()) => problem
            .help("it has no names, as it was built with none or stripped; name one by its index, as in 5"),
        None => problem.help("name a part of its name, or its index, as in 5"),
    };
    problem.mistake()
}

/// Refuses a profile that says nothing of the module, and warns of one that says much of what the module does not have.
pub(super) fn check_samples(
    samples: &Samples,
    path: &OsStr,
    (module, is_known): (ModuleHash, &dyn Fn(&str) -> bool),
    file: &str,
) -> Result<(), Problem> {
    const MEND: &str = "name the .folded file of a run of this module";
    if samples.is_of_another(module) {
        let reason = format!("it is a profile of another program than {file}, or of another build of it");
        return Err(Problem::new(path.to_string_lossy(), reason).help(MEND).mistake());
    }
    let unknown = samples.unknown(is_known);
    let path = path.to_string_lossy();
    if unknown == samples.total {
        return Err(Problem::new(path, "it names none of the module's functions").help(MEND).mistake());
    }
    if unknown > 0 {
        let percent = (u128::from(unknown) * 100).div_ceil(u128::from(samples.total));
        let reason = format!(
            "{percent} % of its time is in functions that {file} does not have: it is of another program, or of another build of it"
        );
        report::warning(&Problem::new(path, reason).help(MEND));
    }
    Ok(())
}
