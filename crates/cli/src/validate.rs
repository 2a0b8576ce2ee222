//! `inn validate`: is the module valid?

use std::process::ExitCode;

use innkeeper::{Config, Module};

use crate::args::FileArgs;
use crate::input::Input;
use crate::report::{self, Problem};

pub(crate) fn validate(args: &FileArgs) -> Result<ExitCode, Problem> {
    args.work.watch()?;
    let input = Input::read(&args.file)?;
    let engine = innkeeper::engine(Config::default());
    Module::validate(&engine, &input.bytes).map_err(|error| input.problem(&error))?;
    report::output(&format!("{}: valid\n", input.name))?;
    Ok(ExitCode::SUCCESS)
}
