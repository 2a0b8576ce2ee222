//! A body that a guest passes on as it came: it counts as written by the guest, as if it had read it and written it again.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use innkeeper_wasi::host::{self, Host};

use super::error_code::ErrorCode;
use crate::{Body, BodyError};

/// See the module.
pub(crate) struct Passed {
    body: Body,
    host: Host,
    /// Whether the guest has written as much as it may.
    is_over: bool,
}

impl Passed {
    pub(crate) fn new(body: Body, host: &Host) -> Passed {
        Passed { body, host: host.clone(), is_over: false }
    }

    /// As much of some bytes as the guest may still write.
    fn allowed(&mut self, mut bytes: Bytes) -> Result<Bytes, ErrorCode> {
        let all = |bytes: &[u8]| Poll::Ready(Ok::<_, ErrorCode>(bytes.len()));
        let Poll::Ready(allowed) = self.host.poll_within_allowance(&bytes, all) else { return Ok(bytes) };
        let count = allowed.map_err(|error| over_the_allowance(&error))??;
        self.is_over = count < bytes.len();
        bytes.truncate(count);
        Ok(bytes)
    }
}

/// That a guest has written as much as it may.
pub(crate) fn over_the_allowance(error: &host::Error) -> ErrorCode {
    ErrorCode::of_limit(format_args!("the guest may write no more ({error:?})"))
}

impl http_body::Body for Passed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.is_over {
            // Asked for once more, so that it is told as what was refused.
            let refused = self.allowed(Bytes::from_static(b"x")).err();
            self.is_over = true;
            return Poll::Ready(Some(Err(Box::new(refused.unwrap_or(ErrorCode::InternalError(None))))));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(task));
        let Some(Ok(frame)) = frame else { return Poll::Ready(frame) };
        Poll::Ready(Some(match frame.into_data() {
            Ok(bytes) => self.allowed(bytes).map(Frame::data).map_err(|code| Box::new(code) as BodyError),
            Err(other) => Ok(other),
        }))
    }

    fn is_end_stream(&self) -> bool {
        !self.is_over && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
