//! Functions of the host: a closure behind a [`VmFunc`], called with slots.

#[cfg(feature = "async")]
use std::future::Future;
use std::marker::PhantomData;
#[cfg(feature = "async")]
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::caller::Caller;
use crate::composite::TypeId;
use crate::engine::Engine;
use crate::error::Error;
use crate::func::WasmList;
use crate::registry::{HeldTypes, TypeRecord};
use crate::store::{StoreContextMut, StoreInner};
use crate::types::{FuncType, HeapType, RefType, ValType};
use crate::vmctx::{FuncEntry, HostCall, HostEntry, VmContext, VmFunc, VmStore};

/// Code of a host function. Shared between all the stores it was linked into.
pub(crate) trait HostCode: Send + Sync {
    /// # Safety
    /// `vm` is the record of a store that this call has exclusive use of and whose data is of the type that the code was made for;
    /// `caller` is null or the context of an instance of that store; `slots` is exclusive and as long as the type asks.
    unsafe fn call(&self, vm: *mut VmStore, caller: *mut VmContext, slots: &mut [u64]) -> Result<(), Error>;

    /// What guests call it by, given its address.
    fn by_address(&self) -> HostCall;
}

/// Code whose type tells how it is called.
pub(crate) trait KnownCode: HostCode {
    /// How many slots its parameters and results share; none where the type does not tell.
    const SLOTS: Option<usize>;
    /// Whether it can reach the store that it is called in.
    const REACHES_STORE: bool;
}

/// What the `host` field of a [`VmFunc`] points to.
pub(crate) struct HostFunc {
    code: Arc<dyn HostCode>,
}

struct Typed<T, F, S> {
    call: F,
    data: PhantomData<fn(T) -> T>,
    shape: PhantomData<fn(S)>,
}

/// What a closure's type tells of the function that it becomes.
pub(crate) trait Shape: 'static {
    /// See [`KnownCode::SLOTS`].
    const SLOTS: Option<usize>;
    /// See [`KnownCode::REACHES_STORE`].
    const REACHES_STORE: bool = true;
    /// Whether there are references among parameters and results, or may be.
    const HAS_REFERENCES: bool = true;
}

/// Types that are known at run time only.
pub(crate) struct Dynamic;

impl Shape for Dynamic {
    const SLOTS: Option<usize> = None;
}

/// Parameters `P` and results `R`.
pub(crate) struct TypesOf<P, R>(PhantomData<fn(P) -> R>);

impl<P: WasmList, R: WasmList> Shape for TypesOf<P, R> {
    const SLOTS: Option<usize> = Some(if P::SLOTS > R::SLOTS { P::SLOTS } else { R::SLOTS });
    const HAS_REFERENCES: bool = P::HAS_REFERENCES || R::HAS_REFERENCES;
}

/// As `S`, of a closure that is not given the [`Caller`].
pub(crate) struct WithoutStore<S>(PhantomData<fn(S)>);

impl<S: Shape> Shape for WithoutStore<S> {
    const SLOTS: Option<usize> = S::SLOTS;
    // To be given a reference is to hold one.
    const REACHES_STORE: bool = S::HAS_REFERENCES;
    const HAS_REFERENCES: bool = S::HAS_REFERENCES;
}

impl<T, F, S> KnownCode for Typed<T, F, S>
where
    T: 'static,
    F: Fn(Caller<'_, T>, &mut [u64]) -> Result<(), Error> + Send + Sync,
    S: Shape,
{
    const SLOTS: Option<usize> = S::SLOTS;
    const REACHES_STORE: bool = S::REACHES_STORE;
}

impl<T, F, S> HostCode for Typed<T, F, S>
where
    T: 'static,
    S: Shape,
    F: Fn(Caller<'_, T>, &mut [u64]) -> Result<(), Error> + Send + Sync,
{
    #[inline(always)]
    unsafe fn call(&self, vm: *mut VmStore, caller: *mut VmContext, slots: &mut [u64]) -> Result<(), Error> {
        // SAFETY: the contract of `call`: the owner is a `StoreInner` of exactly this `T`, since neither `Store` nor `Linker` can pass for one of
        // another, and ours for the time of the call.
        let (store, instance) = unsafe {
            let store = &mut *(*vm).owner.cast::<StoreInner<T>>();
            let instance = if caller.is_null() { None } else { Some((*super::instance_of(caller)).id) };
            (store, instance)
        };
        (self.call)(Caller::new(StoreContextMut(store), instance), slots)
    }

    fn by_address(&self) -> HostCall {
        super::call_code::<Self>
    }
}

/// Erases the types of a closure, of which `S` tells the truth; what is made here may only be linked into stores of `T`.
pub(crate) fn code<T: 'static, S: Shape>(
    call: impl Fn(Caller<'_, T>, &mut [u64]) -> Result<(), Error> + Send + Sync + 'static,
) -> Arc<dyn HostCode> {
    Arc::new(Typed { call, data: PhantomData::<fn(T) -> T>, shape: PhantomData::<fn(S)> })
}

/// Code that may wait: see [`future_code`].
#[cfg(feature = "async")]
struct Waits<T, R, F, W> {
    call: F,
    write: W,
    data: PhantomData<fn(T, R) -> T>,
}

#[cfg(feature = "async")]
impl<T, R, F, W> KnownCode for Waits<T, R, F, W>
where
    Waits<T, R, F, W>: HostCode,
{
    const SLOTS: Option<usize> = None;
    const REACHES_STORE: bool = true;
}

#[cfg(feature = "async")]
impl<T, R, F, W> HostCode for Waits<T, R, F, W>
where
    T: 'static,
    R: 'static,
    F: for<'a> Fn(Caller<'a, T>, &'a mut [u64]) -> Pin<Box<dyn Future<Output = R> + Send + 'a>> + Send + Sync,
    W: Fn(R, &mut [u64]) -> Result<(), Error> + Send + Sync,
{
    unsafe fn call(&self, vm: *mut VmStore, caller: *mut VmContext, slots: &mut [u64]) -> Result<(), Error> {
        let slots: *mut [u64] = slots;
        // SAFETY: as in `Typed`. The slots and this code are there until the guest goes on, which is when the future has ended, or is left, which is when
        // the future has been dropped: see `begin`.
        unsafe {
            let store = &mut *(*vm).owner.cast::<StoreInner<T>>();
            let instance = if caller.is_null() { None } else { Some((*super::instance_of(caller)).id) };
            let future = (self.call)(Caller::new(StoreContextMut(store), instance), &mut *slots);
            crate::runtime::future::begin(vm, future, move |result| (self.write)(result, &mut *slots))
        }
    }

    fn by_address(&self) -> HostCall {
        super::call_code::<Self>
    }
}

/// As [`code`], for a function whose future is waited for; `write` takes what comes of it into the slots.
#[cfg(feature = "async")]
pub(crate) fn future_code<T: 'static, R: 'static>(
    call: impl for<'a> Fn(Caller<'a, T>, &'a mut [u64]) -> Pin<Box<dyn Future<Output = R> + Send + 'a>>
    + Send
    + Sync
    + 'static,
    write: impl Fn(R, &mut [u64]) -> Result<(), Error> + Send + Sync + 'static,
) -> Arc<dyn HostCode> {
    Arc::new(Waits { call, write, data: PhantomData::<fn(T, R) -> T> })
}

/// Two ways to do the same: see [`either_code`].
#[cfg(feature = "async")]
struct Either<B, W> {
    blocking: B,
    waiting: W,
}

#[cfg(feature = "async")]
impl<B: KnownCode, W: HostCode> KnownCode for Either<B, W> {
    const SLOTS: Option<usize> = B::SLOTS;
    const REACHES_STORE: bool = true;
}

#[cfg(feature = "async")]
impl<B: KnownCode, W: HostCode> HostCode for Either<B, W> {
    #[inline(always)]
    unsafe fn call(&self, vm: *mut VmStore, caller: *mut VmContext, slots: &mut [u64]) -> Result<(), Error> {
        // SAFETY: passed on.
        unsafe {
            if (*vm).fiber.waiting.is_possible() {
                self.waiting.call(vm, caller, slots)
            } else {
                self.blocking.call(vm, caller, slots)
            }
        }
    }

    fn by_address(&self) -> HostCall {
        super::call_code::<Self>
    }
}

/// [`future_code`] in calls that can wait, and in others [`code`] of `blocking`.
#[cfg(feature = "async")]
pub(crate) fn either_code<T: 'static, S: Shape, R: 'static>(
    blocking: impl Fn(Caller<'_, T>, &mut [u64]) -> Result<(), Error> + Send + Sync + 'static,
    call: impl for<'a> Fn(Caller<'a, T>, &'a mut [u64]) -> Pin<Box<dyn Future<Output = R> + Send + 'a>>
    + Send
    + Sync
    + 'static,
    write: impl Fn(R, &mut [u64]) -> Result<(), Error> + Send + Sync + 'static,
) -> Arc<dyn HostCode> {
    let blocking = Typed { call: blocking, data: PhantomData::<fn(T) -> T>, shape: PhantomData::<fn(S)> };
    Arc::new(Either { blocking, waiting: Waits { call, write, data: PhantomData::<fn(T, R) -> T> } })
}

impl HostFunc {
    /// The function that a record is of.
    ///
    /// # Safety
    /// It is a function of the host, which lives as long as what this returns is used.
    pub(crate) unsafe fn of<'a>(func: *const VmFunc) -> &'a HostFunc {
        // SAFETY: `HostFuncBox` has put the address there.
        unsafe { &*(*func).host.cast() }
    }

    /// # Safety
    /// As [`HostCode::call`].
    pub(crate) unsafe fn call(
        &self,
        vm: *mut VmStore,
        caller: *mut VmContext,
        slots: &mut [u64],
    ) -> Result<(), Error> {
        // SAFETY: passed on.
        unsafe { self.code.call(vm, caller, slots) }
    }
}

/// A host function that was made once and serves every store that it is linked into: its records name no store.
pub(crate) struct SharedHostFunc {
    records: HostFuncBox,
    ty: FuncType,
    type_id: TypeId,
    /// Last, and so dropped last: the records point to the type.
    _types: HeldTypes,
}

impl SharedHostFunc {
    /// # Errors
    /// Where the engine's registry of types is full, or the type names one that the engine does not have.
    pub(crate) fn new(
        engine: &Engine,
        code: Arc<dyn HostCode>,
        ty: &FuncType,
    ) -> Result<SharedHostFunc, Error> {
        let mut types = HeldTypes::new(engine.registry());
        let record = types.intern_func(ty)?;
        Ok(SharedHostFunc::of_record(engine, code, (ty, &record, types)))
    }

    /// A function of a type that a module has.
    ///
    /// # Errors
    /// Where no module has it any more, or it is no function's.
    pub(crate) fn of_defined(
        engine: &Engine,
        code: Arc<dyn HostCode>,
        id: TypeId,
    ) -> Result<SharedHostFunc, Error> {
        let mut types = HeldTypes::new(engine.registry());
        types.hold(ValType::Ref(RefType { nullable: false, heap: HeapType::Concrete(id) }))?;
        let record = engine.registry().get(id);
        let of_func = |record: &Arc<TypeRecord>| record.ty.composite.as_func().cloned();
        let (Some(record), Some(ty)) = (&record, record.as_ref().and_then(of_func)) else {
            return Err(Error::usage(format!("type {id} is no function's")));
        };
        Ok(SharedHostFunc::of_record(engine, code, (&ty, record, types)))
    }

    fn of_record(
        engine: &Engine,
        code: Arc<dyn HostCode>,
        (ty, record, types): (&FuncType, &Arc<TypeRecord>, HeldTypes),
    ) -> SharedHostFunc {
        let records = HostFuncBox::new(code, record, ty.call_slots(), engine.tier().host_entry());
        SharedHostFunc { records, ty: ty.clone(), type_id: record.id, _types: types }
    }

    pub(crate) fn vm(&self) -> *const VmFunc {
        self.records.vm()
    }

    pub(crate) fn ty(&self) -> FuncType {
        self.ty.clone()
    }

    pub(crate) fn type_id(&self) -> TypeId {
        self.type_id
    }
}

/// Owns a host function's records at fixed addresses.
pub(crate) struct HostFuncBox(NonNull<HostRecords>);

/// All that there is of a host function, made and freed at once.
struct HostRecords {
    func: VmFunc,
    entry: HostEntry,
    /// Last, and so dropped last: the code is the embedder's, and may panic.
    host: HostFunc,
}

// SAFETY: the records are owned, and what they own can be sent: the function's code is `Send` and `Sync`.
unsafe impl Send for HostFuncBox {}
// SAFETY: as above; what executes guests' code writes to the atomic fields of the entry only, so that stores on several threads can share the records.
unsafe impl Sync for HostFuncBox {}

impl HostFuncBox {
    /// `native` is where machine code jumps to call it.
    pub(crate) fn new(
        code: Arc<dyn HostCode>,
        ty: &Arc<TypeRecord>,
        call_slots: u32,
        native: *const u8,
    ) -> HostFuncBox {
        let entry = HostEntry {
            entry: FuncEntry::new(native, u32::MAX),
            func: std::ptr::null(),
            call: code.by_address(),
            code: Arc::as_ptr(&code).cast(),
            call_slots: call_slots as usize,
        };
        let func = VmFunc {
            entry: std::ptr::null_mut(),
            ctx: std::ptr::null_mut(),
            host: std::ptr::null(),
            signature: ty.number(),
            ty: Arc::as_ptr(ty),
            call_slots,
        };
        let records = Box::new(HostRecords { func, entry, host: HostFunc { code } });
        let records = NonNull::from(Box::leak(records));
        // SAFETY: just allocated, and nobody else has the pointer yet.
        unsafe {
            let all = records.as_ptr();
            (*all).func.entry = (&raw mut (*all).entry).cast();
            (*all).func.host = (&raw mut (*all).host).cast();
            (*all).entry.func = &raw const (*all).func;
        }
        HostFuncBox(records)
    }

    pub(crate) fn vm(&self) -> *const VmFunc {
        // SAFETY: the records live as long as `self`.
        unsafe { &raw const (*self.0.as_ptr()).func }
    }
}

impl Drop for HostFuncBox {
    fn drop(&mut self) {
        // SAFETY: made by `Box::leak` in `new`, and freed once, here, when the store goes.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
