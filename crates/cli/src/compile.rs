//! `inn compile`: a module's machine code, made ahead of time, in one file with the module.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use innkeeper::{Census, Config, Module, Tiers};

use crate::args::CompileArgs;
use crate::cache::{compiled, size};
use crate::input::Input;
use crate::report::{self, Problem};

/// What names of such files end with.
const EXTENSION: &str = "cwasm";

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
    // Whoever reads it sees the whole file or none.
    let partial = output.with_extension(format!("{EXTENSION}-{}", std::process::id()));
    let written = write(&module, &partial).and_then(|census| {
        let bytes = fs::metadata(&partial)?.len();
        fs::rename(&partial, &output)?;
        Ok((census, bytes))
    });
    let name = output.to_string_lossy();
    let (census, bytes) = written.map_err(|error| {
        let _ = fs::remove_file(&partial);
        Problem::new(&name, error).help("check that the directory is there and has room")
    })?;
    report::output(&format!("{name}: {}, {}", size(bytes), compiled(&census)))?;
    Ok(ExitCode::SUCCESS)
}

fn write(module: &Module, path: &Path) -> Result<Census, innkeeper::PrecompiledError> {
    let mut to = BufWriter::new(File::create_new(path)?);
    let progress = report::Progress::new("compiling functions");
    let census = innkeeper::precompile(module, &mut to, &|done, of| progress.tell(done, of));
    progress.finish();
    to.flush()?;
    census
}
