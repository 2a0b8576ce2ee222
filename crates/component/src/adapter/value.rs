//! Takes a value from one side of a call to the other: out of locals into locals, or out of one memory into another.
//!
//! Both sides have the same type, so that parameters, results and all parts of them are in locals on both sides, or in memory on both.
//!
//! Must stay true: what arrives is what the walk over types would have lowered; of several rules that a guest breaks at once another one may be told.

use wasm_encoder::{BlockType, Instruction};

use super::Walked;
use super::code::{Address, Code, Local};
use super::host::{HostFunction, TrapCode};
use super::module::{Builder, FuncRef, Outlined, SideIndex};
use super::number::Number;
use crate::types::{Flat, Layout, TypeIndex, ValType};

/// Where the parts of a value are.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    Locals(&'a [Local]),
    Memory(Address),
}

impl<'a> Place<'a> {
    pub(super) fn local(self) -> Result<Local, Walked> {
        match self {
            Place::Locals(locals) => locals.first().copied().ok_or(Walked::Type),
            Place::Memory(_) => Err(Walked::Type),
        }
    }

    /// The part that begins so far behind the first, which is told in both forms.
    pub(super) fn part(self, flat: std::ops::Range<usize>, bytes: u32) -> Result<Place<'a>, Walked> {
        match self {
            Place::Locals(locals) => Ok(Place::Locals(locals.get(flat).ok_or(Walked::Type)?)),
            Place::Memory(address) => Ok(Place::Memory(address.plus(bytes))),
        }
    }

    pub(super) fn is_memory(self) -> bool {
        matches!(self, Place::Memory(_))
    }
}

/// What makes the code of one function.
pub(super) struct Generator<'b, 'p> {
    pub(super) builder: &'b mut Builder<'p>,
    pub(super) code: Code,
    /// Where values come from now, and where they go.
    pub(super) from: SideIndex,
    pub(super) to: SideIndex,
    pub(super) trap: FuncRef,
}

impl<'b, 'p> Generator<'b, 'p> {
    pub(super) fn new(
        builder: &'b mut Builder<'p>,
        params: u32,
        (from, to): (SideIndex, SideIndex),
    ) -> Generator<'b, 'p> {
        let trap = builder.host(HostFunction::Trap);
        Generator { builder, code: Code::new(params), from, to, trap }
    }

    pub(super) fn layout(&self, ty: TypeIndex) -> &'p Layout {
        self.builder.plan.types.layout(ty)
    }

    pub(super) fn ty(&self, ty: TypeIndex) -> &'p ValType {
        self.builder.plan.types.get(ty)
    }

    pub(super) fn trap_if(&mut self, code: TrapCode, detail: Option<Local>) {
        self.code.trap_if(self.trap, code, detail);
    }

    /// Takes a value over. One that is in memory may be made a function of its own.
    pub(super) fn value(
        &mut self,
        types: (TypeIndex, TypeIndex),
        from: Place<'_>,
        to: Place<'_>,
    ) -> Result<(), Walked> {
        let (Place::Memory(source), Place::Memory(target)) = (from, to) else {
            return self.parts(types, from, to);
        };
        if self.is_plain(types.0) && self.is_plain(types.1) {
            return self.copy(source, target, self.layout(types.0).size);
        }
        if self.cost(types.0) <= super::cost::OUTLINED {
            return self.parts(types, from, to);
        }
        let outlined = Outlined { types, sides: (self.from, self.to) };
        let func = self.builder.outline(outlined);
        self.code.address(source);
        self.code.address(target);
        self.code.call(func);
        Ok(())
    }

    /// Takes a value over, part by part.
    pub(super) fn parts(
        &mut self,
        types: (TypeIndex, TypeIndex),
        from: Place<'_>,
        to: Place<'_>,
    ) -> Result<(), Walked> {
        self.builder.check_size(self.code.ops.len())?;
        let mark = self.code.mark();
        self.parts_of(types, from, to)?;
        self.code.release(mark);
        Ok(())
    }

    fn parts_of(
        &mut self,
        types: (TypeIndex, TypeIndex),
        from: Place<'_>,
        to: Place<'_>,
    ) -> Result<(), Walked> {
        match (self.ty(types.0), self.ty(types.1)) {
            (ValType::Record(a), ValType::Record(b)) if a.len() == b.len() => {
                let fields = a.iter().zip(b).map(|((_, a), (_, b))| (*a, *b));
                self.fields(types, fields, (from, to))
            }
            (ValType::Tuple(a), ValType::Tuple(b)) if a.len() == b.len() => {
                self.fields(types, a.iter().copied().zip(b.iter().copied()), (from, to))
            }
            (ValType::FixedLengthList(a, count), ValType::FixedLengthList(b, same)) if count == same => {
                self.fixed_list((*a, *b), *count, (from, to))
            }
            (ValType::List(a), ValType::List(b)) => self.list((*a, *b), from, to),
            (ValType::Map(_, _, a), ValType::Map(_, _, b)) => self.list((*a, *b), from, to),
            (ValType::String, ValType::String) => self.string(from, to),
            (ValType::Variant(a), ValType::Variant(b)) if a.len() == b.len() => {
                let cases = a.iter().zip(b).map(|((_, a), (_, b))| (*a, *b));
                self.variant(types, cases, (from, to))
            }
            (ValType::Option(a), ValType::Option(b)) => {
                self.variant(types, [(None, None), (Some(*a), Some(*b))], (from, to))
            }
            (ValType::Result(a, b), ValType::Result(c, d)) => {
                self.variant(types, [(*a, *c), (*b, *d)], (from, to))
            }
            (ValType::Enum(a), ValType::Enum(b)) if a.len() == b.len() => {
                self.case(types.0, a.len(), (from, to)).map(drop)
            }
            (ValType::Own(a), ValType::Own(b)) => {
                let (from_instance, to_instance) = self.instances();
                self.handle(
                    HostFunction::Own { from: (from_instance, *a), to: (to_instance, *b) },
                    (from, to),
                )
            }
            (ValType::Borrow(a), ValType::Borrow(b)) => {
                let (from_instance, to_instance) = self.instances();
                self.handle(
                    HostFunction::Borrow { from: (from_instance, *a), to: (to_instance, *b) },
                    (from, to),
                )
            }
            (a, b) if a == b => self.scalar(a, (from, to)),
            _ => Err(Walked::Type),
        }
    }

    fn scalar(&mut self, ty: &ValType, (from, to): (Place<'_>, Place<'_>)) -> Result<(), Walked> {
        let is_flat = !from.is_memory();
        let number = match ty {
            ValType::Bool | ValType::U8 => Number::U8,
            ValType::S8 => Number::S8,
            ValType::U16 => Number::U16,
            ValType::S16 => Number::S16,
            ValType::S32 | ValType::U32 | ValType::Char => Number::U32,
            ValType::S64 | ValType::U64 => Number::U64,
            ValType::Float32 => Number::F32,
            ValType::Float64 => Number::F64,
            ValType::Flags(labels) if labels.len() <= 8 => Number::U8,
            ValType::Flags(labels) if labels.len() <= 16 => Number::U16,
            ValType::Flags(_) => Number::U32,
            _ => return Err(Walked::Type),
        };
        self.begin(to);
        self.read(from, number)?;
        match ty {
            ValType::Bool => {
                self.code.i32(0);
                self.code.op(Instruction::I32Ne);
            }
            // What a guest passes may have other bits set, which mean nothing.
            ValType::U8 if is_flat => self.mask(0xff),
            ValType::U16 if is_flat => self.mask(0xffff),
            ValType::S8 if is_flat => self.code.op(Instruction::I32Extend8S),
            ValType::S16 if is_flat => self.code.op(Instruction::I32Extend16S),
            ValType::Flags(labels) if labels.len() < 32 => self.mask((1 << labels.len()) - 1),
            ValType::Char => self.check_char(),
            ValType::Float32 | ValType::Float64 if self.builder.canonical_nans => {
                self.canonical(number.flat);
            }
            _ => {}
        }
        self.write(to, number)
    }

    fn mask(&mut self, mask: u32) {
        self.code.i32(mask);
        self.code.op(Instruction::I32And);
    }

    /// Traps where the number on the stack is no character's; leaves it there.
    fn check_char(&mut self) {
        let char = self.code.local(Flat::I32);
        self.code.tee(char);
        // Surrogates become numbers that are greater than all characters'.
        self.code.i32(0xd800);
        self.code.op(Instruction::I32Xor);
        self.code.i32(0x800);
        self.code.op(Instruction::I32Sub);
        self.code.i32(0x11_0000 - 0x800);
        self.code.op(Instruction::I32GeU);
        self.trap_if(TrapCode::InvalidChar, Some(char));
        self.code.get(char);
    }

    /// Replaces a NaN on the stack by the canonical one.
    fn canonical(&mut self, flat: Flat) {
        let number = self.code.local(flat);
        self.code.tee(number);
        let (nan, equal) = match flat {
            Flat::F32 => (Instruction::F32Const(f32::from_bits(0x7fc0_0000).into()), Instruction::F32Eq),
            _ => (Instruction::F64Const(f64::from_bits(0x7ff8_0000_0000_0000).into()), Instruction::F64Eq),
        };
        self.code.op(nan);
        self.code.get(number);
        self.code.get(number);
        self.code.op(equal);
        self.code.op(Instruction::Select);
    }

    fn instances(&self) -> (crate::plan::InstanceNumber, crate::plan::InstanceNumber) {
        (self.builder.side_def(self.from).instance, self.builder.side_def(self.to).instance)
    }

    fn handle(&mut self, transfer: HostFunction, (from, to): (Place<'_>, Place<'_>)) -> Result<(), Walked> {
        let transfer = self.builder.host(transfer);
        self.begin(to);
        self.read(from, Number::U32)?;
        self.code.call(transfer);
        self.write(to, Number::U32)
    }

    fn fields(
        &mut self,
        types: (TypeIndex, TypeIndex),
        fields: impl Iterator<Item = (TypeIndex, TypeIndex)>,
        (from, to): (Place<'_>, Place<'_>),
    ) -> Result<(), Walked> {
        let offsets = &self.layout(types.0).offsets;
        let mut flat = 0;
        for ((a, b), offset) in fields.zip(offsets) {
            let width = match from {
                Place::Locals(_) => self.layout(a).flat.as_ref().ok_or(Walked::Type)?.len(),
                Place::Memory(_) => 0,
            };
            let part = flat..flat + width;
            self.value((a, b), from.part(part.clone(), *offset)?, to.part(part, *offset)?)?;
            flat += width;
        }
        Ok(())
    }

    fn fixed_list(
        &mut self,
        element: (TypeIndex, TypeIndex),
        count: u32,
        (from, to): (Place<'_>, Place<'_>),
    ) -> Result<(), Walked> {
        let (Place::Memory(source), Place::Memory(target)) = (from, to) else {
            let width = self.layout(element.0).flat.as_ref().ok_or(Walked::Type)?.len();
            for i in 0..count as usize {
                let part = i * width..(i + 1) * width;
                self.value(element, from.part(part.clone(), 0)?, to.part(part, 0)?)?;
            }
            return Ok(());
        };
        let (left, source_at, target_at) =
            (self.code.local(Flat::I32), self.code.local(Flat::I32), self.code.local(Flat::I32));
        self.code.address(source);
        self.code.set(source_at);
        self.code.address(target);
        self.code.set(target_at);
        self.code.i32(count);
        self.code.set(left);
        self.elements(element, left, (source_at, target_at))
    }

    /// Takes elements over until there are none `left`, of which there is one at least; all three locals are changed.
    pub(super) fn elements(
        &mut self,
        element: (TypeIndex, TypeIndex),
        left: Local,
        (source, target): (Local, Local),
    ) -> Result<(), Walked> {
        let size = self.layout(element.0).size;
        self.code.op(Instruction::Loop(BlockType::Empty));
        self.value(element, Place::Memory(Address::at(source)), Place::Memory(Address::at(target)))?;
        for at in [source, target] {
            self.code.get(at);
            self.code.i32(size);
            self.code.op(Instruction::I32Add);
            self.code.set(at);
        }
        self.code.get(left);
        self.code.i32(1);
        self.code.op(Instruction::I32Sub);
        self.code.tee(left);
        self.code.op(Instruction::BrIf(0));
        self.code.end();
        Ok(())
    }
}
