//! The stack that machine code runs on, as a collection and functions of the host see it.
//!
//! Compiled functions keep references in registers and frames whose layout nobody records, so that every word counts as a reference. What
//! is suspended further out lies on the same stack. Compiled functions look at its limit themselves; the host's, which they call on the same
//! stack, have the headroom beyond: see [`super::host_stack`].

use super::VmStore;

/// Runs `act`, which a function of the host is about to do, with the place noted where machine code has left its stack, and what it may keep in registers
/// there. Whatever the host does then, on whichever thread or stack, a collection finds what machine code holds.
///
/// # Safety
/// `vm` is the record of a store that the running activation has exclusive use of.
#[inline(always)]
pub(crate) unsafe fn leaving<R>(vm: *mut VmStore, act: impl FnOnce() -> R) -> R {
    let mut registers = [0; CALLEE_SAVED];
    // What this frame and those further out save of registers lies above it.
    let here = std::ptr::from_ref(&registers) as usize;
    // SAFETY: `call_host`, alone in calling this, passes the record of the store whose activation runs on this thread, which no other thread has.
    unsafe {
        let outer = (*vm).native_exit;
        if ((*vm).native_stack.base..(*vm).native_stack.top).contains(&here) {
            save_registers(&mut registers);
            (*vm).native_exit = here;
        }
        let result = act();
        (*vm).native_exit = outer;
        std::hint::black_box(&registers);
        result
    }
}

/// Gives every word of the stack in use to `visit`, and every register that code further out may have left something in.
///
/// The stack is in use from here on, or, where the collection was asked for by a function of the host that has gone elsewhere, from where machine code
/// has left it. If it has not been left either, no machine code is suspended.
#[inline(never)]
pub(crate) fn scan(vm: *mut VmStore, mut visit: impl FnMut(u64)) {
    let mut registers = [0; CALLEE_SAVED];
    save_registers(&mut registers);
    let here = std::ptr::from_ref(&registers) as usize;
    // SAFETY: the record is alive: its store is, and is borrowed by the caller.
    let (stack, exit) = unsafe { ((*vm).native_stack, (*vm).native_exit) };
    let from = if (stack.base..stack.top).contains(&here) { here } else { exit };
    if from == 0 {
        return;
    }
    registers.iter().copied().for_each(&mut visit);
    let mut word = from.next_multiple_of(size_of::<u64>());
    while word < stack.top {
        // SAFETY: the range from that frame to the stack's top is mapped, and in use by frames further out.
        visit(unsafe { (word as *const u64).read_volatile() });
        word += size_of::<u64>();
    }
}

/// Registers that functions must leave as they found them, and may therefore still hold values of machine code.
const CALLEE_SAVED: usize = 6;

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn save_registers(registers: &mut [u64; CALLEE_SAVED]) {
    // SAFETY: writes six words to an array of that size.
    unsafe {
        std::arch::asm!(
            "mov [{to}], rbx", "mov [{to} + 8], rbp", "mov [{to} + 16], r12",
            "mov [{to} + 24], r13", "mov [{to} + 32], r14", "mov [{to} + 40], r15",
            to = in(reg) registers.as_mut_ptr(),
            options(nostack, preserves_flags),
        );
    }
}

/// No machine code is made for other processors yet.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn save_registers(_: &mut [u64; CALLEE_SAVED]) {}
