//! Writing a record: every call, with what the host answered.

use std::collections::HashMap;
use std::io::{self, Write};
use std::ops::Range;

use super::format::{
    BLOCK_BYTES, BlockWriter, END, EXITED, RecordHeader, SAME_ARGUMENTS, SAME_RANGES, encode_header,
    put_bytes, put_number, put_signed,
};
use super::{Call, Ending};

/// Writes a record. What goes wrong is told once, by [`Recorder::finish`]: the guest goes on.
pub struct Recorder {
    blocks: BlockWriter,
    block: Vec<u8>,
    last: HashMap<u16, LastCall>,
    error: Option<io::Error>,
    calls: u64,
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
        Ok(Recorder { blocks, block: Vec::new(), last: HashMap::new(), error: None, calls: 0 })
    }

    /// Adds a call, which wrote these bytes to these addresses.
    pub fn record<'a>(&mut self, call: &Call<'_>, writes: impl ExactSizeIterator<Item = (usize, &'a [u8])>) {
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
        put_number(block, writes.len() as u64);
        for (address, bytes) in writes {
            put_signed(block, (address as u64).wrapping_sub(last.write_address).cast_signed());
            put_bytes(block, bytes);
            last.write_address = address as u64;
        }
        if self.block.len() >= BLOCK_BYTES {
            self.write_block();
        }
    }

    /// Ends the record: how the guest ended, in a word. Returns how many calls there were.
    ///
    /// # Errors
    /// What writing reported at any time.
    pub fn finish(mut self, ending: &str) -> io::Result<u64> {
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

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("calls", &self.calls).finish_non_exhaustive()
    }
}
