//! The switch between stacks for x86-64 with the System V convention.
//!
//! Whoever goes from one stack to the other, and is to go on where it was, pushes four words on the stack that it leaves. On the host's:
//!
//! ```text
//! left stack pointer -> | the one noted before | rbx | rbp | where it goes on |
//! ```
//!
//! On the fiber's it is the same, with a word that nobody reads in the place of the first. All other registers count as lost, so that the compiler has put what it needs
//! on the stack before: a collection that scans the stack from the noted pointer on sees everything. [`enter_host`] pushes the registers that functions preserve as well, although the function of the host
//! gives them back: machine code may have references in them, and nowhere else (`jit/src/abi.rs`, `signature`). What goes on is jumped to and never returned to, which processors
//! foresee; returns they would foresee wrongly.
//!
//! A function of the host that waits may have left frames on the fiber's stack, right below those of its caller. So the caller is suspended from the host's stack, and the
//! four words are written to a place that its frame has kept for them. One of them is there from the beginning: the frame pointer of whoever has called, by which a backtrace finds
//! the frames of machine code. So both ways of calling the host have a frame that begins alike ([`caller_of_host`]):
//!
//! ```text
//! noted stack pointer -> | nobody reads it | r15 | rbp | where it goes on | nine words, of each way its own | return address |
//! ```
//!
//! Must stay true: stacks are left with the pointer at a multiple of 16. While code of the host runs on the host's stack, the unwinding tables say that it was
//! called where the fiber was entered or resumed from, on that same stack: whoever walks the stack never gets onto the fiber's, which
//! may have been entered by a frame that is gone. Who follows frame pointers instead may see the guest's frames, up to where the fiber begins.

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
    let outcome: u32;
    // SAFETY: `super::Job::enter` passes a fiber that does not run, and a body that does not unwind; whoever comes back has restored the stack pointer, `rbx` and `rbp`, and nothing else is expected to be as it was.
    unsafe {
        asm!(
            "lea rax, [rip + 2f]",
            "push rax",
            "push rbp",
            "push rbx",
            "push qword ptr [rdi + {host}]",
            "mov [rdi + {host}], rsp",
            "mov rsp, [rdi + {fiber}]",
            "jmp {bottom}",
            "2:",
            host = const offset_of!(Switch, host),
            fiber = const offset_of!(Switch, fiber),
            bottom = sym bottom,
            inout("rdi") at => _,
            inout("rsi") body => _,
            inout("rdx") data => _,
            out("eax") outcome,
            lateout("r12") _, lateout("r13") _, lateout("r14") _, lateout("r15") _,
            clobber_abi("sysv64"),
        );
    }
    outcome
}

/// The first frame on a fiber's stack: calls `body(data)`, and then goes on where the fiber was last entered or resumed.
#[unsafe(naked)]
unsafe extern "sysv64" fn bottom(at: *mut Switch, body: Body, data: *mut ()) {
    naked_asm!(
        ".cfi_startproc",
        // Here the stack ends for whoever walks it.
        ".cfi_undefined rip",
        "xor ebp, ebp",
        "mov rbx, rdi",
        "mov rdi, rdx",
        "call rsi",
        // As it was before: what was entered or resumed on the way has left its own mark.
        "mov [rbx + {fiber}], rsp",
        "mov rsp, [rbx + {host}]",
        "pop qword ptr [rbx + {host}]",
        "pop rbx",
        "pop rbp",
        "pop rcx",
        "xor eax, eax",
        "jmp rcx",
        ".cfi_endproc",
        fiber = const offset_of!(Switch, fiber),
        host = const offset_of!(Switch, host),
    )
}

/// See [`super::on_host`].
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn on_host(at: *mut Switch, call: Body, data: *mut ()) {
    naked_asm!(
        ".cfi_startproc",
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 8",
        "mov [rdi + {fiber}], rsp",
        // What is noted then may be of a call within this that was left for good.
        "mov rbx, rsp",
        "mov rsp, [rdi + {host}]",
        "mov rdi, rdx",
        // What was pushed there when the fiber was entered or resumed: for whoever walks the stack, that place has made this call.
        ".cfi_def_cfa rsp, 32",
        ".cfi_offset rbp, -16",
        ".cfi_offset rbx, -24",
        "lea rbp, [rsp + 16]",
        "call rsi",
        "mov rsp, rbx",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
        ".cfi_endproc",
        host = const offset_of!(Switch, host),
        fiber = const offset_of!(Switch, fiber),
    )
}

/// Bytes of the frame of a call of the host that are kept for the four words of a suspension.
const SUSPENSION_BYTES: usize = 32;
/// Bytes of such a frame where [`enter_host`] has nothing and the other way has the values that were passed.
const VALUES_BYTES: usize = 32;
/// From the noted stack pointer to the frame pointer of whoever has called the host.
const CALLER_FRAME: usize = 16;
/// From the noted stack pointer to where that goes on.
const CALLER_PC: usize = 104;

/// Where machine code goes on that has called a function of the host, and its frame pointer; `left_at` is where that call has left the fiber.
///
/// # Safety
/// The call is under way: its frame is on the fiber's stack.
pub(crate) unsafe fn caller_of_host(left_at: usize) -> Option<(usize, usize)> {
    // SAFETY: the two ways of calling the host have put both words there.
    unsafe {
        let word = |at: usize| ((left_at + at) as *const usize).read_volatile();
        Some((word(CALLER_PC), word(CALLER_FRAME)))
    }
}

/// The body of [`enter_host`], with what comes between `call` and the way back, and what comes behind the end.
///
/// The stack pointer is in a register meanwhile that compilers use last, and the frame pointer stays as it is: where one of them had to come from memory, each call of a
/// loop would wait for the one before.
macro_rules! enter_host {
    ([$($looks:literal),*] [$($suspends:literal),*] $($operands:tt)*) => {
        naked_asm!(
            ".cfi_startproc",
            "push r13",
            "push rcx",
            "mov r13, rsp",
            // What is called gives them back. They are here to be seen: compiled code may have references to objects in them, and nowhere else.
            "push rbx",
            "push r12",
            "push r14",
            "lea rax, [rsp - {kept}]",
            "mov [rax + {caller_frame}], rbp",
            "mov [rcx + {fiber}], rax",
            "mov rsp, [rcx + {host}]",
            ".cfi_def_cfa rsp, 32",
            ".cfi_offset rbp, -16",
            ".cfi_offset rbx, -24",
            "call qword ptr [rsi + {call}]",
            $($looks,)*
            "lea rsp, [r13 + 8]",
            "pop r13",
            "ret",
            $($suspends,)*
            ".cfi_endproc",
            fiber = const offset_of!(VmStore, fiber.switch.fiber),
            host = const offset_of!(VmStore, fiber.switch.host),
            call = const offset_of!(HostEntry, call),
            kept = const SUSPENSION_BYTES + VALUES_BYTES,
            caller_frame = const CALLER_FRAME,
            $($operands)*
        )
    };
}

/// See [`super::enter_host`].
///
/// # Safety
/// That is described there.
#[cfg(feature = "fibers")]
#[unsafe(naked)]
pub unsafe extern "sysv64" fn enter_host(
    ctx: *mut VmContext,
    entry: *const HostEntry,
    slots: *mut u64,
    vm: *mut VmStore,
) -> u32 {
    enter_host!(
        ["cmp eax, {stopped}", "ja 2f"]
        [
            // It waits, on the host's stack: the caller is suspended as if by `suspend`, with r15 in the place of rbx, which its frame has already.
            "2:",
            "lea rax, [rip + 3f]",
            "mov [r13 - 64], rax",
            "mov [r13 - 80], r15",
            "mov rdi, [r13]",
            "lea rax, [r13 - 88]",
            "mov [rdi + {fiber}], rax",
            "pop qword ptr [rdi + {host}]",
            "pop rbx",
            "pop rbp",
            "pop rcx",
            "mov eax, 1",
            "jmp rcx",
            // Resumed, which eax says why, with the fiber's stack pointer above those four words.
            "3:",
            "mov r15, rbx",
            "add rsp, 32",
            "pop r14",
            "pop r12",
            "pop rbx",
            "pop rdi",
            "pop r13",
            "mov esi, eax",
            "jmp {end_wait}"
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
pub unsafe extern "sysv64" fn enter_host(
    ctx: *mut VmContext,
    entry: *const HostEntry,
    slots: *mut u64,
    vm: *mut VmStore,
) -> u32 {
    enter_host!([] [])
}

/// See [`super::suspend`].
#[cfg(any(test, feature = "async"))]
#[inline(always)]
pub(super) unsafe fn suspend(at: *mut Switch) -> u32 {
    let why: u32;
    // SAFETY: as in `enter`.
    unsafe {
        asm!(
            "lea rax, [rip + 2f]",
            "push rax",
            "push rbp",
            "push rbx",
            "push rbx",
            "mov [rdi + {fiber}], rsp",
            "mov rsp, [rdi + {host}]",
            "pop qword ptr [rdi + {host}]",
            "pop rbx",
            "pop rbp",
            "pop rcx",
            "mov eax, 1",
            "jmp rcx",
            "2:",
            host = const offset_of!(Switch, host),
            fiber = const offset_of!(Switch, fiber),
            inout("rdi") at => _,
            out("eax") why,
            lateout("r12") _, lateout("r13") _, lateout("r14") _, lateout("r15") _,
            clobber_abi("sysv64"),
        );
    }
    why
}

/// See [`super::resume`].
#[cfg(any(test, feature = "fibers"))]
#[inline(always)]
pub(super) unsafe fn resume(at: *mut Switch, why: u32) -> u32 {
    let outcome: u32;
    // SAFETY: as in `enter`.
    unsafe {
        asm!(
            "lea rcx, [rip + 2f]",
            "push rcx",
            "push rbp",
            "push rbx",
            "push qword ptr [rdi + {host}]",
            "mov [rdi + {host}], rsp",
            "mov rsp, [rdi + {fiber}]",
            "pop rbx",
            "pop rbx",
            "pop rbp",
            "pop rcx",
            "jmp rcx",
            "2:",
            host = const offset_of!(Switch, host),
            fiber = const offset_of!(Switch, fiber),
            inout("rdi") at => _,
            inout("eax") why => outcome,
            lateout("r12") _, lateout("r13") _, lateout("r14") _, lateout("r15") _,
            clobber_abi("sysv64"),
        );
    }
    outcome
}

/// The body of a naked function that machine code calls in the place of a function of the host which takes at most four values and gives at most one, all of them integers or references: as [`enter_host`], with the frame of a
/// trampoline, so that one call does for two. Called with the caller's context, the function's entry and the values in rdi, rsi, rdx, rcx, r8 and r9, and the store's record in r15; the result is in rax. It
/// preserves what functions must. Where the guest is to be left it jumps to `$leave`, as if that had been called in its place. `$result` is the part of rax that is read from the slots: to read more than has
/// been written makes a processor wait for the write.
///
/// The compiling tier makes a function of it, and whoever calls that keeps to the contract of [`super::enter_host`].
#[doc(hidden)]
#[macro_export]
#[cfg(feature = "fibers")]
macro_rules! enter_host_from_registers {
    ($leave:path, $result:literal) => {
        $crate::enter_host_from_registers_and!(
            $leave,
            $result
            [
                "cmp eax, {stopped}",
                "je 4f",
                // As in `enter_host`.
                "lea rax, [rip + 3f]",
                "mov [r13 - 8], rax",
                "mov [r13 - 24], r15",
                "lea rax, [r13 - 32]",
                "mov [r15 + {fiber}], rax",
                "pop qword ptr [r15 + {host}]",
                "pop rbx",
                "pop rbp",
                "pop rcx",
                "mov eax, 1",
                "jmp rcx",
                "3:",
                "mov r15, rbx",
                "mov r13, rsp",
                "mov r14, [r13 + 40]",
                "mov r12, [r13 + 48]",
                "mov rbx, [r13 + 56]",
                "mov rdi, r15",
                "mov esi, eax",
                "call {end_wait}",
                "test eax, eax",
                "je 5b"
            ]
            stopped = const $crate::tier::runtime::HOST_STOPPED,
            end_wait = sym $crate::tier::runtime::end_wait,
        )
    };
}

/// As above, where nothing waits.
#[doc(hidden)]
#[macro_export]
#[cfg(not(feature = "fibers"))]
macro_rules! enter_host_from_registers {
    ($leave:path, $result:literal) => {
        $crate::enter_host_from_registers_and!($leave, $result [])
    };
}

/// What both have.
#[doc(hidden)]
#[macro_export]
macro_rules! enter_host_from_registers_and {
    ($leave:path, $result:literal [$($waits:literal),*] $($operands:tt)*) => {
        ::std::arch::naked_asm!(
            ".cfi_startproc",
            // As in `enter_host`, also to be seen.
            "push r13",
            "push rbx",
            "push r12",
            "push r14",
            "sub rsp, 40",
            "mov [rsp], rdx",
            "mov [rsp + 8], rcx",
            "mov [rsp + 16], r8",
            "mov [rsp + 24], r9",
            "mov rdx, rsp",
            "mov rcx, r15",
            "mov r13, rsp",
            "lea rax, [rsp - {suspension}]",
            "mov [rax + {caller_frame}], rbp",
            "mov [r15 + {fiber}], rax",
            "mov rsp, [r15 + {host}]",
            ".cfi_def_cfa rsp, 32",
            ".cfi_offset rbp, -16",
            ".cfi_offset rbx, -24",
            "call qword ptr [rsi + {call}]",
            "test eax, eax",
            "jne 2f",
            "5:",
            concat!("mov ", $result, ", [r13]"),
            "lea rsp, [r13 + 64]",
            "pop r13",
            "ret",
            "2:",
            $($waits,)*
            "4:",
            "lea rsp, [r13 + 72]",
            "jmp {leave}",
            ".cfi_endproc",
            fiber = const $crate::tier::host_call::FIBER,
            host = const $crate::tier::host_call::HOST,
            call = const $crate::tier::host_call::CALL,
            suspension = const $crate::tier::host_call::SUSPENSION_BYTES,
            caller_frame = const $crate::tier::host_call::CALLER_FRAME,
            leave = sym $leave,
            $($operands)*
        )
    };
}

/// Offsets that the macro above uses wherever it is.
#[doc(hidden)]
pub mod offsets {
    use std::mem::offset_of;

    use crate::vmctx::{HostEntry, VmStore};

    /// From a store's record to where its fiber's stack was left.
    pub const FIBER: usize = offset_of!(VmStore, fiber.switch.fiber);
    /// From a store's record to where the host's stack was left.
    pub const HOST: usize = offset_of!(VmStore, fiber.switch.host);
    /// From the entry of a function of the host to what calls it.
    pub const CALL: usize = offset_of!(HostEntry, call);
    /// See [`super::SUSPENSION_BYTES`].
    pub const SUSPENSION_BYTES: usize = super::SUSPENSION_BYTES;
    /// See [`super::CALLER_FRAME`].
    pub const CALLER_FRAME: usize = super::CALLER_FRAME;
}
