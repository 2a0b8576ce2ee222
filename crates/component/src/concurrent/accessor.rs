//! Access to a store in steps, for futures that run beside its guests and have no part of it: what they want done there is handed over, and done between two polls by whoever has the store.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use innkeeper_engine::{AsContextMut, Error, StoreContextMut};

use super::host::{HostFuture, HostReturn};
use super::host_tasks::{add, drop_ends};
use crate::state::State;

/// Access to a store for a future that runs beside its guests, in steps.
pub struct Accessor<T: 'static> {
    steps: Arc<Steps<T>>,
}

impl<T> Clone for Accessor<T> {
    fn clone(&self) -> Self {
        Accessor { steps: Arc::clone(&self.steps) }
    }
}

impl<T> std::fmt::Debug for Accessor<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accessor").finish_non_exhaustive()
    }
}

/// What is to be done with the store.
type Step<T> = Box<dyn FnOnce(&mut StoreContextMut<'_, T>) + Send>;

/// Those that wait to be done, in order.
pub(super) struct Steps<T: 'static>(pub(super) Mutex<VecDeque<Step<T>>>);

/// What has come of a step, and who waits for it.
struct Answer<R>(Mutex<(Option<R>, Option<Waker>)>);

impl<T: 'static> Accessor<T> {
    pub(super) fn new(steps: Arc<Steps<T>>) -> Accessor<T> {
        Accessor { steps }
    }

    /// Access to a store, for as long as somebody lets its guests run: for functions of the host that begin something which goes on beside guests, and return.
    pub fn of(mut store: impl AsContextMut<Data = T>) -> Accessor<T> {
        let mut store = store.as_context_mut();
        Accessor { steps: store.attachment::<State>().concurrent.host.steps::<T>() }
    }

    /// Has a future run beside the store's guests that nobody waits for, as what goes on writing to a stream that was given away. Its error ends whoever lets the store's guests run then.
    pub fn spawn(&self, future: impl Future<Output = Result<(), Error>> + Send + 'static) {
        let future: HostFuture = Box::pin(async move {
            future.await?;
            let nothing: HostReturn = Box::new(|_, _, _| Ok(Vec::new()));
            Ok(nothing)
        });
        lock(&self.steps.0).push_back(Box::new(move |store| {
            let budget = store.budget().clone();
            let state = store.attachment::<State>();
            // Where the budget has no more, it is dropped, and what it was to do is not done.
            let waker = state.concurrent.host.waker();
            if let Ok(key) = add(state, (future, waker), (None, &Arc::default()), &budget) {
                state.concurrent.host.wake(key);
            }
        }));
    }

    /// Has something done with the store that nobody waits for, by whoever lets its guests run next.
    #[cfg(feature = "async")]
    pub(super) fn later(&self, act: impl FnOnce(&mut StoreContextMut<'_, T>) + Send + 'static) {
        lock(&self.steps.0).push_back(Box::new(act));
    }

    /// Does something with the store, as soon as whoever lets its guests run comes by; nothing of the guests' runs meanwhile.
    pub async fn with<R: Send + 'static>(
        &self,
        act: impl FnOnce(StoreContextMut<'_, T>) -> R + Send + 'static,
    ) -> R {
        let answer = Arc::new(Answer(Mutex::new((None, None))));
        let told = Arc::clone(&answer);
        lock(&self.steps.0).push_back(Box::new(move |store| {
            let result = act(store.as_context_mut());
            let waker = {
                let mut told = lock(&told.0);
                told.0 = Some(result);
                told.1.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        }));
        std::future::poll_fn(move |context| {
            let mut answer = lock(&answer.0);
            match answer.0.take() {
                Some(result) => Poll::Ready(result),
                None => {
                    answer.1 = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

pub(super) fn lock<V>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does what futures want done with the store; whether there was anything.
pub(super) fn run_steps<T: 'static>(store: &mut StoreContextMut<'_, T>) -> bool {
    let steps = store.attachment::<State>().concurrent.host.steps::<T>();
    let mut has_run = drop_ends(store.attachment());
    while let Some(step) = { lock(&steps.0).pop_front() } {
        step(store);
        has_run = true;
    }
    has_run
}
