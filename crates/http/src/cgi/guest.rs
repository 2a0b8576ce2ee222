//! The run of a program for one request.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Polling, Poll, ready};
use std::time::{Duration, Instant};

use innkeeper_engine::{Error, InstancePre, Store, Trap};
use innkeeper_wasi::exit_code;
use innkeeper_wasi::host::{Handles, Host};
use innkeeper_wasi::p1::Context;
use tokio::task::{AbortHandle, JoinHandle};

use super::CgiLimits;
use crate::server::Account;
use crate::{Failure, Words};

/// What a program begins in.
pub(super) const START: &str = "_start";

/// How long a program computes before others have their turn on the thread.
const TURN: Duration = Duration::from_millis(1);

/// A task that ends when this is dropped.
pub(super) struct Task<T>(JoinHandle<T>);

/// A program that runs until this is dropped.
pub(super) struct Guest(Task<Result<(), Failure>>);

/// What ends a program.
pub(super) struct Stopper(AbortHandle);

impl<T: Send + 'static> Task<T> {
    pub(super) fn spawn(future: impl Future<Output = T> + Send + 'static) -> Task<T> {
        Task(tokio::spawn(future))
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Stopper {
    pub(super) fn stop(&self) {
        self.0.abort();
    }
}

impl Guest {
    /// Starts a program that has opened its keys.
    pub(super) fn start(
        pre: &InstancePre<Context>,
        (host, handles): (Host, Handles),
        (limits, deadline): (&CgiLimits, Option<Instant>),
        (account, words): (Account, &Words),
    ) -> Guest {
        let (pre, processor_time, words) = (pre.clone(), limits.processor_time, Arc::clone(words));
        Guest(Task::spawn(async move {
            let context = Context::from_parts(host, handles);
            let _told = Telling { context: context.clone(), account: account.clone(), words };
            let mut store = store(&pre, context, (processor_time, deadline))
                .map_err(|error| Failure::Exhausted(error.to_string()))?;
            let outcome = run(&pre, &mut store).await;
            if let (Some(limit), Some(left)) = (processor_time, store.processor_time_left()) {
                account.used(limit.saturating_sub(left));
            }
            if let Some(trap) = outcome.as_ref().err().and_then(Error::trap) {
                account.trapped(&trap.to_string());
            }
            outcome.or_else(|error| match exit_code(&error) {
                Some(0) => Ok(()),
                Some(code) => Err(Failure::Guest(format!("the program exited with {code}"))),
                None if error.trap() == Some(Trap::DeadlineExceeded) => {
                    let used_up =
                        processor_time.filter(|_| store.processor_time_left() == Some(Duration::ZERO));
                    Err(Failure::Deadline(error.to_string()).by_processor_time(used_up))
                }
                None => Err(Failure::Guest(error.to_string())),
            })
        }))
    }

    pub(super) fn stopper(&self) -> Stopper {
        Stopper(self.0.0.abort_handle())
    }

    /// How the program has ended, once it has.
    pub(super) fn poll_end(&mut self, cx: &mut Polling<'_>) -> Poll<Result<(), Failure>> {
        let outcome = ready!(Pin::new(&mut self.0.0).poll(cx));
        Poll::Ready(outcome.unwrap_or_else(|error| {
            let how = if error.is_panic() { "the host panicked" } else { "the program was ended" };
            Err(Failure::Guest(how.to_owned()))
        }))
    }
}

fn store(
    pre: &InstancePre<Context>,
    context: Context,
    (processor_time, deadline): (Option<Duration>, Option<Instant>),
) -> Result<Store<Context>, Error> {
    let budget = context.host().budget().clone();
    budget.restrict_as_engine(pre.module().engine());
    let mut store = Store::with_budget(pre.module().engine(), context, &budget)?;
    store.set_processor_time(processor_time);
    if let Some(deadline) = deadline {
        store.set_deadline(Some(deadline.saturating_duration_since(Instant::now())))?;
    }
    store.yield_every(Some(TURN));
    Ok(store)
}

async fn run(pre: &InstancePre<Context>, store: &mut Store<Context>) -> Result<(), Error> {
    let instance = pre.instantiate_async(&mut *store).await?;
    instance.get_typed_func::<(), ()>(&*store, START)?.call_async(store, ()).await
}

/// Tells what a program was denied, however it ends.
struct Telling {
    context: Context,
    account: Account,
    words: Words,
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.context.close_descriptors();
        self.account.held(self.context.host().budget().peak_bytes());
        self.account.explained(&self.context.host().explain(), &*self.words);
    }
}
