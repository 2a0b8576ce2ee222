//! Names of the functions of a program, which is a module, or a component with all modules in it and in its plugs.
//!
//! Must stay true: two functions of a program never have the same name here, and a function has the same name in a profile as in a page about the program.

use innkeeper::component::Component;
use innkeeper::{Error, FrameInfo, FrameTier, FuncIndex, FunctionInfo, Module};

use crate::names::{self, Names};
use crate::report::short;

/// A module of a program.
pub(crate) struct Part {
    pub(crate) module: Module,
    /// What its functions' names begin with; nothing where the program is one module.
    prefix: String,
    pub(crate) names: Names,
}

/// All modules of a program.
pub(crate) struct ProgramNames(pub(crate) Vec<Part>);

/// What stands in a stack for code that is generated for calls from one component to another.
const BETWEEN: &str = "(a call between components)";

impl ProgramNames {
    /// Those of a module.
    pub(crate) fn of_module(module: &Module) -> ProgramNames {
        let (module, names) = (module.clone(), Names::of(module));
        ProgramNames(vec![Part { module, prefix: String::new(), names }])
    }

    /// Those of components; all but the first have names of their own, which stand before those of their modules.
    pub(crate) fn of_components<'c>(
        components: impl IntoIterator<Item = (&'c Component, Option<&'c str>)>,
    ) -> Result<ProgramNames, Error> {
        let mut parts: Vec<Part> = Vec::new();
        for (component, name) in components {
            // What is generated comes after what is there.
            let own = component.all_modules()?.into_iter().take(component.module_ranges().len());
            for (number, module) in own.enumerate() {
                let path = [name, module.path_name()].into_iter().flatten().map(plain).collect::<Vec<_>>();
                let mut prefix = path.join("/");
                if !prefix.is_empty() {
                    prefix.push('!');
                }
                if parts.iter().any(|part| part.prefix == prefix) {
                    prefix = format!("{}[{number}]!", prefix.trim_end_matches('!'));
                }
                parts.push(Part { names: Names::of(&module), module, prefix });
            }
        }
        Ok(ProgramNames(parts))
    }

    /// The name of a function that a frame is of.
    pub(crate) fn of_frame(&self, frame: &FrameInfo) -> String {
        if frame.tier == FrameTier::Host {
            return host_function(frame);
        }
        if frame.is_adapter() {
            return BETWEEN.to_owned();
        }
        match self.0.iter().find(|part| frame.is_of(&part.module)) {
            Some(part) => part.name(frame.func),
            None => names::name(frame.func_name.as_deref(), frame.func),
        }
    }

    /// How many functions there are.
    pub(crate) fn count(&self) -> usize {
        self.0.iter().map(|part| part.module.functions().len()).sum()
    }

    /// Every function, with the module that it is of.
    pub(crate) fn functions(&self) -> impl Iterator<Item = (&Part, FunctionInfo<'_>)> {
        self.0.iter().flat_map(|part| part.module.functions().map(move |info| (part, info)))
    }
}

impl Part {
    /// The name of a function that the module defines.
    pub(crate) fn name(&self, func: FuncIndex) -> String {
        format!("{}{}", self.prefix, self.names.name(func))
    }

    /// What a name is in the module, if it is one of this module's.
    pub(crate) fn within<'n>(&self, name: &'n str) -> Option<&'n str> {
        name.strip_prefix(&self.prefix)
    }
}

/// Without what separates names in a line of a profile.
fn plain(name: &str) -> String {
    short(name).replace(';', ":")
}

/// The name of a function of the host: that of the import, as [`names::import`] has it.
fn host_function(frame: &FrameInfo) -> String {
    match (&frame.module_name, &frame.func_name) {
        (Some(module), Some(name)) => names::import(module, name),
        _ => String::from("(a function of the host)"),
    }
}
