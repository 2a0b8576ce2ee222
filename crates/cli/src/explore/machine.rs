//! Machine code as instructions, each with its address and where it comes from.
//!
//! What this is not: exact about constants behind the code, which are shown as instructions.

use innkeeper::Disassembly;

/// An instruction.
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
    use iced_x86::{Decoder, DecoderOptions, Formatter, GasFormatter};
    let mut formatter = GasFormatter::new();
    formatter.options_mut().set_branch_leading_zeros(false);
    formatter.options_mut().set_hex_prefix("0x");
    formatter.options_mut().set_uppercase_hex(false);
    formatter.options_mut().set_show_branch_size(false);
    let decoder = Decoder::with_ip(64, &listing.code, 0, DecoderOptions::NONE);
    let instruction = |decoded: iced_x86::Instruction| {
        let address = decoded.ip() as usize;
        let offset = origin(listing, address);
        let mut text = String::new();
        formatter.format(&decoded, &mut text);
        let is_call = text.starts_with("call");
        if let Some(callee) = offset.filter(|_| is_call).and_then(&callee) {
            text = format!("{text}  ; {callee}");
        }
        Instruction { address, offset, text }
    };
    decoder.into_iter().map(instruction).collect()
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
