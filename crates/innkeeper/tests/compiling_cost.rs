//! What compiling takes is bounded: functions of every shape that makes compilers slow, at the sizes where they are still admitted, take no more than some
//! seconds of processor time; larger ones stay interpreted, with a reason in the statistics, and compute the same.
//!
//! One test alone, because the time is the process's.

mod counting_allocator;

use std::fs;

use counting_allocator::peak_of;
use innkeeper::{Budget, Config, Engine, Linker, Module, Store, Tiers};
use wasm_encoder::{
    BlockType, CodeSection, ExportKind, ExportSection, Function, FunctionSection, Instruction as I,
    InstructionSink, TypeSection, ValType,
};

/// A way to make functions that are costly to compile: by its name, what makes one of so many parts.
type Shape = (&'static str, fn(u32) -> Function);

/// Functions 0 and 1, of types 0 and 1, call nothing: () -> i32 and (i32, ...) -> (i32, ...) with [`WIDE`] of each.
const LEAF: u32 = 0;
const WIDE_LEAF: u32 = 1;
const WIDE: u32 = 500;

/// All shapes; each function is of type (i32) -> i32 and runs to its end.
const SHAPES: &[Shape] = &[
    ("operands across calls that make them", |n| {
        body(0, |f| {
            repeat(f, n, |f, _| f.call(LEAF));
            sum(f, n);
        })
    }),
    ("operands across two calls", |n| {
        body(0, |f| {
            repeat(f, n, |f, i| f.local_get(0).i32_const(i as i32).i32_add());
            f.call(LEAF).drop().call(LEAF).drop();
            sum(f, n);
        })
    }),
    ("operands across loads", |n| {
        body(0, |f| {
            repeat(f, n, |f, i| f.local_get(0).i32_const(i as i32).i32_mul().f64_convert_i32_s());
            repeat(f, n - 1, |f, _| f.f64_add());
            f.i32_trunc_sat_f64_s();
        })
    }),
    ("operands across conditionals", |n| {
        body(0, |f| {
            repeat(f, n / 2, |f, i| f.local_get(0).i32_const(i as i32).i32_add());
            repeat(f, n / 2, |f, _| f.local_get(0).if_(BlockType::Empty).call(LEAF).drop().end());
            sum(f, n / 2);
        })
    }),
    ("operands across conditionals without calls", |n| {
        body(0, |f| {
            repeat(f, n / 2, |f, i| f.local_get(0).i32_const(i as i32).i32_add());
            repeat(f, n / 2, |f, i| {
                f.local_get(0)
                    .i32_const(i as i32)
                    .i32_eq()
                    .if_(BlockType::Empty)
                    .i32_const(1)
                    .local_set(0)
                    .end()
            });
            sum(f, n / 2);
        })
    }),
    ("locals changed in conditionals", |n| {
        body(n / 2, |f| {
            repeat(f, n / 2, |f, i| {
                f.local_get(0).i32_const(i as i32).i32_eq().if_(BlockType::Empty);
                f.local_get(0).local_set(1 + i).end()
            });
            f.i32_const(0);
            repeat(f, n / 2, |f, i| f.local_get(1 + i).i32_add());
        })
    }),
    ("locals in nested loops", |n| {
        body(n / 4, |f| {
            repeat(f, n / 4, |f, _| f.loop_(BlockType::Empty));
            repeat(f, n / 4, |f, i| f.local_get(1 + i).i32_const(1).i32_add().local_set(1 + i));
            repeat(f, n / 4, |f, _| f.i32_const(0).br_if(0).end());
            f.local_get(1);
        })
    }),
    ("locals in loops side by side", |n| {
        body(n / 8, |f| {
            repeat(f, n / 8, |f, i| {
                f.loop_(BlockType::Empty).local_get(1 + i).i32_const(1).i32_add().local_set(1 + i);
                f.i32_const(0).br_if(0).end()
            });
            f.i32_const(0);
            repeat(f, n / 8, |f, i| f.local_get(1 + i).i32_add());
        })
    }),
    ("wide calls", |n| {
        body(0, |f| {
            repeat(f, WIDE, |f, _| f.local_get(0));
            repeat(f, n / WIDE, |f, _| f.call(WIDE_LEAF));
            sum(f, WIDE);
        })
    }),
    ("wide branches", |n| {
        body(0, |f| {
            f.block(BlockType::FunctionType(2));
            repeat(f, WIDE, |f, _| f.local_get(0));
            repeat(f, n / 16, |f, i| f.local_get(0).i32_const(i as i32).i32_eq().br_if(0));
            f.end();
            sum(f, WIDE);
        })
    }),
    ("tables of wide branches", |n| {
        body(0, |f| {
            f.block(BlockType::FunctionType(2));
            repeat(f, WIDE, |f, _| f.local_get(0));
            f.local_get(0).br_table(vec![0; (n / 16) as usize], 0);
            f.end();
            sum(f, WIDE);
        })
    }),
    ("long sums", |n| {
        body(0, |f| {
            f.local_get(0);
            repeat(f, n, |f, i| f.i32_const(i as i32).i32_add().local_get(0).i32_xor());
        })
    }),
    ("many calls", |n| {
        body(0, |f| {
            f.local_get(0);
            repeat(f, n, |f, _| f.call(LEAF).i32_add());
        })
    }),
    ("short blocks", |n| {
        body(0, |f| {
            f.block(BlockType::Empty);
            repeat(f, n * 3, |f, _| f.local_get(0).i32_eqz().br_if(0));
            f.end().local_get(0);
        })
    }),
    ("nested blocks", |n| {
        body(0, |f| {
            repeat(f, n, |f, _| f.block(BlockType::Empty));
            repeat(f, n, |f, i| {
                f.local_get(0).i32_const(i as i32).i32_eq().br_if((i % 7).min(n - 1 - i)).end()
            });
            f.local_get(0);
        })
    }),
    ("a large table of branches", |n| {
        body(0, |f| {
            repeat(f, n, |f, _| f.block(BlockType::Empty));
            f.local_get(0).br_table((0..n).collect::<Vec<u32>>(), 0);
            repeat(f, n, |f, i| f.end().i32_const(i as i32).local_set(0));
            f.local_get(0);
        })
    }),
];

fn body(locals: u32, make: impl FnOnce(&mut InstructionSink<'_>)) -> Function {
    let mut function = Function::new([(locals, ValType::I32)]);
    make(&mut function.instructions());
    function.instruction(&I::End);
    function
}

fn repeat<'f>(
    f: &mut InstructionSink<'f>,
    times: u32,
    mut make: impl for<'b> FnMut(&'b mut InstructionSink<'f>, u32) -> &'b mut InstructionSink<'f>,
) {
    for i in 0..times {
        make(f, i);
    }
}

/// Adds so many operands up.
fn sum(f: &mut InstructionSink<'_>, operands: u32) {
    repeat(f, operands.saturating_sub(1), |f, _| f.i32_add());
}

fn module(function: &Function) -> Vec<u8> {
    let wide = || std::iter::repeat_n(ValType::I32, WIDE as usize);
    let mut types = TypeSection::new();
    types.ty().function([], [ValType::I32]);
    types.ty().function(wide(), wide());
    types.ty().function([], wide());
    types.ty().function([ValType::I32], [ValType::I32]);
    let mut code = CodeSection::new();
    code.function(&body(0, |f| {
        f.i32_const(1);
    }));
    code.function(&body(0, |f| repeat(f, WIDE, |f, i| f.local_get(i))));
    code.function(function);
    let mut module = wasm_encoder::Module::new();
    module
        .section(&types)
        .section(FunctionSection::new().function(0).function(1).function(3))
        .section(ExportSection::new().export("run", ExportKind::Func, 2))
        .section(&code);
    module.finish()
}

fn run(tiers: Tiers, bytes: &[u8]) -> (i32, Engine) {
    run_within(None, tiers, bytes)
}

fn run_within(memory_bytes: Option<u64>, tiers: Tiers, bytes: &[u8]) -> (i32, Engine) {
    let mut config = Config::default();
    config.limits.memory_bytes = memory_bytes;
    // Calls are to stay calls.
    config.tuning.inlining.depth = 0;
    let engine = innkeeper::engine_with(config, tiers);
    let module = Module::new(&engine, bytes.to_vec()).unwrap();
    let mut store = Store::new(&engine, ()).unwrap();
    let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
    let func = instance.get_typed_func::<(i32,), i32>(&mut store, "run").unwrap();
    (func.call(&mut store, (5,)).unwrap(), engine)
}

/// What does not fit into the limit on memory stays interpreted, and no more is taken.
fn little_memory_is_enough() {
    const LIMIT_BYTES: u64 = 24 << 20;
    let mut refused = 0;
    for (name, make) in SHAPES {
        let bytes = module(&make(12_000));
        let ((result, engine), peak) = peak_of(|| run_within(Some(LIMIT_BYTES), Tiers::Compiled, &bytes));
        let most =
            LIMIT_BYTES as usize + Budget::FREE_BYTES as usize + BESIDE_COMPILING_BYTES + 4 * bytes.len();
        assert!(peak <= most, "{name}: {peak} bytes were in use, {:?}", engine.compile_statistics());
        let statistics = engine.compile_statistics();
        refused += usize::from(
            statistics.refused.contains_key("compiling it would take more memory than the limit allows"),
        );
        assert_eq!(result, run(Tiers::Interpreter, &bytes).0, "{name}");
    }
    assert!(refused >= 5, "{refused}");
}

/// What compiling takes is bounded by the bytes of a module, also where it has very many functions that need no bytes for what makes them costly.
fn functions_of_next_to_no_bytes() {
    const FUNCTIONS: u32 = 40_000;
    let wide = || std::iter::repeat_n(ValType::I32, WIDE as usize);
    // By their types, and how many locals they declare.
    let kinds = [("parameters", 0, 0), ("results", 1, 0), ("locals", 2, 25_000)];
    for (name, ty, locals) in kinds {
        let (mut types, mut functions, mut code) =
            (TypeSection::new(), FunctionSection::new(), CodeSection::new());
        types.ty().function(wide(), []);
        types.ty().function([], wide());
        types.ty().function([], []);
        for _ in 0..FUNCTIONS {
            functions.function(ty);
            code.function(&body(locals, |f| {
                f.unreachable();
            }));
        }
        let mut module = wasm_encoder::Module::new();
        module.section(&types).section(&functions).section(&code);
        let before = processor_time();
        let engine = innkeeper::engine_with(Config::default(), Tiers::Compiled);
        Module::new(&engine, module.finish()).unwrap();
        let seconds = processor_time() - before;
        assert!(seconds < MOST_SECONDS, "{name}: {seconds} s, {:?}", engine.compile_statistics());
        let refused = engine.compile_statistics().refused;
        assert!(
            refused.contains_key("the module's functions take too much compiling for its size"),
            "{name}: {refused:?}"
        );
    }
}

/// Processor time that the process has used, in seconds.
fn processor_time() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|field| field.parse::<f64>().unwrap()).sum();
    ticks / 100.0
}

/// Seconds that nothing takes which is admitted, in a development build: about three times as long as the slowest does.
const MOST_SECONDS: f64 = 4.0;

/// What an engine, a module and a store hold that are not charged for compiling.
const BESIDE_COMPILING_BYTES: usize = 2 << 20;

/// Functions of few parts are admitted, whatever their shape.
const ADMITTED_PARTS: u32 = 500;

#[test]
fn y5_whatever_is_compiled_takes_seconds_at_most_and_the_rest_stays_interpreted() {
    let mut refused = 0;
    for (name, make) in SHAPES {
        for parts in [ADMITTED_PARTS, 4800, 16_000] {
            let bytes = module(&make(parts));
            let before = processor_time();
            let ((result, engine), peak) = peak_of(|| run(Tiers::Compiled, &bytes));
            let seconds = processor_time() - before;
            assert!(
                seconds < MOST_SECONDS,
                "{name}, {parts} parts: {seconds} s, {:?}",
                engine.compile_statistics()
            );
            let statistics = engine.compile_statistics();
            let charged = engine.compiling_budget().peak_bytes() + Budget::FREE_BYTES;
            let most = usize::try_from(charged).unwrap() + BESIDE_COMPILING_BYTES + 4 * bytes.len();
            assert!(
                peak <= most,
                "{name}, {parts} parts: {peak} bytes were in use, {charged} charged, {statistics:?}"
            );
            assert!(parts > ADMITTED_PARTS || statistics.refused.is_empty(), "{name}: {statistics:?}");
            refused += usize::from(!statistics.refused.is_empty());
            assert_eq!(result, run(Tiers::Interpreter, &bytes).0, "{name}, {parts} parts");
        }
    }
    // The bounds are not so wide that nothing reaches them.
    assert!(refused >= 10, "{refused}");
    little_memory_is_enough();
    functions_of_next_to_no_bytes();
    // The reason is told.
    let (_, engine) = run(Tiers::Compiled, &module(&SHAPES[0].1(10_000)));
    let statistics = engine.compile_statistics();
    assert_eq!(statistics.refused.get("it has too many values alive at once"), Some(&1), "{statistics:?}");
}
