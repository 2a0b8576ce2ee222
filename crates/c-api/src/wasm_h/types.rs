//! Types of values, functions, globals, tables and memories, and what modules import and export.
//!
//! One record stands for every type of an item: `wasm_externtype_t` and `wasm_functype_t` are one thing to it, as the standard's casts between them want.

use innkeeper::{
    Engine, ExternType, FuncType, GlobalType, MemoryType, Mutability, RefType, Result, SizeRange, TableType,
    ValType,
};

use crate::boundary::{In, Lent, Own, c_functions, usage};
use crate::object::Hierarchy;
use crate::vector::{Vector, vector_functions};

pub(crate) const I32: u8 = 0;
pub(crate) const I64: u8 = 1;
pub(crate) const F32: u8 = 2;
pub(crate) const F64: u8 = 3;
/// `INNKEEPER_V128`.
pub(crate) const V128: u8 = 4;
pub(crate) const EXTERNREF: u8 = 128;
pub(crate) const FUNCREF: u8 = 129;
/// `INNKEEPER_ANYREF`.
pub(crate) const ANYREF: u8 = 130;
/// `INNKEEPER_EXNREF`.
pub(crate) const EXNREF: u8 = 131;

/// `wasm_limits_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Limits {
    min: u32,
    max: u32,
}

/// What stands for no maximum.
const NO_MAX: u32 = u32::MAX;

impl Limits {
    fn of(range: SizeRange) -> Limits {
        let clamped = |size: u64| u32::try_from(size).unwrap_or(NO_MAX);
        Limits { min: clamped(range.min), max: range.max.map_or(NO_MAX, clamped) }
    }

    fn range(self) -> SizeRange {
        SizeRange { min: self.min.into(), max: (self.max != NO_MAX).then(|| self.max.into()) }
    }
}

/// `wasm_valtype_t`.
#[derive(Clone)]
pub struct ValueType {
    pub(crate) ty: ValType,
    kind: u8,
}

impl ValueType {
    /// `engine` knows the types that modules define.
    pub(crate) fn new(ty: ValType, engine: &Engine) -> ValueType {
        ValueType { ty, kind: kind_of(ty, engine) }
    }

    fn of_kind(kind: u8) -> Result<ValueType> {
        let ty = match kind {
            I32 => ValType::I32,
            I64 => ValType::I64,
            F32 => ValType::F32,
            F64 => ValType::F64,
            V128 => ValType::V128,
            EXTERNREF => ValType::EXTERNREF,
            FUNCREF => ValType::FUNCREF,
            ANYREF => Hierarchy::Any.ty(),
            EXNREF => Hierarchy::Exn.ty(),
            _ => return Err(usage(format!("there is no kind {kind} of values"))),
        };
        Ok(ValueType { ty, kind })
    }

    fn reference(&self) -> Result<RefType> {
        match self.ty {
            ValType::Ref(ty) => Ok(ty),
            ty => Err(usage(format!("a table holds references, not {ty}"))),
        }
    }
}

pub(crate) fn kind_of(ty: ValType, engine: &Engine) -> u8 {
    match ty {
        ValType::I32 => I32,
        ValType::I64 => I64,
        ValType::F32 => F32,
        ValType::F64 => F64,
        ValType::V128 => V128,
        ValType::Ref(ty) => match Hierarchy::of(ty.heap, engine) {
            Hierarchy::Func => FUNCREF,
            Hierarchy::Extern => EXTERNREF,
            Hierarchy::Any => ANYREF,
            Hierarchy::Exn => EXNREF,
        },
    }
}

/// `wasm_externtype_t`, and the four that can be seen as one.
pub struct ItemType {
    pub(crate) ty: ExternType,
    /// A function's.
    params: Vector<Own<ValueType>>,
    /// A function's.
    results: Vector<Own<ValueType>>,
    /// A global's or a table's.
    content: Option<ValueType>,
    /// A table's or a memory's.
    limits: Limits,
}

impl ItemType {
    pub(crate) fn new(ty: ExternType, engine: &Engine) -> Result<ItemType> {
        let value = |ty: &ValType| ValueType::new(*ty, engine);
        let values = |types: &[ValType]| Vector::of(types.iter().map(|ty| Own::new(value(ty))));
        let mut item = ItemType::bare(ty);
        match &item.ty {
            ExternType::Func(func) | ExternType::Tag(func) => {
                item.params = values(func.params())?;
                item.results = values(func.results())?;
            }
            ExternType::Global(global) => item.content = Some(value(&global.content)),
            ExternType::Table(table) => {
                item.content = Some(value(&ValType::Ref(table.element)));
                item.limits = Limits::of(table.size);
            }
            ExternType::Memory(memory) => item.limits = Limits::of(memory.pages),
        }
        Ok(item)
    }

    fn bare(ty: ExternType) -> ItemType {
        let limits = Limits { min: 0, max: NO_MAX };
        ItemType { ty, params: Vector::EMPTY, results: Vector::EMPTY, content: None, limits }
    }

    fn kind(&self) -> u8 {
        match self.ty {
            ExternType::Func(_) => 0,
            ExternType::Global(_) => 1,
            ExternType::Table(_) => 2,
            ExternType::Memory(_) => 3,
            ExternType::Tag(_) => 4,
        }
    }

    fn duplicate(&self) -> Result<ItemType> {
        let ItemType { ty, params, results, content, limits } = self;
        let (params, results) = (params.duplicate()?, results.duplicate()?);
        Ok(ItemType { ty: ty.clone(), params, results, content: content.clone(), limits: *limits })
    }

    pub(crate) fn func(&self) -> Result<&FuncType> {
        match &self.ty {
            ExternType::Func(ty) => Ok(ty),
            other => Err(usage(format!("{other} is no type of a function"))),
        }
    }
}

impl Clone for ItemType {
    fn clone(&self) -> ItemType {
        // Without memory for the vectors there is none for the box either.
        self.duplicate().unwrap_or_else(|_| ItemType::bare(self.ty.clone()))
    }
}

impl Drop for ItemType {
    fn drop(&mut self) {
        self.params.clear();
        self.results.clear();
    }
}

/// `wasm_importtype_t`.
pub struct Import {
    module: Vector<u8>,
    name: Vector<u8>,
    ty: Box<ItemType>,
}

/// `wasm_exporttype_t`.
pub struct Export {
    name: Vector<u8>,
    ty: Box<ItemType>,
}

impl Import {
    pub(crate) fn new(import: innkeeper::ImportType<'_>, engine: &Engine) -> Result<Import> {
        let ty = Box::new(ItemType::new(import.ty, engine)?);
        let module = Vector::of_bytes(import.module.as_bytes())?;
        Ok(Import { module, name: Vector::of_bytes(import.name.as_bytes())?, ty })
    }
}

impl Export {
    pub(crate) fn new(export: innkeeper::ExportType<'_>, engine: &Engine) -> Result<Export> {
        let ty = Box::new(ItemType::new(export.ty, engine)?);
        Ok(Export { name: Vector::of_bytes(export.name.as_bytes())?, ty })
    }
}

impl Clone for Import {
    fn clone(&self) -> Import {
        let copy = |name: &Vector<u8>| name.duplicate().unwrap_or(Vector::EMPTY);
        Import { module: copy(&self.module), name: copy(&self.name), ty: self.ty.clone() }
    }
}

impl Clone for Export {
    fn clone(&self) -> Export {
        Export { name: self.name.duplicate().unwrap_or(Vector::EMPTY), ty: self.ty.clone() }
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        self.module.clear();
        self.name.clear();
    }
}

impl Drop for Export {
    fn drop(&mut self) {
        self.name.clear();
    }
}

/// Gives a vector away that C has given: what is left is empty.
fn taken<T: crate::vector::Element>(vector: &crate::boundary::InOut<Vector<T>>) -> Vector<T> {
    match vector.get("the vector") {
        Ok(vector) => std::mem::replace(vector, Vector::EMPTY),
        Err(_) => Vector::EMPTY,
    }
}

/// Two names that are deleted unless somebody takes them over.
struct Names(Vector<u8>, Vector<u8>);

impl Names {
    fn into_both(mut self) -> (Vector<u8>, Vector<u8>) {
        (std::mem::replace(&mut self.0, Vector::EMPTY), std::mem::replace(&mut self.1, Vector::EMPTY))
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.0.clear();
        self.1.clear();
    }
}

fn value_types(types: Vector<Own<ValueType>>) -> Result<Vec<ValueType>> {
    let types = types.into_elements().into_iter();
    // All are taken, so that none is lost when one is missing.
    let types: Vec<_> = types.map(|ty| ty.wanted("a type of a value")).collect();
    types.into_iter().map(|ty| ty.map(|ty| *ty)).collect()
}

/// Functions for each of the types: copy and delete.
macro_rules! type_functions {
    ($($ty:ty: $copy:ident $delete:ident;)*) => {
        c_functions! {$(
            fn $copy(from: In<$ty>) -> Own<$ty> {
                Ok(Own::new(from.get("the type to copy")?.clone()))
            }
            fn $delete(ty: Own<$ty>) {
                drop(ty.take());
                Ok(())
            }
        )*}
    };
}

type_functions! {
    ValueType: wasm_valtype_copy wasm_valtype_delete;
    ItemType: wasm_functype_copy wasm_functype_delete;
    ItemType: wasm_globaltype_copy wasm_globaltype_delete;
    ItemType: wasm_tabletype_copy wasm_tabletype_delete;
    ItemType: wasm_memorytype_copy wasm_memorytype_delete;
    ItemType: wasm_externtype_copy wasm_externtype_delete;
    Import: wasm_importtype_copy wasm_importtype_delete;
    Export: wasm_exporttype_copy wasm_exporttype_delete;
}

vector_functions! {
    Own<ValueType>: wasm_valtype_vec_new_empty wasm_valtype_vec_new_uninitialized wasm_valtype_vec_new wasm_valtype_vec_copy wasm_valtype_vec_delete;
    Own<ItemType>: wasm_functype_vec_new_empty wasm_functype_vec_new_uninitialized wasm_functype_vec_new wasm_functype_vec_copy wasm_functype_vec_delete;
    Own<ItemType>: wasm_globaltype_vec_new_empty wasm_globaltype_vec_new_uninitialized wasm_globaltype_vec_new wasm_globaltype_vec_copy wasm_globaltype_vec_delete;
    Own<ItemType>: wasm_tabletype_vec_new_empty wasm_tabletype_vec_new_uninitialized wasm_tabletype_vec_new wasm_tabletype_vec_copy wasm_tabletype_vec_delete;
    Own<ItemType>: wasm_memorytype_vec_new_empty wasm_memorytype_vec_new_uninitialized wasm_memorytype_vec_new wasm_memorytype_vec_copy wasm_memorytype_vec_delete;
    Own<ItemType>: wasm_externtype_vec_new_empty wasm_externtype_vec_new_uninitialized wasm_externtype_vec_new wasm_externtype_vec_copy wasm_externtype_vec_delete;
    Own<Import>: wasm_importtype_vec_new_empty wasm_importtype_vec_new_uninitialized wasm_importtype_vec_new wasm_importtype_vec_copy wasm_importtype_vec_delete;
    Own<Export>: wasm_exporttype_vec_new_empty wasm_exporttype_vec_new_uninitialized wasm_exporttype_vec_new wasm_exporttype_vec_copy wasm_exporttype_vec_delete;
}

/// Functions that see one type as another: the same pointer, or null where it is of another kind.
macro_rules! casts {
    ($($to_extern:ident $to_extern_const:ident $from_extern:ident $from_extern_const:ident $variant:ident;)*) => {
        c_functions! {$(
            fn $to_extern(ty: In<ItemType>) -> Lent<ItemType> {
                Ok(ty.lent())
            }
            fn $to_extern_const(ty: In<ItemType>) -> Lent<ItemType> {
                Ok(ty.lent())
            }
            fn $from_extern(ty: In<ItemType>) -> Lent<ItemType> {
                let is_one = matches!(ty.get("the type")?.ty, ExternType::$variant(_));
                Ok(if is_one { ty.lent() } else { Lent::null() })
            }
            fn $from_extern_const(ty: In<ItemType>) -> Lent<ItemType> {
                let is_one = matches!(ty.get("the type")?.ty, ExternType::$variant(_));
                Ok(if is_one { ty.lent() } else { Lent::null() })
            }
        )*}
    };
}

casts! {
    wasm_functype_as_externtype wasm_functype_as_externtype_const wasm_externtype_as_functype wasm_externtype_as_functype_const Func;
    wasm_globaltype_as_externtype wasm_globaltype_as_externtype_const wasm_externtype_as_globaltype wasm_externtype_as_globaltype_const Global;
    wasm_tabletype_as_externtype wasm_tabletype_as_externtype_const wasm_externtype_as_tabletype wasm_externtype_as_tabletype_const Table;
    wasm_memorytype_as_externtype wasm_memorytype_as_externtype_const wasm_externtype_as_memorytype wasm_externtype_as_memorytype_const Memory;
}

c_functions! {
    fn wasm_valtype_new(kind: u8) -> Own<ValueType> {
        Ok(Own::new(ValueType::of_kind(kind)?))
    }

    fn wasm_valtype_kind(ty: In<ValueType>) -> u8 {
        Ok(ty.get("the type")?.kind)
    }

    fn wasm_functype_new(
        params: crate::boundary::InOut<Vector<Own<ValueType>>>,
        results: crate::boundary::InOut<Vector<Own<ValueType>>>,
    ) -> Own<ItemType> {
        let (params, results) = (value_types(taken(&params)), value_types(taken(&results)));
        let (params, results) = (params?, results?);
        let types = |values: &[ValueType]| values.iter().map(|value| value.ty).collect::<Vec<_>>();
        let ty = FuncType::new(types(&params), types(&results));
        let mut item = ItemType::bare(ExternType::Func(ty));
        item.params = Vector::of(params.into_iter().map(Own::new))?;
        item.results = Vector::of(results.into_iter().map(Own::new))?;
        Ok(Own::new(item))
    }

    fn wasm_functype_params(ty: In<ItemType>) -> Lent<Vector<Own<ValueType>>> {
        Ok(Lent::of(&ty.get("the type")?.params))
    }

    fn wasm_functype_results(ty: In<ItemType>) -> Lent<Vector<Own<ValueType>>> {
        Ok(Lent::of(&ty.get("the type")?.results))
    }

    fn wasm_globaltype_new(content: Own<ValueType>, mutability: u8) -> Own<ItemType> {
        let content = *content.wanted("the type of the global's value")?;
        let mutability = if mutability == 0 { Mutability::Const } else { Mutability::Var };
        let mut item = ItemType::bare(ExternType::Global(GlobalType { content: content.ty, mutability }));
        item.content = Some(content);
        Ok(Own::new(item))
    }

    fn wasm_globaltype_content(ty: In<ItemType>) -> Lent<ValueType> {
        Ok(ty.get("the type")?.content.as_ref().map_or(Lent::null(), Lent::of))
    }

    fn wasm_globaltype_mutability(ty: In<ItemType>) -> u8 {
        match ty.get("the type")?.ty {
            ExternType::Global(GlobalType { mutability: Mutability::Var, .. }) => Ok(1),
            ExternType::Global(_) => Ok(0),
            _ => Err(usage("the type is none of a global")),
        }
    }

    fn wasm_tabletype_new(element: Own<ValueType>, limits: In<Limits>) -> Own<ItemType> {
        let element = *element.wanted("the type of the table's elements")?;
        let limits = *limits.get("the table's limits")?;
        let ty = TableType::new(element.reference()?, limits.range());
        let mut item = ItemType::bare(ExternType::Table(ty));
        (item.content, item.limits) = (Some(element), limits);
        Ok(Own::new(item))
    }

    fn wasm_tabletype_element(ty: In<ItemType>) -> Lent<ValueType> {
        Ok(ty.get("the type")?.content.as_ref().map_or(Lent::null(), Lent::of))
    }

    fn wasm_tabletype_limits(ty: In<ItemType>) -> Lent<Limits> {
        Ok(Lent::of(&ty.get("the type")?.limits))
    }

    fn wasm_memorytype_new(limits: In<Limits>) -> Own<ItemType> {
        let limits = *limits.get("the memory's limits")?;
        let mut item = ItemType::bare(ExternType::Memory(MemoryType::new(limits.range())));
        item.limits = limits;
        Ok(Own::new(item))
    }

    fn wasm_memorytype_limits(ty: In<ItemType>) -> Lent<Limits> {
        Ok(Lent::of(&ty.get("the type")?.limits))
    }

    fn wasm_externtype_kind(ty: In<ItemType>) -> u8 {
        Ok(ty.get("the type")?.kind())
    }

    fn wasm_importtype_new(
        module: crate::boundary::InOut<Vector<u8>>,
        name: crate::boundary::InOut<Vector<u8>>,
        ty: Own<ItemType>,
    ) -> Own<Import> {
        let names = Names(taken(&module), taken(&name));
        let ty = ty.wanted("the import's type")?;
        let (module, name) = names.into_both();
        Ok(Own::new(Import { module, name, ty }))
    }

    fn wasm_importtype_module(import: In<Import>) -> Lent<Vector<u8>> {
        Ok(Lent::of(&import.get("the import")?.module))
    }

    fn wasm_importtype_name(import: In<Import>) -> Lent<Vector<u8>> {
        Ok(Lent::of(&import.get("the import")?.name))
    }

    fn wasm_importtype_type(import: In<Import>) -> Lent<ItemType> {
        Ok(Lent::of(&*import.get("the import")?.ty))
    }

    fn wasm_exporttype_new(name: crate::boundary::InOut<Vector<u8>>, ty: Own<ItemType>) -> Own<Export> {
        let names = Names(Vector::EMPTY, taken(&name));
        let ty = ty.wanted("the export's type")?;
        Ok(Own::new(Export { name: names.into_both().1, ty }))
    }

    fn wasm_exporttype_name(export: In<Export>) -> Lent<Vector<u8>> {
        Ok(Lent::of(&export.get("the export")?.name))
    }

    fn wasm_exporttype_type(export: In<Export>) -> Lent<ItemType> {
        Ok(Lent::of(&*export.get("the export")?.ty))
    }
}
