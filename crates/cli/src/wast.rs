//! `inn wast`: runs script files, and prints every directive that does not hold and a closing count.
//!
//! A file that cannot be read is reported and the others are run nevertheless; it makes the command fail like a directive does.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, ValueEnum, ValueHint};

use crate::absent;
use crate::flags::Tier;
use crate::foreign;
use crate::input::check_room_for_text;
use crate::report::{self, Problem, visible};
use crate::values::FeaturesFlag;
use crate::work::WorkFlags;

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

    /// How components call each other
    #[arg(long, value_name = "ADAPTERS", value_enum, default_value_t = Adapters::Generated)]
    pub(crate) adapters: Adapters,

    #[command(flatten)]
    pub(crate) work: WorkFlags,
}

/// How values go from one component to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Adapters {
    /// By code that is generated for the types of each function
    Generated,
    /// By one walk over types, for comparison
    Walked,
}

/// Runs the scripts, each in a store of its own.
pub(crate) fn wast(args: &WastArgs) -> Result<ExitCode, Problem> {
    args.work.watch()?;
    let mut config = args.work.config();
    if let Some(features) = args.features {
        config.features = features.0;
    }
    config.tuning.adapters = match args.adapters {
        Adapters::Generated => innkeeper::Adapters::Generated,
        Adapters::Walked => innkeeper::Adapters::Walked,
    };
    let engine = innkeeper::engine_with(config, args.tier.into());
    let (mut passed, mut failed, mut unread) = (0, 0, 0);
    for file in &args.files {
        let name = visible(&file.to_string_lossy());
        let text = match std::fs::read_to_string(Path::new(file)) {
            Ok(text) => text,
            Err(error) => {
                report::problem(&unreadable(file, &name, &error));
                unread += 1;
                continue;
            }
        };
        if let Some((kind, mend)) =
            foreign::kind_by_start(text.as_bytes()).filter(|_| !text.trim_start().starts_with('('))
        {
            report::problem(&Problem::new(&name, format!("{kind}, and a script is text")).help(mend));
            unread += 1;
            continue;
        }
        if let Err(problem) = check_room_for_text(&name, text.len()) {
            report::problem(&problem);
            unread += 1;
            continue;
        }
        let outcome = innkeeper_wast::run(&engine, &text);
        passed += outcome.passed;
        failed += outcome.failures.len();
        let mut lines = String::new();
        for failure in &outcome.failures {
            // Writing to a string does not fail.
            let _ = writeln!(
                lines,
                "{name}:{}: {}",
                failure.line,
                visible(&failure.message.replace("Limits::memory_bytes", "--max-memory"))
            );
        }
        report::output(&lines)?;
    }
    let unreadable = if unread == 0 { String::new() } else { format!(", {unread} not readable") };
    report::output(&format!("{passed} passed, {failed} failed{unreadable}\n"))?;
    Ok(if failed + unread == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Why a script could not be read. What is no text may be another file that was meant for another command.
fn unreadable(path: &OsStr, name: &str, error: &io::Error) -> Problem {
    let kind = (error.kind() == io::ErrorKind::InvalidData).then(|| foreign::kind_of_file(Path::new(path)));
    match kind.flatten() {
        Some((kind, mend)) => Problem::new(name, format!("{kind}, and a script is text")).help(mend),
        None if path == "-" => Problem::new(name, "scripts are read from files, not from standard input")
            .help("write ./- for a file of that name, or /dev/stdin"),
        None if error.kind() == io::ErrorKind::NotFound => absent::unopened(path, "script", error),
        None => Problem::new(name, error).help("name a script: inn wast FILE.wast"),
    }
}
