//! Functions: handles, calls from the host, and host functions made from closures.

mod number_types;
mod numbers;
mod slot_types;
mod typed;
#[cfg(feature = "async")]
pub(crate) mod waiting;
mod wrap;

use std::ptr::NonNull;

pub use number_types::{NumberTypes, NumbersType};
pub(crate) use slot_types::{Handle, WasmList};
pub use slot_types::{HostParams, WasmParams, WasmResults, WasmType};
pub use typed::TypedFunc;
pub(crate) use wrap::dynamic;
pub use wrap::{IntoFunc, IntoHostResult};

use crate::caller::Caller;
use crate::composite::TypeId;
use crate::error::Error;
use crate::index::StoreId;
use crate::registry::TypeRecord;
use crate::runtime::host::Dynamic;
use crate::runtime::{call, host};
use crate::store::{AsContext, AsContextMut, StoreCore};
use crate::types::{FuncType, ValType};
use crate::value::Val;
use crate::vmctx::VmFunc;

/// A function of a store, the guest's or the host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Func {
    store: StoreId,
    record: FuncRecord,
}

/// The address of a function's record; it is good for as long as the store lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct FuncRecord(NonNull<VmFunc>);

// A handle is an address that is looked at only together with its store.
#[allow(unsafe_code, reason = "the address is dereferenced in the vmctx room, with the store at hand")]
// SAFETY: see above.
unsafe impl Send for FuncRecord {}
#[allow(unsafe_code, reason = "the address is dereferenced in the vmctx room, with the store at hand")]
// SAFETY: see above.
unsafe impl Sync for FuncRecord {}

impl Func {
    /// A host function of a type known at run time; `call` gets the parameters and fills in the results, which start as zeros.
    ///
    /// # Errors
    /// Where the engine's registry of types is full.
    pub fn new<T: 'static>(
        mut store: impl AsContextMut<Data = T>,
        ty: FuncType,
        call: impl Fn(Caller<'_, T>, &[Val], &mut [Val]) -> Result<(), Error> + Send + Sync + 'static,
    ) -> Result<Func, Error> {
        let core = &mut store.as_context_mut().0.core;
        let record = core.new_host_func(host::code::<T, Dynamic>(wrap::dynamic(ty.clone(), call)), &ty)?;
        Func::from_record(record, core)
    }

    /// A host function from a closure whose types tell its wasm type.
    ///
    /// # Errors
    /// Where the engine's registry of types is full.
    pub fn wrap<T: 'static, Params, Results>(
        mut store: impl AsContextMut<Data = T>,
        call: impl IntoFunc<T, Params, Results>,
    ) -> Result<Func, Error> {
        let core = &mut store.as_context_mut().0.core;
        let (ty, code) = call.into_func();
        let record = core.new_host_func(code, &ty)?;
        Func::from_record(record, core)
    }

    /// The function's type.
    ///
    /// # Errors
    /// Where the function is of another store.
    pub fn ty(&self, store: impl AsContext) -> Result<FuncType, Error> {
        let core = &store.as_context().0.core;
        let record = self.record(core)?;
        Ok(func_type(call::type_record(record)))
    }

    /// Calls the function.
    ///
    /// # Errors
    /// Wrong arguments, a trap, or an error of a host function.
    pub fn call(
        &self,
        mut store: impl AsContextMut,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<(), Error> {
        let inner = store.as_context_mut().0;
        let record = self.record(&inner.core)?;
        let ty = func_type(call::type_record(record));
        check_arguments(&inner.core, &ty, params, results)?;
        let mut slots = vec![0; ty.call_slots() as usize];
        write_arguments(params, &mut slots, &inner.core)?;
        call::checked(inner, record, &mut slots)?;
        read_vals(&slots, ty.results(), results, &mut inner.core);
        Ok(())
    }

    /// The function with its type stated in Rust, for calls that are checked once, here: what is passed must belong to the types of the parameters, and what the function
    /// gives to those that are stated for the results.
    ///
    /// # Errors
    /// Where the types do not fit.
    pub fn typed<P: WasmParams, R: WasmResults>(
        &self,
        store: impl AsContext,
    ) -> Result<TypedFunc<P, R>, Error> {
        self.typed_as(store, "the function")
    }

    /// As [`Func::typed`]; `name` is what an error calls the function.
    pub(crate) fn typed_as<P: WasmParams, R: WasmResults>(
        &self,
        store: impl AsContext,
        name: &str,
    ) -> Result<TypedFunc<P, R>, Error> {
        let ty = self.ty(&store)?;
        let (params, results) = (P::types(), R::types());
        let registry = store.as_context().0.core.engine().registry();
        let all_match = |subs: &[ValType], sups: &[ValType]| {
            subs.len() == sups.len()
                && subs.iter().zip(sups).all(|(sub, sup)| registry.val_matches(*sub, *sup))
        };
        if !all_match(&params, ty.params()) || !all_match(ty.results(), &results) {
            let wanted = FuncType::new(params, results);
            return Err(Error::usage(format!("{name} has type {ty}, not {wanted}")));
        }
        Ok(TypedFunc::new(*self))
    }

    pub(crate) fn from_record(record: *const VmFunc, core: &StoreCore) -> Result<Func, Error> {
        let record =
            NonNull::new(record.cast_mut()).ok_or_else(|| Error::usage("a null function reference"))?;
        Ok(Func { store: core.id(), record: FuncRecord(record) })
    }

    pub(crate) fn from_slot(slot: u64, core: &StoreCore) -> Option<Func> {
        let record = NonNull::new(slot as usize as *mut VmFunc)?;
        Some(Func { store: core.id(), record: FuncRecord(record) })
    }

    /// The function that a slot refers to, which is not null.
    pub(crate) fn at_slot(slot: u64, core: &StoreCore) -> Func {
        // Validation has found the slot's type to be one without null; the other address is there for the day that a check is wrong.
        let record = NonNull::new(slot as usize as *mut VmFunc).unwrap_or(NonNull::dangling());
        Func { store: core.id(), record: FuncRecord(record) }
    }

    pub(crate) fn to_slot(self, core: &StoreCore) -> Result<u64, Error> {
        Ok(self.record(core)? as usize as u64)
    }

    /// The identity of the function's type.
    pub(crate) fn type_id(self, core: &StoreCore) -> Result<TypeId, Error> {
        Ok(call::type_record(self.record(core)?).id)
    }

    #[inline]
    pub(crate) fn record(&self, core: &StoreCore) -> Result<*const VmFunc, Error> {
        if self.store == core.id() { Ok(self.record.0.as_ptr()) } else { Err(Error::foreign("the function")) }
    }
}

/// Writes arguments into the first slots.
fn write_arguments(params: &[Val], slots: &mut [u64], core: &StoreCore) -> Result<(), Error> {
    let mut at = 0;
    for param in params {
        let [low, high] = param.to_slots(core)?;
        slots[at] = low;
        if param.ty().slots() == 2 {
            slots[at + 1] = high;
        }
        at += param.ty().slots() as usize;
    }
    Ok(())
}

/// Reads values of `types` from the start of `slots`.
fn read_vals(slots: &[u64], types: &[ValType], vals: &mut [Val], core: &mut StoreCore) {
    let mut at = 0;
    for (val, ty) in vals.iter_mut().zip(types) {
        let high = if ty.slots() == 2 { slots[at + 1] } else { 0 };
        *val = Val::from_slots([slots[at], high], *ty, core);
        at += ty.slots() as usize;
    }
}

/// The type of a function from its record.
fn func_type(record: &TypeRecord) -> FuncType {
    record.ty.composite.as_func().cloned().unwrap_or_else(|| FuncType::new([], []))
}

fn check_arguments(core: &StoreCore, ty: &FuncType, params: &[Val], results: &[Val]) -> Result<(), Error> {
    if params.len() != ty.params().len() || results.len() != ty.results().len() {
        return Err(Error::usage(format!(
            "the function has type {ty}, but {} arguments and room for {} results were given",
            params.len(),
            results.len()
        )));
    }
    for (i, (param, want)) in params.iter().zip(ty.params()).enumerate() {
        if !param.matches(*want, core)? {
            return Err(Error::usage(format!(
                "argument {i} is {}, but the function takes {want}",
                param.ty()
            )));
        }
    }
    Ok(())
}
