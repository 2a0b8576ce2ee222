//! A walk over values where they lie: in core values, or in a guest's memory. Nothing is taken from the guest.
//!
//! Must stay true: it agrees with lifting (`abi/lift.rs`) about what is where, allocates nothing, and looks every so often whether the guest is to stop.

use std::sync::Arc;

use innkeeper_engine::{Error, InterruptHandle};

use super::{Compound, Part, ValueVisitor};
use crate::abi::{MAX_BYTES, Side, Work, check_range, locate_string};
use crate::decode::Encoding;
use crate::state::State;
use crate::trap::Trap;
use crate::types::{ResourceSlot, TypeIndex, TypeTable, ValType};

/// See the module's documentation.
pub(crate) struct Walk<'a> {
    types: &'a TypeTable,
    side: &'a Side,
    memory: &'a [u8],
    state: &'a State,
    interrupts: &'a InterruptHandle,
    work: Work,
    visitor: &'a mut dyn ValueVisitor,
}

/// Bytes and characters that are shown at once.
const PIECE_BYTES: usize = 1 << 16;

type Slots<'a> = std::slice::Iter<'a, u64>;

impl<'a> Walk<'a> {
    pub(crate) fn new(
        side: &'a Side,
        (state, memory): (&'a State, &'a [u8]),
        interrupts: &'a InterruptHandle,
        visitor: &'a mut dyn ValueVisitor,
    ) -> Walk<'a> {
        let types = &*side.shared.types;
        Walk { types, side, memory, state, interrupts, work: Work::default(), visitor }
    }

    /// The parts of a tuple, or a value of another type: in as many slots, or in memory where there would be more than `max_flat`.
    pub(crate) fn value(&mut self, max_flat: usize, slots: &[u64], ty: TypeIndex) -> Result<(), Error> {
        let layout = self.types.layout(ty);
        if layout.flat.as_ref().is_some_and(|flat| flat.len() <= max_flat) {
            return self.flat(&mut slots.iter(), ty);
        }
        let address = slots.first().copied().unwrap_or_default() as u32;
        let shape = (u64::from(layout.size), layout.align);
        check_range(address, shape, self.memory.len(), Trap::PointerOutOfBounds)?;
        self.load(address, ty)
    }

    fn flat(&mut self, slots: &mut Slots<'_>, ty: TypeIndex) -> Result<(), Error> {
        let types = self.types;
        let mut next = || slots.next().copied().unwrap_or_default();
        match types.get(ty) {
            ValType::String => {
                let (address, length) = (next() as u32, next() as u32);
                self.string(address, length)
            }
            ValType::List(element) | ValType::Map(_, _, element) => {
                let (address, length) = (next() as u32, next() as u32);
                self.list(address, length, *element)
            }
            ValType::FixedLengthList(element, length) => {
                self.part(Part::Begin(Compound::List(*length)))?;
                for _ in 0..*length {
                    self.flat(slots, *element)?;
                }
                self.part(Part::End)
            }
            ValType::Record(fields) => {
                self.part(Part::Begin(Compound::Record))?;
                for (name, ty) in fields {
                    self.part(Part::Field(name))?;
                    self.flat(slots, *ty)?;
                }
                self.part(Part::End)
            }
            ValType::Tuple(parts) => {
                self.part(Part::Begin(Compound::Tuple))?;
                for ty in parts {
                    self.flat(slots, *ty)?;
                }
                self.part(Part::End)
            }
            variant @ (ValType::Variant(_) | ValType::Enum(_) | ValType::Option(_) | ValType::Result(..)) => {
                let case = next() as u32;
                let width = types.layout(ty).flat.as_ref().map_or(0, |flat| flat.len() - 1);
                let mut payload = slots.as_slice().get(..width).unwrap_or_default().iter();
                *slots = slots.as_slice().get(width..).unwrap_or_default().iter();
                let (label, payload_ty) = case_of(variant, case)?;
                self.part(Part::Case(case, label, payload_ty.is_some()))?;
                match payload_ty {
                    None => Ok(()),
                    Some(ty) => {
                        self.flat(&mut payload, ty)?;
                        self.part(Part::End)
                    }
                }
            }
            scalar => self.scalar(scalar, next()),
        }
    }

    /// The value at an address that has been checked.
    fn load(&mut self, address: u32, ty: TypeIndex) -> Result<(), Error> {
        let types = self.types;
        let layout = types.layout(ty);
        match types.get(ty) {
            ValType::String => {
                self.string(self.number(address, 4) as u32, self.number(address + 4, 4) as u32)
            }
            ValType::List(element) | ValType::Map(_, _, element) => {
                self.list(self.number(address, 4) as u32, self.number(address + 4, 4) as u32, *element)
            }
            ValType::FixedLengthList(element, length) => {
                self.part(Part::Begin(Compound::List(*length)))?;
                self.elements(address, *length, *element)?;
                self.part(Part::End)
            }
            ValType::Record(fields) => {
                self.part(Part::Begin(Compound::Record))?;
                for ((name, ty), offset) in fields.iter().zip(&layout.offsets) {
                    self.part(Part::Field(name))?;
                    self.load(address + offset, *ty)?;
                }
                self.part(Part::End)
            }
            ValType::Tuple(parts) => {
                self.part(Part::Begin(Compound::Tuple))?;
                for (ty, offset) in parts.iter().zip(&layout.offsets) {
                    self.load(address + offset, *ty)?;
                }
                self.part(Part::End)
            }
            variant @ (ValType::Variant(_) | ValType::Enum(_) | ValType::Option(_) | ValType::Result(..)) => {
                let case = self.number(address, layout.discriminant) as u32;
                let (label, payload_ty) = case_of(variant, case)?;
                self.part(Part::Case(case, label, payload_ty.is_some()))?;
                match payload_ty {
                    None => Ok(()),
                    Some(ty) => {
                        self.load(address.wrapping_add(layout.payload), ty)?;
                        self.part(Part::End)
                    }
                }
            }
            scalar => self.scalar(scalar, self.number(address, layout.size)),
        }
    }

    /// A value that is one number.
    fn scalar(&mut self, ty: &ValType, number: u64) -> Result<(), Error> {
        let bits = number as u32;
        match ty {
            ValType::Bool => self.part(Part::Bool(bits != 0)),
            ValType::S8 => self.part(Part::Signed(number as i8 as i64)),
            ValType::S16 => self.part(Part::Signed(number as i16 as i64)),
            ValType::S32 => self.part(Part::Signed(bits.cast_signed().into())),
            ValType::S64 => self.part(Part::Signed(number.cast_signed())),
            ValType::U8 => self.part(Part::Unsigned(number as u8 as u64)),
            ValType::U16 => self.part(Part::Unsigned(number as u16 as u64)),
            ValType::U32 => self.part(Part::Unsigned(bits.into())),
            ValType::U64 => self.part(Part::Unsigned(number)),
            ValType::Float32 => self.part(Part::Float32(f32::from_bits(bits))),
            ValType::Float64 => self.part(Part::Float64(f64::from_bits(number))),
            ValType::Char => {
                let character = char::from_u32(bits).ok_or(Trap::InvalidChar(bits))?;
                self.part(Part::Char(character))
            }
            ValType::Flags(labels) => self.part(Part::Flags(labels, bits)),
            ValType::Own(slot) | ValType::Borrow(slot) => self.handle(bits, *slot),
            other => Err(crate::abi::missing(other)),
        }
    }

    fn handle(&mut self, index: u32, slot: ResourceSlot) -> Result<(), Error> {
        let types = self.types;
        let handle = self.state.instances[self.side.instance.0 as usize].handles.peek(index);
        let handle = handle.ok_or(Trap::UnknownHandle(index))?;
        let resource = types.resource_name(slot).map(|name| &**name);
        self.part(Part::Handle { resource, index, rep: handle.rep })
    }

    fn string(&mut self, address: u32, tagged_units: u32) -> Result<(), Error> {
        let (encoding, bytes) = locate_string(self.memory, (address, tagged_units), self.side.encoding)?;
        self.part(Part::Begin(Compound::String))?;
        match encoding {
            Encoding::Utf8 => {
                let text = std::str::from_utf8(bytes).map_err(Trap::InvalidUtf8)?;
                let mut rest = text;
                while !rest.is_empty() {
                    let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE_BYTES));
                    self.text(piece)?;
                    rest = after;
                }
            }
            Encoding::Utf16 => {
                let units = bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
                self.chars(char::decode_utf16(units).map(|char| char.map_err(|_| Trap::InvalidUtf16)))?;
            }
            Encoding::Latin1OrUtf16 => self.chars(bytes.iter().map(|byte| Ok(char::from(*byte))))?,
        }
        self.part(Part::End)
    }

    /// Characters that are not in UTF-8 where they lie.
    fn chars(&mut self, chars: impl Iterator<Item = Result<char, Trap>>) -> Result<(), Error> {
        let mut piece = [0; 1024];
        let mut filled = 0;
        for char in chars {
            if filled + char::MAX.len_utf8() > piece.len() {
                self.text(std::str::from_utf8(&piece[..filled]).unwrap_or_default())?;
                filled = 0;
            }
            filled += char?.encode_utf8(&mut piece[filled..]).len();
        }
        self.text(std::str::from_utf8(&piece[..filled]).unwrap_or_default())
    }

    fn text(&mut self, piece: &str) -> Result<(), Error> {
        self.work(Work::of_bytes(piece.len()))?;
        if piece.is_empty() { Ok(()) } else { self.visitor.part(Part::Text(piece)) }
    }

    fn list(&mut self, address: u32, length: u32, element: TypeIndex) -> Result<(), Error> {
        let layout = self.types.layout(element);
        let bytes = u64::from(length) * u64::from(layout.size);
        if bytes > MAX_BYTES {
            return Err(Trap::ListTooLong.into());
        }
        let range = check_range(address, (bytes, layout.align), self.memory.len(), Trap::ListOutOfBounds)?;
        if *self.types.get(element) == ValType::U8 {
            self.part(Part::Begin(Compound::Bytes(length)))?;
            for piece in self.memory.get(range).unwrap_or_default().chunks(PIECE_BYTES) {
                self.work(Work::of_bytes(piece.len()))?;
                self.visitor.part(Part::Bytes(piece))?;
            }
            return self.part(Part::End);
        }
        self.part(Part::Begin(Compound::List(length)))?;
        self.elements(address, length, element)?;
        self.part(Part::End)
    }

    /// Elements at an address that has been checked, for all of them.
    fn elements(&mut self, address: u32, length: u32, element: TypeIndex) -> Result<(), Error> {
        let size = self.types.layout(element).size;
        let mut at = address;
        for _ in 0..length {
            self.load(at, element)?;
            // The last one may end where the address space does.
            at = at.wrapping_add(size);
        }
        Ok(())
    }

    fn part(&mut self, part: Part<'_>) -> Result<(), Error> {
        self.work(1)?;
        self.visitor.part(part)
    }

    fn work(&mut self, steps: usize) -> Result<(), Error> {
        match self.work.is_time_to_look(steps) && self.interrupts.is_stop_asked() {
            true => Err(innkeeper_engine::Trap::Interrupted.into()),
            false => Ok(()),
        }
    }

    /// A number of so many bytes; zero beyond the memory's end, where nobody reads after the checks.
    fn number(&self, address: u32, size: u32) -> u64 {
        let at = address as usize;
        let bytes = self.memory.get(at..at + size.min(8) as usize).unwrap_or_default();
        bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

/// The label of a variant's case, and its payload's type.
fn case_of(variant: &ValType, case: u32) -> Result<(&str, Option<TypeIndex>), Trap> {
    let label = |label: &'static str, ty| (label, ty);
    let found = match variant {
        ValType::Variant(cases) => cases.get(case as usize).map(|(label, ty)| (&**label, *ty)),
        ValType::Enum(labels) => labels.get(case as usize).map(|label: &Arc<str>| (&**label, None)),
        ValType::Option(ty) => [label("none", None), label("some", Some(*ty))].get(case as usize).copied(),
        ValType::Result(ok, err) => [label("ok", *ok), label("err", *err)].get(case as usize).copied(),
        _ => None,
    };
    found.ok_or(Trap::InvalidDiscriminant(case))
}
