//! What stands between the server and those who answer.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use innkeeper_wasi::host::Explanation;

use crate::Body;
use crate::server::bound::processor_time_is_used;

/// A response whose body is made as it is sent.
pub type Response = http::Response<Body>;

/// What the server knows of a request besides the request itself.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Who sent it, where it came over the network.
    pub peer: Option<SocketAddr>,
    /// Where it was accepted, where that is an address.
    pub local: Option<SocketAddr>,
    /// Whether it came over TLS.
    pub secure: bool,
    /// When its answer must have been given as a whole. The handler ends the guest by it; the server ends the connection.
    pub deadline: Option<Instant>,
}

/// The place among the requests that are handled, which one takes, among its extensions; clones are the same. Whatever still works for a request after its answer's last byte keeps one, so that
/// there are never more guests than requests may be handled.
#[derive(Clone)]
pub struct Place(#[expect(dead_code, reason = "it is there to be dropped")] Arc<dyn Any + Send + Sync>);

impl Place {
    /// One that is held by `held` until the last clone is dropped.
    pub(crate) fn new(held: impl Any + Send + Sync) -> Place {
        Place(Arc::new(held))
    }
}

/// How what a guest was denied is told: by whoever grants keys, who knows how they are granted.
pub type Words = Arc<dyn Fn(&Explanation) -> String + Send + Sync>;

/// Why there is no response. The client gets a status and nothing else; the sentence is for the log.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// The guest trapped, or ended without a response: 500.
    Guest(String),
    /// The request's time was over before the guest had answered: 504.
    Deadline(String),
    /// The guest has used up its processor time, which was as much as this: 504.
    ProcessorTime(Duration),
    /// There is no room for another guest: 503.
    Exhausted(String),
}

impl Failure {
    /// Of the two times that end a guest, the one that has: where it has used up its processor time, that.
    pub(crate) fn by_processor_time(self, used_up: Option<Duration>) -> Failure {
        match (self, used_up) {
            (Failure::Deadline(_), Some(limit)) => Failure::ProcessorTime(limit),
            (failure, _) => failure,
        }
    }
}

/// For the log.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Guest(reason) | Failure::Deadline(reason) | Failure::Exhausted(reason) => {
                f.write_str(reason)
            }
            Failure::ProcessorTime(limit) => f.write_str(&processor_time_is_used(*limit)),
        }
    }
}

/// Answers requests: a component, a program of WASI 0.1, a directory of files.
///
/// The future is dropped when the client goes away or the deadline strikes: whatever works for it must then end.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request.
    ///
    /// # Errors
    ///
    /// Where there is no response. After a response was given, its body tells by an error that it is cut short.
    fn handle<'a>(
        &'a self,
        request: http::Request<Body>,
        arrival: Arrival,
    ) -> Pin<Box<dyn Future<Output = Result<Response, Failure>> + Send + 'a>>;
}
