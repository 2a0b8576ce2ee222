//! The server: connections, requests, and their bounds in number, size and time.
//!
//! A connection is accepted where there is room for it ([`Limits::max_connections`]), driven by `connection` until a deadline of `activity` has passed, and each of its requests goes through
//! `exchange`: it is refused, or admitted (`admission`) and handed to the [`Handler`](crate::Handler).
//!
//! What must stay true: nothing that a client does is unbounded, in number, size or time; a client that waits or sends slowly keeps nobody else from being served; whatever works for a request ends
//! when its client goes away; a handler's panic is that request's trouble alone.

mod access_log;
mod account;
mod activity;
mod admin;
mod admission;
mod answer;
pub(crate) mod bound;
mod connection;
mod connections;
mod events;
mod exchange;
mod flow;
mod framing;
mod handover;
mod json;
mod limits;
mod listener;
mod metrics;
mod notify;
mod pieces;
mod request_body;
mod serving;
mod stop;
mod tls;
mod trace_context;
mod transport;
mod when;

use std::future::{Future as _, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::server::TlsStream;

pub use access_log::{AccessLog, LogFormat};
pub use account::{Account, InstanceUse};
pub use handover::{Inherited, Offer};
pub use limits::Limits;
pub use listener::{Address, Listener, SocketPlace};
pub use notify::notify;
pub use stop::Stop;
pub use tls::{Tls, TlsError};

use crate::Handler;
use activity::Activity;
use admission::Admission;
use bound::Bound;
use connection::{Connection, FIRST_REQUEST_TIME, Stream};
use connections::Connections;
use events::Events;
use exchange::Answering;
use listener::Accepted;
use metrics::Metrics;
use serving::Serving;

/// How long nobody is accepted after the system had no room for a connection.
const PAUSE: Duration = Duration::from_millis(20);

/// How long nobody is told of that once more.
const WARNING_TIME: Duration = Duration::from_secs(60);

/// A server of one handler.
pub struct Server(Arc<Serving>);

/// How a server has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// All requests that it had were answered.
    Whole,
    /// Some had not been answered when their time was over, or were not waited for.
    Cut,
}

impl Server {
    /// A server that answers by `handler` until `stop` is used.
    pub fn new(handler: Arc<dyn Handler>, limits: Limits, log: AccessLog, stop: Stop) -> Server {
        let limits = limits.with_times_that_end();
        let metrics = Arc::new(Metrics::new());
        Server(Arc::new(Serving {
            handler,
            log,
            admission: Admission::new(&limits, &metrics),
            connections: Arc::new(Connections::new(metrics.connections.clone())),
            stop,
            events: Events::default(),
            limits,
            metrics,
        }))
    }

    /// Has whoever looks after the server told at this listener how it does, from now until all is over: `/healthz`, `/readyz`, `/metrics`, and a page. Belongs to the executor that it is called in. Whoever ends the task and waits for it finds a
    /// socket of the file system removed.
    pub fn tell_at(&self, listener: Listener) -> JoinHandle<()> {
        tokio::spawn(admin::serve(Arc::clone(&self.0), listener))
    }

    /// Serves connections of these listeners until it is told to stop, and then until the requests that it has are answered, or their time is over.
    pub async fn serve(&self, listeners: Vec<Listener>) -> Drained {
        let serving = &self.0;
        // Whoever holds a sender is still at work.
        let (working, mut all_done) = mpsc::channel::<()>(1);
        for listener in listeners {
            let (serving, working) = (Arc::clone(serving), working.clone());
            tokio::spawn(async move {
                accept_all(&serving, &listener, &working).await;
                // A socket of the file system is removed before nothing is at work any more, and the process ends.
                drop(listener);
                drop(working);
            });
        }
        drop(working);
        serving.stop.draining().await;
        let drained = tokio::select! {
            done = timeout(serving.limits.drain_time, all_done.recv()) => done.is_ok(),
            () = serving.stop.ended() => false,
        };
        serving.stop.end();
        // Whatever is dropped now writes its line.
        let _ = timeout(LAST_WORDS, all_done.recv()).await;
        serving.log.finish();
        if drained { Drained::Whole } else { Drained::Cut }
    }
}

/// How long connections that were ended may take to go.
const LAST_WORDS: Duration = Duration::from_secs(1);

async fn accept_all(serving: &Arc<Serving>, listener: &Listener, working: &mpsc::Sender<()>) {
    let (local, tls) = (listener.address(), listener.tls().cloned());
    let mut warned = None;
    loop {
        let accepted = tokio::select! {
            biased;
            () = serving.stop.draining() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => begin(serving, accepted, (local, tls.clone()), working),
            // The connection's own trouble.
            Err(error) if is_of_connection(&error) => {}
            Err(error) => {
                let now = Instant::now();
                if warned.is_none_or(|last| now.duration_since(last) >= WARNING_TIME) {
                    log::warn!("no connection can be accepted: {error}");
                    warned = Some(now);
                }
                serving.connections.evict_one();
                sleep(PAUSE).await;
            }
        }
    }
    // Those that have come by now, which would be reset with the socket's end.
    for _ in 0..MOST_QUEUED {
        let mut accept = pin!(listener.accept());
        match poll_fn(|cx| Poll::Ready(accept.as_mut().poll(cx))).await {
            Poll::Ready(Ok(accepted)) => begin(serving, accepted, (local, tls.clone()), working),
            Poll::Ready(Err(error)) if is_of_connection(&error) => {}
            Poll::Ready(Err(_)) | Poll::Pending => return,
        }
    }
}

/// As many as the system queues.
const MOST_QUEUED: usize = 1024;

fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Makes room for a connection, and has it served.
fn begin(
    serving: &Arc<Serving>,
    accepted: Accepted,
    (local, tls): (Option<SocketAddr>, Option<Tls>),
    working: &mpsc::Sender<()>,
) {
    let peer = match &accepted {
        Accepted::Tcp(_, peer) => Some(*peer),
        Accepted::Unix(_) => None,
    };
    let activity = Activity::new();
    let place = serving.connections.enter(peer.map(|peer| peer.ip()), &activity, &serving.limits);
    let Some(place) = place else {
        serving.metrics.hit(Bound::Connections);
        log::debug!("a connection is closed: there are as many as there may be");
        return;
    };
    serving.metrics.accepted();
    if place.is_anothers {
        serving.metrics.hit(Bound::Connections);
    }
    let (serving, working) = (Arc::clone(serving), working.clone());
    tokio::spawn(async move {
        let answering = Answering::new(&serving, &activity, (peer, local), tls.is_some());
        match (accepted, tls) {
            (Accepted::Tcp(stream, _), None) => connection(&serving, stream, activity, answering).await,
            (Accepted::Unix(stream), _) => connection(&serving, stream, activity, answering).await,
            (Accepted::Tcp(stream, _), Some(tls)) => {
                if let Some(stream) = encrypted(&serving, stream, (&tls, &activity)).await {
                    connection(&serving, stream, activity, answering).await;
                }
            }
        }
        drop((place, working));
    });
}

fn connection<S: Stream>(
    serving: &Serving,
    stream: S,
    activity: Arc<Activity>,
    answering: Answering,
) -> Connection<S> {
    Connection::new(stream, activity, answering, serving)
}

/// A connection that TLS has begun in; none where that fails, takes longer than a request's head may, or is in the way of others.
async fn encrypted(
    serving: &Serving,
    stream: TcpStream,
    (tls, activity): (&Tls, &Activity),
) -> Option<TlsStream<TcpStream>> {
    // Its client may be about to send what it has connected for.
    let given_up = async {
        serving.stop.draining().await;
        sleep(FIRST_REQUEST_TIME).await;
    };
    let evicted = poll_fn(|cx| match activity.is_evicted(cx.waker()) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    });
    tokio::select! {
        begun = timeout(serving.limits.header_time, tls.accept(stream)) => match begun {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                log::debug!("no connection with TLS: {error}");
                None
            }
            Err(_) => None,
        },
        () = evicted => None,
        () = given_up => None,
    }
}
