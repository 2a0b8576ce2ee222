//! What is said about a command line that cannot be understood, and about words that are close to others.
//!
//! Every message names what was written, the reason and the mend, in `inn`'s own words; the texts of the library that reads command lines are used for help alone.

use std::error::Error as _;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::args::{Cli, RunArgs};
use crate::elsewhere;
use crate::report::{self, Problem, visible};

/// `inn -h`: what fits on a screen.
const SHORT_HELP: &str = "\
Runs WebAssembly programs that hold only the keys they were given

Usage: inn [run] [FLAGS] FILE [ARGS]...
       inn COMMAND ...

Examples:
  inn app.wasm a b                     run app.wasm with two arguments and no access to files
  inn --dir data::/data::ro app.wasm   it finds ./data as /data and cannot change it
  inn --invoke add math.wasm 2 40      call one function and print what it returns

Keys, without which a program has no access to anything:
  -d, --dir HOST[::GUEST][::ro|rw|cow]   a directory; --tmp GUEST is one in memory
  -e, --env NAME[=VALUE]                 an environment variable
      --listen [ADDRESS:]PORT            connections to accept
Also often used:
      --timeout 5s --max-memory 64MiB    bounds
      --explain --trace                  what was denied, every call to the host

Commands: run, compile, inspect, validate, explore, replay, policy, cache, cow, wast, completion
`inn help` lists all flags, `inn help COMMAND` those of a command.
";

/// `inn policy learn -h`.
const LEARN_HELP: &str = "\
Run a program with the keys given, and write the least policy that covers what it used

Usage: inn policy learn --to FILE.toml [FLAGS] FILE [ARGS]...

  -o, --to FILE.toml   the policy to write, or to extend

Example: inn policy learn --to app.toml --dir .::.::ro app.wasm notes.txt

The other flags are those of `inn run`: `inn -h` shows the usual ones, `inn help policy learn` lists all.
";

/// Answers a command line that asks for help, or cannot be understood.
pub(crate) fn tell(error: &clap::Error) -> ExitCode {
    let written = match error.kind() {
        ErrorKind::DisplayHelp if one_dash_help().is_some() => {
            Err(unknown_flag(&one_dash_help().unwrap_or_default()).mistake())
        }
        ErrorKind::DisplayHelp if wants_short_help() => report::output(match command_name() {
            Some(_) if is_learn() => LEARN_HELP,
            _ => SHORT_HELP,
        }),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => report::output(&error.render().to_string()),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let is_run = command_name().is_none_or(|name| name == "run");
            report::table(&if is_run { SHORT_HELP.to_owned() } else { error.render().to_string() });
            return ExitCode::from(report::MISTAKEN);
        }
        _ => Err(problem(error).mistake()),
    };
    written.map(|()| ExitCode::SUCCESS).unwrap_or_else(|problem| {
        report::problem(&problem);
        problem.exit_code()
    })
}

/// `inn version`.
pub(crate) fn version() -> Result<ExitCode, Problem> {
    report::output(concat!("inn ", env!("CARGO_PKG_VERSION"), "\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// The names of all commands.
pub(crate) fn commands() -> Vec<String> {
    let commands = Cli::command();
    commands
        .get_subcommands()
        .map(|command| command.get_name().to_owned())
        .chain([String::from("help")])
        .collect()
}

/// The command of a command that the line names: `check` of `policy check`.
fn nested_command(name: &str) -> Option<String> {
    let command = Cli::command();
    let found = command.find_subcommand(name)?;
    let mut words = std::env::args_os().skip(1).filter_map(|word| word.into_string().ok());
    words.find(|word| found.find_subcommand(word).is_some())
}

/// The command that the line names, if it names one.
fn command_name() -> Option<String> {
    let first = std::env::args().skip(1).find(|argument| !argument.starts_with('-'))?;
    commands().contains(&first).then_some(first)
}

/// Whether `-h` was written, for running a program, which has very many flags. `--help` has everything.
fn wants_short_help() -> bool {
    let mut before = std::env::args_os().skip(1).take_while(|argument| argument != "--help");
    before.any(|argument| argument == "-h") && command_name().is_none_or(|name| name == "run" || is_learn())
}

/// Whether the line is one of `inn policy learn`.
fn is_learn() -> bool {
    let named = command_name().filter(|name| name == "policy");
    named.and_then(|name| nested_command(&name)).is_some_and(|nested| nested == "learn")
}

fn problem(error: &clap::Error) -> Problem {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(", "),
        _ => String::new(),
    };
    let written = text(ContextKind::InvalidArg);
    // `--timeout <DURATION>` is called `--timeout`, and `<FILE>` FILE.
    let name = written
        .split([' ', '=', '['])
        .next()
        .unwrap_or_default()
        .trim_matches(['<', '>'])
        .trim_end_matches("...");
    let value = text(ContextKind::InvalidValue);
    match error.kind() {
        ErrorKind::UnknownArgument => unknown_flag(&written),
        ErrorKind::InvalidValue if value.is_empty() => {
            Problem::new(name, "its value is missing").help(format!("write {}", plain(&written)))
        }
        ErrorKind::InvalidValue => {
            let valid: Vec<String> = match error.get(ContextKind::ValidValue) {
                Some(ContextValue::Strings(valid)) => valid.clone(),
                _ => Vec::new(),
            };
            let near = nearest(&value, valid.iter().map(String::as_str))
                .map(|near| format!("did you mean {near}? "));
            Problem::new(name, format!("`{}` is not one of its values", visible(&value))).help(format!(
                "{}write one of {}",
                near.unwrap_or_default(),
                valid.join(", ")
            ))
        }
        ErrorKind::ValueValidation => {
            let reason = error.source().map(ToString::to_string).unwrap_or_default();
            let is_told = reason.contains(&value) || ["--dir", "--mapdir"].contains(&name);
            let reason = if is_told { reason } else { format!("`{}`: {reason}", visible(&value)) };
            Problem::new(name, reason).help(format!("the form is {}", plain(&written)))
        }
        ErrorKind::MissingRequiredArgument => Problem::new(plain(&written), "it is missing").help(usage()),
        ErrorKind::ArgumentConflict if text(ContextKind::PriorArg) == written => {
            Problem::new(name, "it is written twice, and only one of them could hold").help("write it once")
        }
        ErrorKind::ArgumentConflict => {
            Problem::new(name, "it cannot stand here, before a command or beside another flag")
                .help(format!("flags that grant, bound or report stand after `run`; {}", usage()))
        }
        ErrorKind::InvalidSubcommand => {
            let word = text(ContextKind::InvalidSubcommand);
            let commands = commands();
            let near = nearest(&word, commands.iter().map(String::as_str))
                .map(|near| format!("did you mean {near}? "));
            Problem::new(visible(&word), "there is no such command")
                .help(format!("{}`inn help` lists all", near.unwrap_or_default()))
        }
        _ => {
            let rendered = error.render().to_string();
            let first = rendered.lines().next().unwrap_or_default();
            Problem::from_message(first.trim_start_matches("error: ")).help(usage())
        }
    }
}

/// Without the brackets around what is to be replaced.
fn plain(form: &str) -> String {
    form.replace(['<', '>'], "")
}

fn unknown_flag(flag: &str) -> Problem {
    if !flag.starts_with('-') {
        let problem = Problem::new(visible(flag), "there is one word too many");
        return problem.help(match command_name() {
            Some(name) => format!("{name} takes one file; {}", usage()),
            None => usage(),
        });
    }
    if flag[1..].starts_with(|first: char| first.is_ascii_digit()) {
        return Problem::new(visible(flag), "a value with a minus sign cannot stand here")
            .help("numbers, durations and sizes of flags are not negative");
    }
    let (written, next) = as_written(flag);
    if let Some((option, answer)) = elsewhere::option(&written, next.as_deref()) {
        let short: String = written.chars().take(2).collect();
        return Problem::new(format!("{short} {option}"), "there is no such flag").help(answer);
    }
    let name = written.split('=').next().unwrap_or(&written);
    let problem = Problem::new(visible(name), "there is no such flag");
    let known = flags_of_command();
    let doubled = format!("-{name}");
    if !name.starts_with("--") && known.contains(&doubled) {
        return problem.help(format!("long flags have two dashes: {doubled}"));
    }
    if let Some(answer) = elsewhere::flag(&written) {
        return problem.help(answer);
    }
    match nearest(flag, known.iter().map(String::as_str)) {
        Some(near) => problem.help(format!("did you mean {near}?")),
        None => problem.help(match command_name() {
            Some(name) => format!("`inn help {name}` lists the flags of {name}"),
            None => String::from("`inn help` lists all; what the guest is to get stands after FILE"),
        }),
    }
}

/// The whole word that a flag was written as, and the one after it: of `-mount=x`, `-m` alone is not understood.
fn as_written(flag: &str) -> (String, Option<String>) {
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let is_same = |word: &String| match flag.starts_with("--") {
        true => word == flag || word.strip_prefix(flag).is_some_and(|rest| rest.starts_with('=')),
        false => word.starts_with(flag) && !word.starts_with("--"),
    };
    match words.iter().position(is_same) {
        Some(at) => (words[at].clone(), words.get(at + 1).cloned()),
        None => (flag.to_owned(), None),
    }
}

/// A word that asks for help by its first letter alone: `-hostlogging`.
fn one_dash_help() -> Option<String> {
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let mut asks =
        words.filter(|word| ["-h", "--help", "help"].contains(&word.as_str()) || is_one_dash(word));
    asks.next().filter(|word| word.starts_with("-h") && is_one_dash(word))
}

/// Whether a word is written as hosts write long flags that have one dash.
fn is_one_dash(word: &str) -> bool {
    word.len() > 2 && word.starts_with('-') && !word.starts_with("--")
}

/// Refuses a flag with one dash that would be taken for a short one and its value: `-env=A=b` is not `-e nv=A=b`.
pub(crate) fn check_dashes(run: &RunArgs) -> Result<(), Problem> {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let flags = &words[..words.len().saturating_sub(run.guest_args().len() + 1)];
    for word in flags.iter().filter_map(|word| word.to_str()).filter(|word| is_one_dash(word)) {
        let name = word.split('=').next().unwrap_or(word);
        let doubled = format!("-{name}");
        let is_meant = |known: &String| *known == doubled;
        if name.len() > 3 && (flags_of_command().iter().any(is_meant) || elsewhere::flag(&doubled).is_some())
        {
            return Err(unknown_flag(word).mistake());
        }
    }
    Ok(())
}

/// The long flags of the command that the line names.
fn flags_of_command() -> Vec<String> {
    let command = Cli::command();
    let named = command_name().unwrap_or_else(|| String::from("run"));
    let found = command.find_subcommand(&named).unwrap_or(&command);
    let nested = found.get_subcommands().flat_map(clap::Command::get_arguments);
    let all = found.get_arguments().chain(nested).filter(|argument| !argument.is_hide_set());
    all.filter_map(clap::Arg::get_long).map(|name| format!("--{name}")).collect()
}

fn usage() -> String {
    match command_name() {
        Some(name) if name != "run" => match nested_command(&name) {
            Some(nested) => format!("`inn help {name} {nested}` shows how it is used"),
            None => format!("`inn help {name}` shows how it is used"),
        },
        _ => String::from("the form is inn [run] [FLAGS] FILE [ARGS]..."),
    }
}

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
    "--features",
    "--fuel",
    "--tier",
    "--cache",
    "--compile-after",
    "--allow-precompiled",
];

/// The first of a guest's arguments that is written like a flag of `inn`, or of another host's, without its value.
pub(crate) fn first_own_flag(arguments: &[OsString]) -> Option<&str> {
    let words: Vec<&str> = arguments.iter().map(|argument| argument.to_str().unwrap_or_default()).collect();
    let end = words.iter().position(|word| *word == "--").unwrap_or(words.len());
    (0..end).find_map(|at| {
        let name = words[at].split('=').next().unwrap_or_default();
        let is_option = || elsewhere::option(words[at], words.get(at + 1).copied()).is_some();
        if OWN_FLAGS.contains(&name) { Some(name) } else { is_option().then_some(words[at]) }
    })
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
