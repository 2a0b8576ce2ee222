//! `--plug`: components whose exports are given to the one that runs.
//!
//! Each is an instance of its own in the same store, with the same keys; it is given what those before it export. What it imports and nobody provides fails when it is called, as with the program.

use std::path::Path;

use innkeeper::component::{Component, Linker, NameMap};
use innkeeper::wasi::p2::Context;
use innkeeper::{Engine, Error, Store};

use crate::flags::RunArgs;
use crate::input::{Input, ModuleFile};
use crate::report::Problem;
use crate::writable::Writable;

/// A component that is plugged in.
pub(crate) struct Plug {
    /// What its file is called, without the folder.
    pub(crate) name: String,
    pub(crate) component: Component,
    /// What it was read from.
    pub(crate) source: Option<ModuleFile>,
}

impl Plug {
    /// Reads all that the command line names.
    pub(crate) fn all(args: &RunArgs, engine: &Engine, writable: &Writable) -> Result<Vec<Plug>, Problem> {
        let plugs = args.plug.iter().map(|path| {
            writable.warn_of_input(Path::new(path), "the plug");
            let mut input = Input::read(path)?;
            if !input.is_component() {
                let problem = Problem::new(
                    format!("--plug {}", input.name),
                    "it is a module, and plugs are components",
                );
                return Err(problem.help("make a component of it, or build it as one").mistake());
            }
            let component = input.component(engine)?;
            if component.exported_funcs().is_empty() {
                let problem = Problem::new(format!("--plug {}", input.name), "it exports no function");
                return Err(problem.help("`inn inspect` lists what it exports, and what the program imports"));
            }
            let name = Path::new(path).file_name().unwrap_or(path);
            let name = name.to_string_lossy().into_owned();
            Ok(Plug { name, component, source: input.source.take() })
        });
        plugs.collect()
    }

    /// Refuses plugs that export nothing of what is imported by those after them.
    pub(crate) fn refuse_unused(plugs: &[Plug], program: &Component) -> Result<(), Problem> {
        for (number, plug) in plugs.iter().enumerate() {
            let mut exported = NameMap::default();
            for (name, _) in plug.component.exported_funcs() {
                exported.insert(name.split('#').next().unwrap_or(&name), ());
            }
            let later = plugs[number + 1..].iter().map(|plug| &plug.component).chain([program]);
            if !later.flat_map(Component::import_names).any(|name| exported.get(name).is_some()) {
                return Err(unused(&plug.name));
            }
        }
        Ok(())
    }

    /// Makes an instance, and gives what it exports to those that are linked after it.
    pub(crate) fn plug_in(
        &self,
        linker: &mut Linker<Context>,
        store: &mut Store<Context>,
    ) -> Result<(), Error> {
        let mut own = linker.clone();
        own.define_unknown_imports_as_traps(&self.component)?;
        let instance = own.instantiate(&mut *store, &self.component)?;
        linker.define_exports(store, instance)
    }
}

/// That nobody imports what a plug exports.
pub(crate) fn unused(name: &str) -> Problem {
    Problem::new(format!("--plug {name}"), "nothing that it exports is imported by the components after it")
        .help("`inn inspect` lists what components import and export; plugs are given to those after them")
        .mistake()
}
