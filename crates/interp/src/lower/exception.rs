//! Exceptions, in their present form (`try_table`) and the older one (`try` with handlers inside).
//!
//! The unwinder writes an exception's values straight into slots and goes on at a word of the code; [`crate::unwind`] has the tables that
//! are made here.

use innkeeper_engine::index::TagIndex;
use wasmparser::{BlockType, TryTable};

use super::control::{Construct, Control};
use super::emit::{Direction, slots};
use super::frame::near;
use super::stack::{OperandLocation, Width};
use super::{Lowering, Result};
use crate::op::exception;
use crate::unwind::{Catch, ExceptionEntry};

impl Lowering<'_> {
    pub(super) fn visit_throw(&mut self, tag_index: u32) -> Result {
        let count = self.module.tag_type(TagIndex(tag_index)).params().len();
        let slot_count = self.module.tag_type(TagIndex(tag_index)).param_slots();
        self.settle_top(count);
        let end = self.stack.top_slot();
        self.emit.op(exception::throw, slots(near(end - slot_count)?, near(slot_count)?, 0, near(end)?));
        self.emit.word(u64::from(tag_index));
        self.end_reachable();
        Ok(())
    }

    pub(super) fn visit_throw_ref(&mut self) -> Result {
        let exception = self.pop_slot();
        self.emit.op(exception::throw_ref, slots(exception, 0, 0, 0));
        self.end_reachable();
        Ok(())
    }

    pub(super) fn visit_try_table(&mut self, try_table: TryTable) -> Result {
        self.settle_locals();
        let (params, _) = self.arity(try_table.ty);
        self.settle_top(params);
        let mut catches = Vec::with_capacity(try_table.catches.len());
        if !try_table.catches.is_empty() {
            let over = self.branch(Direction::On);
            for catch in &try_table.catches {
                catches.push(self.catch_target(catch)?);
            }
            let here = self.emit.label();
            self.emit.fix(over, here)?;
        }
        let from = self.emit.label();
        self.open(Construct::Try { from, catches }, try_table.ty);
        Ok(())
    }

    /// Emits what takes a caught exception to its label.
    fn catch_target(&mut self, catch: &wasmparser::Catch) -> Result<Catch> {
        let (tag, with_exception, label) = match *catch {
            wasmparser::Catch::One { tag, label } => (Some(TagIndex(tag)), false, label),
            wasmparser::Catch::OneRef { tag, label } => (Some(TagIndex(tag)), true, label),
            wasmparser::Catch::All { label } => (None, false, label),
            wasmparser::Catch::AllRef { label } => (None, true, label),
        };
        let target = self.emit.label() as u32;
        let height = self.stack.len();
        let values = near(self.stack.top_slot())?;
        self.push_tag_values(tag)?;
        let exception = if with_exception { Some(self.stack.push_slot()?) } else { None };
        if self.is_function(label) {
            self.settle_results();
        }
        self.leave_to(label)?;
        self.stack.truncate(height);
        Ok(Catch { tag, values, exception, target })
    }

    pub(super) fn visit_try(&mut self, blockty: BlockType) -> Result {
        self.settle_locals();
        let (params, _) = self.arity(blockty);
        self.settle_top(params);
        let from = self.emit.label();
        self.open(Construct::Try { from, catches: Vec::new() }, blockty);
        Ok(())
    }

    pub(super) fn visit_catch(&mut self, tag_index: u32) -> Result {
        self.handler(Some(TagIndex(tag_index)))
    }

    pub(super) fn visit_catch_all(&mut self) -> Result {
        self.handler(None)
    }

    pub(super) fn visit_rethrow(&mut self, relative_depth: u32) -> Result {
        // Validation admits handlers only.
        if let Construct::Handler { exception, .. } = self.control_at(relative_depth).kind {
            self.emit.op(exception::throw_ref, slots(exception, 0, 0, 0));
        }
        self.end_reachable();
        Ok(())
    }

    pub(super) fn visit_delegate(&mut self, relative_depth: u32) -> Result {
        // The label counts from outside the block that ends here.
        let to = self.control_at(relative_depth + 1).number;
        if let Some(Control { kind: Construct::Try { from, .. }, number, .. }) = self.control.last() {
            // A label: what follows must not fuse with the last instruction inside, which would pull it into the range.
            let (from, block, end) = (*from as u32, *number, self.emit.label() as u32);
            let catches = Box::default();
            self.exception_table.push(ExceptionEntry { block, from, to: end, catches, delegate: Some(to) });
        }
        if let Some(block) = self.control.last_mut() {
            block.kind = Construct::Block;
        }
        self.visit_end()
    }

    /// Ends what was tried, or the handler before, and starts a handler.
    fn handler(&mut self, tag: Option<TagIndex>) -> Result {
        if self.unreachable.is_none() {
            // To the block's own end.
            self.leave_to(0)?;
        }
        self.unreachable = None;
        let Some(mut block) = self.control.pop() else { return Ok(()) };
        let end = self.emit.label();
        self.stack.truncate(block.height);
        let exception = self.stack.push_slot()?;
        let values = near(self.stack.top_slot())?;
        let catch = Catch { tag, values, exception: Some(exception), target: end as u32 };
        match block.kind {
            Construct::Try { from, .. } => self.exception_table.push(ExceptionEntry {
                block: block.number,
                from: from as u32,
                to: end as u32,
                catches: Box::new([catch]),
                delegate: None,
            }),
            // A further handler of the same block: found by the block's number.
            _ => {
                if let Some(range) =
                    self.exception_table.iter_mut().rev().find(|range| range.block == block.number)
                {
                    let mut catches = std::mem::take(&mut range.catches).into_vec();
                    catches.push(catch);
                    range.catches = catches.into();
                }
            }
        }
        self.push_tag_values(tag)?;
        block.kind = Construct::Handler { exception };
        self.control.push(block);
        Ok(())
    }

    /// At a block's end: a handler's results stand above its exception, and move to where the block's results go.
    pub(super) fn end_handler(&mut self) -> Result {
        let is_handler = matches!(self.control.last(), Some(Control { kind: Construct::Handler { .. }, .. }));
        if is_handler && self.unreachable.is_none() {
            self.leave_to(0)?;
            self.end_reachable();
        }
        Ok(())
    }

    /// At a block's end: records what was tried in it.
    pub(super) fn end_try(&mut self, block: &mut Control) {
        if let Construct::Try { from, catches } = &mut block.kind
            && !catches.is_empty()
        {
            // A label, as where a handler's block begins.
            let (from, to) = (*from as u32, self.emit.label() as u32);
            let catches = std::mem::take(catches).into();
            self.exception_table.push(ExceptionEntry {
                block: block.number,
                from,
                to,
                catches,
                delegate: None,
            });
        }
    }

    fn push_tag_values(&mut self, tag: Option<TagIndex>) -> Result {
        if let Some(tag) = tag {
            for ty in self.module.tag_type(tag).params() {
                self.stack.push(OperandLocation::Slot, Width::of_engine(*ty))?;
            }
        }
        Ok(())
    }
}
