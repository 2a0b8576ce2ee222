//! What components export: their functions, found and checked once, and called with types of Rust.

use wit_parser::{Handle, Type, TypeDefKind};

use crate::code::Code;
use crate::definitions::docs;
use crate::functions::{Func, Group};
use crate::names::{camel, unique};
use crate::types::{At, Context, Form};

/// A function that is kept in a field.
pub(crate) struct Kept<'f, 'a> {
    pub(crate) field: String,
    pub(crate) func: &'f Func<'a>,
}

/// The form of what a kept function takes.
const KEPT: Form = Form::Guest { is_static: true };
/// The form of what a call takes.
const CALLED: Form = Form::Guest { is_static: false };

impl Context<'_> {
    /// An exported interface: a struct that has its functions.
    pub(crate) fn guest(&self, code: &mut Code, at: &At, instance: &str, groups: &[Group<'_>]) {
        let name = unique(String::from("Guest"), &mut at.names.clone());
        let mut fields = Vec::new();
        let kept: Vec<(Option<String>, Vec<Kept<'_, '_>>)> = groups
            .iter()
            .map(|group| {
                let wit = group.resource.and_then(|id| self.resolve.types[id].name.as_deref());
                let prefix = wit.map(|wit| format!("{}_", wit.replace('-', "_"))).unwrap_or_default();
                let funcs = group.funcs.iter().map(|func| {
                    let own = func.name.strip_prefix("r#").unwrap_or(&func.name);
                    let field = if prefix.is_empty() { func.name.clone() } else { format!("{prefix}{own}") };
                    Kept { field: unique(field, &mut fields), func }
                });
                (wit.map(str::to_owned), funcs.collect())
            })
            .collect();
        code.gap();
        code.line(format!("/// The functions of `{instance}` that an instance exports."));
        code.line("#[derive(Clone, Debug)]");
        code.open(format!("pub struct {name}"));
        for kept in kept.iter().flat_map(|(_, kept)| kept) {
            self.field(code, at, kept);
        }
        code.close();
        code.gap();
        code.open(format!("impl {name}"));
        code.line(format!("/// Finds the functions in an instance, under the name `{instance}` or that of a compatible version."));
        code.line("///");
        code.line("/// # Errors");
        code.line("/// Where one is not there, or of another type.");
        code.open(format!(
            "pub fn new(mut store: impl {}, instance: &{}) -> {}",
            self.component(at, "AsContextMut"),
            self.component(at, "Instance"),
            self.result_of(at, "Self")
        ));
        code.line("let _ = (&mut store, instance);");
        code.open(format!("{}(Self", self.ok(at)));
        for kept in kept.iter().flat_map(|(_, kept)| kept) {
            self.find(code, Some(instance), kept);
        }
        code.close_with(")");
        code.close();
        for (resource, kept) in &kept {
            match resource {
                None => kept.iter().for_each(|kept| self.call(code, at, Some(instance), (kept, "self"))),
                Some(wit) => {
                    code.gap();
                    code.line(format!("/// The functions of the resource type `{wit}`."));
                    code.open(format!(
                        "pub fn {}(&self) -> {}<'_>",
                        crate::names::snake(wit),
                        self.guest_resource(at, wit)
                    ));
                    code.line(format!("{} {{ guest: self }}", self.guest_resource(at, wit)));
                    code.close();
                }
            }
        }
        code.close();
        for (resource, kept) in &kept {
            let Some(wit) = resource else { continue };
            let of = self.guest_resource(at, wit);
            code.gap();
            code.line(format!("/// The functions of the resource type `{wit}` that an instance exports."));
            code.line("#[derive(Clone, Copy, Debug)]");
            code.open(format!("pub struct {of}<'a>"));
            code.line(format!("guest: &'a {name},"));
            code.close();
            code.gap();
            code.open(format!("impl {of}<'_>"));
            kept.iter().for_each(|kept| self.call(code, at, Some(instance), (kept, "self.guest")));
            code.close();
        }
    }

    fn guest_resource(&self, at: &At, wit: &str) -> String {
        unique(format!("Guest{}", camel(wit)), &mut at.names.clone())
    }

    /// The field that has a function.
    pub(crate) fn field(&self, code: &mut Code, at: &At, kept: &Kept<'_, '_>) {
        let (params, result) = (self.params_tuple(at, kept.func, KEPT), self.result(at, kept.func));
        code.line(format!(
            "{}: {},",
            kept.field,
            self.component(at, &format!("TypedFunc<{params}, {result}>"))
        ));
    }

    /// Finds a function for its field.
    pub(crate) fn find(&self, code: &mut Code, instance: Option<&str>, kept: &Kept<'_, '_>) {
        let own = &kept.func.wit.name;
        let path = instance.map_or_else(|| own.clone(), |instance| format!("{instance}#{own}"));
        code.line(format!("{}: instance.get_typed_func(&mut store, {path:?})?,", kept.field));
    }

    /// The function that calls one.
    pub(crate) fn call(
        &self,
        code: &mut Code,
        at: &At,
        owner: Option<&str>,
        (kept, holder): (&Kept<'_, '_>, &str),
    ) {
        let func = kept.func;
        let mode = self.options.exports.of(owner, &func.wit.name);
        let own = func.name.strip_prefix("r#").unwrap_or(&func.name);
        let (mut params, mut arguments) = (String::new(), Vec::new());
        for (index, (name, ty)) in func.params.iter().enumerate() {
            match self.own_borrow(at, ty).filter(|_| index == 0 && name == "this") {
                // What a method is called on is borrowed in Rust, too.
                Some(owned) => {
                    params.push_str(&format!(", this: &{owned}"));
                    arguments.push("this.borrow()".to_owned());
                }
                None => {
                    let ty = self.ty(at, ty, CALLED).unwrap_or_default();
                    params.push_str(&format!(", {name}: {ty}"));
                    arguments.push(name.clone());
                }
            }
        }
        let comma = if arguments.len() == 1 { "," } else { "" };
        let arguments = format!("({}{comma})", arguments.join(", "));
        let result = self.result_of(at, &self.result(at, func));
        code.gap();
        match &func.wit.docs.contents {
            Some(_) => docs(code, &func.wit.docs),
            None => code.line(format!("/// Calls `{}`.", func.wit.name)),
        }
        code.line("///");
        code.line("/// # Errors");
        code.line("/// A trap, or another reason for which the guest was stopped.");
        let store = self.component(at, "AsContextMut");
        if mode.is_async {
            code.open(format!(
                "pub async fn call_{own}<TData: Send + 'static>(&self, store: impl {store}<Data = TData>{params}) -> {result}"
            ));
            code.line(format!("{holder}.{}.call_async(store, {arguments}).await", kept.field));
        } else {
            code.open(format!("pub fn call_{own}(&self, store: impl {store}{params}) -> {result}"));
            code.line(format!("{holder}.{}.call(store, {arguments})", kept.field));
        }
        code.close();
    }

    /// Of a borrowed handle, the type of the owned one.
    fn own_borrow(&self, at: &At, ty: &Type) -> Option<String> {
        let Type::Id(id) = ty else { return None };
        let TypeDefKind::Handle(Handle::Borrow(resource)) = &self.resolve.types[*id].kind else {
            return None;
        };
        self.structure(at, &TypeDefKind::Handle(Handle::Own(*resource)), Form::Owned).ok()
    }
}
