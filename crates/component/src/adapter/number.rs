//! Numbers: how they are loaded, stored and passed, and bytes that are copied as they are.

use wasm_encoder::{Instruction, MemArg};

use super::Walked;
use super::code::{Address, mem_arg};
use super::value::{Generator, Place};
use crate::types::Flat;

/// How a number is loaded and stored, and the core type that it is passed in.
#[derive(Clone, Copy)]
pub(super) struct Number {
    pub(super) flat: Flat,
    pub(super) load: fn(MemArg) -> Instruction<'static>,
    pub(super) store: fn(MemArg) -> Instruction<'static>,
}

impl Number {
    pub(super) const U8: Number =
        Number { flat: Flat::I32, load: Instruction::I32Load8U, store: Instruction::I32Store8 };
    pub(super) const S8: Number = Number { load: Instruction::I32Load8S, ..Number::U8 };
    pub(super) const U16: Number =
        Number { flat: Flat::I32, load: Instruction::I32Load16U, store: Instruction::I32Store16 };
    pub(super) const S16: Number = Number { load: Instruction::I32Load16S, ..Number::U16 };
    pub(super) const U32: Number =
        Number { flat: Flat::I32, load: Instruction::I32Load, store: Instruction::I32Store };
    pub(super) const U64: Number =
        Number { flat: Flat::I64, load: Instruction::I64Load, store: Instruction::I64Store };
    pub(super) const F32: Number =
        Number { flat: Flat::F32, load: Instruction::F32Load, store: Instruction::F32Store };
    pub(super) const F64: Number =
        Number { flat: Flat::F64, load: Instruction::F64Load, store: Instruction::F64Store };

    pub(super) fn of_size(bytes: u32) -> Number {
        match bytes {
            1 => Number::U8,
            2 => Number::U16,
            _ => Number::U32,
        }
    }
}

impl Generator<'_, '_> {
    /// Copies bytes that mean the same on both sides.
    pub(super) fn copy(&mut self, from: Address, to: Address, size: u32) -> Result<(), Walked> {
        /// Up to so many, loads and stores are less work than an instruction that copies.
        const FEW: u32 = 64;
        let (source, target) = (self.builder.memory_of(self.from)?, self.builder.memory_of(self.to)?);
        if size > FEW {
            self.code.address(to);
            self.code.address(from);
            self.code.i32(size);
            self.code.op(Instruction::MemoryCopy { src_mem: source, dst_mem: target });
            return Ok(());
        }
        let mut at = 0;
        while at < size {
            let (bytes, number) = match size - at {
                8.. => (8, Number::U64),
                4.. => (4, Number::U32),
                2.. => (2, Number::U16),
                _ => (1, Number::U8),
            };
            self.code.get(to.local);
            self.code.get(from.local);
            self.code.op((number.load)(mem_arg(source, from.plus(at))));
            self.code.op((number.store)(mem_arg(target, to.plus(at))));
            at += bytes;
        }
        Ok(())
    }

    /// Prepares for a number to be written: what goes to memory needs the address first.
    pub(super) fn begin(&mut self, to: Place<'_>) {
        if let Place::Memory(address) = to {
            self.code.get(address.local);
        }
    }

    /// Puts a number on the stack; in locals, it may be in one of another type.
    pub(super) fn read(&mut self, from: Place<'_>, number: Number) -> Result<(), Walked> {
        let Place::Memory(address) = from else {
            let local = from.local()?;
            self.code.get(local);
            return self.convert(local.ty, number.flat);
        };
        let memory = self.builder.memory_of(self.from)?;
        self.code.get(address.local);
        self.code.op((number.load)(mem_arg(memory, address)));
        Ok(())
    }

    /// Takes a number from the stack; see [`Generator::begin`].
    pub(super) fn write(&mut self, to: Place<'_>, number: Number) -> Result<(), Walked> {
        let Place::Memory(address) = to else {
            let local = to.local()?;
            self.convert(number.flat, local.ty)?;
            self.code.set(local);
            return Ok(());
        };
        let memory = self.builder.memory_of(self.to)?;
        self.code.op((number.store)(mem_arg(memory, address)));
        Ok(())
    }

    /// From one core type to another that the value of a variant's case is passed in, or back (canonical ABI, `join`).
    fn convert(&mut self, from: Flat, to: Flat) -> Result<(), Walked> {
        let steps: &[Instruction<'static>] = match (from, to) {
            (a, b) if a == b => &[],
            (Flat::I64, Flat::I32) => &[Instruction::I32WrapI64],
            (Flat::I32, Flat::F32) => &[Instruction::F32ReinterpretI32],
            (Flat::I64, Flat::F32) => &[Instruction::I32WrapI64, Instruction::F32ReinterpretI32],
            (Flat::I64, Flat::F64) => &[Instruction::F64ReinterpretI64],
            (Flat::I32, Flat::I64) => &[Instruction::I64ExtendI32U],
            (Flat::F32, Flat::I32) => &[Instruction::I32ReinterpretF32],
            (Flat::F32, Flat::I64) => &[Instruction::I32ReinterpretF32, Instruction::I64ExtendI32U],
            (Flat::F64, Flat::I64) => &[Instruction::I64ReinterpretF64],
            _ => return Err(Walked::Type),
        };
        steps.iter().for_each(|step| self.code.op(step.clone()));
        Ok(())
    }
}
