//! `inn validate`: is the module or component valid?

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, ValueHint};
use innkeeper::Module;
use innkeeper::component::{Component, Features};

use crate::input::Input;
use crate::report::{self, Problem};
use crate::work::WorkFlags;

#[derive(Debug, Args)]
pub(crate) struct ValidateArgs {
    /// The module or component, .wasm or .wat, or - for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: OsString,

    #[command(flatten)]
    pub(crate) work: WorkFlags,
}

pub(crate) fn validate(args: &ValidateArgs) -> Result<ExitCode, Problem> {
    args.work.watch()?;
    let input = Input::read(&args.file)?;
    let engine = innkeeper::engine(args.work.config());
    let checked = match input.is_component() {
        true => Component::validate(&engine, &input.bytes, Features::default()),
        false => Module::validate(&engine, &input.bytes),
    };
    checked.map_err(|error| input.problem(&error))?;
    report::output(&format!("{}: valid\n", input.name))?;
    Ok(ExitCode::SUCCESS)
}
