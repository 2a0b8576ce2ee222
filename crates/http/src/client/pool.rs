//! Connections that wait for the next request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use innkeeper_wasi::keys::{HttpHost, HttpScheme, HttpTarget};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::connect::Connection;

/// Connections that wait, at most.
const MOST_IDLE: usize = 256;

/// How long one waits.
const IDLE_TIME: Duration = Duration::from_secs(30);

/// How long an answer's end may take to be known to both sides.
const SETTLE_TIME: Duration = Duration::from_secs(1);

/// Whom a connection is to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    scheme: HttpScheme,
    host: HttpHost,
    port: u16,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Idle>);

#[derive(Debug, Default)]
struct Idle {
    /// Those that have waited for longest come first.
    connections: HashMap<Origin, Vec<(Instant, Connection)>>,
    count: usize,
    /// Whether somebody sees to it that none waits for too long.
    is_swept: bool,
}

impl Origin {
    pub(super) fn of(target: &HttpTarget) -> Origin {
        Origin { scheme: target.scheme, host: target.host.clone(), port: target.port }
    }
}

impl Pool {
    /// The connection that has waited for the shortest time.
    pub(super) fn take(&self, origin: &Origin) -> Option<Connection> {
        let mut idle = self.idle();
        loop {
            let (_, connection) = idle.connections.get_mut(origin)?.pop()?;
            idle.count -= 1;
            if !connection.sender.is_closed() {
                return Some(connection);
            }
        }
    }

    /// Has a connection wait.
    pub(super) fn give_back(self: &Arc<Self>, origin: Origin, mut connection: Connection, runtime: &Handle) {
        if connection.sender.is_ready() {
            return self.put(origin, connection, runtime);
        }
        let (pool, for_sweep) = (Arc::clone(self), runtime.clone());
        runtime.spawn(async move {
            if matches!(timeout(SETTLE_TIME, connection.sender.ready()).await, Ok(Ok(()))) {
                pool.put(origin, connection, &for_sweep);
            }
        });
    }

    fn put(self: &Arc<Self>, origin: Origin, connection: Connection, runtime: &Handle) {
        let mut idle = self.idle();
        if idle.count >= MOST_IDLE {
            return;
        }
        idle.count += 1;
        idle.connections.entry(origin).or_default().push((Instant::now(), connection));
        if !std::mem::replace(&mut idle.is_swept, true) {
            let pool = Arc::downgrade(self);
            runtime.spawn(async move {
                loop {
                    tokio::time::sleep(IDLE_TIME / 2).await;
                    if pool.upgrade().is_none_or(|pool| !pool.sweep()) {
                        return;
                    }
                }
            });
        }
    }

    /// Closes what has waited for too long, and tells whether anything still waits.
    fn sweep(&self) -> bool {
        let mut idle = self.idle();
        let now = Instant::now();
        for waiting in idle.connections.values_mut() {
            waiting.retain(|(since, connection)| {
                now.duration_since(*since) < IDLE_TIME && !connection.sender.is_closed()
            });
        }
        idle.connections.retain(|_, waiting| !waiting.is_empty());
        idle.count = idle.connections.values().map(Vec::len).sum();
        idle.is_swept = idle.count > 0;
        idle.is_swept
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
