//! Structures and arrays. Allocation and bulk operations are the engine's; fields and elements are read and written here.

use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, MemFlagsData, Type, Value, types};
use innkeeper_engine::index::TypeIndex;
use innkeeper_engine::tier::VmObject;
use innkeeper_engine::tier::gc::struct_slots;
use innkeeper_engine::{CompositeType, FieldType, StorageType, Trap};
use wasmparser::Operator;

use super::{Result, Translator, Unsupported};
use crate::libcall::Libcall;
use crate::{abi, trap};

/// How a packed field is extended when it is read.
#[derive(Clone, Copy, PartialEq)]
enum Extend {
    Signed,
    Unsigned,
}

const CONTENTS: i32 = VmObject::CONTENTS as i32;

impl Translator<'_, '_> {
    pub(super) fn aggregate(&mut self, operator: &Operator<'_>) -> Result<bool> {
        match operator {
            Operator::StructNew { struct_type_index } => self.struct_new(*struct_type_index),
            Operator::StructNewDefault { struct_type_index } => {
                let slots = struct_slots(&self.module.sub_type(TypeIndex(*struct_type_index)).composite);
                let object = self.allocate(*struct_type_index, slots)?;
                self.push(object)
            }
            Operator::StructGet { struct_type_index, field_index }
            | Operator::StructGetU { struct_type_index, field_index } => {
                self.struct_get(*struct_type_index, *field_index, Extend::Unsigned)
            }
            Operator::StructGetS { struct_type_index, field_index } => {
                self.struct_get(*struct_type_index, *field_index, Extend::Signed)
            }
            Operator::StructSet { struct_type_index, field_index } => {
                let (object, value) = self.pop2()?;
                self.b.ins().trapz(object, trap::code(Trap::NullStructure));
                let (_, slot) = self.field(*struct_type_index, *field_index)?;
                self.set_field(object, slot, value);
                Ok(())
            }
            Operator::ArrayNew { array_type_index } => {
                let (value, len) = self.pop2()?;
                let array = self.allocate_array(*array_type_index, len)?;
                let (low, high) = self.halves(value);
                let zero = self.i32(0);
                self.libcall_or_stop(Libcall::ArrayFill, &[self.ctx, array, zero, low, high, len])?;
                self.push(array)
            }
            Operator::ArrayNewDefault { array_type_index } => {
                let len = self.pop()?;
                let array = self.allocate_array(*array_type_index, len)?;
                self.push(array)
            }
            Operator::ArrayNewFixed { array_type_index, array_size } => {
                self.array_new_fixed(*array_type_index, *array_size)
            }
            Operator::ArrayNewData { array_type_index, array_data_index } => {
                self.array_new_segment(Libcall::ArrayNewData, *array_type_index, *array_data_index)
            }
            Operator::ArrayNewElem { array_type_index, array_elem_index } => {
                self.array_new_segment(Libcall::ArrayNewElem, *array_type_index, *array_elem_index)
            }
            Operator::ArrayGet { array_type_index } | Operator::ArrayGetU { array_type_index } => {
                self.array_get(*array_type_index, Extend::Unsigned)
            }
            Operator::ArrayGetS { array_type_index } => self.array_get(*array_type_index, Extend::Signed),
            Operator::ArraySet { array_type_index } => {
                let (array, index, value) = self.pop3()?;
                let storage = self.array_element(*array_type_index)?.storage;
                let address = self.array_element_address(array, index, storage);
                self.set_element(storage, address, 0, value);
                Ok(())
            }
            Operator::ArrayLen => {
                let array = self.pop()?;
                self.b.ins().trapz(array, trap::code(Trap::NullArray));
                let len = self.array_len(array);
                self.push(len)
            }
            Operator::ArrayFill { .. } => {
                let (value, len) = self.pop2()?;
                let (array, to) = self.pop2()?;
                self.b.ins().trapz(array, trap::code(Trap::NullArray));
                let (low, high) = self.halves(value);
                self.libcall_or_stop(Libcall::ArrayFill, &[self.ctx, array, to, low, high, len])
            }
            Operator::ArrayCopy { .. } => {
                let (from_array, from, len) = self.pop3()?;
                let (to_array, to) = self.pop2()?;
                self.b.ins().trapz(to_array, trap::code(Trap::NullArray));
                self.b.ins().trapz(from_array, trap::code(Trap::NullArray));
                let args = [self.ctx, to_array, to, from_array, from, len];
                self.libcall_or_stop(Libcall::ArrayCopy, &args)
            }
            Operator::ArrayInitData { array_data_index, .. } => {
                self.array_init(Libcall::ArrayInitData, *array_data_index)
            }
            Operator::ArrayInitElem { array_elem_index, .. } => {
                self.array_init(Libcall::ArrayInitElem, *array_elem_index)
            }
            _ => return Ok(false),
        }?;
        Ok(true)
    }

    fn object_flags(&self) -> MemFlagsData {
        // Fields of vectors are aligned to slots only.
        MemFlagsData::new().with_notrap().with_alias_region(Some(self.regions.object))
    }

    fn stop_if_null(&mut self, object: Option<Value>) -> Result<Value> {
        let object = object.ok_or(Unsupported::Malformed)?;
        let failed = self.b.ins().icmp_imm_s(IntCC::Equal, object, 0);
        self.stop_if(failed);
        Ok(object)
    }

    fn allocate(&mut self, ty: u32, len: u32) -> Result<Value> {
        let len = self.i32(len);
        self.allocate_array(ty, len)
    }

    fn allocate_array(&mut self, ty: u32, len: Value) -> Result<Value> {
        let ty = self.i32(ty);
        let object = self.libcall(Libcall::Allocate, &[self.ctx, ty, len]);
        self.stop_if_null(object)
    }

    fn struct_new(&mut self, ty: u32) -> Result {
        let count = self.struct_fields(ty)?.len();
        let from = self.stack.len().checked_sub(count).ok_or(Unsupported::Malformed)?;
        let values = self.stack.split_off(from);
        let slots = struct_slots(&self.module.sub_type(TypeIndex(ty)).composite);
        let object = self.allocate(ty, slots)?;
        for (i, value) in values.into_iter().enumerate() {
            let (_, slot) = self.field(ty, i as u32)?;
            self.set_field(object, slot, value);
        }
        self.push(object)
    }

    fn set_field(&mut self, object: Value, slot: u32, value: Value) {
        let whole = super::widen(&mut self.b, value);
        let flags = self.object_flags();
        self.b.ins().store(flags, whole, object, CONTENTS + slot as i32 * 8);
    }

    fn struct_get(&mut self, ty: u32, field: u32, extend: Extend) -> Result {
        let object = self.pop()?;
        self.b.ins().trapz(object, trap::code(Trap::NullStructure));
        let (storage, slot) = self.field(ty, field)?;
        let value = self.read(storage, extend, object, CONTENTS + slot as i32 * 8);
        self.push(value)
    }

    fn read(&mut self, storage: StorageType, extend: Extend, address: Value, offset: i32) -> Value {
        let flags = self.object_flags();
        let cell = self.b.ins().load(cell_type(storage), flags, address, offset);
        match (storage, extend) {
            (StorageType::Val(_), _) => cell,
            (_, Extend::Signed) => self.b.ins().sextend(types::I32, cell),
            (_, Extend::Unsigned) => self.b.ins().uextend(types::I32, cell),
        }
    }

    fn set_element(&mut self, storage: StorageType, address: Value, offset: i32, value: Value) {
        let value = match storage {
            StorageType::I8 => self.b.ins().ireduce(types::I8, value),
            StorageType::I16 => self.b.ins().ireduce(types::I16, value),
            StorageType::Val(_) => value,
        };
        let flags = self.object_flags();
        self.b.ins().store(flags, value, address, offset);
    }

    fn array_len(&mut self, array: Value) -> Value {
        let flags = self.object_flags();
        self.b.ins().load(types::I32, flags, array, offset_of!(VmObject, len) as i32)
    }

    /// The address of an element, checked.
    fn array_element_address(&mut self, array: Value, index: Value, storage: StorageType) -> Value {
        self.b.ins().trapz(array, trap::code(Trap::NullArray));
        let len = self.array_len(array);
        let is_beyond = self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, index, len);
        self.b.ins().trapnz(is_beyond, trap::code(Trap::ArrayOutOfBounds));
        let index = self.b.ins().uextend(types::I64, index);
        let shift = i64::from(storage.size_bytes().trailing_zeros());
        let offset = self.b.ins().ishl_imm_u(index, shift);
        let contents = self.b.ins().iadd_imm_s(array, i64::from(CONTENTS));
        self.b.ins().iadd(contents, offset)
    }

    fn array_get(&mut self, ty: u32, extend: Extend) -> Result {
        let (array, index) = self.pop2()?;
        let storage = self.array_element(ty)?.storage;
        let address = self.array_element_address(array, index, storage);
        let value = self.read(storage, extend, address, 0);
        self.push(value)
    }

    fn array_new_fixed(&mut self, ty: u32, count: u32) -> Result {
        let from = self.stack.len().checked_sub(count as usize).ok_or(Unsupported::Malformed)?;
        let values = self.stack.split_off(from);
        let storage = self.array_element(ty)?.storage;
        let array = self.allocate(ty, count)?;
        for (i, value) in values.into_iter().enumerate() {
            let offset = i32::try_from(i * storage.size_bytes()).map_err(|_| Unsupported::Malformed)?;
            self.set_element(storage, array, CONTENTS + offset, value);
        }
        self.push(array)
    }

    fn array_new_segment(&mut self, libcall: Libcall, ty: u32, segment: u32) -> Result {
        let (from, len) = self.pop2()?;
        let (ty, segment) = (self.i32(ty), self.i32(segment));
        let array = self.libcall(libcall, &[self.ctx, ty, segment, from, len]);
        let array = self.stop_if_null(array)?;
        self.push(array)
    }

    fn array_init(&mut self, libcall: Libcall, segment: u32) -> Result {
        let (from, len) = self.pop2()?;
        let (array, to) = self.pop2()?;
        self.b.ins().trapz(array, trap::code(Trap::NullArray));
        let segment = self.i32(segment);
        self.libcall_or_stop(libcall, &[self.ctx, array, segment, to, from, len])
    }

    /// A value as the two slots that the engine takes.
    fn halves(&mut self, value: Value) -> (Value, Value) {
        if self.b.func.dfg.value_type(value) == types::I8X16 {
            let lanes = self.b.ins().bitcast(types::I64X2, super::simd::cast_flags(), value);
            return (self.b.ins().extractlane(lanes, 0), self.b.ins().extractlane(lanes, 1));
        }
        let value = match self.b.func.dfg.value_type(value) {
            types::F64 => self.b.ins().bitcast(types::I64, MemFlagsData::new(), value),
            _ => super::widen(&mut self.b, value),
        };
        (value, self.int(types::I64, 0))
    }

    fn struct_fields(&self, ty: u32) -> Result<&[FieldType]> {
        match &self.module.sub_type(TypeIndex(ty)).composite {
            CompositeType::Struct(fields) => Ok(fields),
            _ => Err(Unsupported::Malformed),
        }
    }

    /// What a field stores, and the slot it starts at.
    fn field(&self, ty: u32, field: u32) -> Result<(StorageType, u32)> {
        let fields = self.struct_fields(ty)?;
        let (before, field) = (fields.get(..field as usize), fields.get(field as usize));
        let (Some(before), Some(field)) = (before, field) else { return Err(Unsupported::Malformed) };
        Ok((field.storage, before.iter().map(|field| field.storage.unpacked().slots()).sum()))
    }

    fn array_element(&self, ty: u32) -> Result<FieldType> {
        match &self.module.sub_type(TypeIndex(ty)).composite {
            CompositeType::Array(element) => Ok(*element),
            _ => Err(Unsupported::Malformed),
        }
    }
}

fn cell_type(storage: StorageType) -> Type {
    match storage {
        StorageType::I8 => types::I8,
        StorageType::I16 => types::I16,
        StorageType::Val(ty) => abi::value_type(ty),
    }
}
