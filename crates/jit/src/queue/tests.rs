//! The queue with a compiler that only notes what it was given, and an interpreter that only says how hot things are.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use innkeeper_engine::index::DefinedFuncIndex;
use innkeeper_engine::tier::{
    Baseline, CallSeen, Called, Code, FuncEntry, Hot, ModuleParts, NativeCode, NoTier, VmContext, parts,
};
use innkeeper_engine::{Config, Engine, Module};

use super::*;

/// How often functions and loops have come round, and which were told to become hot again.
#[derive(Default)]
struct Counted {
    heat: std::sync::Mutex<BTreeMap<(u32, bool), u64>>,
    cooled: std::sync::Mutex<Vec<u32>>,
    /// How often somebody has asked how hot something is.
    looks: AtomicUsize,
}

// SAFETY: no function of it is ever called.
#[allow(unsafe_code, reason = "the contract is unsafe to fulfil")]
unsafe impl Code for Counted {
    fn entries(&self) -> *const FuncEntry {
        std::ptr::null()
    }

    unsafe fn call_within(&self, _: *const FuncEntry, _: *mut VmContext, _: *mut u64) -> bool {
        false
    }
}

#[allow(unsafe_code, reason = "the contract has an unsafe method")]
impl Baseline for Counted {
    unsafe fn publish(&self, _: &Hot, _: u32, _: NativeCode) {}

    fn uses_since_hot(&self, what: &Hot) -> u64 {
        self.looks.fetch_add(1, Ordering::Relaxed);
        let key = (function_of(what).0, matches!(what, Hot::Loop(_)));
        self.heat.lock().unwrap().get(&key).copied().unwrap_or(0)
    }

    fn cool(&self, what: &Hot) {
        self.cooled.lock().unwrap().push(function_of(what).0);
    }

    fn called(&self) -> Vec<Called> {
        Vec::new()
    }

    fn was_called(&self, _: DefinedFuncIndex) -> bool {
        false
    }

    fn calls_seen(&self, _: &ModuleParts, _: DefinedFuncIndex) -> Vec<CallSeen> {
        Vec::new()
    }
}

/// A module of four functions, of which the last is long.
fn module() -> Module {
    let long = "(drop (i32.const 1))".repeat(500);
    let text = format!("(module (func) (func) (func) (func {long}))");
    // SAFETY: nothing here calls a function.
    #[allow(unsafe_code, reason = "its modules have no code")]
    let tier = unsafe { NoTier::new(|| Box::<Counted>::default()) };
    Module::new(&Engine::with_tier(Config::default(), tier), wat::parse_str(text).unwrap()).unwrap()
}

fn counted(module: &Module) -> &Counted {
    let code: &dyn Any = parts(module).code();
    code.downcast_ref().unwrap()
}

fn function(func: u32) -> Hot {
    Hot::Function(DefinedFuncIndex(func))
}

#[cfg(not(feature = "loom"))]
mod order {
    use std::collections::BTreeSet;

    use innkeeper_engine::tier::OsrEntry;

    use super::*;

    fn loop_of(func: u32) -> Hot {
        let func = DefinedFuncIndex(func);
        Hot::Loop(OsrEntry { func, position: 0, offset_bytes: 0, locals: [].into(), operands: [].into() })
    }

    fn waiting<'a>(jobs: impl IntoIterator<Item = (&'a Module, Hot)>) -> Waiting {
        let mut waiting = Waiting::default();
        for (module, what) in jobs {
            waiting.push(Job::new(Arc::downgrade(parts(module)), what));
        }
        waiting
    }

    fn set(module: &Module, heat: &[(Hot, u64)]) {
        let mut table = counted(module).heat.lock().unwrap();
        for (what, times) in heat {
            table.insert((function_of(what).0, matches!(what, Hot::Loop(_))), *times);
        }
    }

    /// What a thread does next, without the waiting.
    fn take_hottest(waiting: &mut Waiting) -> Option<Hot> {
        let job = waiting.take_next().or_else(|| {
            waiting.choose();
            waiting.take_next()
        });
        Some(job?.begin()?.1)
    }

    fn take_all(waiting: &mut Waiting) -> Vec<Hot> {
        let taken = std::iter::from_fn(|| take_hottest(waiting)).collect();
        assert!(waiting.is_empty());
        taken
    }

    #[test]
    fn the_hottest_comes_first() {
        let module = module();
        set(&module, &[(function(0), 5), (function(1), 500), (function(2), 50)]);
        let mut jobs = waiting((0..3).map(|func| (&module, function(func))));
        assert_eq!(take_all(&mut jobs), [function(1), function(2), function(0)]);
    }

    #[test]
    fn a_short_function_comes_before_a_long_one_that_is_as_hot() {
        let module = module();
        set(&module, &[(function(0), 50), (function(3), 60)]);
        let mut jobs = waiting([(&module, function(3)), (&module, function(0))]);
        assert_eq!(take_all(&mut jobs), [function(0), function(3)]);
    }

    #[test]
    fn what_gets_hotter_while_it_waits_overtakes() {
        let module = module();
        set(&module, &[(function(0), 3), (function(1), 2), (function(2), 1)]);
        let mut jobs = waiting((0..3).map(|func| (&module, function(func))));
        assert_eq!(take_hottest(&mut jobs).unwrap(), function(0));
        set(&module, &[(function(2), 100)]);
        assert_eq!(take_all(&mut jobs), [function(2), function(1)]);
    }

    #[test]
    fn a_loop_waits_for_its_function() {
        let module = module();
        set(&module, &[(function(0), 1), (loop_of(0), 1000), (function(1), 10)]);
        let mut jobs = waiting([loop_of(0), function(0), function(1)].map(|what| (&module, what)));
        assert_eq!(take_all(&mut jobs), [function(1), function(0), loop_of(0)]);
    }

    #[test]
    fn what_nobody_comes_to_while_it_waits_is_forgotten_and_can_get_hot_again() {
        let module = module();
        set(&module, &[(function(0), 2)]);
        let mut jobs = waiting((0..3).map(|func| (&module, function(func))));
        assert_eq!(take_hottest(&mut jobs).unwrap(), function(0));
        assert_eq!(take_all(&mut jobs), []);
        let cooled: BTreeSet<u32> = counted(&module).cooled.lock().unwrap().iter().copied().collect();
        assert_eq!(cooled, BTreeSet::from([1, 2]));
    }

    #[test]
    fn a_module_that_is_gone_is_not_compiled() {
        let (gone, module) = (module(), module());
        let mut jobs = waiting([(&gone, function(0)), (&module, function(1))]);
        drop(gone);
        assert_eq!(take_all(&mut jobs), [function(1)]);
    }

    #[test]
    fn loops_go_with_what_has_been_compiled_of_their_function() {
        let module = module();
        set(&module, &[(loop_of(0), 2), (loop_of(1), 1), (function(2), 1 << 40)]);
        let mut jobs = waiting([loop_of(0), loop_of(1), loop_of(0), function(2)].map(|what| (&module, what)));
        assert_eq!(take_hottest(&mut jobs).unwrap(), function(2));
        // One of them is chosen to be next, and the other waits.
        jobs.choose();
        let mut take = |func| jobs.take_loops_of(parts(&module), DefinedFuncIndex(func));
        let gone = take(0);
        assert_eq!((gone.len(), take(0).len()), (2, 0));
        gone.iter().for_each(Job::forget);
        assert_eq!(*counted(&module).cooled.lock().unwrap(), [0, 0]);
        assert_eq!(take_all(&mut jobs), [loop_of(1)]);
    }

    /// A module of very many tiny functions that all get hot.
    #[test]
    fn looking_for_what_comes_next_takes_a_time_in_proportion_to_what_waits() {
        let module = module();
        set(&module, &[(function(0), 1), (function(1), 2), (function(2), 3), (function(3), 4)]);
        let looks = |count: u32| {
            let mut jobs = waiting((0..count).map(|i| (&module, function(i % 4))));
            let before = counted(&module).looks.load(Ordering::Relaxed);
            assert_eq!(take_all(&mut jobs).len(), count as usize);
            counted(&module).looks.load(Ordering::Relaxed) - before
        };
        assert!(looks(64) <= 64 * 64);
        assert!(looks(1000) <= 1000 * 100);
        assert!(looks(20_000) <= 20_000 * 100);
    }
}

/// Every order in which threads that run guests and threads that compile can act on the queue.
#[cfg(feature = "loom")]
mod model {
    use innkeeper_engine::sync::loom;

    use super::*;

    /// What has been compiled, and a way to wait for it.
    #[derive(Default)]
    struct Done {
        compiled: Mutex<Vec<Hot>>,
        changed: Condvar,
    }

    fn queue(threads: usize) -> (Queue, Arc<Done>) {
        let done = Arc::new(Done::default());
        let noted = Arc::clone(&done);
        let queue = Queue::with(threads, move |_, what| {
            noted.compiled.lock().unwrap().push(what.clone());
            noted.changed.notify_all();
        });
        (queue, done)
    }

    fn explore(preemptions: usize, model: impl Fn(&Module) + Send + Sync + 'static) {
        let module = module();
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(preemptions);
        builder.check(move || model(&module));
    }

    /// Two guests say that something is hot, at any time; a compiler that slept through one of them would sleep for ever.
    #[test]
    fn whatever_is_hot_is_compiled_once_and_the_threads_end() {
        explore(2, |module| {
            let (queue, done) = queue(1);
            let queue = Arc::new(queue);
            let (weak, other) = (Arc::downgrade(parts(module)), Arc::clone(&queue));
            counted(module).heat.lock().unwrap().extend([((0, false), 1), ((1, false), 2)]);
            let guest = thread::spawn(move || other.push(weak, function(0)));
            queue.push(Arc::downgrade(parts(module)), function(1));
            let mut compiled = done.compiled.lock().unwrap();
            while compiled.len() < 2 {
                compiled = done.changed.wait(compiled).unwrap();
            }
            assert!(compiled.contains(&function(0)) && compiled.contains(&function(1)), "{compiled:?}");
            drop(compiled);
            guest.join().unwrap();
            // Dropped by the last guest: the compiler's thread ends, or the model does not.
            drop(queue);
        });
    }

    /// Two compilers and one queue.
    #[test]
    fn two_compilers_never_take_the_same() {
        explore(2, |module| {
            let (queue, done) = queue(2);
            counted(module).heat.lock().unwrap().extend([((0, false), 1), ((1, false), 2)]);
            for func in 0..2 {
                queue.push(Arc::downgrade(parts(module)), function(func));
            }
            let mut compiled = done.compiled.lock().unwrap();
            while compiled.len() < 2 {
                compiled = done.changed.wait(compiled).unwrap();
            }
            assert_ne!(compiled[0], compiled[1]);
            drop(compiled);
            drop(queue);
            // What nobody had cooled meanwhile stays asked for.
            assert!(counted(module).cooled.lock().unwrap().is_empty());
        });
    }

    /// The queue goes while something is being said to be hot.
    #[test]
    fn closing_leaves_nobody_waiting() {
        explore(3, |module| {
            let (queue, done) = queue(1);
            counted(module).heat.lock().unwrap().extend([((0, false), 1)]);
            queue.push(Arc::downgrade(parts(module)), function(0));
            drop(queue);
            assert!(done.compiled.lock().unwrap().len() <= 1);
        });
    }
}
