//! Signals that are not machine code's go to whoever handled them before (cases X1 and X2 of the sandbox's list).

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use std::sync::atomic::{AtomicU32, Ordering};

use innkeeper_engine::NanBits;
use innkeeper_jit::Jit;
use innkeeper_jit::cache::Cache;

static SEEN: AtomicU32 = AtomicU32::new(0);

extern "C" fn plain(signal: libc::c_int) {
    SEEN.fetch_add(signal.cast_unsigned(), Ordering::SeqCst);
}

extern "C" fn informed(signal: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel's own description of the signal.
    let told = unsafe { (*info).si_signo };
    SEEN.fetch_add((signal + told).cast_unsigned(), Ordering::SeqCst);
}

fn handle(signal: libc::c_int, handler: usize, flags: libc::c_int) {
    // SAFETY: the action is fully initialised, and the handlers above only count.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        assert_eq!(libc::sigaction(signal, &raw const action, std::ptr::null_mut()), 0);
    }
}

/// Says to a process of this test that it is the one to be hit.
const VICTIM: &str = "INNKEEPER_TEST_VICTIM";

#[test]
fn a_signal_that_was_sent_has_its_default_action() {
    use std::os::unix::process::ExitStatusExt;
    const NAME: &str = "a_signal_that_was_sent_has_its_default_action";
    if std::env::var_os(VICTIM).is_some() {
        // Rust's own handler for overflows of the stack would be next.
        handle(libc::SIGSEGV, libc::SIG_DFL, 0);
        let _jit = Jit::new(NanBits::AsComputed, Cache::off());
        // SAFETY: ends this process, which is there for that.
        unsafe { libc::raise(libc::SIGSEGV) };
        return;
    }
    let test = std::env::current_exe().unwrap();
    let victim = std::process::Command::new(test).args(["--exact", NAME]).env(VICTIM, "").output().unwrap();
    assert_eq!(victim.status.signal(), Some(libc::SIGSEGV), "{victim:?}");
}

fn raise(signal: libc::c_int) -> u32 {
    SEEN.store(0, Ordering::SeqCst);
    // SAFETY: the signal is handled.
    assert_eq!(unsafe { libc::raise(signal) }, 0);
    SEEN.load(Ordering::SeqCst)
}

#[test]
fn x1_x2_signals_from_elsewhere_reach_the_handlers_that_were_there() {
    handle(libc::SIGILL, plain as *const () as usize, 0);
    handle(libc::SIGFPE, informed as *const () as usize, libc::SA_SIGINFO);
    let _first = Jit::new(NanBits::AsComputed, Cache::off());
    assert_eq!(raise(libc::SIGILL), libc::SIGILL.cast_unsigned());
    assert_eq!(raise(libc::SIGFPE), 2 * libc::SIGFPE.cast_unsigned());
    // A second engine does not chain the handler to itself.
    let _second = Jit::new(NanBits::AsComputed, Cache::off());
    assert_eq!(raise(libc::SIGILL), libc::SIGILL.cast_unsigned());
}
