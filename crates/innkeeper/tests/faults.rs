//! A fault in compiled code that is no guest's doing is never told as one: at an address where no memory of the guest's is, it is a mistake of the host's, and
//! has the signal's default action.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use innkeeper::{Config, Linker, Module, Store, Tiers};

/// Says to a process of this test that it is the one to be hit.
const VICTIM: &str = "INNKEEPER_TEST_VICTIM";

static HAS_BEGUN: AtomicBool = AtomicBool::new(false);

/// A guest that does next to nothing but load.
const LOADS: &str = r#"(module (import "host" "begin" (func $begin)) (memory 1)
    (func (export "run") (local $at i32)
        (call $begin)
        (loop $l (local.set $at (i32.load (local.get $at))) (br $l))))"#;

/// Lets signals of faults go to another thread, or to this one again.
fn mask(how: libc::c_int) {
    // SAFETY: a set of signals may be zero before it is emptied.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGSEGV);
        assert_eq!(libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut()), 0);
    }
}

/// Tells the process of a fault at an address of nobody's, as the kernel does. It lets only a process's first thread say that, and the only other one that is there
/// hears of it.
fn hit() {
    // SAFETY: it only gives a number.
    assert_eq!(unsafe { libc::gettid() }, std::process::id().cast_signed());
    while !HAS_BEGUN.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    for _ in 0..200 {
        std::thread::sleep(Duration::from_millis(5));
        // SAFETY: a description of a signal may be zero but for what is set; it is laid out as the kernel has it: the address follows three numbers. What it does to this process
        // is what the test is about.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            (info.si_signo, info.si_code) = (libc::SIGSEGV, 1);
            (&raw mut info).cast::<usize>().add(2).write(0x1234_5678_9000);
            let sent =
                libc::syscall(libc::SYS_rt_sigqueueinfo, libc::getpid(), libc::SIGSEGV, &raw const info);
            assert_eq!(sent, 0, "{}", std::io::Error::last_os_error());
        }
    }
}

fn main() {
    if std::env::var_os(VICTIM).is_none() {
        let test = std::env::current_exe().unwrap();
        let victim = Command::new(test).env(VICTIM, "").output().unwrap();
        assert_eq!(victim.status.signal(), Some(libc::SIGSEGV), "{victim:?}");
        return;
    }
    // SAFETY: the standard library's own handler, for overflows of stacks, is not wanted here.
    unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
    mask(libc::SIG_BLOCK);
    let guest = std::thread::spawn(guest);
    hit();
    panic!("the guest was told, or nobody: {:?}", guest.is_finished().then(|| guest.join()));
}

/// Runs for ever.
fn guest() -> Result<(), innkeeper::Error> {
    mask(libc::SIG_UNBLOCK);
    let engine = innkeeper::engine_with(Config::default(), Tiers::Compiled);
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "begin", || HAS_BEGUN.store(true, Ordering::SeqCst)).unwrap();
    let module = Module::new(&engine, innkeeper::to_binary(LOADS.as_bytes()).unwrap().into_owned()).unwrap();
    let mut store = Store::new(&engine, ()).unwrap();
    let instance = linker.instantiate(&mut store, &module).unwrap();
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
    run.call(&mut store, ())
}
