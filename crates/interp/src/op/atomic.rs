//! Atomic accesses, waiting and waking. All are of the form that names its memory, see [`super::memory`].
//!
//! An address is checked for alignment first, then for bounds.

use innkeeper_engine::tier::{atomic, runtime};
use innkeeper_engine::{Trap, for_each_atomic_opcode};

use super::memory::OTHER_WORDS;
use crate::machine::{A, B, C, D, Machine, handlers};

macro_rules! atomic_handlers {
    (
        load { $($load:ident $_v1:ident $_m1:literal $_e1:literal ($load_cell:ident) -> $load_bits:ident;)* }
        store { $($store:ident $_v2:ident $_m2:literal $_e2:literal ($store_bits:ident) -> $store_cell:ident;)* }
        rmw { $($rmw:ident $_v3:ident $_m3:literal $_e3:literal ($rmw_cell:ident $rmw_op:ident) -> $rmw_bits:ident;)* }
        cmpxchg { $($cmpxchg:ident $_v4:ident $_m4:literal $_e4:literal ($cmpxchg_cell:ident) -> $cmpxchg_bits:ident;)* }
    ) => {
        handlers! {
            $(
                /// `[r address] [offset] [mask] [memory]`.
                fn $load(m) {
                    let cell = match m.atomic_cell::<$load_cell>(B) {
                        Ok(cell) => cell,
                        Err(Trap::MemoryOutOfBounds) => return m.beyond_other::<$load_cell>(B),
                        Err(trap) => return m.trap(trap),
                    };
                    m.set(A, atomic::$load_cell::load(cell) as $load_bits);
                    m.next(OTHER_WORDS)
                }
            )*
            $(
                /// `[address value] [offset] [mask] [memory]`.
                fn $store(m) {
                    let cell = match m.atomic_cell::<$store_cell>(A) {
                        Ok(cell) => cell,
                        Err(Trap::MemoryOutOfBounds) => return m.beyond_other::<$store_cell>(A),
                        Err(trap) => return m.trap(trap),
                    };
                    atomic::$store_cell::store(cell, m.get::<$store_bits>(B) as $store_cell);
                    m.next(OTHER_WORDS)
                }
            )*
            $(
                /// `[r address value] [offset] [mask] [memory]`.
                fn $rmw(m) {
                    let cell = match m.atomic_cell::<$rmw_cell>(B) {
                        Ok(cell) => cell,
                        Err(Trap::MemoryOutOfBounds) => return m.beyond_other::<$rmw_cell>(B),
                        Err(trap) => return m.trap(trap),
                    };
                    let old = atomic::$rmw_cell::$rmw_op(cell, m.get::<$rmw_bits>(C) as $rmw_cell);
                    m.set(A, old as $rmw_bits);
                    m.next(OTHER_WORDS)
                }
            )*
            $(
                /// `[r address expected replacement] [offset] [mask] [memory]`. What is expected counts as wide as the cell.
                fn $cmpxchg(m) {
                    let cell = match m.atomic_cell::<$cmpxchg_cell>(B) {
                        Ok(cell) => cell,
                        Err(Trap::MemoryOutOfBounds) => return m.beyond_other::<$cmpxchg_cell>(B),
                        Err(trap) => return m.trap(trap),
                    };
                    let (expected, replacement) = (m.get::<$cmpxchg_bits>(C), m.get::<$cmpxchg_bits>(D));
                    let old = atomic::$cmpxchg_cell::cmpxchg(cell, expected as $cmpxchg_cell, replacement as $cmpxchg_cell);
                    m.set(A, old as $cmpxchg_bits);
                    m.next(OTHER_WORDS)
                }
            )*
        }
    };
}
for_each_atomic_opcode!(atomic_handlers);

impl Machine {
    /// The cell that an atomic access is of, or why it cannot be.
    ///
    /// # Safety
    /// The contract of [`crate::machine::Handler`].
    #[inline(always)]
    unsafe fn atomic_cell<Cell>(self, i: usize) -> Result<*mut Cell, Trap> {
        // SAFETY: the contract of `Handler`: operands are slots of the frame, by lowering; the address is compared with the memory's length here.
        unsafe {
            let address = self.other_address(i).ok_or(Trap::MemoryOutOfBounds)?;
            if !address.is_multiple_of(size_of::<Cell>() as u64) {
                return Err(Trap::UnalignedAtomic);
            }
            self.other_cell(i).ok_or(Trap::MemoryOutOfBounds)
        }
    }
}

handlers! {
    /// `[]`.
    fn fence(m) {
        atomic::fence();
        m.next(2)
    }

    /// `[r address count] [offset] [mask] [memory]`.
    fn notify(m) {
        let Some(address) = m.other_address(B) else { return m.beyond_other::<u32>(B) };
        match runtime::atomic_notify(m.ctx, m.other_memory(), address, m.get(C)) {
            Ok(woken) => {
                m.set(A, woken);
                m.next(OTHER_WORDS)
            }
            Err(trap) => m.trap(trap),
        }
    }

    /// `[r address expected timeout] [offset] [mask] [memory]`.
    fn wait32(m) {
        let Some(address) = m.other_address(B) else { return m.beyond_other::<u32>(B) };
        let timeout_ns = m.get::<u64>(D).cast_signed();
        let waited = runtime::atomic_wait32(m.ctx, m.other_memory(), address, m.get(C), timeout_ns);
        let Ok(outcome) = waited else { return m.stop() };
        m.set(A, outcome);
        m.reload_memory();
        m.next(OTHER_WORDS)
    }

    /// `[r address expected timeout] [offset] [mask] [memory]`.
    fn wait64(m) {
        let Some(address) = m.other_address(B) else { return m.beyond_other::<u64>(B) };
        let timeout_ns = m.get::<u64>(D).cast_signed();
        let waited = runtime::atomic_wait64(m.ctx, m.other_memory(), address, m.get(C), timeout_ns);
        let Ok(outcome) = waited else { return m.stop() };
        m.set(A, outcome);
        m.reload_memory();
        m.next(OTHER_WORDS)
    }
}
