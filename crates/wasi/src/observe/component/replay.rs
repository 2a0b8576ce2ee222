//! Reading a record of a component in the place of a host: each call is compared with the recorded one, and answered as it was.

use std::collections::VecDeque;

use innkeeper_component::{Type, Val};
use innkeeper_engine::{Budget, BudgetKind, Charge, Error};

use super::record::{Answered, END, EXITED, FAILED, OTHER, RETURNED, SAME, TRAPPED};
use super::values::{Source, decode};
use crate::host::visible;
use crate::observe::format::{BlockReader, Cursor, RecordError, RecordHeader};
use crate::observe::replay::{CONTEXT_CALLS, Divergence, OpenedRecord, ReplayError, STOPPED};

/// Answers the calls of a component from a record.
pub struct ComponentReplayer {
    header: RecordHeader,
    blocks: BlockReader,
    block: Cursor,
    /// By number, from one, the name of each function and what its last arguments were.
    functions: Vec<(String, String)>,
    calls: u64,
    recent: VecDeque<String>,
    /// The next call, where it has been looked at already.
    ahead: Option<Recorded>,
    /// How the recorded guest ended, once that has been reached.
    end: Option<String>,
}

/// A call that a guest makes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made<'a> {
    pub(crate) function: &'a str,
    pub(crate) arguments: &'a str,
    pub(crate) checksum: u64,
}

/// A recorded call, up to its result.
struct Recorded {
    function: usize,
    checksum: u64,
    ended: Answered,
}

/// Gives resources of an answer.
pub(crate) type NewResource<'a> = dyn FnMut(&Type) -> Result<Val, Error> + 'a;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum NoAnswer {
    Replay(ReplayError),
    Error(Error),
}

impl ComponentReplayer {
    /// Reads on in a record that was opened.
    #[must_use]
    pub fn new(record: OpenedRecord) -> ComponentReplayer {
        let OpenedRecord { header, blocks } = record;
        ComponentReplayer {
            header,
            blocks,
            block: Cursor::default(),
            functions: Vec::new(),
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

    /// Compares a call with the next one in the record, and gives how that ended; of a function with a result, [`ComponentReplayer::result`] is asked next.
    ///
    /// # Errors
    /// The call is another one, or the record ends or cannot be read. Nothing in the record is believed before its checksum is found right.
    pub(crate) fn answer(&mut self, made: Made<'_>) -> Result<Answered, ReplayError> {
        let call = format!("{}{}", made.function, made.arguments);
        let Some(Recorded { function, checksum, ended }) = self.next()? else {
            let end = visible(self.end.as_deref().unwrap_or_default());
            return Err(self.diverge(format!("the guest calls {call}, where the recorded one ended ({end})")));
        };
        let (name, arguments) = &self.functions[function];
        if name != made.function || arguments != made.arguments {
            let was = visible(&format!("{name}{arguments}"));
            return Err(self.diverge(format!("the guest calls {call}; recorded was {was}")));
        }
        if checksum != made.checksum {
            let reason =
                format!("{call} is given other values than were recorded, beyond what is shown of them");
            return Err(self.diverge(reason));
        }
        self.calls += 1;
        if self.recent.len() == CONTEXT_CALLS {
            self.recent.pop_front();
        }
        let ending = match &ended {
            Answered::Returned => String::new(),
            Answered::Exited(code) => format!(" exits with {code}"),
            Answered::Trapped(text) | Answered::Failed(text) => format!(": {}", visible(text)),
        };
        self.recent.push_back(call + &ending);
        Ok(ended)
    }

    /// The result of the call that was answered last, which has returned, and what it takes.
    ///
    /// # Errors
    /// [`ReplayError::Stopped`] where the recorded guest was stopped meanwhile; the record ends or cannot be read; a resource cannot be made.
    pub(crate) fn result(
        &mut self,
        ty: &Type,
        budget: &Budget,
        new_resource: &mut NewResource<'_>,
    ) -> Result<(Val, Charge), NoAnswer> {
        let charge = budget.empty(BudgetKind::Buffer);
        let mut reading = Reading { replayer: self, new_resource, charge };
        let val = decode(&mut reading, ty)?;
        Ok((val, reading.charge))
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
    pub fn finish(&mut self, ending: &str) -> Result<(), ReplayError> {
        if let Some(next) = self.next()? {
            let (name, arguments) = &self.functions[next.function];
            let was = visible(&format!("{name}{arguments}"));
            return Err(
                self.diverge(format!("the guest ends ({ending}), where the recorded one called {was}"))
            );
        }
        match &self.end {
            Some(end) if end != ending => {
                let end = visible(end);
                let reason = format!("the guest ends: {}; the recorded one ended: {end}", visible(ending));
                Err(self.diverge(reason))
            }
            _ => Ok(()),
        }
    }

    /// The next recorded call; nothing at the end.
    fn next(&mut self) -> Result<Option<Recorded>, ReplayError> {
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
                    return Err(self.blocks.damaged().into());
                }
                if self.blocks.next()?.is_some() {
                    return Err(RecordError::GoesOn { byte }.into());
                }
                self.end = Some(end);
                Ok(None)
            }
        }
    }

    fn decode(&mut self) -> Option<Decoded> {
        let cursor = &mut self.block;
        let number = match cursor.number()? {
            END => return cursor.text().map(Decoded::End),
            number => usize::try_from(number).ok()?,
        };
        if number == self.functions.len() + 1 {
            self.functions.push((cursor.text()?, String::new()));
        }
        let function = number - 1;
        let (_, arguments) = self.functions.get_mut(function)?;
        match cursor.fixed()? {
            [SAME] => {}
            [OTHER] => *arguments = cursor.text()?,
            _ => return None,
        }
        let checksum = u64::from_le_bytes(cursor.fixed()?);
        let ended = match cursor.fixed()? {
            [RETURNED] => Answered::Returned,
            [EXITED] => Answered::Exited(u32::try_from(cursor.number()?).ok()?),
            [TRAPPED] => Answered::Trapped(cursor.text()?),
            [FAILED] => Answered::Failed(cursor.text()?),
            _ => return None,
        };
        Some(Decoded::Call(Recorded { function, checksum, ended }))
    }

    /// Reads the next block where the last one is at its end.
    fn fill(&mut self) -> Result<(), ReplayError> {
        while self.block.is_at_end() {
            let block = self.blocks.next()?.ok_or(RecordError::CutOff { byte: self.blocks.position() })?;
            if block.is_empty() {
                // The call was answered that was being written down.
                return Err(ReplayError::Stopped { calls: self.calls.saturating_sub(1) });
            }
            self.block = Cursor::new(block);
        }
        Ok(())
    }

    fn diverge(&self, reason: String) -> ReplayError {
        let before = self.recent.iter().cloned().collect();
        Divergence { before, call: self.calls, reason }.into()
    }
}

enum Decoded {
    Call(Recorded),
    End(String),
}

/// The values of a result, which are being read.
struct Reading<'a, 'b> {
    replayer: &'a mut ComponentReplayer,
    new_resource: &'a mut NewResource<'b>,
    charge: Charge,
}

impl Source for Reading<'_, '_> {
    type Error = NoAnswer;

    fn cursor(&mut self) -> Result<&mut Cursor, NoAnswer> {
        self.replayer.fill().map_err(NoAnswer::Replay)?;
        Ok(&mut self.replayer.block)
    }

    fn resource(&mut self, ty: &Type) -> Result<Val, NoAnswer> {
        (self.new_resource)(ty).map_err(NoAnswer::Error)
    }

    fn hold(&mut self, bytes: usize) -> Result<(), NoAnswer> {
        let all = self.charge.bytes().saturating_add(bytes as u64);
        self.charge.set(all).map_err(|exceeded| NoAnswer::Error(exceeded.into()))
    }

    fn damaged(&self) -> NoAnswer {
        NoAnswer::Replay(self.replayer.blocks.damaged().into())
    }
}

impl std::fmt::Debug for ComponentReplayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ComponentReplayer")
            .field("header", &self.header)
            .field("calls", &self.calls)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use innkeeper_component::{Part, ValueVisitor};

    use super::*;
    use crate::observe::component::ComponentRecorder;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A record of calls of functions that give nothing, and of how its guest ended.
    fn record(calls: &[(&str, &str)], ending: &str) -> Vec<u8> {
        let to = Shared::default();
        let header = RecordHeader::new("m", b"m");
        let mut recorder = ComponentRecorder::new(Box::new(to.clone()), &header).unwrap();
        for (function, arguments) in calls {
            recorder.begin(function, (arguments, 7), &Answered::Returned);
            recorder.end_result(&Ok(()));
        }
        recorder.finish(ending).unwrap();
        to.0.lock().unwrap().clone()
    }

    fn replayer(bytes: Vec<u8>) -> ComponentReplayer {
        ComponentReplayer::new(OpenedRecord::new(Box::new(io::Cursor::new(bytes))).unwrap())
    }

    fn made<'a>(function: &'a str, arguments: &'a str) -> Made<'a> {
        Made { function, arguments, checksum: 7 }
    }

    #[test]
    fn what_is_not_as_recorded_is_told() {
        let bytes = record(&[("f", "(1)"), ("f", "(1)"), ("g", "(2)")], "the end");
        let begun = || {
            let mut replayer = replayer(bytes.clone());
            replayer.answer(made("f", "(1)")).unwrap();
            replayer
        };
        let mut whole = begun();
        whole.answer(made("f", "(1)")).unwrap();
        whole.go_on().unwrap();
        whole.answer(made("g", "(2)")).unwrap();
        assert_eq!(whole.calls(), 3);
        whole.finish("the end").unwrap();
        let diverges = |told: ReplayError, parts: &[&str]| {
            let told = told.to_string();
            assert!(told.starts_with("the replay diverges at call "), "{told}");
            parts.iter().for_each(|part| assert!(told.contains(part), "no {part} in {told}"));
        };
        let other = begun().answer(made("f", "(3)")).unwrap_err();
        diverges(other, &["at call 1: the guest calls f(3); recorded was f(1)", "\n  call 0: f(1)"]);
        diverges(begun().answer(made("g", "(1)")).unwrap_err(), &["calls g(1); recorded was f(1)"]);
        let hidden = begun().answer(Made { checksum: 8, ..made("f", "(1)") }).unwrap_err();
        diverges(hidden, &["f(1) is given other values than were recorded, beyond what is shown"]);
        diverges(begun().finish("the end").unwrap_err(), &["the guest ends (the end)", "called f(1)"]);
        let mut late = begun();
        late.answer(made("f", "(1)")).unwrap();
        late.answer(made("g", "(2)")).unwrap();
        diverges(late.answer(made("h", "()")).unwrap_err(), &["calls h(), where the recorded one ended"]);
        diverges(
            late.finish("another").unwrap_err(),
            &["the guest ends: another; the recorded one ended: the end"],
        );
    }

    #[test]
    fn a_call_that_was_being_written_down_was_not_made() {
        let to = Shared::default();
        let mut recorder =
            ComponentRecorder::new(Box::new(to.clone()), &RecordHeader::new("m", b"m")).unwrap();
        recorder.begin("f", ("()", 7), &Answered::Returned);
        recorder.part(Part::Unsigned(1)).unwrap();
        recorder.end_result(&Err(innkeeper_engine::Trap::Interrupted.into()));
        assert_eq!(recorder.finish("whatever").unwrap(), 0);
        let mut replayer = replayer(to.0.lock().unwrap().clone());
        replayer.answer(made("f", "()")).unwrap();
        replayer.block = Cursor::default();
        assert!(matches!(replayer.go_on(), Err(ReplayError::Stopped { calls: 0 })));
    }

    #[test]
    fn a_record_that_goes_on_or_names_no_function_is_damaged() {
        let mut bytes = record(&[], "the end");
        bytes.extend([0; 20]);
        let told = replayer(bytes).finish("the end").unwrap_err();
        assert!(matches!(told, ReplayError::Unreadable(_)), "{told}");
        for contents in [&[9, SAME][..], &[2, 1, b'f', OTHER], &[1, 1, b'f', 3], &[1, 1, b'f', OTHER, 0, 1]] {
            let to = Shared::default();
            let mut blocks = crate::observe::format::BlockWriter::new(Box::new(to.clone())).unwrap();
            blocks.write(&crate::observe::format::encode_header(&RecordHeader::new("m", b"m"))).unwrap();
            blocks.write(contents).unwrap();
            let bytes = to.0.lock().unwrap().clone();
            let told = replayer(bytes).answer(made("f", "()")).unwrap_err().to_string();
            assert!(told.contains("the record is damaged at byte"), "{contents:?}: {told}");
        }
    }
}
