//! What went wrong, as C holds it: behind a `wasm_trap_t`, an `innkeeper_error_t`, and the frames of both.

use std::fmt;
use std::sync::Arc;

use innkeeper::{
    AsContextMut, Backtrace, Error, ErrorKind, ExnRef, FrameInfo, OwnedRooted, Reference, Result,
    StoreContextMut,
};

use crate::boundary::{Lent, Own, caught};
use crate::host_info::HostInfo;
use crate::object::{Identity, Object, Ref};
use crate::store::{Data, StoreRef};

/// An error, with what C attaches to it.
pub(crate) struct Problem {
    pub(crate) error: Error,
    /// The exception that nothing caught, kept for whoever passes the error on.
    exception: Option<OwnedRooted<ExnRef>>,
    /// Which trap this is: the same one in all calls that it ends.
    pub(crate) info: Arc<HostInfo>,
}

impl Problem {
    pub(crate) fn new(error: Error, exception: Option<OwnedRooted<ExnRef>>) -> Arc<Problem> {
        let passed = error.downcast_ref::<Passed>().map(|passed| Arc::clone(&passed.0.info));
        Arc::new(Problem { error, exception, info: passed.unwrap_or_default() })
    }

    /// What ends a guest whose function of the host has given this.
    pub(crate) fn into_error(self: Arc<Problem>) -> Error {
        if let Some(exception) = &self.exception {
            return Error::from(exception.get());
        }
        if self.info.is_set() {
            return Error::from_host(Passed(self));
        }
        match Arc::try_unwrap(self) {
            Ok(problem) => problem.error,
            Err(shared) => Error::from_host(Passed(shared)),
        }
    }
}

/// The exception of an error, held for longer than the call it comes from.
fn exception_of(error: &Error, cx: StoreContextMut<'_, Data>) -> Option<OwnedRooted<ExnRef>> {
    match error.kind() {
        ErrorKind::Exception(exception) => exception.to_owned_rooted(cx).ok(),
        _ => None,
    }
}

/// An error that C has passed on and still holds.
struct Passed(Arc<Problem>);

impl fmt::Debug for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.error.fmt(f)
    }
}

impl std::error::Error for Passed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.error.chain().next()
    }
}

/// A trap for C, of an error that came up in `store`, if it was in one.
pub(crate) fn trap(problem: Arc<Problem>, store: Option<&StoreRef>) -> Own<Ref> {
    Own::new(Ref { store: store.cloned(), object: Object::Trap(problem) })
}

/// Works in a store. An error that comes up keeps its exception, if it is one.
pub(crate) fn enter<R>(
    store: &StoreRef,
    work: impl FnOnce(StoreContextMut<'_, Data>) -> Result<R>,
) -> std::result::Result<R, Arc<Problem>> {
    let mut exception = None;
    let done = caught(|| {
        store.enter(|mut cx| {
            let done = work(cx.as_context_mut());
            if let Err(error) = &done {
                exception = exception_of(error, cx);
            }
            done
        })
    });
    done.map_err(|error| Problem::new(error, exception))
}

/// `wasm_frame_t`.
#[derive(Clone)]
pub struct Frame {
    pub(crate) info: FrameInfo,
    /// The instance it is of, where that is known.
    instance: Option<Arc<Ref>>,
}

impl Frame {
    pub(crate) fn all(problem: &Problem, store: Option<&StoreRef>) -> Vec<Frame> {
        Frame::of(problem.error.backtrace(), store)
    }

    /// Those of the guest that has called the function of the host which runs in the store; none where none runs.
    pub(crate) fn captured(store: &StoreRef) -> Result<Vec<Frame>> {
        let backtrace = store.enter(|cx| Ok(Backtrace::capture(cx)))?;
        Ok(Frame::of(&backtrace, Some(store)))
    }

    fn of(backtrace: &Backtrace, store: Option<&StoreRef>) -> Vec<Frame> {
        let frames = backtrace.frames();
        frames.iter().map(|info| Frame { info: info.clone(), instance: instance(info, store) }).collect()
    }

    pub(crate) fn instance(&self) -> Lent<Ref> {
        self.instance.as_ref().map_or(Lent::null(), |instance| Lent::of(instance))
    }
}

/// The instance of a frame, where its store has only one of the frame's module.
fn instance(info: &FrameInfo, store: Option<&StoreRef>) -> Option<Arc<Ref>> {
    let store = store?;
    Some(Arc::new(Ref::item(store, Identity::Instance(store.instance_of(info)?))))
}
