//! What belongs to one store is refused by every other, with a sentence that says so.

use innkeeper::{
    AnyRef, ArrayRef, CompositeType, Config, DefinedType, EqRef, Error, ExnRef, Extern, ExternRef, FieldType,
    Finality, Func, FuncType, Global, I31, Instance, Linker, Module, Mutability, Reference, StorageType,
    Store, StructRef, SubType, Table, Val, ValType,
};

const TEXT: &str = r#"(module (memory (export "m") 1) (table (export "t") 1 externref)
    (global (export "g") (mut externref) (ref.null extern)) (tag (export "e") (param externref))
    (func (export "f") (param externref) (result externref) (local.get 0)))"#;

struct House {
    store: Store<()>,
    instance: Instance,
    object: ExternRef,
    any: AnyRef,
    exception: ExnRef,
    structure: StructRef,
    array: ArrayRef,
}

fn house(engine: &innkeeper::Engine, types: &[DefinedType; 2]) -> House {
    let mut store = Store::new(engine, ()).unwrap();
    let instance = Linker::new(engine).instantiate(&mut store, &Module::new(engine, TEXT).unwrap()).unwrap();
    let object = ExternRef::new(&mut store, 1).unwrap();
    let any = AnyRef::from_i31(&mut store, I31::wrapping(1));
    let tag = instance.get_tag(&store, "e").unwrap();
    let exception = ExnRef::new(&mut store, tag, &[Val::ExternRef(None)]).unwrap();
    let structure = StructRef::new(&mut store, types[0].id(), &[Val::I32(1)]).unwrap();
    let array = ArrayRef::new(&mut store, types[1].id(), Val::I32(1), 2).unwrap();
    House { store, instance, object, any, exception, structure, array }
}

#[test]
fn every_use_of_another_stores_handle_says_so() {
    let engine = innkeeper::engine(Config::default());
    let field = FieldType { storage: StorageType::Val(ValType::I32), mutability: Mutability::Var };
    let types = [CompositeType::Struct([field].into()), CompositeType::Array(field)].map(|composite| {
        DefinedType::new(&engine, SubType { finality: Finality::Final, supertype: None, composite }).unwrap()
    });
    let (mut ours, theirs) = (house(&engine, &types), house(&engine, &types));
    let export = |house: &House, name| house.instance.get_export(&house.store, name).unwrap();
    let table = |house: &House| export(house, "t").into_table().unwrap();
    let global = |house: &House| export(house, "g").into_global().unwrap();
    let memory = export(&theirs, "m").into_memory().unwrap();
    let (their_table, their_global) = (table(&theirs), global(&theirs));
    let (our_table, our_global): (Table, Global) = (table(&ours), global(&ours));
    let tag = export(&theirs, "e").into_tag().unwrap();
    let our_tag = export(&ours, "e").into_tag().unwrap();
    let func = export(&theirs, "f").into_func().unwrap();
    let our_func = export(&ours, "f").into_func().unwrap();
    let typed = func.typed::<Option<ExternRef>, Option<ExternRef>>(&theirs.store).unwrap();
    let our_typed = our_func.typed::<Option<ExternRef>, Option<ExternRef>>(&ours.store).unwrap();
    let object = Val::ExternRef(Some(theirs.object));
    let null = Val::ExternRef(None);
    let importer =
        Module::new(&engine, r#"(module (import "a" "f" (func (param externref) (result externref))))"#)
            .unwrap();
    let s = &mut ours.store;
    let mut linker = Linker::new(&engine);
    linker.define("a", "f", func).unwrap();
    let (table_ty, global_ty) = (our_table.ty(&*s).unwrap(), our_global.ty(&*s).unwrap());
    let (ours_eq, theirs_eq) = (EqRef::from(ours.structure), EqRef::from(theirs.structure));
    let uses: Vec<(&str, Result<(), Error>)> = vec![
        ("get_typed_func", theirs.instance.get_typed_func::<i32, i32>(&*s, "f").map(drop)),
        ("Instance::module", theirs.instance.module(&*s).map(drop)),
        ("Linker::instance", Linker::<()>::new(&engine).instance(&mut *s, "x", theirs.instance).map(drop)),
        ("Linker::instantiate", linker.instantiate(&mut *s, &importer).map(drop)),
        ("InstancePre", linker.instantiate_pre(&importer).unwrap().instantiate(&mut *s).map(drop)),
        ("Instance::new", Instance::new(&mut *s, &importer, &[Extern::Func(func)]).map(drop)),
        ("Func::ty", func.ty(&*s).map(drop)),
        ("Func::call", func.call(&mut *s, &[null], &mut [null])),
        ("Func::typed", func.typed::<i32, i32>(&*s).map(drop)),
        ("TypedFunc::call", typed.call(&mut *s, None).map(drop)),
        ("argument", our_func.call(&mut *s, &[object], &mut [null])),
        ("typed argument", our_typed.call(&mut *s, Some(theirs.object)).map(drop)),
        ("Extern::ty", Extern::Memory(memory).ty(&*s).map(drop)),
        ("Memory::size", memory.size(&*s).map(drop)),
        ("Memory::data_size", memory.data_size(&*s).map(drop)),
        ("Memory::data", memory.data(&*s).map(drop)),
        ("Memory::data_mut", memory.data_mut(&mut *s).map(drop)),
        ("Memory::data_and_store_mut", memory.data_and_store_mut(&mut *s).map(drop)),
        ("Memory::read", memory.read(&*s, 0, &mut [])),
        ("Memory::write", memory.write(&mut *s, 0, &[])),
        ("Memory::grow", memory.grow(&mut *s, 0).map(drop)),
        ("Memory::shared", memory.shared(&*s).map(drop)),
        ("Table::size", their_table.size(&*s).map(drop)),
        ("Table::ty", their_table.ty(&*s).map(drop)),
        ("Table::get", their_table.get(&mut *s, 0).map(drop)),
        ("Table::set", their_table.set(&mut *s, 0, null)),
        ("Table::set value", our_table.set(&mut *s, 0, object)),
        ("Table::grow", their_table.grow(&mut *s, 0, null).map(drop)),
        ("Table::grow value", our_table.grow(&mut *s, 0, object).map(drop)),
        ("Table::fill", their_table.fill(&mut *s, 0, null, 0)),
        ("Table::fill value", our_table.fill(&mut *s, 0, object, 0)),
        ("Table::copy to", their_table.copy(&mut *s, 0, (our_table, 0), 0)),
        ("Table::copy from", our_table.copy(&mut *s, 0, (their_table, 0), 0)),
        ("Table::new value", Table::new(&mut *s, table_ty, object).map(drop)),
        ("Global::ty", their_global.ty(&*s).map(drop)),
        ("Global::get", their_global.get(&mut *s).map(drop)),
        ("Global::set", their_global.set(&mut *s, null)),
        ("Global::set value", our_global.set(&mut *s, object)),
        ("Global::new value", Global::new(&mut *s, global_ty, object).map(drop)),
        ("Tag::ty", tag.ty(&*s).map(drop)),
        ("Tag::name", tag.name(&*s).map(drop)),
        ("ExnRef::new", ExnRef::new(&mut *s, tag, &[null]).map(drop)),
        ("ExnRef::new value", ExnRef::new(&mut *s, our_tag, &[object]).map(drop)),
        ("ExnRef::tag", theirs.exception.tag(&*s).map(drop)),
        ("ExnRef::values", theirs.exception.values(&mut *s).map(drop)),
        ("ExnRef::field", theirs.exception.field(&mut *s, 0).map(drop)),
        ("ExternRef::data", theirs.object.data(&*s).map(drop)),
        ("AnyRef::kind", theirs.any.kind(&*s).map(drop)),
        ("AnyRef::as_i31", theirs.any.as_i31(&*s).map(drop)),
        ("AnyRef::as_struct", theirs.any.as_struct(&*s).map(drop)),
        ("AnyRef::as_array", theirs.any.as_array(&*s).map(drop)),
        ("AnyRef::as_eq", theirs.any.as_eq(&*s).map(drop)),
        ("EqRef::same", EqRef::same(&*s, ours_eq, theirs_eq).map(drop)),
        ("StructRef::ty", theirs.structure.ty(&*s).map(drop)),
        ("StructRef::field", theirs.structure.field(&mut *s, 0).map(drop)),
        ("StructRef::fields", theirs.structure.fields(&mut *s).map(drop)),
        ("StructRef::set_field", theirs.structure.set_field(&mut *s, 0, Val::I32(1))),
        ("ArrayRef::ty", theirs.array.ty(&*s).map(drop)),
        ("ArrayRef::len", theirs.array.len(&*s).map(drop)),
        ("ArrayRef::get", theirs.array.get(&mut *s, 0).map(drop)),
        ("ArrayRef::elements", theirs.array.elements(&mut *s).map(drop)),
        ("ArrayRef::set", theirs.array.set(&mut *s, 0, Val::I32(1))),
        ("to_owned_rooted", theirs.object.to_owned_rooted(&mut *s).map(drop)),
        ("Val::to_raw", object.to_raw(&*s).map(drop)),
    ];
    for (what, used) in uses {
        let error = used.expect_err(what).to_string();
        assert!(error.contains("belongs to another store than the one it is used with"), "{what}: {error}");
    }
    // Lookups that give an option give none.
    assert!(theirs.instance.get_export(&*s, "f").is_none() && theirs.instance.exports(&*s).is_empty());
    assert!(theirs.object.get(&*s).is_none());
    // Nothing of it has changed anything.
    let back = our_typed.call(&mut *s, Some(ours.object)).unwrap().unwrap();
    assert!(back.data(&*s).unwrap().unwrap().is::<i32>());
}

/// What a function of the host returns is checked as what is passed to a guest.
#[test]
fn a_host_functions_result_of_another_store_is_refused() {
    let engine = innkeeper::engine(Config::default());
    let mut other = Store::new(&engine, ()).unwrap();
    let foreign = ExternRef::new(&mut other, 1).unwrap();
    let foreign_func = Func::wrap(&mut other, || {}).unwrap();
    let text = r#"(module (import "host" "typed" (func $typed (result externref)))
        (import "host" "dynamic" (func $dynamic (result funcref)))
        (func (export "typed") (drop (call $typed))) (func (export "dynamic") (drop (call $dynamic))))"#;
    let mut linker = Linker::<()>::new(&engine);
    linker.func_wrap("host", "typed", move || Some(foreign)).unwrap();
    let ty = FuncType::new([], [ValType::FUNCREF]);
    linker
        .func_new("host", "dynamic", ty, move |_, _, results| {
            results[0] = Val::FuncRef(Some(foreign_func));
            Ok(())
        })
        .unwrap();
    let mut store = Store::new(&engine, ()).unwrap();
    let instance = linker.instantiate(&mut store, &Module::new(&engine, text).unwrap()).unwrap();
    for name in ["typed", "dynamic"] {
        let error = instance.get_func(&store, name).unwrap().call(&mut store, &[], &mut []).unwrap_err();
        assert!(error.to_string().contains("belongs to another store"), "{name}: {error}");
    }
}

#[test]
fn modules_and_linkers_of_another_engine_are_refused() {
    let (engine, other) = (innkeeper::engine(Config::default()), innkeeper::engine(Config::default()));
    let foreign = Module::new(&other, "(module)").unwrap();
    let mut store = Store::new(&engine, ()).unwrap();
    let refusals = [
        Instance::new(&mut store, &foreign, &[]).map(drop),
        Linker::new(&engine).instantiate(&mut store, &foreign).map(drop),
        Linker::new(&other).instantiate(&mut store, &foreign).map(drop),
        Linker::<()>::new(&engine).instantiate_pre(&foreign).map(drop),
        Linker::new(&other).instantiate_pre(&foreign).unwrap().instantiate(&mut store).map(drop),
    ];
    for refused in refusals {
        let error = refused.unwrap_err();
        assert!(error.to_string().contains("another engine"), "{error}");
    }
}

/// Handles from before a reset are those of another store.
#[test]
fn handles_from_before_a_reset_are_refused() {
    let engine = innkeeper::engine(Config::default());
    let pre = Linker::new(&engine).instantiate_pre(&Module::new(&engine, TEXT).unwrap()).unwrap();
    let mut store = Store::new(&engine, ()).unwrap();
    let before = pre.instantiate(&mut store).unwrap();
    let kept = ExternRef::new(&mut store, 1).unwrap().to_owned_rooted(&mut store).unwrap();
    let memory = before.get_memory(&store, "m").unwrap();
    let after = store.reset(&pre).unwrap();
    assert!(before.get_memory(&store, "m").is_none() && after.get_memory(&store, "m").is_some());
    for error in [memory.size(&store).unwrap_err(), kept.get().data(&store).map(drop).unwrap_err()] {
        assert!(error.to_string().contains("belongs to another store"), "{error}");
    }
}
