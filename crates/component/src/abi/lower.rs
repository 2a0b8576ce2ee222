//! Lowering: from values to core values and bytes of a memory (canonical ABI, "Storing", "Flat Lowering").
//!
//! The guest's `realloc` runs in between, so that its memory is looked up anew for each write.
//!
//! Must stay true: values that come from the host may be of any type; what does not fit is an error that says so, before the guest sees anything of it.

use innkeeper_engine::Error;

use super::fit::{check_length, mismatch};
use super::lift::missing;
use super::string::{Kind, StringShape, StringShapes, check_allocated, store, write};
use super::{Boundary, Guest, Lends, MAX_BYTES, Side, Work, check_range};
use crate::concurrent::{FutureAny, InFlight, StreamAny};
use crate::resource::{Handle, ResourceAny, wrong_resource};
use crate::table::ResourceHandle;
use crate::trap::Trap;
use crate::types::{ResourceSlot, TypeIndex, TypeTable, ValType};
use crate::val::{List, Val};

/// Lowers values to one side of a call.
pub(crate) struct Lower<'a> {
    pub(super) types: &'a TypeTable,
    side: &'a Side,
    boundary: Boundary,
    guest: &'a mut dyn Guest,
    /// The call that handles are borrowed for; none where there can be no such.
    call: Option<u32>,
    lends: &'a mut Lends,
    /// How strings were encoded that come from another guest.
    strings: &'a mut StringShapes,
    work: Work,
}

impl<'a> Lower<'a> {
    pub(crate) fn new(
        side: &'a Side,
        boundary: Boundary,
        (guest, call): (&'a mut dyn Guest, Option<u32>),
        (lends, strings): (&'a mut Lends, &'a mut StringShapes),
    ) -> Lower<'a> {
        let work = Work::default();
        Lower { types: &side.shared.types, side, boundary, guest, call, lends, strings, work }
    }

    /// Values of several types: into slots, or into memory of the guest's where there would be more than `max_flat`; adds what is passed to `slots`.
    pub(crate) fn values(
        &mut self,
        max_flat: usize,
        vals: &[Val],
        tuple: TypeIndex,
        slots: &mut Vec<u64>,
    ) -> Result<(), Error> {
        let types = self.types;
        let layout = types.layout(tuple);
        let ValType::Tuple(parts) = types.get(tuple) else { return Ok(()) };
        if layout.flat.as_ref().is_some_and(|flat| flat.len() <= max_flat) {
            return vals.iter().zip(parts).try_for_each(|(val, ty)| self.flat(slots, val, *ty));
        }
        let address = self.guest.realloc(0, 0, layout.align, layout.size)?;
        self.check(address, tuple, Trap::ReallocOutOfBounds)?;
        for ((val, ty), offset) in vals.iter().zip(parts).zip(&layout.offsets) {
            self.store(val, *ty, address + offset)?;
        }
        slots.push(u64::from(address));
        Ok(())
    }

    /// A function's result: into one slot, or where the caller wants it.
    pub(crate) fn result(
        &mut self,
        max_flat: usize,
        (val, ty): (&Val, TypeIndex),
        out: Option<u64>,
    ) -> Result<Vec<u64>, Error> {
        let mut slots = Vec::new();
        if self.types.layout(ty).flat.as_ref().is_some_and(|flat| flat.len() <= max_flat) {
            self.flat(&mut slots, val, ty)?;
            return Ok(slots);
        }
        let address = out.unwrap_or_default() as u32;
        self.check(address, ty, Trap::PointerOutOfBounds)?;
        self.store(val, ty, address)?;
        Ok(slots)
    }

    fn check(&mut self, address: u32, ty: TypeIndex, beyond: Trap) -> Result<(), Error> {
        let layout = self.types.layout(ty);
        let shape = (u64::from(layout.size), layout.align);
        Ok(check_range(address, shape, self.guest.memory()?.len(), beyond).map(drop)?)
    }

    /// Counts work that is about to be done.
    pub(super) fn work(&mut self, steps: usize) -> Result<(), Error> {
        if self.work.is_time_to_look(steps) { self.guest.check_interrupts() } else { Ok(()) }
    }

    fn flat(&mut self, slots: &mut Vec<u64>, val: &Val, ty: TypeIndex) -> Result<(), Error> {
        self.work(1)?;
        let types = self.types;
        match (types.get(ty), val) {
            (ValType::S64, Val::S64(value)) => slots.push(value.cast_unsigned()),
            (ValType::U64, Val::U64(value)) => slots.push(*value),
            (ValType::Float64, Val::Float64(value)) => slots.push(float64(*value)),
            (ValType::String, Val::String(text)) => {
                let (address, units) = self.string(text)?;
                slots.extend([u64::from(address), u64::from(units)]);
            }
            (ValType::List(element), Val::List(list)) => {
                let address = self.list(list, *element)?;
                slots.extend([u64::from(address), list.len() as u64]);
            }
            (ValType::Map(_, _, pair), Val::Map(pairs)) => {
                let address = self.map(pairs, *pair)?;
                slots.extend([u64::from(address), pairs.len() as u64]);
            }
            (ValType::FixedLengthList(element, length), Val::List(list)) => {
                check_length(list, *length)?;
                for val in list.iter() {
                    self.flat(slots, &val, *element)?;
                }
            }
            (ValType::Record(fields), Val::Record(vals)) => {
                self.check_fields(fields, vals)?;
                for ((_, ty), (_, val)) in fields.iter().zip(vals) {
                    self.flat(slots, val, *ty)?;
                }
            }
            (ValType::Tuple(parts), Val::Tuple(vals)) if parts.len() == vals.len() => {
                for (ty, val) in parts.iter().zip(vals) {
                    self.flat(slots, val, *ty)?;
                }
            }
            (
                variant @ (ValType::Variant(_) | ValType::Enum(_) | ValType::Option(_) | ValType::Result(..)),
                val,
            ) => {
                let (case, payload) = self.case_of((variant, ty), val)?;
                let start = slots.len();
                slots.push(u64::from(case));
                if let Some((val, ty)) = payload {
                    self.flat(slots, val, ty)?;
                }
                // What other cases would have passed is zero.
                let width = types.layout(ty).flat.as_ref().map_or(1, |flat| flat.len());
                slots.resize(start + width, 0);
            }
            (ValType::Stream(_), Val::Stream(StreamAny(end)))
            | (ValType::Future(_), Val::Future(FutureAny(end))) => slots.push(u64::from(self.end(end, ty)?)),
            (ty, val) => slots.push(u64::from(self.number(ty, val)?)),
        }
        Ok(())
    }

    /// Stores a value at an address that has been checked.
    fn store(&mut self, val: &Val, ty: TypeIndex, address: u32) -> Result<(), Error> {
        self.work(1)?;
        let types = self.types;
        match (types.get(ty), val) {
            (ValType::S64, Val::S64(value)) => write(self.guest, address, &value.to_le_bytes()),
            (ValType::U64, Val::U64(value)) => write(self.guest, address, &value.to_le_bytes()),
            (ValType::Float64, Val::Float64(value)) => {
                write(self.guest, address, &float64(*value).to_le_bytes())
            }
            (ValType::String, Val::String(text)) => {
                let (at, units) = self.string(text)?;
                self.store_pair(address, at, units)
            }
            (ValType::List(element), Val::List(list)) => {
                let at = self.list(list, *element)?;
                self.store_pair(address, at, list.len() as u32)
            }
            (ValType::Map(_, _, pair), Val::Map(pairs)) => {
                let at = self.map(pairs, *pair)?;
                self.store_pair(address, at, pairs.len() as u32)
            }
            (ValType::FixedLengthList(element, length), Val::List(list)) => {
                check_length(list, *length)?;
                self.elements(list, *element, address)
            }
            (ValType::Record(fields), Val::Record(vals)) => {
                self.check_fields(fields, vals)?;
                for (((_, ty), (_, val)), offset) in fields.iter().zip(vals).zip(&types.layout(ty).offsets) {
                    self.store(val, *ty, address + offset)?;
                }
                Ok(())
            }
            (ValType::Tuple(parts), Val::Tuple(vals)) if parts.len() == vals.len() => {
                for ((ty, val), offset) in parts.iter().zip(vals).zip(&types.layout(ty).offsets) {
                    self.store(val, *ty, address + offset)?;
                }
                Ok(())
            }
            (
                variant @ (ValType::Variant(_) | ValType::Enum(_) | ValType::Option(_) | ValType::Result(..)),
                val,
            ) => {
                let (case, payload) = self.case_of((variant, ty), val)?;
                let layout = types.layout(ty);
                self.store_number(address, case, layout.discriminant)?;
                match payload {
                    Some((val, ty)) => self.store(val, ty, address + layout.payload),
                    None => Ok(()),
                }
            }
            (ValType::Stream(_), Val::Stream(StreamAny(end)))
            | (ValType::Future(_), Val::Future(FutureAny(end))) => {
                let handle = self.end(end, ty)?;
                self.store_number(address, handle, 4)
            }
            (kind, val) => {
                let number = self.number(kind, val)?;
                self.store_number(address, number, types.layout(ty).size)
            }
        }
    }

    fn store_number(&mut self, address: u32, number: u32, size: u32) -> Result<(), Error> {
        let bytes = number.to_le_bytes();
        write(self.guest, address, bytes.get(..size as usize).unwrap_or(&bytes))
    }

    fn store_pair(&mut self, address: u32, first: u32, second: u32) -> Result<(), Error> {
        write(self.guest, address, &first.to_le_bytes())?;
        write(self.guest, address + 4, &second.to_le_bytes())
    }

    /// A value that is one number of 32 bits; negative ones as they are in 32.
    fn number(&mut self, ty: &ValType, val: &Val) -> Result<u32, Error> {
        Ok(match (ty, val) {
            (ValType::Bool, Val::Bool(value)) => u32::from(*value),
            (ValType::S8, Val::S8(value)) => i32::from(*value).cast_unsigned(),
            (ValType::U8, Val::U8(value)) => u32::from(*value),
            (ValType::S16, Val::S16(value)) => i32::from(*value).cast_unsigned(),
            (ValType::U16, Val::U16(value)) => u32::from(*value),
            (ValType::S32, Val::S32(value)) => value.cast_unsigned(),
            (ValType::U32, Val::U32(value)) => *value,
            (ValType::Float32, Val::Float32(value)) => float32(*value),
            (ValType::Char, Val::Char(value)) => u32::from(*value),
            (ValType::Flags(labels), Val::Flags(set)) => self.flag_bits(labels, set)?,
            (ValType::Own(slot), Val::Resource(any)) => self.own(*any, *slot)?,
            (ValType::Borrow(slot), Val::Resource(any)) => self.borrow(*any, *slot)?,
            (ValType::ErrorContext, _) => return Err(missing(ty)),
            _ => return Err(mismatch(ty, val)),
        })
    }

    fn string(&mut self, text: &str) -> Result<(u32, u32), Error> {
        self.work(Work::of_bytes(text.len()))?;
        let shape = match self.strings.pop_front() {
            Some(shape) => shape,
            None => StringShape::of_host(text)?,
        };
        store(self.guest, (text, shape), self.side.encoding, self.boundary)
    }

    /// Allocates and stores a list; gives its address.
    fn list(&mut self, list: &List, element: TypeIndex) -> Result<u32, Error> {
        let address = self.allocate(list.len(), element)?;
        self.elements(list, element, address)?;
        Ok(address)
    }

    fn map(&mut self, pairs: &[(Val, Val)], pair: TypeIndex) -> Result<u32, Error> {
        let types = self.types;
        let address = self.allocate(pairs.len(), pair)?;
        let layout = types.layout(pair);
        let (ValType::Tuple(parts), [key_at, value_at]) = (types.get(pair), &*layout.offsets) else {
            return Ok(address);
        };
        let mut at = address;
        for (key, value) in pairs {
            self.store(key, parts[0], at + key_at)?;
            self.store(value, parts[1], at + value_at)?;
            at = at.wrapping_add(layout.size);
        }
        Ok(address)
    }

    fn allocate(&mut self, length: usize, element: TypeIndex) -> Result<u32, Error> {
        let layout = self.types.layout(element);
        let bytes = (length as u64).saturating_mul(u64::from(layout.size));
        if bytes > MAX_BYTES {
            return Err(Trap::ListTooLong.into());
        }
        let address = self.guest.realloc(0, 0, layout.align, bytes as u32)?;
        check_allocated(self.guest, address, (bytes, layout.align), self.boundary, Kind::List)?;
        Ok(address)
    }

    /// Stores elements at an address that has been checked for all of them.
    fn elements(&mut self, list: &List, element: TypeIndex, address: u32) -> Result<(), Error> {
        macro_rules! numbers {
            ($numbers:expr, $size:expr) => {{
                let memory = self.guest.memory()?;
                let to =
                    memory.get_mut(address as usize..).and_then(|to| to.get_mut(..$numbers.len() * $size));
                let to = to.ok_or(Trap::PointerOutOfBounds)?;
                for (to, number) in to.chunks_exact_mut($size).zip($numbers) {
                    to.copy_from_slice(&number.to_le_bytes());
                }
                return Ok(());
            }};
        }
        let types = self.types;
        self.work(Work::of_bytes(list.len().saturating_mul(types.layout(element).size as usize)))?;
        match (types.get(element), list) {
            (ValType::S8, List::S8(numbers)) => numbers!(numbers, 1),
            (ValType::U8, List::U8(numbers)) => return write(self.guest, address, numbers),
            (ValType::S16, List::S16(numbers)) => numbers!(numbers, 2),
            (ValType::U16, List::U16(numbers)) => numbers!(numbers, 2),
            (ValType::S32, List::S32(numbers)) => numbers!(numbers, 4),
            (ValType::U32, List::U32(numbers)) => numbers!(numbers, 4),
            (ValType::S64, List::S64(numbers)) => numbers!(numbers, 8),
            (ValType::U64, List::U64(numbers)) => numbers!(numbers, 8),
            (ValType::Float32, List::Float32(numbers)) => {
                numbers!(numbers.iter().map(|number| float32(*number)), 4)
            }
            (ValType::Float64, List::Float64(numbers)) => {
                numbers!(numbers.iter().map(|number| float64(*number)), 8)
            }
            _ => {}
        }
        let (size, mut at) = (types.layout(element).size, address);
        if let List::Vals(vals) = list {
            for val in vals {
                self.store(val, element, at)?;
                // The last one may end where the address space does.
                at = at.wrapping_add(size);
            }
            return Ok(());
        }
        for val in list.iter() {
            self.store(&val, element, at)?;
            at = at.wrapping_add(size);
        }
        Ok(())
    }

    /// Gives the guest the readable end of a stream or future.
    fn end(&mut self, end: &InFlight, ty: TypeIndex) -> Result<u32, Error> {
        let (budget, side) = (self.guest.budget(), self.side);
        self.guest.state().give_end(side.instance, end, (&side.shared, ty), &budget)
    }

    /// Stores a list's elements at an address, where there is room for them.
    pub(crate) fn list_at(&mut self, list: &List, element: TypeIndex, address: u32) -> Result<(), Error> {
        let layout = self.types.layout(element);
        let shape = (list.len() as u64 * u64::from(layout.size), layout.align);
        check_range(address, shape, self.guest.memory()?.len(), Trap::PointerOutOfBounds)?;
        self.elements(list, element, address)
    }

    fn own(&mut self, any: ResourceAny, slot: ResourceSlot) -> Result<u32, Error> {
        let ty = self.side.shared.resources[slot.0 as usize];
        let rep = match any.0 {
            Handle::InFlight { ty: given, rep } if given == ty => rep,
            Handle::InFlight { .. } => return Err(wrong_resource()),
            Handle::Host { .. } => self.guest.state().take_host(any, ty)?,
        };
        let budget = self.guest.budget();
        let instance = self.side.instance;
        self.guest.state().instance(instance).handles.add(ResourceHandle::own(ty, rep), &budget)
    }

    fn borrow(&mut self, any: ResourceAny, slot: ResourceSlot) -> Result<u32, Error> {
        let ty = self.side.shared.resources[slot.0 as usize];
        let rep = match any.0 {
            Handle::InFlight { ty: given, rep } if given == ty => rep,
            Handle::InFlight { .. } => return Err(wrong_resource()),
            Handle::Host { .. } => {
                let (rep, lent) = self.guest.state().lend_host(any, ty)?;
                self.lends.host.push(lent);
                rep
            }
        };
        let budget = self.guest.budget();
        self.guest.state().give_borrow((self.side.instance, self.call), (ty, rep), &budget)
    }
}

/// A NaN is the canonical one, so that no other is told apart.
fn float32(value: f32) -> u32 {
    if value.is_nan() { 0x7fc0_0000 } else { value.to_bits() }
}

fn float64(value: f64) -> u64 {
    if value.is_nan() { 0x7ff8_0000_0000_0000 } else { value.to_bits() }
}
