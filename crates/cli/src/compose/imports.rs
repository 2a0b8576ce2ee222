//! What a composed component imports: what its parts import and no plug gives them.
//!
//! Where several import an interface under one name, each with the functions that it uses, it is imported once, with all of them.

use std::collections::HashMap;

use wasm_encoder::{ComponentBuilder, ComponentTypeRef};
use wasmparser::component_types::{
    ComponentAnyTypeId, ComponentEntityType, ComponentInstanceTypeId, ResourceId,
};
use wasmparser::types::TypesRef;

use super::types::{Known, Scope};
use super::unimportable;
use crate::report::Problem;

/// Imports by name, in the order in which they were first wanted.
#[derive(Default)]
pub(super) struct Imports<'p> {
    wanted: Vec<Wanted<'p>>,
    /// Where each is in the list.
    places: HashMap<&'p str, usize>,
    /// Each as it was noted, component by component.
    noted: Vec<(usize, ComponentEntityType)>,
}

/// An import, as each of those wants it that do.
struct Wanted<'p> {
    name: &'p str,
    by: Vec<(&'p str, ComponentEntityType)>,
}

impl<'p> Imports<'p> {
    /// Notes what a component wants.
    pub(super) fn note(
        &mut self,
        component: &'p str,
        wanted: impl Iterator<Item = (&'p str, ComponentEntityType)>,
    ) {
        for (name, ty) in wanted {
            let place = *self.places.entry(name).or_insert(self.wanted.len());
            if place == self.wanted.len() {
                self.wanted.push(Wanted { name, by: Vec::new() });
            }
            self.wanted[place].by.push((component, ty));
            self.noted.push((place, ty));
        }
    }

    /// The order in which they are imported: each after those that it has types of. In each component they are in such an order, and the components' orders may differ.
    fn order(&self, types: TypesRef<'_>) -> Vec<usize> {
        let (mut definers, mut needs) = (HashMap::new(), vec![Vec::new(); self.wanted.len()]);
        for (place, ty) in &self.noted {
            let ComponentEntityType::Instance(id) = ty else { continue };
            for item in types[*id].exports.values() {
                if let ComponentEntityType::Type { referenced, created } = item.ty {
                    if let Some(definer) = definers.get(&key(referenced)) {
                        needs[*place].push(*definer);
                    }
                    definers.entry(key(created)).or_insert(*place);
                }
            }
        }
        let (mut order, mut is_seen) = (Vec::new(), vec![false; self.wanted.len()]);
        // Each is looked at again when those that it needs are in the order.
        let mut todo: Vec<(usize, bool)> = (0..self.wanted.len()).rev().map(|place| (place, false)).collect();
        while let Some((place, is_ready)) = todo.pop() {
            if is_ready {
                order.push(place);
            } else if !std::mem::replace(&mut is_seen[place], true) {
                todo.push((place, true));
                todo.extend(needs[place].iter().rev().map(|needed| (*needed, false)));
            }
        }
        order
    }

    /// Imports all of them, and gives the index of each in the index space of its kind.
    pub(super) fn encode(
        &self,
        builder: &mut ComponentBuilder,
        types: TypesRef<'_>,
    ) -> Result<HashMap<&'p str, u32>, Problem> {
        let mut known = Known::default();
        let mut indices = HashMap::new();
        for Wanted { name, by } in self.order(types).into_iter().map(|place| &self.wanted[place]) {
            let mut instances = Vec::new();
            for (component, ty) in by {
                match (*ty, by.len()) {
                    (ComponentEntityType::Instance(id), _) => instances.push((*component, id)),
                    (ComponentEntityType::Func(id), 1) => {
                        let mut scope = Scope::outermost(builder, &mut known, types);
                        let ty = scope.func(id).map_err(|what| unimportable(component, name, &what))?;
                        indices.insert(*name, builder.import(*name, ComponentTypeRef::Func(ty)));
                    }
                    (ComponentEntityType::Func(_), _) => {
                        return Err(unimportable(
                            component,
                            name,
                            "and so does another component: a function by itself",
                        ));
                    }
                    _ => {
                        return Err(unimportable(
                            component,
                            name,
                            "which is neither an interface nor a function",
                        ));
                    }
                }
            }
            if !instances.is_empty() {
                let index = interface((builder, &mut known, types), name, &instances)?;
                indices.insert(*name, index);
            }
        }
        Ok(indices)
    }
}

/// What tells a type from others, whose ids differ from use to use where it is a resource.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Resource(ResourceId),
    Other(ComponentAnyTypeId),
}

fn key(id: ComponentAnyTypeId) -> Key {
    match id {
        ComponentAnyTypeId::Resource(id) => Key::Resource(id.resource()),
        id => Key::Other(id),
    }
}

/// Imports an interface with what each of some components wants of it.
fn interface(
    (builder, known, types): (&mut ComponentBuilder, &mut Known, TypesRef<'_>),
    name: &str,
    wanted: &[(&str, ComponentInstanceTypeId)],
) -> Result<u32, Problem> {
    let mut scope = Scope::instance(builder, known, types);
    // Types of the interface by name, to be known as its own afterwards.
    let mut own: HashMap<&str, (u32, Vec<ComponentAnyTypeId>)> = HashMap::new();
    let mut funcs: Vec<&str> = Vec::new();
    for (component, id) in wanted {
        for (export, item) in &types[*id].exports {
            let failed = |what: String| unimportable(component, name, &what);
            match item.ty {
                ComponentEntityType::Type { referenced, created } => {
                    let index = match own.get(export.as_str()) {
                        Some((index, _)) => *index,
                        None => {
                            let bounds = scope.bounds(referenced).map_err(failed)?;
                            scope.export(export, ComponentTypeRef::Type(bounds))
                        }
                    };
                    scope.define(created, index);
                    own.entry(export).or_insert((index, Vec::new())).1.push(created);
                }
                ComponentEntityType::Func(_) if funcs.contains(&export.as_str()) => {}
                ComponentEntityType::Func(id) => {
                    let ty = scope.func(id).map_err(failed)?;
                    scope.export(export, ComponentTypeRef::Func(ty));
                    funcs.push(export);
                }
                _ => return Err(failed(format!("whose `{export}` is neither a type nor a function"))),
            }
        }
    }
    let ty = scope.finish();
    let ty = builder.type_instance(None, &ty);
    let index = builder.import(name, ComponentTypeRef::Instance(ty));
    for (export, (_, created)) in own {
        known.add((index, export), &created);
    }
    Ok(index)
}
