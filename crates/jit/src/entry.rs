//! The ways into machine code and out of it, for x86-64.
//!
//! [`enter`] pushes what functions must preserve and remembers the stack pointer in the store's record: the *exit point*. Machine code that
//! returns comes back there by itself. Machine code that stops, by a trap instruction, a fault or [`leave`], is first looked at where
//! it stands ([`crate::trap::stopped`] finds the reason and the backtrace) and then comes back there too, over machine code only: every
//! run of machine code has an exit point of its own, so that no frame of the host is ever skipped.
//!
//! # Safety
//! Functions without Rust bodies are jumped to by machine code, with `r15` the record of the store whose guest runs: [`enter`] puts it there, the compiler never
//! allocates that register, and functions of the host give it back as they found it. [`land`] pops what the innermost [`enter`] has pushed: whoever jumps there is machine
//! code of that run, or code that machine code has called and that has left its own frames. The stack pointer may be anything below those.

use std::arch::naked_asm;
use std::mem::offset_of;

use innkeeper_engine::tier::{NativeCode, NativeExit, Pending, VmContext, VmFiber, VmStore, runtime};

use crate::{libcall, trampoline, trap};

/// Saves every register that can hold an argument, asks for the address to go on at, and goes there.
macro_rules! lazy_binding_stub {
    () => {
        "sub rsp, 184
         mov [rsp], rdi
         mov [rsp + 8], rsi
         mov [rsp + 16], rdx
         mov [rsp + 24], rcx
         mov [rsp + 32], r8
         mov [rsp + 40], r9
         movups [rsp + 48], xmm0
         movups [rsp + 64], xmm1
         movups [rsp + 80], xmm2
         movups [rsp + 96], xmm3
         movups [rsp + 112], xmm4
         movups [rsp + 128], xmm5
         movups [rsp + 144], xmm6
         movups [rsp + 160], xmm7
         call {bind}
         mov rdi, [rsp]
         mov rsi, [rsp + 8]
         mov rdx, [rsp + 16]
         mov rcx, [rsp + 24]
         mov r8, [rsp + 32]
         mov r9, [rsp + 40]
         movups xmm0, [rsp + 48]
         movups xmm1, [rsp + 64]
         movups xmm2, [rsp + 80]
         movups xmm3, [rsp + 96]
         movups xmm4, [rsp + 112]
         movups xmm5, [rsp + 128]
         movups xmm6, [rsp + 144]
         movups xmm7, [rsp + 160]
         add rsp, 184
         jmp rax"
    };
}

/// Runs machine code, on the fiber's stack that is in use here; see [`innkeeper_engine::tier::EnterNative`]. It goes through the trampoline, which is called with the context, the
/// frame and the code. The result is how it was left, by the numbers of [`NativeExit`].
///
/// # Safety
/// The frame's slots hold the parameters of the compiled function, which is one of `ctx`'s module; `code` is that function's, with the trampoline of its type, or
/// the code of an entry into a loop of it, which takes its values from the frame. The thread has the store to itself, and so its record; this runs on the store's fiber.
/// The return address and seven pushes leave the stack aligned to 16 bytes, so that the call below is right.
#[unsafe(naked)]
pub(crate) unsafe extern "sysv64" fn enter(
    code: &NativeCode,
    ctx: *mut VmContext,
    frame: *mut u64,
) -> NativeExit {
    naked_asm!(
        "mov rax, [rsi + {store}]",
        "cmp qword ptr [rax + {native_limit}], 0",
        "je {prepare}",
        "push rbp",
        "mov rbp, rsp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "push qword ptr [rax + {exit_point}]",
        "mov [rax + {exit_point}], rsp",
        "mov r15, rax",
        "mov rax, rdi",
        "mov rdi, rsi",
        "mov rsi, rdx",
        "mov rdx, [rax + {code}]",
        "call [rax + {trampoline}]",
        "mov eax, {done}",
        "jmp {land}",
        store = const offset_of!(VmContext, store),
        native_limit = const offset_of!(VmStore, fiber) + VmFiber::NATIVE_LIMIT_OFFSET,
        prepare = sym prepare,
        exit_point = const offset_of!(VmStore, fiber.exit_point),
        code = const offset_of!(NativeCode, code),
        trampoline = const offset_of!(NativeCode, trampoline),
        done = const NativeExit::Done as u32,
        land = sym land,
    )
}

/// As [`enter`], where no machine code has run on the fiber yet.
///
/// # Safety
/// As [`enter`].
#[cold]
unsafe extern "sysv64" fn prepare(code: &NativeCode, ctx: *mut VmContext, frame: *mut u64) -> NativeExit {
    // SAFETY: passed on.
    unsafe {
        let vm = (*ctx).store;
        if let Err(error) = runtime::prepare_native_stack(vm) {
            (*vm).fiber.pending = Some(Pending::Error(error));
            runtime::complete_stop(vm, |_| {});
            return NativeExit::Stopped;
        }
        enter(code, ctx, frame)
    }
}

/// What [`enter`] pushes below its frame pointer until the exit point.
const PUSHED_BYTES: usize = 6 * size_of::<usize>();

/// Whether whoever has made `frame` can return to the trampoline that the innermost [`enter`] has called: it returns to the first frame of machine code, which is the
/// trampoline's, or that of code that is entered at a loop.
///
/// # Safety
/// `frame` is the innermost one of machine code, which the innermost [`enter`] of the store has called: its caller's frame pointer is there.
pub(crate) unsafe fn returns_to_first(vm: *const VmStore, frame: *const usize) -> bool {
    // SAFETY: the caller says where the frame is; every function of machine code has a frame pointer, and so has `enter`, where its caller's is.
    let (callers, of_run) = unsafe { (*(*frame as *const usize), (*vm).fiber.exit_point + PUSHED_BYTES) };
    callers == of_run
}

/// Goes back to where the innermost run was started, with the result in `eax`.
#[unsafe(naked)]
unsafe extern "sysv64" fn land() {
    naked_asm!(
        "mov rsp, [r15 + {exit_point}]",
        "pop qword ptr [r15 + {exit_point}]",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
        exit_point = const offset_of!(VmStore, fiber.exit_point),
    )
}

/// What machine code calls to stop; the reason is in the record.
#[unsafe(naked)]
pub(crate) unsafe extern "sysv64" fn leave() {
    naked_asm!(
        "pop rax",
        "mov [r15 + {pc}], rax",
        "mov [r15 + {frame}], rbp",
        "jmp {stopped}",
        pc = const offset_of!(VmStore, fiber.native_site.pc),
        frame = const offset_of!(VmStore, fiber.native_site.frame),
        stopped = sym stopped,
    )
}

/// Has the request answered, and leaves machine code or goes on behind it, with all registers as they were: polls cost the code around them nothing.
macro_rules! safepoint_stub {
    ($safepoint:path, $($go_on:literal),*) => {
        naked_asm!(
            "push rax
             push rcx
             push rdx
             push rsi
             push rdi
             push r8
             push r9
             push r10
             push r11
             sub rsp, 256
             movups [rsp], xmm0
             movups [rsp + 16], xmm1
             movups [rsp + 32], xmm2
             movups [rsp + 48], xmm3
             movups [rsp + 64], xmm4
             movups [rsp + 80], xmm5
             movups [rsp + 96], xmm6
             movups [rsp + 112], xmm7
             movups [rsp + 128], xmm8
             movups [rsp + 144], xmm9
             movups [rsp + 160], xmm10
             movups [rsp + 176], xmm11
             movups [rsp + 192], xmm12
             movups [rsp + 208], xmm13
             movups [rsp + 224], xmm14
             movups [rsp + 240], xmm15
             mov rdi, r15
             lea rsi, [rsp + 336]
             mov rdx, rbp
             call {safepoint}
             test eax, eax
             movups xmm0, [rsp]
             movups xmm1, [rsp + 16]
             movups xmm2, [rsp + 32]
             movups xmm3, [rsp + 48]
             movups xmm4, [rsp + 64]
             movups xmm5, [rsp + 80]
             movups xmm6, [rsp + 96]
             movups xmm7, [rsp + 112]
             movups xmm8, [rsp + 128]
             movups xmm9, [rsp + 144]
             movups xmm10, [rsp + 160]
             movups xmm11, [rsp + 176]
             movups xmm12, [rsp + 192]
             movups xmm13, [rsp + 208]
             movups xmm14, [rsp + 224]
             movups xmm15, [rsp + 240]
             lea rsp, [rsp + 256]
             pop r11
             pop r10
             pop r9
             pop r8
             pop rdi
             pop rsi
             pop rdx
             pop rcx
             pop rax
             jne {leave}",
            $($go_on,)*
            safepoint = sym $safepoint,
            leave = sym leave,
        )
    };
}

/// What a function calls that begins and has found somebody requesting a safepoint, or the stack's end: see [`libcall::safepoint`].
#[unsafe(naked)]
pub(crate) unsafe extern "sysv64" fn safepoint() {
    safepoint_stub!(libcall::safepoint, "ret")
}

/// What machine code calls where less fuel is at hand than it needs: see [`libcall::refuel`].
#[unsafe(naked)]
pub(crate) unsafe extern "sysv64" fn refuel() {
    safepoint_stub!(libcall::refuel, "ret")
}

/// Where a poll in a loop goes on whose read has faulted, as if it had called this: one past its own address is on the stack. It is that place whose frame
/// is described, and the read is tried again.
#[unsafe(naked)]
pub(crate) unsafe extern "sysv64" fn safepoint_in_loop() {
    safepoint_stub!(libcall::safepoint_in_loop, "dec qword ptr [rsp]", "ret")
}

/// Where machine code goes on, below its frames, once its place is in the record.
#[unsafe(naked)]
pub(crate) unsafe extern "sysv64" fn stopped() {
    naked_asm!(
        "and rsp, -16",
        "mov rdi, r15",
        "call {look}",
        "test rax, rax",
        "jne 2f",
        "mov eax, {stopped}",
        "jmp {land}",
        // The handler finds the exception where it expects results.
        "2:",
        "mov rbp, [r15 + {frame}]",
        "mov rsp, [r15 + {stack_pointer}]",
        "jmp qword ptr [r15 + {handler}]",
        look = sym trap::stopped,
        stopped = const NativeExit::Stopped as u32,
        frame = const offset_of!(VmStore, fiber.native_handler.frame),
        stack_pointer = const offset_of!(VmStore, fiber.native_handler.stack_pointer),
        handler = const offset_of!(VmStore, fiber.native_handler.pc),
        land = sym land,
    )
}

/// What machine code calls to be left with an outcome that says all.
#[unsafe(naked)]
pub(crate) unsafe extern "sysv64" fn leave_with(outcome: u32) {
    naked_asm!(
        "mov eax, {stopped}",
        "mov ecx, {tail_call}",
        "cmp edi, ecx",
        "cmove eax, ecx",
        "jmp {land}",
        stopped = const NativeExit::Stopped as u32,
        tail_call = const NativeExit::TailCall as u32,
        land = sym land,
    )
}

/// What machine code calls to ask for a tail call from a loop, with context, entry and slots. A function of the host is called at once, as if machine code had called it itself:
/// backtraces find the guest's frames from there.
#[unsafe(naked)]
pub(crate) unsafe extern "sysv64" fn tail_call() {
    naked_asm!(
        "push rdi",
        "push rsi",
        "push rdx",
        "call {tail_call}",
        "pop rdx",
        "pop rsi",
        "pop rdi",
        "cmp eax, {calls_host}",
        "je 2f",
        "ret",
        "2:",
        "mov rcx, r15",
        "jmp {enter_host}",
        tail_call = sym libcall::tail_call,
        calls_host = const libcall::CALLS_HOST,
        enter_host = sym runtime::enter_host,
    )
}

/// Where calls of guest functions go that were never called from machine code before: makes the trampoline and goes on there, with all arguments as
/// they were.
#[unsafe(naked)]
pub(crate) unsafe extern "sysv64" fn bind_guest() {
    naked_asm!(lazy_binding_stub!(), bind = sym trampoline::bind_guest)
}

/// As [`bind_guest`], for functions of the host.
#[unsafe(naked)]
pub(crate) unsafe extern "sysv64" fn bind_host() {
    naked_asm!(lazy_binding_stub!(), bind = sym trampoline::bind_host)
}

/// What machine code calls in the place of functions of the host whose types [`crate::abi::is_in_registers`], by the convention of compiled functions, where the result has 64 bits: see
/// the engine's `fiber/switch/x86_64.rs`.
#[unsafe(naked)]
pub(crate) unsafe extern "sysv64" fn call_host() {
    innkeeper_engine::enter_host_from_registers!(leave, "rax")
}

/// As [`call_host`], where the result has 32 bits, or there is none.
#[unsafe(naked)]
pub(crate) unsafe extern "sysv64" fn call_host_32() {
    innkeeper_engine::enter_host_from_registers!(leave, "eax")
}
