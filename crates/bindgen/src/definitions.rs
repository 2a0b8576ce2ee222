//! Types of WIT that have names, as types of Rust.

use wit_parser::{Docs, Type, TypeDef, TypeDefKind, TypeId, WorldId, WorldItem};

use crate::code::Code;
use crate::names::{camel, is_found_again, snake};
use crate::places::relative;
use crate::types::{At, Context, Form};

impl Context<'_> {
    /// Writes all types of an interface or a world.
    pub(crate) fn definitions(&self, code: &mut Code, at: &At, types: impl IntoIterator<Item = TypeId>) {
        for id in types {
            // What cannot be passed is told where a function has it.
            if self.check(id).is_ok() {
                code.gap();
                self.definition(code, at, id);
            }
        }
    }

    fn definition(&self, code: &mut Code, at: &At, id: TypeId) {
        let def = &self.resolve.types[id];
        let Some(wit) = &def.name else { return };
        let name = camel(wit);
        if let Some(rust) = self.places.replaced_types.get(&id) {
            docs(code, &def.docs);
            let path = self.given_path(at, rust);
            return code.line(format!("pub type {name} = {path};"));
        }
        match &def.kind {
            TypeDefKind::Record(record) => {
                self.head(code, at, def, &record_traits(self, id), &[]);
                code.open(format!("pub struct {name}"));
                for field in &record.fields {
                    docs(code, &field.docs);
                    self.wit_name(code, &field.name);
                    let ty = self.ty(at, &field.ty, Form::Owned).unwrap_or_default();
                    code.line(format!("pub {}: {ty},", snake(&field.name)));
                }
                code.close();
            }
            TypeDefKind::Flags(flags) => {
                let traits = ["Clone", "Copy", "Debug", "Default", "PartialEq", "Eq", "Hash"];
                self.head(code, at, def, &traits, &["flags"]);
                code.open(format!("pub struct {name}"));
                for flag in &flags.flags {
                    docs(code, &flag.docs);
                    self.wit_name(code, &flag.name);
                    code.line(format!("pub {}: bool,", snake(&flag.name)));
                }
                code.close();
            }
            TypeDefKind::Variant(variant) => {
                let has_payloads = variant.cases.iter().any(|case| case.ty.is_some());
                let options: &[&str] = if has_payloads { &[] } else { &["variant"] };
                self.head(code, at, def, &record_traits(self, id), options);
                code.open(format!("pub enum {name}"));
                for case in &variant.cases {
                    docs(code, &case.docs);
                    self.wit_name(code, &case.name);
                    let payload = case.ty.as_ref().map(|ty| self.ty(at, ty, Form::Owned).unwrap_or_default());
                    let payload = payload.map(|payload| format!("({payload})")).unwrap_or_default();
                    code.line(format!("{}{payload},", camel(&case.name)));
                }
                code.close();
                self.display(code, &name, "::core::fmt::Debug::fmt(self, f)");
            }
            TypeDefKind::Enum(labels) => {
                let traits = ["Clone", "Copy", "Debug", "PartialEq", "Eq", "Hash"];
                self.head(code, at, def, &traits, &[]);
                code.open(format!("pub enum {name}"));
                for label in &labels.cases {
                    docs(code, &label.docs);
                    self.wit_name(code, &label.name);
                    code.line(format!("{},", camel(&label.name)));
                }
                code.close();
                let arms: Vec<String> = labels
                    .cases
                    .iter()
                    .map(|label| format!("    {name}::{} => {:?},", camel(&label.name), label.name))
                    .collect();
                self.display(code, &name, &format!("f.write_str(match self {{\n{}\n}})", arms.join("\n")));
            }
            TypeDefKind::Resource => self.resource_definition(code, at, (id, &name)),
            TypeDefKind::Type(Type::Id(of)) if self.is_use(def, *of) => self.used(code, at, (*of, &name)),
            _ => {
                docs(code, &def.docs);
                let ty = self.structure(at, &def.kind, Form::Owned).unwrap_or_default();
                code.line(format!("pub type {name} = {ty};"));
            }
        }
    }

    /// Whether a type is one of another interface.
    fn is_use(&self, def: &TypeDef, of: TypeId) -> bool {
        let of = &self.resolve.types[of];
        of.name.is_some() && (of.owner != def.owner || matches!(of.kind, TypeDefKind::Resource))
    }

    fn used(&self, code: &mut Code, at: &At, (of, name): (TypeId, &str)) {
        let Some(mut path) = self.places.type_path(self.resolve, of, at.side) else { return };
        code.line(renamed(&relative(&at.module, &path), name));
        let resource = self.resource(of);
        let is_resource = matches!(self.resolve.types[resource].kind, TypeDefKind::Resource);
        if is_resource
            && self.places.is_guests(self.resolve, resource, at.side)
            && let Some(last) = path.last_mut()
        {
            last.push_str("Type");
            code.line(renamed(&relative(&at.module, &path), &format!("{name}Type")));
        }
    }

    fn resource_definition(&self, code: &mut Code, at: &At, (id, name): (TypeId, &str)) {
        let def = &self.resolve.types[id];
        docs(code, &def.docs);
        let wit = def.name.as_deref().unwrap_or_default();
        if !self.places.is_guests(self.resolve, id, at.side) {
            if def.docs.contents.is_none() {
                code.line(format!(
                    "/// Stands for the resource type `{wit}`, where nothing else is said to."
                ));
            }
            code.line("#[derive(Debug)]");
            return code.line(format!("pub enum {name} {{}}"));
        }
        if def.docs.contents.is_none() {
            code.line(format!("/// A resource `{wit}` of a guest's."));
        }
        code.line(format!(
            "pub type {name} = {};",
            self.component(at, &format!("GuestResource<{name}Type>"))
        ));
        code.gap();
        code.line(format!("/// Stands for the resource type `{wit}`, of which the guest makes [`{name}`]s."));
        code.line("#[derive(Debug)]");
        code.line(format!("pub enum {name}Type {{}}"));
    }

    /// Documentation, derives and what is said to these.
    fn head(&self, code: &mut Code, at: &At, def: &TypeDef, traits: &[&str], options: &[&str]) {
        docs(code, &def.docs);
        let derives = ["ComponentType", "Lift", "Lower"].map(|name| self.component(at, name));
        let others = self.options.derives.iter().filter(|path| !traits.contains(&path.as_str())).cloned();
        let all: Vec<String> =
            traits.iter().map(|name| (*name).to_owned()).chain(others).chain(derives).collect();
        code.line(format!("#[derive({})]", all.join(", ")));
        let mut said: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        if self.options.component != "::innkeeper::component" {
            said.push(format!("path = {}", self.options.component));
        }
        if !said.is_empty() {
            code.line(format!("#[component({})]", said.join(", ")));
        }
    }

    fn wit_name(&self, code: &mut Code, name: &str) {
        if !is_found_again(name) {
            code.line(format!("#[component(name = {name:?})]"));
        }
    }

    /// What is an error of some function can be one of Rust.
    fn display(&self, code: &mut Code, name: &str, body: &str) {
        code.gap();
        code.open(format!("impl ::core::fmt::Display for {name}"));
        code.open("fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result");
        code.line(body);
        code.close();
        code.close();
        code.gap();
        code.line(format!("impl ::core::error::Error for {name} {{}}"));
    }

    /// A path that was given, as it is written in a module.
    pub(crate) fn given_path(&self, at: &At, path: &str) -> String {
        let is_absolute = path.starts_with("::") || path.starts_with("crate::") || path.starts_with("std::");
        match is_absolute || at.module.is_empty() {
            true => path.to_owned(),
            false => format!("{}{path}", "super::".repeat(at.module.len())),
        }
    }

    /// Names of all types that a module has.
    pub(crate) fn names(&self, types: impl IntoIterator<Item = TypeId>) -> Vec<String> {
        types.into_iter().filter_map(|id| self.resolve.types[id].name.as_deref().map(camel)).collect()
    }
}

/// What types of records and variants can do: those with handles cannot be copied.
fn record_traits(context: &Context<'_>, id: TypeId) -> Vec<&'static str> {
    match context.has_handles(&Type::Id(id)) {
        true => vec!["Debug"],
        false => vec!["Clone", "Debug", "PartialEq"],
    }
}

/// A `use` of a path under a name.
fn renamed(path: &str, name: &str) -> String {
    match path.rsplit("::").next() == Some(name) {
        true => format!("pub use {path};"),
        false => format!("pub use {path} as {name};"),
    }
}

/// Documentation as WIT has it.
pub(crate) fn docs(code: &mut Code, docs: &Docs) {
    if let Some(text) = &docs.contents {
        code.docs(text);
    }
}

/// The types of a world itself.
pub(crate) fn of_world(context: &Context<'_>, world: WorldId) -> Vec<TypeId> {
    let world = &context.resolve.worlds[world];
    let items = world.imports.values().chain(world.exports.values());
    items
        .filter_map(|item| match item {
            WorldItem::Type { id, .. } => Some(*id),
            _ => None,
        })
        .collect()
}
