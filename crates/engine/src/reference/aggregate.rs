//! Structures and arrays, made and read by the host (core specification 4.2.15, "Structure Instances", "Array Instances").
//!
//! What this is not: the layout of objects, which is `vmctx/object`, reached through `runtime/objects`.

use std::sync::Arc;

use super::{AnyRef, EqRef, heap_is_full, references};
use crate::composite::{CompositeType, FieldType, StorageType, TypeId};
use crate::error::Error;
use crate::registry::TypeRecord;
use crate::runtime::objects;
use crate::store::{AsContext, AsContextMut, StoreCore};
use crate::types::{Mutability, RefType, ValType};
use crate::value::Val;

references! {
    /// A structure.
    StructRef Struct;
    /// An array.
    ArrayRef Array;
}

impl StructRef {
    /// A structure of a type, which a module has or a [`super::DefinedType`], with these fields. Of packed fields the low bits are kept.
    ///
    /// # Errors
    /// Where the type is no structure's, or not of the store's engine; where fields do not fit; where the heap's limit refuses it.
    pub fn new(mut store: impl AsContextMut, ty: TypeId, fields: &[Val]) -> Result<StructRef, Error> {
        let core = &mut store.as_context_mut().0.core;
        let record = core.hold_type(ty)?;
        let types = field_types(&record)?;
        let unpacked: Vec<ValType> = types.iter().map(|field| field.storage.unpacked()).collect();
        let slots = core.slots_of(&unpacked, fields, "field")?;
        let object = objects::new_struct(core, &record, &slots).ok_or_else(heap_is_full)?;
        Ok(StructRef(core.root(object)))
    }

    /// Its type.
    ///
    /// # Errors
    /// Where the reference is no longer good, or of another store. So are those of the methods below.
    pub fn ty(self, store: impl AsContext) -> Result<TypeId, Error> {
        let core = &store.as_context().0.core;
        Ok(core.aggregate(core.slot_of_root(self.0)?)?.id)
    }

    /// How many fields it has.
    ///
    /// # Errors
    /// As [`StructRef::ty`].
    pub fn field_count(self, store: impl AsContext) -> Result<usize, Error> {
        let core = &store.as_context().0.core;
        let record = core.aggregate(core.slot_of_root(self.0)?)?;
        Ok(field_types(&record)?.len())
    }

    /// The field at `index`; a packed one is zero-extended.
    ///
    /// # Errors
    /// As [`StructRef::ty`], and where there is no such field.
    pub fn field(self, mut store: impl AsContextMut, index: usize) -> Result<Val, Error> {
        let core = &mut store.as_context_mut().0.core;
        let slot = core.slot_of_root(self.0)?;
        let (field, at) = field_at(&*core.aggregate(slot)?, index)?;
        let slots = objects::read_slots(slot, at, field.storage.unpacked().slots());
        Ok(Val::from_slots(cut(slots, field.storage), field.storage.unpacked(), core))
    }

    /// All fields, in order.
    ///
    /// # Errors
    /// As [`StructRef::ty`].
    pub fn fields(self, mut store: impl AsContextMut) -> Result<Vec<Val>, Error> {
        (0..self.field_count(&store)?).map(|index| self.field(&mut store, index)).collect()
    }

    /// Changes the field at `index`; of a packed one the low bits are kept.
    ///
    /// # Errors
    /// As [`StructRef::field`], and where the field never changes, or `value` is of another type.
    pub fn set_field(self, mut store: impl AsContextMut, index: usize, value: Val) -> Result<(), Error> {
        let core = &mut store.as_context_mut().0.core;
        let slot = core.slot_of_root(self.0)?;
        let (field, at) = field_at(&*core.aggregate(slot)?, index)?;
        if field.mutability == Mutability::Const {
            return Err(Error::usage(format!("field {index} of the structure never changes")));
        }
        let slots = core.slots_of(&[field.storage.unpacked()], &[value], "field")?;
        objects::write_slots(slot, at, &slots);
        Ok(())
    }
}

impl ArrayRef {
    /// An array of a type, which a module has or a [`super::DefinedType`], of `len` elements that are all `init`. Of packed elements the low bits are kept.
    ///
    /// # Errors
    /// Where the type is no array's, or not of the store's engine; where `init` is of another type; where the heap's limit refuses it.
    pub fn new(mut store: impl AsContextMut, ty: TypeId, init: Val, len: u32) -> Result<ArrayRef, Error> {
        let core = &mut store.as_context_mut().0.core;
        let record = core.hold_type(ty)?;
        let element = element_type(&record)?;
        core.slots_of(&[element.storage.unpacked()], &[init], "element")?;
        let slots = init.to_slots(core)?;
        let object = objects::new_array(core, &record, len).ok_or_else(heap_is_full)?;
        for i in 0..len {
            objects::write_element(object, i, element.storage, slots);
        }
        Ok(ArrayRef(core.root(object)))
    }

    /// As [`ArrayRef::new`], of these elements.
    ///
    /// # Errors
    /// As [`ArrayRef::new`].
    pub fn new_fixed(mut store: impl AsContextMut, ty: TypeId, elements: &[Val]) -> Result<ArrayRef, Error> {
        let core = &mut store.as_context_mut().0.core;
        let record = core.hold_type(ty)?;
        let element = element_type(&record)?;
        for value in elements {
            core.slots_of(&[element.storage.unpacked()], &[*value], "element")?;
        }
        let len = u32::try_from(elements.len()).map_err(|_| heap_is_full())?;
        let object = objects::new_array(core, &record, len).ok_or_else(heap_is_full)?;
        for (i, value) in (0..len).zip(elements) {
            objects::write_element(object, i, element.storage, value.to_slots(core)?);
        }
        Ok(ArrayRef(core.root(object)))
    }

    /// Its type.
    ///
    /// # Errors
    /// Where the reference is no longer good, or of another store. So are those of the methods below.
    pub fn ty(self, store: impl AsContext) -> Result<TypeId, Error> {
        let core = &store.as_context().0.core;
        Ok(core.aggregate(core.slot_of_root(self.0)?)?.id)
    }

    /// How many elements it has.
    ///
    /// # Errors
    /// As [`ArrayRef::ty`].
    pub fn len(self, store: impl AsContext) -> Result<u32, Error> {
        let core = &store.as_context().0.core;
        let slot = core.slot_of_root(self.0)?;
        core.aggregate(slot)?;
        Ok(objects::array_len(slot))
    }

    /// The element at `index`; a packed one is zero-extended.
    ///
    /// # Errors
    /// As [`ArrayRef::ty`], and where there is no such element.
    pub fn get(self, mut store: impl AsContextMut, index: u32) -> Result<Val, Error> {
        let core = &mut store.as_context_mut().0.core;
        let slot = core.slot_of_root(self.0)?;
        let element = element_type(&*core.aggregate(slot)?)?;
        check_element(slot, index)?;
        let slots = objects::read_element(slot, index, element.storage);
        Ok(Val::from_slots(slots, element.storage.unpacked(), core))
    }

    /// All elements, in order.
    ///
    /// # Errors
    /// As [`ArrayRef::ty`].
    pub fn elements(self, mut store: impl AsContextMut) -> Result<Vec<Val>, Error> {
        (0..self.len(&store)?).map(|index| self.get(&mut store, index)).collect()
    }

    /// Changes the element at `index`; of a packed one the low bits are kept.
    ///
    /// # Errors
    /// As [`ArrayRef::get`], and where the elements never change, or `value` is of another type.
    pub fn set(self, mut store: impl AsContextMut, index: u32, value: Val) -> Result<(), Error> {
        let core = &mut store.as_context_mut().0.core;
        let slot = core.slot_of_root(self.0)?;
        let element = element_type(&*core.aggregate(slot)?)?;
        check_element(slot, index)?;
        if element.mutability == Mutability::Const {
            return Err(Error::usage("the elements of the array never change"));
        }
        core.slots_of(&[element.storage.unpacked()], &[value], "element")?;
        objects::write_element(slot, index, element.storage, value.to_slots(core)?);
        Ok(())
    }
}

macro_rules! widen {
    ($($from:ident to $to:ident;)*) => {$(
        impl From<$from> for $to {
            fn from(reference: $from) -> $to {
                $to(reference.0)
            }
        }
    )*};
}

widen! {
    StructRef to AnyRef;
    ArrayRef to AnyRef;
    StructRef to EqRef;
    ArrayRef to EqRef;
}

impl StoreCore {
    /// The record of a type that the store holds from now on.
    fn hold_type(&mut self, ty: TypeId) -> Result<Arc<TypeRecord>, Error> {
        self.held_types
            .hold(ValType::Ref(RefType { nullable: false, heap: crate::types::HeapType::Concrete(ty) }))?;
        let missing = || Error::usage(format!("the engine has no type {ty}"));
        self.engine().registry().get(ty).ok_or_else(missing)
    }

    /// The type of a structure or array that a slot refers to.
    fn aggregate(&self, slot: u64) -> Result<Arc<TypeRecord>, Error> {
        let id = self.object_type_checked(slot);
        let record = id.and_then(|id| self.engine().registry().get(id));
        record.ok_or_else(|| Error::usage("the reference is to no structure or array"))
    }
}

fn field_types(record: &TypeRecord) -> Result<&[FieldType], Error> {
    match &record.ty.composite {
        CompositeType::Struct(fields) => Ok(fields),
        _ => Err(Error::usage(format!("type {} is no structure's", record.id))),
    }
}

fn element_type(record: &TypeRecord) -> Result<FieldType, Error> {
    match &record.ty.composite {
        CompositeType::Array(element) => Ok(*element),
        _ => Err(Error::usage(format!("type {} is no array's", record.id))),
    }
}

/// A field, and the slot that it begins with.
fn field_at(record: &TypeRecord, index: usize) -> Result<(FieldType, u32), Error> {
    let fields = field_types(record)?;
    let missing = || Error::usage(format!("the structure has {} fields, none of them {index}", fields.len()));
    let field = *fields.get(index).ok_or_else(missing)?;
    Ok((field, fields[..index].iter().map(|field| field.storage.unpacked().slots()).sum()))
}

fn check_element(slot: u64, index: u32) -> Result<(), Error> {
    let len = objects::array_len(slot);
    if index < len {
        return Ok(());
    }
    Err(Error::usage(format!("the array has {len} elements, none of them {index}")))
}

/// A packed field's bits alone.
fn cut([low, high]: [u64; 2], storage: StorageType) -> [u64; 2] {
    match storage {
        StorageType::I8 => [low & 0xff, 0],
        StorageType::I16 => [low & 0xffff, 0],
        StorageType::Val(_) => [low, high],
    }
}
