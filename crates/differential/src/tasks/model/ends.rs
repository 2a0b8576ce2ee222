//! Streams and futures (`SharedStreamImpl`, `SharedFutureImpl`, `stream_copy`, `future_copy`, `cancel_copy`).

use super::{
    ALL_BYTES, BLOCKED, Buffer, CopyResult, CopyState, Direction, End, Event, InstanceId, Kind, MAX_LENGTH,
    Model, Of, Outcome, Shared, Trapped,
};

impl Model {
    pub(super) fn new_ends(&mut self, at: InstanceId, kind: Kind) -> u64 {
        self.shared.push(Shared::default());
        let shared = self.shared.len() - 1;
        let mut handles = [Direction::Readable, Direction::Writable].map(|direction| {
            let end = End { shared, kind, direction, state: CopyState::Idle, buffer: None };
            let waitable = self.add_waitable(at, Of::End(end));
            u64::from(self.name_waitable(waitable))
        });
        handles[1] <<= 32;
        handles[0] | handles[1]
    }

    pub(super) fn end(&mut self, waitable: usize) -> &mut End {
        match &mut self.there(waitable).of {
            Of::End(end) => end,
            Of::Subtask(_) => unreachable!("an end is asked for"),
        }
    }

    pub(super) fn end_of(
        &mut self,
        (at, handle): (InstanceId, u32),
        is: (Kind, Direction),
    ) -> Result<usize, Trapped> {
        let waitable = self.waitable(at, handle)?;
        match &self.there(waitable).of {
            Of::End(end) if (end.kind, end.direction) == is => Ok(waitable),
            _ => Err("WrongHandleKind"),
        }
    }

    pub(super) fn copy(
        &mut self,
        of: (InstanceId, u32),
        (kind, direction): (Kind, Direction),
        (address, length): (u32, u32),
    ) -> Outcome {
        let waitable = self.end_of(of, (kind, direction))?;
        let length = if kind == Kind::Future { 1 } else { length };
        match (self.end(waitable).state, kind, direction) {
            (CopyState::Idle, ..) => {}
            (CopyState::Copying, ..) => return Err("Concurrent"),
            (CopyState::Done, Kind::Future, Direction::Readable) => return Err("ReadTwice"),
            (CopyState::Done, Kind::Future, Direction::Writable) => return Err("WrittenTwice"),
            (CopyState::Done, Kind::Stream, Direction::Readable) => return Err("ReadAfterDropped"),
            (CopyState::Done, Kind::Stream, Direction::Writable) => return Err("WrittenAfterDropped"),
        }
        if length > MAX_LENGTH {
            return Err("BufferTooLong");
        }
        if length > 0 && u64::from(address) + u64::from(length) > ALL_BYTES {
            return Err("PointerOutOfBounds");
        }
        let end = self.end(waitable);
        (end.state, end.buffer) = (CopyState::Copying, Some(Buffer { address, length, progress: 0 }));
        self.meet(waitable, (kind, direction));
        match self.there(waitable).event {
            Some(_) => Ok(self.take_event(waitable).2),
            None => Ok(BLOCKED),
        }
    }

    /// `SharedStreamImpl.read`, `write`; `SharedFutureImpl.read`, `write`.
    pub(super) fn meet(&mut self, here: usize, (kind, direction): (Kind, Direction)) {
        let done = |result| Event::Copy { result, reclaims: false };
        let shared = self.end(here).shared;
        if self.shared[shared].is_dropped {
            return self.set_event(here, done(CopyResult::Dropped));
        }
        let Some(pending) = self.shared[shared].pending else {
            self.shared[shared].pending = Some(here);
            return;
        };
        let remain = |model: &mut Model, end| {
            model.end(end).buffer.map_or(0, |buffer| buffer.length - buffer.progress)
        };
        let is_empty = |model: &mut Model, end| model.end(end).buffer.is_none_or(|buffer| buffer.length == 0);
        let (from, to) = if direction == Direction::Readable { (pending, here) } else { (here, pending) };
        if kind == Kind::Future {
            self.transfer((from, to), 1);
            self.shared[shared].pending = None;
            self.set_event(pending, done(CopyResult::Completed));
            return self.set_event(here, done(CopyResult::Completed));
        }
        if remain(self, pending) > 0 {
            let count = remain(self, here).min(remain(self, pending));
            if count > 0 {
                self.transfer((from, to), count);
                self.set_event(pending, Event::Copy { result: CopyResult::Completed, reclaims: true });
            }
            return self.set_event(here, done(CopyResult::Completed));
        }
        if direction == Direction::Writable && is_empty(self, here) && is_empty(self, pending) {
            return self.set_event(here, done(CopyResult::Completed));
        }
        self.shared[shared].pending = None;
        self.set_event(pending, done(CopyResult::Completed));
        self.shared[shared].pending = Some(here);
    }

    pub(super) fn transfer(&mut self, (from, to): (usize, usize), count: u32) {
        let place = |model: &mut Model, end: usize| {
            let at = model.there(end).at;
            let buffer = model.end(end).buffer.as_mut().expect("it is being copied");
            let start = buffer.address + buffer.progress;
            buffer.progress += count;
            (at, start as usize)
        };
        let ((from_at, from), (to_at, to)) = (place(self, from), place(self, to));
        let bytes = self.instances[from_at].memory[from..from + count as usize].to_vec();
        self.instances[to_at].memory[to..to + count as usize].copy_from_slice(&bytes);
    }

    pub(super) fn end_copy(&mut self, waitable: usize, (result, reclaims): (CopyResult, bool)) -> (u64, u64) {
        let shared = self.end(waitable).shared;
        if reclaims && self.shared[shared].pending == Some(waitable) {
            self.shared[shared].pending = None;
        }
        let end = self.end(waitable);
        let progress = end.buffer.take().map_or(0, |buffer| buffer.progress);
        let is_done = match end.kind {
            Kind::Stream => result == CopyResult::Dropped,
            Kind::Future => result != CopyResult::Cancelled,
        };
        end.state = if is_done { CopyState::Done } else { CopyState::Idle };
        let code = match (end.kind, end.direction) {
            (Kind::Stream, Direction::Readable) => 2,
            (Kind::Stream, Direction::Writable) => 3,
            (Kind::Future, Direction::Readable) => 4,
            (Kind::Future, Direction::Writable) => 5,
        };
        let counted = if end.kind == Kind::Stream { u64::from(progress) << 4 } else { 0 };
        (code, result as u64 | counted)
    }

    pub(super) fn cancel_copy(&mut self, of: (InstanceId, u32), is: (Kind, Direction)) -> Outcome {
        let waitable = self.end_of(of, is)?;
        if self.end(waitable).state != CopyState::Copying {
            return Err("NothingToCancel");
        }
        match &mut self.there(waitable).event {
            // The reference tests have it so: what has made progress is cancelled all the same.
            Some(Event::Copy { result, .. }) if is.0 == Kind::Stream && *result == CopyResult::Completed => {
                *result = CopyResult::Cancelled;
            }
            Some(_) => {}
            None => {
                let shared = self.end(waitable).shared;
                self.shared[shared].pending = None;
                let event = Event::Copy { result: CopyResult::Cancelled, reclaims: false };
                self.there(waitable).event = Some(event);
                self.list(waitable);
            }
        }
        Ok(self.take_event(waitable).2)
    }

    pub(super) fn drop_end(&mut self, of: (InstanceId, u32), is: (Kind, Direction)) -> Outcome {
        let waitable = self.end_of(of, is)?;
        match (self.end(waitable).state, is) {
            (CopyState::Copying, (_, Direction::Readable)) => return Err("BusyRemoved"),
            (CopyState::Copying, (_, Direction::Writable)) => return Err("BusyDropped"),
            (CopyState::Idle, (Kind::Future, Direction::Writable)) => return Err("DroppedUnwritten"),
            _ => {}
        }
        let shared = self.end(waitable).shared;
        self.remove_waitable(waitable);
        if !std::mem::replace(&mut self.shared[shared].is_dropped, true)
            && let Some(pending) = self.shared[shared].pending.take()
        {
            self.set_event(pending, Event::Copy { result: CopyResult::Dropped, reclaims: false });
        }
        Ok(0)
    }

    pub(super) fn give(&mut self, of: (InstanceId, u32), kind: Kind) -> Outcome {
        let waitable = self.end_of(of, (kind, Direction::Readable))?;
        match (self.end(waitable).state, kind) {
            (CopyState::Done, Kind::Future) => return Err("LiftedAfterRead"),
            (CopyState::Done, Kind::Stream) => return Err("LiftedAfterDropped"),
            (CopyState::Copying, _) => return Err("BusyRemoved"),
            (CopyState::Idle, _) => {}
        }
        if self.there(waitable).set.is_some() {
            return Err("LiftedInSet");
        }
        let end = self.end(waitable).clone();
        self.remove_waitable(waitable);
        let given = self.add_waitable(1 - of.0, Of::End(end));
        Ok(u64::from(self.name_waitable(given)))
    }
}
