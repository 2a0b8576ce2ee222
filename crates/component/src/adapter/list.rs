//! Lists and strings: checked where they come from, allocated where they go, and copied, at one blow where their bytes mean the same on both sides.

use wasm_encoder::Instruction;

use super::Walked;
use super::code::Local;
use super::host::{HostFunction, StringSide, TrapCode};
use super::module::SideIndex;
use super::number::Number;
use super::value::{Generator, Place};
use crate::abi::MAX_BYTES;
use crate::decode::Encoding;
use crate::types::{Flat, TypeIndex};

impl Generator<'_, '_> {
    pub(super) fn list(
        &mut self,
        element: (TypeIndex, TypeIndex),
        from: Place<'_>,
        to: Place<'_>,
    ) -> Result<(), Walked> {
        let (size, align) = (self.layout(element.0).size, self.layout(element.0).align);
        let (address, length) = self.read_pair(from)?;
        let bytes = self.code.local(Flat::I64);
        self.code.get(length);
        self.code.op(Instruction::I64ExtendI32U);
        if size > 1 {
            self.code.i64(u64::from(size));
            self.code.op(Instruction::I64Mul);
        }
        self.code.tee(bytes);
        self.code.i64(MAX_BYTES);
        self.code.op(Instruction::I64GtU);
        self.trap_if(TrapCode::ListTooLong, None);
        self.check(self.from, address, Size::Counted(bytes, align), TrapCode::ListContentOutOfBounds)?;
        let target = self.code.local(Flat::I32);
        self.allocate(Size::Counted(bytes, align), target, TrapCode::ListContentOutOfBounds)?;
        self.write_pair(to, (target, length))?;
        let (source, goal) = (self.builder.memory_of(self.from)?, self.builder.memory_of(self.to)?);
        if self.is_plain(element.0) && self.is_plain(element.1) {
            self.code.get(target);
            self.code.get(address);
            self.code.get(bytes);
            self.code.op(Instruction::I32WrapI64);
            self.code.op(Instruction::MemoryCopy { src_mem: source, dst_mem: goal });
            return Ok(());
        }
        self.code.get(length);
        self.code.if_();
        self.elements(element, length, (address, target))?;
        self.code.end();
        Ok(())
    }

    pub(super) fn string(&mut self, from: Place<'_>, to: Place<'_>) -> Result<(), Walked> {
        let (address, length) = self.read_pair(from)?;
        let (source, goal) = (self.builder.side_def(self.from), self.builder.side_def(self.to));
        let (Some(source_memory), Some(goal_memory)) = (source.memory.clone(), goal.memory.clone()) else {
            return Err(Walked::Type);
        };
        if (source.encoding, goal.encoding) != (Encoding::Utf8, Encoding::Utf8) {
            let transcode = HostFunction::Transcode {
                from: StringSide {
                    memory: source_memory,
                    realloc: None,
                    encoding: source.encoding,
                    instance: source.instance,
                },
                to: StringSide {
                    memory: goal_memory,
                    realloc: goal.realloc.clone(),
                    encoding: goal.encoding,
                    instance: goal.instance,
                },
            };
            return self.transcode(transcode, (address, length), to);
        }
        let copy = self.builder.text_copy(source_memory, goal_memory)?;
        self.check_string_length(length)?;
        let bytes = self.code.local(Flat::I64);
        self.code.get(length);
        self.code.op(Instruction::I64ExtendI32U);
        self.code.set(bytes);
        self.check(self.from, address, Size::Counted(bytes, 1), TrapCode::StringContentOutOfBounds)?;
        let target = self.code.local(Flat::I32);
        self.allocate(Size::Counted(bytes, 1), target, TrapCode::StringContentOutOfBounds)?;
        for local in [address, length, target] {
            self.code.get(local);
        }
        self.code.call(copy);
        self.write_pair(to, (target, length))
    }

    /// A string that the host takes over, which allocates too.
    fn transcode(
        &mut self,
        transcode: HostFunction,
        (address, length): (Local, Local),
        to: Place<'_>,
    ) -> Result<(), Walked> {
        let transcode = self.builder.host(transcode);
        let passed = self.code.local(Flat::I64);
        self.code.get(address);
        self.code.get(length);
        self.code.call(transcode);
        self.code.set(passed);
        let (target, units) = (self.code.local(Flat::I32), self.code.local(Flat::I32));
        self.code.get(passed);
        self.code.op(Instruction::I32WrapI64);
        self.code.set(target);
        self.code.get(passed);
        self.code.i64(32);
        self.code.op(Instruction::I64ShrU);
        self.code.op(Instruction::I32WrapI64);
        self.code.set(units);
        self.write_pair(to, (target, units))
    }

    /// Traps where a string has more bytes than strings may have; what lies beyond its memory is that first of all.
    fn check_string_length(&mut self, length: Local) -> Result<(), Walked> {
        self.code.get(length);
        self.code.i32(MAX_BYTES as u32);
        self.code.op(Instruction::I32GtU);
        self.code.if_();
        self.code.get(length);
        self.code.op(Instruction::I64ExtendI32U);
        self.memory_bytes(self.from)?;
        self.code.op(Instruction::I64GtU);
        self.trap_if(TrapCode::StringContentOutOfBounds, None);
        self.code.trap(self.trap, TrapCode::StringTooLong, None);
        self.code.end();
        Ok(())
    }

    /// Copies an address and a length to new locals.
    fn read_pair(&mut self, from: Place<'_>) -> Result<(Local, Local), Walked> {
        let pair = (self.code.local(Flat::I32), self.code.local(Flat::I32));
        self.read(from, Number::U32)?;
        self.code.set(pair.0);
        self.read(from.part(1..2, 4)?, Number::U32)?;
        self.code.set(pair.1);
        Ok(pair)
    }

    fn write_pair(&mut self, to: Place<'_>, (address, length): (Local, Local)) -> Result<(), Walked> {
        for (part, local) in [(to, address), (to.part(1..2, 4)?, length)] {
            self.begin(part);
            self.code.get(local);
            self.write(part, Number::U32)?;
        }
        Ok(())
    }

    /// Has the callee allocate, and checks what it gives.
    pub(super) fn allocate(&mut self, size: Size, target: Local, beyond: TrapCode) -> Result<(), Walked> {
        let realloc = self.builder.realloc_of(self.to)?;
        self.code.i32(0);
        self.code.i32(0);
        self.code.i32(size.align());
        match size {
            Size::Known(bytes, _) => self.code.i32(bytes),
            Size::Counted(bytes, _) => {
                self.code.get(bytes);
                self.code.op(Instruction::I32WrapI64);
            }
        }
        self.code.call(realloc);
        self.code.set(target);
        self.check(self.to, target, size, beyond)
    }

    /// Traps unless bytes at an address are in a side's memory, and the address is a multiple of what it must be.
    pub(super) fn check(
        &mut self,
        side: SideIndex,
        address: Local,
        size: Size,
        beyond: TrapCode,
    ) -> Result<(), Walked> {
        if size.align() > 1 {
            self.code.get(address);
            self.code.i32(size.align() - 1);
            self.code.op(Instruction::I32And);
            self.trap_if(TrapCode::Unaligned, None);
        }
        self.code.get(address);
        self.code.op(Instruction::I64ExtendI32U);
        match size {
            Size::Known(bytes, _) => self.code.i64(u64::from(bytes)),
            Size::Counted(bytes, _) => self.code.get(bytes),
        }
        self.code.op(Instruction::I64Add);
        self.memory_bytes(side)?;
        self.code.op(Instruction::I64GtU);
        self.trap_if(beyond, None);
        Ok(())
    }

    /// Puts the size of a side's memory on the stack.
    fn memory_bytes(&mut self, side: SideIndex) -> Result<(), Walked> {
        let memory = self.builder.memory_of(side)?;
        self.code.op(Instruction::MemorySize(memory));
        self.code.op(Instruction::I64ExtendI32U);
        self.code.i64(16);
        self.code.op(Instruction::I64Shl);
        Ok(())
    }
}

/// How many bytes something has, and what its address must be a multiple of.
#[derive(Clone, Copy)]
pub(super) enum Size {
    Known(u32, u32),
    Counted(Local, u32),
}

impl Size {
    fn align(self) -> u32 {
        match self {
            Size::Known(_, align) | Size::Counted(_, align) => align,
        }
    }
}
