//! The third engine: wasmtime, a compiler, which has nearly everything that Innkeeper has.

use wasmtime::{
    AsContext, AsContextMut, Config, Engine, Error, ExternRef, ExternType, Func, Global, HeapType, Instance,
    Memory, Mutability, Ref, RefType, Store, Table, Tag, ThrownException, Trap, Val, ValType,
};

use super::{Call, HostCalls, ImportNumber, Observation, Oracle, Outcome, State};
use crate::generate::{FUEL, FUEL_EXPORT, Module};
use crate::random::{Random, digest};
use crate::value::{Value, float32, float64, vector, word32, word64};

/// wasmtime with everything it has.
pub struct WasmtimeOracle {
    engine: Engine,
}

impl WasmtimeOracle {
    /// # Errors
    /// Where wasmtime does not support this machine.
    pub fn new() -> Result<WasmtimeOracle, String> {
        let mut config = Config::new();
        config
            .wasm_simd(true)
            .wasm_relaxed_simd(true)
            .relaxed_simd_deterministic(true)
            .wasm_tail_call(true)
            .wasm_function_references(true)
            .wasm_gc(true)
            .wasm_exceptions(true)
            .wasm_multi_memory(true)
            .wasm_memory64(true)
            .wasm_wide_arithmetic(true)
            .max_wasm_stack(1 << 20)
            // A run makes hundreds of small stores a second: reserving terabytes for each is what would take its time.
            .memory_reservation(2 << 20)
            .memory_guard_size(1 << 16)
            .gc_heap_reservation(64 << 20);
        let engine = Engine::new(&config).map_err(|error| error.to_string())?;
        Ok(WasmtimeOracle { engine })
    }

    fn try_observe(&self, module: &Module) -> Result<Observation, Error> {
        let compiled = wasmtime::Module::new(&self.engine, &module.wasm)?;
        let mut store = Store::new(&self.engine, HostCalls::default());
        let mut imports = Vec::new();
        let mut names = Vec::new();
        for import in compiled.imports() {
            let number = ImportNumber::of(import.module(), import.name());
            imports.push(provide(&mut store, import.ty(), number)?);
            names.push(format!("import {}.{}", import.module(), import.name()));
        }
        let mut observation = Observation::only(Outcome::Returned(Vec::new()));
        let mut watched: Vec<(String, wasmtime::Extern)> = Vec::new();
        match Instance::new(&mut store, &compiled, &imports) {
            Ok(instance) => {
                for name in &module.exports {
                    watched.extend(instance.get_export(&mut store, name).map(|item| (name.clone(), item)));
                }
                observation.calls = calls(&mut store, module, &watched)?;
            }
            Err(error) => observation.instantiation = failure(&mut store, &error),
        }
        watched.extend(names.into_iter().zip(imports));
        for (name, item) in watched {
            observation.state.extend(state(&mut store, item, &name)?.map(|state| (name, state)));
        }
        observation.state = super::sorted(observation.state);
        observation.host_calls = *store.data();
        Ok(observation)
    }
}

impl Oracle for WasmtimeOracle {
    fn name(&self) -> &str {
        "wasmtime"
    }

    fn observe(&self, module: &Module) -> Observation {
        self.try_observe(module).unwrap_or_else(|error| Observation::refused(format!("{error:#}")))
    }
}

fn calls(
    store: &mut Store<HostCalls>,
    module: &Module,
    exports: &[(String, wasmtime::Extern)],
) -> Result<Vec<Call>, Error> {
    let guest_fuel = exports.iter().find(|(name, _)| name == FUEL_EXPORT);
    let guest_fuel = guest_fuel.and_then(|(_, item)| item.clone().into_global());
    let funcs = exports.iter().filter_map(|(_, item)| item.clone().into_func()).collect();
    let mut supply = Supply { funcs, seen: Vec::new() };
    let mut calls = Vec::new();
    for (name, item) in exports {
        let wasmtime::Extern::Func(func) = item else { continue };
        let mut random = Random::of((&module.wasm, name));
        let ty = func.ty(&*store);
        if let Some(global) = guest_fuel {
            global.set(&mut *store, Val::I32(FUEL.cast_signed()))?;
        }
        let mut arguments = Vec::new();
        for ty in ty.params() {
            arguments.extend(supply.argument(&mut *store, &ty, &mut random)?);
        }
        let mut call = Call {
            name: name.clone(),
            arguments: values(&*store, &arguments)?,
            outcome: Outcome::NotCalled,
            fuel: None,
        };
        if arguments.len() == ty.params().len() {
            // What results hold before the call does not matter.
            let mut results = vec![Val::I32(0); ty.results().len()];
            call.outcome = match func.call(&mut *store, &arguments, &mut results) {
                Ok(()) => Outcome::Returned(values(&*store, &results)?),
                Err(error) => failure(store, &error),
            };
            if let Outcome::Returned(_) = call.outcome {
                supply.keep(ty.results(), &results);
            }
        }
        calls.push(call);
    }
    Ok(calls)
}

/// What references arguments can be made of.
#[derive(Default)]
struct Supply {
    funcs: Vec<Func>,
    /// References that calls returned, with the types they were declared with.
    seen: Vec<(ValType, Val)>,
}

impl Supply {
    fn keep(&mut self, types: impl Iterator<Item = ValType>, vals: &[Val]) {
        let references = types.zip(vals).filter(|(ty, _)| ty.is_ref());
        self.seen.extend(references.map(|(ty, val)| (ty, *val)));
    }

    /// A value of the type; none where none is at hand.
    fn argument(
        &self,
        mut store: impl AsContextMut,
        ty: &ValType,
        random: &mut Random,
    ) -> Result<Option<Val>, Error> {
        let reference = match ty {
            ValType::I32 => return Ok(Some(Val::I32(word32(random).cast_signed()))),
            ValType::I64 => return Ok(Some(Val::I64(word64(random).cast_signed()))),
            ValType::F32 => return Ok(Some(Val::F32(float32(random)))),
            ValType::F64 => return Ok(Some(Val::F64(float64(random)))),
            ValType::V128 => return Ok(Some(Val::V128(vector(random).into()))),
            ValType::Ref(reference) => reference,
        };
        let draw = random.draw();
        if ValType::eq(ty, &ValType::Ref(RefType::FUNCREF)) {
            return Ok(Some(Val::FuncRef(match self.funcs.len() {
                0 => None,
                _ if draw.is_multiple_of(3) => None,
                len => Some(self.funcs[draw as usize % len]),
            })));
        }
        if matches!(reference.heap_type(), HeapType::Extern) {
            let draw = draw as u32;
            return Ok(Some(Val::ExternRef(match draw.is_multiple_of(3) && reference.is_nullable() {
                true => None,
                false => Some(ExternRef::new(&mut store, draw)?),
            })));
        }
        let fitting: Vec<Val> =
            self.seen.iter().filter(|(seen, _)| ValType::eq(seen, ty)).map(|(_, val)| *val).collect();
        if !fitting.is_empty() && !draw.is_multiple_of(4) {
            return Ok(Some(random.pick(&fitting)));
        }
        Ok(null(reference))
    }
}

/// The null of a type.
fn null(ty: &RefType) -> Option<Val> {
    ty.is_nullable().then(|| Val::null_ref(ty.heap_type()))
}

/// What stands for an import.
fn provide(
    store: &mut Store<HostCalls>,
    ty: ExternType,
    number: ImportNumber,
) -> Result<wasmtime::Extern, Error> {
    let mut random = number.random();
    let supply = Supply::default();
    let nothing = || Error::from(Trap::NullReference);
    Ok(match ty {
        ExternType::Func(ty) => {
            let results: Vec<ValType> = ty.results().collect();
            Func::new(&mut *store, ty, move |mut caller, arguments, out| {
                let arguments = values(&caller, arguments)?;
                caller.data_mut().record(number, &arguments);
                let (mut random, supply) = (number.random(), Supply::default());
                for (slot, ty) in out.iter_mut().zip(&results) {
                    *slot = supply.argument(&mut caller, ty, &mut random)?.ok_or_else(nothing)?;
                }
                Ok(())
            })
            .into()
        }
        ExternType::Global(ty) => {
            let val = supply.argument(&mut *store, ty.content(), &mut random)?.ok_or_else(nothing)?;
            Global::new(store, ty, val)?.into()
        }
        ExternType::Memory(ty) => Memory::new(store, ty)?.into(),
        ExternType::Table(ty) => {
            let null = ty.element().is_nullable().then(|| Ref::null(ty.element().heap_type()));
            Table::new(store, ty.clone(), null.ok_or_else(nothing)?)?.into()
        }
        ExternType::Tag(ty) => Tag::new(store, &ty)?.into(),
    })
}

fn values(store: &impl AsContext, vals: &[Val]) -> Result<Vec<Value>, Error> {
    vals.iter().map(|val| value(store, *val)).collect()
}

fn value(store: &impl AsContext, val: Val) -> Result<Value, Error> {
    Ok(match val {
        Val::I32(value) => Value::I32(value.cast_unsigned()),
        Val::I64(value) => Value::I64(value.cast_unsigned()),
        Val::F32(bits) => Value::F32(bits),
        Val::F64(bits) => Value::F64(bits),
        Val::V128(value) => Value::V128(value.as_u128()),
        Val::FuncRef(None)
        | Val::ExternRef(None)
        | Val::AnyRef(None)
        | Val::ExnRef(None)
        | Val::ContRef(None) => Value::Null,
        Val::FuncRef(Some(_)) => Value::Func,
        Val::ExternRef(Some(object)) => {
            let data = object.data(store)?;
            let number = data.and_then(|data| data.downcast_ref::<u32>());
            number.map_or(Value::Foreign, |number| Value::Extern(*number))
        }
        Val::AnyRef(Some(object)) => match object.as_i31(store)? {
            Some(number) => Value::I31(number.get_i32()),
            None if object.is_struct(store)? => Value::Struct,
            None if object.is_array(store)? => Value::Array,
            None => Value::Foreign,
        },
        Val::ExnRef(Some(_)) | Val::ContRef(Some(_)) => Value::Exception,
    })
}

fn state(store: &mut Store<HostCalls>, item: wasmtime::Extern, name: &str) -> Result<Option<State>, Error> {
    Ok(match item {
        wasmtime::Extern::Global(global) => {
            // What is in the fuel's global is the harness's own doing.
            if global.ty(&*store).mutability() == Mutability::Var && name == FUEL_EXPORT {
                return Ok(None);
            }
            let val = global.get(&mut *store);
            Some(State::Global(value(store, val)?))
        }
        wasmtime::Extern::Memory(memory) => {
            let bytes = memory.data(&*store);
            Some(State::Memory(bytes.len(), digest(bytes)))
        }
        wasmtime::Extern::Table(table) => {
            let mut elements = Vec::new();
            for index in 0..table.size(&*store) {
                let val = table.get(&mut *store, index).map(Val::from);
                elements.push(val.map_or(Ok(Value::Null), |val| value(store, val))?);
            }
            Some(State::Table(elements))
        }
        _ => None,
    })
}

fn failure(store: &mut Store<HostCalls>, error: &Error) -> Outcome {
    use innkeeper::Trap as Ours;
    if error.is::<ThrownException>() {
        // The exception stays pending in the store until somebody takes it.
        let _ = store.take_pending_exception();
        return Outcome::Threw;
    }
    let trap = match error.downcast_ref::<Trap>() {
        Some(Trap::UnreachableCodeReached) => Ours::Unreachable,
        Some(Trap::MemoryOutOfBounds) => Ours::MemoryOutOfBounds,
        Some(Trap::TableOutOfBounds) => Ours::TableOutOfBounds,
        Some(Trap::IndirectCallToNull) => Ours::UninitializedElement,
        Some(Trap::BadSignature) => Ours::IndirectCallTypeMismatch,
        Some(Trap::IntegerOverflow) => Ours::IntegerOverflow,
        Some(Trap::IntegerDivisionByZero) => Ours::IntegerDivideByZero,
        Some(Trap::BadConversionToInteger) => Ours::InvalidConversionToInteger,
        Some(Trap::NullReference) => Ours::NullReference,
        Some(Trap::ArrayOutOfBounds) => Ours::ArrayOutOfBounds,
        Some(Trap::CastFailure) => Ours::CastFailure,
        Some(Trap::StackOverflow | Trap::AllocationTooLarge) => return Outcome::Exhausted,
        _ if error.is::<wasmtime::GcHeapOutOfMemory<()>>() => return Outcome::Exhausted,
        _ => return Outcome::Refused(format!("{error:#}")),
    };
    Outcome::Trapped(trap, Vec::new())
}
