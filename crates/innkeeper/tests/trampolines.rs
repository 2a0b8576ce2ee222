//! The code between compiled functions and all others, for functions of very many values: it is made beside what calls them, never while a guest waits, and where it is refused, the caller
//! stays interpreted.

use innkeeper::{Budget, Config, Engine, FuncType, Linker, Module, Store, Tiers, Val, ValType};

/// Parameters and results of the functions that are called.
const VALUES: usize = 400;

/// `run(way)` calls, in one of [`WAYS`] ways, a function that gives its last parameter in each of its results, and adds up the first and the last of them.
fn module(engine: &Engine) -> Module {
    let values = "i32 ".repeat(VALUES);
    let args = "(local.get 0)".repeat(VALUES);
    let keep_two = format!("(local.set 1) {} (local.get 1) i32.add", "drop ".repeat(VALUES - 2));
    // More locals than compiled functions have.
    let locals = format!("(local {})", "i32 ".repeat(40_000));
    let results = format!("(local.get {})", VALUES - 1).repeat(VALUES);
    let indirect = |at: u32| format!("(call_indirect (type $wide) (i32.const {at}))");
    let ways = ["(call $host)".to_owned(), "(call $guest)".to_owned(), indirect(0), indirect(1)];
    assert_eq!(ways.len(), WAYS);
    let functions: String = (0..)
        .zip(ways)
        .map(|(i, call)| {
            format!(
                "(func (export \"run{i}\") (param i32) (result i32) (local i32) {args} {call} {keep_two})"
            )
        })
        .collect();
    let text = format!(
        "(module (type $wide (func (param {values}) (result {values})))
          (import \"host\" \"wide\" (func $host (type $wide)))
          (table funcref (elem $host $guest))
          (func $guest (type $wide) {locals} {results}) {functions})"
    );
    Module::new(engine, wat::parse_str(text).unwrap()).unwrap()
}

const WAYS: usize = 4;

fn call_all(engine: &Engine, module: &Module) {
    let mut linker = Linker::new(engine);
    let ty = FuncType::new([ValType::I32; VALUES], [ValType::I32; VALUES]);
    linker
        .func_new("host", "wide", ty, |_, params, results| {
            results.fill(params[VALUES - 1]);
            Ok(())
        })
        .unwrap();
    let mut store = Store::new(engine, ()).unwrap();
    let instance = linker.instantiate(&mut store, module).unwrap();
    for way in 0..WAYS {
        let run = instance.get_func(&mut store, &format!("run{way}")).unwrap();
        let mut results = [Val::I32(0)];
        run.call(&mut store, &[Val::I32(7)], &mut results).unwrap();
        assert!(matches!(results[0], Val::I32(14)), "{way}: {results:?}");
    }
}

/// What is made once a guest is under way is made without any memory for it here.
#[test]
fn a_guest_never_waits_for_a_trampoline_of_very_many_values() {
    let engine = innkeeper::engine_with(Config::default(), Tiers::Compiled);
    let module = module(&engine);
    let compiled = engine.compile_statistics().compiled;
    assert!(compiled >= WAYS, "{:?}", engine.compile_statistics());
    engine.charge_compiling_to(&Budget::new(Some(1), "nothing"));
    call_all(&engine, &module);
}

/// Whatever the limit allows: the callers, their trampolines, both or nothing.
#[test]
fn what_calls_functions_whose_trampolines_are_refused_stays_interpreted() {
    let mut compiled = std::collections::BTreeSet::new();
    for limit_bytes in (0..12).map(|step| (1 << 20) + step * (512 << 10)) {
        let mut config = Config::default();
        config.limits.memory_bytes = Some(limit_bytes);
        let engine = innkeeper::engine_with(config, Tiers::Compiled);
        let module = module(&engine);
        let statistics = engine.compile_statistics();
        let refused = statistics.refused.get("compiling it would take more memory than the limit allows");
        assert_eq!(refused.copied().unwrap_or(0) + statistics.compiled, WAYS, "{statistics:?}");
        compiled.insert(statistics.compiled);
        call_all(&engine, &module);
    }
    assert!(compiled.contains(&0) && compiled.contains(&WAYS), "{compiled:?}");
}
