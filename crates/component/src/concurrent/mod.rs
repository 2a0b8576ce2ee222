//! Tasks, threads, waitables, streams and futures: the async part of the canonical ABI.
//!
//! # How it fits together
//! A call of a function whose type is async is a *task* ([`task`]), which runs as a *thread* ([`thread`]): an execution of the guest's that can be left in the middle. A thread runs on a fiber of the store's own
//! (`StoreContextMut::start_fiber`), from where a function of the host that has to wait *parks* it. A function that is lifted with a callback has no fiber between its events: its thread is then a record of some
//! hundred bytes. Calls of functions whose types are not async make neither a task nor a thread: they run on the fiber of whoever calls, and must not wait.
//!
//! What a guest waits for is a *waitable* ([`waitable`]): a *subtask*, which is a call that it has made ([`subtask`]), or an end of a stream or future ([`end`]) with a copy under way ([`copy`]). Each has at most
//! one pending event, and can be in one *waitable set*.
//!
//! Nothing runs by itself. Who calls from the host (`drive`) lets ready threads run, one after the other, until what it wants has come of it ([`schedule`]): first in, first out, or in an order that
//! [`innkeeper_engine::Tuning::schedule_seed`] chooses. Where nobody is ready and no future of the host's is under way, nothing will ever happen any more: a deadlock.
//!
//! # Names and rules
//! Names are those of `definitions.py`, and the rules too: each function here says which of its functions it is. What that keeps in closures is data here: a thread that waits says what for ([`thread::Wait`]), an event
//! says what is to be told ([`waitable::Event`]), so that what is left can be looked at, and dropped, in every state.
//!
//! Must stay true:
//! - A thread is entered with its instance's flags set for it, and these are given back when it parks or ends: unless it has trapped, which poisons the outermost instance (`entry`). Threads of a poisoned one are dropped
//!   ([`schedule`]); nothing of the guest's is executed for that.
//! - The calls of the thread that runs are the last ones of [`State::calls`], its own at their bottom. A thread parks only where that is the last one.
//! - Keys are looked up when they are used ([`slab`]): what is gone is not found, whoever holds its key still.
//! - A buffer of a guest's is an allegation: it is checked when the copy is asked for, and again when it is made, since memories change.
//!
//! What this is not: an executor. Futures of the host's are polled by whoever polls the host's call.

mod accessor;
#[cfg(feature = "async")]
mod beside;
mod builtin;
mod copy;
mod drive;
mod elements;
mod end;
mod host;
mod host_bytes;
mod host_end;
mod host_tasks;
mod queue;
mod schedule;
mod slab;
mod subtask;
mod task;
mod thread;
mod thread_table;
mod turn;
mod vals;
mod waitable;

use crate::state::{InstanceId, State};

pub use accessor::Accessor;
pub(crate) use builtin::{Builtin, ConcurrentBuiltin, EndBuiltin};
use copy::CopyResult;
#[cfg(feature = "async")]
pub(crate) use drive::call_from_host_async;
pub(crate) use drive::{Until, call_from_host};
#[cfg(feature = "async")]
pub use drive::{run_concurrent, run_to_end};
pub(crate) use end::InFlight;
pub(crate) use end::{EndKind, Shared};
pub use end::{FutureAny, StreamAny};
pub use host::spawn;
pub(crate) use host::{ConcurrentHost, HostFuture, HostLowered, HostReturn};
pub use host_bytes::{Stopped, Turn};
pub use host_end::{FutureReader, FutureWriter, StreamReader, StreamWriter};
pub(crate) use host_tasks::HostTasks;
pub(crate) use queue::Queue;
pub(crate) use schedule::Schedule;
pub(crate) use slab::{Key, Slab};
pub(crate) use subtask::AsyncLowered;
pub(crate) use task::{TASK_SCOPE, Task, task_return};
pub(crate) use thread::Thread;
use thread::Wait;
pub(crate) use turn::finish_left;
pub(crate) use vals::check_async;
pub(crate) use waitable::{Waitable, WaitableSet};

/// What a store has of all this.
#[derive(Default)]
pub(crate) struct Concurrent {
    pub(crate) tasks: Slab<Task>,
    pub(crate) threads: Slab<Thread>,
    pub(crate) waitables: Slab<Waitable>,
    pub(crate) sets: Slab<WaitableSet>,
    /// What the two ends of each stream and future share.
    pub(crate) shared: Slab<Shared>,
    pub(crate) schedule: Schedule,
    /// Calls of the host's that were given up, whose tasks are not told yet.
    pub(crate) given_up: Vec<Key<Task>>,
    /// Who is to go on as soon as the thread that runs has come to wait, and whether to be told that it is cancelled.
    pub(crate) next: Option<(Key<Thread>, bool)>,
    /// The thread that is to go on before all others.
    pub(crate) left: Option<turn::LeftInTheMiddle>,
    pub(crate) host: HostTasks,
}

/// What an instance has of it.
#[derive(Default)]
pub(crate) struct InstanceTasks {
    /// The thread that runs, of those of which only one may be under way at a time.
    pub(crate) exclusive: Option<Key<Thread>>,
    /// Tasks that wait to enter.
    pub(crate) waiting_to_enter: u32,
    /// Threads that would be ready but for others in the instance, in order.
    pub(crate) held_up: Queue<Thread>,
    /// Threads that have an index, by that.
    pub(crate) threads: thread_table::ThreadTable,
}

impl State {
    /// The thread that runs, unless it is in a call of a function that must not wait.
    pub(crate) fn current_thread(&self) -> Option<Key<Thread>> {
        self.calls.last()?.thread
    }

    /// Whether what runs may wait: nobody but threads may.
    pub(crate) fn can_block(&self) -> bool {
        self.current_thread().is_some()
    }

    pub(crate) fn tasks_of(&mut self, instance: InstanceId) -> &mut InstanceTasks {
        &mut self.instances[instance.0 as usize].tasks
    }
}
