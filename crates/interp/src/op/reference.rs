//! References: functions, null, casts, `i31`.

use innkeeper_engine::Trap;
use innkeeper_engine::index::{FuncIndex, TypeIndex};
use innkeeper_engine::tier::gc::{self, CastTarget};
use innkeeper_engine::tier::runtime;

use crate::machine::{A, B, Machine, handlers};

/// What a cast instruction asks, in its words 1 and 2.
///
/// # Safety
/// The contract of [`crate::machine::Handler`], at an instruction that lowering wrote with [`cast_word`].
impl Machine {
    #[inline(always)]
    unsafe fn is_of_type(self) -> bool {
        // SAFETY: see the impl.
        unsafe {
            let slot = self.get::<u64>(B);
            let word = self.word(2);
            if slot == 0 {
                return word & NULLABLE != 0;
            }
            gc::reference_is(
                self.ctx,
                slot,
                CastTarget::ALL[(word & 0xFF) as usize],
                TypeIndex(self.immediate()),
            )
        }
    }
}

const NULLABLE: u64 = 1 << 8;

/// Word 2 of a cast instruction.
pub(crate) fn cast_word(target: CastTarget, nullable: bool) -> u64 {
    target as u64 | if nullable { NULLABLE } else { 0 }
}

handlers! {
    /// `[r _ func]`.
    fn ref_func(m) {
        let record = runtime::ref_func(m.ctx, FuncIndex(m.immediate()));
        m.set(A, record as usize as u64);
        m.next(2)
    }

    /// `[a]`: traps on null.
    fn ref_as_non_null(m) {
        if m.get::<u64>(A) == 0 { m.trap(Trap::NullReference) } else { m.next(2) }
    }

    /// `[r a type] [target]`.
    fn ref_test(m) {
        m.set(A, m.is_of_type());
        m.next(3)
    }

    /// `[_ a type] [target]`: traps unless the reference has the type.
    fn ref_cast(m) {
        if m.is_of_type() { m.next(3) } else { m.trap(Trap::CastFailure) }
    }

    /// `[r a]`.
    fn ref_i31(m) {
        m.set(A, m.get::<u32>(B) << 1 | 1);
        m.next(2)
    }

    /// `[r a]`.
    fn i31_get_s(m) {
        let slot = m.get::<u64>(B);
        if slot == 0 {
            return m.trap(Trap::NullI31);
        }
        m.set(A, ((slot as u32).cast_signed() >> 1).cast_unsigned());
        m.next(2)
    }

    /// `[r a]`.
    fn i31_get_u(m) {
        let slot = m.get::<u64>(B);
        if slot == 0 {
            return m.trap(Trap::NullI31);
        }
        m.set(A, slot as u32 >> 1);
        m.next(2)
    }
}
