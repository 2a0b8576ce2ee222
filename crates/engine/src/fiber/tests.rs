//! Fibers by themselves: what goes from one stack to the other, and that nothing is lost on the way.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

#[cfg(target_arch = "x86_64")]
use super::switch::enter_host;
use super::switch::{HAS_STACKS, Job, Progress, Switch, Wake, enter, on_host, resume, suspend};
use super::{FiberStack, StackPool, StackShape};
#[cfg(target_arch = "x86_64")]
use crate::vmctx::{HostEntry, VmContext, VmStore};

fn pool() -> Arc<StackPool> {
    StackPool::for_tests()
}

/// A stack, and a switch that begins at its top.
fn fiber() -> (FiberStack, Box<Switch>) {
    let stack = pool().take().unwrap();
    let switch = Box::new(Switch::new(stack.top()));
    (stack, switch)
}

fn here() -> usize {
    let local = 0_u8;
    std::ptr::from_ref(std::hint::black_box(&local)) as usize
}

fn is_on(stack: &FiberStack) -> bool {
    !HAS_STACKS || (stack.native_base()..stack.top()).contains(&here())
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    panic.downcast_ref::<&str>().copied().unwrap_or("another one")
}

#[test]
fn what_is_entered_runs_on_the_fibers_stack_and_calls_on_the_hosts() {
    let (stack, mut switch) = fiber();
    let at: *mut Switch = &raw mut *switch;
    // SAFETY: the fiber is not running, and has room; what is done on the host's stack is asked for by the fiber that runs.
    let (entered, called, entered_again) = unsafe {
        enter(at, || {
            let called = on_host(at, || !is_on(&stack) || !HAS_STACKS);
            let again = on_host(at, || enter(at, || (is_on(&stack), on_host(at, || is_on(&stack)))));
            (is_on(&stack), called, again)
        })
    };
    assert!(entered && called && entered_again.0);
    assert!(!entered_again.1 || !HAS_STACKS);
    assert_eq!((switch.fiber, switch.host), (stack.top(), 0), "both as before");
}

#[test]
fn panics_go_on_on_the_other_side() {
    let (stack, mut switch) = fiber();
    let at: *mut Switch = &raw mut *switch;
    // SAFETY: as above.
    let entered = catch_unwind(AssertUnwindSafe(|| unsafe { enter(at, || panic!("on the fiber")) }));
    assert_eq!(entered.map_err(|panic| message(&*panic).to_owned()), Err::<(), _>("on the fiber".to_owned()));

    struct Left<'a>(&'a Cell<bool>);
    impl Drop for Left<'_> {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let is_left = Cell::new(false);
    let entered = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: as above.
        unsafe {
            enter(at, || {
                let _left = Left(&is_left);
                on_host(at, || panic!("on the host"));
            });
        }
    }));
    assert_eq!(entered.map_err(|panic| message(&*panic).to_owned()), Err("on the host".to_owned()));
    assert!(is_left.get(), "frames of the fiber are unwound");
    assert_eq!((switch.fiber, switch.host), (stack.top(), 0));
}

/// What a test resumes: it counts how often, until it is cancelled.
fn count(at: *mut Switch, most: u32) -> u32 {
    for resumed in 0..most {
        // SAFETY: called on the fiber that `at` is the switch of, by tests that expect it.
        if unsafe { suspend(at) } == Wake::Cancel {
            return resumed;
        }
    }
    most
}

/// An address that goes to another thread together with what it is of.
struct Moved<T>(T);

// SAFETY: in tests, of what nobody uses meanwhile.
unsafe impl<T> Send for Moved<T> {}

#[test]
fn a_fiber_that_waits_is_resumed_on_other_threads() {
    if !HAS_STACKS {
        return;
    }
    let (stack, mut switch) = fiber();
    let at: *mut Switch = &raw mut *switch;
    let mut job = Job::new(|| count(at, 100));
    // SAFETY: the fiber is not running; the job stays where it is until the fiber has finished.
    assert_eq!(unsafe { Job::enter(&raw mut job, at) }, Progress::Suspended);
    for resumed in 1..=100 {
        assert!(switch.fiber < stack.top() && switch.host == 0, "the fiber's frames are there");
        assert!(job.take_result().is_none());
        let moved = Moved(at);
        // SAFETY: it is suspended.
        let resume = move || unsafe { resume({ &moved }.0, Wake::GoOn) };
        let progress = std::thread::spawn(resume).join().unwrap();
        assert_eq!(progress == Progress::Finished, resumed == 100);
    }
    assert_eq!(job.take_result().unwrap().unwrap(), 100);
    assert_eq!((switch.fiber, switch.host), (stack.top(), 0));
}

#[test]
fn a_fiber_that_is_cancelled_leaves_its_frames() {
    if !HAS_STACKS {
        return;
    }
    for resumed in 0..5 {
        let (stack, mut switch) = fiber();
        let at: *mut Switch = &raw mut *switch;
        let owned = Arc::new(());
        let held = Arc::clone(&owned);
        let mut job = Job::new(move || {
            let _held = held;
            // Also over a call on the host's stack, and another entry.
            // SAFETY: as in the first test; the inner one does not suspend.
            count(at, 10) + unsafe { on_host(at, || enter(at, || 100)) }
        });
        // SAFETY: as above.
        unsafe {
            assert_eq!(Job::enter(&raw mut job, at), Progress::Suspended);
            for _ in 0..resumed {
                assert_eq!(resume(at, Wake::GoOn), Progress::Suspended);
            }
            assert_eq!(Arc::strong_count(&owned), 2);
            assert_eq!(resume(at, Wake::Cancel), Progress::Finished);
        }
        assert_eq!(job.take_result().unwrap().unwrap(), resumed + 100);
        assert_eq!((Arc::strong_count(&owned), switch.fiber), (1, stack.top()));
    }
}

/// Two fibers take turns, each with its own frames.
#[test]
fn fibers_take_turns() {
    if !HAS_STACKS {
        return;
    }
    let turns = Cell::new(0_u32);
    let turns = &turns;
    let (_first_stack, mut first) = fiber();
    let (_second_stack, mut second) = fiber();
    let take_turns = |at: *mut Switch, remainder: u32| {
        move || {
            for _ in 0..50 {
                assert_eq!(turns.get() % 2, remainder);
                turns.set(turns.get() + 1);
                // SAFETY: called on the fiber that `at` is the switch of.
                unsafe { suspend(at) };
            }
        }
    };
    let (first, second) = (&raw mut *first, &raw mut *second);
    let (mut even, mut odd) = (Job::new(take_turns(first, 0)), Job::new(take_turns(second, 1)));
    // SAFETY: as above.
    unsafe {
        Job::enter(&raw mut even, first);
        Job::enter(&raw mut odd, second);
        while resume(first, Wake::GoOn) == Progress::Suspended {
            resume(second, Wake::GoOn);
        }
        resume(second, Wake::GoOn);
    }
    assert_eq!(turns.get(), 100);
    assert!(even.take_result().unwrap().is_ok() && odd.take_result().unwrap().is_ok());
}

/// Whether a word is in what a fiber uses of its stack where it was left.
fn is_seen(switch: *mut Switch, stack: &FiberStack, wanted: usize) -> bool {
    // SAFETY: the fiber has been left, and what it uses of its stack is mapped.
    let from = unsafe { (*switch).fiber };
    (from..stack.top()).step_by(8).any(|word| {
        // SAFETY: as above.
        let found = unsafe { (word as *const usize).read_volatile() };
        found == wanted
    })
}

/// What compiled code holds in registers while it calls the host is found by who scans the fiber's stack, wherever that happens.
#[cfg(target_arch = "x86_64")]
#[test]
fn registers_are_seen_from_any_thread() {
    const HELD: usize = 0x1234_5678_9abc_def0;
    let (stack, mut switch) = fiber();
    let at: *mut Switch = &raw mut *switch;
    struct Seen<'a>(*mut Switch, &'a FiberStack, bool);
    let mut seen = Seen(at, &stack, false);
    unsafe extern "sysv64" fn look(seen: *mut Seen<'_>) {
        // SAFETY: the test's, which waits.
        let Seen(at, stack, found) = unsafe { &mut *seen };
        let moved = Moved(*at);
        // SAFETY: the fiber waits for the host.
        unsafe {
            on_host(*at, || {
                std::thread::scope(|scope| {
                    let look = move || is_seen({ &moved }.0, stack, HELD);
                    *found = scope.spawn(look).join().unwrap();
                });
            });
        }
    }
    // SAFETY: as above. The register keeps its value over the call, as its convention says, and is nowhere else.
    unsafe {
        enter(at, || {
            std::arch::asm!(
                "mov r12, {low:r}",
                "shl r12, 32",
                "or r12, {high}",
                "call {look}",
                "shr r12, 63",
                low = in(reg) HELD >> 32,
                high = in(reg) HELD & 0xffff_ffff,
                look = in(reg) look as *const (),
                in("rdi") &raw mut seen,
                out("r12") _,
                clobber_abi("sysv64"),
            );
        });
    }
    assert!(seen.2);
}

/// So is what it holds in any register while it calls a function of the host.
#[cfg(target_arch = "x86_64")]
#[test]
fn registers_are_seen_while_a_function_of_the_host_runs() {
    const HELD: usize = 0x1234_5678_9abc_def0;
    let (stack, _) = fiber();
    struct Seen<'a>(&'a FiberStack, [bool; 4]);
    let mut seen = Seen(&stack, [false; 4]);
    unsafe extern "sysv64" fn look(
        _: *mut VmContext,
        _: *const HostEntry,
        slots: *mut u64,
        vm: *mut VmStore,
    ) -> u32 {
        // SAFETY: the test's, which waits.
        let Seen(stack, found) = unsafe { &mut *slots.cast::<Seen<'_>>() };
        // SAFETY: as above.
        let switch = unsafe { &raw mut (*vm).fiber.switch };
        *found = [0, 1, 2, 3].map(|i| is_seen(switch, stack, HELD + i));
        0
    }
    let (mut vm, mut entry) = (Box::<VmStore>::new_zeroed(), Box::<HostEntry>::new_zeroed());
    let (vm, entry) = (vm.as_mut_ptr(), entry.as_mut_ptr());
    // SAFETY: as above; of the two records nothing else is looked at. The registers keep their values over the call, as its convention says, and they are nowhere else.
    unsafe {
        (&raw mut (*vm).fiber.switch).write(Switch::new(stack.top()));
        (&raw mut (*entry).call).write(look);
        enter(&raw mut (*vm).fiber.switch, || {
            std::arch::asm!(
                "push rbx",
                "push rbx",
                "mov rbx, {low:r}",
                "shl rbx, 32",
                "or rbx, {high}",
                "lea r12, [rbx + 1]",
                "lea r13, [rbx + 2]",
                "lea r14, [rbx + 3]",
                "call {call}",
                "pop rbx",
                "pop rbx",
                low = in(reg) HELD >> 32,
                high = in(reg) HELD & 0xffff_ffff,
                call = sym enter_host,
                in("rdi") 0,
                in("rsi") entry,
                in("rdx") &raw mut seen,
                in("rcx") vm,
                out("r12") _,
                out("r13") _,
                out("r14") _,
                clobber_abi("sysv64"),
            );
        });
    }
    assert_eq!(seen.1, [true; 4]);
}

/// Whoever walks the stack from a call on the host's stack sees the frames of the host, also where the fiber was resumed by another one than has entered it.
#[test]
fn backtraces_from_the_host_are_of_the_host() {
    if !HAS_STACKS {
        return;
    }
    let (_stack, mut switch) = fiber();
    let at: *mut Switch = &raw mut *switch;
    let mut job = Job::new(|| {
        count(at, 1);
        // SAFETY: as above.
        unsafe { on_host(at, || std::backtrace::Backtrace::force_capture().to_string()) }
    });
    // SAFETY: as above; it is gone when the fiber is resumed.
    std::thread::scope(|scope| {
        let moved = Moved((&raw mut job, at));
        let enter = move || {
            let (job, at) = { &moved }.0;
            // SAFETY: as above.
            unsafe { Job::enter(job, at) }
        };
        scope.spawn(enter).join().unwrap();
    });
    #[inline(never)]
    fn resumed_by_this_function(at: *mut Switch) -> Progress {
        // SAFETY: it is suspended.
        let progress = unsafe { resume(at, Wake::GoOn) };
        std::hint::black_box(progress)
    }
    assert_eq!(resumed_by_this_function(at), Progress::Finished);
    let backtrace = job.take_result().unwrap().unwrap();
    assert!(backtrace.contains("resumed_by_this_function"), "{backtrace}");
}

#[test]
fn stacks_are_used_again_and_lie_side_by_side() {
    let pool = pool();
    let first = pool.take().unwrap();
    let base = first.base();
    drop(first);
    let stacks: Vec<FiberStack> = (0..300).map(|_| pool.take().unwrap()).collect();
    assert_eq!(stacks[0].base(), base);
    let mut ranges: Vec<(usize, usize)> =
        stacks.iter().map(|stack| (stack.base() as usize, stack.top())).collect();
    ranges.sort_unstable();
    assert!(ranges.is_sorted_by(|a, b| a.1 <= b.0), "none overlaps another");
    let neighbours = ranges.windows(2).filter(|pair| pair[0].1 == pair[1].0).count();
    assert!(neighbours > 280, "{neighbours} of 300 lie beside another one");
    for stack in &stacks {
        // SAFETY: the first slot, the last one, and the native stack's first and last word are the fiber's.
        unsafe {
            stack.base().write_volatile(1);
            stack.slots_end().sub(1).write_volatile(2);
            (stack.native_base() as *mut u64).write_volatile(3);
            ((stack.top() - 8) as *mut u64).write_volatile(4);
        }
    }
}

#[test]
fn what_was_used_much_is_given_back_to_the_system() {
    let pool = Arc::new(StackPool::new(StackShape::new(1 << 20, 1 << 20), 8));
    let mut stack = pool.take().unwrap();
    let (base, top) = (stack.base(), stack.top() as *mut u64);
    // SAFETY: both are of the fiber, also after it is taken again: it is the pool's only one.
    unsafe {
        base.add(60_000).write_volatile(5);
        top.sub(60_000).write_volatile(6);
        stack.set_touched(1 << 20, 1 << 20);
        drop(stack);
        let _again = pool.take().unwrap();
        assert_eq!(base.add(60_000).read_volatile(), 0);
        assert_eq!(top.sub(60_000).read_volatile(), 0);
    }
}
