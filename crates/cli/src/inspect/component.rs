//! What there is to say of a component: whether it can run here, its modules, what it imports and exports, and its interface in WIT.
//!
//! Must stay true: as in `facts`, names of fields are the JSON's.

use std::collections::HashMap;
use std::fmt::Write as _;

use innkeeper::Engine;
use innkeeper::component::{Component, ImportItemKind, Linker};
use innkeeper::wasi::p2;
use serde::Serialize;

use super::component_parts::{CoreModule, Part, parts};
use super::facts::Producer;
use super::provider::{COMPONENT_KEY_KINDS, ComponentKeyKind};
use crate::input::Input;
use crate::interfaces::add_all;
use crate::report::{Problem, short};

/// The version of the layout, which is that of modules.
const FORMAT: u32 = 1;

/// A component.
#[derive(Debug, Serialize)]
pub(super) struct ComponentInspection {
    format: u32,
    file: String,
    /// `component`
    kind: &'static str,
    /// `program`, or `library`
    role: &'static str,
    size_bytes: usize,
    /// Its core modules, in their order.
    modules: Vec<CoreModule>,
    producers: Vec<Producer>,
    /// Names of all that it imports.
    import_names: Vec<String>,
    /// The same, with who provides each.
    interfaces: Vec<Interface>,
    /// What is used of that, and so has to be provided.
    imports: Vec<Import>,
    /// Functions that it exports.
    exports: Vec<Item>,
    /// Keys that it may want, going by its imports.
    keys: Vec<SuggestedKey>,
    /// Its interface, where it can be written in WIT.
    wit: Option<String>,
    /// Why it cannot.
    #[serde(skip)]
    no_wit: Option<String>,
}

/// Something that the component imports by itself, most often an interface.
#[derive(Debug, Serialize)]
struct Interface {
    name: String,
    version: Option<String>,
    /// The name under which `inn` has it.
    provided_as: Option<String>,
    /// How much of it is used.
    used: usize,
    /// How much of that is missing.
    missing: usize,
}

/// Something that is used of what is imported.
#[derive(Debug, Serialize)]
struct Import {
    name: String,
    #[serde(rename = "type")]
    ty: String,
    provided: bool,
    /// Why it is not.
    reason: Option<String>,
}

/// Something that is exported.
#[derive(Debug, Serialize)]
struct Item {
    name: String,
    #[serde(rename = "type")]
    ty: String,
}

/// A key that the component may want.
#[derive(Debug, Serialize)]
struct SuggestedKey {
    flag: &'static str,
    purpose: &'static str,
    /// The interfaces that suggest it.
    interfaces: Vec<String>,
}

impl ComponentInspection {
    pub(super) fn of(input: &Input, engine: &Engine) -> Result<ComponentInspection, Problem> {
        let component =
            Component::new(engine, input.bytes.as_slice()).map_err(|error| input.problem(&error))?;
        let mut linker: Linker<p2::Context> = Linker::new(engine);
        add_all(&mut linker).map_err(|error| input.problem(&error))?;
        let imports = imports(&component, &linker);
        let mut counts: HashMap<&str, (usize, usize)> = HashMap::new();
        for import in &imports {
            let (used, missing) =
                counts.entry(import.name.split('#').next().unwrap_or_default()).or_default();
            *used += 1;
            *missing += usize::from(!import.provided);
        }
        let interfaces: Vec<Interface> = component
            .import_names()
            .map(|name| Interface::of(name, &linker, counts.get(name).copied().unwrap_or_default()))
            .collect();
        let exports: Vec<Item> = component
            .exported_funcs()
            .into_iter()
            .map(|(name, ty)| Item { name, ty: ty.to_string() })
            .collect();
        let is_run = |name: &str| {
            let runs = ["wasi:cli/run@0.2.", "wasi:cli/run@0.3."];
            name.ends_with("#run") && runs.iter().any(|run| name.starts_with(run))
        };
        let is_program = exports.iter().any(|export| is_run(&export.name));
        let Part { modules, producers } = parts(component.bytes(), component.module_ranges());
        let wit = super::wit::wit(component.bytes());
        Ok(ComponentInspection {
            format: FORMAT,
            file: input.name.clone(),
            kind: "component",
            role: if is_program { "program" } else { "library" },
            size_bytes: component.bytes().len(),
            modules,
            producers,
            import_names: component.import_names().map(str::to_owned).collect(),
            keys: COMPONENT_KEY_KINDS.iter().filter_map(|kind| SuggestedKey::of(kind, &interfaces)).collect(),
            interfaces,
            imports,
            exports,
            no_wit: wit.as_ref().err().cloned(),
            wit: wit.ok(),
        })
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let ComponentInspection {
            // Of the JSON, not of the component.
            format: _,
            file,
            kind,
            role,
            size_bytes,
            modules,
            producers,
            import_names: _,
            interfaces,
            imports,
            exports,
            keys,
            wit,
            no_wit,
        } = self;
        // Writing to a string does not fail, here and below.
        let mut text = format!("{file}\n  kind       {kind}, a {role}\n  size       {size_bytes} bytes\n");
        for Producer { field, name, version } in producers {
            let _ =
                writeln!(text, "  {:<10} {}", short(field), short(format!("{name} {version}").trim_end()));
        }
        let _ = writeln!(text, "  runs here  {}", self.runs_here());
        let _ = writeln!(text, "\nCore modules: {}", modules.len());
        for CoreModule { offset, size_bytes, name, role } in modules {
            let name = name.as_ref().map(|name| format!("{}: ", short(name))).unwrap_or_default();
            let role = role.map(|role| format!(", {role}")).unwrap_or_default();
            let _ = writeln!(text, "  {name}{size_bytes} bytes at offset {offset}{role}");
        }
        let _ = writeln!(text, "\nImports: {}", interfaces.len());
        for interface in interfaces {
            let _ = writeln!(text, "  {}: {}", short(&interface.name), interface.provider());
        }
        let _ = writeln!(text, "\nUsed of them: {}", imports.len());
        for Import { name, ty, reason, .. } in imports {
            let _ = match reason {
                None => writeln!(text, "  {}: {}", short(name), short(ty)),
                Some(reason) => writeln!(text, "  missing: {}", short(reason)),
            };
        }
        let _ = writeln!(text, "\nFunctions that it exports: {}", exports.len());
        for Item { name, ty } in exports {
            let _ = writeln!(text, "  {}: {}", short(name), short(ty));
        }
        let none = if keys.is_empty() { " none" } else { "" };
        let _ = writeln!(text, "\nKeys that it may want:{none}");
        for SuggestedKey { flag, purpose, interfaces } in keys {
            let interfaces: Vec<String> = interfaces.iter().map(|name| short(name)).collect();
            let _ = writeln!(text, "  {flag:<34} {purpose} ({})", interfaces.join(", "));
        }
        if let Some(reason) = no_wit {
            let _ = writeln!(text, "\nInterface: cannot be printed as WIT: {}", short(reason));
        }
        if let Some(wit) = wit {
            let _ = writeln!(text, "\nInterface:");
            for line in wit.lines() {
                let _ = writeln!(text, "{}", crate::report::visible(line));
            }
        }
        text
    }

    /// Whether it can run here, in words.
    fn runs_here(&self) -> String {
        let missing = self.imports.iter().filter(|import| !import.provided).count();
        let handlers = ["wasi:http/incoming-handler@0.2.", "wasi:http/handler@0.3."];
        let answers = |export: &Item| handlers.iter().any(|handler| export.name.starts_with(handler));
        let runs = match self.role {
            "program" => "yes",
            _ if self.exports.iter().any(answers) => "it answers requests, with inn serve",
            _ => "its functions can be called with --invoke",
        };
        match missing {
            0 => runs.to_owned(),
            1 => format!("{runs}; it fails where it calls the one import that is missing"),
            missing => {
                format!("{runs}; it fails where it calls one of the {missing} imports that are missing")
            }
        }
    }
}

fn imports(component: &Component, linker: &Linker<p2::Context>) -> Vec<Import> {
    let missing: HashMap<_, _> = linker
        .missing_imports(component)
        .into_iter()
        .map(|missing| (missing.path.clone(), missing))
        .collect();
    let used = component.imports().filter(|import| !import.is_optional);
    let imports = used.map(|import| {
        let reason = missing.get(&import.path).map(ToString::to_string);
        Import {
            name: import.path.join("#"),
            ty: match import.kind {
                ImportItemKind::Func(ty) => ty.to_string(),
                ImportItemKind::Module => String::from("core module"),
                ImportItemKind::Resource => String::from("resource"),
                _ => String::from("component"),
            },
            provided: reason.is_none(),
            reason,
        }
    });
    imports.collect()
}

impl Interface {
    fn of(name: &str, linker: &Linker<p2::Context>, (used, missing): (usize, usize)) -> Interface {
        Interface {
            name: name.to_owned(),
            version: name.split_once('@').map(|(_, version)| version.to_owned()),
            provided_as: linker.found_as(name).map(str::to_owned),
            used,
            missing,
        }
    }

    fn provider(&self) -> String {
        let by = match &self.provided_as {
            Some(known) if *known == self.name => String::from("inn"),
            Some(known) => {
                format!("inn, as {}", short(known.rsplit_once('@').map_or(known, |(_, version)| version)))
            }
            None => String::from("nobody"),
        };
        match (self.used, self.missing) {
            (0, _) => format!("{by}; nothing is used of it"),
            (_, 0) => by,
            (used, missing) => format!("{by}; {missing} of the {used} that are used are missing"),
        }
    }
}

impl SuggestedKey {
    fn of(kind: &ComponentKeyKind, interfaces: &[Interface]) -> Option<SuggestedKey> {
        let suggests = |interface: &&Interface| {
            interface.used > 0 && kind.interfaces.iter().any(|start| interface.name.starts_with(start))
        };
        let interfaces: Vec<String> =
            interfaces.iter().filter(suggests).map(|interface| interface.name.clone()).collect();
        (!interfaces.is_empty()).then_some(SuggestedKey {
            flag: kind.flag,
            purpose: kind.purpose,
            interfaces,
        })
    }
}
