//! What the words of the command line name, for messages and help: looked up in the words themselves, since a line that cannot be understood is given to nobody.

use clap::CommandFactory;

use crate::args::Cli;
use crate::report::visible;

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
pub(crate) fn nested_command(name: &str) -> Option<String> {
    let command = Cli::command();
    let found = command.find_subcommand(name)?;
    let mut words = std::env::args_os().skip(1).filter_map(|word| word.into_string().ok());
    words.find(|word| found.find_subcommand(word).is_some())
}

/// The command that the line names, if it names one.
pub(crate) fn command_name() -> Option<String> {
    let first = std::env::args().skip(1).find(|argument| !argument.starts_with('-'))?;
    commands().contains(&first).then_some(first)
}

/// The command or flag that a word names which stands alone: `inn learn` is `inn policy learn`, and `inn trace` is `inn --trace`.
pub(crate) fn command_meant(word: &str) -> Option<String> {
    let whole = Cli::command();
    let of_command = whole.get_subcommands().find_map(|command| {
        let nested = command.find_subcommand(word)?;
        Some(format!("it is a command of `{0}`: inn {0} {1} ...", command.get_name(), nested.get_name()))
    });
    let is_flag = |argument: &&clap::Arg| argument.get_long() == Some(word) && !argument.is_hide_set();
    of_command.or_else(|| {
        let flag = whole.get_arguments().find(is_flag)?;
        let value = match flag.get_value_names().unwrap_or_default() {
            [name, ..] if flag.is_require_equals_set() => format!("[={name}]"),
            [name, ..] if flag.get_action().takes_values() => format!(" {name}"),
            _ => String::new(),
        };
        Some(format!("it is a flag, which stands before FILE: inn --{word}{value} FILE ..."))
    })
}

/// The commands that could stand where one was not understood, and how they are listed.
pub(crate) fn commands_around() -> (Vec<String>, String) {
    let whole = Cli::command();
    let around =
        command_name().and_then(|name| whole.find_subcommand(name)).filter(|found| found.has_subcommands());
    match around {
        Some(found) => {
            let nested = found.get_subcommands().map(|command| command.get_name().to_owned());
            (nested.collect(), format!("inn help {}", found.get_name()))
        }
        None => (commands(), String::from("inn help")),
    }
}

/// The last flag that was followed by what looks like a module.
pub(crate) fn taken_file() -> Option<(String, String)> {
    let words: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let is_module = |word: &str| word.ends_with(".wasm") || word.ends_with(".wat");
    let pair = words.windows(2).rev().find(|pair| pair[0].starts_with('-') && is_module(&pair[1]))?;
    Some((visible(&pair[0]), visible(&pair[1])))
}

/// Whether the line is one of `inn policy learn`.
pub(crate) fn is_learn() -> bool {
    let named = command_name().filter(|name| name == "policy");
    named.and_then(|name| nested_command(&name)).is_some_and(|nested| nested == "learn")
}

/// The long flags of the command that the line names.
pub(crate) fn flags_of_command() -> Vec<String> {
    let command = Cli::command();
    let named = command_name().unwrap_or_else(|| String::from("run"));
    let found = command.find_subcommand(&named).unwrap_or(&command);
    let nested = found.get_subcommands().flat_map(clap::Command::get_arguments);
    let all = found.get_arguments().chain(nested).filter(|argument| !argument.is_hide_set());
    all.filter_map(clap::Arg::get_long).map(|name| format!("--{name}")).collect()
}

/// The whole word that a flag was written as, and the one after it: of `-mount=x`, `-m` alone is not understood.
pub(crate) fn as_written(flag: &str) -> (String, Option<String>) {
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
pub(crate) fn one_dash_help() -> Option<String> {
    let words = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned());
    let mut asks =
        words.filter(|word| ["-h", "--help", "help"].contains(&word.as_str()) || is_one_dash(word));
    asks.next().filter(|word| word.starts_with("-h") && is_one_dash(word))
}

/// Whether a word is written as hosts write long flags that have one dash.
pub(crate) fn is_one_dash(word: &str) -> bool {
    word.len() > 2 && word.starts_with('-') && !word.starts_with("--")
}
