//! Tables.

use innkeeper::{AsContextMut, ExternType, Result, Table, TableType};

use super::types::ItemType;
use crate::boundary::{In, Own, c_functions, usage};
use crate::object::{Identity, Object, Ref, of_val, to_val};
use crate::wasm_h::engine::StoreBox;

fn table(of: &Ref) -> Result<Table> {
    match of.object {
        Object::Item(Identity::Table(table)) => Ok(table),
        _ => Err(usage("the object is no table")),
    }
}

fn ty(of: &Ref) -> Result<TableType> {
    let table = table(of)?;
    of.store()?.enter(|cx| table.ty(cx))
}

c_functions! {
    fn wasm_table_new(store: In<StoreBox>, ty: In<ItemType>, init: In<Ref>) -> Own<Ref> {
        let StoreBox(store) = store.get("the store")?;
        let ExternType::Table(ty) = ty.get("the table's type")?.ty else {
            return Err(usage("the type is none of a table"));
        };
        let table = store.enter(|mut cx| {
            let init = to_val(cx.as_context_mut(), init.option(), ty.element)?;
            Table::new(cx, ty, init)
        })?;
        Ok(Own::new(Ref::item(store, Identity::Table(table))))
    }

    fn wasm_table_type(of: In<Ref>) -> Own<ItemType> {
        let of = of.get("the table")?;
        Ok(Own::new(ItemType::new(ExternType::Table(ty(of)?), of.store()?.engine())?))
    }

    fn wasm_table_get(of: In<Ref>, index: u32) -> Own<Ref> {
        let of = of.get("the table")?;
        let (table, store) = (table(of)?, of.store()?);
        store.enter(|mut cx| match table.get(cx.as_context_mut(), index.into())? {
            Some(value) => of_val(cx, store, value),
            None => Err(usage(format!("the table has no element {index}"))),
        })
    }

    fn wasm_table_set(of: In<Ref>, index: u32, value: In<Ref>) -> bool {
        let of = of.get("the table")?;
        let (table, element) = (table(of)?, ty(of)?.element);
        of.store()?.enter(|mut cx| {
            let value = to_val(cx.as_context_mut(), value.option(), element)?;
            table.set(cx, index.into(), value)
        })?;
        Ok(true)
    }

    fn wasm_table_size(of: In<Ref>) -> u32 {
        let of = of.get("the table")?;
        let table = table(of)?;
        let size = of.store()?.enter(|cx| table.size(cx))?;
        Ok(u32::try_from(size).unwrap_or(u32::MAX))
    }

    fn wasm_table_grow(of: In<Ref>, delta: u32, init: In<Ref>) -> bool {
        let of = of.get("the table")?;
        let (table, element) = (table(of)?, ty(of)?.element);
        of.store()?.enter(|mut cx| {
            let init = to_val(cx.as_context_mut(), init.option(), element)?;
            table.grow(cx, delta.into(), init)
        })?;
        Ok(true)
    }
}
