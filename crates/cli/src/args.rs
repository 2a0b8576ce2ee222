//! The command line: commands, flags and their help texts.
//!
//! Must stay true: flags stand before FILE, and everything after FILE belongs to the guest, also what looks like a flag or a
//! command of `inn`. What a flag's value means is in [`crate::values`] and [`crate::invoke`].

use std::ffi::{OsStr, OsString};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::styling::AnsiColor;
use clap::builder::{OsStringValueParser, Styles, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use innkeeper::Tiers;
use innkeeper::wasi::keys::parse_duration;

use crate::flags::{KeyFlags, ReportFlags};
use crate::values::{CacheFlag, FeaturesFlag, parse_positive};
use crate::work::WorkFlags;

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
  inn inspect app.wasm                     what a program needs and offers
  inn compile app.wasm                     app.cwasm, for inn --allow-precompiled app.cwasm

Flags stand before FILE; everything after FILE belongs to the guest.
A program that is named like a command is run with `inn run NAME` or `inn ./NAME`.

Exit codes:
  the guest's own, of which the system keeps the low 8 bits
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
    /// Run a program (the default where no command is named)
    #[command(override_usage = RUN_USAGE, after_help = EXAMPLES, arg_required_else_help = true)]
    Run(Box<RunArgs>),
    /// Compile a module ahead of time, for this inn on this kind of processor
    Compile(CompileArgs),
    /// Show, fill or empty the cache of compiled code
    Cache(CacheArgs),
    /// Finish changes that `--cow-changes apply` has left half made
    Cow(CowArgs),
    /// Show what a module needs and offers, and which keys that suggests
    Inspect(InspectArgs),
    /// Check that a module is valid
    Validate(FileArgs),
    /// Show what the compiler makes of a module: one page of HTML with wasm, intermediate representation and machine code side by side
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

/// What `inn run` takes.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The program, .wasm or .wat, or - for standard input; what follows is the guest's
    #[arg(value_names = ["FILE", "ARGS"], num_args = 1.., required = true, trailing_var_arg = true, value_hint = ValueHint::AnyPath)]
    program: Vec<OsString>,

    #[command(flatten)]
    pub(crate) keys: KeyFlags,

    /// What the guest sees as its own name, instead of FILE's
    #[arg(long, value_name = "NAME", help_heading = "Guest")]
    pub(crate) argv0: Option<String>,

    /// Call this exported function instead of `_start`, with ARGS as its arguments, and print its results
    ///
    /// Integers are decimal or 0x-hexadecimal, floats decimal, `inf` or `nan`. Where the module is a reactor, its `_initialize`
    /// is called first.
    #[arg(long, value_name = "NAME", help_heading = "Guest")]
    pub(crate) invoke: Option<String>,

    /// Parts of WebAssembly that the module may use: -NAME switches one off, NAME one on, mvp all off; separated by commas
    ///
    /// Everything is on at first. The names are those of the proposals: mutable-global, saturating-float-to-int, sign-extension, multi-value, bulk-memory,
    /// reference-types, simd, relaxed-simd, extended-const, tail-call, exception-handling, legacy-exceptions, function-references, multi-memory, memory64,
    /// gc, threads, custom-page-sizes, wide-arithmetic.
    #[arg(long, value_name = "[-]NAME,...", help_heading = "Execution", value_parser = FeaturesFlag::parse, allow_hyphen_values = true)]
    pub(crate) features: Option<FeaturesFlag>,

    /// What executes the guest
    #[arg(long, value_name = "TIER", help_heading = "Execution", value_enum, default_value_t = Tier::Auto)]
    pub(crate) tier: Tier,

    /// Where compiled code is kept from run to run: a directory, or off
    ///
    /// Usually that is `innkeeper` among the user's cached files. It cannot be in a directory that the guest is granted; that the usual one is not
    /// used for that reason is said once. With `--tier interpreter` there is none.
    #[arg(long, value_name = "DIR|off", help_heading = "Execution", value_parser = OsStringValueParser::new().try_map(CacheFlag::parse), value_hint = ValueHint::DirPath)]
    pub(crate) cache: Option<CacheFlag>,

    /// Whether functions that were called and are still interpreted at the end are compiled for the next run
    ///
    /// With `auto`, a run in which that took its time leaves a process behind: of the lowest priority, out of sight of terminal and guest, one at a time in a
    /// cache. It takes at most twice the processor time of the run, or a minute after runs of a quarter of a second or more, and what is left is for the process
    /// after the next run. Nothing waits for it. `inn cache fill --called` does the same at once. There is none with
    /// `--cache off`, --record or --deterministic.
    #[arg(long, value_name = "WHEN", help_heading = "Execution", value_enum, default_value_t = CompileAfter::Auto)]
    pub(crate) compile_after: CompileAfter,

    /// Let FILE be one that `inn compile` made, whose machine code is executed as it is: for files that you trust like inn itself
    #[arg(long, help_heading = "Execution")]
    pub(crate) allow_precompiled: bool,

    #[command(flatten)]
    pub(crate) reports: ReportFlags,
}

/// Whether a run leaves a process behind that compiles for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompileAfter {
    /// If much was interpreted
    Auto,
    /// Never
    Off,
}

/// What executes a guest.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Tier {
    /// Start in the interpreter and compile what gets hot, in the background
    Auto,
    /// The interpreter alone
    Interpreter,
    /// Compile every function first
    Compiled,
}

impl From<Tier> for Tiers {
    fn from(tier: Tier) -> Tiers {
        match tier {
            Tier::Auto => Tiers::Auto,
            Tier::Interpreter => Tiers::Interpreter,
            Tier::Compiled => Tiers::Compiled,
        }
    }
}

impl RunArgs {
    /// The path of the module, or `-`.
    pub(crate) fn file(&self) -> &OsStr {
        self.program.first().map_or(OsStr::new(""), OsString::as_os_str)
    }

    /// The guest's own arguments.
    pub(crate) fn guest_args(&self) -> &[OsString] {
        self.program.get(1..).unwrap_or_default()
    }
}

#[derive(Debug, Args)]
pub(crate) struct FileArgs {
    /// The module, .wasm or .wat, or - for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: OsString,

    #[command(flatten)]
    pub(crate) work: WorkFlags,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// The module, .wasm or .wat, or - for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: OsString,

    /// Print it as JSON, whose layout docs/inspect.md describes
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) work: WorkFlags,
}

#[derive(Debug, Args)]
pub(crate) struct ExploreArgs {
    /// The module, .wasm or .wat
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: OsString,

    /// Show what was hot first, by the .folded file of a run with --profile
    #[arg(long, value_name = "FILE.folded", value_hint = ValueHint::FilePath)]
    pub(crate) profile: Option<OsString>,

    /// Show so many functions: the hottest, or else the largest (100; of a profile, those of them that took time)
    #[arg(long, value_name = "COUNT", value_parser = parse_positive)]
    pub(crate) functions: Option<NonZeroUsize>,

    /// Show the function of this name or index, or else those whose names have it in them; repeatable
    #[arg(long, value_name = "NAME")]
    pub(crate) function: Vec<String>,

    /// Where the page goes, instead of beside FILE
    #[arg(long, short = 'o', alias = "output", value_name = "FILE.html", value_hint = ValueHint::FilePath)]
    pub(crate) to: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) work: WorkFlags,
}

#[derive(Debug, Args)]
pub(crate) struct CompileArgs {
    /// The module, .wasm or .wat, or - for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: OsString,
    /// The file to write, instead of FILE with the ending .cwasm
    #[arg(short, long, alias = "to", value_name = "FILE.cwasm", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<OsString>,
}

#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct CacheArgs {
    #[command(subcommand)]
    pub(crate) command: CacheCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Say where the cache is and how much is in it
    Info {
        /// The directory, instead of the usual one
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        cache: Option<PathBuf>,
    },
    /// Compile functions of a module into the cache, so that its next run is as fast as any
    Fill {
        /// Only functions that earlier runs have called, those first that were called most often; not all that there are
        #[arg(long)]
        called: bool,
        /// As a run does it that leaves a process behind
        #[arg(long, hide = true, requires = "called")]
        background: bool,
        /// Milliseconds of processor time after which no further function is begun
        #[arg(long, hide = true, value_name = "MILLISECONDS")]
        budget: Option<u64>,
        /// Where the key of the cache is, for a process without a home directory
        #[arg(long, hide = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
        key: Option<PathBuf>,
        /// The module, .wasm or .wat, or - for standard input
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: OsString,
        /// The directory, instead of the usual one
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        cache: Option<PathBuf>,
    },
    /// Remove what is in the cache
    Clear {
        /// The directory, instead of the usual one
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        cache: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct CowArgs {
    #[command(subcommand)]
    pub(crate) command: CowCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CowCommand {
    /// Say what changes are unfinished
    List(UnfinishedArgs),
    /// Make the changes that were not made yet
    Resume(UnfinishedArgs),
    /// Take back the changes that were made
    Undo(UnfinishedArgs),
}

#[derive(Debug, Args)]
pub(crate) struct UnfinishedArgs {
    /// The directory that the changes are in
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) directory: PathBuf,

    /// Believe what was left there, also where this user's key has not sealed it
    ///
    /// Whoever has left it decides what is moved, overwritten and removed in DIR, except for the cache and its key. Needed where the key is another, where changes
    /// were made without a home directory, and where DIR was copied.
    #[arg(long)]
    pub(crate) trust: bool,

    /// Stop after this time, as in 10s; what is not done then can be done later
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// The record, as `inn --record` wrote it
    #[arg(value_name = "RECORD", value_hint = ValueHint::FilePath)]
    pub(crate) record: OsString,
    /// The module, if it is no longer where it was
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<OsString>,

    #[command(flatten)]
    pub(crate) work: WorkFlags,
}

#[derive(Debug, Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct PolicyArgs {
    #[command(subcommand)]
    pub(crate) command: PolicyCommand,
}

impl PolicyArgs {
    /// What a guest is run with, if one is.
    pub(crate) fn learns(&self) -> Option<&RunArgs> {
        match &self.command {
            PolicyCommand::Learn { run, .. } => Some(run),
            PolicyCommand::Check { .. } => None,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyCommand {
    /// Check that a policy says something that can be granted here
    Check {
        /// The policy
        #[arg(value_name = "FILE.toml", value_hint = ValueHint::FilePath)]
        file: OsString,
        #[command(flatten)]
        work: WorkFlags,
    },
    /// Run a program with the keys given, and write the least policy that covers what it used
    ///
    /// A policy that is there is extended, so that it covers several runs.
    #[command(override_usage = "inn policy learn --to FILE.toml [FLAGS] FILE [ARGS]...")]
    Learn {
        /// The policy to write or extend
        #[arg(long, short = 'o', alias = "output", value_name = "FILE.toml", value_hint = ValueHint::FilePath)]
        to: OsString,
        #[command(flatten)]
        run: Box<RunArgs>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct WastArgs {
    /// The scripts
    #[arg(value_name = "FILE", required = true, value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<OsString>,

    /// Parts of WebAssembly that the modules may use, as for `inn run`
    #[arg(long, value_name = "[-]NAME,...", value_parser = FeaturesFlag::parse, allow_hyphen_values = true)]
    pub(crate) features: Option<FeaturesFlag>,

    /// What executes the modules
    #[arg(long, value_name = "TIER", value_enum, default_value_t = Tier::Auto)]
    pub(crate) tier: Tier,

    #[command(flatten)]
    pub(crate) work: WorkFlags,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionArgs {
    /// The shell, or man for a man page in troff's format
    #[arg(value_name = "SHELL|man")]
    pub(crate) form: CompletionForm,
}

/// What `inn completion` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub(crate) enum CompletionForm {
    Bash,
    Elvish,
    Fish,
    PowerShell,
    Zsh,
    Man,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    /// Words that a value has around its path.
    fn around(flag: &str) -> (&'static str, &'static str) {
        match flag {
            "dir" => ("", "::/guest::ro"),
            "mapdir" => ("/guest::", ""),
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
    fn flags_do_not_mix_with_other_commands() {
        assert!(Cli::try_parse_from(["inn", "inspect", "--dir", ".", "app.wasm"]).is_err());
        assert!(Cli::try_parse_from(["inn", "--no-such-flag", "app.wasm"]).is_err());
        assert!(Cli::try_parse_from(["inn", "run"]).is_err());
    }
}
