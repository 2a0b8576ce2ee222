//! From the validator's types to interned ones.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use innkeeper_engine::{Error, ErrorKind};
use wasmparser::PrimitiveValType;
use wasmparser::component_types::{
    ComponentDefinedType, ComponentDefinedTypeId, ComponentFuncTypeId, ComponentValType, ResourceId,
};
use wasmparser::types::TypesRef;

use super::{FuncTypeDef, FuncTypeIndex, ResourceSlot, TypeIndex, TypeTable, ValType};
use crate::plan::PlanCosts;

/// What was interned before.
#[derive(Default)]
pub(crate) struct Known {
    types: HashMap<ComponentDefinedTypeId, TypeIndex>,
    funcs: HashMap<ComponentFuncTypeId, FuncTypeIndex>,
}

/// Interns types as one instance of a component sees them: `resources` says which resource types its handles are of.
pub(crate) struct Interner<'a> {
    pub(crate) types: TypesRef<'a>,
    pub(crate) table: &'a mut TypeTable,
    pub(crate) resources: &'a HashMap<ResourceId, ResourceSlot>,
    /// What has no handles in it, which is the same in all instances.
    pub(crate) shared: &'a mut Known,
    /// What has, as this instance has interned it.
    pub(crate) own: &'a mut Known,
    /// Resource types that handles are of.
    pub(crate) used: &'a mut HashSet<ResourceSlot>,
    pub(crate) costs: &'a mut PlanCosts,
    /// Whether there are handles in what is being interned.
    pub(crate) has_handles: bool,
}

impl Interner<'_> {
    pub(crate) fn func(&mut self, id: ComponentFuncTypeId) -> Result<FuncTypeIndex, Error> {
        if let Some(index) = self.shared.funcs.get(&id).or_else(|| self.own.funcs.get(&id)) {
            return Ok(*index);
        }
        let has_handles_around = std::mem::take(&mut self.has_handles);
        let index = self.new_func(id)?;
        self.known().funcs.insert(id, index);
        self.has_handles |= has_handles_around;
        Ok(index)
    }

    /// Where to note what has just been interned.
    fn known(&mut self) -> &mut Known {
        if self.has_handles { self.own } else { self.shared }
    }

    fn new_func(&mut self, id: ComponentFuncTypeId) -> Result<FuncTypeIndex, Error> {
        let ty = self.types.get(id).ok_or_else(unknown)?;
        let params = ty
            .params
            .iter()
            .map(|(name, ty)| {
                self.costs.spend_on_name(name)?;
                Ok((Arc::from(name.as_str()), self.value(*ty)?))
            })
            .collect::<Result<Box<[_]>, Error>>()?;
        let result = ty.result.map(|ty| self.value(ty)).transpose()?;
        let params_tuple = self.table.intern(ValType::Tuple(params.iter().map(|(_, ty)| *ty).collect()));
        let has_borrow = self.table.layout(params_tuple).has_borrow;
        let is_async = ty.async_;
        Ok(self.table.intern_func(FuncTypeDef { params, result, is_async, params_tuple, has_borrow }))
    }

    pub(crate) fn value(&mut self, ty: ComponentValType) -> Result<TypeIndex, Error> {
        match ty {
            ComponentValType::Primitive(ty) => Ok(self.table.intern(primitive(ty))),
            ComponentValType::Type(id) => self.defined(id),
        }
    }

    /// Types are nested at most 100 deep, which validation has checked.
    fn defined(&mut self, id: ComponentDefinedTypeId) -> Result<TypeIndex, Error> {
        if let Some(index) = self.shared.types.get(&id) {
            return Ok(*index);
        }
        if let Some(index) = self.own.types.get(&id) {
            self.has_handles = true;
            return Ok(*index);
        }
        let has_handles_around = std::mem::take(&mut self.has_handles);
        let ty = self.new_defined(id)?;
        let index = self.table.intern(ty);
        self.known().types.insert(id, index);
        self.has_handles |= has_handles_around;
        Ok(index)
    }

    fn new_defined(&mut self, id: ComponentDefinedTypeId) -> Result<ValType, Error> {
        let types = self.types;
        let ty = types.get(id).ok_or_else(unknown)?;
        self.count(ty)?;
        Ok(match ty {
            ComponentDefinedType::Primitive(ty) => primitive(*ty),
            ComponentDefinedType::Record(record) => {
                let fields = record.fields.iter();
                let fields = fields.map(|(name, ty)| Ok((Arc::from(name.as_str()), self.value(*ty)?)));
                ValType::Record(fields.collect::<Result<_, Error>>()?)
            }
            ComponentDefinedType::Variant(variant) => {
                let cases = variant.cases.iter().map(|(name, case)| {
                    Ok((Arc::from(name.as_str()), case.ty.map(|ty| self.value(ty)).transpose()?))
                });
                ValType::Variant(cases.collect::<Result<_, Error>>()?)
            }
            ComponentDefinedType::List { element, .. } => ValType::List(self.value(*element)?),
            ComponentDefinedType::FixedLengthList { element, length, .. } => {
                ValType::FixedLengthList(self.value(*element)?, *length)
            }
            ComponentDefinedType::Map { key, value, .. } => {
                let (key, value) = (self.value(*key)?, self.value(*value)?);
                ValType::Map(key, value, self.table.intern(ValType::Tuple([key, value].into())))
            }
            ComponentDefinedType::Tuple(tuple) => {
                let types = tuple.types.iter().map(|ty| self.value(*ty));
                ValType::Tuple(types.collect::<Result<_, Error>>()?)
            }
            ComponentDefinedType::Flags(labels) => {
                ValType::Flags(labels.iter().map(|label| label.as_str().into()).collect())
            }
            ComponentDefinedType::Enum(labels) => {
                ValType::Enum(labels.iter().map(|label| label.as_str().into()).collect())
            }
            ComponentDefinedType::Option { ty, .. } => ValType::Option(self.value(*ty)?),
            ComponentDefinedType::Result { ok, err, .. } => {
                let ok = ok.map(|ty| self.value(ty)).transpose()?;
                ValType::Result(ok, err.map(|ty| self.value(ty)).transpose()?)
            }
            ComponentDefinedType::Own(id) => ValType::Own(self.resource(id.resource())?),
            ComponentDefinedType::Borrow(id) => ValType::Borrow(self.resource(id.resource())?),
            ComponentDefinedType::Future { ty, .. } => {
                ValType::Future(ty.map(|ty| self.value(ty)).transpose()?)
            }
            ComponentDefinedType::Stream { ty, .. } => {
                ValType::Stream(ty.map(|ty| self.value(ty)).transpose()?)
            }
        })
    }

    /// Counts what a type takes, by its parts.
    fn count(&mut self, ty: &ComponentDefinedType) -> Result<(), Error> {
        self.costs.spend(1)?;
        match ty {
            ComponentDefinedType::Record(record) => {
                record.fields.keys().try_for_each(|name| self.costs.spend_on_name(name))
            }
            ComponentDefinedType::Variant(variant) => {
                variant.cases.keys().try_for_each(|name| self.costs.spend_on_name(name))
            }
            ComponentDefinedType::Flags(labels) | ComponentDefinedType::Enum(labels) => {
                labels.iter().try_for_each(|label| self.costs.spend_on_name(label))
            }
            ComponentDefinedType::Tuple(tuple) => self.costs.spend(tuple.types.len()),
            _ => Ok(()),
        }
    }

    fn resource(&mut self, id: ResourceId) -> Result<ResourceSlot, Error> {
        let slot = *self.resources.get(&id).ok_or_else(unknown)?;
        self.used.insert(slot);
        self.has_handles = true;
        Ok(slot)
    }
}

/// Validation has seen every type that is asked for.
fn unknown() -> Error {
    Error::new(ErrorKind::Unsupported("a type that the component's validation has not seen".to_owned()))
}

fn primitive(ty: PrimitiveValType) -> ValType {
    match ty {
        PrimitiveValType::Bool => ValType::Bool,
        PrimitiveValType::S8 => ValType::S8,
        PrimitiveValType::U8 => ValType::U8,
        PrimitiveValType::S16 => ValType::S16,
        PrimitiveValType::U16 => ValType::U16,
        PrimitiveValType::S32 => ValType::S32,
        PrimitiveValType::U32 => ValType::U32,
        PrimitiveValType::S64 => ValType::S64,
        PrimitiveValType::U64 => ValType::U64,
        PrimitiveValType::F32 => ValType::Float32,
        PrimitiveValType::F64 => ValType::Float64,
        PrimitiveValType::Char => ValType::Char,
        PrimitiveValType::String => ValType::String,
        PrimitiveValType::ErrorContext => ValType::ErrorContext,
    }
}
