//! The code of one function while it is generated: its locals and its instructions.
//!
//! Must stay true: a local is used for one thing at a time; what is allocated after a [`Code::mark`] is free again at the [`Code::release`] of it.

use wasm_encoder::{BlockType, Instruction, MemArg, MemArgTarget, ValType};

use super::host::TrapCode;
use super::module::FuncRef;
use crate::types::Flat;

/// A local variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Local {
    pub(super) index: u32,
    pub(super) ty: Flat,
}

/// An address: what a local holds, and so many bytes beyond.
#[derive(Clone, Copy, Debug)]
pub(super) struct Address {
    pub(super) local: Local,
    pub(super) offset: u32,
}

impl Address {
    pub(super) fn at(local: Local) -> Address {
        Address { local, offset: 0 }
    }

    pub(super) fn plus(self, bytes: u32) -> Address {
        Address { offset: self.offset + bytes, ..self }
    }
}

/// An instruction, or a call of a function whose number is not known yet.
pub(super) enum Op {
    Plain(Instruction<'static>),
    Call(FuncRef),
    /// Of a function that returns for the one that calls it.
    TailCall(FuncRef),
}

/// See the module's documentation.
pub(super) struct Code {
    params: u32,
    locals: Vec<ValType>,
    /// Locals that were allocated and not released, in order.
    used: Vec<Local>,
    free: Vec<Local>,
    pub(super) ops: Vec<Op>,
}

pub(super) fn val_type(flat: Flat) -> ValType {
    match flat {
        Flat::I32 => ValType::I32,
        Flat::I64 => ValType::I64,
        Flat::F32 => ValType::F32,
        Flat::F64 => ValType::F64,
    }
}

impl Code {
    pub(super) fn new(params: u32) -> Code {
        Code { params, locals: Vec::new(), used: Vec::new(), free: Vec::new(), ops: Vec::new() }
    }

    /// The types of the locals beside the parameters.
    pub(super) fn locals(&self) -> &[ValType] {
        &self.locals
    }

    pub(super) fn local(&mut self, ty: Flat) -> Local {
        let known = self.free.iter().rposition(|local| local.ty == ty);
        let local = match known {
            Some(position) => self.free.swap_remove(position),
            None => {
                self.locals.push(val_type(ty));
                Local { index: self.params + self.locals.len() as u32 - 1, ty }
            }
        };
        self.used.push(local);
        local
    }

    pub(super) fn mark(&self) -> usize {
        self.used.len()
    }

    pub(super) fn release(&mut self, mark: usize) {
        self.free.extend(self.used.drain(mark..).rev());
    }

    pub(super) fn op(&mut self, instruction: Instruction<'static>) {
        self.ops.push(Op::Plain(instruction));
    }

    pub(super) fn call(&mut self, func: FuncRef) {
        self.ops.push(Op::Call(func));
    }

    pub(super) fn tail_call(&mut self, func: FuncRef) {
        self.ops.push(Op::TailCall(func));
    }

    pub(super) fn get(&mut self, local: Local) {
        self.op(Instruction::LocalGet(local.index));
    }

    pub(super) fn set(&mut self, local: Local) {
        self.op(Instruction::LocalSet(local.index));
    }

    pub(super) fn tee(&mut self, local: Local) {
        self.op(Instruction::LocalTee(local.index));
    }

    pub(super) fn i32(&mut self, value: u32) {
        self.op(Instruction::I32Const(value.cast_signed()));
    }

    pub(super) fn i64(&mut self, value: u64) {
        self.op(Instruction::I64Const(value.cast_signed()));
    }

    /// Puts an address on the stack, as one number.
    pub(super) fn address(&mut self, address: Address) {
        self.get(address.local);
        if address.offset > 0 {
            self.i32(address.offset);
            self.op(Instruction::I32Add);
        }
    }

    pub(super) fn if_(&mut self) {
        self.op(Instruction::If(BlockType::Empty));
    }

    pub(super) fn end(&mut self) {
        self.op(Instruction::End);
    }

    /// Traps where the number on the stack is not zero; `detail` is what the trap tells beside.
    pub(super) fn trap_if(&mut self, trap: FuncRef, code: TrapCode, detail: Option<Local>) {
        self.if_();
        self.trap(trap, code, detail);
        self.end();
    }

    pub(super) fn trap(&mut self, trap: FuncRef, code: TrapCode, detail: Option<Local>) {
        self.i32(code as u32);
        match detail {
            Some(detail) => self.get(detail),
            None => self.i32(0),
        }
        self.call(trap);
        self.op(Instruction::Unreachable);
    }
}

/// Where an instruction that loads or stores finds its operand. Addresses are aligned, which was checked; that is only a hint here.
pub(super) fn mem_arg(memory: u32, address: Address) -> MemArg {
    let target = MemArgTarget::Memory(memory);
    MemArg { offset: u64::from(address.offset), align: 0, target, ordering: None }
}
