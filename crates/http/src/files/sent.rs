//! A file's bytes on their way to a client, read as they are taken.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::task::JoinHandle;

use crate::BodyError;

/// Bytes that are read at once.
const READ_BYTES: u64 = 64 << 10;

/// A part of a file. It is read on threads that may wait for a disk.
pub(super) struct Sent {
    file: Arc<File>,
    at: u64,
    end: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl Sent {
    pub(super) fn new(file: File, begin: u64, end: u64) -> Sent {
        Sent { file: Arc::new(file), at: begin, end, reading: None }
    }
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if this.at >= this.end {
            return Poll::Ready(None);
        }
        let (at, count) = (this.at, (this.end - this.at).min(READ_BYTES));
        let file = &this.file;
        let reading = this.reading.get_or_insert_with(|| {
            let file = Arc::clone(file);
            tokio::task::spawn_blocking(move || read(&file, at, count))
        });
        let outcome = ready!(Pin::new(reading).poll(cx));
        this.reading = None;
        Poll::Ready(Some(match outcome.map_err(io::Error::other).flatten() {
            Ok(bytes) if bytes.is_empty() => Err("the file has become shorter".into()),
            Ok(bytes) => {
                this.at += bytes.len() as u64;
                Ok(Frame::data(bytes))
            }
            Err(error) => Err(error.into()),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.at >= self.end
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end - self.at)
    }
}

fn read(file: &File, at: u64, count: u64) -> io::Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(count).unwrap_or(0)];
    let count = file.read_at(&mut bytes, at)?;
    bytes.truncate(count);
    Ok(bytes.into())
}
