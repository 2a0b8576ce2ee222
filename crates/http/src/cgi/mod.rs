//! Programs of WASI 0.1 that answer requests as the Common Gateway Interface describes: the request is in variables of their environment and on standard input, the answer is what they print.
//!
//! Each request has an instance of its own, which is gone when the answer has been sent. The program runs as `inn run` would run it, with the same keys besides its standard streams.
//!
//! What must stay true: a request gives the program nothing but variables and input; bodies go through pipes, so that neither side is ahead of the other by more than these hold; a program that
//! has not ended well is never taken for one that has.
//!
//! Specification: RFC 3875, but for its local redirects, of which the client is told like of others.

mod environment;
mod guest;
mod output;

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use innkeeper_engine::{Error, InstancePre, Linker, Module};
use innkeeper_wasi::host::{OpenKeys, OwnKeys};
use innkeeper_wasi::keys::{StdinKey, StdoutKey};
use innkeeper_wasi::p1::threads::uses_threads;
use innkeeper_wasi::p1::{Context, add_to_linker};
use tokio::io::AsyncWriteExt as _;
use tokio::net::unix::pipe;

use crate::server::{Account, InstanceUse};
use crate::{Arrival, Body, Failure, Handler, Response, Words};
use guest::{Guest, Task};
use output::Output;

/// A program that answers requests.
pub struct Cgi {
    pre: InstancePre<Context>,
    keys: OpenKeys,
    /// For the log.
    name: String,
    limits: CgiLimits,
    words: Words,
}

/// Bounds on one run of the program, beside those among its keys.
#[derive(Clone, Debug)]
pub struct CgiLimits {
    /// Bytes of the answer's head.
    pub max_header_bytes: usize,
    /// Processor time; none: as much as it likes until the request's deadline.
    pub processor_time: Option<Duration>,
}

impl Default for CgiLimits {
    fn default() -> CgiLimits {
        CgiLimits { max_header_bytes: 16 << 10, processor_time: Some(Duration::from_secs(10)) }
    }
}

impl Cgi {
    /// One that runs `module` with `keys`, of which standard input and output are those of a request.
    ///
    /// # Errors
    /// An import that WASI does not have; a module that starts threads, or has no `_start`.
    pub fn new(module: &Module, keys: OpenKeys, name: String, limits: CgiLimits) -> Result<Cgi, Error> {
        if uses_threads(module) {
            return Err(Error::msg("it may start threads, which nobody could end with the request"));
        }
        if module.exports().all(|export| export.name != guest::START) {
            return Err(Error::msg(format!("it exports no `{}`, so it is no program", guest::START)));
        }
        let mut linker = Linker::new(module.engine());
        add_to_linker(&mut linker, |context: &mut Context| context)?;
        let pre = linker.instantiate_pre(module)?;
        let words: Words = Arc::new(ToString::to_string);
        Ok(Cgi { pre, keys, name, limits, words })
    }

    /// Has what its programs are denied told in these words.
    #[must_use]
    pub fn with_words(self, words: Words) -> Cgi {
        Cgi { words, ..self }
    }

    async fn answer(&self, request: Request<Body>, arrival: Arrival) -> Result<Response, Failure> {
        let account = request.extensions().get::<Account>().cloned().unwrap_or_default();
        account.handled_by(&self.name, Some(InstanceUse::New));
        let (head, body) = request.into_parts();
        let length = body.size_hint().exact();
        let Some(variables) = environment::variables(&head, &arrival, length) else {
            return Ok(output::bad_request());
        };
        let (stdout, output) = std::io::pipe().map_err(|error| no_room(&error))?;
        let (stdin, input) = match body.is_end_stream() {
            true => (StdinKey::Empty, None),
            false => {
                let (stdin, input) = std::io::pipe().map_err(|error| no_room(&error))?;
                (StdinKey::Opened(Arc::new(OwnedFd::from(stdin))), Some(input))
            }
        };
        let stdout_key = StdoutKey::Opened(Arc::new(OwnedFd::from(output)));
        let own = OwnKeys { variables, stdin, stdout: stdout_key };
        let opened = self.keys.host_with(own).map_err(|error| Failure::Guest(error.to_string()))?;
        let guest = Guest::start(&self.pre, opened, (&self.limits, arrival.deadline), (account, &self.words));
        let feeding = match input {
            Some(input) => {
                let to = pipe::Sender::from_owned_fd(input.into()).map_err(|error| no_room(&error))?;
                Some(Task::spawn(feed(body, to, guest.stopper())))
            }
            None => None,
        };
        let stdout = pipe::Receiver::from_owned_fd(stdout.into()).map_err(|error| no_room(&error))?;
        Output::new(stdout, guest, feeding).response(self.limits.max_header_bytes).await
    }
}

impl Handler for Cgi {
    fn handle<'a>(
        &'a self,
        request: Request<Body>,
        arrival: Arrival,
    ) -> Pin<Box<dyn Future<Output = Result<Response, Failure>> + Send + 'a>> {
        Box::pin(self.answer(request, arrival))
    }
}

/// Gives a request's body to a program. One that is not there as a whole must not look as if it were: the program is ended first.
async fn feed(mut body: Body, mut to: pipe::Sender, guest: guest::Stopper) {
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            guest.stop();
            // What it is still doing must not find the pipe at its end.
            return std::future::pending().await;
        };
        if let Ok(data) = frame.into_data()
            && to.write_all(&data).await.is_err()
        {
            // The program reads no further, which is its own affair.
            return;
        }
    }
}

/// There are no descriptors left.
fn no_room(error: &io::Error) -> Failure {
    Failure::Exhausted(error.to_string())
}
