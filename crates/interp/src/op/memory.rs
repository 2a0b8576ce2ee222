//! Loads, stores and bulk memory operations.
//!
//! Loads and stores come in two forms. The ordinary one is of the first memory and 32-bit addresses: base and length are in registers, and
//! the effective address is computed in 64 bits, from a 32-bit address and a 32-bit offset, so that it cannot wrap. The other one
//! (module `other`) is of any memory and any address; three words after word 1 say which: `[offset] [mask] [memory]`, where the mask cuts
//! a 32-bit address out of its slot.
//!
//! Accesses are raw reads and writes. On a shared memory they race with those of other threads, by the standard's own design.

use innkeeper_engine::index::{DataIndex, MemoryIndex};
use innkeeper_engine::tier::{VmContext, runtime};
use innkeeper_engine::{Trap, for_each_opcode};

use crate::code::Word;
use crate::machine::{A, B, C, D, Exit, Machine, Slot, handlers};

macro_rules! memory_handlers {
    (
        compare { $($_compare:tt)* } test { $($_test:tt)* } unary { $($_unary:tt)* } binary { $($_binary:tt)* }
        unary_trapping { $($_unary_trapping:tt)* } binary_trapping { $($_binary_trapping:tt)* }
        load { $($load:ident $_v1:ident $_m1:literal $_e1:literal ($load_cell:ty) -> $load_bits:ident;)* }
        store { $($store:ident $_v2:ident $_m2:literal $_e2:literal ($store_bits:ident) -> $store_cell:ty;)* }
    ) => {
        memory_handlers! { @load s "`[r address offset]`." (|m| m.plus_offset(m.get(B))) $($load $load_cell, $load_bits;)* }
        memory_handlers! { @load acc "`[r _ offset]`: the accumulator is the address." (|m| m.plus_offset(m.last())) $($load $load_cell, $load_bits;)* }
        memory_handlers! { @load scaled1 "`[r index offset]`: at `index << 1`." (|m| m.plus_offset(m.get::<u32>(B) << 1)) $($load $load_cell, $load_bits;)* }
        memory_handlers! { @load scaled2 "`[r index offset]`: at `index << 2`." (|m| m.plus_offset(m.get::<u32>(B) << 2)) $($load $load_cell, $load_bits;)* }
        memory_handlers! { @load scaled3 "`[r index offset]`: at `index << 3`." (|m| m.plus_offset(m.get::<u32>(B) << 3)) $($load $load_cell, $load_bits;)* }
        memory_handlers! { @load scaled1_acc "`[r _ offset]`: at the accumulator `<< 1`." (|m| m.plus_offset(m.last::<u32>() << 1)) $($load $load_cell, $load_bits;)* }
        memory_handlers! { @load scaled2_acc "`[r _ offset]`: at the accumulator `<< 2`." (|m| m.plus_offset(m.last::<u32>() << 2)) $($load $load_cell, $load_bits;)* }
        memory_handlers! { @load scaled3_acc "`[r _ offset]`: at the accumulator `<< 3`." (|m| m.plus_offset(m.last::<u32>() << 3)) $($load $load_cell, $load_bits;)* }
        memory_handlers! { @store ss "`[address value offset]`." (|m| m.plus_offset(m.get(A))) (|n| n.get(B)) $($store $store_bits, $store_cell;)* }
        memory_handlers! { @store acc_s "`[_ value offset]`: the accumulator is the address." (|m| m.plus_offset(m.last())) (|n| n.get(B)) $($store $store_bits, $store_cell;)* }
        memory_handlers! { @store s_acc "`[address _ offset]`: the accumulator is the value." (|m| m.plus_offset(m.get(A))) (|n| n.last()) $($store $store_bits, $store_cell;)* }
        memory_handlers! { @store at_acc "`[_ _ address]`: the accumulator, at a constant address." (|m| u64::from(m.immediate())) (|n| n.last()) $($store $store_bits, $store_cell;)* }

        /// `[r _ address]` or `[value _ address]`: at a constant address.
        pub(crate) mod at {
            use super::*;

            handlers! {
                $(fn $load(m) {
                    let address = u64::from(m.immediate());
                    memory_handlers!(@load_at m address $load_cell, $load_bits)
                })*
                $(fn $store(m) {
                    let address = u64::from(m.immediate());
                    memory_handlers!(@store_at m address (m.get(A)) $store_bits, $store_cell)
                })*
            }
        }

        memory_handlers! { @indexed indexed0 0 $($load $load_cell, $load_bits;)* / $($store $store_bits, $store_cell;)* }
        memory_handlers! { @indexed indexed1 1 $($load $load_cell, $load_bits;)* / $($store $store_bits, $store_cell;)* }
        memory_handlers! { @indexed indexed2 2 $($load $load_cell, $load_bits;)* / $($store $store_bits, $store_cell;)* }
        memory_handlers! { @indexed indexed3 3 $($load $load_cell, $load_bits;)* / $($store $store_bits, $store_cell;)* }

        /// `[r p a] [imm32 offset]`: `p` becomes `a` plus a constant, and is the address.
        pub(crate) mod counted {
            use innkeeper_engine::numeric;

            use super::*;

            handlers! {
                $(fn $load(m) {
                    let base = numeric::i32_add(m.get(C), m.word(2) as u32);
                    let address = u64::from(base) + u64::from(m.immediate_of(2));
                    let Some(cell) = m.cell::<$load_cell>(address) else { return m.beyond_memory::<$load_cell>(address) };
                    m.set(B, base);
                    m.set::<$load_bits>(A, <$load_cell>::from_le(cell.read_unaligned()).extend());
                    m.next(3)
                })*
            }
        }

        /// Any memory, addresses of any width; see the module's documentation.
        pub(crate) mod other {
            use super::*;

            handlers! {
                $(
                    /// `[r address] [offset] [mask] [memory]`.
                    fn $load(m) {
                        let Some(cell) = m.other_cell::<$load_cell>(B) else { return m.beyond_other::<$load_cell>(B) };
                        m.set::<$load_bits>(A, <$load_cell>::from_le(cell.read_unaligned()).extend());
                        m.next(OTHER_WORDS)
                    }
                )*
                $(
                    /// `[address value] [offset] [mask] [memory]`.
                    fn $store(m) {
                        let Some(cell) = m.other_cell::<$store_cell>(A) else { return m.beyond_other::<$store_cell>(A) };
                        let value: $store_cell = m.get::<$store_bits>(B).cut();
                        cell.write_unaligned(value.to_le());
                        m.next(OTHER_WORDS)
                    }
                )*
            }
        }

        /// `[address _ offset] [imm64]`: stores of a constant.
        pub(crate) mod constant {
            use super::*;

            handlers! {
                $(fn $store(m) {
                    let address = u64::from(m.get::<u32>(A)) + u64::from(m.immediate());
                    let Some(cell) = m.cell::<$store_cell>(address) else { return m.beyond_memory::<$store_cell>(address) };
                    let value: $store_cell = <$store_bits>::from_slot(m.word(2)).cut();
                    cell.write_unaligned(value.to_le());
                    m.next(3)
                })*
            }
        }
    };
    (@load $module:ident $doc:literal (|$m:ident| $address:expr) $($load:ident $load_cell:ty, $load_bits:ty;)*) => {
        #[doc = $doc]
        pub(crate) mod $module {
            use super::*;

            handlers! {
                $(fn $load($m) {
                    let address: u64 = $address;
                    memory_handlers!(@load_at $m address $load_cell, $load_bits)
                })*
            }
        }
    };
    (@store $module:ident $doc:literal (|$m:ident| $address:expr) (|$n:ident| $value:expr) $($store:ident $store_bits:ty, $store_cell:ty;)*) => {
        #[doc = $doc]
        pub(crate) mod $module {
            use super::*;

            handlers! {
                $(fn $store($m) {
                    let address: u64 = $address;
                    let $n = $m;
                    memory_handlers!(@store_at $m address ($value) $store_bits, $store_cell)
                })*
            }
        }
    };
    (@indexed $module:ident $shift:literal $($load:ident $load_cell:ty, $load_bits:ty;)* / $($store:ident $store_bits:ty, $store_cell:ty;)*) => {
        /// `[r base index offset]` or `[base index value offset]`: at `base + (index << shift)`; the module's name has the shift.
        pub(crate) mod $module {
            use innkeeper_engine::numeric;

            use super::*;

            handlers! {
                $(fn $load(m) {
                    let address = numeric::i32_add(m.get(B), m.get::<u32>(C) << $shift);
                    let address = u64::from(address) + m.operand(D) as u64;
                    memory_handlers!(@load_at m address $load_cell, $load_bits)
                })*
                $(fn $store(m) {
                    let address = numeric::i32_add(m.get(A), m.get::<u32>(B) << $shift);
                    let address = u64::from(address) + m.operand(D) as u64;
                    memory_handlers!(@store_at m address (m.get(C)) $store_bits, $store_cell)
                })*
            }

            /// `[base index _ offset] [imm64]`: stores of a constant.
            pub(crate) mod constant {
                use super::*;

                handlers! {
                    $(fn $store(m) {
                        let address = numeric::i32_add(m.get(A), m.get::<u32>(B) << $shift);
                        let address = u64::from(address) + m.operand(D) as u64;
                        let Some(cell) = m.cell::<$store_cell>(address) else { return m.beyond_memory::<$store_cell>(address) };
                        let value: $store_cell = m.constant_of::<$store_bits>(2).cut();
                        cell.write_unaligned(value.to_le());
                        m.next(3)
                    })*
                }
            }
        }
    };
    (@load_at $m:ident $address:ident $load_cell:ty, $load_bits:ty) => {{
        let Some(cell) = $m.cell::<$load_cell>($address) else { return $m.beyond_memory::<$load_cell>($address) };
        $m.set::<$load_bits>(A, <$load_cell>::from_le(cell.read_unaligned()).extend());
        $m.next(2)
    }};
    (@store_at $m:ident $address:ident ($value:expr) $store_bits:ty, $store_cell:ty) => {{
        let Some(cell) = $m.cell::<$store_cell>($address) else { return $m.beyond_memory::<$store_cell>($address) };
        let value: $store_bits = $value;
        let value: $store_cell = value.cut();
        cell.write_unaligned(value.to_le());
        $m.next(2)
    }};
}
for_each_opcode!(memory_handlers);

/// A memory cell as the value that a load gives.
pub(crate) trait Extend<To> {
    fn extend(self) -> To;
}

/// A value as the memory cell that a store writes.
pub(crate) trait Cut<To> {
    fn cut(self) -> To;
}

macro_rules! cells {
    (extend { $($from:ty => $($to:ty)*;)* } cut { $($value:ty => $($cell:ty)*;)* }) => {
        $($(impl Extend<$to> for $from {
            #[inline(always)]
            fn extend(self) -> $to {
                self as $to
            }
        })*)*
        $($(impl Cut<$cell> for $value {
            #[inline(always)]
            fn cut(self) -> $cell {
                self as $cell
            }
        })*)*
    };
}

cells! {
    extend { i8 => u32 u64; u8 => u32 u64; i16 => u32 u64; u16 => u32 u64; i32 => u64; u32 => u32 u64; u64 => u64; }
    cut { u32 => u8 u16 u32; u64 => u8 u16 u32 u64; }
}

impl Extend<f32> for u32 {
    #[inline(always)]
    fn extend(self) -> f32 {
        f32::from_bits(self)
    }
}

impl Extend<f64> for u64 {
    #[inline(always)]
    fn extend(self) -> f64 {
        f64::from_bits(self)
    }
}

impl Cut<u32> for f32 {
    #[inline(always)]
    fn cut(self) -> u32 {
        self.to_bits()
    }
}

impl Cut<u64> for f64 {
    #[inline(always)]
    fn cut(self) -> u64 {
        self.to_bits()
    }
}

/// Words of an instruction that names its memory.
pub(crate) const OTHER_WORDS: usize = 5;

impl Machine {
    /// The memory that an instruction with [`OTHER_WORDS`] names.
    ///
    /// # Safety
    /// The contract of [`crate::machine::Handler`].
    #[inline(always)]
    pub(crate) unsafe fn other_memory(self) -> MemoryIndex {
        // SAFETY: the contract of `Handler`: lowering writes this word for instructions on memories other than the first.
        MemoryIndex(unsafe { self.word(4) } as u32)
    }

    /// The effective address of an instruction with [`OTHER_WORDS`] whose operand at position `i` is the address; none where it is
    /// beyond 64 bits.
    ///
    /// # Safety
    /// The contract of [`crate::machine::Handler`].
    #[inline(always)]
    pub(crate) unsafe fn other_address(self, i: usize) -> Option<u64> {
        // SAFETY: the contract of `Handler`: lowering writes these words for instructions on memories other than the first.
        unsafe { (self.get::<u64>(i) & self.word(3)).checked_add(self.word(2)) }
    }

    /// The cell that an instruction with [`OTHER_WORDS`] accesses; none where it is not wholly inside the memory.
    ///
    /// # Safety
    /// The contract of [`crate::machine::Handler`].
    #[inline(always)]
    pub(crate) unsafe fn other_cell<Cell>(self, i: usize) -> Option<*mut Cell> {
        // SAFETY: the contract of `Handler`: lowering writes these words; validation admits only memories that the instance has.
        unsafe {
            let address = self.other_address(i)?;
            let memory = *(*self.ctx).memories.add(self.other_memory().index());
            let last = (*memory).len_bytes().checked_sub(size_of::<Cell>())?;
            if address > last as u64 {
                return None;
            }
            Some((*memory).base.add(address as usize).cast())
        }
    }

    /// Stops the activation, as the cell that an instruction with [`OTHER_WORDS`] accesses is not wholly inside the memory.
    ///
    /// # Safety
    /// The contract of [`crate::machine::Handler`].
    #[inline(always)]
    pub(crate) unsafe fn beyond_other<Cell>(self, i: usize) -> Exit {
        // SAFETY: passed on.
        unsafe { beyond_other(self.ip, self.fp, self.ctx, i, size_of::<Cell>() as u64) }
    }

    /// The operand at position `i`, an address or a length, which has 64 bits where bit `i` of the operand at `D` is set, else 32.
    ///
    /// # Safety
    /// The contract of [`crate::machine::Handler`].
    #[inline(always)]
    unsafe fn index_operand(self, i: usize) -> u64 {
        // SAFETY: the contract of `Handler`: the operand is a slot of the frame, by lowering.
        unsafe {
            let slot = self.get::<u64>(i);
            if self.operand(D) >> i & 1 != 0 { slot } else { slot & u64::from(u32::MAX) }
        }
    }

    /// The effective address of an ordinary access: `address` and the offset in the upper half of word 1.
    ///
    /// # Safety
    /// The contract of [`crate::machine::Handler`].
    #[inline(always)]
    unsafe fn plus_offset(self, address: u32) -> u64 {
        // SAFETY: the contract of `Handler`: lowering writes the offset behind the operands.
        u64::from(address) + u64::from(unsafe { self.immediate() })
    }

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

/// [`Machine::beyond_other`], apart from the handlers that come here.
///
/// # Safety
/// The contract of [`crate::machine::Handler`].
#[cold]
#[inline(never)]
unsafe fn beyond_other(ip: *const Word, fp: *mut u64, ctx: *mut VmContext, i: usize, len_bytes: u64) -> Exit {
    let m = Machine { ip, fp, ctx, mem: std::ptr::null_mut(), mem_len: 0, acc: 0, acc32: 0.0, acc64: 0.0 };
    // SAFETY: the contract of `Handler`: lowering writes these words; validation admits only memories that the instance has.
    unsafe {
        let memory = *(*ctx).memories.add(m.other_memory().index());
        // What is beyond 64 bits is told as the last address there is.
        let address = m.other_address(i).unwrap_or(u64::MAX);
        runtime::note_beyond_memory(ctx, (*memory).len_bytes(), address, len_bytes);
        m.trap(Trap::MemoryOutOfBounds)
    }
}

handlers! {
    /// `[r _ memory] [page_size_log2]`.
    fn memory_size(m) {
        let memory = *(*m.ctx).memories.add(m.immediate() as usize);
        m.set(A, (*memory).len_bytes() as u64 >> m.word(2));
        m.next(3)
    }

    /// `[r delta _ wide] [memory]`. Bits of `wide` say which operands have 64 bits; here and below see `index_operand`.
    fn memory_grow(m) {
        let grown = runtime::memory_grow(m.ctx, MemoryIndex(m.word(2) as u32), m.index_operand(B));
        let Ok(old) = grown else { return m.stop() };
        // Refusal is -1 in the result's own width.
        m.set(A, if m.operand(D) == 0 { u64::from(old as u32) } else { old });
        m.reload_memory();
        m.next(3)
    }

    /// `[to value len wide] [memory]`.
    fn memory_fill(m) {
        let (to, value, len) = (m.index_operand(A), m.get::<u32>(B), m.index_operand(C));
        m.proceed(runtime::memory_fill(m.ctx, MemoryIndex(m.word(2) as u32), to, value as u8, len), 3)
    }

    /// `[to from len wide] [to_memory from_memory]`.
    fn memory_copy(m) {
        let (to, from, len) = (m.index_operand(A), m.index_operand(B), m.index_operand(C));
        let (to_memory, from_memory) = (MemoryIndex(m.word(2) as u32), MemoryIndex((m.word(2) >> 32) as u32));
        m.proceed(runtime::memory_copy(m.ctx, (to_memory, to), (from_memory, from), len), 3)
    }

    /// `[to from len wide] [memory data]`.
    fn memory_init(m) {
        let (to, from, len) = (m.index_operand(A), m.index_operand(B), m.index_operand(C));
        let (memory, data) = (MemoryIndex(m.word(2) as u32), DataIndex((m.word(2) >> 32) as u32));
        m.proceed(runtime::memory_init(m.ctx, memory, data, to, from, len), 3)
    }

    /// `[_ _ data]`.
    fn data_drop(m) {
        runtime::data_drop(m.ctx, DataIndex(m.immediate()));
        m.next(2)
    }
}
