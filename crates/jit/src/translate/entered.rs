//! Machine code that is entered at a loop, from the interpreter's frame.
//!
//! Nothing leads to what comes before that loop but a loop around it that goes round again. So control comes to the ends of the blocks around it, to
//! their `else` and to their handlers, on two ways: through the loop that is entered, and past it from the header of one around it. An operand that lies
//! below such a block has been brought by the frame on the first way, and has been computed on the other. Until the loop is met, operands below the blocks that are opened are therefore kept in
//! variables, of which the builder makes one value where ways meet.
//!
//! Must stay true: an operand that was on the stack before the loop is met is not used behind the end, `else` or handler of a block around it unless it was
//! taken from its variable there ([`Translator::take_kept`]). The compiler's verifier seldom sees when it was not: since control begins at the loop that is
//! entered, what its header brings is defined everywhere behind it, but is the operand of an earlier round.

use cranelift_codegen::ir::{Block, BlockArg, InstBuilder, Type, Value, types};
use innkeeper_engine::tier::{OsrEntry, OsrValue};

use super::{Result, Start, Translator, Unsupported};

impl Translator<'_, '_> {
    /// The entry, if the loop being translated is the one that the function is entered at.
    pub(super) fn entry_here(&self) -> Option<&OsrEntry> {
        match self.start {
            Start::Loop(entry) if entry.offset_bytes == self.offset && !self.inliner.is_inside() => {
                Some(entry)
            }
            _ => None,
        }
    }

    /// Reads the locals, and leaves the operands for where the loop is met, when their types are known.
    pub(super) fn begin_at_loop(&mut self, entry: &OsrEntry, frame: Value, local_types: &[Type]) {
        self.results = Some(frame);
        for (i, place) in entry.locals.iter().enumerate() {
            let value = self.place_in_frame(frame, *place, local_types[i]);
            self.b.def_var(self.locals[i], value);
        }
        // Nothing leads to what comes before the loop.
        let body = self.b.create_block();
        let to_loop = self.b.create_block();
        self.b.ins().jump(to_loop, &[]);
        self.b.seal_block(to_loop);
        self.pending_loop = Some(to_loop);
        self.b.switch_to_block(body);
        self.b.seal_block(body);
    }

    /// Goes to the header of the loop that the function is entered at, from where it is entered: with the operands that the frame has, those from `height` on being
    /// the loop's parameters.
    pub(super) fn enter_loop(&mut self, height: usize, header: Block) -> Result {
        let Some(block) = self.pending_loop.take() else { return Ok(()) };
        // Nor does the frame say what was caught.
        if self.control.iter().any(|control| control.caught.is_some()) {
            return Err(Unsupported::Instruction("a loop in a handler".to_owned()));
        }
        let (Some(entry), Some(frame)) = (self.entry_here().cloned(), self.results) else {
            return Err(Unsupported::Malformed);
        };
        if entry.operands.len() != self.stack.len() {
            return Err(Unsupported::Malformed);
        }
        self.b.switch_to_block(block);
        // A function can recurse from its loop, and begin in the interpreter each time.
        self.poll();
        for (i, place) in entry.operands.iter().enumerate() {
            let ty = self.b.func.dfg.value_type(self.stack[i]);
            self.stack[i] = self.place_in_frame(frame, *place, ty);
        }
        self.keep(height)?;
        let args: Vec<BlockArg> = self.stack[height..].iter().map(|value| (*value).into()).collect();
        self.b.ins().jump(header, &args);
        Ok(())
    }

    /// At a block that is being opened above `height` operands: keeps them if the loop that the function is entered at may be inside. Gives their number, or none.
    pub(super) fn keep_below(&mut self, height: usize) -> Result<usize> {
        // A body that is inlined has operands of its own.
        if self.pending_loop.is_none() || self.inliner.is_inside() {
            return Ok(0);
        }
        self.keep(height)?;
        Ok(height)
    }

    /// Keeps so many operands from the bottom.
    fn keep(&mut self, count: usize) -> Result {
        self.count_arguments(count)?;
        for (i, value) in self.stack[..count].iter().enumerate() {
            let ty = self.b.func.dfg.value_type(*value);
            let variable = *self.kept.entry((i, ty)).or_insert_with(|| {
                self.declared_locals += 1;
                self.b.declare_var(ty)
            });
            self.b.def_var(variable, *value);
        }
        Ok(())
    }

    /// Where ways meet that may come from the loop that the function is entered at and from elsewhere: makes so many operands from the bottom what was kept last. The block
    /// may get parameters by that, behind its own.
    pub(super) fn take_kept(&mut self, count: usize) {
        for i in 0..count {
            let ty = self.b.func.dfg.value_type(self.stack[i]);
            if let Some(variable) = self.kept.get(&(i, ty)) {
                self.stack[i] = self.b.use_var(*variable);
            }
        }
    }

    /// The value that an interpreter's frame has at a place.
    fn place_in_frame(&mut self, frame: Value, place: OsrValue, ty: Type) -> Value {
        match place {
            OsrValue::Slot(slot) => self.load_slot(frame, slot, ty),
            OsrValue::Constant(bits) => match ty {
                types::F32 => self.b.ins().f32const(f32::from_bits(bits as u32)),
                types::F64 => self.b.ins().f64const(f64::from_bits(bits)),
                types::I32 => self.b.ins().iconst(types::I32, i64::from(bits as u32)),
                _ => self.b.ins().iconst(types::I64, bits.cast_signed()),
            },
        }
    }
}
