//! One request and its answer, by a connection that is taken until the answer's last byte.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use innkeeper_engine::Charge;
use innkeeper_wasi::host::RequestRoom;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::connect::Connection;
use super::pool::{Origin, Pool};
use crate::types::ErrorCode;
use crate::{Body, BodyError};

/// A connection that carries a request.
pub(super) struct Taken<'a> {
    pub(super) pool: &'a Arc<Pool>,
    pub(super) origin: &'a Origin,
    pub(super) connection: Connection,
    pub(super) room: RequestRoom,
    pub(super) charge: Option<Charge>,
}

/// What has become of a request.
pub(super) enum Outcome {
    Answered(http::Response<Body>),
    Failed(ErrorCode),
    /// Nothing of it was sent: it comes back, with what was charged for it.
    Unsent(http::Request<Body>, Option<Charge>),
}

/// The body of an answer, with the connection that it comes by.
struct AnswerBody {
    body: Incoming,
    held: Option<Held>,
}

/// What an answer holds until its last byte.
struct Held {
    pool: Arc<Pool>,
    origin: Origin,
    connection: Connection,
    /// Whoever reads may be outside of it.
    runtime: Handle,
    _room: RequestRoom,
    _charge: Option<Charge>,
}

impl Taken<'_> {
    /// Sends a request, and waits for the head of the answer.
    pub(super) async fn send(mut self, request: http::Request<Body>, first_byte: Duration) -> Outcome {
        let Ok(sent) = timeout(first_byte, self.connection.sender.try_send_request(request)).await else {
            return Outcome::Failed(ErrorCode::ConnectionReadTimeout);
        };
        match sent {
            Ok(response) => Outcome::Answered(response.map(|body| self.body(body))),
            Err(mut error) => match error.take_message() {
                Some(request) => Outcome::Unsent(request, self.charge),
                None => Outcome::Failed(ErrorCode::of_error(error.error())),
            },
        }
    }

    fn body(self, body: Incoming) -> Body {
        let held = Held {
            pool: Arc::clone(self.pool),
            origin: self.origin.clone(),
            connection: self.connection,
            runtime: Handle::current(),
            _room: self.room,
            _charge: self.charge,
        };
        let mut body = AnswerBody { body, held: Some(held) };
        if body.body.is_end_stream() {
            body.give_back();
        }
        Body::new(body)
    }
}

impl AnswerBody {
    /// All is read, so others can have the connection.
    fn give_back(&mut self) {
        if let Some(Held { pool, origin, connection, runtime, .. }) = self.held.take() {
            pool.give_back(origin, connection, &runtime);
        }
    }
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(task));
        match &frame {
            None => self.give_back(),
            Some(Ok(_)) if self.body.is_end_stream() => self.give_back(),
            Some(Ok(_)) => {}
            // It is closed.
            Some(Err(_)) => self.held = None,
        }
        Poll::Ready(
            frame.map(|frame| frame.map_err(|error| Box::new(ErrorCode::of_answer(&error)) as BodyError)),
        )
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
