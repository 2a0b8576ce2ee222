//! Reading a record in the place of a host: each call is compared with the recorded one, and answered as it was.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io::Read;
use std::ops::Range;

use thiserror::Error;

use super::format::{
    BlockReader, Cursor, END, EXITED, RecordError, RecordHeader, SAME_ARGUMENTS, SAME_RANGES, WRITE,
    WRITES_CUT, WRITES_END, decode_header,
};
use super::record::LastCall;
use super::{Ending, InputChecksum};
use crate::host::visible;

/// Calls before a divergence that its report shows.
pub(super) const CONTEXT_CALLS: usize = 5;

/// Answers calls from a record.
pub struct Replayer {
    header: RecordHeader,
    blocks: BlockReader,
    block: Cursor,
    last: HashMap<u16, LastCall>,
    /// The function that was answered last.
    answered: u16,
    calls: u64,
    recent: VecDeque<(u16, Vec<u64>, Ending)>,
    /// The next call, where it has been looked at already.
    ahead: Option<Recorded>,
    /// How the recorded guest ended, once that has been reached.
    end: Option<String>,
}

/// How a record says that the guest did not end by itself: it was stopped from outside, by a deadline or an interrupt.
pub const STOPPED: &str = "stopped";

/// Why a replay does not go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The guest did something else than the recorded one.
    #[error(transparent)]
    Diverged(#[from] Divergence),
    /// The record cannot be read on. Of the guest that says nothing.
    #[error(transparent)]
    Unreadable(#[from] RecordError),
    /// All calls were made as recorded, and here the recorded guest was stopped. This one might go on for ever.
    #[error("the recorded run was stopped after call {calls}")]
    Stopped {
        /// Calls before that.
        calls: u64,
    },
}

/// Where a replayed guest did something else than the recorded one.
#[derive(Debug)]
#[non_exhaustive]
pub struct Divergence {
    /// The calls before it, oldest first; the number of the first is `call` less their number.
    pub before: Vec<String>,
    /// The number of the call, from zero.
    pub call: u64,
    /// What is different.
    pub reason: String,
}

/// A recorded call.
struct Recorded {
    function: u16,
    arguments: Vec<u64>,
    read: Vec<Range<usize>>,
    read_checksum: u64,
    ending: Ending,
}

/// A record that was opened: what it is of is known, and so whether a [`Replayer`] reads on, or where that is a component a [`super::ComponentReplayer`].
pub struct OpenedRecord {
    pub(super) header: RecordHeader,
    pub(super) blocks: BlockReader,
}

impl OpenedRecord {
    /// Opens a record.
    ///
    /// # Errors
    /// It is none, is damaged, or cannot be read.
    pub fn new(from: Box<dyn Read + Send>) -> Result<OpenedRecord, RecordError> {
        let mut blocks = BlockReader::new(from)?;
        let header = blocks.next()?.ok_or(RecordError::CutOff { byte: blocks.position() })?;
        let header = decode_header(header).ok_or_else(|| blocks.damaged())?;
        Ok(OpenedRecord { header, blocks })
    }

    /// What the record is of.
    #[must_use]
    pub fn header(&self) -> &RecordHeader {
        &self.header
    }
}

impl Replayer {
    /// Opens a record of a module.
    ///
    /// # Errors
    /// It is none, is damaged, or cannot be read.
    pub fn new(from: Box<dyn Read + Send>) -> Result<Replayer, RecordError> {
        OpenedRecord::new(from).map(Replayer::of)
    }

    /// Reads on in a record of a module that was opened.
    #[must_use]
    pub fn of(record: OpenedRecord) -> Replayer {
        let OpenedRecord { header, blocks } = record;
        Replayer {
            header,
            blocks,
            block: Cursor::default(),
            last: HashMap::new(),
            answered: 0,
            calls: 0,
            recent: VecDeque::new(),
            ahead: None,
            end: None,
        }
    }

    /// What the record is of.
    #[must_use]
    pub fn header(&self) -> &RecordHeader {
        &self.header
    }

    /// Calls answered so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// Compares a call with the next one in the record, and gives its ending; what it wrote is then asked for by [`Replayer::writes`].
    ///
    /// `name` gives a function's name; `read` gives guest memory, nothing where there is none.
    ///
    /// # Errors
    /// The call is another one, or the record ends or cannot be read. Nothing in the record is believed before its checksum is found right.
    pub fn answer<'a>(
        &mut self,
        function: u16,
        arguments: &[u64],
        name: impl Fn(u16) -> &'static str,
        read: impl Fn(Range<usize>) -> Option<std::borrow::Cow<'a, [u8]>>,
    ) -> Result<Ending, ReplayError> {
        let made = || describe(name(function), arguments);
        let Some(recorded) = self.next()? else {
            let end = self.end.as_deref().unwrap_or_default();
            let reason =
                format!("the guest calls {}, where the recorded one ended ({})", made(), visible(end));
            return Err(self.diverge(reason, &name));
        };
        if recorded.function != function || recorded.arguments != arguments {
            let was = describe(name(recorded.function), &recorded.arguments);
            return Err(self.diverge(format!("the guest calls {}; recorded was {was}", made()), &name));
        }
        let mut checksum = InputChecksum::default();
        for range in &recorded.read {
            match read(range.clone()) {
                Some(bytes) => checksum.update(&bytes),
                None => {
                    let reason = format!(
                        "{} reads {} bytes at {} that are not in memory",
                        made(),
                        range.len(),
                        range.start
                    );
                    return Err(self.diverge(reason, &name));
                }
            }
        }
        if !recorded.read.is_empty() && checksum.finish() != recorded.read_checksum {
            let ranges: Vec<String> =
                recorded.read.iter().map(|range| format!("{} at {}", range.len(), range.start)).collect();
            let reason =
                format!("{} is given other bytes than were recorded ({})", made(), ranges.join(", "));
            return Err(self.diverge(reason, &name));
        }
        self.calls += 1;
        if self.recent.len() == CONTEXT_CALLS {
            self.recent.pop_front();
        }
        self.recent.push_back((function, recorded.arguments, recorded.ending));
        self.answered = function;
        Ok(recorded.ending)
    }

    /// What the call that was answered last wrote: addresses and bytes, piece by piece.
    ///
    /// # Errors
    /// [`ReplayError::Stopped`] where the recorded guest was stopped meanwhile; the record ends or cannot be read.
    pub fn writes(&mut self, mut write: impl FnMut(usize, &[u8])) -> Result<(), ReplayError> {
        loop {
            self.fill()?;
            match self.block.fixed() {
                Some([WRITES_END]) => return Ok(()),
                Some([WRITES_CUT]) => return Err(ReplayError::Stopped { calls: self.calls - 1 }),
                Some([WRITE]) => {}
                _ => return Err(self.blocks.damaged().into()),
            }
            let last = self.last.entry(self.answered).or_default();
            let piece = self.block.signed().and_then(|offset| {
                last.write_address = last.write_address.wrapping_add(offset.cast_unsigned());
                Some((usize::try_from(last.write_address).ok()?, self.block.bytes()?))
            });
            match piece {
                Some((address, bytes)) => write(address, bytes),
                None => return Err(self.blocks.damaged().into()),
            }
        }
    }

    /// Reads the next block where the last one is at its end.
    fn fill(&mut self) -> Result<(), RecordError> {
        while self.block.is_at_end() {
            let block = self.blocks.next()?;
            self.block = Cursor::new(block.ok_or(RecordError::CutOff { byte: self.blocks.position() })?);
        }
        Ok(())
    }

    /// Checks that the recorded guest was not stopped from outside here, before its next call.
    ///
    /// # Errors
    /// [`ReplayError::Stopped`] if it was; the record cannot be read.
    pub fn go_on(&mut self) -> Result<(), ReplayError> {
        if self.ahead.is_none() {
            self.ahead = self.next()?;
        }
        match &self.end {
            Some(end) if self.ahead.is_none() && end == STOPPED => {
                Err(ReplayError::Stopped { calls: self.calls })
            }
            _ => Ok(()),
        }
    }

    /// Checks that the record ends here, and ended in this way.
    ///
    /// # Errors
    /// It goes on, or ended otherwise, or cannot be read.
    pub fn finish(&mut self, ending: &str, name: impl Fn(u16) -> &'static str) -> Result<(), ReplayError> {
        if let Some(next) = self.next()? {
            let was = describe(name(next.function), &next.arguments);
            let reason = format!("the guest ends ({ending}), where the recorded one called {was}");
            return Err(self.diverge(reason, &name));
        }
        match &self.end {
            Some(end) if end != ending => {
                let end = visible(end);
                let reason = format!("the guest ends: {}; the recorded one ended: {end}", visible(ending));
                Err(self.diverge(reason, &name))
            }
            _ => Ok(()),
        }
    }

    /// The next recorded call; nothing at the end.
    fn next(&mut self) -> Result<Option<Recorded>, RecordError> {
        if let Some(ahead) = self.ahead.take() {
            return Ok(Some(ahead));
        }
        if self.end.is_some() {
            return Ok(None);
        }
        self.fill()?;
        match self.decode().ok_or_else(|| self.blocks.damaged())? {
            Decoded::Call(call) => Ok(Some(call)),
            Decoded::End(end) => {
                let byte = self.blocks.position();
                if !self.block.is_at_end() {
                    return Err(self.blocks.damaged());
                }
                if self.blocks.next()?.is_some() {
                    return Err(RecordError::GoesOn { byte });
                }
                self.end = Some(end);
                Ok(None)
            }
        }
    }

    fn decode(&mut self) -> Option<Decoded> {
        let cursor = &mut self.block;
        let function = match cursor.number()? {
            END => return cursor.text().map(Decoded::End),
            function => u16::try_from(function).ok()?,
        };
        let [flags] = cursor.fixed()?;
        let last = self.last.entry(function).or_default();
        if flags & SAME_ARGUMENTS == 0 {
            last.arguments = (0..cursor.number()?).map(|_| cursor.number()).collect::<Option<_>>()?;
        }
        if flags & SAME_RANGES == 0 {
            last.read = (0..cursor.number()?).map(|_| range(cursor)).collect::<Option<_>>()?;
        }
        let read_checksum = if last.read.is_empty() { 0 } else { u64::from_le_bytes(cursor.fixed()?) };
        let ending = if flags & EXITED == 0 {
            Ending::Returned(i32::try_from(cursor.signed()?).ok()?)
        } else {
            Ending::Exited(u32::try_from(cursor.number()?).ok()?)
        };
        let (arguments, read) = (last.arguments.clone(), last.read.clone());
        Some(Decoded::Call(Recorded { function, arguments, read, read_checksum, ending }))
    }

    fn diverge(&self, reason: String, name: &impl Fn(u16) -> &'static str) -> ReplayError {
        let before = self.recent.iter().map(|(function, arguments, ending)| {
            let ending = match ending {
                Ending::Returned(number) => format!("= {number}"),
                Ending::Exited(code) => format!("exits with {code}"),
            };
            format!("{} {ending}", describe(name(*function), arguments))
        });
        Divergence { before: before.collect(), call: self.calls, reason }.into()
    }
}

enum Decoded {
    Call(Recorded),
    End(String),
}

fn range(cursor: &mut Cursor) -> Option<Range<usize>> {
    let start = usize::try_from(cursor.number()?).ok()?;
    let length = usize::try_from(cursor.number()?).ok()?;
    Some(start..start.checked_add(length)?)
}

fn describe(name: &str, arguments: &[u64]) -> String {
    let arguments: Vec<String> = arguments.iter().map(u64::to_string).collect();
    format!("{name}({})", arguments.join(", "))
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the replay diverges at call {}: {}", self.call, self.reason)?;
        let first = self.call - self.before.len() as u64;
        for (number, call) in (first..).zip(&self.before) {
            write!(f, "\n  call {number}: {call}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Divergence {}

impl fmt::Debug for OpenedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedRecord").field("header", &self.header).finish_non_exhaustive()
    }
}

impl fmt::Debug for Replayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replayer")
            .field("header", &self.header)
            .field("calls", &self.calls)
            .finish_non_exhaustive()
    }
}
