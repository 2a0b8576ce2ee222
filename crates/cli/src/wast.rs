//! `inn wast`: runs script files, and prints every directive that does not hold and a closing count.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use innkeeper::Config;

use crate::args::FilesArgs;
use crate::report::{self, Problem, visible};

/// Runs the scripts, each in a store of its own.
pub(crate) fn wast(args: &FilesArgs) -> Result<ExitCode, Problem> {
    args.work.watch()?;
    let engine = innkeeper::engine(Config::default());
    let (mut passed, mut failed) = (0, 0);
    for file in &args.files {
        let name = visible(&file.to_string_lossy());
        let text = std::fs::read_to_string(Path::new(file)).map_err(|error| Problem::new(&name, error))?;
        let outcome = innkeeper_wast::run(&engine, &text);
        passed += outcome.passed;
        failed += outcome.failures.len();
        let mut lines = String::new();
        for failure in &outcome.failures {
            // Writing to a string does not fail.
            let _ = writeln!(lines, "{name}:{}: {}", failure.line, visible(&failure.message));
        }
        report::output(&lines)?;
    }
    report::output(&format!("{passed} passed, {failed} failed\n"))?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
