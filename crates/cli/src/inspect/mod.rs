//! `inn inspect`: what a module or component needs and offers, and which keys that suggests.
//!
//! Everything is found out once, as an [`Inspection`]; `text` prints it for people, and as JSON it is what it is. docs/inspect.md describes that.

mod binary;
mod component;
mod component_parts;
mod facts;
mod provider;
mod text;
mod wit;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Args, ValueHint};

use crate::input::Input;
use crate::report::{self, Problem, visible};
use crate::work::WorkFlags;

pub(crate) use provider::{Provider, provider, type_in_wasi};
pub(crate) use wit::is_printing as is_printing_wit;

use component::ComponentInspection;
use facts::Inspection;

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// The module or component, .wasm or .wat, or - for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: OsString,

    /// Print it as JSON, whose layout docs/inspect.md describes
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) work: WorkFlags,
}

/// Prints what there is to say of a module or component.
pub(crate) fn inspect(args: &InspectArgs) -> Result<ExitCode, Problem> {
    args.work.watch()?;
    let mut input = Input::read(&args.file)?;
    if input.is_component() {
        let engine = innkeeper::engine(args.work.config());
        let inspection = ComponentInspection::of(&input, &engine)?;
        report::output(&if args.json { json(&inspection)? } else { inspection.text() })?;
        return Ok(ExitCode::SUCCESS);
    }
    let parts = binary::parts(&input.bytes);
    let engine = innkeeper::engine(args.work.config());
    let module = input.module(&engine)?;
    let inspection = Inspection::of(&input.name, parts, &module);
    report::output(&if args.json { json(&inspection)? } else { text::text(&inspection) })?;
    Ok(ExitCode::SUCCESS)
}

/// An inspection as JSON, fit to show on a terminal: whatever could drive that is escaped, which only what is within strings needs.
fn json(inspection: &impl serde::Serialize) -> Result<String, Problem> {
    let plain = serde_json::to_string_pretty(inspection).map_err(Problem::from_message)?;
    let mut json = String::with_capacity(plain.len() + 1);
    for character in plain.chars() {
        let mut utf8 = [0; 4];
        if character == '\n'
            || character == '\\'
            || visible(character.encode_utf8(&mut utf8)).chars().count() == 1
        {
            json.push(character);
        } else {
            character.encode_utf16(&mut [0; 2]).iter().for_each(|unit| json += &format!("\\u{unit:04x}"));
        }
    }
    json.push('\n');
    Ok(json)
}
