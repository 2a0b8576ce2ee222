//! Signals that are not machine code's go to whoever handled them before (cases X1 and X2 of the sandbox's list), and those of whoever comes later stand behind.

#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use innkeeper_engine::NanBits;
use innkeeper_jit::Jit;
use innkeeper_jit::cache::Cache;

type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);

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

/// How often each of the handlers of [`x2_handlers_that_come_later_stand_behind`] was called.
static CALLED: [AtomicU32; 3] = [const { AtomicU32::new(0) }; 3];

/// What was there before the second and the third of them.
static BEFORE: [AtomicUsize; 3] = [const { AtomicUsize::new(0) }; 3];

extern "C" fn first(_: libc::c_int) {
    CALLED[0].fetch_add(1, Ordering::SeqCst);
}

/// Passes on to what was there before, as crash reporters do.
extern "C" fn chaining<const N: usize>(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    assert!(CALLED[N].fetch_add(1, Ordering::SeqCst) < 10, "in a circle");
    // SAFETY: the handler that was there is one of the compiler's, which takes what the kernel has passed.
    unsafe {
        let before: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) =
            std::mem::transmute(BEFORE[N].load(Ordering::SeqCst));
        before(signal, info, context);
    }
}

fn installed(signal: libc::c_int) -> libc::sigaction {
    // SAFETY: it is only asked for.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        assert_eq!(libc::sigaction(signal, std::ptr::null(), &raw mut action), 0);
        action
    }
}

/// X2: a handler that somebody else installs later is called after ours, and what it passes on to comes to whoever was there before: once, whatever was switched off and on again.
#[test]
fn x2_handlers_that_come_later_stand_behind() {
    // Nobody else in these tests handles this signal.
    let signal = libc::SIGBUS;
    handle(signal, first as *const () as usize, 0);
    let jit = Jit::new(NanBits::AsComputed, Cache::off());
    let at_first = installed(signal);
    assert_ne!(at_first.sa_sigaction, first as *const () as usize);
    let come = |which: usize, handler: Handler| {
        let handler = handler as *const () as usize;
        BEFORE[which].store(installed(signal).sa_sigaction, Ordering::SeqCst);
        handle(signal, handler, libc::SA_SIGINFO);
        // It is looked for now and then.
        let begin = Instant::now();
        while installed(signal).sa_sigaction == handler {
            assert!(begin.elapsed() < Duration::from_secs(30), "it is not put back");
            jit.before_instance();
        }
    };
    let raised = || {
        CALLED.iter().for_each(|count| count.store(0, Ordering::SeqCst));
        // SAFETY: the signal is handled.
        assert_eq!(unsafe { libc::raise(signal) }, 0);
        [0, 1, 2].map(|which: usize| CALLED[which].load(Ordering::SeqCst))
    };
    for _ in 0..20 {
        come(1, chaining::<1>);
        assert_eq!(raised(), [1, 1, 0]);
        // Whoever is switched off puts back what there was.
        // SAFETY: it was there before.
        assert_eq!(unsafe { libc::sigaction(signal, &raw const at_first, std::ptr::null_mut()) }, 0);
        jit.before_instance();
        assert_eq!(raised(), [1, 0, 0]);
    }
    come(1, chaining::<1>);
    come(2, chaining::<2>);
    assert_eq!(raised(), [1, 1, 1]);
}
