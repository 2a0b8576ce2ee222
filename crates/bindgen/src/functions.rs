//! Functions of an interface or a world, sorted by the resources that they are of.

use wit_parser::{Function, FunctionKind, Type, TypeId};

use crate::error::Error;
use crate::names::{snake, unique};
use crate::types::{At, Context, Form, Unsupported};

/// A function, with its names in Rust.
pub(crate) struct Func<'a> {
    pub(crate) wit: &'a Function,
    pub(crate) name: String,
    pub(crate) params: Vec<(String, Type)>,
}

/// Functions of a resource, or of none.
pub(crate) struct Group<'a> {
    pub(crate) resource: Option<TypeId>,
    pub(crate) funcs: Vec<Func<'a>>,
    /// What is left out, and why.
    pub(crate) omitted: Vec<String>,
}

/// Parameters that a function of Rust can have here.
const MAX_PARAMS: usize = 16;

impl Context<'_> {
    /// The functions that something has: first those of no resource, then those of each resource among `types`. `used` are names that functions of resources cannot have.
    ///
    /// # Errors
    /// Where one cannot be made, and may not be left out.
    pub(crate) fn groups<'a>(
        &self,
        at: &At,
        owner: &str,
        (types, functions): (&[TypeId], impl Iterator<Item = &'a Function> + Clone),
        used: &[&str],
    ) -> Result<Vec<Group<'a>>, Error> {
        let is_resource =
            |id: &&TypeId| matches!(self.resolve.types[**id].kind, wit_parser::TypeDefKind::Resource);
        let resources = types.iter().filter(is_resource).map(|id| Some(*id));
        let mut groups = Vec::new();
        for resource in [None].into_iter().chain(resources) {
            let mut names: Vec<String> = match resource {
                Some(_) => used.iter().map(|name| (*name).to_owned()).collect(),
                None => Vec::new(),
            };
            let mut group = Group { resource, funcs: Vec::new(), omitted: Vec::new() };
            for function in functions.clone().filter(|function| function.kind.resource() == resource) {
                match self.supported(at, function) {
                    Ok(()) => group.funcs.push(func(function, &mut names)),
                    Err(reason) if self.options.omit_unsupported => {
                        group.omitted.push(format!("{owner}#{}: {reason}", function.name));
                    }
                    Err(reason) => {
                        return Err(Error::new(format!(
                            "`{owner}#{}` cannot be made: {reason}; with `omit_unsupported` such functions are left out",
                            function.name
                        )));
                    }
                }
            }
            groups.push(group);
        }
        Ok(groups)
    }

    fn supported(&self, at: &At, function: &Function) -> Result<(), Unsupported> {
        match function.kind {
            FunctionKind::Freestanding
            | FunctionKind::Method(_)
            | FunctionKind::Static(_)
            | FunctionKind::Constructor(_) => {}
            _ if function.kind.is_async() => return Err("async functions of WIT cannot be made yet"),
            _ => return Err("properties cannot be made yet"),
        }
        if function.params.len() > MAX_PARAMS {
            return Err("it has more than 16 parameters");
        }
        let mut types = function.params.iter().map(|param| &param.ty).chain(&function.result);
        types.try_for_each(|ty| self.ty(at, ty, Form::Owned).map(drop))
    }

    /// What a function returns, `()` where it returns nothing.
    pub(crate) fn result(&self, at: &At, func: &Func<'_>) -> String {
        let result = func.wit.result.as_ref().map(|ty| self.ty(at, ty, Form::Owned).unwrap_or_default());
        result.unwrap_or_else(|| "()".to_owned())
    }

    /// A tuple of a function's parameters.
    pub(crate) fn params_tuple(&self, at: &At, func: &Func<'_>, form: Form) -> String {
        let types: Vec<Type> = func.params.iter().map(|(_, ty)| *ty).collect();
        self.tuple(at, &types, form).unwrap_or_default()
    }
}

fn func<'a>(function: &'a Function, names: &mut Vec<String>) -> Func<'a> {
    let own = match function.kind {
        FunctionKind::Constructor(_) => "new",
        _ => function.item_name(),
    };
    let mut used = vec!["store".to_owned(), "get".to_owned()];
    let params = function.params.iter().map(|param| {
        // `self` is the function's own in Rust.
        let name = if param.name == "self" { "this" } else { param.name.as_str() };
        (unique(snake(name), &mut used), param.ty)
    });
    Func { wit: function, name: unique(snake(own), names), params: params.collect() }
}

/// The names of a function's parameters, as a pattern or a tuple.
pub(crate) fn names_tuple(func: &Func<'_>) -> String {
    let names: Vec<&str> = func.params.iter().map(|(name, _)| name.as_str()).collect();
    let comma = if names.len() == 1 { "," } else { "" };
    format!("({}{comma})", names.join(", "))
}
