//! `inn completion`: a script that teaches a shell the command line.

use std::process::ExitCode;

use clap::CommandFactory;

use crate::args::{Cli, CompletionArgs};
use crate::report::{self, Problem};

pub(crate) fn completion(args: &CompletionArgs) -> Result<ExitCode, Problem> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "inn", &mut script);
    report::output(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
