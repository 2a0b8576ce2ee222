//! `inn compose`: one component of several, in which what some export is given to others.
//!
//! All of them are nested in the new one as they are. Each is instantiated once: what it imports and one before it exports is given to it, and the rest is imported by the new component,
//! under the name and with all that any of them wants of it. What the program exports is exported; what is in the plugs besides what is taken of them is not seen any more.
//!
//! Must stay true: what is written is valid, which is checked before it is.

mod imports;
mod types;

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueHint};
use innkeeper::component::{Component, NameMap};
use wasm_encoder::{ComponentBuilder, ComponentExportKind};
use wasmparser::component_types::{ComponentEntityType, ComponentType};
use wasmparser::types::TypesRef;
use wasmparser::{Parser, Payload, ValidPayload, Validator, WasmFeatures};

use imports::Imports;

use crate::cache::size;
use crate::input::Input;
use crate::output::{Document, written_to};
use crate::report::{Problem, short};
use crate::work::WorkFlags;
use crate::writable::Writable;

#[derive(Debug, Args)]
pub(crate) struct ComposeArgs {
    /// The component that imports what others export, .wasm or .wat, or - for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: OsString,

    /// Give what this component exports to FILE and to the plugs after it, under the same names in compatible versions; repeatable
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, required = true)]
    pub(crate) plug: Vec<OsString>,

    /// The file to write, or - for standard output
    #[arg(short, long, value_name = "FILE.wasm", value_hint = ValueHint::FilePath, required = true)]
    pub(crate) output: PathBuf,

    #[command(flatten)]
    pub(crate) work: WorkFlags,
}

/// A component that becomes a part of another.
struct Part<'t> {
    name: String,
    bytes: &'t [u8],
    ty: &'t ComponentType,
}

impl Part<'_> {
    /// What it is called in the new component, where backtraces find it: by its file, wherever that was.
    fn stem(&self) -> String {
        let stem = Path::new(&self.name).file_stem().unwrap_or(self.name.as_ref());
        stem.to_string_lossy().into_owned()
    }
}

/// Composes what the command line names.
pub(crate) fn compose(args: &ComposeArgs) -> Result<ExitCode, Problem> {
    args.work.watch()?;
    // The program is the last: it is given what all others export.
    let files: Vec<&OsString> = args.plug.iter().chain([&args.file]).collect();
    let inputs = files.iter().map(|file| read(file)).collect::<Result<Vec<Input>, Problem>>()?;
    let file = Document::open(&args.output, &Writable::by_no_guest(files))?;
    let composed = composed(&inputs)?;
    let engine = innkeeper::engine(args.work.config());
    Component::validate(&engine, &composed, innkeeper::component::Features::default()).map_err(|error| {
        let name = inputs.last().map_or("", |input| input.name.as_str());
        Problem::new(name, format!("it cannot be composed of these: {error}"))
            .help("what a plug exports has to be of the type that is imported; `inn inspect` shows both")
    })?;
    let count = inputs.len();
    let closing =
        format!("{}: {count} components, {}\n", written_to(&args.output), size(composed.len() as u64));
    file.write(&composed, &closing)?;
    Ok(ExitCode::SUCCESS)
}

fn read(file: &OsString) -> Result<Input, Problem> {
    let input = Input::read(file)?;
    if !input.is_component() {
        return Err(Problem::new(&input.name, "it is a module, and only components are composed")
            .help("make a component of it, or build it as one")
            .mistake());
    }
    Ok(input)
}

/// The new component.
fn composed(inputs: &[Input]) -> Result<Vec<u8>, Problem> {
    // All types are known to one validator where the components are in one.
    let mut nest = ComponentBuilder::default();
    for input in inputs {
        nest.component_raw(None, &input.bytes);
    }
    let nest = nest.finish();
    let mut outermost = None;
    let mut validator = Validator::new_with_features(WasmFeatures::all());
    for payload in Parser::new(0).parse_all(&nest) {
        let payload = payload.map_err(|error| invalid(inputs, &error))?;
        // Bodies of functions are validated with the result.
        if let ValidPayload::End(types) =
            validator.payload(&payload).map_err(|error| invalid(inputs, &error))?
            && let Payload::End(_) = payload
        {
            outermost = Some(types);
        }
    }
    let types = outermost.ok_or_else(|| Problem::from_message("the components have no end"))?;
    let types = types.as_ref();
    let parts: Vec<Part<'_>> = (0..)
        .zip(inputs)
        .map(|(index, input)| Part {
            name: input.name.clone(),
            bytes: &input.bytes,
            ty: &types[types.component_at(index)],
        })
        .collect();
    Composition::of(&parts, types)?.finish(&parts)
}

/// Which of the components it is about cannot be told by the offset, so that each is tried.
fn invalid(inputs: &[Input], error: &wasmparser::BinaryReaderError) -> Problem {
    let is_invalid = |input: &&Input| {
        Validator::new_with_features(WasmFeatures::all()).validate_all(&input.bytes).is_err()
    };
    let name = inputs.iter().find(is_invalid).map_or("the components", |input| input.name.as_str());
    Problem::new(name, format!("it is no valid component: {}", error.message()))
        .help("`inn validate` says where it breaks the rules")
}

/// What a component that is given something is given: by whom, and under which name that has it.
struct Given {
    plug: usize,
    name: String,
}

/// Who gives what to whom.
struct Composition<'t> {
    types: TypesRef<'t>,
    /// For each part what it is given, by the names of its imports.
    given: Vec<HashMap<String, Given>>,
}

impl<'t> Composition<'t> {
    fn of(parts: &[Part<'_>], types: TypesRef<'t>) -> Result<Composition<'t>, Problem> {
        let mut offered: NameMap<Given> = NameMap::default();
        let mut given = Vec::with_capacity(parts.len());
        let mut takes: Vec<bool> = parts.iter().map(|_| false).collect();
        for (plug, part) in parts.iter().enumerate() {
            let mut of_part = HashMap::new();
            for name in part.ty.imports.keys() {
                if let Some(Given { plug, name: exported }) = offered.get(name) {
                    takes[*plug] = true;
                    of_part.insert(name.clone(), Given { plug: *plug, name: exported.clone() });
                }
            }
            given.push(of_part);
            for name in part.ty.exports.keys() {
                offered.insert(name, Given { plug, name: name.clone() });
            }
        }
        let plugs = parts.len() - 1;
        if let Some(unused) = takes[..plugs].iter().position(|takes| !takes) {
            return Err(crate::plug::unused(&parts[unused].name));
        }
        Ok(Composition { types, given })
    }

    fn finish(&self, parts: &[Part<'_>]) -> Result<Vec<u8>, Problem> {
        let mut builder = ComponentBuilder::default();
        let mut imports = Imports::default();
        for (part, given) in parts.iter().zip(&self.given) {
            let wanted = part.ty.imports.iter().filter(|(name, _)| !given.contains_key(*name));
            imports.note(&part.name, wanted.map(|(name, item)| (name.as_str(), item.ty)));
        }
        let imported = imports.encode(&mut builder, self.types)?;
        let mut instances: Vec<u32> = Vec::with_capacity(parts.len());
        for (part, given) in parts.iter().zip(&self.given) {
            let name = part.stem();
            let component = builder.component_raw(Some(&name), part.bytes);
            let mut args = Vec::new();
            for (name, item) in &part.ty.imports {
                let index = match given.get(name) {
                    Some(Given { plug, name }) => builder.alias_export(instances[*plug], name, kind(item.ty)),
                    None => imported[name.as_str()],
                };
                args.push((name.as_str(), kind(item.ty), index));
            }
            instances.push(builder.instantiate(Some(&name), component, args));
        }
        if let (Some(program), Some(instance)) = (parts.last(), instances.last()) {
            for (name, item) in &program.ty.exports {
                let index = builder.alias_export(*instance, name, kind(item.ty));
                builder.export(name.as_str(), kind(item.ty), index, None);
            }
        }
        builder.append_names();
        Ok(builder.finish())
    }
}

fn kind(ty: ComponentEntityType) -> ComponentExportKind {
    match ty {
        ComponentEntityType::Module(_) => ComponentExportKind::Module,
        ComponentEntityType::Func(_) => ComponentExportKind::Func,
        ComponentEntityType::Value(_) => ComponentExportKind::Value,
        ComponentEntityType::Type { .. } => ComponentExportKind::Type,
        ComponentEntityType::Instance(_) => ComponentExportKind::Instance,
        ComponentEntityType::Component(_) => ComponentExportKind::Component,
    }
}

/// That something cannot be imported by the new component.
fn unimportable(component: &str, name: &str, what: &str) -> Problem {
    Problem::new(component, format!("it imports `{}`, {what}", short(name)))
        .help("plug in a component that exports it, or run the parts together: inn --plug")
}
