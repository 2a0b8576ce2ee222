//! Which functions the page shows, and in which order.

use std::cmp::Reverse;
use std::ffi::OsStr;

use innkeeper::{FunctionInfo, Module};

use super::ExploreArgs;
use super::callees::Callees;
use super::samples::Samples;
use crate::names::Names;
use crate::nearest::nearest;
use crate::profile::ModuleHash;
use crate::report::{self, Problem, short};

/// How many functions are shown unless somebody says otherwise.
const DEFAULT_COUNT: usize = 100;

/// The functions to show: those that were asked for by name or, with a profile, those that took time, or else all; hot ones first, then large ones, and no more
/// than were asked for.
pub(super) fn choose<'m>(
    module: &'m Module,
    names: &Names,
    samples: Option<&Samples>,
    args: &ExploreArgs,
    file: &str,
) -> Result<Vec<FunctionInfo<'m>>, Problem> {
    let ticks = |info: &FunctionInfo<'_>| samples.map_or(0, |samples| samples.of(&names.name(info.func)));
    let mut infos: Vec<FunctionInfo<'_>> = match &args.function[..] {
        [] => module.functions().collect(),
        wanted => named(module, names, wanted, file)?,
    };
    if samples.is_some() && args.function.is_empty() && args.functions.is_none() {
        infos.retain(|info| ticks(info) > 0);
    }
    // Those that are alike stay in the module's order.
    infos.sort_by_cached_key(|info| Reverse((ticks(info), info.body.len())));
    infos.truncate(args.functions.map_or(DEFAULT_COUNT, usize::from));
    Ok(infos)
}

/// The functions with any of some names.
fn named<'m>(
    module: &'m Module,
    names: &Names,
    wanted: &[String],
    file: &str,
) -> Result<Vec<FunctionInfo<'m>>, Problem> {
    let mut found = Vec::new();
    for word in wanted {
        let of_word = matching(module, names, word);
        if of_word.is_empty() {
            return Err(no_such_function(module, names, word, file));
        }
        found.extend(of_word);
    }
    found.sort_by_key(|info| info.func.0);
    found.dedup_by_key(|info| info.func.0);
    Ok(found)
}

/// The functions that a word means: those of that name or with that index or, where there are none, those in whose names it is.
fn matching<'m>(module: &'m Module, names: &Names, word: &str) -> Vec<FunctionInfo<'m>> {
    let is_meant = |info: &FunctionInfo<'_>| {
        let index = info.func.0.to_string();
        let name = names.name(info.func);
        name == word
            || info.name == Some(word)
            || index == word
            || format!("func[{index}]") == word
            || name.strip_suffix(&format!(" [{index}]")) == Some(word)
    };
    let meant: Vec<FunctionInfo<'_>> = module.functions().filter(is_meant).collect();
    if !meant.is_empty() {
        return meant;
    }
    module.functions().filter(|info| !word.is_empty() && names.name(info.func).contains(word)).collect()
}

fn no_such_function(module: &Module, names: &Names, word: &str, file: &str) -> Problem {
    let all: Vec<String> = module.functions().map(|info| names.name(info.func)).collect();
    let problem = Problem::new(file, format!("it defines no function `{}`", short(word)));
    let problem = match nearest(word, all.iter().map(String::as_str)) {
        Some(near) => problem.help(format!("did you mean --function '{near}'?")),
        None if module.functions().all(|info| info.name.is_none()) => problem
            .help("it has no names, as it was built with none or stripped; name one by its index, as in 5"),
        None => problem.help("name a part of its name, or its index, as in 5"),
    };
    problem.mistake()
}

/// Refuses a profile that says nothing of the module, and warns of one that says much of what the module does not have.
pub(super) fn check_samples(
    samples: &Samples,
    path: &OsStr,
    (module, callees): (ModuleHash, &Callees),
    file: &str,
) -> Result<(), Problem> {
    const MEND: &str = "name the .folded file of a run of this module";
    if samples.is_of_another(module) {
        let reason = format!("it is a profile of another program than {file}, or of another build of it");
        return Err(Problem::new(path.to_string_lossy(), reason).help(MEND).mistake());
    }
    let unknown = samples.unknown(|name| callees.has(name));
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
