//! Which WIT types Rust types are, and whether a component's function is of them.

use std::any::TypeId;
use std::sync::Arc;

use innkeeper_engine::{Error, ErrorKind};

use super::ComponentType;
use crate::resource::{ResourceType, ResourceTypeId, usage};
use crate::state::{Shared, State};
use crate::types::{FuncType, FuncTypeIndex, ResourceSlot, Type, TypeIndex, TypeTable, ValType, same_parts};

/// A type that was defined in [`WitTypes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WitType(pub(super) TypeIndex);

/// Types of WIT, as [`ComponentType::define`] makes them.
#[derive(Default)]
pub struct WitTypes {
    pub(super) table: TypeTable,
    /// The resource types of handles among them, by slot.
    resources: Vec<RustResource>,
    /// The streams and futures among them.
    ends: Vec<(TypeId, TypeIndex)>,
}

/// A Rust type that stands for a resource type: the host's of it, or whichever a guest's function has.
struct RustResource {
    rust: TypeId,
    host: Option<ResourceType>,
}

impl WitTypes {
    pub(super) fn primitive(&mut self, ty: ValType) -> WitType {
        WitType(self.table.intern(ty))
    }

    /// `list<element>`
    pub fn list(&mut self, element: WitType) -> WitType {
        self.primitive(ValType::List(element.0))
    }

    /// `option<payload>`
    pub fn option(&mut self, payload: WitType) -> WitType {
        self.primitive(ValType::Option(payload.0))
    }

    /// `result<ok, err>`, with `_` where there is none
    pub fn result(&mut self, ok: Option<WitType>, err: Option<WitType>) -> WitType {
        self.primitive(ValType::Result(ok.map(|ty| ty.0), err.map(|ty| ty.0)))
    }

    /// `tuple<parts>`
    pub fn tuple(&mut self, parts: &[WitType]) -> WitType {
        self.primitive(ValType::Tuple(parts.iter().map(|part| part.0).collect()))
    }

    /// A record of these fields
    pub fn record(&mut self, fields: &[(&str, WitType)]) -> WitType {
        self.primitive(ValType::Record(fields.iter().map(|(name, ty)| ((*name).into(), ty.0)).collect()))
    }

    /// A variant of these cases
    pub fn variant(&mut self, cases: &[(&str, Option<WitType>)]) -> WitType {
        let cases = cases.iter().map(|(name, ty)| ((*name).into(), ty.map(|ty| ty.0)));
        self.primitive(ValType::Variant(cases.collect()))
    }

    /// An enum of these labels
    pub fn enumeration(&mut self, labels: &[&str]) -> WitType {
        self.primitive(ValType::Enum(labels.iter().map(|label| Arc::from(*label)).collect()))
    }

    /// Flags of these labels
    pub fn flags(&mut self, labels: &[&str]) -> WitType {
        self.primitive(ValType::Flags(labels.iter().map(|label| Arc::from(*label)).collect()))
    }

    /// `stream<element>`, which a Rust type stands for
    pub(super) fn stream(&mut self, rust: TypeId, element: WitType) -> WitType {
        self.end(rust, ValType::Stream(Some(element.0)))
    }

    /// `future<value>`
    pub(super) fn future(&mut self, rust: TypeId, value: WitType) -> WitType {
        self.end(rust, ValType::Future(Some(value.0)))
    }

    fn end(&mut self, rust: TypeId, ty: ValType) -> WitType {
        let ty = self.primitive(ty);
        self.ends.push((rust, ty.0));
        ty
    }

    pub(super) fn own(&mut self, rust: TypeId, host: Option<ResourceType>) -> WitType {
        let slot = self.resource(rust, host);
        self.primitive(ValType::Own(slot))
    }

    pub(super) fn borrow(&mut self, rust: TypeId, host: Option<ResourceType>) -> WitType {
        let slot = self.resource(rust, host);
        self.primitive(ValType::Borrow(slot))
    }

    fn resource(&mut self, rust: TypeId, host: Option<ResourceType>) -> ResourceSlot {
        let known = self.resources.iter().position(|known| known.rust == rust);
        ResourceSlot(known.unwrap_or_else(|| {
            self.resources.push(RustResource { rust, host });
            self.resources.len() - 1
        }) as u32)
    }
}

impl std::fmt::Debug for WitTypes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WitTypes").finish_non_exhaustive()
    }
}

/// Which resource types of a store the Rust types of a function stand for, and which of the component's types its streams and futures are; few enough to look through.
#[derive(Clone, Debug, Default)]
pub(crate) struct BoundResources {
    resources: Vec<(TypeId, ResourceTypeId)>,
    ends: Vec<(TypeId, TypeIndex)>,
}

impl BoundResources {
    /// Which stream's or future's type a Rust type stands for.
    pub(super) fn end(&self, rust: TypeId) -> Result<TypeIndex, Error> {
        let found = self.ends.iter().find(|(known, _)| *known == rust);
        found
            .map(|(_, ty)| *ty)
            .ok_or_else(|| usage("a stream or future of a type that `define` does not name"))
    }

    pub(super) fn get(&self, rust: TypeId) -> Result<ResourceTypeId, Error> {
        let found = self.resources.iter().find(|(known, _)| *known == rust);
        // Every type that has handles says so when it is defined, which the check has asked for.
        found.map(|(_, ty)| *ty).ok_or_else(|| usage("a handle of a type that `define` does not name"))
    }
}

/// Checks that a component's function takes `P` and gives `R`, and is not async; `name` is what an error calls it.
pub(crate) fn check<P: ComponentType, R: ComponentType>(
    name: &str,
    of: (&Shared, FuncTypeIndex),
    state: &State,
) -> Result<BoundResources, Error> {
    check_as::<P, R>((name, false), of, state)
}

/// The same, of a function that is async, or is not.
pub(super) fn check_as<P: ComponentType, R: ComponentType>(
    (name, is_async): (&str, bool),
    (shared, ty): (&Shared, FuncTypeIndex),
    state: &State,
) -> Result<BoundResources, Error> {
    let mut types = WitTypes::default();
    let (params, result) = (P::define(&mut types).0, R::define(&mut types).0);
    let (have, want) = (&types.table, &*shared.types);
    let func = want.func(ty);
    let result = Some(result).filter(|result| !is_nothing(have, *result));
    let mut bound = BoundResources::default();
    let mut same_resource = |rust: ResourceSlot, theirs: ResourceSlot| {
        let rust = &types.resources[rust.0 as usize];
        let theirs = shared.resources[theirs.0 as usize];
        match bound.resources.iter().find(|(known, _)| *known == rust.rust) {
            Some((_, known)) => *known == theirs,
            None => {
                bound.resources.push((rust.rust, theirs));
                rust.host.as_ref().is_none_or(|host| state.host_types.get(&host.id) == Some(&theirs))
            }
        }
    };
    let params_same = same_parts((have, params), (want, func.params_tuple), &mut same_resource);
    let result_same = match (result, func.result) {
        (Some(result), Some(theirs)) => same_parts((have, result), (want, theirs), &mut same_resource),
        (result, theirs) => (result.is_none() && theirs.is_none()).then(Default::default),
    };
    let same = match (params_same, result_same) {
        (Some(params), Some(result)) if func.is_async == is_async => {
            for (rust, ty) in &types.ends {
                let mut parts = params.iter().chain(&result);
                let theirs = parts.find(|(ours, _)| ours == ty).map(|(_, theirs)| *theirs);
                bound.ends.extend(theirs.map(|theirs| (*rust, theirs)));
            }
            true
        }
        _ => false,
    };
    if !same {
        let theirs = FuncType::new(&shared.types, ty);
        let ours = written(types.table, params, result);
        let kind = if is_async { "async " } else { "" };
        return Err(Error::new(ErrorKind::Link(format!(
            "{name} is `{theirs}` in the component, and Rust has `{kind}{ours}` for it"
        ))));
    }
    check_shape::<P>(have, params)?;
    result.map_or(Ok(()), |result| check_shape::<R>(have, result))?;
    Ok(bound)
}

/// Whether it is what a function gives that gives nothing.
fn is_nothing(table: &TypeTable, ty: TypeIndex) -> bool {
    matches!(table.get(ty), ValType::Tuple(parts) if parts.is_empty())
}

/// A type's own word on where its parts are is not taken for it.
pub(super) fn check_shape<V: ComponentType>(table: &TypeTable, ty: TypeIndex) -> Result<(), Error> {
    let (layout, shape) = (table.layout(ty), V::SHAPE);
    let flat = layout
        .flat
        .as_ref()
        .map_or(shape.flat() > crate::abi::MAX_FLAT_PARAMS, |flat| flat.len() == shape.flat());
    if flat && (layout.size, layout.align) == (shape.size(), shape.align()) {
        return Ok(());
    }
    Err(usage(&format!(
        "the `SHAPE` of a Rust type is wrong: it says {} bytes aligned to {}, and the type has {} aligned to {}",
        shape.size(),
        shape.align(),
        layout.size,
        layout.align
    )))
}

/// A function type as one would write it in WIT.
fn written(table: TypeTable, params: TypeIndex, result: Option<TypeIndex>) -> String {
    let table = Arc::new(table);
    let parts = match table.get(params) {
        ValType::Tuple(parts) => parts.clone(),
        _ => [params].into(),
    };
    let parts: Vec<String> = parts.iter().map(|part| Type::new(&table, *part).to_string()).collect();
    let result = result.map(|result| format!(" -> {}", Type::new(&table, result)));
    format!("func({}){}", parts.join(", "), result.unwrap_or_default())
}
