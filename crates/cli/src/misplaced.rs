//! Flags of `inn` that stand after FILE, where they are the guest's. Whoever wrote them may have meant them otherwise.

use std::ffi::OsString;

use crate::elsewhere;
use crate::flags::RunArgs;
use crate::report::{self, Problem};

/// Says so where what follows FILE, which is the guest's, looks like flags of `inn` that were written too late.
pub(crate) fn note_flags_of_inn(args: &RunArgs) {
    if !args.invoke.is_empty() {
        return;
    }
    if args.guest_args().first().is_some_and(|first| first == "--") {
        let text = "`--` stands after FILE, so the guest gets it; inn needs none";
        report::note(&Problem::from_message(text));
    }
    if let Some(flag) = first_own_flag(args.guest_args()) {
        let text =
            format!("`{flag}` stands after FILE, so the guest gets it; flags of inn stand before FILE");
        report::note(&Problem::from_message(text));
    }
}

/// Flags of `inn run` that a user may have meant for `inn` where they follow FILE: they grant, bound or report something.
const OWN_FLAGS: &[&str] = &[
    "--dir",
    "--mapdir",
    "--tmp",
    "--env",
    "--listen",
    "--net",
    "--http",
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
    "--coredump",
    "--profile",
    "--cow-changes",
    "--argv0",
    "--invoke",
    "--plug",
    "--features",
    "--fuel",
    "--tier",
    "--cache",
    "--compile-after",
    "--allow-precompiled",
];

/// The first of a guest's arguments that is written like a flag of `inn`, or of another host's, without its value.
fn first_own_flag(arguments: &[OsString]) -> Option<&str> {
    let words: Vec<&str> = arguments.iter().map(|argument| argument.to_str().unwrap_or_default()).collect();
    let end = words.iter().position(|word| *word == "--").unwrap_or(words.len());
    (0..end).find_map(|at| {
        let name = words[at].split('=').next().unwrap_or_default();
        let is_option = || elsewhere::option(words[at], words.get(at + 1).copied()).is_some();
        if OWN_FLAGS.contains(&name) { Some(name) } else { is_option().then_some(words[at]) }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

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
