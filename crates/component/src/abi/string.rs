//! Strings in three encodings (canonical ABI, `load_string`, `store_string`).
//!
//! Guests can see how often and with which sizes their `realloc` is called, so lowering does just what the canonical ABI says. It depends on the
//! encoding that the string had where it came from, which is its [`StringShape`].

use std::collections::VecDeque;

use innkeeper_engine::{Error, Memory, StoreContextMut, StoreParts, text_in};

use super::{Boundary, Costs, Guest, InStore, MAX_BYTES, Side, check_range};
use crate::decode::Encoding;
use crate::state::State;
use crate::trap::Trap;

/// How a string was encoded where it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StringShape {
    source: Source,
    /// Bytes of UTF-8 or Latin-1, or units of UTF-16.
    units: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Utf8,
    Utf16,
    /// Of a guest whose strings are Latin-1 or UTF-16; this one is the first.
    Latin1,
    /// The same; this one is the other.
    TaggedUtf16,
}

/// Shapes of the strings among some values, in the order in which these are walked.
pub(crate) type StringShapes = VecDeque<StringShape>;

/// In lengths of strings that are Latin-1 or UTF-16: it is the other.
const UTF16_TAG: u32 = 1 << 31;

impl StringShape {
    /// Of a string of the host's.
    pub(super) fn of_host(text: &str) -> Result<StringShape, Trap> {
        let units = u32::try_from(text.len()).ok().filter(|units| u64::from(*units) <= MAX_BYTES);
        Ok(StringShape { source: Source::Utf8, units: units.ok_or(Trap::StringTooLong)? })
    }
}

pub(super) fn load(
    (memory, encoding): (&[u8], Encoding),
    (address, tagged_units): (u32, u32),
    boundary: Boundary,
    costs: &mut Costs<'_>,
) -> Result<(String, StringShape), Error> {
    let (source, bytes, units) = locate(memory, (address, tagged_units), encoding, boundary)?;
    costs.work_on(bytes.len())?;
    let text = match source {
        Source::Utf8 => {
            let given = text_in(bytes).map_err(Trap::InvalidUtf8)?;
            let mut text = costs.room_for_text(given.len())?;
            text.push_str(given);
            text
        }
        Source::Latin1 => {
            let of_two_bytes = bytes.iter().filter(|byte| !byte.is_ascii()).count();
            let mut text = costs.room_for_text(bytes.len() + of_two_bytes)?;
            for piece in bytes.chunks(PIECE_BYTES) {
                costs.look()?;
                text.extend(piece.iter().map(|byte| char::from(*byte)));
            }
            text
        }
        Source::Utf16 | Source::TaggedUtf16 => from_utf16(bytes, costs)?,
    };
    Ok((text, StringShape { source, units }))
}

/// Bytes that are converted without looking whether the guest is to stop.
const PIECE_BYTES: usize = 1 << 16;

fn from_utf16(bytes: &[u8], costs: &mut Costs<'_>) -> Result<String, Error> {
    let chars = || {
        let units = bytes.chunks_exact(2).map(|unit| u16::from_le_bytes([unit[0], unit[1]]));
        char::decode_utf16(units).enumerate()
    };
    let mut length = 0;
    for (i, char) in chars() {
        if i % PIECE_BYTES == 0 {
            costs.look()?;
        }
        length += char.map_err(|_| Trap::InvalidUtf16)?.len_utf8();
    }
    let mut text = costs.room_for_text(length)?;
    for (i, char) in chars() {
        if i % PIECE_BYTES == 0 {
            costs.look()?;
        }
        text.extend(char);
    }
    Ok(text)
}

/// A string that is handed to the host.
pub(crate) fn lift_string(
    from: (&[u8], Encoding),
    passed: (u32, u32),
    costs: &mut Costs<'_>,
) -> Result<String, Error> {
    load(from, passed, Boundary::Host, costs).map(|(text, _)| text)
}

/// A string of UTF-8 that is handed to the host, where it is.
pub(crate) fn lift_utf8(memory: &[u8], passed: (u32, u32)) -> Result<&str, Trap> {
    let (_, bytes, _) = locate(memory, passed, Encoding::Utf8, Boundary::Host)?;
    text_in(bytes).map_err(Trap::InvalidUtf8)
}

/// Where a string is that is handed to the host, and what it is in: Latin-1 where that is one of two that it could be.
pub(crate) fn locate_string(
    memory: &[u8],
    passed: (u32, u32),
    encoding: Encoding,
) -> Result<(Encoding, &[u8]), Trap> {
    let (source, bytes, _) = locate(memory, passed, encoding, Boundary::Host)?;
    let encoding = match source {
        Source::Utf8 => Encoding::Utf8,
        Source::Utf16 | Source::TaggedUtf16 => Encoding::Utf16,
        Source::Latin1 => Encoding::Latin1OrUtf16,
    };
    Ok((encoding, bytes))
}

/// Stores a string of the host's; gives its address and length, as they are passed.
pub(crate) fn lower_string(
    guest: &mut dyn Guest,
    text: &str,
    encoding: Encoding,
) -> Result<(u32, u32), Error> {
    store(guest, (text, StringShape::of_host(text)?), encoding, Boundary::Host)
}

/// Takes a string from one guest to another, whatever their encodings are; gives its address and length, as they are passed.
pub(crate) fn transcode<T: 'static>(
    store: &mut StoreContextMut<'_, T>,
    (from, encoding): (Memory, Encoding),
    to: &Side,
    passed: (u32, u32),
) -> Result<(u32, u32), Error> {
    let StoreParts { memory, budget, interrupts, .. } = store.parts::<State>(Some(from))?;
    let mut costs = Costs::new(budget, interrupts);
    let loaded = load((memory, encoding), passed, Boundary::Guest, &mut costs);
    let _charge = costs.into_charge();
    let (text, shape) = match loaded {
        Ok(loaded) => loaded,
        // Where it was given up because somebody wants the guest to stop, the store knows who.
        Err(error) => return Err(store.check_interrupts().err().unwrap_or(error)),
    };
    let mut guest = InStore { store, side: to };
    self::store(&mut guest, (&text, shape), to.encoding, Boundary::Guest)
}

/// Where a string is, and how long in its encoding's units.
#[inline]
fn locate(
    memory: &[u8],
    (address, tagged_units): (u32, u32),
    encoding: Encoding,
    boundary: Boundary,
) -> Result<(Source, &[u8], u32), Trap> {
    let (source, units) = match encoding {
        Encoding::Utf8 => (Source::Utf8, tagged_units),
        Encoding::Utf16 => (Source::Utf16, tagged_units),
        Encoding::Latin1OrUtf16 if tagged_units & UTF16_TAG != 0 => {
            (Source::TaggedUtf16, tagged_units ^ UTF16_TAG)
        }
        Encoding::Latin1OrUtf16 => (Source::Latin1, tagged_units),
    };
    let unit_bytes: u64 = if matches!(source, Source::Utf16 | Source::TaggedUtf16) { 2 } else { 1 };
    let bytes = u64::from(units) * unit_bytes;
    let align = if encoding == Encoding::Utf8 { 1 } else { 2 };
    let beyond = match boundary {
        Boundary::Host => Trap::StringOutOfBounds,
        Boundary::Guest => Trap::StringContentOutOfBounds,
    };
    if bytes > MAX_BYTES {
        // What lies beyond any memory is that first of all.
        return Err(if bytes > memory.len() as u64 { beyond } else { Trap::StringTooLong });
    }
    let range = check_range(address, (bytes, align), memory.len(), beyond)?;
    Ok((source, memory.get(range).unwrap_or_default(), units))
}

/// Stores a string; gives its address and length, as they are passed.
pub(super) fn store(
    guest: &mut dyn Guest,
    (text, shape): (&str, StringShape),
    encoding: Encoding,
    boundary: Boundary,
) -> Result<(u32, u32), Error> {
    let mut to = Destination { guest, boundary };
    let units = shape.units;
    match (encoding, shape.source) {
        (Encoding::Utf8, Source::Utf8) => to.copy((units, 1, 1), |to, at| to.write(at, text.as_bytes())),
        (Encoding::Utf8, Source::Utf16 | Source::TaggedUtf16) => to.utf8(text, units, 3),
        (Encoding::Utf8, Source::Latin1) => to.utf8(text, units, 2),
        (Encoding::Utf16, Source::Utf8) => to.utf8_to_utf16(text, units),
        (Encoding::Utf16, _) => to.copy((units, 2, 2), |to, at| to.encode(at, utf16(text)).map(drop)),
        (Encoding::Latin1OrUtf16, Source::Utf8 | Source::Utf16) => to.latin1_or_utf16(text, units),
        (Encoding::Latin1OrUtf16, Source::Latin1) => {
            to.copy((units, 1, 2), |to, at| to.encode(at, latin1(text)).map(drop))
        }
        (Encoding::Latin1OrUtf16, Source::TaggedUtf16) => to.probably_utf16(text, units),
    }
}

/// Where a string goes.
struct Destination<'a> {
    guest: &'a mut dyn Guest,
    boundary: Boundary,
}

impl Destination<'_> {
    fn realloc(&mut self, (old, old_size): (u32, u32), align: u32, size: u32) -> Result<u32, Error> {
        let address = self.guest.realloc(old, old_size, align, size)?;
        check_allocated(self.guest, address, (u64::from(size), align), self.boundary, Kind::String)?;
        Ok(address)
    }

    /// Writes bytes at an address that has been allocated for them.
    fn write(&mut self, address: u32, bytes: &[u8]) -> Result<(), Error> {
        write(self.guest, address, bytes)
    }

    /// Writes encoded bytes at an address that has been allocated for them, in pieces, so that there is no copy whose size the guest chooses; gives how many there were.
    fn encode(&mut self, address: u32, bytes: impl Iterator<Item = u8>) -> Result<u32, Error> {
        let (mut piece, mut filled, mut written) = ([0; 1024], 0, 0_u32);
        for byte in bytes {
            piece[filled] = byte;
            filled += 1;
            if filled == piece.len() {
                self.guest.check_interrupts()?;
                self.write(address.wrapping_add(written), &piece)?;
                written += filled as u32;
                filled = 0;
            }
        }
        self.write(address.wrapping_add(written), &piece[..filled])?;
        Ok(written + filled as u32)
    }

    /// `store_string_copy`
    fn copy(
        &mut self,
        (units, unit_bytes, align): (u32, u32, u32),
        write: impl FnOnce(&mut Self, u32) -> Result<(), Error>,
    ) -> Result<(u32, u32), Error> {
        let address = self.realloc((0, 0), align, units * unit_bytes)?;
        write(self, address)?;
        Ok((address, units))
    }

    /// `store_string_to_utf8`: as many bytes as units while all is ASCII, then the worst case, then what it was.
    fn utf8(&mut self, text: &str, units: u32, worst_factor: u32) -> Result<(u32, u32), Error> {
        let mut address = self.realloc((0, 0), 1, units)?;
        let length = text.len() as u32;
        if !text.is_ascii() {
            // What comes before is there when the guest allocates anew.
            let ascii = text.bytes().take_while(u8::is_ascii).count();
            self.write(address, &text.as_bytes()[..ascii])?;
            let worst = units * worst_factor;
            address = self.realloc((address, units), 1, worst)?;
            if worst > length {
                address = self.realloc_written((address, worst), text.as_bytes(), (1, length))?;
                return Ok((address, length));
            }
        }
        self.write(address, text.as_bytes())?;
        Ok((address, length))
    }

    /// Writes bytes, then makes the allocation as small as they are.
    fn realloc_written(
        &mut self,
        old: (u32, u32),
        bytes: &[u8],
        (align, size): (u32, u32),
    ) -> Result<u32, Error> {
        self.write(old.0, bytes)?;
        self.realloc(old, align, size)
    }

    /// `store_utf8_to_utf16`
    fn utf8_to_utf16(&mut self, text: &str, units: u32) -> Result<(u32, u32), Error> {
        let worst = 2 * units;
        let mut address = self.realloc((0, 0), 2, worst)?;
        let length = self.encode(address, utf16(text))?;
        if length < worst {
            address = self.realloc((address, worst), 2, length)?;
        }
        Ok((address, length / 2))
    }

    /// `store_string_to_latin1_or_utf16`
    fn latin1_or_utf16(&mut self, text: &str, units: u32) -> Result<(u32, u32), Error> {
        let mut address = self.realloc((0, 0), 2, units)?;
        // What comes before another character is there when the guest allocates anew.
        let length = self.encode(address, latin1_prefix(text))?;
        if is_latin1(text) {
            if length < units {
                address = self.realloc((address, units), 2, length)?;
            }
            return Ok((address, length));
        }
        let worst = 2 * units;
        address = self.realloc((address, units), 2, worst)?;
        let length = self.encode(address, utf16(text))?;
        if worst > length {
            address = self.realloc((address, worst), 2, length)?;
        }
        Ok((address, (length / 2) | UTF16_TAG))
    }

    /// `store_probably_utf16_to_latin1_or_utf16`
    fn probably_utf16(&mut self, text: &str, units: u32) -> Result<(u32, u32), Error> {
        let bytes = 2 * units;
        let address = self.realloc((0, 0), 2, bytes)?;
        self.encode(address, utf16(text))?;
        if !is_latin1(text) {
            return Ok((address, units | UTF16_TAG));
        }
        let length = self.encode(address, latin1(text))?;
        let address = self.realloc((address, bytes), 1, length)?;
        Ok((address, length))
    }
}

fn utf16(text: &str) -> impl Iterator<Item = u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes)
}

/// Of a text that is Latin-1.
fn latin1(text: &str) -> impl Iterator<Item = u8> {
    text.chars().map(|c| u32::from(c) as u8)
}

fn latin1_prefix(text: &str) -> impl Iterator<Item = u8> {
    text.chars().map_while(|c| u8::try_from(u32::from(c)).ok())
}

fn is_latin1(text: &str) -> bool {
    text.chars().all(|c| u32::from(c) <= 0xff)
}

/// What was allocated for.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    String,
    List,
}

/// Checks what `realloc` has returned.
pub(crate) fn check_allocated(
    guest: &mut dyn Guest,
    address: u32,
    shape: (u64, u32),
    boundary: Boundary,
    kind: Kind,
) -> Result<(), Error> {
    let beyond = match (boundary, kind) {
        (Boundary::Host, _) => Trap::ReallocOutOfBounds,
        (Boundary::Guest, Kind::String) => Trap::StringContentOutOfBounds,
        (Boundary::Guest, Kind::List) => Trap::ListContentOutOfBounds,
    };
    match check_range(address, shape, guest.memory()?.len(), beyond) {
        Err(Trap::Unaligned) if boundary == Boundary::Host => Err(Trap::ReallocUnaligned.into()),
        checked => Ok(checked.map(drop)?),
    }
}

/// Writes bytes at an address that has been checked.
pub(crate) fn write(guest: &mut dyn Guest, address: u32, bytes: &[u8]) -> Result<(), Error> {
    let memory = guest.memory()?;
    let to = memory.get_mut(address as usize..).and_then(|to| to.get_mut(..bytes.len()));
    // A memory never shrinks.
    to.ok_or(Trap::PointerOutOfBounds)?.copy_from_slice(bytes);
    Ok(())
}
