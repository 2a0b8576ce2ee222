//! The record of an instance and the arrays it points to (core specification 4.2.5, "Module Instances").

use std::alloc::{Layout, alloc, dealloc};
use std::ptr::NonNull;

use crate::budget::{BudgetKind, Charge};
use crate::error::{Error, ErrorKind};
use crate::index::{DataIndex, ElemIndex, FuncIndex};
use crate::module::{Item, Module, ModuleParts};
use crate::store::{GlobalId, InstanceId, MemoryId, StoreCore, TableId, TagId};
use crate::trap::{FrameInfo, FrameModule, FrameTier};
use crate::types::GlobalType;
use crate::vmctx::global::GlobalEntity;
use crate::vmctx::{VmContext, VmFunc, VmGlobal, VmImport, VmMemory, VmTable, VmTag};

/// An instance: its context, the arrays that the context points to, and what only the engine itself needs.
#[repr(C)]
pub(crate) struct InstanceEntity {
    pub(crate) id: InstanceId,
    pub(crate) module: Module,
    pub(crate) imported_funcs: Box<[*const VmFunc]>,
    pub(crate) memory_ids: Box<[MemoryId]>,
    pub(crate) table_ids: Box<[TableId]>,
    pub(crate) global_ids: Vec<GlobalId>,
    pub(crate) tag_ids: Box<[TagId]>,
    /// References to functions that the module defines, one for each of `ModuleParts::referenced_funcs` that is not imported.
    func_refs: NonNull<[VmFunc]>,
    _arrays: ContextArrays,
    _charge: Charge,
    /// The references of each element segment; none once dropped.
    pub(crate) elems: Box<[Option<Box<[u64]>>]>,
    /// Which data segments were dropped.
    pub(crate) dropped_datas: Box<[bool]>,
    /// The last one: globals and imports follow it.
    pub(crate) ctx: VmContext,
}

/// The globals that the module defines lie right behind the context, and how imports are called right behind these.
const _: () = assert!(
    std::mem::offset_of!(InstanceEntity, ctx) + VmContext::own_global_offset_bytes(0)
        == size_of::<InstanceEntity>()
        && align_of::<VmGlobal>() <= align_of::<VmContext>()
        && size_of::<VmGlobal>().is_multiple_of(align_of::<VmImport>())
);

/// The arrays that the context points to: owned here, read there.
struct ContextArrays {
    _memories: Box<[*mut VmMemory]>,
    _tables: Box<[*mut VmTable]>,
    _globals: Box<[*mut VmGlobal]>,
    _tags: Box<[*mut VmTag]>,
}

/// What an instance is made from: the entities of the store that fill its index spaces.
#[derive(Default)]
pub(crate) struct InstanceLinks {
    pub(crate) imported_funcs: Vec<*const VmFunc>,
    pub(crate) memory_ids: Vec<MemoryId>,
    pub(crate) memories: Vec<*mut VmMemory>,
    pub(crate) table_ids: Vec<TableId>,
    pub(crate) tables: Vec<*mut VmTable>,
    pub(crate) global_ids: Vec<GlobalId>,
    pub(crate) globals: Vec<*mut VmGlobal>,
    pub(crate) tag_ids: Vec<TagId>,
    pub(crate) tags: Vec<*mut VmTag>,
}

/// Owns an [`InstanceEntity`] at a fixed address, with the globals and imports behind it.
pub(crate) struct InstanceBox(NonNull<InstanceEntity>);

// SAFETY: the entity is owned; access needs the store, which one thread holds at a time.
unsafe impl Send for InstanceBox {}
// SAFETY: as above: a shared reference only reads.
unsafe impl Sync for InstanceBox {}

impl InstanceBox {
    pub(crate) fn new(
        id: InstanceId,
        module: &Module,
        store: &StoreCore,
        links: InstanceLinks,
    ) -> Result<InstanceBox, Error> {
        let parts = &*module.0;
        let charge = store.budget().hold(BudgetKind::Instance, cost_bytes(parts))?;
        let imported_funcs = links.imported_funcs.into_boxed_slice();
        let (memories, tables) = (links.memories.into_boxed_slice(), links.tables.into_boxed_slice());
        let tags = links.tags.into_boxed_slice();
        let own_globals = parts.own_globals();
        let place = allocate(parts)?;
        let own = (0..own_globals).map(|i| own_global(place, i).as_ptr());
        let globals: Box<[*mut VmGlobal]> = links.globals.into_iter().chain(own).collect();
        let memory0 = memories.first().copied().unwrap_or(store.no_memory());
        let ctx = VmContext {
            store: store.vm(),
            // As the store's: from 0 it would have to come round once.
            countdown: parts.engine().config().tuning.tier_up.back_edges.max(1),
            memory0,
            // SAFETY: a memory's record lives as long as the store.
            memory0_base: unsafe { (*memory0).base },
            table0: tables.first().copied().unwrap_or(std::ptr::null_mut()),
            entries: parts.code().entries(),
            imported_funcs: imported_funcs.as_ptr(),
            memories: memories.as_ptr(),
            tables: tables.as_ptr(),
            globals: globals.as_ptr(),
            tags: tags.as_ptr(),
            type_numbers: parts.type_numbers().as_ptr(),
            instance: std::ptr::null_mut(),
        };
        let entity = InstanceEntity {
            id,
            module: module.clone(),
            imported_funcs,
            memory_ids: links.memory_ids.into_boxed_slice(),
            table_ids: links.table_ids.into_boxed_slice(),
            global_ids: links.global_ids,
            tag_ids: links.tag_ids.into_boxed_slice(),
            func_refs: NonNull::from(Box::leak(Vec::new().into_boxed_slice())),
            _arrays: ContextArrays { _memories: memories, _tables: tables, _globals: globals, _tags: tags },
            _charge: charge,
            elems: parts.elems.iter().map(|_| None).collect(),
            dropped_datas: vec![false; parts.datas.len()].into_boxed_slice(),
            ctx,
        };
        // SAFETY: just allocated, with room for both, and nobody else has the pointer yet.
        unsafe {
            place.write(entity);
            for i in 0..own_globals {
                own_global(place, i).write(VmGlobal { slots: [0, 0] });
            }
            let ctx = &raw mut (*place.as_ptr()).ctx;
            for (i, func) in (*place.as_ptr()).imported_funcs.iter().enumerate() {
                imported(place, parts, i).write(VmImport {
                    ctx: if (**func).is_host() { ctx } else { (**func).ctx },
                    entry: (**func).entry,
                });
            }
            (*ctx).instance = place.as_ptr().cast();
            (*place.as_ptr()).func_refs = NonNull::from(Box::leak(func_refs(parts, ctx)));
        }
        Ok(InstanceBox(place))
    }

    /// A global that the module defines, counted from the first of those. It is good as long as the store has the instance.
    pub(crate) fn own_global(&self, i: usize, ty: GlobalType) -> GlobalEntity {
        // SAFETY: the globals lie behind the entity; a store keeps its instances.
        unsafe { GlobalEntity::of_instance(ty, own_global(self.0, i)) }
    }

    pub(crate) fn get(&self) -> &InstanceEntity {
        // SAFETY: the entity lives as long as `self`; guest code, which changes it, is not running while the store is borrowed.
        unsafe { self.0.as_ref() }
    }

    pub(crate) fn get_mut(&mut self) -> &mut InstanceEntity {
        // SAFETY: as in `get`, and the borrow is exclusive.
        unsafe { self.0.as_mut() }
    }
}

impl Drop for InstanceBox {
    fn drop(&mut self) {
        // SAFETY: both were made in `new`, and are freed once, here, when the store goes.
        unsafe {
            let (func_refs, parts) = (self.0.as_ref().func_refs, &*self.0.as_ref().module.0);
            let layout = layout(parts);
            self.0.drop_in_place();
            dealloc(self.0.as_ptr().cast(), layout);
            drop(Box::from_raw(func_refs.as_ptr()));
        }
    }
}

/// The layout of an instance of a module with the globals and imports behind it.
fn layout(parts: &ModuleParts) -> Layout {
    let entity = Layout::new::<InstanceEntity>();
    let bytes = entity.size()
        + parts.own_globals() * size_of::<VmGlobal>()
        + parts.imported_funcs as usize * size_of::<VmImport>();
    Layout::from_size_align(bytes, entity.align())
        .expect("the module itself has a longer record of each global and import, in memory")
}

/// What an instance of a module costs: its record and arrays, what the store's lists have of it, and the references of its element segments. Its memories and
/// tables are charged for themselves.
fn cost_bytes(parts: &ModuleParts) -> u64 {
    let references: u64 = parts.elems.iter().map(|elem| elem.items.len() as u64 * 8).sum();
    // An entry of a list that grows, the record behind it, and numbers and addresses of it in the instance.
    let entities = parts.tables.len() + parts.globals.len() + parts.tags.len() + parts.imports.len();
    let entries = entities as u64 * 128 + parts.memories.len() as u64 * MEMORY_COST_BYTES;
    let functions = parts.referenced_funcs.len() as u64 * size_of::<VmFunc>() as u64;
    let segments =
        parts.elems.len() as u64 * size_of::<Option<Box<[u64]>>>() as u64 + parts.datas.len() as u64;
    size_of::<InstanceEntity>() as u64 * 2 + references + entries + functions + segments
}

/// A mapping that is there, however little of it is used: the kernel's records and page tables.
const MEMORY_COST_BYTES: u64 = 16 << 10;

fn allocate(parts: &ModuleParts) -> Result<NonNull<InstanceEntity>, Error> {
    let layout = layout(parts);
    // SAFETY: the layout's size is not 0.
    let place = unsafe { alloc(layout) };
    NonNull::new(place.cast()).ok_or_else(|| {
        Error::new(ErrorKind::Os(format!("there is no memory for an instance of {} bytes", layout.size())))
    })
}

/// The place of a global behind an instance, which may not be there yet.
fn own_global(instance: NonNull<InstanceEntity>, i: usize) -> NonNull<VmGlobal> {
    // SAFETY: an instance has room for as many globals as its module defines.
    unsafe { instance.add(1).cast::<VmGlobal>().add(i) }
}

/// The place behind an instance that says how an imported function is called, which may not be there yet.
fn imported(instance: NonNull<InstanceEntity>, parts: &ModuleParts, i: usize) -> NonNull<VmImport> {
    // SAFETY: an instance has room for as many globals as its module defines, and then for as many of these as it imports functions.
    unsafe { instance.add(1).cast::<VmGlobal>().add(parts.own_globals()).cast::<VmImport>().add(i) }
}

fn func_refs(parts: &ModuleParts, ctx: *mut VmContext) -> Box<[VmFunc]> {
    let entries = parts.code().entries();
    let defined = parts.referenced_funcs.iter().filter_map(|func| Some((*func, parts.defined(*func)?)));
    defined
        .map(|(func, defined)| {
            let ty = parts.type_of_func(func);
            VmFunc {
                // SAFETY: `entries` has one entry for each function that the module defines.
                entry: unsafe { entries.add(defined.index()) },
                ctx,
                host: std::ptr::null(),
                signature: parts.type_id(ty).number(),
                ty: std::sync::Arc::as_ptr(&parts.types[ty.index()]),
                call_slots: parts.func_type(ty).call_slots(),
            }
        })
        .collect()
}

impl InstanceEntity {
    /// A function of the host that the instance has called, by the import that it is; without names where it came another way, as a reference.
    pub(crate) fn describe_host(&self, func: *const VmFunc) -> FrameInfo {
        let index = self.imported_funcs.iter().position(|imported| std::ptr::eq(*imported, func));
        let imports = &self.module.0.imports;
        let mut functions = imports.iter().filter(|import| matches!(import.item, Item::Func(_)));
        let import = index.and_then(|index| functions.nth(index));
        FrameInfo {
            module_name: import.map(|import| import.module.to_string()),
            func: FuncIndex(index.map_or(u32::MAX, |index| index as u32)),
            func_name: import.map(|import| import.name.to_string()),
            offset_bytes: None,
            times: 1,
            tier: FrameTier::Host,
            module: FrameModule::default(),
        }
    }

    /// The reference to a function; none where the module does not declare that it is referred to.
    pub(crate) fn func_ref(&self, func: FuncIndex) -> Option<*const VmFunc> {
        if let Some(imported) = self.imported_funcs.get(func.index()) {
            return Some(*imported);
        }
        let referenced = &self.module.0.referenced_funcs;
        let imported = referenced.partition_point(|func| func.index() < self.imported_funcs.len());
        let position = referenced[imported..].binary_search(&func).ok()?;
        // SAFETY: `func_refs` has one record for each referenced function that is not imported, in the same order, and
        // lives as long as the instance.
        Some(unsafe { self.func_refs.as_ptr().cast::<VmFunc>().add(position) })
    }

    /// The references of an element segment; empty once dropped.
    pub(crate) fn elem(&self, elem: ElemIndex) -> &[u64] {
        self.elems[elem.index()].as_deref().unwrap_or(&[])
    }

    /// The bytes of a data segment; empty once dropped.
    pub(crate) fn data(&self, data: DataIndex) -> &[u8] {
        if self.dropped_datas[data.index()] {
            return &[];
        }
        let contents = &self.module.0.datas[data.index()].contents;
        &self.module.0.bytes[contents.start as usize..contents.end as usize]
    }
}
