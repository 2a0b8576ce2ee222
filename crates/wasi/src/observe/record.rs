//! Writing a record: every call, with what the host answered.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::{self, Write};
use std::ops::Range;

use super::format::{
    BLOCK_BYTES, BlockWriter, END, EXITED, PIECE_BYTES, RecordHeader, SAME_ARGUMENTS, SAME_RANGES, WRITE,
    WRITES_CUT, WRITES_END, encode_header, put_bytes, put_number, put_signed,
};
use super::replay::STOPPED;
use super::{Call, Ending};

/// Writes a record. What goes wrong is told once, by [`Recorder::finish`]: the guest goes on.
pub struct Recorder {
    blocks: BlockWriter,
    block: Vec<u8>,
    last: HashMap<u16, LastCall>,
    error: Option<io::Error>,
    calls: u64,
    /// Whether the guest was stopped while a call was written down, which ends the record.
    is_cut: bool,
}

/// What a function's next call is compared with.
#[derive(Debug, Default)]
pub(super) struct LastCall {
    pub(super) arguments: Vec<u64>,
    pub(super) read: Vec<Range<usize>>,
    pub(super) write_address: u64,
}

impl Recorder {
    /// Begins a record.
    ///
    /// # Errors
    /// What writing reports.
    pub fn new(to: Box<dyn Write + Send>, header: &RecordHeader) -> io::Result<Recorder> {
        let mut blocks = BlockWriter::new(to)?;
        blocks.write(&encode_header(header))?;
        Ok(Recorder { blocks, block: Vec::new(), last: HashMap::new(), error: None, calls: 0, is_cut: false })
    }

    /// Adds a call, which wrote to these ranges of memory: `read` gives what is in them, little by little, nothing where it cannot. Where `is_stopped` says so meanwhile, the
    /// record ends as that of a guest that was stopped before the call.
    pub fn record<'a>(
        &mut self,
        call: &Call<'_>,
        written: &[Range<usize>],
        read: impl Fn(Range<usize>) -> Option<Cow<'a, [u8]>>,
        is_stopped: impl Fn() -> bool,
    ) {
        if self.is_cut {
            return;
        }
        self.calls += 1;
        let last = self.last.entry(call.function).or_default();
        let block = &mut self.block;
        let mut flags = 0;
        if last.arguments == call.arguments {
            flags |= SAME_ARGUMENTS;
        }
        if last.read == call.read {
            flags |= SAME_RANGES;
        }
        if matches!(call.ending, Ending::Exited(_)) {
            flags |= EXITED;
        }
        put_number(block, call.function.into());
        block.push(flags);
        if flags & SAME_ARGUMENTS == 0 {
            put_number(block, call.arguments.len() as u64);
            call.arguments.iter().for_each(|argument| put_number(block, *argument));
            last.arguments = call.arguments.to_vec();
        }
        if flags & SAME_RANGES == 0 {
            put_number(block, call.read.len() as u64);
            for range in call.read {
                put_number(block, range.start as u64);
                put_number(block, range.len() as u64);
            }
            last.read = call.read.to_vec();
        }
        if !call.read.is_empty() {
            block.extend_from_slice(&call.read_checksum.to_le_bytes());
        }
        match call.ending {
            Ending::Returned(number) => put_signed(block, number.into()),
            Ending::Exited(code) => put_number(block, code.into()),
        }
        let mut last_address = last.write_address;
        let mut is_first = true;
        for piece in written.iter().cloned().flat_map(pieces) {
            // What is little is written down in any case.
            if !std::mem::take(&mut is_first) && is_stopped() {
                self.cut();
                return;
            }
            let Some(bytes) = read(piece.clone()) else {
                self.error.get_or_insert(io::ErrorKind::OutOfMemory.into());
                self.cut();
                return;
            };
            self.block.push(WRITE);
            put_signed(&mut self.block, (piece.start as u64).wrapping_sub(last_address).cast_signed());
            put_bytes(&mut self.block, &bytes);
            last_address = piece.start as u64;
            self.write_full_block();
        }
        self.block.push(WRITES_END);
        self.last.entry(call.function).or_default().write_address = last_address;
        self.write_full_block();
    }

    /// Ends the record in the middle of a call.
    fn cut(&mut self) {
        self.block.push(WRITES_CUT);
        self.is_cut = true;
        self.calls -= 1;
    }

    fn write_full_block(&mut self) {
        if self.block.len() >= BLOCK_BYTES {
            self.write_block();
        }
    }

    /// Ends the record: how the guest ended, in a word. Returns how many calls there were.
    ///
    /// # Errors
    /// What writing reported at any time.
    pub fn finish(mut self, ending: &str) -> io::Result<u64> {
        let ending = if self.is_cut { STOPPED } else { ending };
        put_number(&mut self.block, END);
        put_bytes(&mut self.block, ending.as_bytes());
        self.write_block();
        if self.error.is_none() {
            self.error = self.blocks.flush().err();
        }
        match self.error {
            None => Ok(self.calls),
            Some(error) => Err(error),
        }
    }

    fn write_block(&mut self) {
        if self.error.is_none() {
            self.error = self.blocks.write(&self.block).err();
        }
        self.block.clear();
    }
}

/// A range in pieces, in order.
fn pieces(range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    range.step_by(PIECE_BYTES).map(move |start| start..end.min(start + PIECE_BYTES))
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("calls", &self.calls).finish_non_exhaustive()
    }
}
