//! What a decoded module holds, for whoever has a budget for it.

use super::*;
use crate::composite::CompositeType;

impl Module {
    /// Bytes that the host holds for the module beside the module's own bytes, as long as there is a clone of it: what was decoded, and the names that were
    /// asked for. Types count in full, also where other modules of the engine have the same. Not counted is what tiers make of it: their code.
    ///
    /// A [`crate::Budget`] can be charged with it, as [`crate::BudgetKind::Module`].
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        self.0.held_bytes() as u64
    }
}

/// What an allocation takes beside what was asked for.
const ALLOCATION_BYTES: usize = 16;

/// What the registry has of a type beside the definition and what that consists of: its record, numbers and places in lists.
const TYPE_BYTES: usize = 192;

/// What the registry has of a group.
const GROUP_BYTES: usize = 192;

impl ModuleParts {
    fn held_bytes(&self) -> usize {
        let type_bytes = |ty: &Arc<TypeRecord>| {
            TYPE_BYTES + size_of_val(&*ty.supertypes) + composite_bytes(&ty.ty.composite)
        };
        let types = self.types.iter().map(type_bytes).sum::<usize>() + self.held_types.len() * GROUP_BYTES;
        let names: usize = (self.imports.iter().map(|import| import.module.len() + import.name.len()))
            .chain(self.exports.iter().map(|export| export.name.len()))
            .map(|name| name + ALLOCATION_BYTES)
            .sum();
        let inits = self.tables.iter().filter_map(|table| table.init.as_ref());
        let inits = inits.chain(self.globals.iter().filter_map(|global| global.init.as_ref()));
        let segments = self.elems.iter().map(|elem| items_bytes(&elem.items) + mode_bytes(&elem.mode));
        let segments = segments.chain(self.datas.iter().map(|data| mode_bytes(&data.mode)));
        types
            + names
            + inits.map(expr_bytes).sum::<usize>()
            + segments.sum::<usize>()
            + list_bytes(&self.types)
            + list_bytes(&self.imports)
            + list_bytes(&self.exports)
            + list_bytes(&self.funcs)
            + list_bytes(&self.bodies)
            + list_bytes(&self.tables)
            + list_bytes(&self.memories)
            + list_bytes(&self.globals)
            + list_bytes(&self.tags)
            + list_bytes(&self.elems)
            + list_bytes(&self.datas)
            + list_bytes(&self.referenced_funcs)
            + self.names.get().map_or(0, names::Names::held_bytes)
    }
}

fn list_bytes<T>(list: &Vec<T>) -> usize {
    list.capacity() * size_of::<T>()
}

fn composite_bytes(composite: &CompositeType) -> usize {
    let bytes = match composite {
        CompositeType::Func(func) => {
            ALLOCATION_BYTES + size_of_val(func.params()) + size_of_val(func.results())
        }
        CompositeType::Struct(fields) => ALLOCATION_BYTES + size_of_val(&**fields),
        CompositeType::Array(_) => 0,
    };
    // What refers to its own group is not shared with what it is found by.
    if composite.references().next().is_some() { 2 * bytes } else { bytes }
}

fn items_bytes(items: &ElemItems) -> usize {
    match items {
        ElemItems::Funcs(funcs) => size_of_val(&**funcs),
        ElemItems::Exprs(exprs) => size_of_val(&**exprs) + exprs.iter().map(expr_bytes).sum::<usize>(),
    }
}

fn mode_bytes<T>(mode: &SegmentMode<T>) -> usize {
    match mode {
        SegmentMode::Active { offset, .. } => expr_bytes(offset),
        SegmentMode::Passive | SegmentMode::Declared => 0,
    }
}

/// What an expression has beside itself.
fn expr_bytes(expr: &ConstExpr) -> usize {
    match expr {
        ConstExpr::One(_) => 0,
        ConstExpr::Many(ops) => size_of_val(&**ops) + ALLOCATION_BYTES,
    }
}
