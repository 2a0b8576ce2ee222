//! Structures and arrays.
//!
//! Structures give each field whole slots; packed fields are cut to size when they are read. Arrays store elements in as many bytes as
//! their type needs. Operations that allocate name the end of the slots in use, below which a collection looks for references.

use std::ptr::NonNull;

use innkeeper_engine::Trap;
use innkeeper_engine::index::{DataIndex, ElemIndex, TypeIndex};
use innkeeper_engine::tier::{VmContext, VmObject, gc};

use crate::machine::{A, B, C, D, Exit, Machine, Slot, handlers};

/// # Safety
/// All methods share the contract of [`crate::machine::Handler`].
impl Machine {
    /// The end of the slots in use, which position `i` of word 1 names.
    #[inline(always)]
    unsafe fn live_end(self, i: usize) -> *mut u64 {
        // SAFETY: see the impl.
        unsafe { self.fp.add(self.operand(i)) }
    }

    /// The object that the operand at position `i` refers to; none for null.
    #[inline(always)]
    unsafe fn object(self, i: usize) -> Option<NonNull<VmObject>> {
        // SAFETY: see the impl; validation guarantees that it is a reference to an object or null.
        NonNull::new(unsafe { self.get::<u64>(i) } as usize as *mut VmObject)
    }

    /// Slot `at` of a structure.
    #[inline(always)]
    unsafe fn field(object: NonNull<VmObject>, at: usize) -> *mut u64 {
        // SAFETY: see the impl; lowering computed the slot from the structure's type.
        unsafe { VmObject::contents(object.as_ptr()).cast::<u64>().add(at) }
    }

    /// The element of the array at `i` that the operand at `i + 1` is the index of.
    #[inline(always)]
    unsafe fn element<T>(self, i: usize) -> Result<*mut T, Trap> {
        // SAFETY: see the impl; the index is checked.
        unsafe {
            let Some(array) = self.object(i) else { return Err(Trap::NullArray) };
            let index = self.get::<u32>(i + 1);
            if index >= array.as_ref().len {
                return Err(Trap::ArrayOutOfBounds);
            }
            Ok(VmObject::contents(array.as_ptr()).cast::<T>().add(index as usize))
        }
    }

    /// Writes a reference to `r` and goes on, or traps.
    #[inline(always)]
    unsafe fn finish(mut self, made: Result<NonNull<VmObject>, Trap>, words: usize) -> Exit {
        // SAFETY: see the impl.
        unsafe {
            match made {
                Ok(object) => {
                    self.set(A, object.as_ptr() as usize as u64);
                    self.next(words)
                }
                Err(trap) => self.trap(trap),
            }
        }
    }
}

/// Two slots as one value, which is passed in registers.
#[inline(always)]
fn whole([low, high]: [u64; 2]) -> u128 {
    u128::from(low) | u128::from(high) << 64
}

/// [`gc::allocate`] with what it gives in registers: a result in memory of the handler's own would keep the handler's last call from being a jump.
///
/// # Safety
/// As [`gc::allocate`].
#[inline(never)]
unsafe fn in_registers(
    ctx: *mut VmContext,
    ty: TypeIndex,
    len: u32,
    live_end: *mut u64,
) -> (Option<NonNull<VmObject>>, Trap) {
    // SAFETY: handlers pass their own context, the type index of a validated instruction, and the live end that lowering has put into it (`lower/aggregate.rs`).
    match unsafe { gc::allocate(ctx, ty, len, live_end) } {
        Ok(object) => (Some(object), Trap::AllocationTooLarge),
        Err(trap) => (None, trap),
    }
}

/// # Safety
/// As [`gc::allocate`].
#[inline(always)]
unsafe fn allocate(
    ctx: *mut VmContext,
    ty: TypeIndex,
    len: u32,
    live_end: *mut u64,
) -> Result<NonNull<VmObject>, Trap> {
    // SAFETY: handlers pass their own context, the type index of a validated instruction, and the live end that lowering has put into it (`lower/aggregate.rs`).
    let (object, trap) = unsafe { in_registers(ctx, ty, len, live_end) };
    object.ok_or(trap)
}

handlers! {
    /// `[r from count live_end] [type]`: a structure of the slots that start at `from`.
    fn struct_new(m) {
        let count = m.operand(C);
        let made = allocate(m.ctx, TypeIndex(m.word(2) as u32), count as u32, m.live_end(D));
        if let Ok(object) = made {
            Machine::field(object, 0).copy_from_nonoverlapping(m.fp.add(m.operand(B)), count);
        }
        m.finish(made, 3)
    }

    /// `[r _ _ live_end] [type slots]`: a structure of zeros.
    fn struct_new_default(m) {
        let made = allocate(m.ctx, TypeIndex(m.word(2) as u32), (m.word(2) >> 32) as u32, m.live_end(D));
        m.finish(made, 3)
    }

    /// `[object value slot]`.
    fn struct_set(m) {
        let Some(object) = m.object(A) else { return m.trap(Trap::NullStructure) };
        *Machine::field(object, m.immediate() as usize) = m.get(B);
        m.next(2)
    }

    /// `[object value slot]`: a field of two slots.
    fn struct_set2(m) {
        let Some(object) = m.object(A) else { return m.trap(Trap::NullStructure) };
        *Machine::field(object, m.immediate() as usize).cast::<[u64; 2]>() = m.get2(B);
        m.next(2)
    }

    /// `[r object slot]`: a field of two slots.
    fn struct_get2(m) {
        let Some(object) = m.object(B) else { return m.trap(Trap::NullStructure) };
        m.set2(A, *Machine::field(object, m.immediate() as usize).cast::<[u64; 2]>());
        m.next(2)
    }

    /// `[r value len live_end] [type wide]`.
    fn array_new(m) {
        let len = m.get::<u32>(C);
        let made = allocate(m.ctx, TypeIndex(m.word(2) as u32), len, m.live_end(D));
        if let Ok(array) = made {
            let value = if m.word(2) >> 32 == 0 { m.get::<u64>(B).into() } else { whole(m.get2(B)) };
            return match gc::array_fill(m.ctx, array, 0, value, len) {
                Ok(()) => m.finish(made, 3),
                Err(trap) => m.trap(trap),
            };
        }
        m.finish(made, 3)
    }

    /// `[r _ len live_end] [type]`.
    fn array_new_default(m) {
        let made = allocate(m.ctx, TypeIndex(m.word(2) as u32), m.get(C), m.live_end(D));
        m.finish(made, 3)
    }

    /// `[r from count live_end] [type wide]`: an array of the values whose slots start at `from`.
    fn array_new_fixed(m) {
        let count = m.operand(C);
        let made = allocate(m.ctx, TypeIndex(m.word(2) as u32), count as u32, m.live_end(D));
        if let Ok(array) = made {
            let mut from = m.fp.add(m.operand(B));
            for i in 0..count {
                let wide = m.word(2) >> 32 != 0;
                let value = if wide { whole(*from.cast::<[u64; 2]>()) } else { (*from).into() };
                from = from.add(if wide { 2 } else { 1 });
                if let Err(trap) = gc::array_fill(m.ctx, array, i as u32, value, 1) {
                    return m.trap(trap);
                }
            }
        }
        m.finish(made, 3)
    }

    /// `[r from len live_end] [type data]`.
    fn array_new_data(m) {
        let (from, len) = (m.get(B), m.get(C));
        let (ty, data) = (TypeIndex(m.word(2) as u32), DataIndex((m.word(2) >> 32) as u32));
        // The range first, so that nothing large is allocated in vain.
        if let Err(trap) = gc::check_data_range(m.ctx, ty, data, from, len) {
            return m.trap(trap);
        }
        let made = allocate(m.ctx, ty, len, m.live_end(D));
        if let Ok(array) = made
            && let Err(trap) = gc::array_init_data(m.ctx, array, data, 0, from, len)
        {
            return m.trap(trap);
        }
        m.finish(made, 3)
    }

    /// `[r from len live_end] [type elem]`.
    fn array_new_elem(m) {
        let (from, len) = (m.get(B), m.get(C));
        let (ty, elem) = (TypeIndex(m.word(2) as u32), ElemIndex((m.word(2) >> 32) as u32));
        if let Err(trap) = gc::check_elem_range(m.ctx, elem, from, len) {
            return m.trap(trap);
        }
        let made = allocate(m.ctx, ty, len, m.live_end(D));
        if let Ok(array) = made
            && let Err(trap) = gc::array_init_elem(m.ctx, array, elem, 0, from, len)
        {
            return m.trap(trap);
        }
        m.finish(made, 3)
    }

    /// `[r array]`.
    fn array_len(m) {
        let Some(array) = m.object(B) else { return m.trap(Trap::NullArray) };
        m.set(A, array.as_ref().len);
        m.next(2)
    }

    /// `[array to value len] [wide]`.
    fn array_fill(m) {
        let Some(array) = m.object(A) else { return m.trap(Trap::NullArray) };
        let value = if m.word(2) == 0 { m.get::<u64>(C).into() } else { whole(m.get2(C)) };
        m.proceed(gc::array_fill(m.ctx, array, m.get(B), value, m.get(D)), 3)
    }

    /// `[to_array to from_array from] [len]`.
    fn array_copy(m) {
        let (Some(to), Some(from)) = (m.object(A), m.object(C)) else { return m.trap(Trap::NullArray) };
        let len = *m.fp.add(m.operand_of(2, A)) as u32;
        m.proceed(gc::array_copy(m.ctx, (to, m.get(B)), (from, m.get(D)), len), 3)
    }

    /// `[array to from len] [data]`.
    fn array_init_data(m) {
        let Some(array) = m.object(A) else { return m.trap(Trap::NullArray) };
        let data = DataIndex(m.word(2) as u32);
        m.proceed(gc::array_init_data(m.ctx, array, data, m.get(B), m.get(C), m.get(D)), 3)
    }

    /// `[array to from len] [elem]`.
    fn array_init_elem(m) {
        let Some(array) = m.object(A) else { return m.trap(Trap::NullArray) };
        let elem = ElemIndex(m.word(2) as u32);
        m.proceed(gc::array_init_elem(m.ctx, array, elem, m.get(B), m.get(C), m.get(D)), 3)
    }
}

macro_rules! reads {
    ($($struct_get:ident $array_get:ident $cell:ty => $bits:ty;)*) => {
        handlers! {
            $(
                /// `[r object slot]`.
                fn $struct_get(m) {
                    let Some(object) = m.object(B) else { return m.trap(Trap::NullStructure) };
                    let slot = *Machine::field(object, m.immediate() as usize);
                    m.set(A, slot as $cell as $bits);
                    m.next(2)
                }
            )*
            $(
                /// `[r array index]`.
                fn $array_get(m) {
                    match m.element::<$cell>(B) {
                        Ok(element) => {
                            m.set(A, *element as $bits);
                            m.next(2)
                        }
                        Err(trap) => m.trap(trap),
                    }
                }
            )*
        }
    };
}

reads! {
    struct_get_i8 array_get_i8 i8 => u32;
    struct_get_u8 array_get_u8 u8 => u32;
    struct_get_i16 array_get_i16 i16 => u32;
    struct_get_u16 array_get_u16 u16 => u32;
    struct_get_u32 array_get_u32 u32 => u32;
    struct_get_u64 array_get_u64 u64 => u64;
}

macro_rules! array_writes {
    ($($array_set:ident $cell:ty;)*) => {
        handlers! {
            $(
                /// `[array index value]`.
                fn $array_set(m) {
                    match m.element::<$cell>(A) {
                        Ok(element) => {
                            *element = u64::from_slot(m.get(C)) as $cell;
                            m.next(2)
                        }
                        Err(trap) => m.trap(trap),
                    }
                }
            )*
        }
    };
}

array_writes! {
    array_set_u8 u8;
    array_set_u16 u16;
    array_set_u32 u32;
    array_set_u64 u64;
}

handlers! {
    /// `[r array index]`: an element of two slots.
    fn array_get2(m) {
        match m.element::<[u64; 2]>(B) {
            Ok(element) => {
                m.set2(A, *element);
                m.next(2)
            }
            Err(trap) => m.trap(trap),
        }
    }

    /// `[array index value]`: an element of two slots.
    fn array_set2(m) {
        match m.element::<[u64; 2]>(A) {
            Ok(element) => {
                *element = m.get2(C);
                m.next(2)
            }
            Err(trap) => m.trap(trap),
        }
    }
}
