//! What components import: traits for the host to implement, and what puts them into a linker.

use wit_parser::{TypeDefKind, TypeId};

use crate::code::Code;
use crate::definitions::docs;
use crate::functions::{Func, Group, names_tuple};
use crate::names::{camel, unique};
use crate::options::Mode;
use crate::places::Placed;
use crate::types::{At, Context, Form};

/// The name of the trait that an interface's functions are in, in its module.
pub(crate) fn host_trait(names: &[String]) -> String {
    unique(String::from("Host"), &mut names.to_vec())
}

impl Context<'_> {
    /// Traits for functions: one for those of each resource, and `name` for all.
    pub(crate) fn traits(
        &self,
        code: &mut Code,
        at: &At,
        owner: Option<&str>,
        name: &str,
        groups: &[Group<'_>],
    ) {
        let mut bounds = Vec::new();
        for group in groups {
            let Some(resource) = group.resource else { continue };
            let (trait_name, wit) = (self.resource_trait(at, resource), self.resource_name(resource));
            code.gap();
            code.line(format!("/// What the host does for the resource type `{wit}`."));
            self.omissions(code, group);
            code.open(format!("pub trait {trait_name}"));
            for func in &group.funcs {
                self.signature(code, at, owner, func);
            }
            code.gap();
            code.line("/// Nobody owns the resource any more.");
            code.line("///");
            code.line("/// # Errors");
            code.line("/// What ends the guest.");
            let handle = self.component(at, &format!("Resource<{}>", camel(wit)));
            code.line(format!("fn drop(&mut self, rep: {handle}) -> {};", self.result_of(at, "()")));
            code.close();
            bounds.push(trait_name);
        }
        code.gap();
        let of = owner.map_or_else(
            || "the world imports by itself".to_owned(),
            |owner| format!("`{owner}` asks of the host"),
        );
        code.line(format!("/// What {of}."));
        groups.iter().filter(|group| group.resource.is_none()).for_each(|group| self.omissions(code, group));
        let bounds = if bounds.is_empty() { String::new() } else { format!(": {}", bounds.join(" + ")) };
        code.open(format!("pub trait {name}{bounds}"));
        for group in groups.iter().filter(|group| group.resource.is_none()) {
            for func in &group.funcs {
                self.signature(code, at, owner, func);
            }
        }
        code.close();
    }

    fn omissions(&self, code: &mut Code, group: &Group<'_>) {
        if !group.omitted.is_empty() {
            code.line("///");
            code.line("/// Left out:");
            group.omitted.iter().for_each(|omitted| {
                code.line(format!("/// - `{}`", omitted.replacen(": ", "`: ", 1).trim_end_matches('`')))
            });
        }
    }

    fn signature(&self, code: &mut Code, at: &At, owner: Option<&str>, func: &Func<'_>) {
        let mode = self.options.imports.of(owner, &func.wit.name);
        code.gap();
        docs(code, &func.wit.docs);
        let form = self.param_form(mode);
        let params = func
            .params
            .iter()
            .map(|(name, ty)| format!(", {name}: {}", self.ty(at, ty, form).unwrap_or_default()));
        let params: String = params.collect();
        let result = self.result(at, func);
        let result = if mode.is_trappable { self.result_of(at, &result) } else { result };
        let result = match (mode.is_async, result.as_str()) {
            (true, _) => format!(" -> impl ::core::future::Future<Output = {result}> + Send"),
            (false, "()") => String::new(),
            (false, _) => format!(" -> {result}"),
        };
        code.line(format!("fn {}(&mut self{params}){result};", func.name));
    }

    fn param_form(&self, mode: Mode) -> Form {
        if mode.is_async || self.options.owned_parameters { Form::Owned } else { Form::Host }
    }

    /// `Result<of, Error>` with the engine's error.
    pub(crate) fn result_of(&self, at: &At, of: &str) -> String {
        format!("{}<{of}, {}>", self.prelude(at, "Result"), self.component(at, "Error"))
    }

    fn resource_name(&self, resource: TypeId) -> &str {
        self.resolve.types[resource].name.as_deref().unwrap_or_default()
    }

    fn resource_trait(&self, at: &At, resource: TypeId) -> String {
        unique(format!("Host{}", camel(self.resource_name(resource))), &mut at.names.clone())
    }

    /// The function that puts an interface into a linker.
    pub(crate) fn linking(&self, code: &mut Code, at: &At, placed: &Placed, groups: &[Group<'_>]) {
        let name = host_trait(&at.names);
        code.gap();
        code.line(format!("/// Defines the instance `{}`, whose functions are those of what `get` finds in the store's data.", placed.instance));
        code.line("///");
        code.line("/// # Errors");
        code.line("/// Where the linker has something else of that name.");
        self.open_linking(code, at, std::slice::from_ref(&name), self.waits(Some(&placed.instance), groups));
        code.line(format!("let mut instance = linker.instance({:?})?;", placed.instance));
        self.definitions_in(code, at, Some(&placed.instance), &name, groups);
        code.line(format!("{}(())", self.ok(at)));
        code.close();
    }

    /// Opens a function that takes a linker, and what finds an implementor of traits in a store's data.
    pub(crate) fn open_linking(&self, code: &mut Code, at: &At, traits: &[String], waits: bool) {
        let send = if waits { " + Send" } else { "" };
        code.line("pub fn add_to_linker<TData, THost>(");
        code.line(format!("    linker: &mut {},", self.component(at, "Linker<TData>")));
        code.line("    get: impl Fn(&mut TData) -> &mut THost + Copy + Send + Sync + 'static,");
        code.line(format!(") -> {}", self.result_of(at, "()")));
        code.line("where");
        code.line(format!("    TData: 'static{send},"));
        match traits {
            [one] => code.line(format!("    THost: {one}{send},")),
            several => {
                code.line(format!("    THost: {}", several.first().map_or("", String::as_str)));
                let others = several.iter().skip(1).map(String::as_str).chain(waits.then_some("Send"));
                let others: Vec<String> = others.map(|bound| format!("        + {bound}")).collect();
                code.line(format!("{},", others.join("\n")));
            }
        }
        code.open_block();
    }

    /// Whether some function of the host waits.
    pub(crate) fn waits(&self, owner: Option<&str>, groups: &[Group<'_>]) -> bool {
        let mut funcs = groups.iter().flat_map(|group| &group.funcs);
        funcs.any(|func| self.options.imports.of(owner, &func.wit.name).is_async)
    }

    pub(crate) fn ok(&self, at: &At) -> &'static str {
        if at.names.iter().any(|known| known == "Ok") { "::core::result::Result::Ok" } else { "Ok" }
    }

    /// Statements that define functions and resource types in `instance`.
    pub(crate) fn definitions_in(
        &self,
        code: &mut Code,
        at: &At,
        owner: Option<&str>,
        name: &str,
        groups: &[Group<'_>],
    ) {
        for group in groups {
            let name = match group.resource {
                Some(resource) => self.resource_trait(at, resource),
                None => name.to_owned(),
            };
            if let Some(resource) = group.resource {
                let wit = self.resource_name(resource);
                code.line(format!(
                    "instance.resource_of::<{}>({wit:?}, move |mut store, rep| {name}::drop(get(store.data_mut()), rep));",
                    camel(wit)
                ));
            }
            for func in &group.funcs {
                self.define(code, at, owner, (&name, func));
            }
        }
        // Without any function it is not used.
        if groups.iter().all(|group| group.resource.is_none() && group.funcs.is_empty()) {
            code.line("let _ = (&mut instance, get);");
        }
    }

    fn define(&self, code: &mut Code, at: &At, owner: Option<&str>, (name, func): (&str, &Func<'_>)) {
        let mode = self.options.imports.of(owner, &func.wit.name);
        let form = self.param_form(mode);
        let (tuple, names) = (self.params_tuple(at, func, form), names_tuple(func));
        let arguments: String = func.params.iter().map(|(name, _)| format!(", {name}")).collect();
        let wit = &func.wit.name;
        let (before, after) =
            if mode.is_trappable { (String::new(), "") } else { (format!("{}(", self.ok(at)), ")") };
        if mode.is_async {
            code.open(format!("instance.func_wrap_async::<{tuple}, _>({wit:?}, move |mut __store, {names}|"));
            code.line(format!(
                "Box::new(async move {{ {before}{name}::{}(get(__store.data_mut()){arguments}).await{after} }})",
                func.name
            ));
            code.close_with(");");
        } else if form == Form::Owned {
            code.line(format!(
                "instance.func_wrap::<{tuple}, _>({wit:?}, move |mut __store, {names}| {before}{name}::{}(get(__store.data_mut()){arguments}){after});",
                func.name
            ));
        } else {
            code.line(format!(
                "instance.func_wrap_borrowed::<{tuple}, _>({wit:?}, move |__data, {names}| {before}{name}::{}(get(__data){arguments}){after});",
                func.name
            ));
        }
    }

    /// Whether an interface has anything for a host to do.
    pub(crate) fn has_traits(&self, types: &[TypeId], functions: usize) -> bool {
        functions > 0 || types.iter().any(|id| matches!(self.resolve.types[*id].kind, TypeDefKind::Resource))
    }
}
