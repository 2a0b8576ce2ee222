//! What a core module must be that a component imports: what it may import, and what it must export.
//!
//! Must stay true: what functions are lifted from, and what is handed to other modules, is of the types that validation has seen. Types that name other defined types are compared when the
//! module's exports are handed to another one; here, what kind of thing it is.

use std::collections::HashMap;
use std::sync::Arc;

use innkeeper_engine as core;
use innkeeper_engine::{ExternType, HeapType, IndexType, Mutability, RefType, Sharing, SizeRange, ValType};
use wasmparser::component_types::ComponentCoreModuleTypeId;
use wasmparser::types::{CoreTypeId, EntityType, TypesRef};
use wasmparser::{AbstractHeapType, CompositeInnerType};

/// See the module's documentation.
pub(crate) struct ModuleType {
    imports: HashMap<(Arc<str>, Arc<str>), Wanted>,
    exports: Vec<(Arc<str>, Wanted)>,
}

/// The kind of a thing, and its type where it can be said without others.
struct Wanted {
    kind: &'static str,
    ty: Option<ExternType>,
}

impl ModuleType {
    /// None where validation has not seen the type.
    pub(crate) fn new(types: TypesRef<'_>, ty: ComponentCoreModuleTypeId) -> Option<ModuleType> {
        let ty = types.get(ty)?;
        let imports = ty.imports.iter().map(|((module, name), ty)| {
            ((module.as_str().into(), name.as_str().into()), Wanted::new(types, ty))
        });
        let exports = ty.exports.iter().map(|(name, ty)| (name.as_str().into(), Wanted::new(types, ty)));
        Some(ModuleType { imports: imports.collect(), exports: exports.collect() })
    }

    /// Whether a module is of this type; else, what is wrong with it.
    pub(crate) fn check(&self, module: &core::Module) -> Result<(), String> {
        for import in module.imports() {
            let what = format!("`{}` `{}`", import.module, import.name);
            let Some(given) = self.imports.get(&(import.module.into(), import.name.into())) else {
                return Err(format!("it imports {what}, which the component does not give it"));
            };
            let fits = match &given.ty {
                Some(given) => satisfies(given, &import.ty),
                None => given.kind == kind_name(&import.ty),
            };
            if !fits {
                return Err(format!("it imports {what} of another type than the component gives it"));
            }
        }
        let exports: HashMap<&str, ExternType> =
            module.exports().map(|export| (export.name, export.ty)).collect();
        for (name, wanted) in &self.exports {
            let Some(export) = exports.get(&**name) else {
                return Err(format!("it does not export the {} `{name}`", wanted.kind));
            };
            let fits = match &wanted.ty {
                Some(wanted) => satisfies(export, wanted),
                None => wanted.kind == kind_name(export),
            };
            if !fits {
                return Err(format!(
                    "its export `{name}` is not the {} that the component wants",
                    wanted.kind
                ));
            }
        }
        Ok(())
    }
}

/// Import matching (core specification, "Import matching").
fn satisfies(have: &ExternType, want: &ExternType) -> bool {
    match (have, want) {
        (ExternType::Table(have), ExternType::Table(want)) => {
            have.element == want.element && have.index == want.index && have.size.satisfies(&want.size)
        }
        (ExternType::Memory(have), ExternType::Memory(want)) => have.satisfies(want),
        (ExternType::Global(have), ExternType::Global(want)) => {
            let are_references = matches!((have.content, want.content), (ValType::Ref(_), ValType::Ref(_)));
            have.mutability == want.mutability
                && (have.content == want.content || are_references && want.mutability == Mutability::Const)
        }
        (have, want) => have == want,
    }
}

fn kind_name(ty: &ExternType) -> &'static str {
    match ty {
        ExternType::Func(_) => "function",
        ExternType::Table(_) => "table",
        ExternType::Memory(_) => "memory",
        ExternType::Global(_) => "global",
        ExternType::Tag(_) => "tag",
    }
}

impl Wanted {
    fn new(types: TypesRef<'_>, ty: &EntityType) -> Wanted {
        let func = |id: CoreTypeId| match &types.get(id)?.composite_type.inner {
            CompositeInnerType::Func(ty) => {
                let params = ty.params().iter().map(value_type).collect::<Option<Vec<_>>>()?;
                let results = ty.results().iter().map(value_type).collect::<Option<Vec<_>>>()?;
                Some(core::FuncType::new(params, results))
            }
            _ => None,
        };
        let index = |is_64| if is_64 { IndexType::I64 } else { IndexType::I32 };
        let (kind, ty) = match ty {
            EntityType::Func(id) | EntityType::FuncExact(id) => ("function", func(*id).map(ExternType::Func)),
            EntityType::Tag(id) => ("tag", func(*id).map(ExternType::Tag)),
            EntityType::Table(ty) => {
                let size = SizeRange { min: ty.initial, max: ty.maximum };
                let element = reference_type(ty.element_type);
                let ty = element.map(|element| core::TableType { element, size, index: index(ty.table64) });
                ("table", ty.map(ExternType::Table))
            }
            EntityType::Memory(ty) => {
                let ty = core::MemoryType {
                    pages: SizeRange { min: ty.initial, max: ty.maximum },
                    index: index(ty.memory64),
                    page_size_log2: ty.page_size_log2.unwrap_or(core::MemoryType::DEFAULT_PAGE_SIZE_LOG2),
                    sharing: if ty.shared { Sharing::Shared } else { Sharing::Unshared },
                };
                ("memory", Some(ExternType::Memory(ty)))
            }
            EntityType::Global(ty) => {
                let mutability = if ty.mutable { Mutability::Var } else { Mutability::Const };
                let content = value_type(&ty.content_type);
                let ty = content.map(|content| core::GlobalType { content, mutability });
                ("global", ty.map(ExternType::Global))
            }
        };
        Wanted { kind, ty }
    }
}

fn value_type(ty: &wasmparser::ValType) -> Option<ValType> {
    Some(match ty {
        wasmparser::ValType::I32 => ValType::I32,
        wasmparser::ValType::I64 => ValType::I64,
        wasmparser::ValType::F32 => ValType::F32,
        wasmparser::ValType::F64 => ValType::F64,
        wasmparser::ValType::V128 => ValType::V128,
        wasmparser::ValType::Ref(ty) => ValType::Ref(reference_type(*ty)?),
    })
}

/// None for one to a defined type, or of a proposal.
fn reference_type(ty: wasmparser::RefType) -> Option<RefType> {
    let wasmparser::HeapType::Abstract { shared: false, ty: heap } = ty.heap_type() else { return None };
    let heap = match heap {
        AbstractHeapType::Func => HeapType::Func,
        AbstractHeapType::NoFunc => HeapType::NoFunc,
        AbstractHeapType::Extern => HeapType::Extern,
        AbstractHeapType::NoExtern => HeapType::NoExtern,
        AbstractHeapType::Any => HeapType::Any,
        AbstractHeapType::Eq => HeapType::Eq,
        AbstractHeapType::I31 => HeapType::I31,
        AbstractHeapType::Struct => HeapType::Struct,
        AbstractHeapType::Array => HeapType::Array,
        AbstractHeapType::None => HeapType::None,
        AbstractHeapType::Exn => HeapType::Exn,
        AbstractHeapType::NoExn => HeapType::NoExn,
        _ => return None,
    };
    Some(RefType { nullable: ty.is_nullable(), heap })
}
