//! The module `spectest` that scripts may import (WebAssembly/spec `interpreter/README.md`, "Spectest host module").

use innkeeper::{
    Error, Global, GlobalType, IndexType, Linker, Memory, MemoryType, Mutability, RefType, SharedMemory,
    Sharing, SizeRange, Store, Table, TableType, Val,
};

pub(crate) fn define(linker: &mut Linker<()>, store: &mut Store<()>) -> Result<(), Error> {
    let module = "spectest";
    linker.func_wrap(module, "print", || {})?;
    linker.func_wrap(module, "print_i32", |_: i32| {})?;
    linker.func_wrap(module, "print_i64", |_: i64| {})?;
    linker.func_wrap(module, "print_f32", |_: f32| {})?;
    linker.func_wrap(module, "print_f64", |_: f64| {})?;
    linker.func_wrap(module, "print_i32_f32", |_: i32, _: f32| {})?;
    linker.func_wrap(module, "print_f64_f64", |_: f64, _: f64| {})?;
    let globals = [
        ("global_i32", Val::I32(666)),
        ("global_i64", Val::I64(666)),
        ("global_f32", Val::from(666.6f32)),
        ("global_f64", Val::from(666.6f64)),
    ];
    for (name, value) in globals {
        let ty = GlobalType { content: value.ty(), mutability: Mutability::Const };
        linker.define(module, name, Global::new(&mut *store, ty, value)?)?;
    }
    let table = TableType::new(RefType::FUNCREF, SizeRange { min: 10, max: Some(20) });
    linker.define(module, "table", Table::new(&mut *store, table, Val::FuncRef(None))?)?;
    let memory = MemoryType::new(SizeRange { min: 1, max: Some(2) });
    linker.define(module, "memory", Memory::new(&mut *store, memory)?)?;
    let shared = MemoryType { sharing: Sharing::Shared, ..memory };
    linker.define_shared(module, "shared_memory", &SharedMemory::new(linker.engine(), shared)?)?;
    let table64 = TableType { index: IndexType::I64, ..table };
    linker.define(module, "table64", Table::new(&mut *store, table64, Val::FuncRef(None))?)?;
    Ok(())
}
