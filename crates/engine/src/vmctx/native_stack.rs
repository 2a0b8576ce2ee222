//! The stack that machine code runs on, as a collection and functions of the host see it.
//!
//! Compiled functions keep references in registers and frames whose layout nobody records, so that every word counts as a reference. What
//! is suspended further out lies on the same stack. Compiled functions look at its limit themselves; the host's, which they call on the same
//! stack, have the headroom beyond.

use super::VmStore;

/// Whether the headroom is in use already, so that a function of the host that calls a guest would leave less than is promised to the next one:
/// interpreted functions need not come by a check of this stack.
pub(crate) fn is_exhausted(vm: *const VmStore) -> bool {
    let local = 0_u8;
    let here = std::ptr::from_ref(std::hint::black_box(&local)) as usize;
    // SAFETY: the record is alive: its store is, and is borrowed by the caller.
    let stack = unsafe { (*vm).native_stack };
    (stack.base..stack.limit).contains(&here)
}

/// Gives every word of the stack in use to `visit`, and every register that code further out may have left something in.
///
/// Nothing where the collection was not asked for from that stack: then no machine code is suspended.
#[inline(never)]
pub(crate) fn scan(vm: *mut VmStore, mut visit: impl FnMut(u64)) {
    let registers = callee_saved();
    let here = std::ptr::from_ref(&registers) as usize;
    // SAFETY: the record is alive: its store is, and is borrowed by the caller.
    let stack = unsafe { (*vm).native_stack };
    if !(stack.base..stack.top).contains(&here) {
        return;
    }
    registers.iter().copied().for_each(&mut visit);
    let mut word = here.next_multiple_of(size_of::<u64>());
    while word < stack.top {
        // SAFETY: the range from this frame to the stack's top is mapped, and in use by frames further out.
        visit(unsafe { (word as *const u64).read_volatile() });
        word += size_of::<u64>();
    }
}

/// What functions must leave as they found it, and may therefore still hold values of machine code.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn callee_saved() -> [u64; 6] {
    let mut registers = [0; 6];
    // SAFETY: writes six words to an array of that size.
    unsafe {
        std::arch::asm!(
            "mov [{to}], rbx", "mov [{to} + 8], rbp", "mov [{to} + 16], r12",
            "mov [{to} + 24], r13", "mov [{to} + 32], r14", "mov [{to} + 40], r15",
            to = in(reg) registers.as_mut_ptr(),
            options(nostack, preserves_flags),
        );
    }
    registers
}

/// No machine code is made for other processors yet.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn callee_saved() -> [u64; 6] {
    [0; 6]
}
