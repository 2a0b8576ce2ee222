//! Moving values: copies between slots, constants, globals.

use crate::machine::{A, B, Machine, handlers};

handlers! {
    /// `[r a]`.
    fn copy(m) {
        m.set(A, m.get::<u64>(B));
        m.next(2)
    }

    /// `[r a]`: two slots.
    fn copy2(m) {
        let [low, high] = m.get2(B);
        m.set2(A, [low, high]);
        m.next(2)
    }

    /// `[r _ imm32]`: a constant of 32 bits, zero-extended.
    fn constant32(m) {
        m.set(A, u64::from(m.immediate()));
        m.next(2)
    }

    /// `[r] [imm64]`.
    fn constant64(m) {
        m.set(A, m.word(2));
        m.next(3)
    }

    /// `[r _ below]`: reads a local below the window.
    fn get_far(m) {
        m.set(A, *m.far_local());
        m.next(2)
    }

    /// `[r _ below]`: reads a local of two slots below the window.
    fn get_far2(m) {
        let local = m.far_local();
        m.set2(A, [*local, *local.add(1)]);
        m.next(2)
    }

    /// `[a _ below]`: writes a local of two slots below the window.
    fn set_far2(m) {
        let local = m.far_local();
        [*local, *local.add(1)] = m.get2(A);
        m.next(2)
    }

    /// `[a _ below]`: writes a local below the window.
    fn set_far(m) {
        *m.far_local() = m.get(A);
        m.next(2)
    }

    /// `[r _ global]`.
    fn global_get(m) {
        let global = *(*m.ctx).globals.add(m.immediate() as usize);
        m.set(A, (*global).slots[0]);
        m.next(2)
    }

    /// `[r _ global]`: two slots.
    fn global_get2(m) {
        let global = *(*m.ctx).globals.add(m.immediate() as usize);
        m.set2(A, (*global).slots);
        m.next(2)
    }

    /// `[a _ global]`: two slots.
    fn global_set2(m) {
        let global = *(*m.ctx).globals.add(m.immediate() as usize);
        (*global).slots = m.get2(A);
        m.next(2)
    }

    /// `[a _ global]`.
    fn global_set(m) {
        let global = *(*m.ctx).globals.add(m.immediate() as usize);
        (*global).slots[0] = m.get(A);
        m.next(2)
    }
}

/// # Safety
/// The contract of [`crate::machine::Handler`], at an instruction of a function with a window.
impl Machine {
    /// The local that the immediate names by how many slots it lies below the window.
    #[inline(always)]
    unsafe fn far_local(self) -> *mut u64 {
        // SAFETY: see the impl; lowering has computed the distance, which does not lead below the frame's start.
        unsafe { self.fp.sub(self.immediate() as usize) }
    }
}

impl Machine {
    /// Copies `count` slots to lower addresses, first to last; the ranges may overlap.
    ///
    /// # Safety
    /// Both ranges lie in frames of the activation.
    #[inline(always)]
    pub(crate) unsafe fn copy_slots_down(to: *mut u64, from: *const u64, count: usize) {
        for i in 0..count {
            // SAFETY: handlers pass slots of their own frame and of the calls in it, whose end `enter` has compared with the stack's limit; lowering has placed
            // them. Volatile keeps this a loop, see `enter`.
            unsafe { to.add(i).write_volatile(*from.add(i)) };
        }
    }
}
