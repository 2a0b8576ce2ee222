//! What is said about a command line that cannot be understood.
//!
//! Every message names what was written, the reason and the mend, in `inn`'s own words; the texts of the library that reads command lines are used for help alone.

use std::error::Error as _;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::elsewhere;
use crate::flags::RunArgs;
use crate::help::{LEARN_HELP, SERVE_HELP, SHORT_HELP, wants_short_help};
use crate::nearest::nearest;
use crate::report::{self, Problem, visible};
use crate::written::{
    as_written, command_name, commands_around, flags_of_command, is_learn, is_one_dash, nested_command,
    one_dash_help, taken_file,
};

/// Answers a command line that asks for help, or cannot be understood.
pub(crate) fn tell(error: &clap::Error) -> ExitCode {
    let written = match error.kind() {
        ErrorKind::DisplayHelp if one_dash_help().is_some() => {
            Err(unknown_flag(&one_dash_help().unwrap_or_default()).mistake())
        }
        ErrorKind::DisplayHelp if wants_short_help() => report::output(match command_name() {
            Some(_) if is_learn() => LEARN_HELP,
            Some(name) if name == "serve" => SERVE_HELP,
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

/// What is wrong with a line of flags.
pub(crate) fn problem(error: &clap::Error) -> Problem {
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
        ErrorKind::MissingRequiredArgument => {
            let problem = Problem::new(plain(&written), "it is missing");
            match taken_file() {
                Some((flag, file)) => problem.help(format!("{flag} took {file} as its value; {}", usage())),
                None => problem.help(usage()),
            }
        }
        ErrorKind::InvalidUtf8 => not_utf8(),
        ErrorKind::ArgumentConflict if text(ContextKind::PriorArg) == written => {
            Problem::new(name, "it is written twice, and only one of them could hold").help("write it once")
        }
        ErrorKind::ArgumentConflict => {
            Problem::new(name, "it cannot stand here, before a command or beside another flag")
                .help(format!("flags that grant, bound or report stand after `run`; {}", usage()))
        }
        ErrorKind::InvalidSubcommand => {
            let word = text(ContextKind::InvalidSubcommand);
            let problem = Problem::new(visible(&word), "there is no such command");
            let (commands, all) = commands_around();
            let around = command_name().unwrap_or_default();
            if let Some(answer) = elsewhere::nested_command(&around, &word) {
                return problem.help(answer);
            }
            let near = nearest(&word, commands.iter().map(String::as_str))
                .map(|near| format!("did you mean {near}? "));
            problem.help(format!("{}`{all}` lists all", near.unwrap_or_default()))
        }
        _ => {
            let rendered = error.render().to_string();
            let first = rendered.lines().next().unwrap_or_default();
            Problem::from_message(first.trim_start_matches("error: ")).help(usage())
        }
    }
}

/// Says which word is not UTF-8 that has to be: a flag's value, most often.
fn not_utf8() -> Problem {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let Some(at) = words.iter().position(|word| word.to_str().is_none()) else {
        return Problem::from_message("a word of the command line is not UTF-8").help(usage());
    };
    let word = words[at].to_string_lossy();
    let flag = match word.split_once('=') {
        Some((flag, _)) if flag.starts_with('-') => Some(flag.to_owned()),
        _ => at.checked_sub(1).and_then(|before| words[before].to_str()).map(str::to_owned),
    };
    match flag.filter(|flag| flag.starts_with('-')) {
        Some(flag) => Problem::new(visible(&flag), format!("`{}` is not UTF-8", visible(&word))).help(
            "write its value in UTF-8, which a guest reads; only paths of this machine can be any bytes",
        ),
        None => Problem::new(visible(&word), "it is not UTF-8").help(usage()),
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
    if let Some(meant) = elsewhere::volume(&written, next.as_deref()) {
        return problem.help(format!("write {}", visible(&meant)));
    }
    if let Some(answer) = elsewhere::flag(&written) {
        return problem.help(answer);
    }
    if let (true, Some(command)) = (known.iter().any(|flag| flag == name), command_name())
        && let Some(nested) = nested_command(&command)
    {
        return Problem::new(visible(name), format!("it cannot stand before `{nested}`"))
            .help(format!("write it after that: inn {command} {nested} {name} ..."));
    }
    match nearest(flag, known.iter().map(String::as_str).chain(["--help", "--version"])) {
        Some(near) => problem.help(format!("did you mean {near}?")),
        None => problem.help(match command_name() {
            Some(name) => format!("`inn help {name}` lists the flags of {name}"),
            None => String::from("`inn help` lists all; what the guest is to get stands after FILE"),
        }),
    }
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

fn usage() -> String {
    match command_name() {
        Some(name) if name != "run" => match nested_command(&name) {
            Some(nested) => format!("`inn help {name} {nested}` shows how it is used"),
            None => format!("`inn help {name}` shows how it is used"),
        },
        _ => String::from("the form is inn [run] [FLAGS] FILE [ARGS]..."),
    }
}
