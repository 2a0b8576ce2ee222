//! The switch between stacks for 64-bit Arm with the procedure call standard (AAPCS64).
//!
//! As `x86_64.rs` has it, which says why; what is pushed on the host's stack where that is left, and on the fiber's with a word that nobody reads in the place of the first:
//!
//! ```text
//! left stack pointer -> | the one noted before | x19 | x29 | where it goes on |
//! ```

use std::arch::{asm, naked_asm};
use std::mem::offset_of;

use super::{Body, Switch};
use crate::vmctx::{HostEntry, VmContext, VmStore};

/// Whether a fiber has a stack of its own on this processor.
#[cfg(any(test, feature = "fibers"))]
pub(crate) const HAS_STACKS: bool = true;

/// See [`super::enter`].
#[inline(always)]
pub(super) unsafe fn enter(at: *mut Switch, body: Body, data: *mut ()) -> u32 {
    let outcome: u64;
    // SAFETY: `super::Job::enter` passes a fiber that does not run, and a body that does not unwind; whoever comes back has restored the stack pointer, `x19` and `x29`, and nothing else is expected to be as it was.
    unsafe {
        asm!(
            "adr x3, 2f",
            "ldr x4, [x0, {host}]",
            "stp x4, x19, [sp, -32]!",
            "stp x29, x3, [sp, 16]",
            "mov x4, sp",
            "str x4, [x0, {host}]",
            "ldr x4, [x0, {fiber}]",
            "mov sp, x4",
            "b {bottom}",
            "2:",
            host = const offset_of!(Switch, host),
            fiber = const offset_of!(Switch, fiber),
            bottom = sym bottom,
            inout("x0") at => outcome,
            inout("x1") body => _,
            inout("x2") data => _,
            lateout("x20") _, lateout("x21") _, lateout("x22") _, lateout("x23") _, lateout("x24") _,
            lateout("x25") _, lateout("x26") _, lateout("x27") _, lateout("x28") _,
            lateout("v8") _, lateout("v9") _, lateout("v10") _, lateout("v11") _,
            lateout("v12") _, lateout("v13") _, lateout("v14") _, lateout("v15") _,
            clobber_abi("C"),
        );
    }
    outcome as u32
}

/// The first frame on a fiber's stack: calls `body(data)`, and then goes on where the fiber was last entered or resumed.
#[unsafe(naked)]
unsafe extern "C" fn bottom(at: *mut Switch, body: Body, data: *mut ()) {
    naked_asm!(
        ".cfi_startproc",
        // Here the stack ends for whoever walks it.
        ".cfi_undefined x30",
        "mov x29, xzr",
        "mov x30, xzr",
        "mov x19, x0",
        "mov x0, x2",
        "blr x1",
        // As it was before: what was entered or resumed on the way has left its own mark.
        "mov x3, sp",
        "str x3, [x19, {fiber}]",
        "ldr x3, [x19, {host}]",
        "mov sp, x3",
        "ldp x4, x5, [sp]",
        "ldp x29, x6, [sp, 16]",
        "add sp, sp, 32",
        "str x4, [x19, {host}]",
        "mov x19, x5",
        "mov x0, xzr",
        "br x6",
        ".cfi_endproc",
        fiber = const offset_of!(Switch, fiber),
        host = const offset_of!(Switch, host),
    )
}

/// See [`super::on_host`].
#[unsafe(naked)]
pub(super) unsafe extern "C" fn on_host(at: *mut Switch, call: Body, data: *mut ()) {
    naked_asm!(
        ".cfi_startproc",
        "stp x29, x30, [sp, -160]!",
        "stp x19, x20, [sp, 16]",
        "stp x21, x22, [sp, 32]",
        "stp x23, x24, [sp, 48]",
        "stp x25, x26, [sp, 64]",
        "stp x27, x28, [sp, 80]",
        "stp d8, d9, [sp, 96]",
        "stp d10, d11, [sp, 112]",
        "stp d12, d13, [sp, 128]",
        "stp d14, d15, [sp, 144]",
        "mov x3, sp",
        "str x3, [x0, {fiber}]",
        // What is noted then may be of a call within this that was left for good.
        "mov x20, sp",
        "ldr x3, [x0, {host}]",
        "mov sp, x3",
        "mov x0, x2",
        // What was pushed there when the fiber was entered or resumed: for whoever walks the stack, that place has made this call.
        ".cfi_def_cfa sp, 32",
        ".cfi_offset x30, -8",
        ".cfi_offset x29, -16",
        ".cfi_offset x19, -24",
        "add x29, sp, 16",
        "blr x1",
        "mov sp, x20",
        "ldp d14, d15, [sp, 144]",
        "ldp d12, d13, [sp, 128]",
        "ldp d10, d11, [sp, 112]",
        "ldp d8, d9, [sp, 96]",
        "ldp x27, x28, [sp, 80]",
        "ldp x25, x26, [sp, 64]",
        "ldp x23, x24, [sp, 48]",
        "ldp x21, x22, [sp, 32]",
        "ldp x19, x20, [sp, 16]",
        "ldp x29, x30, [sp], 160",
        "ret",
        ".cfi_endproc",
        host = const offset_of!(Switch, host),
        fiber = const offset_of!(Switch, fiber),
    )
}

/// Bytes that are kept below the frame of [`enter_host`] for a suspension: its four words, and the registers that functions must preserve.
const SUSPENSION_BYTES: usize = if cfg!(feature = "fibers") { 176 } else { 0 };

/// The body of [`enter_host`], with what comes between `call` and the way back, and what comes behind the end.
macro_rules! enter_host {
    ([$($looks:literal),*] [$($suspends:literal),*] $($operands:tt)*) => {
        naked_asm!(
            ".cfi_startproc",
            "stp x29, x30, [sp, -32]!",
            "stp x19, x3, [sp, 16]",
            "sub x4, sp, {suspension}",
            "str x4, [x3, {fiber}]",
            "mov x19, sp",
            "ldr x4, [x3, {host}]",
            "mov sp, x4",
            ".cfi_def_cfa sp, 32",
            ".cfi_offset x30, -8",
            ".cfi_offset x29, -16",
            ".cfi_offset x19, -24",
            "add x29, sp, 16",
            "ldr x4, [x1, {call}]",
            "blr x4",
            $($looks,)*
            "mov sp, x19",
            "ldp x19, x3, [sp, 16]",
            "ldp x29, x30, [sp], 32",
            "ret",
            $($suspends,)*
            ".cfi_endproc",
            fiber = const offset_of!(VmStore, fiber.switch.fiber),
            host = const offset_of!(VmStore, fiber.switch.host),
            call = const offset_of!(HostEntry, call),
            suspension = const SUSPENSION_BYTES,
            $($operands)*
        )
    };
}

/// See [`super::enter_host`]. What is called gives the registers back that functions must preserve: no machine code is made here, and so nobody has a reference to an object in
/// them alone.
///
/// # Safety
/// That is described there.
#[cfg(feature = "fibers")]
#[unsafe(naked)]
pub unsafe extern "C" fn enter_host(
    ctx: *mut VmContext,
    entry: *const HostEntry,
    slots: *mut u64,
    vm: *mut VmStore,
) -> u32 {
    enter_host!(
        ["cmp w0, {stopped}", "b.hi 2f"]
        [
            // It waits, on the host's stack: the caller is suspended as if by `suspend`, with what it must find again below its frame, to which x19 points.
            "2:",
            "stp x20, x21, [x19, -16]",
            "stp x22, x23, [x19, -32]",
            "stp x24, x25, [x19, -48]",
            "stp x26, x27, [x19, -64]",
            "stp x28, xzr, [x19, -80]",
            "stp d8, d9, [x19, -96]",
            "stp d10, d11, [x19, -112]",
            "stp d12, d13, [x19, -128]",
            "stp d14, d15, [x19, -144]",
            "adr x5, 3f",
            "stp xzr, x19, [x19, -176]",
            "stp x29, x5, [x19, -160]",
            "ldr x0, [x19, 24]",
            "sub x4, x19, 176",
            "str x4, [x0, {fiber}]",
            "ldp x4, x19, [sp]",
            "ldp x29, x6, [sp, 16]",
            "add sp, sp, 32",
            "str x4, [x0, {host}]",
            "mov x0, 1",
            "br x6",
            // Resumed, which x0 says why.
            "3:",
            "mov x1, x0",
            "ldp x20, x21, [x19, -16]",
            "ldp x22, x23, [x19, -32]",
            "ldp x24, x25, [x19, -48]",
            "ldp x26, x27, [x19, -64]",
            "ldr x28, [x19, -80]",
            "ldp d8, d9, [x19, -96]",
            "ldp d10, d11, [x19, -112]",
            "ldp d12, d13, [x19, -128]",
            "ldp d14, d15, [x19, -144]",
            "mov sp, x19",
            "ldp x19, x0, [sp, 16]",
            "ldp x29, x30, [sp], 32",
            "b {end_wait}"
        ]
        stopped = const crate::runtime::HOST_STOPPED,
        end_wait = sym crate::runtime::end_wait,
    )
}

/// As above, where nothing waits.
///
/// # Safety
/// As above.
#[cfg(not(feature = "fibers"))]
#[unsafe(naked)]
pub unsafe extern "C" fn enter_host(
    ctx: *mut VmContext,
    entry: *const HostEntry,
    slots: *mut u64,
    vm: *mut VmStore,
) -> u32 {
    enter_host!([] [])
}

/// Where machine code has called the host: nowhere, since none is made for this processor.
///
/// # Safety
/// Nothing is asked.
pub(crate) unsafe fn caller_of_host(_: usize) -> Option<(usize, usize)> {
    None
}

/// See [`super::suspend`].
#[cfg(any(test, feature = "async"))]
#[inline(always)]
pub(super) unsafe fn suspend(at: *mut Switch) -> u32 {
    let why: u64;
    // SAFETY: as in `enter`.
    unsafe {
        asm!(
            "adr x3, 2f",
            "stp xzr, x19, [sp, -32]!",
            "stp x29, x3, [sp, 16]",
            "mov x4, sp",
            "str x4, [x0, {fiber}]",
            "ldr x4, [x0, {host}]",
            "mov sp, x4",
            "ldp x4, x19, [sp]",
            "ldp x29, x6, [sp, 16]",
            "add sp, sp, 32",
            "str x4, [x0, {host}]",
            "mov x0, 1",
            "br x6",
            "2:",
            host = const offset_of!(Switch, host),
            fiber = const offset_of!(Switch, fiber),
            inout("x0") at => why,
            lateout("x20") _, lateout("x21") _, lateout("x22") _, lateout("x23") _, lateout("x24") _,
            lateout("x25") _, lateout("x26") _, lateout("x27") _, lateout("x28") _,
            lateout("v8") _, lateout("v9") _, lateout("v10") _, lateout("v11") _,
            lateout("v12") _, lateout("v13") _, lateout("v14") _, lateout("v15") _,
            clobber_abi("C"),
        );
    }
    why as u32
}

/// See [`super::resume`].
#[cfg(any(test, feature = "fibers"))]
#[inline(always)]
pub(super) unsafe fn resume(at: *mut Switch, why: u32) -> u32 {
    let outcome: u64;
    // SAFETY: as in `enter`.
    unsafe {
        asm!(
            "adr x3, 2f",
            "ldr x4, [x0, {host}]",
            "stp x4, x19, [sp, -32]!",
            "stp x29, x3, [sp, 16]",
            "mov x4, sp",
            "str x4, [x0, {host}]",
            "ldr x4, [x0, {fiber}]",
            "mov sp, x4",
            "ldr x19, [sp, 8]",
            "ldp x29, x6, [sp, 16]",
            "add sp, sp, 32",
            "mov x0, x1",
            "br x6",
            "2:",
            host = const offset_of!(Switch, host),
            fiber = const offset_of!(Switch, fiber),
            inout("x0") at => outcome,
            inout("x1") u64::from(why) => _,
            lateout("x20") _, lateout("x21") _, lateout("x22") _, lateout("x23") _, lateout("x24") _,
            lateout("x25") _, lateout("x26") _, lateout("x27") _, lateout("x28") _,
            lateout("v8") _, lateout("v9") _, lateout("v10") _, lateout("v11") _,
            lateout("v12") _, lateout("v13") _, lateout("v14") _, lateout("v15") _,
            clobber_abi("C"),
        );
    }
    outcome as u32
}
