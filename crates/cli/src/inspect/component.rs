//! What there is to say of a component: its modules, what it imports and exports, and its interface in WIT.
//!
//! Must stay true: as in `facts`, names of fields are the JSON's.

use std::fmt::Write as _;

use innkeeper::Engine;
use innkeeper::component::{Component, ImportItemKind};
use serde::Serialize;

use crate::input::Input;
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
    size_bytes: usize,
    /// Its core modules, in their order.
    modules: Vec<CoreModule>,
    /// Names of all that it imports.
    import_names: Vec<String>,
    /// What is used of that, and so has to be provided.
    imports: Vec<Item>,
    /// Functions that it exports.
    exports: Vec<Item>,
    /// Its interface, where it can be written in WIT.
    wit: Option<String>,
}

/// A module that a component has in it.
#[derive(Debug, Serialize)]
struct CoreModule {
    offset: usize,
    size_bytes: usize,
    name: Option<String>,
}

/// Something that is imported or exported.
#[derive(Debug, Serialize)]
struct Item {
    name: String,
    #[serde(rename = "type")]
    ty: String,
}

impl ComponentInspection {
    pub(super) fn of(input: &Input, engine: &Engine) -> Result<ComponentInspection, Problem> {
        let component =
            Component::new(engine, input.bytes.as_slice()).map_err(|error| input.problem(&error))?;
        let modules = component.module_ranges().iter().map(|range| CoreModule {
            offset: range.start,
            size_bytes: range.len(),
            name: module_name(component.bytes().get(range.clone()).unwrap_or_default()),
        });
        let imports = component.imports().filter(|import| !import.is_optional).map(|import| Item {
            name: import.path.join("#"),
            ty: match import.kind {
                ImportItemKind::Func(ty) => ty.to_string(),
                ImportItemKind::Module => String::from("core module"),
                ImportItemKind::Resource => String::from("resource"),
                _ => String::from("component"),
            },
        });
        let exports =
            component.exported_funcs().into_iter().map(|(name, ty)| Item { name, ty: ty.to_string() });
        Ok(ComponentInspection {
            format: FORMAT,
            file: input.name.clone(),
            kind: "component",
            size_bytes: component.bytes().len(),
            modules: modules.collect(),
            import_names: component.import_names().map(str::to_owned).collect(),
            imports: imports.collect(),
            exports: exports.collect(),
            wit: wit(component.bytes()),
        })
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let ComponentInspection {
            // Of the JSON, not of the component.
            format: _,
            file,
            kind,
            size_bytes,
            modules,
            import_names,
            imports,
            exports,
            wit,
        } = self;
        // Writing to a string does not fail, here and below.
        let mut text = format!("{file}\n  kind       {kind}\n  size       {size_bytes} bytes\n");
        let _ = writeln!(text, "\nCore modules: {}", modules.len());
        for CoreModule { offset, size_bytes, name } in modules {
            let name = name.as_ref().map(|name| format!("{}: ", short(name))).unwrap_or_default();
            let _ = writeln!(text, "  {name}{size_bytes} bytes at offset {offset}");
        }
        let _ = writeln!(text, "\nImports: {}", import_names.len());
        for name in import_names {
            let _ = writeln!(text, "  {}", short(name));
        }
        let _ = writeln!(text, "\nUsed of them: {}", imports.len());
        for Item { name, ty } in imports {
            let _ = writeln!(text, "  {}: {}", short(name), short(ty));
        }
        let _ = writeln!(text, "\nFunctions that it exports: {}", exports.len());
        for Item { name, ty } in exports {
            let _ = writeln!(text, "  {}: {}", short(name), short(ty));
        }
        if let Some(wit) = wit {
            let _ = writeln!(text, "\nInterface:");
            for line in wit.lines() {
                let _ = writeln!(text, "{}", crate::report::visible(line));
            }
        }
        text
    }
}

/// The name in a module's name section.
fn module_name(module: &[u8]) -> Option<String> {
    let payloads = wasmparser::Parser::new(0).parse_all(module).map_while(Result::ok);
    payloads
        .filter_map(|payload| match payload {
            wasmparser::Payload::CustomSection(section) => match section.as_known() {
                wasmparser::KnownCustom::Name(names) => {
                    names.into_iter().map_while(Result::ok).find_map(|name| match name {
                        wasmparser::Name::Module { name, .. } => Some(name.to_owned()),
                        _ => None,
                    })
                }
                _ => None,
            },
            _ => None,
        })
        .next()
}

/// The component's interface in WIT; none where it has something that cannot be written so, as modules cannot.
fn wit(component: &[u8]) -> Option<String> {
    let decoded = wit_component::decode(component).ok()?;
    let mut printer = wit_component::WitPrinter::default();
    let (resolve, package) = (decoded.resolve(), decoded.package());
    let others: Vec<_> = resolve.packages.iter().map(|(id, _)| id).filter(|id| *id != package).collect();
    printer.print(resolve, package, &others).ok()?;
    Some(printer.output.to_string())
}
