//! Structures, arrays and exceptions as the host makes and reads them. What an object is made of is in [`crate::vmctx::object`].
//!
//! Must stay true: slots given here are of living objects of the kind that is said, since a root of the store's keeps each; and whoever writes has compared the
//! value's type with the field's.

use std::ptr::NonNull;

use super::gc;
use crate::composite::StorageType;
use crate::composite::TypeId;
use crate::reference::object_kind;
use crate::registry::TypeRecord;
use crate::store::{StoreCore, TagId};
use crate::vmctx::VmTag;
use crate::vmctx::object::{Allocation, ObjectKind, VmObject, object_at};

/// A structure of a type that the store holds, with such slots; none where the heap is full.
pub(crate) fn new_struct(core: &mut StoreCore, ty: &TypeRecord, slots: &[u64]) -> Option<u64> {
    let live_end = core.stack_top();
    // The values' own references are roots, so that a collection leaves what they refer to.
    let object = core.allocate(Allocation::Typed(ty, slots.len() as u32), live_end)?;
    gc::write_slots(object, 0, slots);
    Some(object.as_ptr() as usize as u64)
}

/// An array of zeros of a type that the store holds; none where the heap is full.
pub(crate) fn new_array(core: &mut StoreCore, ty: &TypeRecord, len: u32) -> Option<u64> {
    let live_end = core.stack_top();
    let object = core.allocate(Allocation::Typed(ty, len), live_end)?;
    Some(object.as_ptr() as usize as u64)
}

/// An exception of a tag of the store's, whose values have such slots; none where the heap is full.
pub(crate) fn new_exception(core: &mut StoreCore, tag: TagId, slots: &[u64]) -> Option<u64> {
    let live_end = core.stack_top();
    let object = core.allocate(Allocation::Exception(1 + slots.len() as u32), live_end)?;
    let tag: *mut VmTag = core.tags[tag].vm();
    gc::write_slots(object, 0, &[tag as usize as u64]);
    gc::write_slots(object, 1, slots);
    Some(object.as_ptr() as usize as u64)
}

/// One or two slots of a structure, from slot `at` on.
pub(crate) fn read_slots(object: u64, at: u32, count: u32) -> [u64; 2] {
    let Some(contents) = contents(object) else { return [0, 0] };
    // SAFETY: `reference/aggregate.rs` passes a living structure, and the place of a field that its type has.
    unsafe {
        let first = contents.cast::<u64>().add(at as usize);
        [first.read(), if count == 2 { first.add(1).read() } else { 0 }]
    }
}

/// Writes the slots of one field of a structure.
pub(crate) fn write_slots(object: u64, at: u32, slots: &[u64]) {
    if let Some(object) = object_at(object) {
        gc::write_slots(object, at, slots);
    }
}

/// How many elements an array has.
pub(crate) fn array_len(object: u64) -> u32 {
    // SAFETY: as in `read_slots`, an array.
    object_at(object).map_or(0, |object| unsafe { object.as_ref().len })
}

/// An element of an array, zero-extended where it is packed.
pub(crate) fn read_element(object: u64, index: u32, storage: StorageType) -> [u64; 2] {
    let Some(contents) = contents(object) else { return [0, 0] };
    let bytes = storage.size_bytes();
    let mut element = [0; 16];
    // SAFETY: `reference/aggregate.rs` passes a living array of such elements, and has compared the index with its length.
    unsafe {
        contents.add(index as usize * bytes).copy_to_nonoverlapping(element.as_mut_ptr(), bytes);
    }
    let element = u128::from_le_bytes(element);
    [element as u64, (element >> 64) as u64]
}

/// Writes an element of an array; of a packed one the low bits.
pub(crate) fn write_element(object: u64, index: u32, storage: StorageType, slots: [u64; 2]) {
    let Some(contents) = contents(object) else { return };
    let bytes = storage.size_bytes();
    let element = (u128::from(slots[0]) | u128::from(slots[1]) << 64).to_le_bytes();
    // SAFETY: as in `read_element`.
    unsafe {
        contents.add(index as usize * bytes).copy_from_nonoverlapping(element.as_ptr(), bytes);
    }
}

fn contents(object: u64) -> Option<*mut u8> {
    // SAFETY: what a reference of the store's refers to is alive.
    object_at(object).map(|object: NonNull<VmObject>| unsafe { VmObject::contents(object.as_ptr()) })
}

impl StoreCore {
    /// The type of what a reference of this store refers to; none where that is no structure or array.
    pub(crate) fn object_type_checked(&self, slot: u64) -> Option<TypeId> {
        match object_kind(slot) {
            Some(ObjectKind::Struct | ObjectKind::Array) => self.object_type(slot),
            _ => None,
        }
    }
}
