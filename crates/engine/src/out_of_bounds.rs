//! What an access asked for that was out of bounds.
//!
//! Whoever refuses an access notes it in the store, as far as that is known there; the trap's error has it then. Machine code that faults knows the address, and the
//! instruction says how many bytes it is about.
//!
//! Must stay true: this says something about a trap and decides nothing.

use std::fmt;

use wasmparser::{BinaryReader, MemArg, for_each_operator};

use crate::tier::ModuleParts;

/// What an access to a memory or a table asked for, and how much there was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutOfBounds {
    /// An access to a memory.
    Memory {
        /// The first byte that was asked for or, where `is_start` is false, the first that is not there.
        address: u64,
        /// How many bytes were asked for, where that is known.
        len_bytes: Option<u64>,
        /// Whether the access begins at `address`, and not some bytes before.
        is_start: bool,
        /// How many bytes the memory has.
        memory_bytes: u64,
    },
    /// An access to a table.
    Table {
        /// The first element that was asked for.
        element: u64,
        /// How many elements were asked for.
        count: u64,
        /// How many elements the table has.
        elements: u64,
    },
}

impl OutOfBounds {
    pub(crate) fn memory(address: u64, len_bytes: u64, memory_bytes: u64) -> OutOfBounds {
        OutOfBounds::Memory { address, len_bytes: Some(len_bytes), is_start: true, memory_bytes }
    }

    /// An access whose byte at `address` faulted.
    pub(crate) fn fault(address: u64, memory_bytes: u64) -> OutOfBounds {
        // At the memory's end, bytes before may have been there.
        OutOfBounds::Memory { address, len_bytes: None, is_start: address > memory_bytes, memory_bytes }
    }

    /// Adds how many bytes the instruction at an offset of a module is about, where that is not known.
    pub(crate) fn complete(&mut self, module: &ModuleParts, offset_bytes: usize) {
        if let OutOfBounds::Memory { len_bytes: len @ None, is_start, .. } = self {
            *len = access_bytes(&module.bytes, offset_bytes);
            *is_start |= *len == Some(1);
        }
    }
}

impl fmt::Display for OutOfBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            OutOfBounds::Memory { address, len_bytes, is_start, memory_bytes } => {
                match len_bytes {
                    Some(len) => Count(len, "byte").fmt(f)?,
                    None => f.write_str("an access")?,
                }
                let (at, address) = (if is_start { "at" } else { "that reach" }, Address(address));
                let has = Count(memory_bytes, "byte");
                match len_bytes {
                    None if !is_start => write!(f, " that reaches {address}, the memory has {has}"),
                    _ => write!(f, " {at} {address}, the memory has {has}"),
                }
            }
            OutOfBounds::Table { element, count: 1, elements } => {
                write!(f, "element {element}, the table has {}", Count(elements, "element"))
            }
            OutOfBounds::Table { element, count, elements } => {
                let (count, has) = (Count(count, "element"), Count(elements, "element"));
                write!(f, "{count} from {element} on, the table has {has}")
            }
        }
    }
}

/// An address in hexadecimal digits, in groups of four.
struct Address(u64);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:x}", self.0);
        f.write_str("0x")?;
        for (position, digit) in digits.char_indices() {
            if position > 0 && (digits.len() - position).is_multiple_of(4) {
                f.write_str("_")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// So many things of a kind.
struct Count(u64, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.0, self.1, if self.0 == 1 { "" } else { "s" })
    }
}

/// How many bytes the instruction at an offset loads or stores; none where it does neither.
fn access_bytes(module: &[u8], offset_bytes: usize) -> Option<u64> {
    let code = module.get(offset_bytes..)?;
    let operator = wasmparser::OperatorsReader::new(BinaryReader::new(code, 0)).read().ok()?;
    macro_rules! memory_argument {
        ($(@$proposal:ident $op:ident $({ $($arg:ident: $ty:ty),* })? => $visit:ident ($($kind:tt)*))*) => {
            match operator {
                $(wasmparser::Operator::$op $({ $($arg),* })? => {
                    #[allow(unused_mut, reason = "most have no arguments")]
                    let mut found: Option<MemArg> = None;
                    $($(found = found.or((&Argument(&$arg)).memory_argument());)*)?
                    found
                })*
                _ => None,
            }
        };
    }
    let argument: Option<MemArg> = for_each_operator!(memory_argument);
    // The greatest alignment that an instruction may have is what it is about.
    argument.and_then(|argument| 1u64.checked_shl(argument.max_align.into()))
}

/// An argument of an instruction, which is one about memory or another.
struct Argument<'a, T>(&'a T);

impl Argument<'_, MemArg> {
    fn memory_argument(&self) -> Option<MemArg> {
        Some(*self.0)
    }
}

trait OtherArgument {
    fn memory_argument(&self) -> Option<MemArg>;
}

impl<T> OtherArgument for &Argument<'_, T> {
    fn memory_argument(&self) -> Option<MemArg> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accesses_are_told_in_words() {
        let words = |beyond: OutOfBounds| beyond.to_string();
        assert_eq!(
            words(OutOfBounds::memory(0x1_0000, 4, 65536)),
            "4 bytes at 0x1_0000, the memory has 65536 bytes"
        );
        assert_eq!(words(OutOfBounds::memory(7, 1, 1)), "1 byte at 0x7, the memory has 1 byte");
        let mut fault = OutOfBounds::fault(0x1_0000, 65536);
        assert_eq!(words(fault), "an access that reaches 0x1_0000, the memory has 65536 bytes");
        if let OutOfBounds::Memory { len_bytes, .. } = &mut fault {
            *len_bytes = Some(8);
        }
        assert_eq!(words(fault), "8 bytes that reach 0x1_0000, the memory has 65536 bytes");
        assert_eq!(
            words(OutOfBounds::fault(0x1_0001, 65536)),
            "an access at 0x1_0001, the memory has 65536 bytes"
        );
        let table = |count| OutOfBounds::Table { element: 9, count, elements: 3 };
        assert_eq!(words(table(1)), "element 9, the table has 3 elements");
        assert_eq!(words(table(2)), "2 elements from 9 on, the table has 3 elements");
    }

    #[test]
    fn instructions_say_how_many_bytes_they_are_about() {
        for (code, bytes) in [
            (&[0x28, 2, 0][..], Some(4)),      // i32.load
            (&[0x2d, 0, 0], Some(1)),          // i32.load8_u
            (&[0x37, 3, 0], Some(8)),          // i64.store
            (&[0xfd, 0x0b, 4, 0], Some(16)),   // v128.store
            (&[0xfd, 0x55, 1, 0, 3], Some(2)), // v128.load16_lane
            (&[0xfe, 0x10, 2, 0], Some(4)),    // i32.atomic.load
            (&[0x6a], None),                   // i32.add
            (&[0xfe], None),
            (&[], None),
        ] {
            assert_eq!(access_bytes(&[&[0, 0], code].concat(), 2), bytes, "{code:x?}");
        }
    }
}
