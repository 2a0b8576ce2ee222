//! Lifting: from core values and bytes of a memory to values (canonical ABI, "Loading", "Flat Lifting").
//!
//! Nothing of the guest's runs while its values are lifted, so that its memory is borrowed for the whole time.

use innkeeper_engine::{Charge, Error};

use super::{Boundary, Costs, Lends, MAX_BYTES, Side, StringShapes, check_range, string};
use crate::concurrent::{FutureAny, InFlight, StreamAny};
use crate::resource::{Handle, ResourceAny};
use crate::state::State;
use crate::trap::Trap;
use crate::types::{ResourceSlot, TypeIndex, TypeTable, ValType};
use crate::val::{List, Val};

/// Lifts values of one side of a call.
pub(crate) struct Lift<'a> {
    types: &'a TypeTable,
    side: &'a Side,
    boundary: Boundary,
    memory: &'a [u8],
    state: &'a mut State,
    lends: &'a mut Lends,
    /// What lowering to another guest needs to know of each string.
    strings: Option<&'a mut StringShapes>,
    costs: Costs<'a>,
}

/// Core values, of which the first are taken.
type Slots<'a> = std::slice::Iter<'a, u64>;

impl<'a> Lift<'a> {
    pub(crate) fn new(
        side: &'a Side,
        boundary: Boundary,
        (state, memory): (&'a mut State, &'a [u8]),
        (lends, strings): (&'a mut Lends, Option<&'a mut StringShapes>),
        costs: Costs<'a>,
    ) -> Lift<'a> {
        let types = &*side.shared.types;
        Lift { types, side, boundary, memory, state, lends, strings, costs }
    }

    /// What the lifted values take, to be held for as long as they are.
    pub(crate) fn into_charge(self) -> Option<Charge> {
        self.costs.into_charge()
    }

    /// Values of several types: from as many slots, or from memory where there would be more than `max_flat`.
    pub(crate) fn values(
        &mut self,
        max_flat: usize,
        slots: &[u64],
        tuple: TypeIndex,
    ) -> Result<Vec<Val>, Error> {
        let types = self.types;
        let layout = types.layout(tuple);
        let ValType::Tuple(parts) = types.get(tuple) else { return Ok(Vec::new()) };
        if layout.flat.as_ref().is_some_and(|flat| flat.len() <= max_flat) {
            return self.flat_parts(&mut slots.iter(), parts);
        }
        let address = slots.first().copied().unwrap_or_default() as u32;
        self.check(address, tuple)?;
        self.load_parts(address, parts, &layout.offsets)
    }

    fn flat_parts(&mut self, slots: &mut Slots<'_>, parts: &[TypeIndex]) -> Result<Vec<Val>, Error> {
        let mut vals = self.costs.room_for(parts.len())?;
        for ty in parts {
            vals.push(self.flat(slots, *ty)?);
        }
        Ok(vals)
    }

    fn load_parts(&mut self, address: u32, parts: &[TypeIndex], offsets: &[u32]) -> Result<Vec<Val>, Error> {
        let mut vals = self.costs.room_for(parts.len())?;
        for (ty, offset) in parts.iter().zip(offsets) {
            vals.push(self.load(address + offset, *ty)?);
        }
        Ok(vals)
    }

    /// A function's result: from one slot, or from memory.
    pub(crate) fn result(&mut self, max_flat: usize, slots: &[u64], ty: TypeIndex) -> Result<Val, Error> {
        if self.types.layout(ty).flat.as_ref().is_some_and(|flat| flat.len() <= max_flat) {
            return self.flat(&mut slots.iter(), ty);
        }
        let address = slots.first().copied().unwrap_or_default() as u32;
        self.check(address, ty)?;
        self.load(address, ty)
    }

    fn check(&self, address: u32, ty: TypeIndex) -> Result<(), Trap> {
        let layout = self.types.layout(ty);
        let shape = (u64::from(layout.size), layout.align);
        check_range(address, shape, self.memory.len(), Trap::PointerOutOfBounds).map(drop)
    }

    fn flat(&mut self, slots: &mut Slots<'_>, ty: TypeIndex) -> Result<Val, Error> {
        self.costs.work(1)?;
        let types = self.types;
        let mut next = || slots.next().copied().unwrap_or_default();
        Ok(match types.get(ty) {
            ValType::Bool => Val::Bool(next() as u32 != 0),
            ValType::S8 => Val::S8(next() as i8),
            ValType::U8 => Val::U8(next() as u8),
            ValType::S16 => Val::S16(next() as i16),
            ValType::U16 => Val::U16(next() as u16),
            ValType::S32 => Val::S32(next() as i32),
            ValType::U32 => Val::U32(next() as u32),
            ValType::S64 => Val::S64(next().cast_signed()),
            ValType::U64 => Val::U64(next()),
            ValType::Float32 => Val::Float32(float32(next() as u32)),
            ValType::Float64 => Val::Float64(float64(next())),
            ValType::Char => Val::Char(character(next() as u32)?),
            ValType::String => {
                let (address, length) = (next() as u32, next() as u32);
                self.string(address, length)?
            }
            ValType::List(element) => {
                let (address, length) = (next() as u32, next() as u32);
                Val::List(self.list(address, length, *element)?)
            }
            ValType::Map(_, _, pair) => {
                let (address, length) = (next() as u32, next() as u32);
                self.map(address, length, *pair)?
            }
            ValType::FixedLengthList(element, length) => {
                let mut vals = self.costs.room_for(*length as usize)?;
                for _ in 0..*length {
                    vals.push(self.flat(slots, *element)?);
                }
                Val::List(List::Vals(vals))
            }
            ValType::Record(fields) => {
                let mut vals = self.costs.room_for(fields.len())?;
                for (name, ty) in fields {
                    vals.push((name.clone(), self.flat(slots, *ty)?));
                }
                Val::Record(vals)
            }
            ValType::Tuple(parts) => Val::Tuple(self.flat_parts(slots, parts)?),
            ValType::Flags(labels) => self.flags(labels, next() as u32)?,
            ValType::Own(slot) => self.own(next() as u32, *slot)?,
            ValType::Borrow(slot) => self.borrow(next() as u32, *slot)?,
            ValType::Stream(_) => Val::Stream(StreamAny(self.end(next() as u32, ty)?)),
            ValType::Future(_) => Val::Future(FutureAny(self.end(next() as u32, ty)?)),
            variant @ (ValType::Variant(_) | ValType::Enum(_) | ValType::Option(_) | ValType::Result(..)) => {
                let case = next() as u32;
                // The payload's slots are those of all cases; what is left of them means nothing.
                let width = types.layout(ty).flat.as_ref().map_or(0, |flat| flat.len() - 1);
                let mut payload = slots.as_slice().get(..width).unwrap_or_default().iter();
                *slots = slots.as_slice().get(width..).unwrap_or_default().iter();
                let payload = case_type(variant, case)?.map(|ty| self.flat(&mut payload, ty)).transpose()?;
                self.variant_val(variant, case, payload)?
            }
            other => return Err(missing(other)),
        })
    }

    /// The value at an address that has been checked.
    fn load(&mut self, address: u32, ty: TypeIndex) -> Result<Val, Error> {
        self.costs.work(1)?;
        let (types, memory) = (self.types, self.memory);
        let at = address as usize;
        Ok(match types.get(ty) {
            ValType::Bool => Val::Bool(read::<1>(memory, at)[0] != 0),
            ValType::S8 => Val::S8(i8::from_le_bytes(read(memory, at))),
            ValType::U8 => Val::U8(u8::from_le_bytes(read(memory, at))),
            ValType::S16 => Val::S16(i16::from_le_bytes(read(memory, at))),
            ValType::U16 => Val::U16(u16::from_le_bytes(read(memory, at))),
            ValType::S32 => Val::S32(i32::from_le_bytes(read(memory, at))),
            ValType::U32 => Val::U32(load_u32(memory, at)),
            ValType::S64 => Val::S64(i64::from_le_bytes(read(memory, at))),
            ValType::U64 => Val::U64(u64::from_le_bytes(read(memory, at))),
            ValType::Float32 => Val::Float32(float32(load_u32(memory, at))),
            ValType::Float64 => Val::Float64(float64(u64::from_le_bytes(read(memory, at)))),
            ValType::Char => Val::Char(character(load_u32(memory, at))?),
            ValType::String => self.string(load_u32(memory, at), load_u32(memory, at + 4))?,
            ValType::List(element) => {
                Val::List(self.list(load_u32(memory, at), load_u32(memory, at + 4), *element)?)
            }
            ValType::Map(_, _, pair) => self.map(load_u32(memory, at), load_u32(memory, at + 4), *pair)?,
            ValType::FixedLengthList(element, length) => {
                Val::List(self.elements(address, *length as usize, *element)?)
            }
            ValType::Record(fields) => {
                let mut vals = self.costs.room_for(fields.len())?;
                for ((name, ty), offset) in fields.iter().zip(&types.layout(ty).offsets) {
                    vals.push((name.clone(), self.load(address + offset, *ty)?));
                }
                Val::Record(vals)
            }
            ValType::Tuple(parts) => {
                Val::Tuple(self.load_parts(address, parts, &types.layout(ty).offsets)?)
            }
            ValType::Flags(labels) => self.flags(labels, load_number(memory, at, types.layout(ty).size))?,
            ValType::Own(slot) => self.own(load_u32(memory, at), *slot)?,
            ValType::Borrow(slot) => self.borrow(load_u32(memory, at), *slot)?,
            ValType::Stream(_) => Val::Stream(StreamAny(self.end(load_u32(memory, at), ty)?)),
            ValType::Future(_) => Val::Future(FutureAny(self.end(load_u32(memory, at), ty)?)),
            variant @ (ValType::Variant(_) | ValType::Enum(_) | ValType::Option(_) | ValType::Result(..)) => {
                let layout = types.layout(ty);
                let case = load_number(memory, at, layout.discriminant);
                // Where there is no payload, that may be the end of the address space.
                let payload = address.wrapping_add(layout.payload);
                let payload = case_type(variant, case)?.map(|ty| self.load(payload, ty)).transpose()?;
                self.variant_val(variant, case, payload)?
            }
            other => return Err(missing(other)),
        })
    }

    fn string(&mut self, address: u32, tagged_units: u32) -> Result<Val, Error> {
        let from = (self.memory, self.side.encoding);
        let (text, shape) = string::load(from, (address, tagged_units), self.boundary, &mut self.costs)?;
        if let Some(strings) = &mut self.strings {
            self.costs.room_for_last(strings)?;
            strings.push_back(shape);
        }
        Ok(Val::String(text))
    }

    /// The readable end of a stream or future, which the guest has no longer.
    fn end(&mut self, handle: u32, ty: TypeIndex) -> Result<InFlight, Error> {
        Ok(self.state.take_end((self.side.instance, handle), ty, &self.side.shared)?)
    }

    /// A list that lies at an address.
    pub(crate) fn list(&mut self, address: u32, length: u32, element: TypeIndex) -> Result<List, Error> {
        self.check_list(address, length, element)?;
        self.elements(address, length as usize, element)
    }

    fn check_list(&self, address: u32, length: u32, element: TypeIndex) -> Result<(), Trap> {
        let layout = self.types.layout(element);
        let bytes = u64::from(length) * u64::from(layout.size);
        if bytes > MAX_BYTES {
            return Err(Trap::ListTooLong);
        }
        let beyond = match self.boundary {
            Boundary::Host => Trap::ListOutOfBounds,
            Boundary::Guest => Trap::ListContentOutOfBounds,
        };
        check_range(address, (bytes, layout.align), self.memory.len(), beyond).map(drop)
    }

    /// Elements at an address that has been checked, for all of them.
    fn elements(&mut self, address: u32, length: usize, element: TypeIndex) -> Result<List, Error> {
        macro_rules! numbers {
            ($list:ident, $ty:ty) => {
                numbers!($list, $ty, |number| number)
            };
            ($list:ident, $ty:ty, $canonical:expr) => {{
                let size = size_of::<$ty>();
                self.costs.work_on(length * size)?;
                let mut numbers = self.costs.room_for(length)?;
                let bytes = self.memory.get(address as usize..).and_then(|from| from.get(..length * size));
                numbers.extend(bytes.unwrap_or_default().chunks_exact(size).map(|bytes| {
                    let mut number = [0; size_of::<$ty>()];
                    number.copy_from_slice(bytes);
                    $canonical(<$ty>::from_le_bytes(number))
                }));
                return Ok(List::$list(numbers));
            }};
        }
        match self.types.get(element) {
            ValType::S8 => numbers!(S8, i8),
            ValType::U8 => numbers!(U8, u8),
            ValType::S16 => numbers!(S16, i16),
            ValType::U16 => numbers!(U16, u16),
            ValType::S32 => numbers!(S32, i32),
            ValType::U32 => numbers!(U32, u32),
            ValType::S64 => numbers!(S64, i64),
            ValType::U64 => numbers!(U64, u64),
            ValType::Float32 => numbers!(Float32, f32, |number: f32| float32(number.to_bits())),
            ValType::Float64 => numbers!(Float64, f64, |number: f64| float64(number.to_bits())),
            _ => {}
        }
        let size = self.types.layout(element).size;
        let mut vals = self.costs.room_for(length)?;
        let mut at = address;
        for _ in 0..length {
            vals.push(self.load(at, element)?);
            // The last one may end where the address space does.
            at = at.wrapping_add(size);
        }
        Ok(List::Vals(vals))
    }

    fn map(&mut self, address: u32, length: u32, pair: TypeIndex) -> Result<Val, Error> {
        self.check_list(address, length, pair)?;
        let types = self.types;
        let layout = types.layout(pair);
        let (ValType::Tuple(parts), [key_at, value_at]) = (types.get(pair), &*layout.offsets) else {
            return Ok(Val::Map(Vec::new()));
        };
        let mut pairs = self.costs.room_for(length as usize)?;
        let mut at = address;
        for _ in 0..length {
            pairs.push((self.load(at + key_at, parts[0])?, self.load(at + value_at, parts[1])?));
            at = at.wrapping_add(layout.size);
        }
        Ok(Val::Map(pairs))
    }

    /// The value of a case that there is.
    fn variant_val(&mut self, variant: &ValType, case: u32, payload: Option<Val>) -> Result<Val, Error> {
        let payload = payload.map(|payload| self.costs.boxed(payload)).transpose()?;
        Ok(match variant {
            ValType::Variant(cases) => Val::Variant(cases[case as usize].0.clone(), payload),
            ValType::Enum(labels) => Val::Enum(labels[case as usize].clone()),
            ValType::Result(..) => Val::Result(if case == 0 { Ok(payload) } else { Err(payload) }),
            _ => Val::Option(payload),
        })
    }

    fn flags(&mut self, labels: &[std::sync::Arc<str>], bits: u32) -> Result<Val, Error> {
        let is_set = |i: &usize| bits >> i & 1 != 0;
        let mut set = self.costs.room_for((0..labels.len()).filter(is_set).count())?;
        set.extend((0..labels.len()).filter(is_set).map(|i| labels[i].clone()));
        Ok(Val::Flags(set))
    }

    fn own(&mut self, index: u32, slot: ResourceSlot) -> Result<Val, Error> {
        let ty = self.side.shared.resources[slot.0 as usize];
        Ok(Val::Resource(match self.boundary {
            Boundary::Guest => {
                let rep = self.state.take_own(self.side.instance, index, ty)?;
                ResourceAny(Handle::InFlight { ty, rep })
            }
            Boundary::Host => {
                self.state.take_own_for_host((self.side.instance, index), ty, self.costs.budget())?
            }
        }))
    }

    fn borrow(&mut self, index: u32, slot: ResourceSlot) -> Result<Val, Error> {
        let ty = self.side.shared.resources[slot.0 as usize];
        let lender = (self.side.instance, index);
        if self.boundary == Boundary::Host {
            return Ok(Val::Resource(self.lends.lend_to_host(self.state, lender, ty, &mut self.costs)?));
        }
        let rep = self.lends.lend(self.state, lender, ty, &mut self.costs)?;
        Ok(Val::Resource(ResourceAny(Handle::InFlight { ty, rep })))
    }
}

/// The payload's type of a variant's case.
fn case_type(variant: &ValType, case: u32) -> Result<Option<TypeIndex>, Trap> {
    let found = match variant {
        ValType::Variant(cases) => cases.get(case as usize).map(|(_, ty)| *ty),
        ValType::Enum(labels) => labels.get(case as usize).map(|_| None),
        ValType::Option(ty) => [None, Some(*ty)].get(case as usize).copied(),
        ValType::Result(ok, err) => [*ok, *err].get(case as usize).copied(),
        _ => None,
    };
    found.ok_or(Trap::InvalidDiscriminant(case))
}

fn character(code: u32) -> Result<char, Trap> {
    char::from_u32(code).ok_or(Trap::InvalidChar(code))
}

/// There is one NaN only among a component's values.
fn float32(bits: u32) -> f32 {
    let float = f32::from_bits(bits);
    if float.is_nan() { f32::from_bits(0x7fc0_0000) } else { float }
}

fn float64(bits: u64) -> f64 {
    let float = f64::from_bits(bits);
    if float.is_nan() { f64::from_bits(0x7ff8_0000_0000_0000) } else { float }
}

/// Bytes of a memory; zeros beyond its end, where nobody reads after the checks.
fn read<const N: usize>(memory: &[u8], at: usize) -> [u8; N] {
    memory.get(at..).and_then(|from| from.first_chunk()).copied().unwrap_or([0; N])
}

fn load_u32(memory: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(read(memory, at))
}

fn load_number(memory: &[u8], at: usize, size: u32) -> u32 {
    match size {
        1 => u32::from(read::<1>(memory, at)[0]),
        2 => u32::from(u16::from_le_bytes(read(memory, at))),
        _ => load_u32(memory, at),
    }
}

pub(crate) fn missing(ty: &ValType) -> Error {
    Error::new(innkeeper_engine::ErrorKind::Unsupported(format!(
        "values of type {} in calls",
        ty.kind_name()
    )))
}
