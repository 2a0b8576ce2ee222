//! Machine code as instructions, each with its address and where it comes from.
//!
//! Must stay true: every byte of the code is in exactly one row, and in order. What lies between instructions, and is none, is shown as data: the tables that branches jump
//! by, and constants.

use innkeeper::Disassembly;

/// An instruction, or a piece of data.
#[derive(Debug)]
pub(super) struct Instruction {
    /// Bytes from the beginning of the function's code.
    pub(super) address: usize,
    /// The offset in the module of what it comes from, where that is known.
    pub(super) offset: Option<usize>,
    pub(super) text: String,
}

/// The instructions of a function; `callee` says what is called at an offset in the module.
#[cfg(target_arch = "x86_64")]
pub(super) fn instructions(
    listing: &Disassembly,
    callee: impl Fn(usize) -> Option<String>,
) -> Vec<Instruction> {
    let row = |(address, text): (usize, String)| {
        let offset = origin(listing, address);
        let is_call = text.starts_with("call");
        let text = match offset.filter(|_| is_call).and_then(&callee) {
            Some(callee) => format!("{text}  ; {callee}"),
            None => text,
        };
        Instruction { address, offset, text }
    };
    x86::rows(&listing.code).into_iter().map(row).collect()
}

/// As the compiler prints it, for processors that nothing here decodes.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn instructions(
    listing: &Disassembly,
    _callee: impl Fn(usize) -> Option<String>,
) -> Vec<Instruction> {
    let lines = listing.machine.lines();
    lines.map(|line| Instruction { address: 0, offset: origin(listing, 0), text: line.to_owned() }).collect()
}

/// Where the instruction at an address comes from.
fn origin(listing: &Disassembly, address: usize) -> Option<usize> {
    let row = listing.places.partition_point(|(start, _)| *start as usize <= address).checked_sub(1)?;
    usize::try_from(listing.places[row].1).ok()
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::collections::BTreeSet;
    use std::fmt::Write as _;

    use iced_x86::{Decoder, DecoderOptions, Formatter, GasFormatter, Mnemonic, OpKind};

    /// Bytes of an entry of a jump table: the distance from the table's start to where it leads.
    const ENTRY_BYTES: usize = 4;
    /// Bytes of the largest constant, which one that is the last may be.
    const CONSTANT_BYTES: usize = 16;

    /// Rows of code, each with its address.
    pub(super) fn rows(code: &[u8]) -> Vec<(usize, String)> {
        let mut reader = Reader {
            code,
            tables: BTreeSet::new(),
            constants: BTreeSet::new(),
            formatter: formatter(),
            rows: Vec::new(),
        };
        reader.read();
        reader.rows
    }

    fn formatter() -> GasFormatter {
        let mut formatter = GasFormatter::new();
        let options = formatter.options_mut();
        options.set_branch_leading_zeros(false);
        options.set_hex_prefix("0x");
        options.set_uppercase_hex(false);
        options.set_show_branch_size(false);
        formatter
    }

    struct Reader<'a> {
        code: &'a [u8],
        /// Addresses that an instruction so far has taken. One behind an indirect jump is a table's.
        tables: BTreeSet<usize>,
        /// Addresses that instructions so far have read at.
        constants: BTreeSet<usize>,
        formatter: GasFormatter,
        rows: Vec<(usize, String)>,
    }

    impl Reader<'_> {
        fn read(&mut self) {
            let (mut at, mut behind_jump) = (0, false);
            while at < self.code.len() {
                if behind_jump && self.tables.contains(&at) {
                    at = self.table(at);
                    behind_jump = false;
                } else if self.constants.contains(&at) {
                    at = self.data(at, CONSTANT_BYTES);
                } else if let Some(bytes) = self.padding(at) {
                    at = self.data(at, bytes);
                } else {
                    (at, behind_jump) = self.instruction(at);
                }
            }
        }

        /// How many bytes of nothing there are before a constant.
        fn padding(&self, at: usize) -> Option<usize> {
            let constant = *self.constants.range(at + 1..at + CONSTANT_BYTES).next()?;
            self.code[at..constant].iter().all(|byte| *byte == 0).then_some(constant - at)
        }

        /// Reads an instruction; says where the next row begins, and whether it is behind a jump to an address in a register.
        fn instruction(&mut self, at: usize) -> (usize, bool) {
            let mut decoder = Decoder::with_ip(64, &self.code[at..], at as u64, DecoderOptions::NONE);
            let decoded = decoder.decode();
            let end = at + decoded.len().max(1);
            // What fills the room before a constant is no instruction.
            if let Some(&constant) = self.constants.range(at + 1..end).next() {
                return (self.data(at, constant - at), false);
            }
            if decoded.is_ip_rel_memory_operand() {
                let address = decoded.ip_rel_memory_address() as usize;
                if decoded.mnemonic() == Mnemonic::Lea {
                    self.tables.insert(address);
                } else if address > at && address < self.code.len() {
                    self.constants.insert(address);
                }
            }
            let mut text = String::new();
            self.formatter.format(&decoded, &mut text);
            self.rows.push((at, text));
            (end, decoded.mnemonic() == Mnemonic::Jmp && decoded.op0_kind() == OpKind::Register)
        }

        /// Reads a table; says where it ends: where an entry leads to, at the latest, and before what can be none.
        fn table(&mut self, start: usize) -> usize {
            let mut targets: Vec<usize> = Vec::new();
            let (mut at, mut nearest) = (start, self.code.len());
            while at + ENTRY_BYTES <= nearest
                && let Some(target) = self.entry(at, start)
                && (target < start || target >= at + ENTRY_BYTES)
            {
                targets.push(target);
                at += ENTRY_BYTES;
                nearest = if target < start { nearest } else { nearest.min(target) };
            }
            let count = targets.len();
            for (position, target) in targets.into_iter().enumerate() {
                let mut text = format!(".long 0x{target:x}-0x{start:x}");
                if position == 0 {
                    let _ = write!(text, "  ; jump table, {count} entries");
                }
                self.rows.push((start + position * ENTRY_BYTES, text));
            }
            if at == start { self.instruction(at).0 } else { at }
        }

        /// Where the entry at an address leads, if it can be one of a table that begins at `start`.
        fn entry(&self, at: usize, start: usize) -> Option<usize> {
            let bytes = self.code.get(at..)?.first_chunk::<ENTRY_BYTES>()?;
            let target = start.checked_add_signed(i32::from_le_bytes(*bytes) as isize)?;
            (target < self.code.len()).then_some(target)
        }

        /// Adds a row for data; says where it ends.
        fn data(&mut self, at: usize, bytes: usize) -> usize {
            let next = self.constants.range(at + 1..).next().copied().unwrap_or(self.code.len());
            let end = (at + bytes.max(1)).min(next).min(self.code.len());
            let data = &self.code[at..end];
            let digits: String = data.iter().rev().map(|byte| format!("{byte:02x}")).collect();
            self.rows.push(match data.len() {
                _ if data.iter().all(|byte| *byte == 0) && !self.constants.contains(&at) => {
                    (at, format!(".zero {}", data.len()))
                }
                4 => (at, format!(".long 0x{digits}")),
                8 => (at, format!(".quad 0x{digits}")),
                16 => (at, format!(".octa 0x{digits}")),
                _ => {
                    let bytes: Vec<String> = data.iter().map(|byte| format!("0x{byte:02x}")).collect();
                    (at, format!(".byte {}", bytes.join(",")))
                }
            });
            end
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// `lea 0(%rip)`, `jmp *%rcx`, a table of three entries, two `ret`, and four bytes that are read with `mov`.
        #[test]
        fn tables_and_constants_are_data() {
            let code = [
                &[0x8b, 0x05, 0x1a, 0, 0, 0][..],   // 0: mov 0x20,%eax
                &[0x48, 0x8d, 0x0d, 0x02, 0, 0, 0], // 6: lea 0xf,%rcx
                &[0xff, 0xe1],                      // d: jmp *%rcx
                &12i32.to_le_bytes(),               // f: the table
                &13i32.to_le_bytes(),
                &(-15i32).to_le_bytes(),
                &[0xc3, 0xc3],                 // 1b, 1c: ret
                &[0, 0, 0],                    // 1d: nothing
                &0x1234_5678i32.to_le_bytes(), // 20
            ]
            .concat();
            let rows: Vec<String> =
                rows(&code).into_iter().map(|(address, text)| format!("{address:x} {text}")).collect();
            assert_eq!(rows[2], "d jmp *%rcx");
            assert_eq!(
                rows[3..],
                [
                    "f .long 0x1b-0xf  ; jump table, 3 entries",
                    "13 .long 0x1c-0xf",
                    "17 .long 0x0-0xf",
                    "1b ret",
                    "1c ret",
                    "1d .zero 3",
                    "20 .long 0x12345678",
                ],
                "{rows:?}"
            );
        }

        /// Whatever bytes there are, none is left out, and nothing goes wrong.
        #[test]
        fn all_bytes_are_in_rows() {
            let mut state = 1u32;
            for len in 0..400 {
                let mut byte = || {
                    state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    // Many of those that begin what is looked for.
                    [0x48, 0x8d, 0x0d, 0x05, 0x00, 0xff, 0xe1, 0x8b, (state >> 8) as u8]
                        [(state >> 24) as usize % 9]
                };
                let code: Vec<u8> = (0..len).map(|_| byte()).collect();
                let rows = rows(&code);
                assert!(rows.is_sorted_by(|a, b| a.0 < b.0) && rows.len() <= len, "{code:x?}");
                assert_eq!(rows.first().map(|(address, _)| *address), (len > 0).then_some(0));
            }
        }
    }
}
