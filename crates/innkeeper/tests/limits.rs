//! Limits hold, and reaching one is an answer, not an accident. Case names are those of the sandbox's list.

use innkeeper::{
    Config, Engine, Error, ErrorKind, Instance, Linker, MemoryLayout, Module, Store, Tiers, Trap, Val,
};

fn instantiate(engine: &Engine, text: &str) -> Result<(Store<()>, Instance), Error> {
    let mut store = Store::new(engine, ())?;
    let module = Module::new(engine, innkeeper::to_binary(text.as_bytes())?.into_owned())?;
    let instance = Linker::new(engine).instantiate(&mut store, &module)?;
    Ok((store, instance))
}

fn call_i32(store: &mut Store<()>, instance: Instance, name: &str, params: &[Val]) -> Result<i32, Error> {
    let func = instance.get_func(&mut *store, name).unwrap();
    let mut results = [Val::I32(0)];
    func.call(store, params, &mut results)?;
    match results {
        [Val::I32(value)] => Ok(value),
        other => panic!("{other:?}"),
    }
}

const GROWER: &str = r#"(module (memory (export "memory") 1)
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "size") (result i32) (memory.size)))"#;

#[test]
fn l1_growing_beyond_the_stores_memory_is_refused_and_changes_nothing() {
    for layout in [MemoryLayout::Reserved, MemoryLayout::Exact] {
        let mut config = Config::default();
        config.limits.memory_bytes = Some(10 << 16);
        config.tuning.memory_layout = layout;
        let engine = innkeeper::engine(config);
        let (mut store, instance) = instantiate(&engine, GROWER).unwrap();
        assert_eq!(call_i32(&mut store, instance, "grow", &[Val::I32(9)]).unwrap(), 1);
        assert_eq!(call_i32(&mut store, instance, "grow", &[Val::I32(1)]).unwrap(), -1);
        assert_eq!(call_i32(&mut store, instance, "grow", &[Val::I32(-1)]).unwrap(), -1);
        assert_eq!(call_i32(&mut store, instance, "size", &[]).unwrap(), 10);
    }
}

#[test]
fn memory_contents_survive_growth_and_new_bytes_are_zero() {
    for layout in [MemoryLayout::Reserved, MemoryLayout::Exact, MemoryLayout::Auto] {
        let mut config = Config::default();
        config.tuning.memory_layout = layout;
        let engine = innkeeper::engine(config);
        let (mut store, instance) = instantiate(&engine, GROWER).unwrap();
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        memory.data_mut(&mut store).unwrap().fill(0xAB);
        for step in 1..40 {
            assert!(call_i32(&mut store, instance, "grow", &[Val::I32(step)]).unwrap() > 0);
        }
        let bytes = memory.data(&store).unwrap();
        assert_eq!(bytes.len(), (1 + (1..40).sum::<usize>()) << 16);
        assert!(bytes[..1 << 16].iter().all(|byte| *byte == 0xAB));
        assert!(bytes[1 << 16..].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn l1_a_memory_larger_than_the_limit_is_a_clear_error() {
    let mut config = Config::default();
    config.limits.memory_bytes = Some(1 << 20);
    let error = instantiate(&innkeeper::engine(config), "(module (memory 17))").err().unwrap();
    assert!(
        matches!(error.kind(), ErrorKind::Limit(text) if text.contains("Limits::memory_bytes")),
        "{error}"
    );
}

#[test]
fn l1_growing_a_64_bit_memory_beyond_the_stores_memory_is_refused_and_changes_nothing() {
    let text = r#"(module (memory i64 1)
        (func (export "grow") (param i64) (result i64) (memory.grow (local.get 0)))
        (func (export "size") (result i64) (memory.size)))"#;
    for layout in [MemoryLayout::Auto, MemoryLayout::Exact] {
        let mut config = Config::default();
        config.limits.memory_bytes = Some(10 << 16);
        config.tuning.memory_layout = layout;
        let (mut store, instance) = instantiate(&innkeeper::engine(config), text).unwrap();
        let grow = instance.get_typed_func::<(i64,), i64>(&mut store, "grow").unwrap();
        let size = instance.get_typed_func::<(), i64>(&mut store, "size").unwrap();
        assert_eq!(grow.call(&mut store, (9,)).unwrap(), 1);
        for delta in [1, 1 << 32, 1 << 48, i64::MAX, i64::MIN, -1] {
            assert_eq!(grow.call(&mut store, (delta,)).unwrap(), -1, "{delta}");
        }
        assert_eq!(size.call(&mut store, ()).unwrap(), 10);
    }
}

#[test]
fn l1_an_absurdly_large_64_bit_memory_is_a_clear_error() {
    for (text, memory_bytes) in [
        ("(module (memory i64 0x1_0000_0000_0000))", 64 << 30),
        ("(module (memory i64 0x1_0000_0000_0000))", u64::MAX),
        ("(module (memory i64 0x8000_0000_0000))", u64::MAX),
        ("(module (memory i64 0xffff_ffff_ffff_ffff (pagesize 1)))", u64::MAX),
        ("(module (memory i64 0x1_0000_0000_0000 0x1_0000_0000_0000 shared))", 64 << 30),
        ("(module (memory i64 0x1_0000_0000_0000 0x1_0000_0000_0000 shared))", u64::MAX),
    ] {
        let mut config = Config::default();
        config.limits.memory_bytes = Some(memory_bytes);
        let error = instantiate(&innkeeper::engine(config), text).err().unwrap();
        let clear = match error.kind() {
            ErrorKind::Limit(text) => text.contains("memory_bytes") || text.contains("address space"),
            ErrorKind::Os(_) => memory_bytes == u64::MAX,
            _ => false,
        };
        assert!(clear, "{text}: {error}");
    }
}

#[test]
fn l1_a_shared_memory_counts_in_every_store_and_reserves_no_more_than_the_limit() {
    let mut config = Config::default();
    config.limits.memory_bytes = Some(4 << 16);
    let engine = innkeeper::engine(config);
    let text = r#"(module (memory i64 1 0x1_0000_0000_0000 shared) (memory 2)
        (func (export "grow") (param i64) (result i64) (memory.grow 0 (local.get 0))))"#;
    let (mut store, instance) = instantiate(&engine, text).unwrap();
    let grow = instance.get_typed_func::<(i64,), i64>(&mut store, "grow").unwrap();
    assert_eq!(grow.call(&mut store, (2,)).unwrap(), -1);
    assert_eq!(grow.call(&mut store, (1,)).unwrap(), 1);
    assert_eq!(grow.call(&mut store, (1,)).unwrap(), -1);
}

#[test]
fn l2_a_64_bit_table_of_very_many_elements_is_refused() {
    for (limit, size) in
        [(10_000_000, "0x1_0000_0000"), (u64::MAX, "0xffff_ffff"), (u64::MAX, "0xffff_ffff_ffff_ffff")]
    {
        let mut config = Config::default();
        config.limits.table_elements = limit;
        let text = format!("(module (table i64 {size} funcref))");
        let error = instantiate(&innkeeper::engine(config), &text).err().unwrap();
        assert!(
            matches!(error.kind(), ErrorKind::Limit(text) if text.contains("Limits::table_elements")),
            "{error}"
        );
    }
    let text = r#"(module (table i64 1 externref)
        (func (export "grow") (param i64) (result i64) (table.grow (ref.null extern) (local.get 0))))"#;
    let (mut store, instance) = instantiate(&innkeeper::engine(Config::default()), text).unwrap();
    let grow = instance.get_typed_func::<(i64,), i64>(&mut store, "grow").unwrap();
    for delta in [-1, 1 << 32, (1 << 32) + 1, 10_000_000] {
        assert_eq!(grow.call(&mut store, (delta,)).unwrap(), -1, "{delta}");
    }
    assert_eq!(grow.call(&mut store, (5,)).unwrap(), 1);
}

#[test]
fn l2_a_table_of_four_billion_elements_is_refused() {
    let engine = innkeeper::engine(Config::default());
    let error = instantiate(&engine, "(module (table 0xffffffff funcref))").err().unwrap();
    assert!(
        matches!(error.kind(), ErrorKind::Limit(text) if text.contains("Limits::table_elements")),
        "{error}"
    );
    let text = r#"(module (table 1 externref)
        (func (export "grow") (param i32) (result i32) (table.grow (ref.null extern) (local.get 0))))"#;
    let (mut store, instance) = instantiate(&engine, text).unwrap();
    assert_eq!(call_i32(&mut store, instance, "grow", &[Val::I32(-1)]).unwrap(), -1);
    assert_eq!(call_i32(&mut store, instance, "grow", &[Val::I32(5)]).unwrap(), 1);
}

#[test]
fn l3_recursion_stops_at_the_guest_stacks_end() {
    let text = r#"(module (func $down (export "down") (param i32) (result i32)
        (if (result i32) (local.get 0)
            (then (i32.add (i32.const 1) (call $down (i32.sub (local.get 0) (i32.const 1)))))
            (else (i32.const 0)))))"#;
    let mut config = Config::default();
    config.limits.guest_stack_bytes = 1 << 20;
    config.limits.native_stack_bytes = 1 << 20;
    // In the first of them it may become machine code while it recurses.
    for tiers in [Tiers::Auto, Tiers::Interpreter, Tiers::Compiled] {
        let engine = innkeeper::engine_with(config.clone(), tiers);
        let (mut store, instance) = instantiate(&engine, text).unwrap();
        assert_eq!(call_i32(&mut store, instance, "down", &[Val::I32(10_000)]).unwrap(), 10_000);
        let error = call_i32(&mut store, instance, "down", &[Val::I32(1_000_000)]).unwrap_err();
        assert_eq!(error.trap(), Some(Trap::CallStackExhausted), "{tiers:?}");
        assert_eq!(call_i32(&mut store, instance, "down", &[Val::I32(10_000)]).unwrap(), 10_000);
    }
}

#[test]
fn l8_functions_with_very_many_locals_and_values_work() {
    let locals = "(local i64)".repeat(49_000);
    let sets: String =
        (0..49_000).step_by(997).map(|i| format!("(local.set {} (i64.const {i}))", i + 1)).collect();
    let sum: String = (0..49_000)
        .step_by(997)
        .map(|i| {
            format!(
                "(local.set 0 (i32.add (local.get 0) (i32.wrap_i64 (local.tee {0} (local.get {0})))))",
                i + 1
            )
        })
        .collect();
    let text = format!(
        "(module (func (export \"run\") (param i32) (result i32) {locals} {sets} {sum} (local.get 0)))"
    );
    let (mut store, instance) = instantiate(&innkeeper::engine(Config::default()), &text).unwrap();
    let expected: i32 = (0..49_000).step_by(997).sum();
    assert_eq!(call_i32(&mut store, instance, "run", &[Val::I32(1)]).unwrap(), expected + 1);
}

#[test]
fn l8_a_function_with_too_many_operands_is_an_error_when_called_not_a_crash() {
    let pushes = "(i32.const 1) (local.get 0) ".repeat(40_000);
    let drops = "drop ".repeat(79_999);
    let text = format!("(module (func (export \"run\") (param i32) (result i32) {pushes} {drops}))");
    let (mut store, instance) = instantiate(&innkeeper::engine(Config::default()), &text).unwrap();
    let error = call_i32(&mut store, instance, "run", &[Val::I32(1)]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Limit(text) if text.contains("65,536 slots")), "{error}");
}

#[test]
fn l8_deep_nesting_is_bounded_work() {
    // The text format's parser has a depth limit of its own, so the module is put together by hand.
    use wasm_encoder::{
        BlockType, CodeSection, ExportKind, ExportSection, Function, FunctionSection, TypeSection, ValType,
    };
    let mut body = Function::new([]);
    for _ in 0..200_000 {
        body.instructions().block(BlockType::Result(ValType::I32));
    }
    body.instructions().i32_const(7);
    for _ in 0..200_001 {
        body.instructions().end();
    }
    let mut types = TypeSection::new();
    types.ty().function([], [ValType::I32]);
    let mut module = wasm_encoder::Module::new();
    module
        .section(&types)
        .section(FunctionSection::new().function(0))
        .section(ExportSection::new().export("run", ExportKind::Func, 0))
        .section(CodeSection::new().function(&body));
    let engine = innkeeper::engine(Config::default());
    let module = Module::new(&engine, module.finish()).unwrap();
    let mut store = Store::new(&engine, ()).unwrap();
    let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
    assert_eq!(call_i32(&mut store, instance, "run", &[]).unwrap(), 7);
}

#[test]
fn l12_a_store_is_refused_where_there_is_no_address_space_for_its_stack() {
    let mut config = Config::default();
    config.limits.guest_stack_bytes = usize::MAX / 2;
    assert!(Store::new(&innkeeper::engine(config), ()).is_err());
}
