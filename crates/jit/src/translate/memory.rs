//! Loads, stores and bulk memory operations.
//!
//! A memory with 32-bit addresses that is laid out with guard regions is accessed without a check: what 33 bits reach beyond its end faults, and the
//! fault is the trap. Everything else compares: memories with 64-bit addresses, shared ones, odd page sizes, and all of them where address space is short.

use std::mem::offset_of;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{Block, InstBuilder, MemFlagsData, Opcode, Type, Value, types};
use innkeeper_engine::index::MemoryIndex;
use innkeeper_engine::tier::{VmContext, VmMemory};
use innkeeper_engine::{IndexType, Sharing, Trap};
use wasmparser::{MemArg, MemArgTarget, Operator};

use super::{Result, Translator, Unsupported, record_flags};
use crate::libcall::{GROWTH_STOPPED, Libcall};
use crate::trap;

/// Where an access goes.
pub(super) struct AccessTarget {
    pub(super) address: Value,
    pub(super) offset: i32,
    pub(super) flags: MemFlagsData,
}

/// A load that was translated.
pub(super) struct Loaded {
    /// Its place.
    pub(super) place: u32,
    block: Option<Block>,
    address: Option<Value>,
    memory: u32,
    offset: u64,
    bytes: u64,
}

impl AccessTarget {
    /// For a store, whose trap has a code of its own: the compiler then never makes it one instruction with a load, and which of the two failed is known.
    pub(super) fn stored_to(self) -> AccessTarget {
        let flags = match self.flags.trap_code() {
            Some(_) => self.flags.with_trap_code(Some(trap::code(Trap::MemoryOutOfBounds))),
            None => self.flags,
        };
        AccessTarget { flags, ..self }
    }
}

/// Bytes of an ordinary page; smaller ones end where no guard begins.
const PAGE_BYTES: u64 = 1 << 16;

impl Translator<'_, '_> {
    pub(super) fn memory_record(&mut self, memory: u32) -> Value {
        if memory == 0 {
            return self.fixed(self.ctx, offset_of!(VmContext, memory0));
        }
        self.fixed_element(offset_of!(VmContext, memories), memory)
    }

    fn is_guarded(&self, memory: u32) -> bool {
        let ty = self.module.memory_type(MemoryIndex(memory));
        self.has_guards()
            && ty.index == IndexType::I32
            && ty.sharing == Sharing::Unshared
            && ty.page_bytes() == PAGE_BYTES
    }

    pub(super) fn is_memory64(&self, memory: u32) -> bool {
        self.module.memory_type(MemoryIndex(memory)).index == IndexType::I64
    }

    /// Pops an address, or a length.
    pub(super) fn pop_index(&mut self, is_wide: bool) -> Result<Value> {
        let index = self.pop()?;
        Ok(if is_wide { index } else { self.b.ins().uextend(types::I64, index) })
    }

    /// Pops the address of an access to `size` bytes.
    pub(super) fn access(&mut self, argument: &MemArg, size: u64) -> Result<AccessTarget> {
        let address = self.pop_index(self.is_memory64(entry(argument)?))?;
        if !self.is_guarded(entry(argument)?) {
            return self.checked(argument, address, size);
        }
        let base = match entry(argument)? {
            0 => self.fixed(self.ctx, offset_of!(VmContext, memory0_base)),
            memory => {
                let record = self.memory_record(memory);
                self.fixed(record, offset_of!(VmMemory, base))
            }
        };
        let flags =
            MemFlagsData::new().with_alias_region(Some(self.regions.heap)).with_trap_code(Some(trap::LOAD));
        let address = self.b.ins().iadd(base, address);
        Ok(match i32::try_from(argument.offset) {
            Ok(offset) => AccessTarget { address, offset, flags },
            Err(_) => {
                let offset = self.int(types::I64, argument.offset.cast_signed());
                AccessTarget { address: self.b.ins().iadd(address, offset), offset: 0, flags }
            }
        })
    }

    /// Checks that an access is inside the memory.
    pub(super) fn checked(&mut self, argument: &MemArg, address: Value, size: u64) -> Result<AccessTarget> {
        let code = trap::code(Trap::MemoryOutOfBounds);
        let record = self.memory_record(entry(argument)?);
        // Growth by another thread is seen after an atomic instruction that has heard of it, across which no load is reused; by this one, it happens in calls.
        let len =
            self.b.ins().load(types::I64, record_flags(), record, offset_of!(VmMemory, len_bytes) as i32);
        let past = argument.offset.checked_add(size);
        let end = match past {
            Some(past) => {
                let past = self.int(types::I64, past.cast_signed());
                self.b.ins().uadd_overflow_trap(address, past, code)
            }
            None => self.int(types::I64, -1),
        };
        let is_beyond = self.b.ins().icmp(IntCC::UnsignedGreaterThan, end, len);
        self.b.ins().trapnz(is_beyond, code);
        let base = self.b.ins().load(types::I64, record_flags(), record, offset_of!(VmMemory, base) as i32);
        let offset = self.int(types::I64, argument.offset.cast_signed());
        let address = self.b.ins().iadd(address, offset);
        let address = self.b.ins().iadd(base, address);
        let flags = MemFlagsData::new().with_notrap().with_alias_region(Some(self.regions.heap));
        Ok(AccessTarget { address, offset: 0, flags })
    }

    /// Notes that the instruction is a load of so many bytes, at whose own place it fails; its address is to be popped yet.
    pub(super) fn note_load(&mut self, argument: &MemArg, bytes: u64) -> Result {
        let place = self.inliner.place(self.offset);
        if let Some(before) = self.loads_before.get_mut(&place) {
            before.is_before_load = true;
        }
        self.last_load = Some(Loaded {
            place,
            block: self.b.current_block(),
            address: self.stack.last().copied(),
            memory: entry(argument)?,
            offset: argument.offset,
            bytes,
        });
        Ok(())
    }

    /// Pops the address of a store of `bytes` bytes.
    ///
    /// Where the last load was of the same bytes, the store cannot fail any more: no memory shrinks. Then both may become one instruction, which touches a new page once and
    /// not twice; it fails where the load is, see [`crate::tables::Places`].
    fn access_to_store(&mut self, argument: &MemArg, bytes: u64) -> Result<AccessTarget> {
        let memory = entry(argument)?;
        let address = self.stack.last().copied();
        let is_loaded = self.last_load.as_ref().is_some_and(|last| {
            last.block == self.b.current_block()
                && last.address.zip(address).is_some_and(|(one, other)| self.is_same(one, other))
                && (last.memory, last.offset) == (memory, argument.offset)
                && last.bytes >= bytes
        });
        let target = self.access(argument, bytes)?;
        Ok(if is_loaded { target } else { target.stored_to() })
    }

    /// Whether two addresses of one type are known to be the same.
    fn is_same(&self, one: Value, other: Value) -> bool {
        one == other || self.constant(one).is_some_and(|constant| self.constant(other) == Some(constant))
    }

    pub(super) fn load(&mut self, argument: &MemArg, ty: Type) -> Result<Value> {
        let bytes = u64::from(ty.bytes());
        self.note_load(argument, bytes)?;
        let AccessTarget { address, offset, flags } = self.access(argument, bytes)?;
        Ok(self.b.ins().load(ty, flags, address, offset))
    }

    pub(super) fn store_to(&mut self, argument: &MemArg, value: Value) -> Result {
        let size = u64::from(self.b.func.dfg.value_type(value).bytes());
        let AccessTarget { address, offset, flags } = self.access_to_store(argument, size)?;
        self.b.ins().store(flags, value, address, offset);
        Ok(())
    }

    fn load_plain(&mut self, argument: &MemArg, ty: Type) -> Result {
        let value = self.load(argument, ty)?;
        self.push(value)
    }

    /// Loads a cell that is narrower than the value. One instruction of the compiler's does both: out of two it would make arithmetic on narrow
    /// registers, which processors are slower at.
    fn load_narrow(&mut self, argument: &MemArg, opcode: Opcode, ty: Type) -> Result {
        self.note_load(argument, cell_bytes(opcode))?;
        let place = self.access(argument, cell_bytes(opcode))?;
        let flags = self.b.func.dfg.mem_flags.insert_unchecked(place.flags);
        let (load, dfg) = self.b.ins().Load(opcode, ty, flags, place.offset.into(), place.address);
        let value = dfg.first_result(load);
        self.push(value)
    }

    fn store_plain(&mut self, argument: &MemArg) -> Result {
        let value = self.pop()?;
        self.store_to(argument, value)
    }

    /// Stores the lower part of a value.
    fn store_narrow(&mut self, argument: &MemArg, opcode: Opcode) -> Result {
        let value = self.pop()?;
        let place = self.access_to_store(argument, cell_bytes(opcode))?;
        let flags = self.b.func.dfg.mem_flags.insert_unchecked(place.flags);
        let ty = self.b.func.dfg.value_type(value);
        self.b.ins().Store(opcode, ty, flags, place.offset.into(), value, place.address);
        Ok(())
    }

    pub(super) fn memory(&mut self, operator: &Operator<'_>) -> Result<bool> {
        match operator {
            Operator::I32Load { memarg } => self.load_plain(memarg, types::I32),
            Operator::I64Load { memarg } => self.load_plain(memarg, types::I64),
            Operator::F32Load { memarg } => self.load_plain(memarg, types::F32),
            Operator::F64Load { memarg } => self.load_plain(memarg, types::F64),
            Operator::I32Load8S { memarg } => self.load_narrow(memarg, Opcode::Sload8, types::I32),
            Operator::I32Load8U { memarg } => self.load_narrow(memarg, Opcode::Uload8, types::I32),
            Operator::I32Load16S { memarg } => self.load_narrow(memarg, Opcode::Sload16, types::I32),
            Operator::I32Load16U { memarg } => self.load_narrow(memarg, Opcode::Uload16, types::I32),
            Operator::I64Load8S { memarg } => self.load_narrow(memarg, Opcode::Sload8, types::I64),
            Operator::I64Load8U { memarg } => self.load_narrow(memarg, Opcode::Uload8, types::I64),
            Operator::I64Load16S { memarg } => self.load_narrow(memarg, Opcode::Sload16, types::I64),
            Operator::I64Load16U { memarg } => self.load_narrow(memarg, Opcode::Uload16, types::I64),
            Operator::I64Load32S { memarg } => self.load_narrow(memarg, Opcode::Sload32, types::I64),
            Operator::I64Load32U { memarg } => self.load_narrow(memarg, Opcode::Uload32, types::I64),
            Operator::I32Store { memarg }
            | Operator::I64Store { memarg }
            | Operator::F32Store { memarg }
            | Operator::F64Store { memarg } => self.store_plain(memarg),
            Operator::I32Store8 { memarg } | Operator::I64Store8 { memarg } => {
                self.store_narrow(memarg, Opcode::Istore8)
            }
            Operator::I32Store16 { memarg } | Operator::I64Store16 { memarg } => {
                self.store_narrow(memarg, Opcode::Istore16)
            }
            Operator::I64Store32 { memarg } => self.store_narrow(memarg, Opcode::Istore32),
            Operator::MemorySize { mem } => self.memory_size(*mem),
            Operator::MemoryGrow { mem } => {
                let is_wide = self.is_memory64(*mem);
                let pages = self.pop_index(is_wide)?;
                let memory = self.i32(*mem);
                self.grow(Libcall::MemoryGrow, &[self.ctx, memory, pages], is_wide)
            }
            Operator::MemoryFill { mem } => self.memory_fill(*mem),
            Operator::MemoryCopy { dst_mem, src_mem } => self.memory_copy(*dst_mem, *src_mem),
            Operator::MemoryInit { data_index, mem } => {
                let (len, from) = (self.pop_index(false)?, self.pop_index(false)?);
                let to = self.pop_index(self.is_memory64(*mem))?;
                let (memory, data) = (self.i32(*mem), self.i32(*data_index));
                self.libcall_or_stop(Libcall::MemoryInit, &[self.ctx, memory, data, to, from, len])
            }
            Operator::DataDrop { data_index } => {
                let data = self.i32(*data_index);
                self.libcall(Libcall::DataDrop, &[self.ctx, data]);
                Ok(())
            }
            _ => return Ok(false),
        }?;
        Ok(true)
    }

    fn memory_size(&mut self, memory: u32) -> Result {
        let record = self.memory_record(memory);
        let len =
            self.b.ins().load(types::I64, record_flags(), record, offset_of!(VmMemory, len_bytes) as i32);
        let page_bytes = self.module.memory_type(MemoryIndex(memory)).page_bytes();
        let pages = self.b.ins().ushr_imm_u(len, i64::from(page_bytes.trailing_zeros()));
        let is_wide = self.is_memory64(memory);
        let pages = if is_wide { pages } else { self.b.ins().ireduce(types::I32, pages) };
        self.push(pages)
    }

    /// Calls what grows a memory; refusal is -1 in the result's own width.
    pub(super) fn grow(&mut self, libcall: Libcall, args: &[Value], is_wide: bool) -> Result {
        let Some(old) = self.libcall(libcall, args) else { return Ok(()) };
        let stopped = self.b.ins().icmp_imm_s(IntCC::Equal, old, GROWTH_STOPPED.cast_signed());
        self.stop_if(stopped);
        let old = if is_wide { old } else { self.b.ins().ireduce(types::I32, old) };
        self.push(old)
    }
}

/// Bytes that an instruction accesses whose values are wider.
fn cell_bytes(opcode: Opcode) -> u64 {
    match opcode {
        Opcode::Sload8 | Opcode::Uload8 | Opcode::Istore8 => 1,
        Opcode::Sload16 | Opcode::Uload16 | Opcode::Istore16 => 2,
        _ => 4,
    }
}

/// The memory that an access names.
pub(super) fn entry(argument: &MemArg) -> Result<u32> {
    match argument.target {
        MemArgTarget::Memory(memory) => Ok(memory),
        MemArgTarget::Array(_) => Err(Unsupported::Instruction("an access to an array's bytes".to_owned())),
    }
}
