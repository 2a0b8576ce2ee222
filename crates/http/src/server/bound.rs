//! Bounds that took effect: which flag sets each, for metrics, and what a request's line in the log says of it.

use std::fmt;
use std::time::Duration;

use innkeeper_engine::ByteCount;
use innkeeper_wasi::keys::duration_in_words;

use super::Limits;

/// A bound of the server, by the flag that sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    Connections,
    Requests,
    Queue,
    QueueTime,
    Header,
    HeaderTime,
    Body,
    BodyTime,
    MinRate,
    Timeout,
    Cpu,
}

impl Bound {
    /// Without the hyphens before it.
    pub(super) fn flag(self) -> &'static str {
        match self {
            Bound::Connections => "max-connections",
            Bound::Requests => "max-requests",
            Bound::Queue => "max-queue",
            Bound::QueueTime => "queue-time",
            Bound::Header => "max-header",
            Bound::HeaderTime => "header-time",
            Bound::Body => "max-body",
            Bound::BodyTime => "body-time",
            Bound::MinRate => "min-rate",
            Bound::Timeout => "timeout",
            Bound::Cpu => "max-cpu",
        }
    }

    /// That it took effect, with its flag and its value: what happened, and which flag to set otherwise.
    pub(super) fn said(self, what: impl fmt::Display, limits: &Limits) -> String {
        format!("{what}: {}", self.value(limits))
    }

    /// The flag and its value.
    pub(super) fn value(self, limits: &Limits) -> String {
        let value = match self {
            Bound::Connections => limits.max_connections.to_string(),
            Bound::Requests => limits.max_requests.to_string(),
            Bound::Queue => limits.max_queue.to_string(),
            Bound::QueueTime => duration_in_words(limits.queue_time),
            Bound::Header => ByteCount(u64::from(limits.max_header_bytes)).to_string(),
            Bound::HeaderTime => duration_in_words(limits.header_time),
            Bound::Body => ByteCount(limits.max_body_bytes).to_string(),
            Bound::BodyTime => duration_in_words(limits.body_time),
            Bound::MinRate => ByteCount(limits.min_rate_bytes).to_string(),
            Bound::Timeout => duration_in_words(limits.request_time),
            // Each guest has its own, which whoever runs it knows.
            Bound::Cpu => return String::from("--max-cpu"),
        };
        format!("--{} is {value}", self.flag())
    }
}

/// That a guest has used up its processor time.
pub(crate) fn processor_time_is_used(limit: Duration) -> String {
    format!("the guest was stopped: --{} is {}", Bound::Cpu.flag(), duration_in_words(limit))
}
