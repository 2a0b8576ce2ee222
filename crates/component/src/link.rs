//! What a component's imports stand for. All that is missing is told at once, with what there is in its place.

use std::sync::{Arc, OnceLock};

use innkeeper_engine as core;
use innkeeper_engine::{Error, ErrorKind};

use crate::component::Component;
use crate::func::{Func, HostCall, HostFunc};
use crate::linker::{Dtor, Item, Items};
use crate::plan::{Import, ImportKind};
use crate::resource::{ResourceType, ResourceTypeId};
use crate::types::FuncType;

/// What an import stands for.
pub(crate) enum Resolved<T: 'static> {
    HostFunc(HostCall<T>),
    /// Of one store.
    Func(Func),
    Module(core::Module),
    Resource(ResourceSource<T>),
    /// Nothing, where nothing is needed.
    Missing,
}

/// What all imports of a component stand for, with what was found out about them when it was first instantiated.
pub(crate) struct Imports<T: 'static> {
    pub(crate) resolved: Box<[Resolved<T>]>,
    checked: OnceLock<CheckedFuncs>,
}

/// Functions of the host that were found to be of the types that the component has for them.
struct CheckedFuncs {
    /// What the component's resource types were in the store that this was found out in.
    resources: Box<[ResourceTypeId]>,
    /// By import.
    funcs: Box<[Option<HostFunc>]>,
}

impl<T: 'static> Imports<T> {
    pub(crate) fn new(resolved: Vec<Resolved<T>>) -> Imports<T> {
        Imports { resolved: resolved.into(), checked: OnceLock::new() }
    }

    /// A function of the host as it is in stores where the component's resource types are `resources`, if that was found out before.
    ///
    /// Whether a function fits depends on the component's types, on the linker's, and on which resource types are the same. Each of them is a number of the store's, and a new store's numbers are the same as those of the last
    /// one: most often nothing is left to be compared.
    pub(crate) fn checked(&self, resources: &[ResourceTypeId]) -> Option<&[Option<HostFunc>]> {
        let checked = self.checked.get().filter(|checked| *checked.resources == *resources)?;
        Some(&checked.funcs)
    }

    /// Keeps what was found out in a store where the component's resource types are `resources`, with a function for each import that is one of the host's.
    pub(crate) fn keep_checked(&self, resources: &[ResourceTypeId], funcs: Vec<Option<HostFunc>>) {
        // What number a resource type has that is not the host's does not say which it is.
        let is_of_a_store =
            |import: &Resolved<T>| matches!(import, Resolved::Resource(ResourceSource::Store { .. }));
        if !self.resolved.iter().any(is_of_a_store) {
            self.checked.get_or_init(|| CheckedFuncs { resources: resources.into(), funcs: funcs.into() });
        }
    }
}

/// Where a resource type comes from.
pub(crate) enum ResourceSource<T: 'static> {
    Host(ResourceType, Arc<Dtor<T>>),
    /// One that a store has already.
    Store {
        store: u64,
        ty: ResourceTypeId,
    },
}

/// Something that a component must be given, and that a linker does not have. Printed, it says what it is, and what there is in its place.
#[derive(Clone, Debug)]
pub struct MissingImport {
    /// The import's name, then those of exports of it.
    pub path: Vec<Arc<str>>,
    explained: String,
}

impl std::fmt::Display for MissingImport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.explained)
    }
}

/// Missing imports that are told by name; there may be many.
const MAX_TOLD: usize = 100;

/// Finds what all imports stand for.
pub(crate) fn resolve<T: 'static>(
    items: &Items<T>,
    component: &Component,
) -> Result<Vec<Resolved<T>>, Error> {
    let (resolved, mut missing) = look_up(items, component);
    if missing.is_empty() {
        return Ok(resolved);
    }
    let (count, more) = (missing.len(), missing.len().saturating_sub(MAX_TOLD));
    missing.truncate(MAX_TOLD);
    let mut missing: Vec<String> = missing.into_iter().map(|missing| missing.explained).collect();
    if more > 0 {
        missing.push(format!("and {more} more"));
    }
    let imports = if count == 1 { "import that nobody provides" } else { "imports that nobody provides" };
    Err(Error::new(ErrorKind::Link(format!(
        "the component has {count} {imports}:\n  {}",
        missing.join("\n  ")
    ))))
}

/// What imports stand for, and which are missing.
pub(crate) fn look_up<T: 'static>(
    items: &Items<T>,
    component: &Component,
) -> (Vec<Resolved<T>>, Vec<MissingImport>) {
    let plan = component.plan();
    let (mut resolved, mut missing) = (Vec::with_capacity(plan.imports.len()), Vec::new());
    for import in &plan.imports {
        let found = find(items, &import.path).and_then(Item::resolved);
        resolved.push(match (import.kind, found) {
            (ImportKind::Func(_), Some(func @ (Resolved::HostFunc(_) | Resolved::Func(_)))) => func,
            (ImportKind::Module(ty), Some(Resolved::Module(module))) => {
                if let Err(reason) = plan.module_types[ty].check(&module) {
                    let explained = format!("`{}`: {}", short(&import.written()), short(&reason));
                    missing.push(MissingImport { path: import.path.to_vec(), explained });
                }
                Resolved::Module(module)
            }
            (ImportKind::Resource, Some(resource @ Resolved::Resource(_))) => resource,
            _ => {
                if import.is_needed {
                    // There may be very many, with types of any size.
                    let explained = match missing.len() < MAX_TOLD {
                        true => explain(items, component, import),
                        false => format!("`{}`", short(&import.written())),
                    };
                    missing.push(MissingImport { path: import.path.to_vec(), explained });
                }
                Resolved::Missing
            }
        });
    }
    (resolved, missing)
}

/// A text of a component's, cut where it is very long.
fn short(text: &str) -> String {
    const MOST_BYTES: usize = 2000;
    match text.len() > MOST_BYTES {
        true => format!("{}...", &text[..text.floor_char_boundary(MOST_BYTES)]),
        false => text.to_owned(),
    }
}

/// What an import's path leads to.
pub(crate) fn find<'a, T: 'static>(items: &'a Items<T>, path: &[Arc<str>]) -> Option<&'a Item<T>> {
    let (last, instances) = path.split_last()?;
    let mut items = items;
    for name in instances {
        let Item::Instance(inner) = items.get(name)? else { return None };
        items = inner;
    }
    items.get(last)
}

/// Says what is missing, and what there is.
fn explain<T: 'static>(items: &Items<T>, component: &Component, import: &Import) -> String {
    let kind = match import.kind {
        ImportKind::Func(ty) => short(&FuncType::new(&component.plan().types, ty).to_string()),
        ImportKind::Module(_) => "a core module".to_owned(),
        ImportKind::Resource => "a resource type".to_owned(),
        ImportKind::Component => "a component, which cannot be provided yet".to_owned(),
    };
    let written = short(&import.written());
    let mut items = items;
    for (depth, name) in import.path.iter().enumerate() {
        let is_last = depth + 1 == import.path.len();
        match items.get(name) {
            Some(Item::Instance(inner)) if !is_last => items = inner,
            Some(item) => return format!("`{written}` ({kind}): it is {} here", item.kind_name()),
            None => {
                let others: Vec<&str> = items.other_versions(name).collect();
                return match others.is_empty() {
                    false => {
                        format!("`{written}` ({kind}): there is `{}` only", short(&others.join("`, `")))
                    }
                    true if depth > 0 => {
                        format!(
                            "`{written}` ({kind}): there is `{}`, without it",
                            short(&import.path[..depth].join("#"))
                        )
                    }
                    true => format!("`{written}` ({kind})"),
                };
            }
        }
    }
    format!("`{written}` ({kind})")
}
