//! Instantiation, and what an instance exports (core specification 4.7.2, "Instantiation").

use crate::arena::ArenaId as _;
use crate::error::Error;
use crate::extern_::{Extern, Global, Memory, Table, Tag};
use crate::func::{Func, TypedFunc, WasmParams, WasmResults};
use crate::index::StoreId;
use crate::index::*;
use crate::instance_pre::Prepared;
use crate::linker::wrong_import;
use crate::module::{ElemItems, ElemSegment, Item, Module, ModuleParts, SegmentMode};
use crate::out_of_bounds::OutOfBounds;
use crate::portions::portions;
use crate::registry::Registry;
use crate::runtime::call;
use crate::runtime::copy_between;
use crate::runtime::instance::InstanceEntity;
use crate::runtime::instance::{InstanceBox, InstanceLinks};
use crate::store::{AsContext, AsContextMut, InstanceId, MemoryId, StoreContextMut, StoreCore, StoreInner};
use crate::trap::Trap;
use crate::types::*;
use crate::vmctx::host_stack;
use crate::vmctx::tag::TagEntity;

/// An instance of a module in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Instance {
    store: StoreId,
    id: InstanceId,
}

impl Instance {
    /// Instantiates `module` with `imports` in the order of its import section, and runs its start function if it has one.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Link`] where an import does not fit; limits; a trap while initialising.
    pub fn new(mut store: impl AsContextMut, module: &Module, imports: &[Extern]) -> Result<Instance, Error> {
        let store = store.as_context_mut();
        check_engine(&store.0.core, module)?;
        Instance::with_imports(store, module, (imports, Checked::Nothing))
    }

    /// As [`Instance::new`], of a module of the same engine as the store.
    pub(crate) fn with_imports<T: 'static>(
        mut store: StoreContextMut<'_, T>,
        module: &Module,
        given: (&[Extern], Checked),
    ) -> Result<Instance, Error> {
        let (instance, start) = Instance::prepare(&mut store, module, given)?;
        if let Some(start) = start {
            let record = start.record(&store.0.core)?;
            call::checked(Starting::enter(store.0).0, record, &mut [])?;
        }
        Ok(instance)
    }

    /// As [`Instance::new`], and its start function can wait: see [`Func::call_async`].
    ///
    /// # Errors
    /// As [`Instance::new`].
    #[cfg(feature = "async")]
    pub async fn new_async<T: Send + 'static>(
        mut store: impl AsContextMut<Data = T>,
        module: &Module,
        imports: &[Extern],
    ) -> Result<Instance, Error> {
        let store = store.as_context_mut();
        check_engine(&store.0.core, module)?;
        Instance::with_imports_async(store, module, (imports, Checked::Nothing)).await
    }

    /// As [`Instance::new_async`], of a module of the same engine as the store.
    #[cfg(feature = "async")]
    pub(crate) async fn with_imports_async<T: Send + 'static>(
        store: StoreContextMut<'_, T>,
        module: &Module,
        given: (&[Extern], Checked),
    ) -> Result<Instance, Error> {
        let (instance, start) = {
            let answered = Answered(&mut *store.0);
            answered.0.core.ask_ahead(&module.0).await?;
            Instance::prepare(&mut StoreContextMut(&mut *answered.0), module, given)?
        };
        if let Some(start) = start {
            let kind = crate::runtime::future::CallKind::Start;
            crate::runtime::future::call(store.0, start, &mut [], kind)?.await?;
        }
        Ok(instance)
    }

    /// Makes the instance, and tells its start function, which has not run yet.
    fn prepare<T: 'static>(
        store: &mut StoreContextMut<'_, T>,
        module: &Module,
        (imports, checked): (&[Extern], Checked),
    ) -> Result<(Instance, Option<Func>), Error> {
        host_stack::check()?;
        let timed = Timed::enter(store.0)?;
        let store = StoreContextMut(&mut *timed.0);
        let core = &mut store.0.core;
        let limit = core.limits.instances;
        if core.instances.len() >= limit {
            return Err(Error::limit(format!(
                "the store holds {limit} instances, the most it may (Limits::instances)"
            )));
        }
        if checked == Checked::Nothing {
            check_imports(&store, module, imports)?;
        }
        let core = &mut store.0.core;
        core.engine().tier().before_instance();
        let id = allocate(core, module, imports)?;
        initialize(core, id, module)?;
        let start = module.0.start.and_then(|start| core.instances[id].get().func_ref(start));
        let start = start.map(|record| Func::from_record(record, core)).transpose()?;
        Ok((Instance::from_id(id, core), start))
    }

    pub(crate) fn from_id(id: InstanceId, core: &StoreCore) -> Instance {
        Instance { store: core.id(), id }
    }

    /// The module that this is an instance of.
    ///
    /// # Errors
    /// Where the instance is of another store.
    pub fn module(&self, store: impl AsContext) -> Result<Module, Error> {
        let core = &store.as_context().0.core;
        self.owned(core).map(|entity| entity.module.clone())
    }

    /// What the instance exports under `name`; none where it exports nothing of that name, or is of another store.
    pub fn get_export(&self, store: impl AsContext, name: &str) -> Option<Extern> {
        let core = &store.as_context().0.core;
        let entity = self.entity(core)?;
        let export = entity.module.0.exports.iter().find(|export| &*export.name == name)?;
        entity.extern_of(export.item, core)
    }

    /// The function that the instance exports under `name`.
    pub fn get_func(&self, store: impl AsContext, name: &str) -> Option<Func> {
        self.get_export(store, name)?.into_func()
    }

    /// The memory that the instance exports under `name`.
    pub fn get_memory(&self, store: impl AsContext, name: &str) -> Option<Memory> {
        self.get_export(store, name)?.into_memory()
    }

    /// The table that the instance exports under `name`.
    pub fn get_table(&self, store: impl AsContext, name: &str) -> Option<Table> {
        self.get_export(store, name)?.into_table()
    }

    /// The global that the instance exports under `name`.
    pub fn get_global(&self, store: impl AsContext, name: &str) -> Option<Global> {
        self.get_export(store, name)?.into_global()
    }

    /// The tag that the instance exports under `name`.
    pub fn get_tag(&self, store: impl AsContext, name: &str) -> Option<Tag> {
        self.get_export(store, name)?.into_tag()
    }

    /// The function that the instance exports under `name`, with its type stated in Rust.
    ///
    /// # Errors
    /// Where there is no such function, or it has another type; where the instance is of another store.
    pub fn get_typed_func<P: WasmParams, R: WasmResults>(
        &self,
        store: impl AsContext,
        name: &str,
    ) -> Result<TypedFunc<P, R>, Error> {
        self.owned(&store.as_context().0.core)?;
        let found = self.get_export(&store, name);
        let func = match found {
            Some(Extern::Func(func)) => func,
            Some(other) => {
                let what = other.noun();
                return Err(Error::usage(format!(
                    "the instance exports `{name}` as {what}, not as a function"
                )));
            }
            None => return Err(Error::usage(format!("the instance exports no function `{name}`"))),
        };
        func.typed_as(store, &format!("`{name}`"))
    }

    /// All exports with their names, in order; none where the instance is of another store.
    pub fn exports(&self, store: impl AsContext) -> Vec<(String, Extern)> {
        let core = &store.as_context().0.core;
        let Some(entity) = self.entity(core) else { return Vec::new() };
        let exports = entity.module.0.exports.iter();
        exports
            .filter_map(|export| Some((export.name.to_string(), entity.extern_of(export.item, core)?)))
            .collect()
    }

    /// What the instance is in its store.
    pub(crate) fn owned<'a>(&self, core: &'a StoreCore) -> Result<&'a InstanceEntity, Error> {
        self.entity(core).ok_or_else(|| Error::foreign("the instance"))
    }

    fn entity<'a>(&self, core: &'a StoreCore) -> Option<&'a InstanceEntity> {
        (self.store == core.id()).then(|| core.instances[self.id].get())
    }
}

/// A store while an instance is made in it, which counts as processor time of its guests however it ends.
struct Timed<'a, T: 'static>(&'a mut StoreInner<T>);

impl<'a, T> Timed<'a, T> {
    fn enter(store: &'a mut StoreInner<T>) -> Result<Timed<'a, T>, Error> {
        if let Some(time) = &store.core.processor_time {
            time.enter()?;
        }
        Ok(Timed(store))
    }
}

impl<T> Drop for Timed<'_, T> {
    fn drop(&mut self) {
        if let Some(time) = &self.0.core.processor_time {
            time.leave();
        }
    }
}

/// A store whose limiter is asked about an instance, and says nothing about anything else, however that ends.
#[cfg(feature = "async")]
struct Answered<'a, T: 'static>(&'a mut StoreInner<T>);

#[cfg(feature = "async")]
impl<T> Drop for Answered<'_, T> {
    fn drop(&mut self) {
        self.0.core.answers.end();
    }
}

/// A store while a start function runs in it, however that ends.
struct Starting<'a, T: 'static>(&'a mut StoreInner<T>);

impl<'a, T> Starting<'a, T> {
    fn enter(store: &'a mut StoreInner<T>) -> Starting<'a, T> {
        store.core.starting += 1;
        Starting(store)
    }
}

impl<T> Drop for Starting<'_, T> {
    fn drop(&mut self) {
        self.0.core.starting -= 1;
    }
}

impl InstanceEntity {
    fn extern_of(&self, item: Item, core: &StoreCore) -> Option<Extern> {
        Some(match item {
            Item::Func(func) => Extern::Func(Func::from_record(self.func_ref(func)?, core).ok()?),
            Item::Table(table) => Extern::Table(Table::from_id(self.table_ids[table.index()], core)),
            Item::Memory(memory) => Extern::Memory(Memory::from_id(self.memory_ids[memory.index()], core)),
            Item::Global(global) => Extern::Global(Global::from_id(self.global_ids[global.index()], core)),
            Item::Tag(tag) => Extern::Tag(Tag::from_id(self.tag_ids[tag.index()], core)),
        })
    }
}

/// Which of a module's imports have been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checked {
    Nothing,
    All,
}

/// Checks imports that belong to no store; where all are such, they need not be checked again.
pub(crate) fn check_prepared(module: &Module, imports: &[Prepared]) -> Result<Checked, Error> {
    let registry = module.engine().registry();
    let mut checked = Checked::All;
    for (import, given) in module.0.imports.iter().zip(imports) {
        let want = module.0.item_type(import.item);
        let (fits, have) = match (import.item, given) {
            (_, Prepared::Item(_)) => {
                checked = Checked::Nothing;
                continue;
            }
            (item, Prepared::Host(func)) => {
                let fits = match item {
                    Item::Func(func_index) => {
                        let want = HeapType::Concrete(module.0.type_id(module.0.type_of_func(func_index)));
                        registry.heap_matches(HeapType::Concrete(func.type_id()), want)
                    }
                    _ => false,
                };
                (fits, ExternType::Func(func.ty()))
            }
            (_, Prepared::SharedMemory(memory)) => {
                let have = ExternType::Memory(memory.ty());
                (matches(registry, &have, &want), have)
            }
        };
        if !fits {
            return Err(wrong_import(&import.module, &import.name, &want, &have));
        }
    }
    Ok(checked)
}

fn check_engine(core: &StoreCore, module: &Module) -> Result<(), Error> {
    match crate::Engine::same(core.engine(), module.engine()) {
        true => Ok(()),
        false => Err(Error::usage("the module was made for another engine than the store")),
    }
}

fn check_imports(store: &impl AsContext, module: &Module, imports: &[Extern]) -> Result<(), Error> {
    let wanted = &module.0.imports;
    if wanted.len() != imports.len() {
        let message = format!("the module has {} imports, but {} were given", wanted.len(), imports.len());
        return Err(Error::link(message));
    }
    let registry = module.engine().registry();
    for (import, given) in wanted.iter().zip(imports) {
        let (want, have) = (module.0.item_type(import.item), given.ty(store)?);
        let fits = match (import.item, given) {
            // Types that look alike can differ in the groups they were defined in.
            (Item::Func(func), Extern::Func(given)) => {
                let want = HeapType::Concrete(module.0.type_id(module.0.type_of_func(func)));
                let have = HeapType::Concrete(given.type_id(&store.as_context().0.core)?);
                registry.heap_matches(have, want)
            }
            (Item::Tag(tag), Extern::Tag(given)) => {
                let core = &store.as_context().0.core;
                core.tags[given.id(core)?].ty().id == module.0.type_id(module.0.tags[tag.index()])
            }
            _ => matches(registry, &have, &want),
        };
        if !fits {
            return Err(wrong_import(&import.module, &import.name, &want, &have));
        }
    }
    Ok(())
}

/// Import matching (core specification 3.3.10), of all but functions and tags.
fn matches(registry: &Registry, have: &ExternType, want: &ExternType) -> bool {
    match (have, want) {
        (ExternType::Table(have), ExternType::Table(want)) => {
            have.element == want.element && have.index == want.index && have.size.satisfies(&want.size)
        }
        (ExternType::Memory(have), ExternType::Memory(want)) => have.satisfies(want),
        (ExternType::Global(have), ExternType::Global(want)) => {
            have.mutability == want.mutability
                && match want.mutability {
                    Mutability::Var => have.content == want.content,
                    Mutability::Const => registry.val_matches(have.content, want.content),
                }
        }
        _ => false,
    }
}

fn allocate(core: &mut StoreCore, module: &Module, imports: &[Extern]) -> Result<InstanceId, Error> {
    let parts = &*module.0;
    let mut links = InstanceLinks::default();
    for import in imports {
        match import {
            Extern::Func(func) => links.imported_funcs.push(func.record(core)?),
            Extern::Table(table) => links.table_ids.push(table.id(core)?),
            Extern::Memory(memory) => links.memory_ids.push(memory.id(core)?),
            Extern::Global(global) => links.global_ids.push(global.id(core)?),
            Extern::Tag(tag) => links.tag_ids.push(tag.id(core)?),
        }
    }
    for table in &parts.tables[parts.imported_tables as usize..] {
        links.table_ids.push(core.new_table(table.ty)?);
    }
    for (i, memory) in parts.memories[parts.imported_memories as usize..].iter().enumerate() {
        let image = if i == 0 { parts.memory_image(core.engine().memories()) } else { None };
        links.memory_ids.push(core.new_memory(*memory, image)?);
    }
    for tag in &parts.tags[parts.imported_tags as usize..] {
        links.tag_ids.push(core.tags.push(TagEntity::new(parts.types[tag.index()].clone()))?);
    }
    links.tags = links.tag_ids.iter().map(|id| core.tags[*id].vm()).collect();
    links.tables = links.table_ids.iter().map(|id| core.tables[*id].vm()).collect();
    links.memories = links.memory_ids.iter().map(|id| core.memories[*id].vm()).collect();
    links.globals = links.global_ids.iter().map(|id| core.globals[*id].vm()).collect();
    let next = InstanceId::from_position(core.instances.len() as u32);
    let instance = InstanceBox::new(next, module, core, links)?;
    let instance = core.instances.push(instance)?;
    for (i, global) in parts.globals[parts.imported_globals as usize..].iter().enumerate() {
        // The instance has its records, and is the store's from here on.
        let global = core.instances[instance].own_global(i, global.ty);
        let id = core.globals.push(global)?;
        core.instances[instance].get_mut().global_ids.push(id);
    }
    Ok(instance)
}

/// Elements that are written between two looks whether the guest is to stop.
const ELEMENTS_AT_ONCE: usize = 1 << 17;

/// Gives globals, tables and memories their first contents, in the order that the specification prescribes.
fn initialize(core: &mut StoreCore, id: InstanceId, module: &Module) -> Result<(), Error> {
    let parts = &*module.0;
    let with_image = memory_with_image(core, id, parts);
    if let Err(error) = initialize_globals_and_tables(core, id, parts) {
        // What is in memory comes later, and others may have references to the instance's functions by now.
        if let Some(memory) = with_image {
            core.memories[memory].forget_image();
        }
        return Err(error);
    }
    match with_image {
        // An image is what all active segments together write.
        Some(_) => {
            let entity = core.instances[id].get_mut();
            for (data, is_dropped) in parts.datas.iter().zip(&mut entity.dropped_datas) {
                *is_dropped |= matches!(data.mode, SegmentMode::Active { .. });
            }
            Ok(())
        }
        None => initialize_memories(core, id, parts),
    }
}

/// The memory that begins with the module's image, if one does.
fn memory_with_image(core: &StoreCore, id: InstanceId, parts: &ModuleParts) -> Option<MemoryId> {
    let memory = *core.instances[id].get().memory_ids.get(parts.imported_memories as usize)?;
    core.memories[memory].has_image().then_some(memory)
}

fn initialize_globals_and_tables(
    core: &mut StoreCore,
    id: InstanceId,
    parts: &ModuleParts,
) -> Result<(), Error> {
    for (index, global) in parts.globals.iter().enumerate() {
        if let Some(init) = &global.init {
            core.stop_if_asked()?;
            let value = core.evaluate(id, init)?;
            let global_id = core.instances[id].get().global_ids[index];
            core.globals[global_id].set_slots(value);
        }
    }
    for (index, table) in parts.tables.iter().enumerate() {
        if let Some(init) = &table.init {
            let [value, _] = core.evaluate(id, init)?;
            let table_id = core.instances[id].get().table_ids[index];
            for portion in core.tables[table_id].elements_mut().chunks_mut(ELEMENTS_AT_ONCE) {
                portion.fill(value);
                core.record.stop_if_asked()?;
            }
        }
    }
    for (index, elem) in parts.elems.iter().enumerate() {
        let references = elem_references(core, id, elem)?;
        core.instances[id].get_mut().elems[index] = Some(references);
    }
    initialize_tables(core, id, parts)
}

fn initialize_tables(core: &mut StoreCore, id: InstanceId, parts: &ModuleParts) -> Result<(), Error> {
    for (index, elem) in parts.elems.iter().enumerate() {
        if let SegmentMode::Active { target, offset } = &elem.mode {
            let [offset, _] = core.evaluate(id, offset)?;
            let entity = core.instances[id].get();
            let (table, references) =
                (entity.table_ids[target.index()], entity.elem(ElemIndex(index as u32)));
            let references: Box<[u64]> = references.into();
            let len = references.len() as u64;
            let elements = core.tables[table].elements_mut();
            let size = elements.len() as u64;
            copy_between((elements, offset), (&references, 0), len, || core.record.stop_if_asked())
                .ok_or_else(|| {
                    let beyond = OutOfBounds::Table { element: offset, count: len, elements: size };
                    Error::beyond(Trap::TableOutOfBounds, beyond)
                })??;
        }
        if !matches!(elem.mode, SegmentMode::Passive) {
            core.instances[id].get_mut().elems[index] = None;
        }
    }
    Ok(())
}

fn initialize_memories(core: &mut StoreCore, id: InstanceId, parts: &ModuleParts) -> Result<(), Error> {
    for (index, data) in parts.datas.iter().enumerate() {
        if let SegmentMode::Active { target, offset } = &data.mode {
            let [offset, _] = core.evaluate(id, offset)?;
            let memory = core.instances[id].get().memory_ids[target.index()];
            let contents = &parts.bytes[data.contents.start as usize..data.contents.end as usize];
            let len = contents.len() as u64;
            core.memories[memory].range(offset, len).ok_or_else(|| {
                let memory_bytes = core.memories[memory].len_bytes() as u64;
                Error::beyond(Trap::MemoryOutOfBounds, OutOfBounds::memory(offset, len, memory_bytes))
            })?;
            for portion in portions(contents.len(), 1) {
                let start = offset + portion.start as u64;
                core.memories[memory].write(start, &contents[portion]).ok_or(Trap::MemoryOutOfBounds)?;
                core.stop_if_asked()?;
            }
            core.instances[id].get_mut().dropped_datas[index] = true;
        }
    }
    Ok(())
}

fn elem_references(core: &mut StoreCore, id: InstanceId, elem: &ElemSegment) -> Result<Box<[u64]>, Error> {
    let exprs = match &elem.items {
        ElemItems::Funcs(funcs) => {
            let entity = core.instances[id].get();
            return Ok(funcs.iter().map(|func| reference(entity, *func)).collect());
        }
        ElemItems::Exprs(exprs) => exprs,
    };
    // On the evaluation stack, where a collection during a later expression sees them.
    let height = core.evaluation.len();
    let evaluated = exprs.iter().try_for_each(|expr| {
        core.stop_if_asked()?;
        let value = core.evaluate(id, expr)?;
        core.evaluation.push(value);
        Ok(())
    });
    let references = core.evaluation.drain(height..).map(|value| value[0]).collect();
    evaluated.map(|()| references)
}

fn reference(entity: &InstanceEntity, func: FuncIndex) -> u64 {
    entity.func_ref(func).map_or(0, |record| record as usize as u64)
}
