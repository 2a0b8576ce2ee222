//! A component as whoever answers requests, of the world `wasi:http/proxy` of WASI 0.2 or `wasi:http/service` of WASI 0.3: an instance for each request.
//!
//! The guest is polled by who waits for its answer until that is there. What is left of it then, most often nothing, is a task of its own, which ends where nobody reads the body any more.
//!
//! Must stay true: no request finds anything of another's; a guest that traps before its answer has begun to be sent is no answer; one that nobody waits for is ended.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use http::uri;
use innkeeper_component::InstancePre;
use innkeeper_engine::{Error, ErrorKind, Store, Trap};
use innkeeper_wasi::exit_code;
use innkeeper_wasi::host::{Host, OpenKeys};
use innkeeper_wasi::p2::Context;

use crate::body::holding;
use crate::p2::INCOMING_HANDLER;
use crate::p3::HANDLER;
use crate::server::{Account, InstanceUse};
use crate::types::{Answer, Content, ErrorCode, Given, Head, Sent};
use crate::{Arrival, Body, Failure, Handler, Place, Response, Words, empty, p2, p3};

/// How long, and in which turns, a guest runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyTimes {
    /// How much processor time a request may take; none: as much as there is before its deadline.
    pub processor_time: Option<Duration>,
    /// After how long a guest that computes lets others have their turn on its thread.
    pub slice: Duration,
}

impl Default for ProxyTimes {
    fn default() -> ProxyTimes {
        ProxyTimes { processor_time: None, slice: Duration::from_millis(5) }
    }
}

/// Answers requests by a component.
pub struct Proxy {
    pre: InstancePre<Context>,
    handle: Handle,
    keys: OpenKeys,
    /// For the log.
    name: String,
    times: ProxyTimes,
    words: Words,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("name", &self.name).field("times", &self.times).finish_non_exhaustive()
    }
}

/// The function that is called.
#[derive(Clone, Debug)]
struct Handle {
    /// By its whole name.
    name: Arc<str>,
    version: Version,
}

/// Of WASI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    P2,
    P3,
}

/// A guest that is at work on a request.
type Guest = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

impl Proxy {
    /// A component whose imports were found, as [`p2::add_to_linker`] or [`p3::add_to_linker`] and those of `innkeeper_wasi` define them. Each of its guests has `keys`; in the log it
    /// is called `name`. Where it exports the handlers of both versions, that of WASI 0.3 is called.
    ///
    /// # Errors
    /// Where the component exports neither `wasi:http/handler` of WASI 0.3 nor `wasi:http/incoming-handler` of WASI 0.2.
    pub fn new(
        pre: InstancePre<Context>,
        keys: OpenKeys,
        name: String,
        times: ProxyTimes,
    ) -> Result<Proxy, Error> {
        let exported = pre.component().exported_funcs();
        let find = |version| {
            let mut names = exported.iter().map(|(name, _)| name);
            let name = names.find(|name| version_of(name) == Some(version))?;
            Some(Handle { name: name.as_str().into(), version })
        };
        let Some(handle) = find(Version::P3).or_else(|| find(Version::P2)) else {
            return Err(Error::new(ErrorKind::Link(format!(
                "the component exports no `{HANDLER}` of WASI 0.3 and no `{INCOMING_HANDLER}` of WASI 0.2, so it answers no requests"
            ))));
        };
        let words: Words = Arc::new(ToString::to_string);
        Ok(Proxy { pre, handle, keys, name, times, words })
    }

    /// Has what its guests are denied told in these words.
    #[must_use]
    pub fn with_words(self, words: Words) -> Proxy {
        Proxy { words, ..self }
    }

    /// A guest for a request, which has not begun.
    fn guest(
        &self,
        request: http::Request<Body>,
        arrival: &Arrival,
        (answer, account): (&Arc<Answer>, &Account),
    ) -> Result<Guest, Failure> {
        let exhausted = |reason: &dyn std::fmt::Display| Failure::Exhausted(reason.to_string());
        let context = Context::with_open_keys(&self.keys).map_err(|error| exhausted(&error))?;
        let budget = context.host().budget().clone();
        let told = Telling {
            host: context.host().clone(),
            account: account.clone(),
            words: Arc::clone(&self.words),
        };
        // For as long as it runs, and that can be longer than its answer takes, there is one guest less to come.
        let place = request.extensions().get::<Place>().cloned();
        let engine = self.pre.component().engine();
        budget.restrict_as_engine(engine);
        let mut store = Store::with_budget(engine, context, &budget).map_err(|error| exhausted(&error))?;
        let left = arrival.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        store.set_deadline(left).map_err(|error| exhausted(&error))?;
        let processor_time = self.times.processor_time;
        store.set_processor_time(processor_time);
        let counter = store.processor_time_counter();
        store.yield_every(Some(self.times.slice));
        let scheme = if arrival.secure { uri::Scheme::HTTPS } else { uri::Scheme::HTTP };
        let (pre, handle, answer) = (self.pre.clone(), self.handle.clone(), Arc::clone(answer));
        let request = ((request, scheme), arrival.deadline);
        Ok(Box::pin(async move {
            let called = call(&mut store, (&pre, &handle), request, (&answer, &told.account));
            let result = counter.count(called).await.unwrap_or_else(|error| Err(not_started(error)));
            let used_up = processor_time.filter(|_| store.processor_time_left() == Some(Duration::ZERO));
            let result = result.map_err(|failure| failure.by_processor_time(used_up));
            if let Err(failure) = &result {
                // Before its handles are closed, which is as good as dropping what it had not finished.
                answer.fail_body(ErrorCode::InternalError(Some(failure.to_string())));
            }
            store.data_mut().close_handles();
            if let (Some(limit), Some(left)) = (processor_time, store.processor_time_left()) {
                told.account.used(limit.saturating_sub(left));
            }
            drop((store, told, place));
            result
        }))
    }
}

/// Of which version a function of this name, with its interface, answers requests; none where it does not.
fn version_of(name: &str) -> Option<Version> {
    let interface = name.strip_suffix("#handle")?;
    let is_of = |handler, version| {
        interface.strip_prefix(handler).is_some_and(|rest: &str| rest.starts_with(version))
    };
    if is_of(HANDLER, "@0.3.") {
        return Some(Version::P3);
    }
    is_of(INCOMING_HANDLER, "@0.2.").then_some(Version::P2)
}

/// Tells what a guest was denied, however it ends.
struct Telling {
    host: Host,
    account: Account,
    words: Words,
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.account.held(self.host.budget().peak_bytes());
        self.account.explained(&self.host.explain(), &*self.words);
    }
}

/// Instantiates the component and calls it.
async fn call(
    store: &mut Store<Context>,
    (pre, handle): (&InstancePre<Context>, &Handle),
    (request, deadline): ((http::Request<Body>, uri::Scheme), Option<Instant>),
    (answer, account): (&Arc<Answer>, &Account),
) -> Result<(), Failure> {
    let instance = pre.instantiate_async(&mut *store).await.map_err(not_started)?;
    let of = (instance, &*handle.name);
    let result = match handle.version {
        Version::P2 => p2::call(store, of, request, answer).await,
        Version::P3 => until(deadline, p3::call(store, of, request, answer)).await?,
    };
    match result {
        // A guest that ends itself has ended.
        Err(error) if exit_code(&error).is_none() => {
            if let Some(trap) = error.trap() {
                account.trapped(&trap.to_string());
            }
            Err(failure(&error))
        }
        _ => Ok(()),
    }
}

impl Handler for Proxy {
    fn handle<'a>(
        &'a self,
        request: http::Request<Body>,
        arrival: Arrival,
    ) -> Pin<Box<dyn Future<Output = Result<Response, Failure>> + Send + 'a>> {
        let answer = Arc::new(Answer::to(request.method()));
        let account = request.extensions().get::<Account>().cloned().unwrap_or_default();
        account.handled_by(&self.name, Some(InstanceUse::New));
        let guest = self.guest(request, &arrival, (&answer, &account));
        Box::pin(async move {
            let mut guest = guest?;
            let ended = poll_fn(|task| match guest.as_mut().poll(task) {
                Poll::Ready(result) => Poll::Ready(Some(result)),
                Poll::Pending if answer.is_there() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            })
            .await;
            let goes_on = match ended {
                Some(result) => {
                    result?;
                    None
                }
                None => Some(guest),
            };
            respond(answer.take(), goes_on.map(|guest| (guest, account)))
        })
    }
}

/// The response that a guest has given, which may go on.
fn respond(given: Option<Given>, goes_on: Option<(Guest, Account)>) -> Result<Response, Failure> {
    let (Head { status, headers }, content) = match given {
        Some(Given::Response(head, content)) => (head, content),
        Some(Given::Failed(code)) => {
            return Err(Failure::Guest(format!("the guest has answered by an error: {code}")));
        }
        Some(Given::Dropped) | None => {
            return Err(Failure::Guest(String::from(
                "the guest has dropped the response without giving one",
            )));
        }
    };
    if goes_on.is_none()
        && let Content::Pipe(pipe) = &content
        && let Some(code) = pipe.failure()
    {
        return Err(Failure::Guest(format!("the guest has not finished the body of its response: {code}")));
    }
    let worker = goes_on.map(|(guest, account)| {
        let rest = tokio::spawn(async move {
            // What happens after the answer's last byte finds the request's line written.
            if let Err(failure) = guest.await
                && !account.note(&failure.to_string())
            {
                log::error!("a guest failed after its answer: {failure}");
            }
        });
        rest.abort_handle()
    });
    let (headers, charge) = headers.into_parts();
    let body = match content {
        Content::Pipe(pipe) => holding(Sent::new(pipe, worker), charge),
        Content::Passed(body) => holding(body, charge),
        Content::Nothing => holding(empty(), charge),
    };
    let mut response = http::Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// Lets a guest go on until its time is over, whatever it waits for.
async fn until<R>(deadline: Option<Instant>, guest: impl Future<Output = R>) -> Result<R, Failure> {
    let Some(deadline) = deadline else { return Ok(guest.await) };
    // Most often the store has ended it by then: this is for what waits for nothing that the store knows.
    let last = tokio::time::Instant::from_std(deadline + LAST_TURN);
    let ended = tokio::time::timeout_at(last, guest).await;
    ended.map_err(|_| Failure::Deadline(String::from("the guest has waited until its time was over")))
}

/// How long after its deadline a guest that waits is still there.
const LAST_TURN: Duration = Duration::from_millis(100);

/// Why a guest was not there at all.
fn not_started(error: Error) -> Failure {
    match error.kind() {
        ErrorKind::Limit(_) | ErrorKind::Os(_) => Failure::Exhausted(error.to_string()),
        _ => failure(&error),
    }
}

fn failure(error: &Error) -> Failure {
    match error.trap() {
        Some(Trap::DeadlineExceeded) => Failure::Deadline(error.to_string()),
        _ => Failure::Guest(error.to_string()),
    }
}
