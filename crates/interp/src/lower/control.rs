//! Structured control: blocks, branches, and the frame of the function itself.

use innkeeper_engine::index::TypeIndex;
use wasmparser::{BlockType, BrTable};

use super::emit::{
    Branches, Condition, Direction, Fixup, Forms, Position, Taken, pair, slots, slots_immediate,
};
use super::frame::{SlotIndex, near};
use super::stack::{OperandLocation, Width};
use super::{Lowering, Result};
use crate::machine::{Class, Handler};
use crate::op::control;
use crate::unwind::Catch;

/// A block that is open.
pub(super) struct Control {
    pub(super) kind: Construct,
    /// Operands below the block's parameters.
    pub(super) height: usize,
    /// Values that the block takes and leaves, whose types `ty` tells.
    params: usize,
    results: usize,
    ty: BlockType,
    /// Branches to the block's end.
    fixups: Vec<Fixup>,
    /// The how-manieth block of the function it is.
    pub(super) number: u32,
}

pub(super) enum Construct {
    /// The function's body; its end returns.
    Function,
    Block,
    Loop {
        header: Position,
    },
    /// A conditional whose `else` has not come yet.
    If {
        otherwise: Fixup,
    },
    Else,
    /// What is tried, and what it catches.
    Try {
        from: Position,
        catches: Vec<Catch>,
    },
    /// A handler of the older form, and the slot of the exception it handles.
    Handler {
        exception: SlotIndex,
    },
}

/// What a block takes, or what it leaves.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    Params,
    Results,
}

impl Lowering<'_> {
    /// Opens the function's body, and reserves room for the instruction that checks its frame.
    pub(super) fn begin_function(&mut self, ty: TypeIndex) {
        self.emit.op(control::enter, 0);
        self.emit.word(0);
        if self.frame.window().is_some() {
            self.emit.word(0);
            self.outside.push(0..self.emit.position());
        }
        let results = self.module.func_type(ty).results().len();
        let ty = BlockType::FuncType(ty.0);
        let kind = Construct::Function;
        self.control.push(Control { kind, height: 0, params: 0, results, ty, fixups: Vec::new(), number: 0 });
    }

    /// Writes the instruction that checks the frame, now that its size is known.
    pub(super) fn finish_function(&mut self) -> Result {
        let size = self.frame.size(self.stack.end());
        let (from, count) = self.frame.zeros();
        let handler: Handler = match self.frame.window() {
            Some(_) => control::enter_window,
            None if count <= MAX_ZEROS_IN_LOOP => control::enter,
            None => control::enter_wide,
        };
        self.emit.patch(0, handler as usize as u64);
        self.emit.patch(1, pair(self.func.0, size));
        self.emit.patch(2, pair(from, count));
        if let Some(distance) = self.frame.window() {
            self.emit.patch(3, pair(self.frame.param_slots().into(), distance));
        }
        Ok(())
    }

    pub(super) fn visit_unreachable(&mut self) -> Result {
        self.emit.op(control::unreachable, 0);
        self.end_reachable();
        Ok(())
    }

    pub(super) fn visit_nop(&mut self) -> Result {
        Ok(())
    }

    pub(super) fn visit_block(&mut self, blockty: BlockType) -> Result {
        self.settle_locals();
        self.open(Construct::Block, blockty);
        Ok(())
    }

    pub(super) fn visit_loop(&mut self, blockty: BlockType) -> Result {
        self.settle_locals();
        let (params, _) = self.arity(blockty);
        self.settle_top(params);
        let header = self.emit.label();
        self.note_loop(header);
        self.open(Construct::Loop { header }, blockty);
        Ok(())
    }

    pub(super) fn visit_if(&mut self, blockty: BlockType) -> Result {
        let condition = self.take_condition();
        // Settling comes between the comparison and its branch, but changes neither's operands.
        self.settle_locals();
        let (params, _) = self.arity(blockty);
        self.settle_top(params);
        let otherwise = self.branch_on(Taken::Unless, Direction::On, condition);
        self.open(Construct::If { otherwise }, blockty);
        Ok(())
    }

    pub(super) fn visit_else(&mut self) -> Result {
        let Some(mut block) = self.control.pop() else { return Ok(()) };
        if self.unreachable.is_none() {
            self.settle_top(block.results);
            block.fixups.push(self.branch(Direction::On));
        }
        if let Construct::If { otherwise } = block.kind {
            let here = self.emit.label();
            self.emit.fix(otherwise, here)?;
        }
        self.unreachable = None;
        self.stack.truncate(block.height);
        self.push_values(block.ty, Side::Params)?;
        block.kind = Construct::Else;
        self.control.push(block);
        Ok(())
    }

    pub(super) fn visit_end(&mut self) -> Result {
        if matches!(self.control.last(), Some(Control { kind: Construct::Function, .. })) {
            return self.end_function();
        }
        self.end_handler()?;
        let Some(mut block) = self.control.pop() else { return Ok(()) };
        self.end_try(&mut block);
        let joined = !block.fixups.is_empty() || matches!(block.kind, Construct::If { .. });
        let reachable = self.unreachable.is_none();
        if reachable && joined {
            self.settle_top(block.results);
        }
        if joined {
            let here = self.emit.label();
            // A conditional without `else` passes its parameters on, which are settled and where its results go.
            if let Construct::If { otherwise } = block.kind {
                self.emit.fix(otherwise, here)?;
            }
            for fixup in block.fixups {
                self.emit.fix(fixup, here)?;
            }
        }
        if !reachable || joined {
            self.unreachable = None;
            self.stack.truncate(block.height);
            self.push_values(block.ty, Side::Results)?;
        }
        Ok(())
    }

    pub(super) fn visit_br(&mut self, relative_depth: u32) -> Result {
        if self.is_function(relative_depth) {
            return self.visit_return();
        }
        self.move_to_label(relative_depth)?;
        let direction = self.direction(relative_depth);
        let fixup = self.branch(direction);
        self.bind(fixup, relative_depth)?;
        self.end_reachable();
        Ok(())
    }

    pub(super) fn visit_br_if(&mut self, relative_depth: u32) -> Result {
        let operand = self.stack.peek(0);
        if self.direction(relative_depth) == Direction::Back {
            self.stack.pop();
            let counted =
                if self.label_needs_moves(relative_depth) { None } else { self.branch_on_count(operand) };
            if let Some(fixup) = counted {
                return self.bind(fixup, relative_depth);
            }
            self.stack.push(operand.location, operand.width)?;
        }
        let condition = self.take_condition();
        self.branch_where(condition, relative_depth)
    }

    /// Branches to the label where the condition holds, with the topmost values, which stay.
    pub(super) fn branch_where(&mut self, condition: Condition, relative_depth: u32) -> Result {
        if !self.is_function(relative_depth) && !self.label_needs_moves(relative_depth) {
            let direction = self.direction(relative_depth);
            let fixup = self.branch_on(Taken::If, direction, condition);
            return self.bind(fixup, relative_depth);
        }
        // Around the moves, which only the taken branch may make.
        if self.is_function(relative_depth) {
            // On both ways, because what is settled here counts as settled on both.
            self.settle_results();
        }
        let around = self.branch_on(Taken::Unless, Direction::On, condition);
        self.leave_to(relative_depth)?;
        let here = self.emit.label();
        self.emit.fix(around, here)
    }

    pub(super) fn visit_br_table(&mut self, targets: BrTable<'_>) -> Result {
        let index = self.pop_slot();
        let mut depths = Vec::with_capacity(targets.len() as usize + 1);
        for depth in targets.targets() {
            depths.push(depth?);
        }
        depths.push(targets.default());
        if depths.iter().any(|depth| self.is_function(*depth)) {
            self.settle_results();
        }
        let at = self.emit.position();
        let back = depths.iter().any(|depth| self.direction(*depth) == Direction::Back);
        let handler: Handler = match self.emit.is_accumulated(index, Class::Integer) {
            _ if back => control::branch_table_back,
            true => control::branch_table_acc,
            false => control::branch_table,
        };
        self.emit.op(handler, slots_immediate(index, 0, targets.len()));
        for _ in &depths {
            self.emit.word(0);
        }
        // One stub for each label whose values must be moved, shared by all entries that name the label.
        let mut stubs: Vec<(u32, Position)> = Vec::new();
        for (entry, depth) in depths.into_iter().enumerate() {
            let fixup = Fixup::Table { at, word: at + 2 + entry };
            if !self.is_function(depth) && !self.label_needs_moves(depth) {
                self.bind(fixup, depth)?;
                continue;
            }
            let stub = match stubs.iter().rev().take(MAX_STUB_SEARCH).find(|(of, _)| *of == depth) {
                Some((_, stub)) => *stub,
                None => {
                    let stub = self.emit.label();
                    self.leave_to(depth)?;
                    self.check_length()?;
                    stubs.push((depth, stub));
                    stub
                }
            };
            self.emit.fix(fixup, stub)?;
        }
        self.end_reachable();
        Ok(())
    }

    /// Emits code that moves a label's values and goes there, and leaves the operand stack as it was.
    pub(super) fn leave_to(&mut self, relative_depth: u32) -> Result {
        if self.is_function(relative_depth) {
            return self.emit_return();
        }
        self.move_to_label(relative_depth)?;
        let direction = self.direction(relative_depth);
        let fixup = self.branch(direction);
        self.bind(fixup, relative_depth)
    }

    fn end_function(&mut self) -> Result {
        if self.unreachable.is_none() {
            self.visit_return()?;
        }
        self.control.pop();
        Ok(())
    }

    /// What follows cannot be reached until the block's end.
    pub(super) fn end_reachable(&mut self) {
        self.unreachable = Some(0);
    }

    /// Values that the function returns.
    pub(super) fn function_results(&self) -> usize {
        self.control.first().map_or(0, |body| body.results)
    }

    pub(super) fn open(&mut self, kind: Construct, blockty: BlockType) {
        let (params, results) = self.arity(blockty);
        let height = self.stack.len() - params;
        self.blocks += 1;
        let (ty, number) = (blockty, self.blocks);
        self.control.push(Control { kind, height, params, results, ty, fixups: Vec::new(), number });
    }

    pub(super) fn arity(&self, blockty: BlockType) -> (usize, usize) {
        match blockty {
            BlockType::Empty => (0, 0),
            BlockType::Type(_) => (0, 1),
            BlockType::FuncType(index) => {
                let ty = self.module.func_type(TypeIndex(index));
                (ty.params().len(), ty.results().len())
            }
        }
    }

    /// Pushes what a block takes or leaves, in canonical slots.
    fn push_values(&mut self, blockty: BlockType, side: Side) -> Result {
        match blockty {
            BlockType::Empty => {}
            BlockType::Type(_) if side == Side::Params => {}
            BlockType::Type(ty) => {
                self.stack.push(OperandLocation::Slot, Width::of(ty))?;
            }
            BlockType::FuncType(index) => {
                let ty = self.module.func_type(TypeIndex(index));
                let types = if side == Side::Params { ty.params() } else { ty.results() };
                for ty in types {
                    self.stack.push(OperandLocation::Slot, Width::of_engine(*ty))?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn control_at(&mut self, relative_depth: u32) -> &mut Control {
        let top = self.control.len() - 1;
        &mut self.control[top - relative_depth as usize]
    }

    pub(super) fn is_function(&self, relative_depth: u32) -> bool {
        relative_depth as usize + 1 == self.control.len()
    }

    /// How many values a branch to the label carries, and the position where the label expects the first.
    fn label(&mut self, relative_depth: u32) -> (usize, usize) {
        let block = self.control_at(relative_depth);
        let arity = if matches!(block.kind, Construct::Loop { .. }) { block.params } else { block.results };
        (arity, block.height)
    }

    fn label_needs_moves(&mut self, relative_depth: u32) -> bool {
        let (arity, height) = self.label(relative_depth);
        let from = self.stack.len() - arity;
        (0..arity).any(|i| {
            let operand = self.stack.at(from + i);
            operand.location != OperandLocation::Slot || from != height
        })
    }

    /// Moves the topmost values to where the label expects them, without popping them.
    fn move_to_label(&mut self, relative_depth: u32) -> Result {
        let (arity, height) = self.label(relative_depth);
        let from = self.stack.len() - arity;
        // Slots move downwards and are taken lowest first, so that none is overwritten before it was read.
        let mut to = u32::from(self.stack.slot_at(height)?);
        for i in 0..arity {
            let operand = self.stack.at(from + i);
            self.move_to(operand, near(to)?);
            to += operand.width.slots();
        }
        Ok(())
    }

    fn bind(&mut self, fixup: Fixup, relative_depth: u32) -> Result {
        let block = self.control_at(relative_depth);
        if let Construct::Loop { header } = block.kind {
            return self.emit.fix(fixup, header);
        }
        block.fixups.push(fixup);
        Ok(())
    }

    /// Where a branch to the label leads.
    fn direction(&mut self, relative_depth: u32) -> Direction {
        match self.control_at(relative_depth).kind {
            Construct::Loop { .. } => Direction::Back,
            _ => Direction::On,
        }
    }

    /// Pops a condition; a comparison that was just computed is taken back, to become part of the branch.
    pub(super) fn take_condition(&mut self) -> Condition {
        let operand = self.stack.pop();
        if operand.location == OperandLocation::Slot
            && let Some(condition) = self.emit.condition(operand.slot)
        {
            self.emit.take_back(condition.start);
            return condition;
        }
        let a = self.slot_of(operand);
        let accumulated = self.emit.is_accumulated(a, Class::Integer);
        // Two copies fuse into an instruction as long as one, which would pass for nothing having come between value and branch.
        self.emit.forget_last();
        let form = |slots: Handler, acc: Handler| Forms { slots, accumulated: accumulated.then_some(acc) };
        let branches = Branches {
            branch_if: form(control::branch_if, control::branch_if_acc),
            branch_unless: form(control::branch_unless, control::branch_unless_acc),
            loop_if: form(control::loop_if, control::loop_if_acc),
            loop_unless: form(control::loop_unless, control::loop_unless_acc),
        };
        Condition::branching(self.emit.position(), branches, a, 0)
    }

    fn branch_on(&mut self, taken: Taken, direction: Direction, condition: Condition) -> Fixup {
        if direction == Direction::Back
            && let Some(fixup) = self.branch_on_counted(taken, condition)
        {
            return fixup;
        }
        // What was emitted since the condition was taken may have used the accumulator.
        let untouched = self.emit.position() == condition.start;
        let forms = condition.branches.get(taken, direction);
        let handler = if untouched { forms.handler() } else { forms.slots };
        let at = self.emit.position();
        self.emit.op_keeping(handler, slots(condition.a, condition.b, 0, 0));
        if let Some(constant) = condition.constant {
            self.emit.word(constant);
        }
        Fixup::Operand { at }
    }
}

/// Entries of a branch table look this far back for a stub to share, which keeps lowering linear.
const MAX_STUB_SEARCH: usize = 16;
/// Functions with more locals to be set to zero than this use the instruction that calls `memset`.
const MAX_ZEROS_IN_LOOP: u32 = 32;
