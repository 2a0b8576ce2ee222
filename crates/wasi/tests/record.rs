//! Records and replays: a million calls come back exactly, and whatever is not the recorded run is told apart.

use std::borrow::Cow;
use std::io::{Cursor, Write};
use std::ops::Range;
use std::sync::{Arc, Mutex};

use innkeeper_wasi::observe::{
    Call, Divergence, Ending, InputChecksum, RecordError, RecordHeader, Recorder, ReplayError, Replayer,
};

/// A file in memory that outlives its writer.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Guest memory, in which each call reads and writes.
struct Guest {
    memory: Vec<u8>,
    state: u64,
}

/// A call as the guest makes it, and what the host answers.
struct Made {
    function: u16,
    arguments: Vec<u64>,
    read: Vec<Range<usize>>,
    ending: Ending,
    written: Vec<(usize, Vec<u8>)>,
}

impl Guest {
    fn new() -> Guest {
        Guest { memory: (0..4096).map(|index| (index % 251) as u8).collect(), state: 1 }
    }

    fn random(&mut self, below: u64) -> u64 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.state >> 33) % below
    }

    /// The next call; what a guest does follows from its memory, so that a wrong answer would change what comes.
    fn next(&mut self) -> Made {
        let function = self.random(5) as u16;
        let mut arguments: Vec<u64> = (0..self.random(4)).map(|_| self.random(3) * (u64::MAX / 2)).collect();
        let at = self.random(64) as usize;
        arguments.push(self.memory[at].into());
        let mut ranges = |count| -> Vec<Range<usize>> {
            (0..self.random(count))
                .map(|_| {
                    let start = self.random(4000) as usize;
                    start..start + self.random(90) as usize
                })
                .collect()
        };
        let (read, written) = (ranges(3), ranges(3));
        let written = written
            .into_iter()
            .map(|range| (range.start, (0..range.len()).map(|_| self.random(256) as u8).collect()))
            .collect();
        let ending = Ending::Returned(self.random(3) as i32 - 1);
        Made { function, arguments, read, ending, written }
    }

    fn checksum(&self, ranges: &[Range<usize>]) -> u64 {
        let mut checksum = InputChecksum::default();
        ranges.iter().for_each(|range| checksum.update(&self.memory[range.clone()]));
        checksum.finish()
    }

    fn apply(&mut self, writes: &[(usize, Vec<u8>)]) {
        for (at, bytes) in writes {
            self.memory[*at..at + bytes.len()].copy_from_slice(bytes);
        }
    }
}

fn name(function: u16) -> &'static str {
    ["a", "b", "c", "d", "e"].get(usize::from(function)).copied().unwrap_or("unknown")
}

fn record(calls: u64) -> Vec<u8> {
    let file = Shared::default();
    let header = RecordHeader::new("guest.wasm", b"module");
    let mut recorder = Recorder::new(Box::new(file.clone()), &header).expect("recorder");
    let mut guest = Guest::new();
    for _ in 0..calls {
        let made = guest.next();
        let call = Call {
            function: made.function,
            arguments: &made.arguments,
            read: &made.read,
            read_checksum: guest.checksum(&made.read),
            ending: made.ending,
        };
        guest.apply(&made.written);
        let ranges: Vec<_> = made.written.iter().map(|(at, bytes)| *at..*at + bytes.len()).collect();
        recorder.record(&call, &ranges, |range| guest.memory.get(range).map(Cow::Borrowed), || false);
    }
    assert_eq!(recorder.finish("returned").expect("finish"), calls);
    file.0.lock().expect("no panic").clone()
}

fn replayer(bytes: &[u8]) -> Result<Replayer, RecordError> {
    Replayer::new(Box::new(Cursor::new(bytes.to_vec())))
}

/// Replays, spoiling the guest's memory before the call that `spoil` names.
fn replay(bytes: &[u8], calls: u64, spoil: Option<u64>) -> Result<u64, ReplayError> {
    let mut replayer = replayer(bytes).expect("a record");
    assert!(replayer.header().is_of(b"module") && !replayer.header().is_of(b"other"));
    let mut guest = Guest::new();
    for call in 0..calls {
        if spoil == Some(call) {
            guest.memory.iter_mut().for_each(|byte| *byte ^= 0x55);
        }
        let made = guest.next();
        let memory = |range: Range<usize>| guest.memory.get(range).map(Cow::Borrowed);
        let ending = replayer.answer(made.function, &made.arguments, name, memory)?;
        assert_eq!(ending, made.ending, "call {call}");
        let mut expected = (call % 97 == 0).then(|| Guest { memory: guest.memory.clone(), ..Guest::new() });
        expected.iter_mut().for_each(|expected| expected.apply(&made.written));
        replayer.writes(|at, bytes| guest.memory[at..at + bytes.len()].copy_from_slice(bytes))?;
        assert!(expected.is_none_or(|expected| expected.memory == guest.memory), "call {call}");
    }
    replayer.finish("returned", name)?;
    Ok(replayer.calls())
}

#[test]
fn a_million_calls_replay_exactly() {
    let bytes = record(1_000_000);
    assert_eq!(replay(&bytes, 1_000_000, None).expect("the same"), 1_000_000);
}

#[test]
fn a_divergence_is_told_at_its_call_with_those_before() {
    let bytes = record(1000);
    let divergence = diverged(replay(&bytes, 1000, Some(600)));
    assert!((600..610).contains(&divergence.call), "{divergence}");
    assert_eq!(divergence.before.len(), 5);
    let text = divergence.to_string();
    assert!(
        text.contains("diverges at call 60") && text.contains(&format!("call {}: ", divergence.call - 1)),
        "{text}"
    );
}

#[test]
fn a_guest_that_goes_on_or_ends_early_diverges() {
    let bytes = record(10);
    let one_more = diverged(replay(&bytes, 11, None)).reason;
    assert!(one_more.contains("where the recorded one ended (returned)"), "{one_more}");
    let one_less = diverged(replay(&bytes, 9, None)).reason;
    assert!(one_less.contains("where the recorded one called"), "{one_less}");
    let mut replayer = replayer(&record(0)).expect("a record");
    let another_end = diverged(replayer.finish("exited with 1", name)).reason;
    assert!(another_end.contains("ended: returned"), "{another_end}");
}

/// How a guest differed, where it did; a record that is blamed instead fails the test.
fn diverged<T: std::fmt::Debug>(replayed: Result<T, ReplayError>) -> Divergence {
    match replayed {
        Err(ReplayError::Diverged(divergence)) => divergence,
        other => panic!("{other:?}"),
    }
}

/// Reads all of a record, however it goes on.
fn read_all(bytes: &[u8]) -> Result<(), ReplayError> {
    let mut replayer = replayer(bytes)?;
    let mut guest = Guest::new();
    for _ in 0..20 {
        let made = guest.next();
        let memory = |range: Range<usize>| guest.memory.get(range).map(Cow::Borrowed);
        replayer.answer(made.function, &made.arguments, name, memory)?;
        let mut writes = Vec::new();
        replayer.writes(|at, bytes| writes.push((at, bytes.to_vec())))?;
        guest.apply(&writes);
    }
    replayer.finish("returned", name)
}

/// The record is blamed, by the byte where it is wrong, and never the guest.
#[track_caller]
fn blames_the_record(bytes: &[u8], wrong: usize) {
    let error = match read_all(bytes) {
        Err(ReplayError::Unreadable(error)) => error,
        other => panic!("{other:?}"),
    };
    let byte = match error {
        RecordError::Damaged { byte } | RecordError::GoesOn { byte } | RecordError::CutOff { byte } => byte,
        RecordError::Incomplete { byte, end } => {
            assert!(byte < end && end as usize <= bytes.len());
            byte
        }
        RecordError::Foreign => {
            assert!(wrong < 8, "{error} for byte {wrong}");
            return;
        }
        error => panic!("{error}"),
    };
    assert!(byte as usize <= wrong && error.to_string().contains(&format!("at byte {byte}")), "{error}");
}

#[test]
fn whatever_is_cut_off_or_altered_is_refused() {
    let bytes = record(20);
    read_all(&bytes).expect("a whole record");
    for length in 0..bytes.len() {
        blames_the_record(&bytes[..length], length);
    }
    blames_the_record(&[&bytes[..], b"x"].concat(), bytes.len());
    blames_the_record(&[&bytes[..], &bytes[8..]].concat(), bytes.len());
    for position in 0..bytes.len() {
        for bit in 0..8 {
            let mut altered = bytes.clone();
            altered[position] ^= 1 << bit;
            blames_the_record(&altered, position);
        }
    }
}

/// A call that wrote much goes to the record piece by piece, and comes back so; a guest that is stopped meanwhile has stopped before it.
#[test]
fn long_writes_are_recorded_in_pieces_and_can_be_cut() {
    let memory: Vec<u8> = (0..1_000_000).map(|index| (index % 253) as u8).collect();
    let call =
        Call { function: 1, arguments: &[7], read: &[], read_checksum: 0, ending: Ending::Returned(0) };
    for cut in [false, true] {
        let file = Shared::default();
        let mut recorder =
            Recorder::new(Box::new(file.clone()), &RecordHeader::new("m", b"module")).expect("recorder");
        let longest = std::cell::Cell::new(0);
        let read = |range: Range<usize>| {
            longest.set(longest.get().max(range.len()));
            memory.get(range).map(Cow::Borrowed)
        };
        recorder.record(&call, std::slice::from_ref(&(3..5)), read, || true);
        recorder.record(&call, &[10..900_000, 950_000..999_999], read, || cut && longest.get() > 1000);
        recorder.record(&call, &[], read, || false);
        assert_eq!(recorder.finish("returned").expect("finish"), if cut { 1 } else { 3 });
        assert!(longest.get() <= 1 << 16, "{}", longest.get());

        let mut replayer = replayer(&file.0.lock().expect("no panic")).expect("a record");
        let mut found = vec![0; memory.len()];
        let mut outcomes = Vec::new();
        for _ in 0..3 {
            let ending = replayer.answer(1, &[7], name, |_| None);
            outcomes.push(ending.and_then(|_| {
                replayer.writes(|at, bytes| found[at..at + bytes.len()].copy_from_slice(bytes))
            }));
            if outcomes.last().is_some_and(Result::is_err) {
                break;
            }
        }
        if cut {
            assert!(matches!(outcomes[..], [Ok(()), Err(ReplayError::Stopped { calls: 1 })]), "{outcomes:?}");
        } else {
            assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
            assert!(
                found[10..900_000] == memory[10..900_000]
                    && found[950_000..999_999] == memory[950_000..999_999]
            );
        }
    }
}
