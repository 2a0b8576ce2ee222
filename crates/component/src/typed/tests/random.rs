//! Random values of a type, and random damage to what they became. The same seed gives the same.

use std::sync::Arc;

use crate::types::{TypeIndex, TypeTable, ValType};
use crate::val::{List, Val};

pub(super) struct Random(u64);

/// Lengths of lists and strings: about those at which copies change their step, and a page.
const LENGTHS: [usize; 18] = [0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 4097];

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() >> 33) as usize % end
    }

    fn length(&mut self, depth: u32) -> usize {
        LENGTHS[self.below(if depth == 0 { LENGTHS.len() } else { 8 })]
    }

    fn string(&mut self, depth: u32) -> String {
        // Of one byte in all encodings, of Latin-1, of UTF-16, and of two units of that.
        let alphabets: [&[char]; 4] =
            [&['a', '\0', 'z'], &['a', 'é', '\u{ff}'], &['a', 'é', 'Ω', '漢'], &['a', '😀', 'é']];
        let alphabet = alphabets[self.below(4)];
        (0..self.length(depth)).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }

    pub(super) fn val(&mut self, types: &TypeTable, ty: TypeIndex, depth: u32) -> Val {
        let number = self.next();
        let payload =
            |this: &mut Self, ty: Option<TypeIndex>| ty.map(|ty| Box::new(this.val(types, ty, depth + 1)));
        match types.get(ty) {
            ValType::Bool => Val::Bool(number & 1 != 0),
            ValType::S8 => Val::S8(number as i8),
            ValType::U8 => Val::U8(number as u8),
            ValType::S16 => Val::S16(number as i16),
            ValType::U16 => Val::U16(number as u16),
            ValType::S32 => Val::S32(number as i32),
            ValType::U32 => Val::U32(number as u32),
            ValType::S64 => Val::S64(number as i64),
            ValType::U64 => Val::U64(number),
            ValType::Float32 => {
                Val::Float32(if number & 7 == 0 { f32::NAN } else { f32::from_bits(number as u32) })
            }
            ValType::Float64 => {
                Val::Float64(if number & 7 == 0 { -f64::NAN } else { f64::from_bits(number) })
            }
            ValType::Char => Val::Char(['a', 'é', '漢', '😀', '\0', char::MAX][self.below(6)]),
            ValType::String => Val::String(self.string(depth)),
            ValType::List(element) => {
                // Large elements are few, so that all have room in the guest.
                let length = self.length(depth + u32::from(types.layout(*element).size > 8));
                Val::List(List::Vals((0..length).map(|_| self.val(types, *element, depth + 1)).collect()))
            }
            ValType::Record(fields) => Val::Record(
                fields.iter().map(|(name, ty)| (Arc::clone(name), self.val(types, *ty, depth + 1))).collect(),
            ),
            ValType::Tuple(parts) => Val::Tuple(parts.iter().map(|ty| self.val(types, *ty, depth)).collect()),
            ValType::Variant(cases) => {
                let (name, ty) = &cases[self.below(cases.len())];
                Val::Variant(Arc::clone(name), payload(self, *ty))
            }
            ValType::Enum(labels) => Val::Enum(Arc::clone(&labels[self.below(labels.len())])),
            ValType::Option(ty) => Val::Option(payload(self, Some(*ty).filter(|_| number & 1 != 0))),
            ValType::Result(ok, err) => Val::Result(match number & 1 {
                0 => Ok(payload(self, *ok)),
                _ => Err(payload(self, *err)),
            }),
            ValType::Flags(labels) => {
                Val::Flags(labels.iter().filter(|_| self.next() >> 63 != 0).cloned().collect())
            }
            other => panic!("no test has values of type {}", other.kind_name()),
        }
    }

    /// Changes a slot, or some bytes near the beginning of the memory, where values are.
    pub(super) fn spoil(&mut self, memory: &mut [u8], slots: &mut [u64]) {
        let interesting =
            [0, 1, 2, 3, 7, 0xd800, 0x10_ffff, 0x11_0000, 0x8000_0004, 0x1000_0000, 0x7fff_ffff, u64::MAX];
        let number = match self.below(3) {
            0 => self.next(),
            1 => interesting[self.below(interesting.len())],
            // An address, or a length.
            _ => self.below(memory.len() + 64) as u64,
        };
        if self.below(2) == 0 && !slots.is_empty() {
            let at = self.below(slots.len());
            slots[at] = number;
            return;
        }
        let bytes = [1, 4, 8][self.below(3)];
        let at = self.below(160);
        memory[at..at + bytes].copy_from_slice(&number.to_le_bytes()[..bytes]);
    }
}
