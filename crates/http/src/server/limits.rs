//! Bounds on what clients can make the server hold, and for how long.

use std::time::Duration;

/// Every bound of the server. The defaults are meant for the open network.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Connections at a time. For one more, that which has been without a request for longest is closed; where each has one, the new one is.
    pub max_connections: usize,
    /// Connections of one peer, which is an IPv4 address or an IPv6 network of 64 bits. Those over a socket of the file system have no peer.
    pub max_connections_per_peer: usize,
    /// Requests that are handled at a time.
    pub max_requests: usize,
    /// Requests that wait until they can be handled. One more is answered with 503 at once.
    pub max_queue: usize,
    /// How long a request waits until it can be handled. Then it is answered with 503.
    pub queue_time: Duration,
    /// Bytes of a request's head: 431 for more.
    pub max_header_bytes: u32,
    /// Fields of a request's head: 431 for more.
    pub max_headers: usize,
    /// Bytes of a request's body: 413 for more.
    pub max_body_bytes: u64,
    /// How long a head may take, from its first byte to its last, and how long a new connection may be without one.
    pub header_time: Duration,
    /// How long a connection may be without a request after its last one.
    pub idle_time: Duration,
    /// For how long is read what a client still sends when its last answer has been sent: it could lose that otherwise.
    pub linger_time: Duration,
    /// How long a body may stand still, whichever way it goes, while somebody waits for it: 408 for one of a request.
    pub body_time: Duration,
    /// How long a request may take, from its head to the last byte of its answer: 504 for one without an answer by then.
    pub request_time: Duration,
    /// How long a request may have waited for its client, in all, before it has to go where others wait for its place and it is slow.
    pub slow_time: Duration,
    /// Bytes a second, either way, with less than which a request is slow.
    pub min_rate_bytes: u64,
    /// How long requests that are being handled may go on when the server is to end.
    pub drain_time: Duration,
    /// Requests at a time in one connection of HTTP/2.
    pub max_streams: u32,
    /// Streams of one connection of HTTP/2 that were reset and not yet looked at. With one more, the connection is closed.
    pub max_reset_streams: usize,
    /// How often a connection of HTTP/2 is asked whether anybody is there, and how long the answer may take.
    pub ping_time: Duration,
}

/// For ever, as far as connections are concerned. The moments in which times end must be some that there are.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

impl Limits {
    /// The same, with no time that is longer than a century.
    pub(super) fn with_times_that_end(mut self) -> Limits {
        let Limits {
            max_connections: _,
            max_connections_per_peer: _,
            max_requests: _,
            max_queue: _,
            queue_time,
            max_header_bytes: _,
            max_headers: _,
            max_body_bytes: _,
            header_time,
            idle_time,
            linger_time,
            body_time,
            request_time,
            slow_time,
            min_rate_bytes: _,
            drain_time,
            max_streams: _,
            max_reset_streams: _,
            ping_time,
        } = &mut self;
        for time in [
            queue_time,
            header_time,
            idle_time,
            linger_time,
            body_time,
            request_time,
            slow_time,
            drain_time,
            ping_time,
        ] {
            *time = LONGEST.min(*time);
        }
        self
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_connections: 4096,
            max_connections_per_peer: 512,
            max_requests: 256,
            max_queue: 1024,
            queue_time: Duration::from_secs(5),
            max_header_bytes: 16 << 10,
            max_headers: 100,
            max_body_bytes: 64 << 20,
            header_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(60),
            linger_time: Duration::from_secs(5),
            body_time: Duration::from_secs(20),
            request_time: Duration::from_secs(60),
            slow_time: Duration::from_secs(1),
            min_rate_bytes: 4 << 10,
            drain_time: Duration::from_secs(30),
            max_streams: 100,
            max_reset_streams: 20,
            ping_time: Duration::from_secs(20),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Every moment that a connection waits for is one that there is, however long users want to wait.
    #[test]
    fn the_longest_times_end() {
        let longest = Duration::MAX;
        let limits = Limits {
            queue_time: longest,
            header_time: longest,
            idle_time: longest,
            linger_time: longest,
            body_time: longest,
            request_time: longest,
            slow_time: longest,
            drain_time: longest,
            ping_time: longest,
            ..Limits::default()
        };
        let limits = limits.with_times_that_end();
        let times = [limits.queue_time, limits.header_time, limits.idle_time, limits.linger_time];
        let more =
            [limits.body_time, limits.request_time, limits.slow_time, limits.drain_time, limits.ping_time];
        let end = times.iter().chain(&more).try_fold(Instant::now(), |end, time| end.checked_add(*time));
        assert!(end.is_some());
        assert_eq!(Limits::default().with_times_that_end(), Limits::default());
    }
}
