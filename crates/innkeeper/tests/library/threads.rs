//! Threads of the embedder's: what a store, a fault or an end of a thread finds there.

use std::cell::RefCell;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use innkeeper::{Engine, Instance, Linker, Module, Store, Trap};

use super::{engines, instance, module};

/// Calls a guest when it is dropped, and tells what that has given.
struct CallsInTheEnd(Module, Sender<i32>);

impl Drop for CallsInTheEnd {
    fn drop(&mut self) {
        let mut store = Store::new(self.0.engine(), ()).unwrap();
        let instance = Linker::new(self.0.engine()).instantiate(&mut store, &self.0).unwrap();
        let five = instance.get_typed_func::<(), i32>(&store, "five").unwrap();
        self.1.send(five.call(&mut store, ()).unwrap()).unwrap();
    }
}

thread_local!(static KEPT: RefCell<Option<Store<CallsInTheEnd>>> = const { RefCell::new(None) });

#[test]
fn a_store_in_a_thread_local_ends_with_its_thread_and_guests_run_then() {
    for engine in engines() {
        let module = module(&engine, r#"(module (func (export "five") (result i32) (i32.const 5)))"#);
        let (tell, told) = channel();
        let thread = std::thread::spawn(move || {
            // First the thread's locals of this program: they are dropped after those of the library.
            KEPT.with_borrow_mut(|kept| {
                let mut store = Store::new(&engine, CallsInTheEnd(module.clone(), tell)).unwrap();
                let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
                let five = instance.get_typed_func::<(), i32>(&store, "five").unwrap();
                assert_eq!(five.call(&mut store, ()).unwrap(), 5);
                *kept = Some(store);
            });
        });
        thread.join().unwrap();
        assert_eq!(told.recv(), Ok(5));
    }
}

#[test]
fn a_store_goes_from_thread_to_thread_between_calls() {
    let text = r#"(module (global $n (mut i32) (i32.const 0))
        (func (export "count") (result i32)
            (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n))
        (func (export "trap") unreachable))"#;
    for engine in engines() {
        let (mut store, instance) = instance(&engine, text);
        for n in 1..20 {
            let thread = std::thread::spawn(move || {
                let count = instance.get_typed_func::<(), i32>(&store, "count").unwrap();
                assert_eq!(count.call(&mut store, ()).unwrap(), n);
                let trap = instance.get_typed_func::<(), ()>(&store, "trap").unwrap();
                assert_eq!(trap.call(&mut store, ()).unwrap_err().trap(), Some(Trap::Unreachable));
                store
            });
            store = thread.join().unwrap();
        }
    }
}

const FAULTS: &str = r#"(module (memory 1)
    (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
    (func (export "divide") (param i32) (result i32) (i32.div_s (i32.const 1) (local.get 0))))"#;

/// Faults again and again, each of which is a trap, and after which the guest goes on.
fn fault(engine: &Engine) {
    let (mut store, instance): (Store<()>, Instance) = instance(engine, FAULTS);
    let load = instance.get_typed_func::<i32, i32>(&store, "load").unwrap();
    let divide = instance.get_typed_func::<i32, i32>(&store, "divide").unwrap();
    for n in 0..50 {
        let beyond = load.call(&mut store, 0x7fff_0000 + n).unwrap_err();
        assert_eq!(beyond.trap(), Some(Trap::MemoryOutOfBounds));
        assert_eq!(divide.call(&mut store, 0).unwrap_err().trap(), Some(Trap::IntegerDivideByZero));
        assert_eq!(load.call(&mut store, 4).unwrap(), 0);
    }
}

/// Exchanges the thread's stack for signals.
fn set_signal_stack(stack: &libc::stack_t) -> libc::stack_t {
    // SAFETY: zeros are a value of this type; both are valid for the call, and who calls this keeps the memory of the stack for as long as it is the thread's.
    unsafe {
        let mut before: libc::stack_t = std::mem::zeroed();
        assert_eq!(libc::sigaltstack(stack, &raw mut before), 0);
        before
    }
}

/// As servers do in their workers. A fault whose signal is blocked ends the process.
#[test]
fn guests_fault_and_are_stopped_on_threads_that_have_blocked_all_signals() {
    for engine in engines() {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // SAFETY: the set is filled before it is read, and the mask is this thread's own.
                unsafe {
                    let mut all: libc::sigset_t = std::mem::zeroed();
                    libc::sigfillset(&raw mut all);
                    assert_eq!(
                        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut()),
                        0
                    );
                }
                fault(&engine);
                let (mut store, instance): (Store<()>, Instance) =
                    instance(&engine, r#"(module (func (export "spin") (loop $again (br $again))))"#);
                store.set_deadline(Some(Duration::from_millis(10))).unwrap();
                let spin = instance.get_typed_func::<(), ()>(&store, "spin").unwrap();
                assert_eq!(spin.call(&mut store, ()).unwrap_err().trap(), Some(Trap::DeadlineExceeded));
                // The others are still blocked.
                // SAFETY: the mask is only asked for.
                unsafe {
                    let mut now: libc::sigset_t = std::mem::zeroed();
                    libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut now);
                    assert_eq!(libc::sigismember(&raw const now, libc::SIGTERM), 1);
                }
            });
        });
    }
}

#[test]
fn guests_fault_on_threads_with_any_stack_for_signals() {
    for engine in engines() {
        std::thread::scope(|scope| {
            scope.spawn(|| fault(&engine));
            scope.spawn(|| {
                let none =
                    libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
                let before = set_signal_stack(&none);
                fault(&engine);
                set_signal_stack(&before);
            });
            scope.spawn(|| {
                let mut own = vec![0_u8; 16 << 10];
                let address = own.as_mut_ptr().cast();
                let before =
                    set_signal_stack(&libc::stack_t { ss_sp: address, ss_flags: 0, ss_size: own.len() });
                fault(&engine);
                // It is still the embedder's, and not in use.
                let after = set_signal_stack(&before);
                assert_eq!((after.ss_sp, after.ss_flags), (address, 0));
            });
        });
    }
}

#[test]
fn guests_fault_on_threads_that_block_other_signals() {
    let change = |how, set: &libc::sigset_t| {
        // SAFETY: zeros are a value of this type; both are valid for the call.
        unsafe {
            let mut before: libc::sigset_t = std::mem::zeroed();
            assert_eq!(libc::pthread_sigmask(how, set, &raw mut before), 0);
            before
        }
    };
    for engine in engines() {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // SAFETY: zeros are a value of this type, which is then filled.
                let set = unsafe {
                    let mut set: libc::sigset_t = std::mem::zeroed();
                    libc::sigfillset(&raw mut set);
                    for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP] {
                        libc::sigdelset(&raw mut set, fault);
                    }
                    set
                };
                change(libc::SIG_SETMASK, &set);
                fault(&engine);
                let after = change(libc::SIG_SETMASK, &set);
                for signal in [libc::SIGUSR1, libc::SIGTERM, libc::SIGSEGV, libc::SIGFPE, libc::SIGILL] {
                    // SAFETY: it is a set.
                    let is_blocked = |set: &libc::sigset_t| unsafe { libc::sigismember(set, signal) };
                    assert_eq!(is_blocked(&after), is_blocked(&set), "signal {signal}");
                }
            });
        });
    }
}
