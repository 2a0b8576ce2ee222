//! What stores leave behind for those to come: nothing of theirs is ever seen by another one, and there are no more than the configuration says.

use std::sync::{Arc, Mutex};

use innkeeper::{
    Config, Engine, ErrorKind, Extern, InstancePre, Linker, Memory, MemoryType, Module, Pooling, RefType,
    Sharing, SizeRange, Store, Table, TableType, Tiers, Trap, Val,
};

const PAGE: usize = 65536;
const TIERS: [Tiers; 3] = [Tiers::Interpreter, Tiers::Compiled, Tiers::Auto];

fn engine(tiers: Tiers, pooling: Pooling) -> Engine {
    innkeeper::engine_with(Config { pooling, ..Config::default() }, tiers)
}

fn pre(engine: &Engine, text: &str) -> InstancePre<()> {
    let binary = innkeeper::to_binary(text.as_bytes()).unwrap();
    Linker::new(engine).instantiate_pre(&Module::new(engine, binary.as_ref()).unwrap()).unwrap()
}

/// The memory's bytes in a store of its own, which all are overwritten then, and those that it grows by.
fn look_and_spoil(pre: &InstancePre<()>, grow: u64) -> Vec<u8> {
    let mut store = Store::new(pre.module().engine(), ()).unwrap();
    let instance = pre.instantiate(&mut store).unwrap();
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    let seen = memory.data(&store).unwrap().to_vec();
    assert_eq!(memory.grow(&mut store, grow).unwrap(), (seen.len() / PAGE) as u64);
    let all = memory.data_mut(&mut store).unwrap();
    assert_eq!(all.len(), seen.len() + grow as usize * PAGE);
    assert!(all[seen.len()..].iter().all(|byte| *byte == 0), "what is new is zeros");
    all.fill(0xa5);
    seen
}

/// A module with so many pages and active segments.
fn with_data(pages: usize, segments: &[(usize, &str)]) -> String {
    let segments: String =
        segments.iter().map(|(at, text)| format!("(data (i32.const {at}) \"{text}\")")).collect();
    format!("(module (memory (export \"memory\") {pages}) {segments})")
}

/// What the memory of [`with_data`] begins with.
fn expected(pages: usize, segments: &[(usize, &str)]) -> Vec<u8> {
    let mut bytes = vec![0; pages * PAGE];
    for (at, text) in segments {
        bytes[*at..at + text.len()].copy_from_slice(text.as_bytes());
    }
    bytes
}

#[test]
fn every_instance_begins_with_what_its_module_says_whoever_had_the_memory_before() {
    let modules: [(usize, &[(usize, &str)]); 8] = [
        (1, &[]),
        (1, &[(0, "at the beginning")]),
        (2, &[(PAGE - 3, "across pages")]),
        (2, &[(2 * PAGE - 3, "end")]),
        // Later segments win; an empty one at the very end is in bounds.
        (1, &[(4000, "first and longer"), (4006, "second"), (PAGE, "")]),
        // Too far apart for an image.
        (40, &[(1, "one"), (39 * PAGE, "other")]),
        (3, &[(5000, "not at the beginning")]),
        (0, &[(0, "")]),
    ];
    for tiers in TIERS {
        for (idle_memories, resident_memory_bytes) in
            [(0, 0), (1, 0), (3, 0), (64, 0), (1, 4096), (3, 5 * 4096), (64, usize::MAX)]
        {
            let pooling = Pooling { idle_memories, resident_memory_bytes, ..Pooling::default() };
            let engine = engine(tiers, pooling);
            let all = modules.map(|(pages, segments)| pre(&engine, &with_data(pages, segments)));
            // Each after itself, and after every other one, shorter and longer.
            for (i, first) in all.iter().enumerate() {
                for (j, second) in all.iter().enumerate() {
                    for (pre, (pages, segments), grow) in
                        [(first, modules[i], 0), (first, modules[i], 3), (second, modules[j], 1)]
                    {
                        let seen = look_and_spoil(pre, grow);
                        assert!(seen == expected(pages, segments), "{pages} pages, {segments:?}");
                    }
                }
            }
        }
    }
}

/// Who writes to a page, and then may be gone before it was an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writer {
    Host,
    Guest,
    /// A start function that traps when it has written.
    FailedStart,
    /// An instantiation that fails at its last segment, behind the memory's end.
    FailedSegment,
}

/// Of the memory that these write to; it grows by one.
const PAGES: usize = 3;

/// Pages of the system.
const SYSTEM_PAGE: usize = 4096;

/// What the start function of an instance is to do.
#[derive(Default)]
struct Plan {
    /// Where it writes.
    addresses: Vec<usize>,
    traps: bool,
}

/// A module whose start function does what the plan says, with so much data.
fn planned(engine: &Engine, plan: &Arc<Mutex<Plan>>, segments: &[(usize, &str)]) -> InstancePre<()> {
    let segments: String =
        segments.iter().map(|(at, text)| format!("(data (i32.const {at}) \"{text}\")")).collect();
    let text = format!(
        r#"(module (import "host" "next" (func $next (result i32))) (import "host" "traps" (func $traps (result i32)))
        (memory (export "memory") {PAGES}) {segments} (start $start)
        (func $start (local $at i32)
            (drop (memory.grow (i32.const 1)))
            (block $done (loop $more
                (br_if $done (i32.lt_s (local.tee $at (call $next)) (i32.const 0)))
                (i32.store8 (local.get $at) (i32.const 165))
                (br $more)))
            (if (call $traps) (then unreachable))))"#
    );
    let module = Module::new(engine, innkeeper::to_binary(text.as_bytes()).unwrap().as_ref()).unwrap();
    let mut linker = Linker::new(engine);
    let (first, second) = (Arc::clone(plan), Arc::clone(plan));
    let next = move || first.lock().unwrap().addresses.pop().map_or(-1, |at| at as i32);
    linker.func_wrap("host", "next", next).unwrap();
    linker.func_wrap("host", "traps", move || i32::from(second.lock().unwrap().traps)).unwrap();
    linker.instantiate_pre(&module).unwrap()
}

/// Whoever has written to which pages, of zeros, of an image and of what was grown: the next one finds none of it, with all kept that was written to, a part of it, or nothing.
#[test]
fn every_page_that_was_written_to_is_as_at_first_again() {
    let data: &[(usize, &str)] =
        &[(PAGE + 4000, "an image, across pages of the system"), (PAGE + 40_000, "end")];
    let all = (PAGES + 1) * PAGE / SYSTEM_PAGE;
    // Each page alone, and then more ranges than the system tells at once, all, the first half and the last.
    let several = [
        (0..all).step_by(2).collect(),
        (0..all).step_by(3).collect(),
        (0..all).collect(),
        (0..all / 2).collect(),
        (all / 2..all).collect::<Vec<usize>>(),
    ];
    let choices: Vec<Vec<usize>> = (0..all).map(|page| vec![page]).chain(several).collect();
    for resident_memory_bytes in [0, 4096, 7 * 4096, 256 << 10, usize::MAX] {
        // One that waits, so that all have the same.
        let pooling = Pooling { idle_memories: 1, resident_memory_bytes, ..Pooling::default() };
        let engine = engine(Tiers::Compiled, pooling);
        for segments in [data, &[]] {
            let plan = Arc::new(Mutex::new(Plan::default()));
            let pre = planned(&engine, &plan, segments);
            for pages in &choices {
                for writer in [Writer::Host, Writer::Guest, Writer::FailedStart, Writer::FailedSegment] {
                    // It has no image, and so its memory is for those that have none.
                    if writer == Writer::FailedSegment && !segments.is_empty() {
                        continue;
                    }
                    write_to((&pre, &plan), pages, writer);
                    *plan.lock().unwrap() = Plan::default();
                    let mut store = Store::new(&engine, ()).unwrap();
                    let instance = pre.instantiate(&mut store).unwrap();
                    let memory = instance.get_memory(&mut store, "memory").unwrap();
                    let is_right = memory.data(&store).unwrap() == expected(PAGES + 1, segments);
                    assert!(is_right, "{writer:?} {pages:?} {segments:?} {resident_memory_bytes}");
                }
            }
        }
    }
}

fn write_to((pre, plan): (&InstancePre<()>, &Arc<Mutex<Plan>>), pages: &[usize], writer: Writer) {
    let addresses: Vec<usize> = pages.iter().map(|page| page * SYSTEM_PAGE + page).collect();
    let engine = pre.module().engine();
    let mut store = Store::new(engine, ()).unwrap();
    match writer {
        Writer::Host => {
            let instance = pre.instantiate(&mut store).unwrap();
            let memory = instance.get_memory(&mut store, "memory").unwrap();
            for at in addresses {
                memory.write(&mut store, at as u64, &[165]).unwrap();
            }
        }
        Writer::Guest | Writer::FailedStart => {
            let traps = writer == Writer::FailedStart;
            *plan.lock().unwrap() = Plan { addresses, traps };
            assert_eq!(pre.instantiate(&mut store).is_err(), traps);
        }
        Writer::FailedSegment => {
            let inside = addresses.iter().filter(|at| **at < PAGES * PAGE);
            let segments: String = inside.map(|at| format!("(data (i32.const {at}) \"\\a5\")")).collect();
            let end = PAGES * PAGE - 1;
            let text = format!("(module (memory {PAGES}) {segments} (data (i32.const {end}) \"out\"))");
            self::pre(engine, &text).instantiate(&mut store).unwrap_err();
        }
    }
}

#[test]
fn several_instances_at_once_change_their_own_memory_only() {
    let engine = engine(Tiers::Interpreter, Pooling::default());
    let pre = pre(&engine, &with_data(1, &[(100, "shared")]));
    for _ in 0..3 {
        let mut stores: Vec<_> = (0..5).map(|_| Store::new(&engine, ()).unwrap()).collect();
        let memories: Vec<_> = stores
            .iter_mut()
            .map(|store| {
                let instance = pre.instantiate(&mut *store).unwrap();
                instance.get_memory(store, "memory").unwrap()
            })
            .collect();
        for (i, (store, memory)) in stores.iter_mut().zip(&memories).enumerate() {
            memory.write(store, 100, &[i as u8]).unwrap();
        }
        for (i, (store, memory)) in stores.iter_mut().zip(&memories).enumerate() {
            let mut seen = [0; 6];
            memory.read(store, 100, &mut seen).unwrap();
            assert_eq!(seen, [i as u8, b'h', b'a', b'r', b'e', b'd']);
        }
    }
}

#[test]
fn a_segment_out_of_bounds_traps_at_every_instantiation() {
    let engine = engine(Tiers::Interpreter, Pooling::default());
    for at in [PAGE - 2, PAGE + 1, 0xffff_fff0] {
        let pre = pre(&engine, &with_data(1, &[(0, "in"), (at, "out")]));
        for _ in 0..4 {
            let mut store = Store::new(&engine, ()).unwrap();
            let error = pre.instantiate(&mut store).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Trap(Trap::MemoryOutOfBounds)), "{at}: {error}");
        }
    }
}

/// What a module writes into a table of others stays there though it cannot be instantiated, and with it its memory, to which nothing has been written yet.
#[test]
fn the_memory_of_an_instance_that_failed_at_a_table_has_no_data() {
    let engine = engine(Tiers::Interpreter, Pooling::default());
    let text = r#"(module (import "" "table" (table 2 funcref)) (memory (export "memory") 1)
        (data (i32.const 0) "data")
        (func $read (result i32) (i32.load (i32.const 0)))
        (elem (i32.const 0) func $read) (elem (i32.const 1) func $read $read))"#;
    let binary = innkeeper::to_binary(text.as_bytes()).unwrap();
    let module = Module::new(&engine, binary.as_ref()).unwrap();
    for _ in 0..3 {
        let mut store = Store::new(&engine, ()).unwrap();
        let size = SizeRange { min: 2, max: None };
        let ty = TableType { element: RefType::FUNCREF, index: innkeeper::IndexType::I32, size };
        let table = Table::new(&mut store, ty, Val::FuncRef(None)).unwrap();
        let error = innkeeper::Instance::new(&mut store, &module, &[Extern::Table(table)]).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Trap(Trap::TableOutOfBounds)), "{error}");
        let Some(Val::FuncRef(Some(read))) = table.get(&mut store, 0).unwrap() else {
            panic!("the first was written")
        };
        assert_eq!(read.typed::<(), i32>(&store).unwrap().call(&mut store, ()).unwrap(), 0);
    }
}

#[test]
fn there_are_as_many_stores_and_memories_as_the_configuration_says_and_not_one_more() {
    let pooling = Pooling { most_stores: Some(3), most_memories: Some(2), ..Pooling::default() };
    let engine = engine(Tiers::Auto, pooling);
    let pre = pre(&engine, &with_data(1, &[]));
    for _ in 0..3 {
        let mut stores: Vec<_> = (0..3).map(|_| Store::new(&engine, ()).unwrap()).collect();
        let error = Store::new(&engine, ()).err().unwrap();
        assert!(error.to_string().contains("Pooling::most_stores"), "{error}");
        for store in &mut stores[..2] {
            pre.instantiate(store).unwrap();
        }
        let error = pre.instantiate(&mut stores[2]).unwrap_err();
        assert!(error.to_string().contains("Pooling::most_memories"), "{error}");
        // Shared ones are not counted.
        let ty =
            MemoryType { sharing: Sharing::Shared, ..MemoryType::new(SizeRange { min: 1, max: Some(1) }) };
        Memory::new(&mut stores[2], ty).unwrap();
        stores.swap_remove(0);
        pre.instantiate(&mut stores[1]).unwrap();
    }
}

#[test]
fn a_store_is_not_stopped_by_who_had_its_record_before() {
    let text = r#"(module (func (export "run") (param i32) (result i32)
        (loop $again (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (local.get 0)))"#;
    for tiers in TIERS {
        let engine = engine(tiers, Pooling { idle_stores: 1, ..Pooling::default() });
        let pre = pre(&engine, text);
        let mut handles = Vec::new();
        for _ in 0..20 {
            let mut store = Store::new(&engine, ()).unwrap();
            let instance = pre.instantiate(&mut store).unwrap();
            let run = instance.get_typed_func::<i32, i32>(&mut store, "run").unwrap();
            assert_eq!(run.call(&mut store, 1000).unwrap(), 0);
            // Asked to stop, and gone before it has heard of it.
            store.interrupt_handle().interrupt();
            handles.push(store.interrupt_handle());
            drop(store);
            for handle in &handles {
                handle.interrupt();
            }
        }
    }
}

#[test]
fn a_store_that_is_reset_has_nothing_of_before() {
    let text = r#"(module (memory (export "memory") 1) (data (i32.const 0) "begin")
        (type $box (struct (field i32)))
        (table (export "table") 1 10 anyref) (global (export "global") (mut i32) (i32.const 7))
        (func (export "run") (result i32)
            (table.set (i32.const 0) (struct.new $box (i32.const 1)))
            (drop (memory.grow (i32.const 1))) (memory.fill (i32.const 0) (i32.const 255) (i32.const 131072))
            (global.set 0 (i32.add (global.get 0) (i32.const 1))) (global.get 0))
        (func (export "is_new") (result i32)
            (i32.and (i32.eqz (i32.sub (memory.size) (i32.const 1))) (ref.is_null (table.get (i32.const 0))))))"#;
    for tiers in TIERS {
        let engine = engine(tiers, Pooling::default());
        let pre = pre(&engine, text);
        let mut store = Store::new(&engine, ()).unwrap();
        let mut before = None;
        for _ in 0..10 {
            let instance = store.reset(&pre).unwrap();
            let is_new = instance.get_typed_func::<(), i32>(&mut store, "is_new").unwrap();
            assert_eq!(is_new.call(&mut store, ()).unwrap(), 1);
            let run = instance.get_typed_func::<(), i32>(&mut store, "run").unwrap();
            assert_eq!(run.call(&mut store, ()).unwrap(), 8);
            // What was held of the instance before is of no use.
            if let Some((old_run, old_memory, old_instance)) = before {
                let old_run: innkeeper::TypedFunc<(), i32> = old_run;
                let old_memory: Memory = old_memory;
                let old_instance: innkeeper::Instance = old_instance;
                assert!(old_run.call(&mut store, ()).is_err());
                assert!(old_memory.data(&store).is_err());
                assert!(old_instance.get_func(&mut store, "run").is_none());
            }
            let memory = instance.get_memory(&mut store, "memory").unwrap();
            before = Some((run, memory, instance));
        }
    }
}

/// How many memories of this process have an image of such a length. Where the image is only read, nobody's memory is.
fn mapped_images(len: usize) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let is_image = |line: &&str| {
        let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let number = |digits| usize::from_str_radix(digits, 16).unwrap();
        line.contains(" rw-p ") && line.contains("innkeeper-image") && number(end) - number(start) == len
    };
    maps.lines().filter(is_image).count()
}

#[test]
fn images_go_with_their_modules() {
    // No other test has one as long.
    const LEN: usize = 37 * 4096;
    let engine = engine(Tiers::Interpreter, Pooling::default());
    let large = pre(&engine, &with_data(3, &[(0, &"x".repeat(LEN))]));
    let stores: Vec<_> = (0..4)
        .map(|_| {
            let mut store = Store::new(&engine, ()).unwrap();
            large.instantiate(&mut store).unwrap();
            store
        })
        .collect();
    // The first was made before anybody knew that there would be more.
    assert_eq!(mapped_images(LEN), 3);
    drop(stores);
    assert_eq!(mapped_images(LEN), 3, "they wait for the next ones");
    drop(large);
    assert_eq!(mapped_images(LEN), 0);
}

/// A module with an image of so many pages of the system, which no other test has; and one instance of it, so that the next one has the image.
fn with_image(engine: &Engine, pages: usize) -> InstancePre<()> {
    let pre = pre(engine, &with_data(9, &[(0, &"x".repeat(pages * 4096))]));
    look_and_spoil(&pre, 0);
    pre
}

#[test]
fn there_are_as_many_images_as_the_configuration_says_and_other_modules_copy() {
    for (pooling, images) in [
        (Pooling { most_images: 2, ..Pooling::default() }, 2),
        (Pooling { most_images: 0, ..Pooling::default() }, 0),
        // The third is too large, the fourth is not.
        (Pooling { most_image_bytes: 41 * 4096 + 2 * 42 * 4096 + 4096, ..Pooling::default() }, 3),
    ] {
        let engine = engine(Tiers::Interpreter, pooling);
        let lens = [41, 42, 43, 42];
        let mut all: Vec<_> = lens.iter().map(|pages| with_image(&engine, *pages)).collect();
        let is_mapped = |pages: usize| mapped_images(pages * 4096);
        let mut stores: Vec<_> = all.iter().map(|_| Store::new(&engine, ()).unwrap()).collect();
        for (store, (pre, pages)) in stores.iter_mut().zip(all.iter().zip(lens)) {
            let instance = pre.instantiate(&mut *store).unwrap();
            let memory = instance.get_memory(&mut *store, "memory").unwrap();
            let seen = memory.data(&*store).unwrap();
            assert!(seen[..pages * 4096].iter().all(|byte| *byte == b'x'));
            assert!(seen[pages * 4096..].iter().all(|byte| *byte == 0));
        }
        assert_eq!(is_mapped(41) + is_mapped(42) + is_mapped(43), images);
        // Where there is room again, the next instance of one that had none has one.
        drop(stores);
        all.drain(..2);
        for pre in &all {
            look_and_spoil(pre, 1);
        }
        assert_eq!(is_mapped(43) + is_mapped(42), images.min(2));
    }
}

#[test]
fn handles_to_stores_that_are_gone_are_no_stores() {
    let engine = engine(Tiers::Auto, Pooling { most_stores: Some(1), ..Pooling::default() });
    let handles: Vec<_> = (0..100)
        .map(|_| {
            let store = Store::new(&engine, ()).unwrap();
            assert!(Store::new(&engine, ()).is_err(), "there is one");
            store.interrupt_handle()
        })
        .collect();
    handles.iter().for_each(|handle| handle.interrupt());
    assert!(handles.iter().all(|handle| handle.is_last()));
}
