//! What tasks, streams, futures and sets do, after the component model's definitions. Traps are named as Innkeeper names them.

mod ends;
mod tasks;

use std::collections::VecDeque;

/// `BLOCKED`, and what is told of one that has not come to an end.
pub(in crate::tasks) const BLOCKED: u64 = u32::MAX as u64;

/// Bytes of an instance's memory that steps use.
pub(in crate::tasks) const MEMORY_BYTES: usize = 8192;
/// Bytes of its whole memory.
const ALL_BYTES: u64 = 65_536;
const MAX_LENGTH: u32 = (1 << 28) - 1;

/// A trap, by the name of its variant.
pub(in crate::tasks) type Trapped = &'static str;

/// One of the two instances: the first one calls the second one's tasks.
pub(in crate::tasks) type InstanceId = usize;
pub(in crate::tasks) const CALLER: InstanceId = 0;
pub(in crate::tasks) const CALLEE: InstanceId = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tasks) enum Kind {
    Stream,
    Future,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tasks) enum Direction {
    Readable,
    Writable,
}

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tasks) enum Behaviour {
    /// Returns at once.
    Returns,
    /// Waits for an event, and ends when it is cancelled.
    Obeys,
    /// Returns when it is cancelled.
    ReturnsAnyway,
    /// Goes on waiting when it is cancelled.
    Ignores,
    /// Lets others have so many turns.
    Yields(u32),
    /// Returns, and waits then.
    GoesOn,
}

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tasks) enum Step {
    New(InstanceId, Kind),
    Copy {
        at: InstanceId,
        kind: Kind,
        direction: Direction,
        handle: u32,
        address: u32,
        length: u32,
    },
    CancelCopy(InstanceId, Kind, Direction, u32),
    DropEnd(InstanceId, Kind, Direction, u32),
    /// To the other instance.
    Give(InstanceId, Kind, u32),
    NewSet(InstanceId),
    Poll(InstanceId, u32),
    DropSet(InstanceId, u32),
    Join(InstanceId, u32, u32),
    /// A task of the callee's, with the set that it waits at.
    Start(Behaviour, u32),
    CancelSubtask(u32),
    DropSubtask(u32),
    /// The callee's backpressure, up or down.
    Backpressure(bool),
    /// All tasks go on that can.
    Turn,
}

/// What a step gives.
pub(in crate::tasks) type Outcome = Result<u64, Trapped>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Waitable(usize),
    Set(usize),
}

#[derive(Clone, Debug)]
struct Instance {
    handles: Vec<Option<Entry>>,
    free: Vec<u32>,
    memory: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CopyResult {
    Completed = 0,
    Dropped = 1,
    Cancelled = 2,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Subtask,
    Copy { result: CopyResult, reclaims: bool },
}

#[derive(Clone, Debug)]
struct Waitable {
    at: InstanceId,
    handle: u32,
    set: Option<usize>,
    event: Option<Event>,
    of: Of,
}

#[derive(Clone, Debug)]
enum Of {
    End(End),
    Subtask(Subtask),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CopyState {
    Idle,
    Copying,
    Done,
}

#[derive(Clone, Debug)]
struct End {
    shared: usize,
    kind: Kind,
    direction: Direction,
    state: CopyState,
    buffer: Option<Buffer>,
}

#[derive(Clone, Copy, Debug)]
struct Buffer {
    address: u32,
    length: u32,
    progress: u32,
}

#[derive(Clone, Debug)]
struct Subtask {
    status: u64,
    task: usize,
    is_cancel_requested: bool,
    is_delivered: bool,
}

#[derive(Clone, Debug, Default)]
struct Shared {
    is_dropped: bool,
    pending: Option<usize>,
}

#[derive(Clone, Debug, Default)]
struct Set {
    members: u32,
    /// Those that have an event, in order.
    pending: VecDeque<usize>,
    waiter: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TaskState {
    ToEnter,
    Yields,
    Waits,
    Over,
}

#[derive(Clone, Debug)]
struct Task {
    behaviour: Behaviour,
    set: u32,
    subtask: usize,
    state: TaskState,
    has_returned: bool,
    turns: u32,
    is_queued: bool,
    is_held: bool,
}

const STARTING: u64 = 0;
const STARTED: u64 = 1;
const RETURNED: u64 = 2;
const CANCELLED_BEFORE_STARTED: u64 = 3;
const CANCELLED_BEFORE_RETURNED: u64 = 4;

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(in crate::tasks) struct Model {
    instances: [Instance; 2],
    waitables: Vec<Option<Waitable>>,
    sets: Vec<Set>,
    shared: Vec<Shared>,
    tasks: Vec<Task>,
    backpressure: u32,
    waiting_to_enter: u32,
    ready: VecDeque<usize>,
    held: Vec<usize>,
}

impl Model {
    pub(in crate::tasks) fn new() -> Model {
        let memory: Vec<u8> = (0..MEMORY_BYTES).map(|at| (at * 7 + 3) as u8).collect();
        let instance = Instance { handles: vec![None], free: Vec::new(), memory };
        Model {
            instances: [instance.clone(), instance],
            waitables: Vec::new(),
            sets: Vec::new(),
            shared: Vec::new(),
            tasks: Vec::new(),
            backpressure: 0,
            waiting_to_enter: 0,
            ready: VecDeque::new(),
            held: Vec::new(),
        }
    }

    /// What is in an instance's memory.
    pub(in crate::tasks) fn memory(&self, at: InstanceId) -> &[u8] {
        &self.instances[at].memory
    }

    /// Handles that there are in an instance.
    pub(in crate::tasks) fn handles(&self, at: InstanceId) -> Vec<u32> {
        let handles = self.instances[at].handles.iter().enumerate();
        handles.filter(|(_, entry)| entry.is_some()).map(|(handle, _)| handle as u32).collect()
    }

    /// A set of the callee's that no task waits at, nor is to.
    pub(in crate::tasks) fn free_set(&self) -> Option<u32> {
        let is_taken =
            |set: u32| self.tasks.iter().any(|task| task.state != TaskState::Over && task.set == set);
        self.handles(CALLEE).into_iter().find(|handle| {
            matches!(self.instances[CALLEE].handles[*handle as usize], Some(Entry::Set(_)))
                && !is_taken(*handle)
        })
    }

    /// Does a step; what it gives, or why it traps, after which nothing else can be done.
    pub(in crate::tasks) fn step(&mut self, step: Step) -> Outcome {
        match step {
            Step::New(at, kind) => Ok(self.new_ends(at, kind)),
            Step::Copy { at, kind, direction, handle, address, length } => {
                self.copy((at, handle), (kind, direction), (address, length))
            }
            Step::CancelCopy(at, kind, direction, handle) => {
                self.cancel_copy((at, handle), (kind, direction))
            }
            Step::DropEnd(at, kind, direction, handle) => self.drop_end((at, handle), (kind, direction)),
            Step::Give(at, kind, handle) => self.give((at, handle), kind),
            Step::NewSet(at) => {
                self.sets.push(Set::default());
                let set = self.sets.len() - 1;
                Ok(u64::from(self.add_handle(at, Entry::Set(set))))
            }
            Step::Poll(at, handle) => self.poll(at, handle),
            Step::DropSet(at, handle) => {
                let set = self.set(at, handle)?;
                match &self.sets[set] {
                    set if set.members > 0 => Err("SetHasMembers"),
                    set if set.waiter.is_some() => Err("SetHasWaiters"),
                    _ => {
                        self.remove_handle(at, handle);
                        Ok(0)
                    }
                }
            }
            Step::Join(at, handle, set) => {
                let waitable = self.waitable(at, handle)?;
                let set = if set == 0 { None } else { Some(self.set(at, set)?) };
                self.join(waitable, set);
                Ok(0)
            }
            Step::Start(behaviour, set) => self.start(behaviour, set),
            Step::CancelSubtask(handle) => self.cancel_subtask(handle),
            Step::DropSubtask(handle) => {
                let (waitable, subtask) = self.subtask(handle)?;
                if !subtask.is_delivered {
                    return Err("SubtaskUnresolved");
                }
                self.remove_waitable(waitable);
                Ok(0)
            }
            Step::Backpressure(true) => {
                self.backpressure += 1;
                Ok(0)
            }
            Step::Backpressure(false) => {
                self.backpressure = self.backpressure.checked_sub(1).ok_or("BackpressureOutOfRange")?;
                if self.backpressure == 0 {
                    for task in std::mem::take(&mut self.held) {
                        self.tasks[task].is_held = false;
                        self.look_again(task);
                    }
                }
                Ok(0)
            }
            Step::Turn => self.turn().map(|()| 0),
        }
    }

    fn add_handle(&mut self, at: InstanceId, entry: Entry) -> u32 {
        let instance = &mut self.instances[at];
        let handle = instance.free.pop().unwrap_or_else(|| {
            instance.handles.push(None);
            instance.handles.len() as u32 - 1
        });
        instance.handles[handle as usize] = Some(entry);
        handle
    }

    fn remove_handle(&mut self, at: InstanceId, handle: u32) {
        self.instances[at].handles[handle as usize] = None;
        self.instances[at].free.push(handle);
    }

    fn entry(&self, at: InstanceId, handle: u32) -> Result<Entry, Trapped> {
        self.instances[at].handles.get(handle as usize).copied().flatten().ok_or("UnknownHandle")
    }

    fn set(&self, at: InstanceId, handle: u32) -> Result<usize, Trapped> {
        match self.entry(at, handle)? {
            Entry::Set(set) => Ok(set),
            Entry::Waitable(_) => Err("WrongHandleKind"),
        }
    }

    fn waitable(&self, at: InstanceId, handle: u32) -> Result<usize, Trapped> {
        match self.entry(at, handle)? {
            Entry::Waitable(waitable) => Ok(waitable),
            Entry::Set(_) => Err("WrongHandleKind"),
        }
    }

    fn add_waitable(&mut self, at: InstanceId, of: Of) -> usize {
        self.waitables.push(Some(Waitable { at, handle: 0, set: None, event: None, of }));
        self.waitables.len() - 1
    }

    fn name_waitable(&mut self, waitable: usize) -> u32 {
        let at = self.there(waitable).at;
        let handle = self.add_handle(at, Entry::Waitable(waitable));
        self.there(waitable).handle = handle;
        handle
    }

    fn there(&mut self, waitable: usize) -> &mut Waitable {
        self.waitables[waitable].as_mut().expect("the model knows what there is")
    }

    fn remove_waitable(&mut self, waitable: usize) {
        self.join(waitable, None);
        let gone = self.waitables[waitable].take().expect("the model knows what there is");
        if gone.handle != 0 {
            self.remove_handle(gone.at, gone.handle);
        }
    }

    fn join(&mut self, waitable: usize, to: Option<usize>) {
        let (from, has_event) = (self.there(waitable).set, self.there(waitable).event.is_some());
        self.there(waitable).set = to;
        if let Some(from) = from {
            self.sets[from].members -= 1;
            self.sets[from].pending.retain(|other| *other != waitable);
        }
        if let Some(to) = to {
            self.sets[to].members += 1;
            if has_event {
                self.list(waitable);
            }
        }
    }

    fn set_event(&mut self, waitable: usize, event: Event) {
        self.there(waitable).event = Some(event);
        self.list(waitable);
    }

    /// Has a waitable with an event stand in its set's queue, and the set's waiter look.
    fn list(&mut self, waitable: usize) {
        let Some(set) = self.there(waitable).set else { return };
        if !self.sets[set].pending.contains(&waitable) {
            self.sets[set].pending.push_back(waitable);
        }
        if let Some(waiter) = self.sets[set].waiter {
            self.look_again(waiter);
        }
    }

    /// The event's code, handle and payload, which ends the event.
    fn take_event(&mut self, waitable: usize) -> (u64, u64, u64) {
        let (set, handle) = (self.there(waitable).set, self.there(waitable).handle);
        if let Some(set) = set {
            self.sets[set].pending.retain(|other| *other != waitable);
        }
        match self.there(waitable).event.take().expect("it has an event") {
            Event::Subtask => {
                let Of::Subtask(subtask) = &mut self.there(waitable).of else { unreachable!() };
                subtask.is_delivered |= subtask.status > STARTED;
                (1, u64::from(handle), subtask.status)
            }
            Event::Copy { result, reclaims } => {
                let (code, payload) = self.end_copy(waitable, (result, reclaims));
                (code, u64::from(handle), payload)
            }
        }
    }

    fn take_event_of_set(&mut self, set: usize) -> Option<(u64, u64, u64)> {
        let first = *self.sets[set].pending.front()?;
        Some(self.take_event(first))
    }

    fn poll(&mut self, at: InstanceId, handle: u32) -> Outcome {
        let set = self.set(at, handle)?;
        let (code, first, second) = self.take_event_of_set(set).unwrap_or_default();
        let memory = &mut self.instances[at].memory;
        memory[..4].copy_from_slice(&(first as u32).to_le_bytes());
        memory[4..8].copy_from_slice(&(second as u32).to_le_bytes());
        Ok(code | first << 4 | second << 32)
    }
}
