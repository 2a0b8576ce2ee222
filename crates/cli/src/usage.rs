//! What is said about a command line that cannot be understood, and about words that are close to others.
//!
//! Every message names what was written, the reason and the mend, in `inn`'s own words; the texts of the library that reads command lines are used for help alone.

use std::ffi::OsString;

/// Flags of `inn run` that a user may have meant for `inn` where they follow FILE: they grant, bound or report something.
const OWN_FLAGS: &[&str] = &[
    "--dir",
    "--mapdir",
    "--tmp",
    "--env",
    "--listen",
    "--stdin",
    "--stdout",
    "--stderr",
    "--clocks",
    "--random",
    "--deterministic",
    "--policy",
    "--timeout",
    "--max-cpu",
    "--max-memory",
    "--max-written",
    "--max-handles",
    "--max-threads",
    "--max-cow",
    "--explain",
    "--trace",
    "--trace-file",
    "--record",
    "--profile",
    "--cow-changes",
    "--argv0",
    "--invoke",
    "--tier",
    "--cache",
    "--compile-after",
    "--allow-precompiled",
];

/// The first of a guest's arguments that is written like a flag of `inn`, without its value.
pub(crate) fn first_own_flag(arguments: &[OsString]) -> Option<&str> {
    let names = arguments.iter().filter_map(|argument| argument.to_str()?.split('=').next());
    names.take_while(|name| *name != "--").find(|name| OWN_FLAGS.contains(name))
}

/// The candidate that a mistyped word is most likely meant to be, if one is near enough.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let measured = candidates.into_iter().map(|candidate| (distance(word, candidate), candidate));
    let (distance, candidate) = measured.min_by_key(|(distance, _)| *distance)?;
    let most = 1 + word.chars().count().min(candidate.chars().count()) / 4;
    (distance <= most && distance < word.chars().count()).then_some(candidate)
}

/// How many letters have to be added, removed, replaced or swapped with their neighbours.
fn distance(one: &str, other: &str) -> usize {
    const LONGEST: usize = 64;
    let (one, other): (Vec<char>, Vec<char>) =
        (one.chars().take(LONGEST).collect(), other.chars().take(LONGEST).collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=other.len()).collect()];
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let mut least = (rows[i][j] + usize::from(a != b)).min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn near_is_near() {
        let flags = ["--dir", "--mapdir", "--tmp", "--env", "--timeout", "--trace", "--max-memory"];
        for (word, meant) in [
            ("--dri", "--dir"),
            ("--time-out", "--timeout"),
            ("--max-mem", "--max-memory"),
            ("--enb", "--env"),
        ] {
            assert_eq!(nearest(word, flags), Some(meant), "{word}");
        }
        for word in ["--network", "--volume", "--x", ""] {
            assert_eq!(nearest(word, flags), None, "{word}");
        }
    }

    #[test]
    fn every_flag_of_run_is_known_where_it_follows_the_file() {
        let command = crate::args::Cli::command();
        let run = command.find_subcommand("run").expect("run");
        let of_run =
            run.get_arguments().filter_map(|argument| argument.get_long()).map(|name| format!("--{name}"));
        let mut flags: Vec<String> = of_run.filter(|flag| flag != "--help" && flag != "--version").collect();
        let mut known: Vec<String> = OWN_FLAGS.iter().map(|flag| String::from(*flag)).collect();
        flags.sort();
        known.sort();
        assert_eq!(flags, known);
    }

    #[test]
    fn a_flag_after_the_file_is_noticed_up_to_two_hyphens() {
        let first = |words: &[&str]| {
            let words: Vec<OsString> = words.iter().map(OsString::from).collect();
            first_own_flag(&words).map(String::from)
        };
        assert_eq!(first(&["x", "--dir", "."]), Some(String::from("--dir")));
        assert_eq!(first(&["--trace=json"]), Some(String::from("--trace")));
        assert_eq!(first(&["--", "--dir", "."]), None);
        assert_eq!(first(&["--directory", "dir", "--help", "-d"]), None);
    }
}
