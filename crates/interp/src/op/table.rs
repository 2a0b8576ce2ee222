//! Table operations. Indices and lengths are 32 bits wide; those of 64-bit tables come through `narrow_index`.
//!
//! # Safety
//! Beside the contract of [`crate::machine::Handler`], handlers rely on this: a table's record says how many elements there are and where, and both change together
//! (`engine/src/vmctx/table.rs`), by this thread only: tables are one store's. They compare an index with the length right before they use it, with nothing between that could
//! change the record. What is written is of the table's type, as validation has proved.

use innkeeper_engine::Trap;
use innkeeper_engine::index::{ElemIndex, TableIndex};
use innkeeper_engine::tier::{VmTable, runtime};

use crate::machine::{A, B, C, D, Exit, Machine, handlers};

impl Machine {
    /// The table whose index is in the upper half of word 1.
    ///
    /// # Safety
    /// The contract of [`crate::machine::Handler`].
    #[inline(always)]
    unsafe fn table(self) -> *const VmTable {
        // SAFETY: lowering has put the index of a validated instruction into the word, and the context, which is that of the instance whose code this is, points to one
        // record for each of the instance's tables, imported ones included, which stay as long as the store.
        unsafe { *(*self.ctx).tables.add(self.immediate() as usize) }
    }

    /// Stops the activation, as the table in the upper half of word 1 has no such element.
    ///
    /// # Safety
    /// The contract of [`crate::machine::Handler`].
    #[inline(always)]
    unsafe fn beyond_table(self, element: u32) -> Exit {
        // SAFETY: the contract of `Handler`, which lowering and `enter` keep for what this names.
        unsafe {
            runtime::note_beyond_table(self.ctx, element.into(), (*self.table()).len);
            self.trap(Trap::TableOutOfBounds)
        }
    }
}

handlers! {
    /// `[r index table]`.
    fn table_get(m) {
        let (table, index) = (m.table(), m.get::<u32>(B));
        if u64::from(index) >= (*table).len {
            return m.beyond_table(index);
        }
        m.set(A, *(*table).elements.add(index as usize));
        m.next(2)
    }

    /// `[index value table]`.
    fn table_set(m) {
        let (table, index) = (m.table(), m.get::<u32>(A));
        if u64::from(index) >= (*table).len {
            return m.beyond_table(index);
        }
        *(*table).elements.add(index as usize) = m.get(B);
        m.next(2)
    }

    /// `[r _ table]`.
    fn table_size(m) {
        m.set(A, (*m.table()).len);
        m.next(2)
    }

    /// `[r value delta wide] [table]`; `wide` is not 0 where the result has 64 bits.
    fn table_grow(m) {
        let (value, delta) = (m.get::<u64>(B), m.get::<u32>(C));
        let grown = runtime::table_grow(m.ctx, TableIndex(m.word(2) as u32), delta.into(), value);
        let Ok(old) = grown else { return m.stop() };
        // Refusal is -1 in the result's own width.
        m.set(A, if m.operand(D) == 0 { u64::from(old as u32) } else { old });
        m.next(3)
    }

    /// `[r index]`: a 64-bit index or length as 32 bits.
    fn narrow_index(m) {
        m.set(A, runtime::narrow_index(m.get(B)));
        m.next(2)
    }

    /// `[to value len] [table]`.
    fn table_fill(m) {
        let (to, value, len) = (m.get::<u32>(A), m.get::<u64>(B), m.get::<u32>(C));
        m.proceed(runtime::table_fill(m.ctx, TableIndex(m.word(2) as u32), to.into(), value, len.into()), 3)
    }

    /// `[to from len] [to_table from_table]`.
    fn table_copy(m) {
        let (to, from, len) = (m.get::<u32>(A), m.get::<u32>(B), m.get::<u32>(C));
        let (to_table, from_table) = (TableIndex(m.word(2) as u32), TableIndex((m.word(2) >> 32) as u32));
        m.proceed(runtime::table_copy(m.ctx, (to_table, to.into()), (from_table, from.into()), len.into()), 3)
    }

    /// `[to from len] [table elem]`.
    fn table_init(m) {
        let (to, from, len) = (m.get::<u32>(A), m.get::<u32>(B), m.get::<u32>(C));
        let (table, elem) = (TableIndex(m.word(2) as u32), ElemIndex((m.word(2) >> 32) as u32));
        m.proceed(runtime::table_init(m.ctx, table, elem, to.into(), from.into(), len.into()), 3)
    }

    /// `[_ _ elem]`.
    fn elem_drop(m) {
        runtime::elem_drop(m.ctx, ElemIndex(m.immediate()));
        m.next(2)
    }
}
