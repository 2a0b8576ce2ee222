//! Loads, stores and bulk memory operations.
//!
//! The effective address is computed in 64 bits, from a 32-bit address and a 32-bit offset, so that it cannot wrap.

use innkeeper_engine::index::{DataIndex, MemoryIndex};
use innkeeper_engine::tier::runtime;
use innkeeper_engine::{Trap, for_each_opcode};

use crate::machine::{A, B, C, Machine, Slot, handlers};

macro_rules! memory_handlers {
    (
        compare { $($_compare:tt)* } test { $($_test:tt)* } unary { $($_unary:tt)* } binary { $($_binary:tt)* }
        unary_trapping { $($_unary_trapping:tt)* } binary_trapping { $($_binary_trapping:tt)* }
        load { $($load:ident $_v1:ident $_m1:literal $_e1:literal ($load_cell:ty) -> $load_bits:ident;)* }
        store { $($store:ident $_v2:ident $_m2:literal $_e2:literal ($store_bits:ident) -> $store_cell:ty;)* }
    ) => {
        handlers! {
            $(
                /// `[r address offset]`.
                fn $load(m) {
                    let address = u64::from(m.get::<u32>(B)) + u64::from(m.immediate());
                    let Some(cell) = m.cell::<$load_cell>(address) else { return m.trap(Trap::MemoryOutOfBounds) };
                    let value = <$load_cell>::from_le(cell.read_unaligned());
                    m.set(A, value as $load_bits);
                    m.next(2)
                }
            )*
            $(
                /// `[address value offset]`.
                fn $store(m) {
                    let address = u64::from(m.get::<u32>(A)) + u64::from(m.immediate());
                    let Some(cell) = m.cell::<$store_cell>(address) else { return m.trap(Trap::MemoryOutOfBounds) };
                    cell.write_unaligned((m.get::<$store_bits>(B) as $store_cell).to_le());
                    m.next(2)
                }
            )*
        }

        /// `[address _ offset] [imm64]`: stores of a constant.
        pub(crate) mod constant {
            use super::*;

            handlers! {
                $(fn $store(m) {
                    let address = u64::from(m.get::<u32>(A)) + u64::from(m.immediate());
                    let Some(cell) = m.cell::<$store_cell>(address) else { return m.trap(Trap::MemoryOutOfBounds) };
                    cell.write_unaligned((<$store_bits>::from_slot(m.word(2)) as $store_cell).to_le());
                    m.next(3)
                })*
            }
        }
    };
}
for_each_opcode!(memory_handlers);

impl Machine {
    /// The memory cell of a `Cell`'s size at `address`; none where it is not wholly inside the memory.
    ///
    /// # Safety
    /// The contract of [`crate::machine::Handler`].
    #[inline(always)]
    pub(crate) unsafe fn cell<Cell>(self, address: u64) -> Option<*mut Cell> {
        if address + size_of::<Cell>() as u64 > self.mem_len as u64 {
            return None;
        }
        // SAFETY: the range was just checked against the memory's length.
        Some(unsafe { self.mem.add(address as usize) }.cast())
    }
}

handlers! {
    /// `[r _ memory]`.
    fn memory_size(m) {
        let memory = *(*m.ctx).memories.add(m.immediate() as usize);
        m.set(A, ((*memory).len_bytes >> 16) as u64);
        m.next(2)
    }

    /// `[r delta memory]`.
    fn memory_grow(m) {
        let delta = u64::from(m.get::<u32>(B));
        // Refusal is -1 in the result's own width.
        let old = runtime::memory_grow(m.ctx, MemoryIndex(m.immediate()), delta) as u32;
        m.set(A, old);
        m.reload_memory();
        m.next(2)
    }

    /// `[to value len] [memory]`.
    fn memory_fill(m) {
        let (to, value, len) = (m.get::<u32>(A), m.get::<u32>(B), m.get::<u32>(C));
        match runtime::memory_fill(m.ctx, MemoryIndex(m.word(2) as u32), to.into(), value as u8, len.into()) {
            Ok(()) => m.next(3),
            Err(trap) => m.trap(trap),
        }
    }

    /// `[to from len] [to_memory from_memory]`.
    fn memory_copy(m) {
        let (to, from, len) = (m.get::<u32>(A), m.get::<u32>(B), m.get::<u32>(C));
        let (to_memory, from_memory) = (MemoryIndex(m.word(2) as u32), MemoryIndex((m.word(2) >> 32) as u32));
        match runtime::memory_copy(m.ctx, (to_memory, to.into()), (from_memory, from.into()), len.into()) {
            Ok(()) => m.next(3),
            Err(trap) => m.trap(trap),
        }
    }

    /// `[to from len] [memory data]`.
    fn memory_init(m) {
        let (to, from, len) = (m.get::<u32>(A), m.get::<u32>(B), m.get::<u32>(C));
        let (memory, data) = (MemoryIndex(m.word(2) as u32), DataIndex((m.word(2) >> 32) as u32));
        match runtime::memory_init(m.ctx, memory, data, to.into(), from.into(), len.into()) {
            Ok(()) => m.next(3),
            Err(trap) => m.trap(trap),
        }
    }

    /// `[_ _ data]`.
    fn data_drop(m) {
        runtime::data_drop(m.ctx, DataIndex(m.immediate()));
        m.next(2)
    }
}
