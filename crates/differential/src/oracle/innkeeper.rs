//! Innkeeper itself, in one of the configurations that must not change what a guest computes.

use innkeeper::{
    AnyKind, AsContext, AsContextMut, Backtrace, Config, Error, ErrorKind, Extern, ExternRef, ExternType,
    FrameInfo, Func, Global, HeapType, Instance, Memory, Metering, Mutability, RefType, Store, Table, Tiers,
    Trap, Val, ValType,
};

use super::{Call, Frame, HostCalls, ImportNumber, Observation, Oracle, Outcome, State};
use crate::generate::{FUEL, FUEL_EXPORT, Module};
use crate::random::{Random, digest};
use crate::value::{Value, float32, float64, vector, word32, word64};

/// Innkeeper with a configuration.
#[derive(Clone, Debug)]
pub struct InnkeeperOracle {
    /// What to call it in reports.
    pub name: &'static str,
    /// The configuration; what it meters is given by `fuel`.
    pub config: Config,
    /// What executes the guest.
    pub tiers: Tiers,
    /// The instructions that instantiation and each call may execute; none: they are not metered.
    pub fuel: Option<u64>,
    /// What imported functions answer.
    pub answers: Answers,
}

/// What imported functions answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// Whatever their names and types lead to.
    Drawn,
    /// Zero: calls of a system go well.
    Zero,
}

impl Oracle for InnkeeperOracle {
    fn name(&self) -> &str {
        self.name
    }

    fn observe(&self, module: &Module) -> Observation {
        self.try_observe(module).unwrap_or_else(Observation::refused)
    }
}

impl InnkeeperOracle {
    fn try_observe(&self, module: &Module) -> Result<Observation, Error> {
        let mut config = self.config.clone();
        config.metering = if self.fuel.is_some() { Metering::Fuel } else { Metering::Off };
        let engine = innkeeper::engine_with(config, self.tiers);
        let compiled = innkeeper::Module::new(&engine, module.wasm.as_slice())?;
        let mut store = Store::new(&engine, HostCalls::default())?;
        self.refuel(&mut store)?;
        let mut imports = Vec::new();
        let mut names = Vec::new();
        for import in compiled.imports() {
            let number = ImportNumber::of(import.module, import.name);
            imports.push(provide(&mut store, &import.ty, number, self.answers)?);
            names.push(format!("import {}.{}", import.module, import.name));
        }
        let mut observation = Observation::only(Outcome::Returned(Vec::new()));
        let mut watched: Vec<(String, Extern)> = Vec::new();
        match Instance::new(&mut store, &compiled, &imports) {
            Ok(instance) => {
                for name in &module.exports {
                    watched.extend(instance.get_export(&mut store, name).map(|item| (name.clone(), item)));
                }
                observation.calls = self.calls(&mut store, module, &watched)?;
            }
            Err(error) => observation.instantiation = failure(&error),
        }
        watched.extend(names.into_iter().zip(imports));
        for (name, item) in watched {
            observation.state.extend(state(&mut store, item, &name)?.map(|state| (name, state)));
        }
        observation.state = super::sorted(observation.state);
        observation.host_calls = *store.data();
        Ok(observation)
    }

    fn refuel(&self, store: &mut Store<HostCalls>) -> Result<(), Error> {
        self.fuel.map_or(Ok(()), |units| store.set_fuel(units))
    }

    fn calls(
        &self,
        store: &mut Store<HostCalls>,
        module: &Module,
        exports: &[(String, Extern)],
    ) -> Result<Vec<Call>, Error> {
        let guest_fuel = exports.iter().find(|(name, _)| name == FUEL_EXPORT);
        let guest_fuel = guest_fuel.and_then(|(_, item)| item.into_global());
        let mut supply = Supply {
            funcs: exports.iter().filter_map(|(_, item)| item.into_func()).collect(),
            seen: Vec::new(),
        };
        let mut calls = Vec::new();
        for (name, item) in exports {
            let Extern::Func(func) = item else { continue };
            let mut random = Random::of((&module.wasm, name));
            let ty = func.ty(&*store)?;
            if let Some(global) = guest_fuel {
                global.set(&mut *store, Val::I32(FUEL.cast_signed()))?;
            }
            self.refuel(store)?;
            let mut arguments = Vec::new();
            for ty in ty.params() {
                arguments.extend(supply.argument(&mut *store, *ty, &mut random)?);
            }
            let mut call = Call {
                name: name.clone(),
                arguments: values(&*store, &arguments)?,
                outcome: Outcome::NotCalled,
                fuel: None,
            };
            if arguments.len() == ty.params().len() {
                let mut results: Vec<Val> = ty.results().iter().map(|ty| Val::zero(*ty)).collect();
                call.outcome = match func.call(&mut *store, &arguments, &mut results) {
                    Ok(()) => Outcome::Returned(values(&*store, &results)?),
                    Err(error) => failure(&error),
                };
                if let Outcome::Returned(_) = call.outcome {
                    supply.keep(ty.results(), &results);
                }
                call.fuel = self.fuel.and_then(|_| store.fuel().ok());
            }
            calls.push(call);
        }
        Ok(calls)
    }
}

/// What references arguments can be made of.
#[derive(Default)]
struct Supply {
    funcs: Vec<Func>,
    /// References that calls returned, with the types they were declared with.
    seen: Vec<(ValType, Val)>,
}

impl Supply {
    fn keep(&mut self, types: &[ValType], vals: &[Val]) {
        let references = types.iter().zip(vals).filter(|(ty, _)| matches!(ty, ValType::Ref(_)));
        self.seen.extend(references.map(|(ty, val)| (*ty, *val)));
    }

    /// A value of the type; none where none is at hand.
    fn argument(
        &self,
        mut store: impl AsContextMut,
        ty: ValType,
        random: &mut Random,
    ) -> Result<Option<Val>, Error> {
        let reference = match ty {
            ValType::I32 => return Ok(Some(Val::I32(word32(random).cast_signed()))),
            ValType::I64 => return Ok(Some(Val::I64(word64(random).cast_signed()))),
            ValType::F32 => return Ok(Some(Val::F32(float32(random)))),
            ValType::F64 => return Ok(Some(Val::F64(float64(random)))),
            ValType::V128 => return Ok(Some(Val::V128(vector(random)))),
            ValType::Ref(reference) => reference,
        };
        let draw = random.draw();
        if ty == ValType::FUNCREF {
            return Ok(Some(Val::FuncRef(match self.funcs.len() {
                0 => None,
                _ if draw.is_multiple_of(3) => None,
                len => Some(self.funcs[draw as usize % len]),
            })));
        }
        if reference.heap == HeapType::Extern {
            let draw = draw as u32;
            return Ok(Some(Val::ExternRef(match draw.is_multiple_of(3) && reference.nullable {
                true => None,
                false => Some(ExternRef::new(&mut store, draw)?),
            })));
        }
        let fitting: Vec<Val> =
            self.seen.iter().filter(|(seen, _)| *seen == ty).map(|(_, val)| *val).collect();
        if !fitting.is_empty() && !draw.is_multiple_of(4) {
            return Ok(Some(random.pick(&fitting)));
        }
        Ok(self.null(store, reference))
    }

    /// The null of a type. Whose null a defined type has is not told by the type: a table of it would take one of them.
    fn null(&self, mut store: impl AsContextMut, ty: RefType) -> Option<Val> {
        let candidates = [Val::zero(ValType::Ref(ty)), Val::FuncRef(None), Val::AnyRef(None)];
        let ty = innkeeper::GlobalType { content: ValType::Ref(ty), mutability: Mutability::Const };
        candidates.into_iter().find(|null| Global::new(&mut store, ty, *null).is_ok())
    }
}

/// What stands for an import.
fn provide(
    store: &mut Store<HostCalls>,
    ty: &ExternType,
    number: ImportNumber,
    answers: Answers,
) -> Result<Extern, Error> {
    let mut random = number.random();
    let supply = Supply::default();
    let nothing = || Error::from(Trap::NullReference);
    Ok(match ty {
        ExternType::Func(ty) => {
            let results = ty.results().to_vec();
            let func = Func::new(&mut *store, ty.clone(), move |mut caller, arguments, out| {
                let arguments = values(&caller, arguments)?;
                caller.data_mut().record(number, &arguments);
                let (mut random, supply) = (number.random(), Supply::default());
                for (slot, ty) in out.iter_mut().zip(&results) {
                    *slot = match answers {
                        Answers::Drawn => {
                            supply.argument(&mut caller, *ty, &mut random)?.ok_or_else(nothing)?
                        }
                        Answers::Zero => Val::zero(*ty),
                    };
                }
                Ok(())
            })?;
            Extern::Func(func)
        }
        ExternType::Global(ty) => {
            let val = supply.argument(&mut *store, ty.content, &mut random)?.ok_or_else(nothing)?;
            Extern::Global(Global::new(store, *ty, val)?)
        }
        ExternType::Memory(ty) => Extern::Memory(Memory::new(store, *ty)?),
        ExternType::Table(ty) => {
            let null = supply.null(&mut *store, ty.element).ok_or_else(nothing)?;
            Extern::Table(Table::new(store, *ty, null)?)
        }
        ExternType::Tag(ty) => Extern::Tag(innkeeper::Tag::new(store, ty)?),
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
        Val::V128(value) => Value::V128(value),
        Val::FuncRef(None) | Val::ExternRef(None) | Val::AnyRef(None) | Val::ExnRef(None) => Value::Null,
        Val::FuncRef(Some(_)) => Value::Func,
        Val::ExternRef(Some(object)) => match object.get(store).and_then(|object| object.downcast().ok()) {
            Some(number) => Value::Extern(*number),
            None => Value::Foreign,
        },
        Val::AnyRef(Some(object)) => match object.kind(store)? {
            AnyKind::I31(value) => Value::I31(value),
            AnyKind::Struct => Value::Struct,
            AnyKind::Array => Value::Array,
            AnyKind::Host => Value::Foreign,
        },
        Val::ExnRef(Some(_)) => Value::Exception,
    })
}

fn state(store: &mut Store<HostCalls>, item: Extern, name: &str) -> Result<Option<State>, Error> {
    Ok(Some(match item {
        Extern::Func(_) | Extern::Tag(_) => return Ok(None),
        // What is in it is the harness's own doing.
        Extern::Global(_) if name == FUEL_EXPORT => return Ok(None),
        Extern::Global(global) => {
            let val = global.get(&mut *store)?;
            State::Global(value(store, val)?)
        }
        Extern::Memory(memory) => {
            let bytes = memory.data(store)?;
            State::Memory(bytes.len(), digest(bytes))
        }
        Extern::Table(table) => {
            let mut elements = Vec::new();
            for index in 0..table.ty(&*store)?.size.min {
                let val = table.get(&mut *store, index)?;
                elements.push(val.map_or(Ok(Value::Null), |val| value(store, val))?);
            }
            State::Table(elements)
        }
    }))
}

fn failure(error: &Error) -> Outcome {
    match error.kind() {
        ErrorKind::Trap(Trap::CallStackExhausted | Trap::AllocationTooLarge) => Outcome::Exhausted,
        ErrorKind::Trap(trap) => {
            let frames = error.backtrace().frames().iter();
            let place = |frame: &FrameInfo| Frame { func: frame.func.0, offset_bytes: frame.offset_bytes };
            // Others know no frames that stand for several.
            let each = frames.flat_map(|frame| std::iter::repeat_n(place(frame), frame.times));
            Outcome::Trapped(*trap, each.take(Backtrace::MAX_FRAMES).collect())
        }
        ErrorKind::Exception(_) => Outcome::Threw,
        _ => Outcome::Refused(error.to_string()),
    }
}
