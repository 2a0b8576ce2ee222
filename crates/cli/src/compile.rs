//! `inn compile`: a module's or component's machine code, made ahead of time, in one file with it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueHint};
use innkeeper::Tiers;

use crate::cache::{compiled, size};
use crate::input::Input;
use crate::output::{Document, written_to};
use crate::report::{self, Problem};
use crate::work::WorkFlags;
use crate::writable::Writable;

/// What names of such files end with.
const EXTENSION: &str = "cwasm";

#[derive(Debug, Args)]
pub(crate) struct CompileArgs {
    /// The module or component, .wasm or .wat, or - for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: OsString,
    /// The file to write, instead of FILE with the ending .cwasm, or - for standard output
    #[arg(short, long, alias = "to", value_name = "FILE.cwasm", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<OsString>,

    #[command(flatten)]
    pub(crate) work: WorkFlags,
}

/// Compiles what the command line names.
pub(crate) fn compile(args: &CompileArgs) -> Result<ExitCode, Problem> {
    let output = match &args.output {
        Some(output) => PathBuf::from(output),
        None if args.file == "-" => {
            return Err(Problem::new("standard input", "has no name to make the output's from")
                .help(format!("name the output, -o NAME.{EXTENSION}, or - for standard output")));
        }
        None => Path::new(&args.file).with_extension(EXTENSION),
    };
    args.work.watch()?;
    let mut input = Input::read(&args.file)?;
    let engine = innkeeper::engine_with(args.work.config(), Tiers::Auto);
    let code = input.code(&engine)?;
    let file = Document::open(&output, &Writable::by_no_guest([&args.file]))?;
    let progress = report::Progress::new("compiling functions");
    // Written when it is done: whoever ends the command before leaves nothing.
    let mut made = Vec::new();
    let statistics = innkeeper::precompile(code.compilable(), &mut made, &|done, of| progress.tell(done, of));
    progress.finish();
    let statistics = statistics.map_err(|error| Problem::new(&input.name, error))?;
    let closing = format!("{}: {}, {}", written_to(&output), size(made.len() as u64), compiled(&statistics));
    file.write(&made, &closing)?;
    Ok(ExitCode::SUCCESS)
}
