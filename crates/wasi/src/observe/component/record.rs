//! Writing a record of a component: every call, with what the host answered.
//!
//! In the blocks of a record (`observe/format.rs`) a call is: the function's number, from one, and its name where it is its first call; whether the arguments are written
//! as in the function's last call ([`SAME`]), else as what; a checksum of the arguments; how the call ended; and its result. [`END`] in place of a function's number is followed by how the
//! guest ended. A block without bytes says that the guest was stopped while the call before it was written down. Whoever writes or reads a record holds no more of it than a piece of what a call has given.

use std::collections::HashMap;
use std::io::{self, Write};

use innkeeper_component::{Part, ValueVisitor};
use innkeeper_engine::Error;

use super::values::Encoder;
use crate::observe::format::{BLOCK_BYTES, BlockWriter, RecordHeader, encode_header, put_bytes, put_number};

/// In place of a function's number: the guest has ended, for the reason that follows.
pub(super) const END: u64 = 0;

/// What follows the function: whether its arguments are written as they were in its last call.
pub(super) const OTHER: u8 = 0;
pub(super) const SAME: u8 = 1;

/// How a call ended.
pub(super) const RETURNED: u8 = 0;
pub(super) const EXITED: u8 = 1;
pub(super) const TRAPPED: u8 = 2;
pub(super) const FAILED: u8 = 3;
/// How a call ended, as a record has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// It has returned; the result follows.
    Returned,
    /// The guest has ended itself.
    Exited(u32),
    /// It is a trap, which says this.
    Trapped(String),
    /// It has failed otherwise, saying this.
    Failed(String),
}

/// Writes a record of a component. What goes wrong is told once, by [`ComponentRecorder::finish`]: the guest goes on.
pub struct ComponentRecorder {
    blocks: BlockWriter,
    block: Vec<u8>,
    /// The number of each function, and what its last arguments were.
    functions: HashMap<String, (u64, String)>,
    result: Encoder,
    error: Option<io::Error>,
    calls: u64,
    /// Whether the guest was stopped while a call was written down, which ends the record.
    is_cut: bool,
}

impl ComponentRecorder {
    /// Begins a record.
    ///
    /// # Errors
    /// What writing reports.
    pub fn new(to: Box<dyn Write + Send>, header: &RecordHeader) -> io::Result<ComponentRecorder> {
        let mut blocks = BlockWriter::new(to)?;
        blocks.write(&encode_header(header))?;
        Ok(ComponentRecorder {
            blocks,
            block: Vec::new(),
            functions: HashMap::new(),
            result: Encoder::default(),
            error: None,
            calls: 0,
            is_cut: false,
        })
    }

    /// Begins a call that has ended. Where it has returned, its result is shown next, and [`ComponentRecorder::end_result`] ends it.
    pub(crate) fn begin(&mut self, function: &str, (arguments, checksum): (&str, u64), ended: &Answered) {
        if self.is_cut {
            return;
        }
        self.calls += 1;
        let next = self.functions.len() as u64 + 1;
        let block = &mut self.block;
        match self.functions.get_mut(function) {
            Some((number, last)) => {
                put_number(block, *number);
                if last == arguments {
                    block.push(SAME);
                } else {
                    block.push(OTHER);
                    put_bytes(block, arguments.as_bytes());
                    arguments.clone_into(last);
                }
            }
            None => {
                put_number(block, next);
                put_bytes(block, function.as_bytes());
                block.push(OTHER);
                put_bytes(block, arguments.as_bytes());
                self.functions.insert(function.to_owned(), (next, arguments.to_owned()));
            }
        }
        block.extend(checksum.to_le_bytes());
        match ended {
            Answered::Returned => {
                block.push(RETURNED);
                self.result = Encoder::default();
                return;
            }
            Answered::Exited(code) => {
                block.push(EXITED);
                put_number(block, (*code).into());
            }
            Answered::Trapped(text) => {
                block.push(TRAPPED);
                put_bytes(block, text.as_bytes());
            }
            Answered::Failed(text) => {
                block.push(FAILED);
                put_bytes(block, text.as_bytes());
            }
        }
        self.write_full_block();
    }

    /// Ends the result of a call that has returned; `shown` says what showing it has ended by.
    pub(crate) fn end_result(&mut self, shown: &Result<(), Error>) {
        if self.is_cut {
            return;
        }
        if shown.is_err() {
            // Somebody stops the guest, and does not wait until all is written down.
            self.write_block();
            if self.error.is_none() {
                self.error = self.blocks.write(&[]).err();
            }
            self.is_cut = true;
            self.calls -= 1;
        }
        self.write_full_block();
    }

    /// Ends the record: how the guest ended, in a word. Returns how many calls there were.
    ///
    /// # Errors
    /// What writing reported at any time.
    pub fn finish(mut self, ending: &str) -> io::Result<u64> {
        // Whatever follows what was cut is not read.
        if !self.is_cut {
            put_number(&mut self.block, END);
            put_bytes(&mut self.block, ending.as_bytes());
        }
        self.write_block();
        if self.error.is_none() {
            self.error = self.blocks.flush().err();
        }
        match self.error {
            None => Ok(self.calls),
            Some(error) => Err(error),
        }
    }

    fn write_full_block(&mut self) {
        if self.block.len() >= BLOCK_BYTES {
            self.write_block();
        }
    }

    fn write_block(&mut self) {
        if self.error.is_none() && !self.block.is_empty() {
            self.error = self.blocks.write(&self.block).err();
        }
        self.block.clear();
    }
}

/// Takes the parts of a result.
impl ValueVisitor for ComponentRecorder {
    fn part(&mut self, part: Part<'_>) -> Result<(), Error> {
        if !self.is_cut {
            self.result.put(&mut self.block, part);
            self.write_full_block();
        }
        Ok(())
    }
}

impl std::fmt::Debug for ComponentRecorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ComponentRecorder").field("calls", &self.calls).finish_non_exhaustive()
    }
}
