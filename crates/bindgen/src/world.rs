//! All that is made of WIT: modules for interfaces, and for each world what has its imports and exports.

use std::collections::BTreeMap;

use wit_parser::{Function, InterfaceId, TypeId, WorldId, WorldItem};

use crate::code::Code;
use crate::definitions::{docs, of_world};
use crate::error::Error;
use crate::exports::Kept;
use crate::functions::Group;
use crate::imports::host_trait;
use crate::names::{camel, unique};
use crate::options::Bindgen;
use crate::places::{Placed, Places, Side, relative};
use crate::source::Source;
use crate::types::{At, Context};

/// Writes everything; gives what was left out.
pub(crate) fn write(
    code: &mut Code,
    (options, source, places): (&Bindgen, &Source, &Places),
) -> Result<Vec<String>, Error> {
    let context = Context { options, resolve: &source.resolve, places };
    let mut omitted = Vec::new();
    let mut modules = Modules::default();
    for id in &places.shared {
        let path = places.module(*id, Side::Host);
        match places.replaced.get(id) {
            Some(rust) => modules.put(&path, Node::Use(rust.clone())),
            None => modules.put(&path, Node::Code(context.host_module(*id, &path, &mut omitted)?)),
        }
    }
    for placed in places.imported.iter().filter(|placed| placed.is_alias) {
        modules.put(&placed.module, Node::Code(context.alias_module(placed)?));
    }
    for placed in places.exported.iter().filter(|placed| !places.replaced.contains_key(&placed.id)) {
        modules.put(&placed.module, Node::Code(context.guest_module(placed, &mut omitted)?));
    }
    let mut names = Vec::new();
    for world in &source.worlds {
        context.world(code, *world, &mut names, &mut omitted)?;
    }
    modules.write(code, &context, &[]);
    Ok(omitted)
}

/// Modules within modules.
#[derive(Default)]
struct Modules(BTreeMap<String, Node>);

enum Node {
    Within(Modules),
    Code(Code),
    Use(String),
}

impl Modules {
    fn put(&mut self, path: &[String], node: Node) {
        let Some((first, rest)) = path.split_first() else { return };
        if rest.is_empty() {
            self.0.insert(first.clone(), node);
            return;
        }
        let inner = self.0.entry(first.clone()).or_insert_with(|| Node::Within(Modules::default()));
        if let Node::Within(inner) = inner {
            inner.put(rest, node);
        }
    }

    fn write(self, code: &mut Code, context: &Context<'_>, path: &[String]) {
        for (name, node) in self.0 {
            code.gap();
            match node {
                Node::Use(rust) => {
                    let at = At { module: path.to_vec(), side: Side::Host, names: Vec::new() };
                    let rust = context.given_path(&at, &rust);
                    code.line(format!("pub use {rust} as {name};"));
                }
                Node::Code(inner) => {
                    allow(code);
                    code.open(format!("pub mod {name}"));
                    code.line(inner.text().trim_end());
                    code.close();
                }
                Node::Within(inner) => {
                    allow(code);
                    code.open(format!("pub mod {name}"));
                    let path: Vec<String> = path.iter().cloned().chain([name]).collect();
                    inner.write(code, context, &path);
                    code.close();
                }
            }
        }
    }
}

/// WIT need not have documentation, and is not written for the lints of Rust.
fn allow(code: &mut Code) {
    code.line("#[allow(missing_docs, private_interfaces, unreachable_pub)]");
    code.line("#[allow(unused_imports, unused_mut, unused_variables)]");
    code.line("#[allow(clippy::all, rustdoc::all)]");
}

impl Context<'_> {
    fn at(&self, module: &[String], side: Side, types: &[TypeId]) -> At {
        At { module: module.to_vec(), side, names: self.names(types.iter().copied()) }
    }

    /// The module of what the host has of an interface.
    fn host_module(
        &self,
        id: InterfaceId,
        path: &[String],
        omitted: &mut Vec<String>,
    ) -> Result<Code, Error> {
        let interface = &self.resolve.interfaces[id];
        let types: Vec<TypeId> = interface.types.values().copied().collect();
        let at = self.at(path, Side::Host, &types);
        let mut code = Code::default();
        inner_docs(&mut code, &interface.docs.contents);
        self.use_component(&mut code);
        self.definitions(&mut code, &at, types.iter().copied());
        let mut imported = self.places.imported.iter().filter(|placed| placed.id == id);
        let Some(placed) = imported.clone().find(|placed| !placed.is_alias).or_else(|| imported.next())
        else {
            return Ok(code);
        };
        let groups = self.host_groups(&at, placed, &types)?;
        omitted.extend(groups.iter().flat_map(|group| group.omitted.iter().cloned()));
        if self.has_traits(&types, interface.functions.len()) {
            let name = host_trait(&at.names);
            self.traits(&mut code, &at, Some(&placed.instance), &name, &groups);
            if !placed.is_alias {
                self.linking(&mut code, &at, placed, &groups);
            }
        }
        Ok(code)
    }

    fn host_groups<'a>(
        &'a self,
        at: &At,
        placed: &Placed,
        types: &[TypeId],
    ) -> Result<Vec<Group<'a>>, Error> {
        let functions = self.resolve.interfaces[placed.id].functions.values();
        self.groups(at, &placed.instance, (types, functions), &["drop"])
    }

    /// The module of an interface that is imported under another name: all is as there, but for what the linker calls it.
    fn alias_module(&self, placed: &Placed) -> Result<Code, Error> {
        let interface = &self.resolve.interfaces[placed.id];
        let types: Vec<TypeId> = interface.types.values().copied().collect();
        let at = self.at(&placed.module, Side::Host, &types);
        let mut code = Code::default();
        let mut of = self.places.module(placed.id, Side::Host);
        of.push("*".to_owned());
        self.use_component(&mut code);
        code.line(format!("pub use {};", relative(&placed.module, &of)));
        let groups = self.host_groups(&at, placed, &types)?;
        if self.has_traits(&types, interface.functions.len()) {
            self.linking(&mut code, &at, placed, &groups);
        }
        Ok(code)
    }

    /// The module of what a guest has of an interface.
    fn guest_module(&self, placed: &Placed, omitted: &mut Vec<String>) -> Result<Code, Error> {
        let interface = &self.resolve.interfaces[placed.id];
        let types: Vec<TypeId> = interface.types.values().copied().collect();
        let at = self.at(&placed.module, Side::Guest, &types);
        let mut code = Code::default();
        inner_docs(&mut code, &interface.docs.contents);
        self.use_component(&mut code);
        if self.places.has_own(placed.id) {
            self.definitions(&mut code, &at, types.iter().copied());
        } else {
            let shared = self.places.module(placed.id, Side::Host);
            for id in types.iter().filter(|id| self.check(**id).is_ok()) {
                let Some(name) = self.resolve.types[*id].name.as_deref().map(camel) else { continue };
                let path: Vec<String> = shared.iter().cloned().chain([name]).collect();
                code.line(format!("pub use {};", relative(&placed.module, &path)));
            }
        }
        let functions = interface.functions.values();
        let groups = self.groups(&at, &placed.instance, (&types, functions), &[])?;
        omitted.extend(groups.iter().flat_map(|group| group.omitted.iter().cloned()));
        self.guest(&mut code, &at, &placed.instance, &groups);
        Ok(code)
    }

    fn world(
        &self,
        code: &mut Code,
        id: WorldId,
        names: &mut Vec<String>,
        omitted: &mut Vec<String>,
    ) -> Result<(), Error> {
        let world = &self.resolve.worlds[id];
        let types: Vec<TypeId> = of_world(self, id);
        for ty in &types {
            let name = self.resolve.types[*ty].name.as_deref().map(camel).unwrap_or_default();
            if !names.contains(&name) {
                let at = self.at(&[], Side::Host, &types);
                self.definitions(code, &at, [*ty]);
                names.push(name);
            }
        }
        let mut at = self.at(&[], Side::Host, &types);
        let name = unique(camel(&world.name), names);
        at.names.push(name.clone());
        let functions = |items: &'_ wit_parser::IndexMap<wit_parser::WorldKey, WorldItem>| {
            items
                .values()
                .filter_map(|item| match item {
                    WorldItem::Function(function) => Some(function.clone()),
                    _ => None,
                })
                .collect::<Vec<Function>>()
        };
        let (imported, exported) = (functions(&world.imports), functions(&world.exports));
        let imports = self.groups(&at, &world.name, (&types, imported.iter()), &["drop"])?;
        let mut guest_at = at.clone();
        guest_at.side = Side::Guest;
        let exports = self.groups(&guest_at, &world.name, (&[], exported.iter()), &[])?;
        omitted.extend(imports.iter().chain(&exports).flat_map(|group| group.omitted.iter().cloned()));
        let own_trait = (!imported.is_empty()).then(|| unique(format!("{name}Imports"), names));
        if let Some(own_trait) = &own_trait {
            self.traits(code, &at, None, own_trait, &imports);
        }
        self.world_struct(code, (id, &name), (&at, &guest_at), (own_trait.as_deref(), &imports), &exports)
    }

    fn world_struct(
        &self,
        code: &mut Code,
        (id, name): (WorldId, &str),
        (at, guest_at): (&At, &At),
        (own_trait, imports): (Option<&str>, &[Group<'_>]),
        exports: &[Group<'_>],
    ) -> Result<(), Error> {
        let world = &self.resolve.worlds[id];
        let is_of = |placed: &&Placed, items: &wit_parser::IndexMap<wit_parser::WorldKey, WorldItem>| {
            items.iter().any(|(key, item)| {
                matches!(item, WorldItem::Interface { id, .. } if *id == placed.id)
                    && self.resolve.name_world_key(key) == placed.instance
            })
        };
        let not_replaced = |placed: &&Placed| !self.places.replaced.contains_key(&placed.id);
        let exported: Vec<&Placed> = self
            .places
            .exported
            .iter()
            .filter(|placed| is_of(placed, &world.exports))
            .filter(not_replaced)
            .collect();
        let imported: Vec<&Placed> = self
            .places
            .imported
            .iter()
            .filter(|placed| is_of(placed, &world.imports))
            .filter(not_replaced)
            .collect();
        let mut fields = vec!["instance".to_owned()];
        let guests: Vec<(String, &Placed)> = exported
            .iter()
            .map(|placed| {
                let path = placed.module[1..].join("_").replace("r#", "");
                (unique(path, &mut fields), *placed)
            })
            .collect();
        let kept: Vec<Kept<'_, '_>> = exports
            .iter()
            .flat_map(|group| &group.funcs)
            .map(|func| Kept { field: unique(func.name.clone(), &mut fields), func })
            .collect();
        code.gap();
        match &world.docs.contents {
            Some(_) => docs(code, &world.docs),
            None => code.line(format!(
                "/// An instance of a component of the world `{}`, with what it exports.",
                world.name
            )),
        }
        allow(code);
        code.line("#[derive(Clone, Debug)]");
        code.open(format!("pub struct {name}"));
        code.line(format!("instance: {},", self.component(at, "Instance")));
        for (field, placed) in &guests {
            code.line(format!("{field}: {},", self.guest_path(placed)));
        }
        kept.iter().for_each(|kept| self.field(code, guest_at, kept));
        code.close();
        code.gap();
        allow(code);
        code.open(format!("impl {name}"));
        self.world_linking(code, at, (own_trait, imports), &imported)?;
        self.world_instantiating(code, at);
        code.gap();
        code.line("/// Finds what the world exports in an instance.");
        code.line("///");
        code.line("/// # Errors");
        code.line("/// Where something is not there, or of another type.");
        code.open(format!(
            "pub fn new(mut store: impl {}, instance: &{}) -> {}",
            self.component(at, "AsContextMut"),
            self.component(at, "Instance"),
            self.result_of(at, "Self")
        ));
        code.open(format!("{}(Self", self.ok(at)));
        code.line("instance: *instance,");
        for (field, placed) in &guests {
            code.line(format!("{field}: {}::new(&mut store, instance)?,", self.guest_path(placed)));
        }
        kept.iter().for_each(|kept| self.find(code, None, kept));
        code.close_with(")");
        code.close();
        code.gap();
        code.line("/// The instance.");
        code.open(format!("pub fn instance(&self) -> {}", self.component(at, "Instance")));
        code.line("self.instance");
        code.close();
        for (field, placed) in &guests {
            code.gap();
            code.line(format!("/// What it exports as `{}`.", placed.instance));
            code.open(format!("pub fn {field}(&self) -> &{}", self.guest_path(placed)));
            code.line(format!("&self.{field}"));
            code.close();
        }
        kept.iter().for_each(|kept| self.call(code, guest_at, None, (kept, "self")));
        code.close();
        Ok(())
    }

    /// The struct of an exported interface, as it is written at the root.
    fn guest_path(&self, placed: &Placed) -> String {
        let names = self.names(self.resolve.interfaces[placed.id].types.values().copied());
        let name = unique(String::from("Guest"), &mut names.clone());
        let path: Vec<String> = placed.module.iter().cloned().chain([name]).collect();
        relative(&[], &path)
    }

    fn world_linking(
        &self,
        code: &mut Code,
        at: &At,
        (own_trait, groups): (Option<&str>, &[Group<'_>]),
        imported: &[&Placed],
    ) -> Result<(), Error> {
        let (mut bounds, mut calls, mut waits) = (Vec::new(), Vec::new(), self.waits(None, groups));
        for placed in imported {
            let interface = &self.resolve.interfaces[placed.id];
            let types: Vec<TypeId> = interface.types.values().copied().collect();
            if !self.has_traits(&types, interface.functions.len()) {
                continue;
            }
            let inner = self.at(&placed.module, Side::Host, &types);
            waits |= self.waits(Some(&placed.instance), &self.host_groups(&inner, placed, &types)?);
            let path = |name: String| {
                relative(&[], &placed.module.iter().cloned().chain([name]).collect::<Vec<_>>())
            };
            let bound = path(host_trait(&inner.names));
            if !bounds.contains(&bound) {
                bounds.push(bound);
            }
            calls.push(format!("{}(linker, get)?;", path(String::from("add_to_linker"))));
        }
        bounds.extend(own_trait.map(str::to_owned));
        if bounds.is_empty() {
            return Ok(());
        }
        code.line(
            "/// Defines all that the world imports, with functions of what `get` finds in the store's data.",
        );
        code.line("///");
        code.line("/// # Errors");
        code.line("/// Where the linker has something else of a name.");
        self.open_linking(code, at, &bounds, waits);
        calls.iter().for_each(|call| code.line(call));
        if let Some(own_trait) = own_trait {
            code.line("let mut instance = linker.root();");
            self.definitions_in(code, at, None, own_trait, groups);
        }
        code.line(format!("{}(())", self.ok(at)));
        code.close();
        Ok(())
    }

    fn world_instantiating(&self, code: &mut Code, at: &At) {
        let (store, linker, component) = (
            self.component(at, "AsContextMut"),
            self.component(at, "Linker<TData>"),
            self.component(at, "Component"),
        );
        let is_async = self.options.instantiates_async();
        code.gap();
        code.line("/// Instantiates a component, and finds what it exports.");
        code.line("///");
        code.line("/// # Errors");
        code.line("/// Imports that are missing; exports that are missing or of another type; a trap.");
        let (marks, data, call) = match is_async {
            true => (
                "async fn instantiate_async",
                "Send + 'static",
                "linker.instantiate_async(&mut store, component).await?",
            ),
            false => ("fn instantiate", "'static", "linker.instantiate(&mut store, component)?"),
        };
        code.line(format!("pub {marks}<TData: {data}>("));
        code.line(format!("    mut store: impl {store}<Data = TData>,"));
        code.line(format!("    linker: &{linker},"));
        code.line(format!("    component: &{component},"));
        code.open(format!(") -> {}", self.result_of(at, "Self")));
        code.line(format!("let instance = {call};"));
        code.line("Self::new(store, &instance)");
        code.close();
    }
}

fn inner_docs(code: &mut Code, docs: &Option<String>) {
    if let Some(text) = docs {
        let mut inner = Code::default();
        inner.docs(text);
        code.line(
            inner.text().lines().map(|line| line.replacen("///", "//!", 1)).collect::<Vec<_>>().join("\n"),
        );
        code.line("");
        code.gap();
    }
}
