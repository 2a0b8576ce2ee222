//! What interfaces that are bound elsewhere have a guest wait for, read and write: events and streams that are no handles of the system's, such as bodies of HTTP.
//!
//! Who waits is woken by a waker, also where the call holds its thread. Nothing here buffers: how much is held for a guest is decided, bounded and charged by whoever implements a stream.

use std::fmt::Debug;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Something that a guest can wait for.
pub trait Event: Debug + Send + Sync + 'static {
    /// Ready once it has happened; else whoever polls is woken when it may have.
    fn poll_ready(&self, task: &mut Context<'_>) -> Poll<()>;
}

/// What a custom stream has failed with: the guest sees it as a `wasi:io/error`.
pub type StreamFault = Arc<dyn std::error::Error + Send + Sync>;

/// Why a stream is over.
#[derive(Clone, Debug)]
pub enum StreamEnd {
    /// It is at its end, or nobody reads what is written.
    Closed,
    /// It has failed. After that it is closed.
    Failed(StreamFault),
}

/// What a guest reads. As an event it happens when a read would not wait.
pub trait Source: Event {
    /// Reads at least one byte and at most as many as there is room for, which is never none. Who waits is woken when there is something to read.
    fn poll_read(&self, task: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize, StreamEnd>>;
}

/// What a guest writes to. As an event it happens when there is room, or never will be.
pub trait Sink: Event {
    /// How many bytes a write would take now: at least one. Who waits is woken when there is room.
    fn poll_room(&self, task: &mut Context<'_>) -> Poll<Result<u64, StreamEnd>>;

    /// Takes at least one of the bytes, which are never none. Who waits is woken when there is room.
    fn poll_write(&self, task: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, StreamEnd>>;
}
