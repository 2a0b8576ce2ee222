//! Types of parts, written down anew in the component that they are composed to.
//!
//! A type is written where it is first needed. One that an interface has by name is always meant by that name, which makes it the same for all parts: so resources that several parts use
//! are one.

use std::collections::HashMap;

use wasm_encoder::{
    Alias, ComponentBuilder, ComponentExportKind, ComponentOuterAliasKind, ComponentTypeEncoder,
    ComponentTypeRef, ComponentValType, InstanceType, PrimitiveValType, TypeBounds,
};
use wasmparser::component_types::ComponentValType as ValidType;
use wasmparser::component_types::{
    ComponentAnyTypeId, ComponentDefinedType, ComponentDefinedTypeId, ComponentFuncTypeId, ResourceId,
};
use wasmparser::types::TypesRef;

/// What cannot be written down, in words that go on a sentence.
type Refusal = String;

/// Types that imported interfaces have.
#[derive(Default)]
pub(super) struct Known {
    places: Vec<Place>,
    defined: HashMap<ComponentDefinedTypeId, usize>,
    resources: HashMap<ResourceId, usize>,
}

struct Place {
    instance: u32,
    name: String,
    /// The type's index in the outermost component, once it is used there.
    index: Option<u32>,
}

impl Known {
    /// Makes a type known that an imported instance exports, by all ids that it has.
    pub(super) fn add(&mut self, (instance, name): (u32, &str), ids: &[ComponentAnyTypeId]) {
        let place = self.places.len();
        self.places.push(Place { instance, name: name.to_owned(), index: None });
        for id in ids {
            match id {
                ComponentAnyTypeId::Resource(id) => {
                    // What another interface has defined is meant by that one's name.
                    self.resources.entry(id.resource()).or_insert(place);
                }
                ComponentAnyTypeId::Defined(id) => {
                    self.defined.insert(*id, place);
                }
                _ => {}
            }
        }
    }
}

/// Where types are written down: in the outermost component, or in the type of an instance.
pub(super) struct Scope<'s, 't> {
    builder: &'s mut ComponentBuilder,
    known: &'s mut Known,
    types: TypesRef<'t>,
    instance: Option<InstanceType>,
    defined: HashMap<ComponentDefinedTypeId, u32>,
    resources: HashMap<ResourceId, u32>,
}

impl<'s, 't> Scope<'s, 't> {
    pub(super) fn outermost(
        builder: &'s mut ComponentBuilder,
        known: &'s mut Known,
        types: TypesRef<'t>,
    ) -> Scope<'s, 't> {
        let (defined, resources) = (HashMap::new(), HashMap::new());
        Scope { builder, known, types, instance: None, defined, resources }
    }

    pub(super) fn instance(
        builder: &'s mut ComponentBuilder,
        known: &'s mut Known,
        types: TypesRef<'t>,
    ) -> Scope<'s, 't> {
        Scope { instance: Some(InstanceType::new()), ..Scope::outermost(builder, known, types) }
    }

    /// The type of the instance.
    pub(super) fn finish(self) -> InstanceType {
        self.instance.unwrap_or_default()
    }

    /// Has the instance export something; gives the index of the type, where it is one.
    pub(super) fn export(&mut self, name: &str, ty: ComponentTypeRef) -> u32 {
        let instance = self.instance.get_or_insert_default();
        let index = instance.type_count();
        instance.export(name, ty);
        index
    }

    /// Has a type of a part mean the one with this index.
    pub(super) fn define(&mut self, id: ComponentAnyTypeId, index: u32) {
        match id {
            ComponentAnyTypeId::Resource(id) => {
                self.resources.insert(id.resource(), index);
            }
            ComponentAnyTypeId::Defined(id) => {
                self.defined.insert(id, index);
            }
            _ => {}
        }
    }

    /// How a type is exported: as one that is there already, or as a resource of its own.
    pub(super) fn bounds(&mut self, referenced: ComponentAnyTypeId) -> Result<TypeBounds, Refusal> {
        match referenced {
            ComponentAnyTypeId::Resource(id) => Ok(match self.find_resource(id.resource()) {
                Some(index) => TypeBounds::Eq(index),
                None => TypeBounds::SubResource,
            }),
            ComponentAnyTypeId::Defined(id) => Ok(TypeBounds::Eq(self.defined(id)?)),
            _ => Err("which has a type that is neither of values nor of a resource".to_owned()),
        }
    }

    /// Writes the type of a function down.
    pub(super) fn func(&mut self, id: ComponentFuncTypeId) -> Result<u32, Refusal> {
        let ty = &self.types[id].clone();
        let params = ty.params.iter().map(|(name, ty)| Ok((name.to_string(), self.value(*ty)?)));
        let params = params.collect::<Result<Vec<_>, Refusal>>()?;
        let result = ty.result.map(|ty| self.value(ty)).transpose()?;
        let is_async = ty.async_;
        let (index, encoder) = self.next();
        let mut encoder = encoder.function();
        encoder.async_(is_async).params(params.iter().map(|(name, ty)| (name.as_str(), *ty))).result(result);
        Ok(index)
    }

    fn next(&mut self) -> (u32, ComponentTypeEncoder<'_>) {
        match &mut self.instance {
            Some(instance) => (instance.type_count(), instance.ty()),
            None => self.builder.ty(None),
        }
    }

    /// A type of an interface that was imported before.
    fn outer_type(&mut self, place: usize) -> u32 {
        let place = &mut self.known.places[place];
        let (instance, name) = (place.instance, &place.name);
        let alias = || self.builder.alias_export(instance, name, ComponentExportKind::Type);
        let outer = *place.index.get_or_insert_with(alias);
        let Some(instance) = &mut self.instance else { return outer };
        let index = instance.type_count();
        instance.alias(Alias::Outer { kind: ComponentOuterAliasKind::Type, count: 1, index: outer });
        index
    }

    fn find_resource(&mut self, id: ResourceId) -> Option<u32> {
        if let Some(index) = self.resources.get(&id) {
            return Some(*index);
        }
        let place = *self.known.resources.get(&id)?;
        let index = self.outer_type(place);
        self.resources.insert(id, index);
        Some(index)
    }

    fn resource(&mut self, id: ResourceId) -> Result<u32, Refusal> {
        self.find_resource(id).ok_or_else(|| "which has handles of a resource that a plug defines".to_owned())
    }

    fn value(&mut self, ty: ValidType) -> Result<ComponentValType, Refusal> {
        Ok(match ty {
            ValidType::Primitive(ty) => ComponentValType::Primitive(primitive(ty)),
            ValidType::Type(id) => ComponentValType::Type(self.defined(id)?),
        })
    }

    fn optional(&mut self, ty: Option<ValidType>) -> Result<Option<ComponentValType>, Refusal> {
        ty.map(|ty| self.value(ty)).transpose()
    }

    /// The index of a type of values, which is written down now where it is not there. Types are nested at most 100 deep, which validation has checked.
    fn defined(&mut self, id: ComponentDefinedTypeId) -> Result<u32, Refusal> {
        if let Some(index) = self.defined.get(&id) {
            return Ok(*index);
        }
        let index = match self.known.defined.get(&id) {
            Some(place) => self.outer_type(*place),
            None => self.write(id)?,
        };
        self.defined.insert(id, index);
        Ok(index)
    }

    fn write(&mut self, id: ComponentDefinedTypeId) -> Result<u32, Refusal> {
        use ComponentDefinedType as D;
        let ty = &self.types[id].clone();
        // What it consists of is written before it.
        let mut parts = Vec::new();
        match ty {
            D::Record(record) => {
                for ty in record.fields.values() {
                    parts.push(Some(self.value(*ty)?));
                }
            }
            D::Variant(variant) => {
                for case in variant.cases.values() {
                    parts.push(self.optional(case.ty)?);
                }
            }
            D::Tuple(tuple) => {
                for ty in &tuple.types {
                    parts.push(Some(self.value(*ty)?));
                }
            }
            D::List { element: ty, .. } | D::FixedLengthList { element: ty, .. } | D::Option { ty, .. } => {
                parts.push(Some(self.value(*ty)?));
            }
            D::Map { key, value, .. } => {
                parts.push(Some(self.value(*key)?));
                parts.push(Some(self.value(*value)?));
            }
            D::Result { ok, err, .. } => {
                parts.push(self.optional(*ok)?);
                parts.push(self.optional(*err)?);
            }
            D::Future { ty, .. } | D::Stream { ty, .. } => parts.push(self.optional(*ty)?),
            D::Own(id) | D::Borrow(id) => {
                parts.push(Some(ComponentValType::Type(self.resource(id.resource())?)));
            }
            D::Primitive(_) | D::Flags(_) | D::Enum(_) => {}
        }
        let first = parts.first().copied().flatten();
        let needed = || first.ok_or_else(|| "whose type is incomplete".to_owned());
        let handle = || match first {
            Some(ComponentValType::Type(index)) => Ok(index),
            _ => Err("whose type is incomplete".to_owned()),
        };
        let (index, encoder) = self.next();
        let encoder = encoder.defined_type();
        match ty {
            D::Primitive(ty) => encoder.primitive(primitive(*ty)),
            D::Record(record) => {
                let fields = record.fields.keys().map(|name| name.as_str()).zip(parts.into_iter().flatten());
                encoder.record(fields.collect::<Vec<_>>());
            }
            D::Variant(variant) => {
                let cases = variant.cases.keys().map(|name| name.as_str()).zip(parts);
                encoder.variant(cases.collect::<Vec<_>>());
            }
            D::Tuple(_) => encoder.tuple(parts.into_iter().flatten().collect::<Vec<_>>()),
            D::Flags(names) => encoder.flags(names.iter().map(|name| name.as_str()).collect::<Vec<_>>()),
            D::Enum(names) => encoder.enum_type(names.iter().map(|name| name.as_str()).collect::<Vec<_>>()),
            D::List { .. } => encoder.list(needed()?),
            D::FixedLengthList { length, .. } => encoder.fixed_length_list(needed()?, *length),
            D::Option { .. } => encoder.option(needed()?),
            D::Map { .. } => match parts[..] {
                [Some(key), Some(value)] => encoder.map(key, value),
                _ => return Err("whose type is incomplete".to_owned()),
            },
            D::Result { .. } => encoder.result(first, parts.get(1).copied().flatten()),
            D::Future { .. } => encoder.future(first),
            D::Stream { .. } => encoder.stream(first),
            D::Own(_) => encoder.own(handle()?),
            D::Borrow(_) => encoder.borrow(handle()?),
        }
        Ok(index)
    }
}

fn primitive(ty: wasmparser::PrimitiveValType) -> PrimitiveValType {
    use wasmparser::PrimitiveValType as P;
    match ty {
        P::Bool => PrimitiveValType::Bool,
        P::S8 => PrimitiveValType::S8,
        P::U8 => PrimitiveValType::U8,
        P::S16 => PrimitiveValType::S16,
        P::U16 => PrimitiveValType::U16,
        P::S32 => PrimitiveValType::S32,
        P::U32 => PrimitiveValType::U32,
        P::S64 => PrimitiveValType::S64,
        P::U64 => PrimitiveValType::U64,
        P::F32 => PrimitiveValType::F32,
        P::F64 => PrimitiveValType::F64,
        P::Char => PrimitiveValType::Char,
        P::String => PrimitiveValType::String,
        P::ErrorContext => PrimitiveValType::ErrorContext,
    }
}
