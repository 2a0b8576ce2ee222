//! `inn compile`: a module's machine code, made ahead of time, in one file with the module.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueHint};
use innkeeper::{Config, Tiers};

use crate::cache::{compiled, size};
use crate::input::Input;
use crate::output::Output;
use crate::report::{self, Problem, visible};
use crate::writable::Writable;

/// What names of such files end with.
const EXTENSION: &str = "cwasm";

#[derive(Debug, Args)]
pub(crate) struct CompileArgs {
    /// The module, .wasm or .wat, or - for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: OsString,
    /// The file to write, instead of FILE with the ending .cwasm
    #[arg(short, long, alias = "to", value_name = "FILE.cwasm", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<OsString>,
}

/// Compiles what the command line names.
pub(crate) fn compile(args: &CompileArgs) -> Result<ExitCode, Problem> {
    let output = match &args.output {
        Some(output) => PathBuf::from(output),
        None if args.file == "-" => {
            return Err(Problem::new("standard input", "has no name to make the output's from")
                .help(format!("name the output, -o NAME.{EXTENSION}")));
        }
        None => Path::new(&args.file).with_extension(EXTENSION),
    };
    let mut input = Input::read(&args.file)?;
    let engine = innkeeper::engine_with(Config::default(), Tiers::Auto);
    let module = input.module(&engine)?;
    let mut bytes = 0;
    let file = Output::open(&output, &Writable::by_no_guest([&args.file]))?;
    let statistics = file.write(|to| {
        let progress = report::Progress::new("compiling functions");
        let mut counted = Counted { to, bytes: 0 };
        let statistics = innkeeper::precompile(&module, &mut counted, &|done, of| progress.tell(done, of));
        progress.finish();
        bytes = counted.bytes;
        statistics
    })?;
    let name = visible(&output.to_string_lossy());
    report::output(&format!("{name}: {}, {}", size(bytes), compiled(&statistics)))?;
    Ok(ExitCode::SUCCESS)
}

/// A writer that knows how much went through.
struct Counted<'a> {
    to: &'a mut dyn Write,
    bytes: u64,
}

impl Write for Counted<'_> {
    fn write(&mut self, part: &[u8]) -> io::Result<usize> {
        let written = self.to.write(part)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
