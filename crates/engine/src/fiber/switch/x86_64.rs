//! The switch between stacks for x86-64 with the System V convention.
//!
//! Whoever goes from one stack to the other, and is to go on where it was, pushes the same four words on the stack that it leaves:
//!
//! ```text
//! left stack pointer -> | the one noted before | rbx | rbp | where it goes on |
//! ```
//!
//! All other registers count as lost, so that the compiler has put what it needs on the stack before: a collection that scans the stack from the
//! noted pointer on sees everything. What goes on is jumped to and never returned to, which processors foresee; returns they would foresee wrongly.
//!
//! Must stay true: stacks are left with the pointer at a multiple of 16. While code of the host runs on the host's stack, the unwinding tables say that it was
//! called where the fiber was entered or resumed from, on that same stack: whoever walks the stack never gets onto the fiber's, which
//! may have been entered by a frame that is gone.

use std::arch::{asm, naked_asm};
use std::mem::offset_of;

use super::{Body, Call, SUSPENSION_BYTES, Switch};

/// Whether a fiber has a stack of its own on this processor.
#[cfg(any(test, feature = "async"))]
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
        "mov rsp, [rbx + {host}]",
        "pop qword ptr [rbx + {host}]",
        "pop rbx",
        "pop rbp",
        "pop rcx",
        "xor eax, eax",
        "jmp rcx",
        ".cfi_endproc",
        host = const offset_of!(Switch, host),
    )
}

/// See [`super::on_host`].
#[unsafe(naked)]
pub(super) unsafe extern "sysv64" fn on_host(at: *mut Switch, call: Call, data: *mut ()) -> u64 {
    naked_asm!(
        ".cfi_startproc",
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "push qword ptr [rdi + {fiber}]",
        // What is called within this may be suspended, and stay below while the caller goes on until it is suspended itself.
        "lea rax, [rsp - {gap}]",
        "mov [rdi + {fiber}], rax",
        "mov rbx, rdi",
        // What is noted then may be of such a call.
        "mov r12, rsp",
        "mov rdi, rdx",
        "mov rsp, [rbx + {host}]",
        // What was pushed there when the fiber was entered or resumed: for whoever walks the stack, that place has made this call.
        ".cfi_def_cfa rsp, 32",
        ".cfi_offset rbp, -16",
        ".cfi_offset rbx, -24",
        "lea rbp, [rsp + 16]",
        "call rsi",
        "mov rsp, r12",
        "pop qword ptr [rbx + {fiber}]",
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
        gap = const SUSPENSION_BYTES,
    )
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
            "push qword ptr [rdi + {fiber}]",
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
#[cfg(any(test, feature = "async"))]
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
            "pop qword ptr [rdi + {fiber}]",
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
