//! One connection, from the first byte to the last: whoever drives it, and its deadlines.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep_until};

use super::activity::{Activity, Overdue};
use super::bound::Bound;
use super::exchange::Answering;
use super::metrics::Metrics;
use super::serving::Serving;
use super::transport::Transport;
use super::{Limits, Stop};

/// Bytes that are kept for one stream of HTTP/2 while its client takes none.
const SEND_BUFFER_BYTES: usize = 64 << 10;

/// Bytes of a body that one stream of HTTP/2 may have sent before somebody reads them, and all streams of a connection.
const STREAM_WINDOW_BYTES: u32 = 64 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 256 << 10;

/// The least that hyper takes as a buffer.
const LEAST_BUFFER_BYTES: usize = 8192;

/// The most that is read at once.
const MOST_READ_BYTES: usize = 512 << 10;

/// How long a connection that has had no request may wait for its first when the server is to end: its client may have sent one already.
pub(super) const FIRST_REQUEST_TIME: Duration = Duration::from_secs(1);

/// A connection that is being served. It ends when the client has closed it, when a deadline has passed, when its place is needed and when the server ends.
pub(super) struct Connection<S: Stream> {
    connection: Pin<Box<Driven<S>>>,
    /// What is said of heads that nobody could read.
    answering: Answering,
    activity: Arc<Activity>,
    limits: Limits,
    metrics: Arc<Metrics>,
    timer: Pin<Box<Sleep>>,
    stop: Stop,
    draining: Pin<Box<dyn Future<Output = ()> + Send>>,
    ended: Pin<Box<dyn Future<Output = ()> + Send>>,
    /// Since when it has been told to end with the requests that it has.
    is_closing: bool,
    /// When it is told so, where it waits for its first request though the server is to end.
    first_request_until: Option<Instant>,
}

type Driven<S> = auto::Connection<'static, TokioIo<Transport<S>>, Answering, TokioExecutor>;

/// A stream of bytes to a client.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for S {}

impl<S: Stream> Connection<S> {
    /// Begins to serve `stream`.
    pub(super) fn new(
        stream: S,
        activity: Arc<Activity>,
        answering: Answering,
        serving: &Serving,
    ) -> Connection<S> {
        let (limits, stop) = (&serving.limits, &serving.stop);
        let longest = usize::try_from(limits.max_header_bytes).unwrap_or(usize::MAX).max(LEAST_BUFFER_BYTES);
        // Whoever reads a head has said before that it is too long.
        let longest = longest.saturating_mul(2).saturating_add(MOST_READ_BYTES);
        let io = TokioIo::new(Transport::new(stream, Arc::clone(&activity), longest));
        let connection = protocol(limits).serve_connection(io, answering.clone()).into_owned();
        let (for_drain, for_end) = (stop.clone(), stop.clone());
        Connection {
            connection: Box::pin(connection),
            answering,
            activity,
            limits: limits.clone(),
            metrics: Arc::clone(&serving.metrics),
            timer: Box::pin(sleep_until(Instant::now() + limits.header_time)),
            stop: stop.clone(),
            draining: Box::pin(async move { for_drain.draining().await }),
            ended: Box::pin(async move { for_end.ended().await }),
            is_closing: false,
            first_request_until: None,
        }
    }

    /// Whether a deadline has passed for good.
    fn is_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            let (mut at, mut why) = self.activity.deadline(&self.limits);
            if let Some(until) = self.first_request_until.filter(|until| *until < at) {
                (at, why) = (until, Overdue::Idle);
            }
            // The timer is set forward only when it has rung: most requests are shorter than that.
            if at < self.timer.deadline() {
                self.timer.as_mut().reset(at);
            }
            if self.timer.as_mut().poll(cx).is_pending() {
                return false;
            }
            let now = Instant::now();
            if now < at {
                self.timer.as_mut().reset(at);
                continue;
            }
            match why {
                Overdue::Unknown if self.activity.look(&self.limits, now) => {
                    self.metrics.hit(Bound::BodyTime);
                    return true;
                }
                Overdue::Unknown => continue,
                Overdue::Head => {
                    self.metrics.hit(Bound::HeaderTime);
                    if self.activity.set_late() {
                        self.answering.late_head();
                    }
                    // It reads next, and so the client is told.
                    if self.connection.as_mut().poll(cx).is_ready() || !self.activity.is_lingering() {
                        return true;
                    }
                    continue;
                }
                Overdue::Lingering => return true,
                Overdue::Stuck => {
                    self.metrics.hit(Bound::BodyTime);
                    return true;
                }
                Overdue::Idle if self.is_closing => return true,
                Overdue::Idle => {}
            }
            self.is_closing = true;
            self.connection.as_mut().graceful_shutdown();
            // Whatever is left to say is said by then.
            if self.connection.as_mut().poll(cx).is_ready() {
                return true;
            }
            self.timer.as_mut().reset(now + self.limits.header_time);
            return self.timer.as_mut().poll(cx).is_ready();
        }
    }
}

impl<S: Stream> Future for Connection<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.ended.as_mut().poll(cx).is_ready() || this.activity.is_evicted(cx.waker()) {
            return Poll::Ready(());
        }
        // What has come is looked at before the connection is told to end: it can be a request.
        if let Poll::Ready(outcome) = this.connection.as_mut().poll(cx) {
            if let Err(error) = outcome {
                log::debug!("connection ended: {error}");
                if let Some(error) = error.downcast_ref::<hyper::Error>() {
                    this.answering.unread_head(error);
                }
            }
            return Poll::Ready(());
        }
        if !this.is_closing && this.stop.is_draining() && this.activity.is_fresh() {
            this.first_request_until.get_or_insert_with(|| Instant::now() + FIRST_REQUEST_TIME);
        } else if !this.is_closing && this.stop.is_draining() {
            this.first_request_until = None;
            this.is_closing = true;
            this.connection.as_mut().graceful_shutdown();
            if this.connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
        } else if !this.is_closing {
            // It wakes this future when it is time.
            let _ = this.draining.as_mut().poll(cx);
        }
        match this.is_overdue(cx) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }
}

/// HTTP/1.1 and HTTP/2 as these limits have them. The deadline of heads is not hyper's, which begins with the last request's end.
fn protocol(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    let header_bytes = usize::try_from(limits.max_header_bytes).unwrap_or(usize::MAX);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_buf_size(header_bytes.max(LEAST_BUFFER_BYTES))
        .max_headers(limits.max_headers);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.max_streams)
        .max_pending_accept_reset_streams(limits.max_reset_streams)
        .max_local_error_reset_streams(limits.max_reset_streams)
        .max_header_list_size(limits.max_header_bytes)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .keep_alive_interval(limits.ping_time)
        .keep_alive_timeout(limits.ping_time);
    builder
}
