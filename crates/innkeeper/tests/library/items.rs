//! Memories, tables and globals, as the host reaches them.

use innkeeper::{
    Caller, Extern, ExternRef, Func, Global, GlobalType, Linker, Memory, MemoryType, Mutability, RefType,
    SizeRange, Store, Table, TableType, Val, ValType,
};

use super::{engines, instance, module};

#[test]
fn a_memory_is_read_written_and_grown() {
    for engine in engines() {
        let text = r#"(module (memory (export "m") 1 3)
            (func (export "load") (param i32) (result i32) (i32.load (local.get 0))))"#;
        let (mut store, instance) = instance(&engine, text);
        let memory = instance.get_memory(&store, "m").unwrap();
        assert_eq!((memory.size(&store).unwrap(), memory.data_size(&store).unwrap()), (1, 65536));
        memory.write(&mut store, 65532, &7_u32.to_le_bytes()).unwrap();
        let load = instance.get_typed_func::<i32, i32>(&store, "load").unwrap();
        assert_eq!(load.call(&mut store, 65532).unwrap(), 7);
        assert!(memory.write(&mut store, 65533, &[0; 4]).is_err());
        assert_eq!(memory.grow(&mut store, 2).unwrap(), 1);
        assert_eq!(memory.size(&store).unwrap(), 3);
        assert!(memory.grow(&mut store, 1).is_err());
        memory.data_mut(&mut store).unwrap()[131_072..131_076].copy_from_slice(&9_u32.to_le_bytes());
        assert_eq!(load.call(&mut store, 131_072).unwrap(), 9);
        let mut bytes = [0; 4];
        memory.read(&store, 131_072, &mut bytes).unwrap();
        assert_eq!(bytes, [9, 0, 0, 0]);
    }
}

#[test]
fn a_host_function_has_memory_and_data_together() {
    let text = r#"(module (import "host" "log" (func $log (param i32 i32))) (memory (export "memory") 1)
        (data (i32.const 8) "hello") (func (export "run") (call $log (i32.const 8) (i32.const 5))))"#;
    for engine in engines() {
        let mut linker = Linker::<Vec<String>>::new(&engine);
        linker
            .func_wrap("host", "log", |mut caller: Caller<'_, Vec<String>>, start: u32, len: u32| {
                let memory = caller.get_export("memory").and_then(Extern::into_memory).unwrap();
                let (bytes, lines) = memory.data_and_store_mut(&mut caller)?;
                let text = &bytes[start as usize..][..len as usize];
                lines.push(std::str::from_utf8(text)?.to_owned());
                bytes[0] = 1;
                Ok::<_, innkeeper::Error>(())
            })
            .unwrap();
        let mut store = Store::new(&engine, Vec::new()).unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        instance.get_typed_func::<(), ()>(&store, "run").unwrap().call(&mut store, ()).unwrap();
        assert_eq!(store.data(), &["hello"]);
        let memory = instance.get_memory(&store, "memory").unwrap();
        assert_eq!(memory.data(&store).unwrap()[0], 1);
    }
}

#[test]
fn a_table_is_read_written_grown_filled_and_copied() {
    for engine in engines() {
        let text = r#"(module (table $t (export "t") 2 6 funcref) (func $seven (export "seven") (result i32) (i32.const 7))
            (func (export "call") (param i32) (result i32) (call_indirect (result i32) (local.get 0))))"#;
        let (mut store, instance) = instance(&engine, text);
        let table = instance.get_table(&store, "t").unwrap();
        let seven = Val::FuncRef(instance.get_func(&store, "seven"));
        let eight = Val::FuncRef(Some(Func::wrap(&mut store, || 8).unwrap()));
        assert_eq!(table.size(&store).unwrap(), 2);
        assert_eq!(table.get(&mut store, 0).unwrap(), Some(Val::FuncRef(None)));
        assert_eq!(table.get(&mut store, 2).unwrap(), None);
        assert_eq!(table.grow(&mut store, 3, eight).unwrap(), 2);
        assert!(table.grow(&mut store, 2, eight).is_err(), "over its maximum");
        table.set(&mut store, 1, seven).unwrap();
        let call = instance.get_typed_func::<i32, i32>(&store, "call").unwrap();
        assert_eq!((1..5).map(|i| call.call(&mut store, i).unwrap()).collect::<Vec<_>>(), [7, 8, 8, 8]);
        table.fill(&mut store, 3, seven, 2).unwrap();
        // Overlapping, as if all were read first.
        table.copy(&mut store, 0, (table, 1), 4).unwrap();
        assert_eq!((0..5).map(|i| call.call(&mut store, i).unwrap()).collect::<Vec<_>>(), [7, 8, 7, 7, 7]);
        assert!(table.fill(&mut store, 4, seven, 2).unwrap_err().to_string().contains("which has 5"));
        assert!(table.copy(&mut store, 0, (table, u64::MAX), 2).is_err());
        assert!(table.set(&mut store, 5, seven).is_err());
        let other = TableType::new(RefType::FUNCREF, SizeRange { min: 3, max: None });
        let other = Table::new(&mut store, other, eight).unwrap();
        table.copy(&mut store, 1, (other, 0), 3).unwrap();
        assert_eq!((0..5).map(|i| call.call(&mut store, i).unwrap()).collect::<Vec<_>>(), [7, 8, 8, 8, 7]);
        let externs = TableType::new(RefType::EXTERNREF, SizeRange { min: 3, max: None });
        let externs = Table::new(&mut store, externs, Val::ExternRef(None)).unwrap();
        assert!(table.copy(&mut store, 0, (externs, 0), 1).unwrap_err().to_string().contains("cannot hold"));
        assert!(table.fill(&mut store, 0, Val::ExternRef(None), 1).is_err());
    }
}

#[test]
fn a_global_is_read_and_written() {
    let text = r#"(module (import "host" "g" (global $g (mut i64)))
        (func (export "add") (param i64) (global.set $g (i64.add (global.get $g) (local.get 0)))))"#;
    for engine in engines() {
        let mut store = Store::new(&engine, ()).unwrap();
        let ty = GlobalType { content: ValType::I64, mutability: Mutability::Var };
        let global = Global::new(&mut store, ty, Val::I64(40)).unwrap();
        let mut linker = Linker::new(&engine);
        linker.define("host", "g", global).unwrap();
        let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
        let add = instance.get_typed_func::<i64, ()>(&store, "add").unwrap();
        add.call(&mut store, 2).unwrap();
        assert_eq!(global.get(&mut store).unwrap(), Val::I64(42));
        global.set(&mut store, Val::I64(1)).unwrap();
        add.call(&mut store, 2).unwrap();
        assert_eq!(global.get(&mut store).unwrap(), Val::I64(3));
        assert!(global.set(&mut store, Val::I32(1)).is_err());
        let constant = GlobalType { mutability: Mutability::Const, ..ty };
        let constant = Global::new(&mut store, constant, Val::I64(1)).unwrap();
        assert!(constant.set(&mut store, Val::I64(2)).unwrap_err().to_string().contains("constant"));
    }
}

#[test]
fn what_the_host_keeps_in_a_table_or_global_stays_alive() {
    let [engine, _] = engines();
    let mut store = Store::new(&engine, ()).unwrap();
    let content = ValType::EXTERNREF;
    let object = Val::ExternRef(Some(ExternRef::new(&mut store, 1_u8).unwrap()));
    let global = GlobalType { content, mutability: Mutability::Var };
    let global = Global::new(&mut store, global, object).unwrap();
    let table = TableType::new(RefType::EXTERNREF, SizeRange { min: 1, max: None });
    let object = Val::ExternRef(Some(ExternRef::new(&mut store, 2_u16).unwrap()));
    let table = Table::new(&mut store, table, object).unwrap();
    store.release_references();
    store.gc();
    let Val::ExternRef(Some(one)) = global.get(&mut store).unwrap() else { panic!() };
    let Some(Val::ExternRef(Some(two))) = table.get(&mut store, 0).unwrap() else { panic!() };
    assert!(one.data(&store).unwrap().unwrap().is::<u8>() && two.data(&store).unwrap().unwrap().is::<u16>());
}

#[test]
fn a_caller_knows_its_engine_fuel_and_instance() {
    let engine =
        innkeeper::engine(innkeeper::Config { metering: innkeeper::Metering::Fuel, ..Default::default() });
    let text = r#"(module (import "host" "f" (func $f)) (func (export "run") (call $f)))"#;
    let mut linker = Linker::<()>::new(&engine);
    let expected = engine.clone();
    linker
        .func_wrap("host", "f", move |mut caller: Caller<'_, ()>| {
            assert!(innkeeper::Engine::same(caller.engine(), &expected));
            let left = caller.fuel()?;
            assert!(left > 0 && left < 1000);
            caller.set_fuel(50)?;
            assert!(caller.get_export("run").is_some() && caller.instance().is_some());
            Ok::<_, innkeeper::Error>(())
        })
        .unwrap();
    let mut store = Store::new(&engine, ()).unwrap();
    store.set_fuel(1000).unwrap();
    let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
    instance.get_typed_func::<(), ()>(&store, "run").unwrap().call(&mut store, ()).unwrap();
    assert!(store.fuel().unwrap() <= 50);
}

/// A memory that the host makes and a guest imports is one memory.
#[test]
fn a_hosts_memory_is_imported() {
    let [engine, _] = engines();
    let mut store = Store::new(&engine, ()).unwrap();
    let memory = Memory::new(&mut store, MemoryType::new(SizeRange { min: 1, max: Some(2) })).unwrap();
    let mut linker = Linker::new(&engine);
    linker.define("host", "m", memory).unwrap();
    let text = r#"(module (import "host" "m" (memory 1)) (data (i32.const 3) "x") (func (export "grow") (result i32) (memory.grow (i32.const 1))))"#;
    let instance = linker.instantiate(&mut store, &module(&engine, text)).unwrap();
    assert_eq!(memory.data(&store).unwrap()[3], b'x');
    let grow = instance.get_typed_func::<(), i32>(&store, "grow").unwrap();
    assert_eq!((grow.call(&mut store, ()).unwrap(), memory.size(&store).unwrap()), (1, 2));
}
