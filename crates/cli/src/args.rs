//! The command line: its commands, and the help texts around them.
//!
//! Must stay true: flags stand before FILE, and everything after FILE belongs to the guest, also what looks like a flag or a
//! command of `inn`. What a command takes stands with the command, what `inn run` takes in [`crate::flags`]; what a value means is in [`crate::values`] and
//! [`crate::invoke`].

use std::ffi::OsString;

use clap::builder::Styles;
use clap::builder::styling::AnsiColor;
use clap::{Args, FromArgMatches, Parser, Subcommand};

use crate::cache::CacheArgs;
use crate::changes::CowArgs;
use crate::compile::CompileArgs;
use crate::completion::CompletionArgs;
use crate::compose::ComposeArgs;
use crate::explore::ExploreArgs;
use crate::flags::RunArgs;
use crate::inspect::InspectArgs;
use crate::policy::PolicyArgs;
use crate::replay::ReplayArgs;
use crate::serve::ServeArgs;
use crate::validate::ValidateArgs;
use crate::wast::WastArgs;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const ABOUT: &str = "Runs WebAssembly programs that hold only the keys they were given";

const USAGE: &str = "inn [run] [FLAGS] FILE [ARGS]...
       inn COMMAND ...";

const RUN_USAGE: &str = "inn run [FLAGS] FILE [ARGS]...";

const EXAMPLES: &str = "\
Examples:
  inn app.wasm a b                         run app.wasm with two arguments and no access to files
  inn --dir . app.wasm notes.txt           it may read and write the current directory
  inn --dir data::/data::ro app.wasm       it finds ./data as /data and cannot change it
  inn --dir .::.::cow app.wasm             it sees its own changes, the directory stays as it is
  inn --env HOME --env LANG=C app.wasm     two environment variables, one inherited
  inn --timeout 5s --trace app.wasm        stopped after five seconds; every call is printed
  inn --invoke add math.wasm 2 40          call one function and print what it returns
  inn --invoke 'add(2, 40)' math.wasm      the same of a component, with values of any type
  inn --plug dep.wasm app.wasm             what one component exports is given to another
  inn compose app.wasm --plug dep.wasm -o all.wasm   the same, as one component
  inn inspect app.wasm                     what a program needs and offers
  inn compile app.wasm                     app.cwasm, for inn --allow-precompiled app.cwasm

Flags stand before FILE; everything after FILE belongs to the guest.
A program that is named like a command is run with `inn run NAME` or `inn ./NAME`.

Exit codes:
  the guest's own, of which the system keeps the low 8 bits, and 1 for one whose low 8 bits are 0
  134 after a trap, 130 after ctrl-C, 1 where inn itself failed, 2 for a mistake on the command line or in a policy";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "inn",
    version,
    about = ABOUT,
    override_usage = USAGE,
    after_help = EXAMPLES,
    styles = STYLES,
    args_conflicts_with_subcommands = true,
    arg_required_else_help = true,
    subcommand_value_name = "COMMAND"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    /// The arguments of `run`, where no command is named.
    #[command(flatten)]
    pub(crate) run: RunArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a program, a module or component (the default where no command is named)
    #[command(override_usage = RUN_USAGE, after_help = EXAMPLES, arg_required_else_help = true)]
    Run(Box<RunArgs>),
    /// Answer requests of HTTP by a program, an instance of it for each
    Serve(Box<ServeArgs>),
    /// Compile a module or component ahead of time, for this inn on this kind of processor
    Compile(CompileArgs),
    /// Make one component of several: what plugs export is given to the program that imports it
    Compose(ComposeArgs),
    /// Show, fill or empty the cache of compiled code
    Cache(CacheArgs),
    /// Finish changes that `--cow-changes apply` has left half made
    Cow(CowArgs),
    /// Show what a module needs and offers, and which keys that suggests
    Inspect(InspectArgs),
    /// Check that a module is valid
    Validate(ValidateArgs),
    /// Show what the compiler makes of a module or component: one page of HTML with wasm, intermediate representation and machine code side by side
    Explore(ExploreArgs),
    /// Run a recorded program again, without access to anything, and compare each call
    ///
    /// What the guest wrote to standard output and standard error is printed as it was, also where it went to a file or nowhere then; whether it did all as
    /// recorded is said on standard error. The exit code is 0 if it did, whatever the guest's own was, and 1 if not, or where the record is damaged.
    Replay(ReplayArgs),
    /// Check policies, and learn them from runs
    Policy(PolicyArgs),
    /// Run script files in the format of the specification's test suite
    Wast(WastArgs),
    /// Print a completion script for a shell, or the man page
    Completion(CompletionArgs),
    /// Print the version
    Version,
}

/// The words that name a command where a program could stand.
const COMMANDS: &[&str] = &[
    "run",
    "serve",
    "compile",
    "compose",
    "cache",
    "cow",
    "inspect",
    "validate",
    "explore",
    "replay",
    "policy",
    "wast",
    "completion",
    "version",
    "help",
];

impl Command {
    /// Reads a command line, the name of `inn` first.
    ///
    /// Most of them run a program. To define what all commands take is a good part of a small program's start, so that what `run` takes is tried alone first. What that does
    /// not understand is read once more, with all that messages need to know.
    ///
    /// # Errors
    /// What [`Parser::try_parse_from`] says of the line.
    pub(crate) fn read(line: &[OsString]) -> Result<Command, clap::Error> {
        if let Some(run) = Command::read_run(line) {
            return Ok(run);
        }
        let cli = Cli::try_parse_from(line)?;
        Ok(cli.command.unwrap_or_else(|| Command::Run(Box::new(cli.run))))
    }

    /// Reads a command line that runs a program. `None` where it does something else, or is mistaken.
    fn read_run(line: &[OsString]) -> Option<Command> {
        let rest = line.get(1..)?;
        let is_named = rest.first()? == "run";
        let definition = RunArgs::augment_args(clap::Command::new("inn"));
        let matches = definition.try_get_matches_from(if is_named { rest } else { line }).ok()?;
        let run = RunArgs::from_arg_matches(&matches).ok()?;
        let is_command = COMMANDS.iter().any(|&command| run.file() == command);
        (is_named || !is_command).then(|| Command::Run(Box::new(run)))
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, ValueHint};

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    /// Words that a value has around its path.
    fn around(flag: &str) -> (&'static str, &'static str) {
        match flag {
            "dir" => ("", "::/guest::ro"),
            "mapdir" => ("/guest::", ""),
            "static" => ("/path=", ""),
            "stdin" | "stdout" | "stderr" => ("file:", ""),
            "cow-changes" => ("tar=", ""),
            _ => ("", ""),
        }
    }

    /// Everything that takes a value says of itself whether that is a path, so that a new flag cannot be forgotten.
    #[test]
    fn paths_of_the_host_are_any_bytes() {
        use std::os::unix::ffi::OsStringExt;
        const NO_PATHS: &[&str] = &[
            "access-log",
            "admin",
            "body-time",
            "drain",
            "header-time",
            "idle-time",
            "linger-time",
            "max-body",
            "max-connections",
            "max-connections-per-peer",
            "max-header",
            "max-queue",
            "max-requests",
            "max-streams",
            "min-rate",
            "queue-time",
            "adapters",
            "argv0",
            "budget",
            "clocks",
            "compile-after",
            "deterministic",
            "env",
            "function",
            "functions",
            "invoke",
            "listen",
            "net",
            "http",
            "max-cow",
            "max-cpu",
            "max-handles",
            "max-memory",
            "max-threads",
            "max-written",
            "random",
            "form",
            "features",
            "fuel",
            "command",
            "tier",
            "timeout",
            "tmp",
            "trace",
        ];
        let mut paths = 0;
        let mut todo = vec![(vec![String::from("inn")], Cli::command())];
        while let Some((line, command)) = todo.pop() {
            for sub in command.get_subcommands() {
                let line = line.iter().cloned().chain([sub.get_name().to_owned()]).collect();
                todo.push((line, sub.clone()));
            }
            for argument in command.get_arguments().filter(|argument| argument.get_action().takes_values()) {
                let name = argument.get_long().unwrap_or(argument.get_id().as_str());
                if NO_PATHS.contains(&name) {
                    assert_eq!(argument.get_value_hint(), ValueHint::Unknown, "{line:?} {name}");
                    continue;
                }
                let hint = argument.get_value_hint();
                let is_path = matches!(hint, ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath);
                assert!(is_path, "{line:?} {name}: is it a path?");
                let (before, after) = around(name);
                let value = OsString::from_vec([before.as_bytes(), b"p\xff", after.as_bytes()].concat());
                let values = argument.get_value_parser().clone();
                let alone = clap::Command::new("x")
                    .no_binary_name(true)
                    .arg(clap::Arg::new("v").value_parser(values));
                assert!(alone.try_get_matches_from([value]).is_ok(), "{line:?} {name}");
                paths += 1;
            }
        }
        assert!(paths > 20, "{paths}");
    }

    #[test]
    fn everything_after_the_file_is_the_guests() {
        for guest in [
            vec!["--help"],
            vec!["run", "inspect"],
            vec!["--dir", "x"],
            vec!["--", "-x"],
            vec!["-V", "a b", ""],
        ] {
            for command in
                [vec!["inn"], vec!["inn", "run"], vec!["inn", "--dir", "."], vec!["inn", "run", "--explain"]]
            {
                let line: Vec<&str> =
                    command.iter().copied().chain(["app.wasm"]).chain(guest.iter().copied()).collect();
                let cli = Cli::try_parse_from(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
                let run = match &cli.command {
                    None => &cli.run,
                    Some(Command::Run(run)) => run,
                    Some(other) => panic!("{line:?}: {other:?}"),
                };
                assert_eq!(run.file(), "app.wasm", "{line:?}");
                assert_eq!(run.guest_args(), guest, "{line:?}");
            }
        }
    }

    #[test]
    fn a_file_named_like_a_command_is_run_by_run() {
        let cli = Cli::try_parse_from(["inn", "run", "inspect"]).unwrap();
        assert!(matches!(cli.command, Some(Command::Run(run)) if run.file() == "inspect"));
    }

    #[test]
    fn every_command_is_known_by_its_name() {
        let mut command = Cli::command();
        command.build();
        let names = command.get_subcommands().flat_map(|command| command.get_name_and_visible_aliases());
        let names: std::collections::BTreeSet<&str> = names.collect();
        assert_eq!(names, COMMANDS.iter().copied().collect());
        assert!(command.get_subcommands().all(|command| command.get_all_aliases().next().is_none()));
    }

    /// Reading what `run` takes alone says what reading everything says, or leaves it to that.
    #[test]
    fn a_line_that_runs_a_program_is_read_as_by_the_whole_definition() {
        let flags: [&[&str]; 9] = [
            &[],
            &["--dir", "."],
            &["--dir=a::/b::ro", "--env", "A=b", "--env", "C"],
            &["--timeout", "5s", "--trace"],
            &["--no-such-flag"],
            &["--timeout", "never"],
            &["--cache"],
            &["-h"],
            &["-V"],
        ];
        let files = COMMANDS.iter().copied().chain(["app.wasm", "-", "--", "hel", ""]);
        let (mut alone, mut whole, mut mistaken) = (0, 0, 0);
        for file in files {
            for command in [None, Some("run")] {
                for flags in flags {
                    for rest in [&[][..], &["a", "--dir", "x"], &["--", "run"], &["--help"]] {
                        let line: Vec<OsString> = ["inn"]
                            .into_iter()
                            .chain(command)
                            .chain(flags.iter().copied())
                            .chain([file])
                            .chain(rest.iter().copied())
                            .map(OsString::from)
                            .collect();
                        let by_whole = Cli::try_parse_from(&line)
                            .map(|cli| cli.command.unwrap_or_else(|| Command::Run(Box::new(cli.run))));
                        alone += u32::from(Command::read_run(&line).is_some());
                        match (Command::read(&line), by_whole) {
                            (Ok(read), Ok(by_whole)) => {
                                whole += 1;
                                assert_eq!(format!("{read:?}"), format!("{by_whole:?}"), "{line:?}");
                            }
                            (Err(read), Err(by_whole)) => {
                                mistaken += 1;
                                assert_eq!(read.to_string(), by_whole.to_string(), "{line:?}");
                            }
                            (read, by_whole) => panic!("{line:?}: {read:?}, {by_whole:?}"),
                        }
                    }
                }
            }
        }
        assert!(alone > 300 && whole > alone && mistaken > 100, "{alone} {whole} {mistaken}");
    }

    #[test]
    fn flags_do_not_mix_with_other_commands() {
        assert!(Cli::try_parse_from(["inn", "inspect", "--dir", ".", "app.wasm"]).is_err());
        assert!(Cli::try_parse_from(["inn", "--no-such-flag", "app.wasm"]).is_err());
        assert!(Cli::try_parse_from(["inn", "run"]).is_err());
    }
}
