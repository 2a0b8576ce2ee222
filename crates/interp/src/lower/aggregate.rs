//! Structures and arrays.

use innkeeper_engine::index::TypeIndex;
use innkeeper_engine::tier::gc::struct_slots;
use innkeeper_engine::{CompositeType, FieldType, StorageType, ValType};

use super::emit::{pair, slots, slots_immediate};
use super::frame::{SlotIndex, near};
use super::stack::{OperandLocation, Width};
use super::{Lowering, Result};
use crate::machine::Handler;
use crate::op::aggregate;

/// How a packed field is extended when it is read.
#[derive(Clone, Copy, PartialEq)]
enum Extend {
    Signed,
    Unsigned,
}

impl Lowering<'_> {
    pub(super) fn visit_struct_new(&mut self, struct_type_index: u32) -> Result {
        let count = self.struct_fields(struct_type_index).len();
        self.settle_top(count);
        let end = near(self.stack.top_slot())?;
        let from = self.stack.slot_at(self.stack.len() - count)?;
        self.stack.truncate(self.stack.len() - count);
        let result = self.stack.push_slot()?;
        self.emit.op(aggregate::struct_new, slots(result, from, end - from, end));
        self.emit.word(u64::from(struct_type_index));
        Ok(())
    }

    pub(super) fn visit_struct_new_default(&mut self, struct_type_index: u32) -> Result {
        let end = near(self.stack.top_slot())?;
        let slot_count = struct_slots(&self.module.sub_type(TypeIndex(struct_type_index)).composite);
        let result = self.stack.push_slot()?;
        self.emit.op(aggregate::struct_new_default, slots(result, 0, 0, end));
        self.emit.word(pair(struct_type_index, slot_count));
        Ok(())
    }

    pub(super) fn visit_struct_get(&mut self, struct_type_index: u32, field_index: u32) -> Result {
        self.struct_get(struct_type_index, field_index, Extend::Unsigned)
    }

    pub(super) fn visit_struct_get_s(&mut self, struct_type_index: u32, field_index: u32) -> Result {
        self.struct_get(struct_type_index, field_index, Extend::Signed)
    }

    pub(super) fn visit_struct_get_u(&mut self, struct_type_index: u32, field_index: u32) -> Result {
        self.struct_get(struct_type_index, field_index, Extend::Unsigned)
    }

    fn struct_get(&mut self, ty: u32, field: u32, extend: Extend) -> Result {
        let (storage, at) = self.field(ty, field);
        let object = self.pop_slot();
        let start = self.emit.position();
        let result = self.stack.push(OperandLocation::Slot, Width::of_engine(storage.unpacked()))?;
        let handler: Handler = match (storage, extend) {
            (StorageType::I8, Extend::Signed) => aggregate::struct_get_i8,
            (StorageType::I8, Extend::Unsigned) => aggregate::struct_get_u8,
            (StorageType::I16, Extend::Signed) => aggregate::struct_get_i16,
            (StorageType::I16, Extend::Unsigned) => aggregate::struct_get_u16,
            (StorageType::Val(ValType::I32 | ValType::F32), _) => aggregate::struct_get_u32,
            (StorageType::Val(ValType::V128), _) => aggregate::struct_get2,
            (StorageType::Val(_), _) => aggregate::struct_get_u64,
        };
        self.emit.op(handler, slots_immediate(result, object, at));
        self.emit.wrote(start, result, None);
        Ok(())
    }

    pub(super) fn visit_struct_set(&mut self, struct_type_index: u32, field_index: u32) -> Result {
        let (storage, at) = self.field(struct_type_index, field_index);
        let (value, object) = (self.pop_slot(), self.pop_slot());
        let wide = storage == StorageType::Val(ValType::V128);
        let handler: Handler = if wide { aggregate::struct_set2 } else { aggregate::struct_set };
        self.emit.op(handler, slots_immediate(object, value, at));
        Ok(())
    }

    pub(super) fn visit_array_new(&mut self, array_type_index: u32) -> Result {
        let end = near(self.stack.top_slot())?;
        let (len, value) = (self.pop_slot(), self.pop_slot());
        let result = self.stack.push_slot()?;
        self.emit.op(aggregate::array_new, slots(result, value, len, end));
        self.emit.word(pair(array_type_index, self.is_wide(array_type_index)));
        Ok(())
    }

    pub(super) fn visit_array_new_default(&mut self, array_type_index: u32) -> Result {
        let end = near(self.stack.top_slot())?;
        let len = self.pop_slot();
        let result = self.stack.push_slot()?;
        self.emit.op(aggregate::array_new_default, slots(result, 0, len, end));
        self.emit.word(u64::from(array_type_index));
        Ok(())
    }

    pub(super) fn visit_array_new_fixed(&mut self, array_type_index: u32, array_size: u32) -> Result {
        let count = array_size as usize;
        self.settle_top(count);
        let end = near(self.stack.top_slot())?;
        let from = self.stack.slot_at(self.stack.len() - count)?;
        self.stack.truncate(self.stack.len() - count);
        let result = self.stack.push_slot()?;
        let count = SlotIndex::try_from(array_size).unwrap_or(SlotIndex::MAX);
        self.emit.op(aggregate::array_new_fixed, slots(result, from, count, end));
        self.emit.word(pair(array_type_index, self.is_wide(array_type_index)));
        Ok(())
    }

    pub(super) fn visit_array_new_data(&mut self, array_type_index: u32, array_data_index: u32) -> Result {
        self.array_new_segment(aggregate::array_new_data, array_type_index, array_data_index)
    }

    pub(super) fn visit_array_new_elem(&mut self, array_type_index: u32, array_elem_index: u32) -> Result {
        self.array_new_segment(aggregate::array_new_elem, array_type_index, array_elem_index)
    }

    fn array_new_segment(&mut self, handler: Handler, ty: u32, segment: u32) -> Result {
        let end = near(self.stack.top_slot())?;
        let (len, from) = (self.pop_slot(), self.pop_slot());
        let result = self.stack.push_slot()?;
        self.emit.op(handler, slots(result, from, len, end));
        self.emit.word(pair(ty, segment));
        Ok(())
    }

    pub(super) fn visit_array_get(&mut self, array_type_index: u32) -> Result {
        self.array_get(array_type_index, Extend::Unsigned)
    }

    pub(super) fn visit_array_get_s(&mut self, array_type_index: u32) -> Result {
        self.array_get(array_type_index, Extend::Signed)
    }

    pub(super) fn visit_array_get_u(&mut self, array_type_index: u32) -> Result {
        self.array_get(array_type_index, Extend::Unsigned)
    }

    fn array_get(&mut self, ty: u32, extend: Extend) -> Result {
        let storage = self.element(ty).storage;
        let (index, array) = (self.pop_slot(), self.pop_slot());
        let start = self.emit.position();
        let result = self.stack.push(OperandLocation::Slot, Width::of_engine(storage.unpacked()))?;
        let handler: Handler = match (storage, extend) {
            (StorageType::I8, Extend::Signed) => aggregate::array_get_i8,
            (StorageType::I8, Extend::Unsigned) => aggregate::array_get_u8,
            (StorageType::I16, Extend::Signed) => aggregate::array_get_i16,
            (StorageType::I16, Extend::Unsigned) => aggregate::array_get_u16,
            (StorageType::Val(ValType::I32 | ValType::F32), _) => aggregate::array_get_u32,
            (StorageType::Val(ValType::V128), _) => aggregate::array_get2,
            (StorageType::Val(_), _) => aggregate::array_get_u64,
        };
        self.emit.op(handler, slots(result, array, index, 0));
        self.emit.wrote(start, result, None);
        Ok(())
    }

    pub(super) fn visit_array_set(&mut self, array_type_index: u32) -> Result {
        let storage = self.element(array_type_index).storage;
        let (value, index, array) = (self.pop_slot(), self.pop_slot(), self.pop_slot());
        let handler: Handler = match storage {
            StorageType::I8 => aggregate::array_set_u8,
            StorageType::I16 => aggregate::array_set_u16,
            StorageType::Val(ValType::I32 | ValType::F32) => aggregate::array_set_u32,
            StorageType::Val(ValType::V128) => aggregate::array_set2,
            StorageType::Val(_) => aggregate::array_set_u64,
        };
        self.emit.op(handler, slots(array, index, value, 0));
        Ok(())
    }

    pub(super) fn visit_array_len(&mut self) -> Result {
        self.unary(aggregate::array_len)
    }

    pub(super) fn visit_array_fill(&mut self, array_type_index: u32) -> Result {
        let (len, value, to, array) = (self.pop_slot(), self.pop_slot(), self.pop_slot(), self.pop_slot());
        self.emit.op(aggregate::array_fill, slots(array, to, value, len));
        self.emit.word(u64::from(self.is_wide(array_type_index)));
        Ok(())
    }

    pub(super) fn visit_array_copy(&mut self, _: u32, _: u32) -> Result {
        let len = self.pop_slot();
        let (from, from_array) = (self.pop_slot(), self.pop_slot());
        let (to, to_array) = (self.pop_slot(), self.pop_slot());
        self.emit.op(aggregate::array_copy, slots(to_array, to, from_array, from));
        self.emit.word(slots(len, 0, 0, 0));
        Ok(())
    }

    pub(super) fn visit_array_init_data(&mut self, _: u32, array_data_index: u32) -> Result {
        self.array_init(aggregate::array_init_data, array_data_index)
    }

    pub(super) fn visit_array_init_elem(&mut self, _: u32, array_elem_index: u32) -> Result {
        self.array_init(aggregate::array_init_elem, array_elem_index)
    }

    fn array_init(&mut self, handler: Handler, segment: u32) -> Result {
        let (len, from, to, array) = (self.pop_slot(), self.pop_slot(), self.pop_slot(), self.pop_slot());
        self.emit.op(handler, slots(array, to, from, len));
        self.emit.word(u64::from(segment));
        Ok(())
    }

    fn struct_fields(&self, ty: u32) -> &[FieldType] {
        match &self.module.sub_type(TypeIndex(ty)).composite {
            CompositeType::Struct(fields) => fields,
            _ => &[],
        }
    }

    /// What a field stores, and the slot it starts at.
    fn field(&self, ty: u32, field: u32) -> (StorageType, u32) {
        let fields = &self.struct_fields(ty)[..=field as usize];
        let before = &fields[..fields.len() - 1];
        let at = before.iter().map(|field| field.storage.unpacked().slots()).sum();
        (fields[fields.len() - 1].storage, at)
    }

    /// The element type of an array type, which validation has seen to be one.
    fn element(&self, ty: u32) -> FieldType {
        match &self.module.sub_type(TypeIndex(ty)).composite {
            CompositeType::Array(element) => *element,
            other => unreachable!("validated to be an array: {other:?}"),
        }
    }

    /// 1 where the elements take two slots.
    fn is_wide(&self, ty: u32) -> u32 {
        u32::from(self.element(ty).storage == StorageType::Val(ValType::V128))
    }
}
