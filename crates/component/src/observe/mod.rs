//! Watching the calls that a store's components make of the host's functions, or answering them in the host's place.
//!
//! Who watches is asked once, when an instance is made: functions are made otherwise then ([`ObservedCall`] stands around each). Without an observer nothing of this is in
//! a call's way. Values are shown part by part, from where they lie, so that nothing is copied whose size a guest chooses (`walk`).
//!
//! Must stay true: looking at a call changes nothing of it. What is wrong with its arguments is found and told by the call itself.
//!
//! Not here: what is made of a call (text, a record), which is the observer's; calls between components. Not observed are functions that are lowered with the async ABI, and those of the
//! host that can do nothing but wait; whatever is observed holds the thread while it waits.

mod call;
mod walk;

use std::sync::Arc;

use innkeeper_engine::{AsContextMut, Error};

pub use call::ObservedCall;
pub(crate) use walk::Walk;

use crate::state::State;

/// Is told of every call of a function of the host's, and of every resource of the host's that a guest drops.
pub trait HostCallObserver<T: 'static>: Send + Sync {
    /// Has the call made ([`ObservedCall::perform`]), or answers it ([`ObservedCall::answer`]), and looks at it before and after. What it returns is how the call ends.
    ///
    /// # Errors
    /// What ends the guest.
    fn call(&self, call: &mut ObservedCall<'_, '_, T>) -> Result<(), Error>;

    /// Whether it answers all calls. Then the host's resources are what it has given, and the host, which knows nothing of them, is not told that one is dropped.
    fn answers(&self) -> bool {
        false
    }
}

/// Has an observer watch all instances that are made in the store from now on.
pub fn observe_host_calls<T: 'static>(
    mut store: impl AsContextMut<Data = T>,
    observer: Arc<dyn HostCallObserver<T>>,
) {
    let mut store = store.as_context_mut();
    let state = store.attachment::<State>();
    state.is_answered = observer.answers();
    state.observer = Some(Box::new(observer));
}

/// What is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostCallName {
    path: Arc<[Arc<str>]>,
    is_drop: bool,
}

impl HostCallName {
    pub(crate) fn new(path: &Arc<[Arc<str>]>, is_drop: bool) -> HostCallName {
        HostCallName { path: Arc::clone(path), is_drop }
    }

    /// The instance that the component imports it in, `wasi:io/streams@0.2.0`, where there is one.
    #[must_use]
    pub fn instance(&self) -> Option<&str> {
        self.path.split_last().and_then(|(_, instances)| instances.last()).map(|name| &**name)
    }

    /// The function's name there, `[method]input-stream.read`; a drop is called `[resource-drop]input-stream`.
    #[must_use]
    pub fn function(&self) -> String {
        let name = self.path.last().map_or("", |name| &**name);
        if self.is_drop { format!("[resource-drop]{name}") } else { name.to_owned() }
    }
}

/// A part of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Part<'a> {
    /// `bool`
    Bool(bool),
    /// An integer with a sign.
    Signed(i64),
    /// An integer without one.
    Unsigned(u64),
    /// `f32`; there is one NaN only.
    Float32(f32),
    /// `f64`; there is one NaN only.
    Float64(f64),
    /// `char`
    Char(char),
    /// The next characters of a string that has begun.
    Text(&'a str),
    /// The next bytes of a `list<u8>` that has begun.
    Bytes(&'a [u8]),
    /// A handle: its number among the caller's, and what stands for the resource.
    Handle {
        /// What the component calls the resource type.
        resource: Option<&'a str>,
        /// The handle's number.
        index: u32,
        /// What stands for the resource.
        rep: u32,
    },
    /// Flags: the labels there are, and which are set, the first in the lowest bit.
    Flags(&'a [Arc<str>], u32),
    /// A case of a variant, an enum, an option or a result: its number, its label, and whether a payload follows and then [`Part::End`].
    Case(u32, &'a str, bool),
    /// What follows, up to [`Part::End`], belongs together.
    Begin(Compound),
    /// The name of the field that follows.
    Field(&'a str),
    /// The end of what has begun last.
    End,
}

/// What is made of several parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compound {
    /// A string, in pieces.
    String,
    /// A `list<u8>` of so many bytes, in pieces.
    Bytes(u32),
    /// A list of so many elements; also a map, whose elements are tuples.
    List(u32),
    /// Fields with names.
    Record,
    /// Values without names; also the arguments of a call.
    Tuple,
}

/// Is shown values, part by part.
pub trait ValueVisitor {
    /// The next part.
    ///
    /// # Errors
    /// Ends the walk, with this.
    fn part(&mut self, part: Part<'_>) -> Result<(), Error>;
}
