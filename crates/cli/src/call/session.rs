//! The calls of one command, in one instance, with the resources that they have given and what these are called.

use innkeeper::component::{Instance, ResourceAny, Type, TypeKind, TypeResource, Val};
use innkeeper::{AsContextMut, Error};

use super::find::{Exported, Kind, find};
use super::{Call, read, write};
use crate::report::{Problem, short};

/// An instance whose functions are called one after the other.
pub(crate) struct Session {
    instance: Instance,
    functions: Vec<Exported>,
    handles: Vec<Named>,
}

/// A resource that the host holds.
struct Named {
    name: String,
    resource: TypeResource,
    any: ResourceAny,
}

/// Why a call has given nothing.
pub(crate) enum Called {
    /// It could not be made.
    Problem(Problem),
    /// It has ended by an error, most often a trap.
    Failed { call: String, error: Error },
}

impl Call<'_> {
    fn failed(&self, error: Error) -> Called {
        Called::Failed { call: format!("--invoke {}", self.text), error }
    }
}

impl From<Problem> for Called {
    fn from(problem: Problem) -> Called {
        Called::Problem(problem)
    }
}

impl Session {
    pub(crate) fn new(instance: Instance, functions: Vec<Exported>) -> Session {
        Session { instance, functions, handles: Vec::new() }
    }

    /// Makes a call; gives what is printed of its result.
    ///
    /// # Errors
    /// Mistakes in the call; what has ended it.
    pub(crate) fn call(
        &mut self,
        mut store: impl AsContextMut,
        call: &Call<'_>,
    ) -> Result<Option<String>, Called> {
        let (function, receiver) = match self.on_handle(call)? {
            Receiver::Of(function, any) => (function, vec![Val::Resource(any)]),
            Receiver::Drop(any) => {
                any.drop(&mut store).map_err(|error| call.failed(error))?;
                return Ok(None);
            }
            Receiver::None => {
                let found = find(&self.functions, call.function);
                let found = found.map_err(|(reason, help)| call.mistake(reason).help(help))?;
                (found.clone(), Vec::new())
            }
        };
        let help = || format!("its type is {}", function.ty);
        if let Some(name) = call.name
            && !function.ty.result().is_some_and(|result| gives_resource(&result))
        {
            let reason = format!("the function gives no resource that could be called `{name}`");
            return Err(call.mistake(reason).help(help()).into());
        }
        let handle_of = |resource: &TypeResource, name: &str| self.handle(resource, name);
        let params = read::arguments(&call.arguments, &function.ty, receiver, &handle_of)
            .map_err(|reason| call.mistake(reason).help(help()))?;
        let func = self.instance.get_func(&mut store, &function.path);
        let func = func.ok_or_else(|| call.mistake("the instance does not export the function"))?;
        let result = function.ty.result();
        let mut results = vec![Val::Bool(false); usize::from(result.is_some())];
        func.call(&mut store, &params, &mut results).map_err(|error| call.failed(error))?;
        Ok(result.zip(results.first()).map(|(ty, val)| self.text(call, &ty, val)))
    }

    /// Drops the resources that are left, the last first, as whoever made them would.
    ///
    /// # Errors
    /// What a destructor has ended by.
    pub(crate) fn finish(mut self, mut store: impl AsContextMut) -> Result<(), Error> {
        while let Some(Named { any, .. }) = self.handles.pop() {
            // What was given away or dropped is nobody's here.
            if any.is_owned(&mut store).unwrap_or(false) {
                any.drop(&mut store)?;
            }
        }
        Ok(())
    }

    /// What is called where the function is one of a resource's, `c.get`.
    fn on_handle(&self, call: &Call<'_>) -> Result<Receiver, Problem> {
        let Some((name, method)) = call.function.split_once('.') else { return Ok(Receiver::None) };
        let Some(Named { resource, any, .. }) = self.handles.iter().rev().find(|known| known.name == name)
        else {
            return Ok(Receiver::None);
        };
        let is_of = |function: &Exported| {
            function.kind == Kind::Method
                && function.ty.params().next().and_then(|(_, ty)| ty.resource()).as_ref() == Some(resource)
        };
        let methods: Vec<&Exported> = self.functions.iter().filter(|function| is_of(function)).collect();
        let own_name = |function: &Exported| function.name.rsplit_once('.').map(|(_, own)| own.to_owned());
        if let Some(found) = methods.iter().find(|known| own_name(known).as_deref() == Some(method)) {
            return Ok(Receiver::Of((*found).clone(), *any));
        }
        if method == "drop" {
            return Ok(Receiver::Drop(*any));
        }
        let names: Vec<String> = methods.iter().filter_map(|known| own_name(known)).collect();
        let reason = format!("the resource `{name}` has no method `{}`", short(method));
        Err(call
            .mistake(reason)
            .help(format!("it has {}", [&names[..], &["drop".to_owned()]].concat().join(", "))))
    }

    fn handle(&self, resource: &TypeResource, name: &str) -> Result<ResourceAny, String> {
        let called = || resource.name().map(short).unwrap_or_else(|| String::from("resource"));
        match self.handles.iter().rev().find(|known| known.name == name) {
            Some(known) if known.resource == *resource => Ok(known.any),
            Some(_) => Err(format!("`{name}` is a resource of another type than {}", called())),
            None => Err(format!(
                "expected the name of a {}, as in --invoke 'x = ...' before, found `{}`",
                called(),
                short(name)
            )),
        }
    }

    /// A result in WAVE. Resources in it are given names.
    fn text(&mut self, call: &Call<'_>, ty: &Type, val: &Val) -> String {
        let mut wanted = call.name;
        let handles = &mut self.handles;
        write::text(val, ty, &mut |resource, any| {
            let name = match wanted.take() {
                Some(name) => name.to_owned(),
                None => free_name(handles, call.name.or(resource.name()).unwrap_or("resource")),
            };
            handles.push(Named { name: name.clone(), resource: resource.clone(), any });
            name
        })
    }
}

enum Receiver {
    None,
    Of(Exported, ResourceAny),
    Drop(ResourceAny),
}

/// The first of `counter-1`, `counter-2` and so on that no resource has.
fn free_name(handles: &[Named], base: &str) -> String {
    let is_free = |name: &String| !handles.iter().any(|known| known.name == *name);
    let mut names = (1..=handles.len() + 1).map(|number| format!("{base}-{number}"));
    names.find(is_free).unwrap_or_else(|| base.to_owned())
}

/// Whether values of a type have owned handles among them.
fn gives_resource(ty: &Type) -> bool {
    let any = |types: &[Option<Type>]| types.iter().flatten().any(gives_resource);
    match ty.kind() {
        TypeKind::Own => true,
        TypeKind::List(ty) | TypeKind::FixedLengthList(ty, _) | TypeKind::Option(ty) => gives_resource(&ty),
        TypeKind::Map(key, value) => gives_resource(&key) || gives_resource(&value),
        TypeKind::Record(fields) => fields.iter().any(|(_, ty)| gives_resource(ty)),
        TypeKind::Tuple(types) => types.iter().any(gives_resource),
        TypeKind::Variant(cases) => cases.iter().any(|(_, ty)| ty.as_ref().is_some_and(gives_resource)),
        TypeKind::Result(ok, err) => any(&[ok, err]),
        _ => false,
    }
}
