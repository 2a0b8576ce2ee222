//! The store: everything that instances are made of, owned in one place (core specification 4.2.3, "Store").
//!
//! [`Store`] holds the embedder's data and the [`StoreCore`], which does not depend on the data's type. Handles ([`crate::Func`],
//! [`crate::Memory`], ...) are small values that name an entity and its store, and are useless with another one.
//!
//! Must stay true: entities are never removed while the store lives, so that handles and references stay good.

use std::any::Any;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;

pub(crate) use crate::arena::{Arena, GlobalId, InstanceId, MemoryId, TableId, TagId};

use crate::arena::{ArenaId as _, two};
#[cfg(feature = "async")]
use crate::async_limiter::Answers;
use crate::attachment::Attachments;
use crate::budget::Budget;
use crate::config::Metering;
use crate::deadline::Deadline;
use crate::engine::Engine;
use crate::error::Error;
use crate::host_panics::FirstPanic;
use crate::index::StoreId;
use crate::instance::Instance;
use crate::instance_pre::InstancePre;
use crate::limiter::{Growing, Limiter};
use crate::limits::Limits;
use crate::memory_pool::MemoryImage;
use crate::out_of_bounds::OutOfBounds;
use crate::processor_time::ProcessorTime;
use crate::profile::Profile;
use crate::reference::{OwnedRoots, Root};
use crate::registry::{HeldTypes, TypeRecord};
use crate::runtime::host::{HostCode, HostFuncBox};
use crate::runtime::instance::InstanceBox;
use crate::store_builder::StoreBuilder;
#[cfg(feature = "async")]
use crate::time_slice::TimeSlice;
use crate::trap::{Backtrace, Trap};
use crate::types::{GlobalType, MemoryType, Sharing, TableType};
use crate::vmctx::global::GlobalEntity;
use crate::vmctx::memory::OwnMemory;
use crate::vmctx::object::Heap;
use crate::vmctx::record::{InterruptHandle, Request, StoreRecord};
use crate::vmctx::shared_memory::SharedMemory;
use crate::vmctx::table::TableEntity;
use crate::vmctx::tag::TagEntity;
use crate::vmctx::{LinearMemory, VmFunc, VmMemory, VmStore};

/// Instances and all they consist of, together with data of the embedder's. One for `T` never passes for one of another type, however alike they are:
///
/// ```compile_fail
/// use innkeeper_engine::Store;
/// fn narrow(store: Store<for<'b> fn(&'b str)>) -> Store<fn(&'static str)> {
///     store
/// }
/// ```
pub struct Store<T: 'static> {
    pub(crate) inner: Box<StoreInner<T>>,
}

/// A shared borrow of a store.
pub struct StoreContext<'a, T: 'static>(pub(crate) &'a StoreInner<T>);

/// An exclusive borrow of a store.
pub struct StoreContextMut<'a, T: 'static>(pub(crate) &'a mut StoreInner<T>);

/// Whatever gives shared access to a store.
pub trait AsContext {
    /// The type of the embedder's data.
    type Data: 'static;
    /// The store.
    fn as_context(&self) -> StoreContext<'_, Self::Data>;
}

/// Whatever gives exclusive access to a store.
pub trait AsContextMut: AsContext {
    /// The store.
    fn as_context_mut(&mut self) -> StoreContextMut<'_, Self::Data>;
}

pub(crate) struct StoreInner<T> {
    pub(crate) core: StoreCore,
    pub(crate) data: T,
    /// Functions of the host were made for exactly this type.
    exact: PhantomData<fn(T) -> T>,
}

/// What a store holds, whatever the embedder's data is.
pub(crate) struct StoreCore {
    id: StoreId,
    pub(crate) budget: Budget,
    pub(crate) limits: Limits,
    /// Who else is asked about growth.
    pub(crate) limiter: Option<Limiter>,
    #[cfg(feature = "async")]
    pub(crate) answers: Answers,
    /// Before the record, which says how far the stack of one was used that runs.
    #[cfg(feature = "fibers")]
    pub(crate) fibers: crate::runtime::fibers::Fibers,
    pub(crate) record: StoreRecord,
    /// Dropped before the instances, whose modules hold the types of its objects.
    pub(crate) heap: Heap,
    pub(crate) memories: Arena<LinearMemory, MemoryId>,
    pub(crate) tables: Arena<TableEntity, TableId>,
    pub(crate) globals: Arena<GlobalEntity, GlobalId>,
    pub(crate) instances: Arena<InstanceBox, InstanceId>,
    pub(crate) tags: Arena<TagEntity, TagId>,
    host_funcs: Vec<HostFuncBox>,
    /// What holds types of functions of the host that hold none themselves; after these.
    kept_types: Vec<Arc<dyn Any + Send + Sync>>,
    /// What else its functions of the host belong to, by its address: it lives as long as the store does.
    host_owners: HashMap<usize, Arc<dyn Any + Send + Sync>>,
    /// What layers above keep with the store.
    pub(crate) attachments: Attachments,
    /// References that the embedder holds.
    pub(crate) roots: Vec<Root>,
    pub(crate) root_generation: u64,
    /// References that the embedder holds until it lets each go.
    pub(crate) owned_roots: OwnedRoots,
    /// The deadline that is running; dropped, it is lifted.
    deadline: Option<Deadline>,
    /// What is left of the processor time, where that is limited.
    pub(crate) processor_time: Option<ProcessorTime>,
    /// After how long guests let others have their turn.
    #[cfg(feature = "async")]
    pub(crate) time_slice: Option<TimeSlice>,
    /// Whether a call that can wait has ever waited at an address of a memory.
    #[cfg(feature = "async")]
    pub(crate) has_parked: bool,
    /// The samples of guests' stacks, if somebody wants them.
    pub(crate) profile: Option<Profile>,
    /// What was asked for that is out of bounds, until the trap's error has it.
    pub(crate) beyond: Option<OutOfBounds>,
    /// Values of constant expressions being evaluated.
    pub(crate) evaluation: Vec<[u64; 2]>,
    /// Start functions that are running.
    pub(crate) starting: u32,
    /// What code of the host's panicked with that was run while guest code was under way: a destructor in a collection, a limiter.
    pub(crate) host_panics: FirstPanic,
    /// Types that the embedder has named; behind everything that may be of them.
    pub(crate) held_types: HeldTypes,
    /// Last, and so dropped last: tiers belong to it, and everything above points to them.
    engine: Engine,
}

impl<T> Store<T> {
    /// An empty store, with a budget of its own ([`crate::Limits::memory_bytes`]).
    ///
    /// # Errors
    /// Where the operating system refuses the guest's stack.
    pub fn new(engine: &Engine, data: T) -> Result<Store<T>, Error> {
        Store::with_limits(engine, data, (&Budget::of_engine(engine), engine.config().limits.clone()))
    }

    /// An empty store whose guests charge what they hold to `budget`, together with all others that do.
    ///
    /// # Errors
    /// Where the budget or the operating system refuses the guest's stack.
    pub fn with_budget(engine: &Engine, data: T, budget: &Budget) -> Result<Store<T>, Error> {
        Store::with_limits(engine, data, (budget, engine.config().limits.clone()))
    }

    /// A store with limits of its own, a limiter, a deadline, fuel.
    pub fn builder(engine: &Engine, data: T) -> StoreBuilder<'_, T> {
        StoreBuilder::new(engine, data)
    }

    pub(crate) fn with_limits(
        engine: &Engine,
        data: T,
        (budget, limits): (&Budget, Limits),
    ) -> Result<Store<T>, Error> {
        Ok(Store {
            inner: Box::new(StoreInner {
                core: StoreCore::new(engine, budget.clone(), limits)?,
                data,
                exact: PhantomData,
            }),
        })
    }

    /// What the store's guests charge what they hold to.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.inner.core.budget
    }

    /// The engine that the store was made for.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.inner.core.engine
    }

    /// The embedder's data.
    #[must_use]
    pub fn data(&self) -> &T {
        &self.inner.data
    }

    /// The embedder's data.
    pub fn data_mut(&mut self) -> &mut T {
        &mut self.inner.data
    }

    /// Lets another thread stop the store's guests.
    #[must_use]
    pub fn interrupt_handle(&self) -> InterruptHandle {
        self.inner.core.record.interrupt_handle().clone()
    }

    /// Begins to gather samples of guests' stacks, which [`InterruptHandle::sample`] asks for.
    pub fn start_profile(&mut self) {
        let core = &mut self.inner.core;
        core.record.take_ticks();
        core.profile = Some(Profile::default());
    }

    /// Ends it; none where none was begun.
    pub fn take_profile(&mut self) -> Option<Profile> {
        self.inner.core.profile.take()
    }

    /// Makes guests trap with [`crate::Trap::DeadlineExceeded`] when `after` has passed from now, however many calls there are until then, and every one that is called after
    /// that, at once, until this is called again: a store that is past its deadline runs no guests. [`Store::reset`] changes nothing about it. A host that bounds each call
    /// sets it before each.
    ///
    /// A deadline that was set before is lifted: it stops nobody any more, also where its time was up, whether or not a guest has seen it. None only lifts.
    ///
    /// # Errors
    /// Where the operating system refuses the thread that watches the time.
    pub fn set_deadline(&mut self, after: Option<std::time::Duration>) -> Result<(), Error> {
        // The old one first: it would take back what the new one has asked for.
        self.inner.core.deadline = None;
        self.inner.core.deadline = match after {
            Some(after) => Some(Deadline::start(self.interrupt_handle(), after)?),
            None => None,
        };
        Ok(())
    }

    /// Lets guests use so much processor time from now on, together with the functions of the host that they call; then they trap with
    /// [`crate::Trap::DeadlineExceeded`]. None lifts the limit. It is counted by call, instantiation being one: each outermost call of a guest then costs some calls of the system.
    pub fn set_processor_time(&mut self, limit: Option<std::time::Duration>) {
        // The old one first: it would take back what the new one has asked for.
        self.inner.core.processor_time = None;
        let handle = self.interrupt_handle();
        self.inner.core.processor_time = limit.map(|limit| ProcessorTime::new(handle, limit));
    }

    /// What is left of the processor time, as of the last call that returned; none where there is no limit.
    #[must_use]
    pub fn processor_time_left(&self) -> Option<std::time::Duration> {
        self.inner.core.processor_time.as_ref().map(ProcessorTime::left)
    }

    /// Counts what a future does that makes several calls into the store, all that a poll does at once: each call that is counted by itself costs some calls of the system.
    #[cfg(feature = "async")]
    #[must_use]
    pub fn processor_time_counter(&self) -> crate::ProcessorTimeCounter {
        ProcessorTime::counter(self.inner.core.processor_time.as_ref())
    }

    /// Gives guests `units` of fuel, one for each instruction; without any left they trap with [`crate::Trap::OutOfFuel`]. What they use is
    /// the same in every tier and every run.
    ///
    /// # Errors
    /// Where the engine's configuration does not meter fuel.
    pub fn set_fuel(&mut self, units: u64) -> Result<(), Error> {
        self.inner.core.check_metering()?;
        self.inner.core.record.set_fuel(units);
        Ok(())
    }

    /// The fuel that is left.
    ///
    /// # Errors
    /// Where the engine's configuration does not meter fuel.
    #[doc(alias = "get_fuel")]
    pub fn fuel(&self) -> Result<u64, Error> {
        self.inner.core.check_metering()?;
        Ok(self.inner.core.record.fuel())
    }

    /// Forgets every reference to objects that the embedder holds; using one afterwards is an error. Objects that guests still
    /// reach stay.
    ///
    /// One that is to be released by itself is held as an [`crate::OwnedRooted`], which this leaves alone.
    pub fn release_references(&mut self) {
        self.inner.core.roots.clear();
    }

    /// Frees every object that nothing refers to; otherwise that happens when the heap has grown enough.
    #[doc(alias = "gc")]
    pub fn collect_garbage(&mut self) {
        self.as_context_mut().gc();
    }

    /// [`Store::collect_garbage`], by its short name.
    pub fn gc(&mut self) {
        self.collect_garbage();
    }

    /// Begins anew with one instance of a module: what there was in the store is gone, and handles to it are useless, as those of another store. The embedder's data stays, and so do limits,
    /// limiter, deadline, processor time and fuel. Where it fails the store is empty.
    ///
    /// # Errors
    /// As [`InstancePre::instantiate`].
    pub fn reset(&mut self, pre: &InstancePre<T>) -> Result<Instance, Error> {
        self.inner.core.clear();
        pre.instantiate(self)
    }

    /// Gives the embedder's data back; the instances are gone.
    #[must_use]
    pub fn into_data(self) -> T {
        self.inner.data
    }
}

impl StoreCore {
    fn new(engine: &Engine, budget: Budget, limits: Limits) -> Result<StoreCore, Error> {
        Ok(StoreCore {
            id: StoreId::next(),
            record: StoreRecord::new(
                (engine.stack_for(&limits)?, engine.records()),
                engine.tier().libcalls(),
                engine.config().tuning.tier_up.back_edges.max(1),
                engine.parking().clone(),
                &budget,
            )?,
            #[cfg(feature = "fibers")]
            fibers: crate::runtime::fibers::Fibers::default(),
            memories: Arena::new(),
            tables: Arena::new(),
            globals: Arena::new(),
            instances: Arena::new(),
            tags: Arena::new(),
            host_funcs: Vec::new(),
            kept_types: Vec::new(),
            host_owners: HashMap::new(),
            attachments: Attachments::default(),
            heap: Heap::new(limits.heap_bytes, engine.config().tuning.collection, &budget),
            roots: Vec::new(),
            root_generation: 0,
            owned_roots: OwnedRoots::default(),
            deadline: None,
            processor_time: None,
            #[cfg(feature = "async")]
            time_slice: None,
            #[cfg(feature = "async")]
            has_parked: false,
            profile: None,
            beyond: None,
            evaluation: Vec::new(),
            budget,
            limits,
            limiter: None,
            #[cfg(feature = "async")]
            answers: Answers::default(),
            starting: 0,
            held_types: HeldTypes::new(engine.registry()),
            host_panics: FirstPanic::default(),
            engine: engine.clone(),
        })
    }

    /// Removes everything that is in the store. Nobody has called into it. Where destructors of the embedder's panic, the first of these panics goes on when all is done.
    fn clear(&mut self) {
        let mut panics = FirstPanic::default();
        // Handles name the store: those that there are name none any more.
        self.id = StoreId::next();
        self.roots.clear();
        self.owned_roots = OwnedRoots::default();
        self.evaluation.clear();
        self.starting = 0;
        #[cfg(feature = "async")]
        self.answers.end();
        #[cfg(feature = "fibers")]
        self.fibers.clear(&mut self.record);
        self.record.clear(&mut panics);
        self.leave_queues();
        self.drop_entities(&mut panics);
        self.heap = Heap::new(self.limits.heap_bytes, self.engine.config().tuning.collection, &self.budget);
        self.held_types = HeldTypes::new(self.engine.registry());
        panics.go_on();
    }

    /// Takes calls that were leaked while they waited out of the queues that all stores share.
    fn leave_queues(&mut self) {
        #[cfg(feature = "async")]
        if std::mem::take(&mut self.has_parked) {
            self.engine.parking().forget(self.record.vm() as usize);
        }
    }

    /// Drops what was made in the store, and what belongs to the embedder of it.
    fn drop_entities(&mut self, panics: &mut FirstPanic) {
        // Objects need the types of modules, and these the engine.
        self.heap.free_all(panics);
        self.memories.clear();
        self.tables.clear();
        self.globals.clear();
        self.instances.clear();
        self.tags.clear();
        self.attachments.clear(panics);
        panics.drop_all(self.host_funcs.drain(..));
        panics.drop_all(self.host_owners.drain());
        self.kept_types.clear();
        panics.drop_taken(&mut self.host_panics.take());
    }

    pub(crate) fn check_metering(&self) -> Result<(), Error> {
        match self.engine.config().metering {
            Metering::Fuel => Ok(()),
            Metering::Off => Err(Error::usage("the engine does not meter fuel (Config::metering)")),
        }
    }

    #[inline]
    pub(crate) fn id(&self) -> StoreId {
        self.id
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn vm(&self) -> *mut VmStore {
        self.record.vm()
    }

    pub(crate) fn no_memory(&self) -> *mut VmMemory {
        self.record.no_memory()
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    /// A memory that begins with zeros, or with `image`, where it can.
    pub(crate) fn new_memory(
        &mut self,
        ty: MemoryType,
        image: Option<&Arc<MemoryImage>>,
    ) -> Result<MemoryId, Error> {
        ty.check()?;
        self.check_new_memory(&ty)?;
        let layout = self.engine.config().tuning.memory_layout;
        let memory = match ty.sharing {
            Sharing::Unshared => {
                let place = (layout, self.engine.memories());
                OwnMemory::new(ty, place, image, &self.budget).map(LinearMemory::Own)
            }
            Sharing::Shared => {
                SharedMemory::with_budget(&self.engine, ty, &self.budget).map(LinearMemory::Shared)
            }
        };
        let memory = memory.inspect_err(|_| self.tell_failed(Growing::Memory))?;
        self.memories.push(memory)
    }

    /// The store's own number for a shared memory, given now if it has none yet.
    pub(crate) fn adopt_memory(&mut self, memory: &SharedMemory) -> Result<MemoryId, Error> {
        if !memory.is_of(&self.engine) {
            return Err(Error::usage("the shared memory was made for another engine than the store"));
        }
        let adopted = self.memories.iter().position(
            |known| matches!(known, LinearMemory::Shared(known) if SharedMemory::same(known, memory)),
        );
        match adopted {
            Some(position) => Ok(MemoryId::from_position(position as u32)),
            None => self.memories.push(LinearMemory::Shared(memory.clone())),
        }
    }

    pub(crate) fn new_table(&mut self, ty: TableType) -> Result<TableId, Error> {
        self.check_new_table(&ty)?;
        let table = TableEntity::new(ty, self.limits.table_elements, &self.budget)
            .inspect_err(|_| self.tell_failed(Growing::Table))?;
        self.tables.push(table)
    }

    pub(crate) fn new_global(&mut self, ty: GlobalType, slots: [u64; 2]) -> Result<GlobalId, Error> {
        self.globals.push(GlobalEntity::new(ty, slots))
    }

    pub(crate) fn new_host_func(
        &mut self,
        code: Arc<dyn HostCode>,
        ty: &crate::types::FuncType,
    ) -> Result<*const VmFunc, Error> {
        let record = self.held_types.intern_func(ty)?;
        Ok(self.new_host_func_of(code, &record, ty.call_slots()))
    }

    /// As [`StoreCore::new_host_func`], of a type that is held as long as this store.
    pub(crate) fn new_host_func_of(
        &mut self,
        code: Arc<dyn HostCode>,
        ty: &Arc<TypeRecord>,
        call_slots: u32,
    ) -> *const VmFunc {
        let func = HostFuncBox::new(code, ty, call_slots, self.engine.tier().host_entry());
        let vm = func.vm();
        self.host_funcs.push(func);
        vm
    }

    /// Holds types as long as this store.
    pub(crate) fn keep_types<O: Any + Send + Sync>(&mut self, owner: &Arc<O>) {
        let address = Arc::as_ptr(owner) as usize;
        // Most often they are those that the last function was of.
        if self.kept_types.last().is_none_or(|last| Arc::as_ptr(last).addr() != address) {
            self.kept_types.push(Arc::clone(owner) as Arc<dyn Any + Send + Sync>);
        }
    }

    /// Keeps what owns functions of the host until the store goes; once, however often it is linked.
    pub(crate) fn keep_host_owner<O: Any + Send + Sync>(&mut self, owner: &Arc<O>) {
        let address = Arc::as_ptr(owner) as usize;
        self.host_owners.entry(address).or_insert_with(|| Arc::clone(owner) as Arc<dyn Any + Send + Sync>);
    }

    /// Where the guest's stack is free.
    pub(crate) fn stack_top(&self) -> *mut u64 {
        self.record.stack_top()
    }

    /// Whether another thread wants the guest to stop.
    pub(crate) fn is_stop_requested(&self) -> bool {
        self.record.is_stop_requested()
    }

    /// Traps where another thread wants the guest to stop.
    ///
    /// # Errors
    /// [`Trap::Interrupted`], [`Trap::DeadlineExceeded`].
    pub(crate) fn stop_if_asked(&self) -> Result<(), Trap> {
        self.record.stop_if_asked()
    }

    pub(crate) fn prepare_native_stack(&mut self) -> Result<(), Error> {
        self.record.prepare_native_stack()
    }

    pub(crate) fn take_request(&self) -> Option<Request> {
        self.record.take_request()
    }

    /// Lets frames of interpreted functions reach up to `end`; false where the stack or the budget has no more.
    pub(crate) fn extend_stack(&mut self, end: *const u64) -> bool {
        self.record.extend_stack(end)
    }

    /// Lets the stack of machine code reach down to `address`; false where the stack or the budget has no more.
    pub(crate) fn extend_native_stack(&mut self, address: usize) -> bool {
        self.record.extend_native_stack(address)
    }

    /// Adds a sample for the time since the last one.
    pub(crate) fn add_sample(&mut self, stack: Backtrace) {
        let ticks = self.record.take_ticks();
        if let Some(profile) = &mut self.profile {
            profile.add(stack, ticks);
        }
    }

    /// Two different tables at once.
    pub(crate) fn two_tables(&mut self, a: TableId, b: TableId) -> [&mut TableEntity; 2] {
        two(&mut self.tables, a, b)
    }
}

impl Drop for StoreCore {
    fn drop(&mut self) {
        let mut panics = FirstPanic::default();
        self.record.drop_pending(&mut panics);
        self.leave_queues();
        self.drop_entities(&mut panics);
        panics.drop_taken(&mut self.limiter);
        panics.go_on();
    }
}
