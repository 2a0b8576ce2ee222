//! Signals that machine code raises: faults on memory that is not there, trap instructions, divisions.
//!
//! A fault on the page that loops poll is a request for a safepoint: the handler makes it a call.
//!
//! The handler acts only where the interrupted instruction lies in machine code of ours and passes everything else on to whoever handled
//! the signal before. It does next to nothing: it notes the place in the store's record and lets execution go on in
//! [`crate::entry::stopped`], on the same stack, as an ordinary function.

use std::mem::MaybeUninit;
use std::sync::OnceLock;

use innkeeper_engine::tier::{NativeSite, POLL_BEFORE_RECORD_BYTES, VmStore, runtime};

use crate::{entry, region};

const SIGNALS: [libc::c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];

static mut PREVIOUS: [MaybeUninit<libc::sigaction>; 4] = [const { MaybeUninit::uninit() }; 4];

/// Installs the handlers, once a process. False where the system refuses: then no machine code may run.
pub(crate) fn install() -> bool {
    static IS_INSTALLED: OnceLock<bool> = OnceLock::new();
    *IS_INSTALLED.get_or_init(|| {
        SIGNALS.into_iter().enumerate().all(|(i, signal)| {
            // SAFETY: the action is fully initialised, and the handler does only what is allowed in one. `PREVIOUS` is written before the
            // handler that reads it can run. The second writing is what the first one was, unless another thread has installed a handler between.
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = handle as *const () as usize;
                // Not deferred: the signal is never returned from in the ordinary sense.
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
                libc::sigemptyset(&raw mut action.sa_mask);
                let previous = (&raw mut PREVIOUS[i]).cast::<libc::sigaction>();
                libc::sigaction(signal, std::ptr::null(), previous) == 0
                    && libc::sigaction(signal, &raw const action, previous) == 0
            }
        })
    })
}

extern "C" fn handle(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes the interrupted thread's context, which going on elsewhere means to change. In machine code of ours the pinned
    // register has the record of the store that it runs for.
    unsafe {
        let registers = &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
        let pc = registers[libc::REG_RIP as usize] as usize;
        if is_fault(info) && region::handler::contains(pc) {
            let vm = registers[libc::REG_R15 as usize] as usize as *mut VmStore;
            if signal == libc::SIGSEGV && (*info).si_addr() as usize == vm as usize - POLL_BEFORE_RECORD_BYTES
            {
                let stack_pointer = registers[libc::REG_RSP as usize] - size_of::<usize>() as i64;
                // Below the frame, whose code keeps nothing there.
                *(stack_pointer as usize as *mut usize) = pc + 1;
                registers[libc::REG_RSP as usize] = stack_pointer;
                registers[libc::REG_RIP as usize] = entry::safepoint_in_loop as *const () as i64;
                return;
            }
            if !is_expected(signal, info, vm) {
                pass_on(signal, info, context);
                return;
            }
            let fault = if signal == libc::SIGSEGV { (*info).si_addr() as usize } else { 0 };
            let frame = registers[libc::REG_RBP as usize] as usize;
            (*vm).fiber.native_site = NativeSite { pc, frame, fault };
            registers[libc::REG_RIP as usize] = entry::stopped as *const () as i64;
            return;
        }
        pass_on(signal, info, context);
    }
}

/// Whether a fault in machine code of ours is one that its instructions are made to raise: an access of a memory of the guest's, or through a null
/// reference. Any other is a mistake of ours, which must not look like a guest's.
///
/// # Safety
/// `info` is the kernel's, and `vm` the record of the store whose machine code was interrupted.
unsafe fn is_expected(signal: libc::c_int, info: *const libc::siginfo_t, vm: *mut VmStore) -> bool {
    if signal != libc::SIGSEGV && signal != libc::SIGBUS {
        return true;
    }
    // SAFETY: of such a signal the kernel tells the address, but where that is none that there can be; machine code of the store was interrupted, which borrows
    // nothing.
    unsafe {
        let address = (*info).si_addr() as usize;
        let is_address = (*info).si_code != SI_KERNEL;
        is_address && (address < NULL_BYTES || runtime::may_fault_at(vm, address))
    }
}

/// What is read through null references: the fields of a function's record. The system maps nothing there.
const NULL_BYTES: usize = 4096;

/// The code of a fault whose address is not known.
const SI_KERNEL: libc::c_int = 0x80;

/// Whether an instruction raised the signal; else somebody has sent it.
///
/// # Safety
/// As the kernel calls a handler.
unsafe fn is_fault(info: *const libc::siginfo_t) -> bool {
    // SAFETY: the kernel passes a valid record to a handler that was installed with `SA_SIGINFO`, as ours are.
    unsafe { (*info).si_code > 0 }
}

/// # Safety
/// As the kernel calls a handler.
unsafe fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some(i) = SIGNALS.iter().position(|known| *known == signal) else { return };
    // SAFETY: written before this handler was installed; the previous action is called as its flags ask.
    unsafe {
        let previous = (&raw const PREVIOUS[i]).cast::<libc::sigaction>().read();
        match previous.sa_sigaction {
            libc::SIG_IGN if !is_fault(info) => {}
            libc::SIG_DFL | libc::SIG_IGN => {
                libc::sigaction(signal, &raw const previous, std::ptr::null_mut());
                // A faulting instruction is executed again, without us; what was sent must be sent again.
                if !is_fault(info) {
                    libc::raise(signal);
                }
            }
            handler if previous.sa_flags & libc::SA_SIGINFO != 0 => {
                let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
                    std::mem::transmute(handler);
                handler(signal, info, context);
            }
            handler => {
                let handler: extern "C" fn(libc::c_int) = std::mem::transmute(handler);
                handler(signal);
            }
        }
    }
}
