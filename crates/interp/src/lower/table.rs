//! Table instructions.

use super::emit::{pair, slots, slots_immediate};
use super::{Lowering, Result};
use crate::op::table;

impl Lowering<'_> {
    pub(super) fn visit_table_get(&mut self, table: u32) -> Result {
        let index = self.pop_slot();
        let start = self.emit.position();
        let result = self.stack.push_slot()?;
        self.emit.op(table::table_get, slots_immediate(result, index, table));
        self.emit.wrote(start, result, None);
        Ok(())
    }

    pub(super) fn visit_table_set(&mut self, table: u32) -> Result {
        let (value, index) = (self.pop_slot(), self.pop_slot());
        self.emit.op(table::table_set, slots_immediate(index, value, table));
        Ok(())
    }

    pub(super) fn visit_table_size(&mut self, table: u32) -> Result {
        let result = self.stack.push_slot()?;
        self.emit.op(table::table_size, slots_immediate(result, 0, table));
        Ok(())
    }

    pub(super) fn visit_table_grow(&mut self, table: u32) -> Result {
        let (delta, value) = (self.pop_slot(), self.pop_slot());
        let result = self.stack.push_slot()?;
        self.emit.op(table::table_grow, slots(result, value, delta, 0));
        self.emit.word(pair(table, 0));
        Ok(())
    }

    pub(super) fn visit_table_fill(&mut self, table: u32) -> Result {
        self.bulk(table::table_fill, table, 0)
    }

    pub(super) fn visit_table_copy(&mut self, dst_table: u32, src_table: u32) -> Result {
        self.bulk(table::table_copy, dst_table, src_table)
    }

    pub(super) fn visit_table_init(&mut self, elem_index: u32, table: u32) -> Result {
        self.bulk(table::table_init, table, elem_index)
    }

    pub(super) fn visit_elem_drop(&mut self, elem_index: u32) -> Result {
        self.emit.op(table::elem_drop, slots_immediate(0, 0, elem_index));
        Ok(())
    }
}
