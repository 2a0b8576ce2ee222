//! Names in linkers.

use innkeeper::{
    ErrorKind, ExternType, Global, GlobalType, Instance, Linker, Mutability, Store, Trap, Val, ValType,
};

use super::{engines, module};

/// A caller of `host` `f`, a function without parameters that returns an `i32`.
const CALLER: &str = r#"(module (import "host" "f" (func $f (result i32))) (export "f" (func $f))
    (func (export "run") (result i32) (call $f)))"#;

fn run(linker: &Linker<()>) -> i32 {
    let mut store = Store::new(linker.engine(), ()).unwrap();
    let instance = linker.instantiate(&mut store, &module(linker.engine(), CALLER)).unwrap();
    instance.get_typed_func::<(), i32>(&store, "run").unwrap().call(&mut store, ()).unwrap()
}

#[test]
fn a_name_is_defined_once_unless_shadowing_is_allowed() {
    for engine in engines() {
        let mut linker = Linker::<()>::new(&engine);
        linker.func_wrap("host", "f", || 1).unwrap();
        let error = linker.func_wrap("host", "f", || 2).map(drop).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Link(_)));
        assert!(error.to_string().starts_with("`host` `f` is defined already"), "{error}");
        assert_eq!(run(&linker), 1, "what was refused has changed nothing");
        linker.allow_shadowing(true).func_wrap("host", "f", || 2).unwrap();
        assert_eq!(run(&linker), 2);
        linker.allow_shadowing(false);
        assert!(linker.func_wrap("host", "f", || 3).is_err());
    }
}

/// Whatever defines a name is refused where it is taken.
#[test]
fn every_way_to_define_a_name_is_refused_where_it_is_taken() {
    let [engine, _] = engines();
    let mut store = Store::new(&engine, ()).unwrap();
    let mut linker = Linker::new(&engine);
    let ty = GlobalType { content: ValType::I32, mutability: Mutability::Const };
    let global = Global::new(&mut store, ty, Val::I32(1)).unwrap();
    let exporter = module(&engine, r#"(module (func (export "f")))"#);
    let exports_f = Linker::new(&engine).instantiate(&mut store, &exporter).unwrap();
    let shared = innkeeper::MemoryType {
        sharing: innkeeper::Sharing::Shared,
        ..innkeeper::MemoryType::new(innkeeper::SizeRange { min: 1, max: Some(1) })
    };
    let shared = innkeeper::SharedMemory::new(&engine, shared).unwrap();
    linker.func_wrap("host", "f", || {}).unwrap().func_wrap("other", "f", || {}).unwrap();
    let ty = innkeeper::FuncType::new([], []);
    let refusals = [
        linker.func_wrap("host", "f", || {}).map(drop),
        linker.func_new("host", "f", ty, |_, _, _| Ok(())).map(drop),
        linker.define("host", "f", global).map(drop),
        linker.define_shared("host", "f", &shared).map(drop),
        linker.instance(&mut store, "host", exports_f).map(drop),
        linker.module(&mut store, "host", &exporter).map(drop),
        linker.alias("other", "f", "host", "f").map(drop),
        linker.alias_module("other", "host").map(drop),
    ];
    for (which, refused) in refusals.into_iter().enumerate() {
        assert!(refused.unwrap_err().to_string().contains("defined already"), "{which}");
    }
}

#[test]
fn an_alias_stands_for_the_same_function() {
    for engine in engines() {
        let mut linker = Linker::<()>::new(&engine);
        linker.func_wrap("env", "seven", || 7).unwrap().alias("env", "seven", "host", "f").unwrap();
        assert_eq!(run(&linker), 7);
        assert!(linker.alias("env", "eight", "host", "g").unwrap_err().to_string().contains("`env` `eight`"));
        let mut linker = Linker::<()>::new(&engine);
        linker.func_wrap("env", "f", || 8).unwrap().alias_module("env", "host").unwrap();
        assert_eq!(run(&linker), 8);
        assert!(linker.alias_module("nothing", "host").is_err());
    }
}

#[test]
fn get_and_iter_tell_what_is_defined() {
    for engine in engines() {
        let mut store = Store::new(&engine, ()).unwrap();
        let mut linker = Linker::new(&engine);
        linker.func_wrap("b", "f", || 1).unwrap().func_wrap("a", "g", || 2).unwrap();
        let found = linker.get(&mut store, "b", "f").unwrap().into_func().unwrap();
        assert_eq!(found.typed::<(), i32>(&store).unwrap().call(&mut store, ()).unwrap(), 1);
        assert!(linker.get(&mut store, "b", "h").is_none());
        let names: Vec<_> = linker.iter(&mut store).map(|(module, name, _)| (module, name)).collect();
        assert_eq!(names, [("a", "g"), ("b", "f")]);
        let other = innkeeper::engine(innkeeper::Config::default());
        let mut foreign = Store::new(&other, ()).unwrap();
        assert!(linker.get(&mut foreign, "b", "f").is_none());
        assert_eq!(linker.iter(&mut foreign).count(), 0);
    }
}

#[test]
fn the_exports_of_an_instance_are_imports_of_the_next() {
    for engine in engines() {
        let mut store = Store::new(&engine, ()).unwrap();
        let mut linker = Linker::new(&engine);
        let text = r#"(module (func (export "f") (result i32) (i32.const 5)))"#;
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        linker.instance(&mut store, "host", instance).unwrap();
        let caller = linker.instantiate(&mut store, &module(&engine, CALLER)).unwrap();
        let run = caller.get_typed_func::<(), i32>(&store, "run").unwrap();
        assert_eq!(run.call(&mut store, ()).unwrap(), 5);
    }
}

/// A library is initialised once, and a program gets an instance for each call.
#[test]
fn a_module_is_a_library_or_a_program() {
    let counts = r#"(global $calls (mut i32) (i32.const 0))
        (func (export "f") (result i32)
            (global.set $calls (i32.add (global.get $calls) (i32.const 1))) (global.get $calls))"#;
    for engine in engines() {
        let mut store = Store::new(&engine, ()).unwrap();
        let library =
            format!(r#"(module {counts} (func (export "_initialize") (global.set $calls (i32.const 10))))"#);
        let program = format!(r#"(module {counts} (func (export "_start")))"#);
        let mut results = Vec::new();
        for text in [library, program] {
            let mut linker = Linker::new(&engine);
            linker.module(&mut store, "host", &module(&engine, &text)).unwrap();
            let caller = linker.instantiate(&mut store, &module(&engine, CALLER)).unwrap();
            let run = caller.get_typed_func::<(), i32>(&store, "run").unwrap();
            results.extend([(); 2].map(|()| run.call(&mut store, ()).unwrap()));
        }
        assert_eq!(results, [11, 12, 1, 1]);
    }
}

#[test]
fn unknown_functions_can_be_traps_that_name_them() {
    let text = r#"(module (import "env" "missing" (func $missing (param i32 f64) (result i64)))
        (import "env" "known" (func $known (result i32)))
        (func (export "run") (drop (call $missing (i32.const 1) (f64.const 2))))
        (func (export "known") (result i32) (call $known)))"#;
    for engine in engines() {
        let module = module(&engine, text);
        let mut linker = Linker::<()>::new(&engine);
        linker.func_wrap("env", "known", || 3).unwrap();
        linker.define_unknown_imports_as_traps(&module).unwrap();
        let mut store = Store::new(&engine, ()).unwrap();
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let known = instance.get_typed_func::<(), i32>(&store, "known").unwrap();
        assert_eq!(known.call(&mut store, ()).unwrap(), 3);
        let error = instance.get_func(&store, "run").unwrap().call(&mut store, &[], &mut []).unwrap_err();
        assert!(error.to_string().contains("`env` `missing`"), "{error}");
    }
}

/// All that is missing is said at once, and a module with a thousand such imports gets a message that can be read.
#[test]
fn all_unknown_imports_are_named_together() {
    let [engine, _] = engines();
    let mut linker = Linker::<()>::new(&engine);
    linker.func_wrap("env", "known", || ()).unwrap();
    let text = r#"(module (import "env" "a" (func)) (import "env" "known" (func)) (import "m" "b" (memory 1)) (import "env" "a" (func)))"#;
    let module_of_three = module(&engine, text);
    let wanted = "unknown imports: the module wants `env` `a` (func () -> ()), `m` `b` (memory 1.. pages), which nobody provides";
    let mut store = Store::new(&engine, ()).unwrap();
    assert_eq!(linker.instantiate(&mut store, &module_of_three).unwrap_err().to_string(), wanted);
    assert_eq!(linker.instantiate_pre(&module_of_three).unwrap_err().to_string(), wanted);
    let many: String = (0..1000).map(|n| format!(r#"(import "env" "f{n}" (func))"#)).collect();
    let error =
        linker.instantiate_pre(&module(&engine, &format!("(module {many})"))).unwrap_err().to_string();
    assert!(error.contains("`env` `f19`") && !error.contains("`env` `f20`"), "{error}");
    assert!(error.ends_with(" and 980 more, which nobody provides"), "{error}");
}

#[test]
fn only_functions_can_be_traps() {
    let [engine, _] = engines();
    for import in [r#"(memory 1)"#, r#"(global i32)"#, r#"(table 1 funcref)"#, r#"(tag)"#] {
        let module = module(&engine, &format!(r#"(module (import "env" "x" {import}))"#));
        let error = Linker::<()>::new(&engine).define_unknown_imports_as_traps(&module).unwrap_err();
        assert!(error.to_string().starts_with("unknown import: the module wants `env` `x`"), "{error}");
    }
}

/// A function's type that is told apart by the group it was defined in, or that has a supertype.
#[test]
fn unknown_functions_of_recursive_types_are_linked() {
    let text = r#"(module
        (rec (type $a (sub (func (param (ref null $b)) (result i32)))) (type $b (struct (field (ref null $a)))))
        (import "env" "x" (func $x (type $a)))
        (func (export "run") (result i32) (call $x (ref.null $b))))"#;
    for engine in engines() {
        let module = module(&engine, text);
        let mut store = Store::new(&engine, ()).unwrap();
        let mut linker = Linker::new(&engine);
        linker.define_unknown_imports_as_defaults(&mut store, &module).unwrap();
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let run = instance.get_typed_func::<(), i32>(&store, "run").unwrap();
        assert_eq!(run.call(&mut store, ()).unwrap(), 0);
        let mut linker = Linker::<()>::new(&engine);
        linker.define_unknown_imports_as_traps(&module).unwrap();
        let instance = linker.instantiate(&mut store, &module).unwrap();
        assert!(instance.get_func(&store, "run").unwrap().call(&mut store, &[], &mut [Val::I32(0)]).is_err());
    }
}

#[test]
fn unknown_imports_can_be_zeros_and_nulls() {
    let text = r#"(module
        (import "env" "f" (func $f (result i32 externref)))
        (import "env" "m" (memory 2 3)) (import "env" "t" (table $t 4 funcref))
        (import "env" "g" (global $g (mut i64))) (import "env" "e" (tag (param i32)))
        (import "env" "s" (memory 1 2 shared))
        (func (export "run") (result i32 i32 i64)
            (if (result i32) (ref.is_null (drop (call $f))) (then (i32.const 1)) (else (i32.const 0)))
            (table.size $t) (global.get $g)))"#;
    let text = text.replace("(ref.is_null (drop (call $f)))", "(ref.is_null (call $g1))").replace(
        "(func (export",
        "(func $g1 (result externref) (local externref) (call $f) (local.set 0) (drop) (local.get 0)) (func (export",
    );
    for engine in engines() {
        let module = module(&engine, &text);
        let mut store = Store::new(&engine, ()).unwrap();
        let mut linker = Linker::new(&engine);
        linker.define_unknown_imports_as_defaults(&mut store, &module).unwrap();
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let run = instance.get_typed_func::<(), (i32, i32, i64)>(&store, "run").unwrap();
        assert_eq!(run.call(&mut store, ()).unwrap(), (1, 4, 0));
    }
}

#[test]
fn what_must_not_be_null_has_no_default() {
    let [engine, _] = engines();
    for import in ["(func (result (ref extern)))", "(global (ref extern))", "(table 1 (ref func))"] {
        let module = module(&engine, &format!(r#"(module (import "env" "x" {import}))"#));
        let mut store = Store::new(&engine, ()).unwrap();
        let mut linker = Linker::new(&engine);
        let error = linker.define_unknown_imports_as_defaults(&mut store, &module).unwrap_err();
        assert!(error.to_string().contains("there is no default for"), "{import}: {error}");
    }
}

#[test]
fn a_missing_import_and_one_of_another_type_are_named() {
    let [engine, _] = engines();
    let mut store = Store::new(&engine, ()).unwrap();
    let mut linker = Linker::<()>::new(&engine);
    let error = linker.instantiate(&mut store, &module(&engine, CALLER)).unwrap_err();
    assert!(error.to_string().contains("`host` `f` (func () -> (i32))"), "{error}");
    linker.func_wrap("host", "f", |_: i32| {}).unwrap();
    let error = linker.instantiate(&mut store, &module(&engine, CALLER)).unwrap_err();
    assert!(error.to_string().contains("but it is func (i32) -> ()"), "{error}");
    let error = Instance::new(&mut store, &module(&engine, CALLER), &[]).unwrap_err();
    assert!(error.to_string().contains("has 1 imports, but 0 were given"), "{error}");
}

#[test]
fn lookups_need_no_exclusive_borrow() {
    let [engine, _] = engines();
    let text = r#"(module (memory (export "m") 1) (table (export "t") 1 funcref) (global (export "g") i32 (i32.const 1))
        (tag (export "e")) (func (export "f") unreachable))"#;
    let (store, instance) = super::instance(&engine, text);
    let shared = &store;
    assert!(instance.get_memory(shared, "m").is_some() && instance.get_table(shared, "t").is_some());
    assert!(instance.get_global(shared, "g").is_some() && instance.get_tag(shared, "e").is_some());
    assert!(instance.get_func(shared, "f").is_some() && instance.get_func(shared, "m").is_none());
    assert_eq!(instance.exports(shared).len(), 5);
    let memory = instance.get_memory(shared, "m").unwrap();
    assert_eq!((memory.size(shared).unwrap(), memory.data(shared).unwrap().len()), (1, 65536));
    assert_eq!(instance.module(shared).unwrap().exports().count(), 5);
    let ty = instance.get_export(shared, "f").unwrap().ty(shared).unwrap();
    assert_eq!(ty, ExternType::Func(innkeeper::FuncType::new([], [])));
    let mut store = store;
    let f = instance.get_typed_func::<(), ()>(&store, "f").unwrap();
    assert_eq!(f.call(&mut store, ()).unwrap_err().trap(), Some(Trap::Unreachable));
}
