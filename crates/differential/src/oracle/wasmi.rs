//! The other engine: wasmi, an interpreter with a design and a history of its own.

use wasmi::errors::{ErrorKind, InstantiationError};
use wasmi::{
    Config, Engine, Error, Extern, ExternRef, ExternType, F32, F64, Func, Global, Instance, Memory,
    Mutability, Nullable, Ref, Store, Table, TrapCode, Val, ValType,
};

use super::wasmi_faults::written_around;
use super::{Call, HostCalls, ImportNumber, Observation, Oracle, Outcome, State};
use crate::generate::{FUEL, FUEL_EXPORT, Module};
use crate::random::{Random, digest};
use crate::value::{Value, float32, float64, vector, word32, word64};
use innkeeper::Trap;

/// wasmi with everything it has.
#[derive(Clone, Copy, Debug, Default)]
pub struct WasmiOracle {
    is_around_known_faults: bool,
}

impl WasmiOracle {
    /// wasmi with modules that are written around its known faults, as far as that goes.
    #[must_use]
    pub fn around_known_faults() -> WasmiOracle {
        WasmiOracle { is_around_known_faults: true }
    }
}

impl Oracle for WasmiOracle {
    fn name(&self) -> &str {
        "wasmi"
    }

    fn observe(&self, module: &Module) -> Observation {
        let mut config = Config::default();
        // Deeper than the guest's own fuel allows.
        config.set_max_recursion_depth(10 * FUEL as usize);
        let engine = Engine::new(&config);
        let around = if self.is_around_known_faults { written_around(&module.wasm) } else { None };
        let compiled = match wasmi::Module::new(&engine, around.as_ref().unwrap_or(&module.wasm)) {
            Ok(compiled) => compiled,
            Err(error) => return Observation::refused(error),
        };
        let mut store = Store::new(&engine, HostCalls::default());
        let mut imports = Vec::new();
        for import in compiled.imports() {
            let number = ImportNumber::of(import.module(), import.name());
            match provide(&mut store, import.ty(), number) {
                Ok(item) => imports.push((format!("import {}.{}", import.module(), import.name()), item)),
                Err(error) => return Observation::refused(error),
            }
        }
        let provided: Vec<Extern> = imports.iter().map(|(_, item)| *item).collect();
        let instance = match Instance::new(&mut store, &compiled, &provided) {
            Ok(instance) => instance,
            Err(error) => {
                let mut observation = Observation::only(failure(&error));
                observation.host_calls = *store.data();
                observation.state = states(&store, &imports);
                return observation;
            }
        };
        let exports: Vec<(&String, Extern)> = module
            .exports
            .iter()
            .filter_map(|name| Some((name, instance.get_export(&store, name)?)))
            .collect();
        let mut calls = Vec::new();
        let funcs: Vec<Func> = exports.iter().filter_map(|(_, item)| item.into_func()).collect();
        for (name, item) in &exports {
            let Extern::Func(func) = item else { continue };
            let mut random = Random::of((&module.wasm, name));
            let ty = func.ty(&store);
            let arguments: Vec<Val> =
                ty.params().iter().map(|ty| argument(&mut store, *ty, &mut random, &funcs)).collect();
            let mut results: Vec<Val> = ty.results().iter().map(|ty| Val::default_for_ty(*ty)).collect();
            if let Some(fuel) = instance.get_global(&store, FUEL_EXPORT) {
                let _ = fuel.set(&mut store, Val::I32(FUEL.cast_signed()));
            }
            let outcome = match func.call(&mut store, &arguments, &mut results) {
                Ok(()) => Outcome::Returned(results.iter().map(|val| value(&store, val)).collect()),
                Err(error) => failure(&error),
            };
            let arguments = arguments.iter().map(|val| value(&store, val)).collect();
            calls.push(Call { name: (*name).clone(), arguments, outcome, fuel: None });
        }
        let watched: Vec<(String, Extern)> =
            exports.into_iter().map(|(name, item)| (name.clone(), item)).chain(imports).collect();
        Observation {
            instantiation: Outcome::Returned(Vec::new()),
            calls,
            host_calls: *store.data(),
            state: states(&store, &watched),
        }
    }
}

/// What stands for an import.
fn provide(store: &mut Store<HostCalls>, ty: &ExternType, number: ImportNumber) -> Result<Extern, Error> {
    let mut random = number.random();
    Ok(match ty {
        ExternType::Func(ty) => {
            let results = ty.results().to_vec();
            Extern::Func(Func::new(store, ty.clone(), move |mut caller, arguments, out| {
                let arguments: Vec<Value> = arguments.iter().map(|val| value(&caller, val)).collect();
                caller.data_mut().record(number, &arguments);
                let mut random = number.random();
                for (slot, ty) in out.iter_mut().zip(&results) {
                    *slot = argument(&mut caller, *ty, &mut random, &[]);
                }
                Ok(())
            }))
        }
        ExternType::Global(ty) => {
            let val = argument(&mut *store, ty.content(), &mut random, &[]);
            Extern::Global(Global::new(store, val, ty.mutability()))
        }
        ExternType::Memory(ty) => Extern::Memory(Memory::new(store, *ty)?),
        ExternType::Table(ty) => Extern::Table(Table::new(store, *ty, Ref::null(ty.element()))?),
    })
}

fn argument(mut store: impl wasmi::AsContextMut, ty: ValType, random: &mut Random, funcs: &[Func]) -> Val {
    match ty {
        ValType::I32 => Val::I32(word32(random).cast_signed()),
        ValType::I64 => Val::I64(word64(random).cast_signed()),
        ValType::F32 => Val::F32(F32::from_bits(float32(random))),
        ValType::F64 => Val::F64(F64::from_bits(float64(random))),
        ValType::V128 => Val::V128(vector(random).into()),
        ValType::FuncRef => match (random.draw() as usize, funcs.len()) {
            (_, 0) => Val::FuncRef(Nullable::Null),
            (draw, _) if draw.is_multiple_of(3) => Val::FuncRef(Nullable::Null),
            (draw, len) => Val::FuncRef(Nullable::Val(funcs[draw % len])),
        },
        ValType::ExternRef => match random.draw() as u32 {
            draw if draw.is_multiple_of(3) => Val::ExternRef(Nullable::Null),
            draw => Val::ExternRef(Nullable::Val(ExternRef::new(&mut store, draw))),
        },
    }
}

fn value(store: impl wasmi::AsContext, val: &Val) -> Value {
    match val {
        Val::I32(value) => Value::I32(value.cast_unsigned()),
        Val::I64(value) => Value::I64(value.cast_unsigned()),
        Val::F32(value) => Value::F32(value.to_bits()),
        Val::F64(value) => Value::F64(value.to_bits()),
        Val::V128(value) => Value::V128(value.as_u128()),
        Val::FuncRef(Nullable::Null) | Val::ExternRef(Nullable::Null) => Value::Null,
        Val::FuncRef(Nullable::Val(_)) => Value::Func,
        Val::ExternRef(Nullable::Val(object)) => match object.data(&store).downcast_ref::<u32>() {
            Some(number) => Value::Extern(*number),
            None => Value::Foreign,
        },
    }
}

fn states(store: &Store<HostCalls>, items: &[(String, Extern)]) -> Vec<(String, State)> {
    super::sorted(items.iter().filter_map(|(name, item)| state(store, item, name.clone())).collect())
}

fn state(store: &Store<HostCalls>, item: &Extern, name: String) -> Option<(String, State)> {
    let state = match item {
        Extern::Func(_) => return None,
        // What is in it is the harness's own doing.
        Extern::Global(global) if global.ty(store).mutability() == Mutability::Var && name == FUEL_EXPORT => {
            return None;
        }
        Extern::Global(global) => State::Global(value(store, &global.get(store))),
        Extern::Memory(memory) => {
            let bytes = memory.data(store);
            State::Memory(bytes.len(), digest(bytes))
        }
        Extern::Table(table) => {
            let element = |index| match table.get(store, index) {
                Some(Ref::Func(func)) => value(store, &Val::FuncRef(func)),
                Some(Ref::Extern(object)) => value(store, &Val::ExternRef(object)),
                None => Value::Null,
            };
            State::Table((0..table.size(store)).map(element).collect())
        }
    };
    Some((name, state))
}

fn failure(error: &Error) -> Outcome {
    // A segment that does not fit its table is an error of another kind here.
    if let ErrorKind::Instantiation(InstantiationError::ElementSegmentDoesNotFit { .. }) = error.kind() {
        return Outcome::Trapped(Trap::TableOutOfBounds, Vec::new());
    }
    let Some(code) = error.as_trap_code() else { return Outcome::Refused(error.to_string()) };
    let trap = match code {
        TrapCode::UnreachableCodeReached => Trap::Unreachable,
        TrapCode::MemoryOutOfBounds => Trap::MemoryOutOfBounds,
        TrapCode::TableOutOfBounds => Trap::TableOutOfBounds,
        TrapCode::IndirectCallToNull => Trap::UninitializedElement,
        TrapCode::BadSignature => Trap::IndirectCallTypeMismatch,
        TrapCode::IntegerDivisionByZero => Trap::IntegerDivideByZero,
        TrapCode::IntegerOverflow => Trap::IntegerOverflow,
        TrapCode::BadConversionToInteger => Trap::InvalidConversionToInteger,
        TrapCode::OutOfFuel => Trap::OutOfFuel,
        TrapCode::StackOverflow | TrapCode::GrowthOperationLimited | TrapCode::OutOfSystemMemory => {
            return Outcome::Exhausted;
        }
    };
    Outcome::Trapped(trap, Vec::new())
}
