//! Signals that machine code raises: faults on memory that is not there, trap instructions, divisions.
//!
//! A fault on the page that loops poll is a request for a safepoint: the handler makes it a call.
//!
//! The handler acts only where the interrupted instruction lies in machine code of ours and passes everything else on to whoever handled
//! the signal before, or has put a handler of its own in the place of ours since: whether ours is there is looked for whenever an engine or an instance is made, and it
//! is put before the other's again. It does next to nothing: it notes the place in the store's record and lets execution go on in
//! [`crate::entry::stopped`], on the same stack, as an ordinary function.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use innkeeper_engine::tier::{NativeSite, POLL_BEFORE_RECORD_BYTES, VmStore, runtime};

use crate::{entry, region};

const SIGNALS: [libc::c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];

/// How many handlers of others' there can be at most that were put in the place of ours, of a signal.
const LEVELS: usize = 8;

type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);

/// The same handler several times. Each passes on to the action that it was put in the place of, and to no other: a handler of somebody else's that passes on to one
/// of ours comes to what was there before that one, not back to itself.
const HANDLERS: [Handler; LEVELS] =
    [handle::<0>, handle::<1>, handle::<2>, handle::<3>, handle::<4>, handle::<5>, handle::<6>, handle::<7>];

/// What each handler passes on to, by signal: written before that handler is first there, and never again.
static mut PREVIOUS: [[MaybeUninit<libc::sigaction>; LEVELS]; SIGNALS.len()] =
    [const { [const { MaybeUninit::uninit() }; LEVELS] }; SIGNALS.len()];

/// How many of the handlers have been installed, by signal.
static LEVELS_USED: Mutex<[usize; SIGNALS.len()]> = Mutex::new([0; SIGNALS.len()]);

/// When it was last looked whether the handlers are there.
static LOOKED: AtomicU64 = AtomicU64::new(u64::MAX);

/// Installs the handlers where they are not there: never yet, or because somebody has put another in their place since. False where that cannot be: then no machine
/// code may run.
pub(crate) fn install() -> bool {
    LOOKED.store(now(), Ordering::Relaxed);
    let mut used = LEVELS_USED.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: whoever has `used` is the only one to write what others passed on to.
    (0..SIGNALS.len()).all(|i| unsafe { install_for(i, &mut used[i]) })
}

/// [`install`], unless that was done a moment ago: some milliseconds. Costs next to nothing.
pub(crate) fn install_again() {
    if LOOKED.load(Ordering::Relaxed) != now() {
        install();
    }
}

/// A time that is the same for some milliseconds, and takes no call of the system.
fn now() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock's time goes into a place for it.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
    now.tv_sec.cast_unsigned().wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec.cast_unsigned())
}

/// # Safety
/// Nobody else does so meanwhile.
unsafe fn install_for(i: usize, used: &mut usize) -> bool {
    // SAFETY: an action may be zero before the system tells what there is.
    let mut there: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: it is only asked for.
    if unsafe { libc::sigaction(SIGNALS[i], std::ptr::null(), &raw mut there) } != 0 {
        return false;
    }
    if HANDLERS.iter().any(|ours| *ours as *const () as usize == there.sa_sigaction) {
        return true;
    }
    // SAFETY: initialised as far as handlers are used; the caller is the only one to write.
    let previous = |level: usize| unsafe { (&raw const PREVIOUS[i][level]).cast::<libc::sigaction>().read() };
    let is_known = |level: &usize| is_same(&previous(*level), &there);
    let level = (0..*used).find(is_known).unwrap_or(*used);
    if level == LEVELS {
        // Nothing is gained by going on: two who do that to each other pass on to each other.
        return true;
    }
    if level == *used {
        // SAFETY: this handler has never been installed, so that nobody reads it.
        unsafe { (&raw mut PREVIOUS[i][level]).cast::<libc::sigaction>().write(there) };
        *used += 1;
    }
    // SAFETY: the action is fully initialised, and the handler does only what is allowed in one.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = HANDLERS[level] as *const () as usize;
        // Not deferred: the signal is never returned from in the ordinary sense.
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
        libc::sigemptyset(&raw mut action.sa_mask);
        libc::sigaction(SIGNALS[i], &raw const action, &raw mut there) == 0
            && (is_same(&there, &previous(level))
                // Another thread has installed one between: it is put back, and found next time.
                || libc::sigaction(SIGNALS[i], &raw const there, std::ptr::null_mut()) == 0)
    }
}

fn is_same(one: &libc::sigaction, other: &libc::sigaction) -> bool {
    (one.sa_sigaction, one.sa_flags) == (other.sa_sigaction, other.sa_flags)
}

extern "C" fn handle<const LEVEL: usize>(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
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
                pass_on(LEVEL, signal, info, context);
                return;
            }
            let fault = if signal == libc::SIGSEGV { (*info).si_addr() as usize } else { 0 };
            let frame = registers[libc::REG_RBP as usize] as usize;
            (*vm).fiber.native_site = NativeSite { pc, frame, fault };
            registers[libc::REG_RIP as usize] = entry::stopped as *const () as i64;
            return;
        }
        pass_on(LEVEL, signal, info, context);
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
unsafe fn pass_on(level: usize, signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let Some(i) = SIGNALS.iter().position(|known| *known == signal) else { return };
    // SAFETY: written before this handler was installed; the previous action is called as its flags ask.
    unsafe {
        let previous = (&raw const PREVIOUS[i][level]).cast::<libc::sigaction>().read();
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
