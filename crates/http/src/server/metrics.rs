//! What is counted of connections, requests and guests, as Prometheus reads it.
//!
//! Labels have few values, whatever clients and guests do: programs that are served, statuses, traps and limits. What a guest was denied is in words, and so is no label: those are in [`Events`](super::events::Events).

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use rustix::time::{ClockId, clock_gettime};

use super::account::{InstanceUse, Told};
use super::bound::Bound;

/// Seconds of a request, by which they are told apart.
const SECONDS: [f64; 17] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    60.0,
];

/// Bytes that a guest has had inn hold at the most, by which they are told apart: 64 KiB to 4 GiB.
fn byte_bounds() -> impl Iterator<Item = f64> {
    (16..=32).step_by(2).map(|power| f64::from(power).exp2())
}

/// All that is counted.
pub(super) struct Metrics {
    registry: Registry,
    /// Connections that there are.
    pub(super) connections: Gauge,
    /// Requests that are handled.
    pub(super) in_flight: Gauge,
    /// Requests that wait until they can be.
    pub(super) waiting: Gauge,
    accepted: Counter,
    requests: Family<StatusLabels, Counter>,
    seconds: Family<GuestLabels, Histogram, fn() -> Histogram>,
    sent: Counter,
    processor: Family<GuestLabels, Counter<f64, AtomicU64>>,
    memory: Family<GuestLabels, Histogram, fn() -> Histogram>,
    instances: Family<InstanceLabels, Counter>,
    traps: Family<TrapLabels, Counter>,
    denials: Family<GuestLabels, Counter>,
    bounds: Family<BoundLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GuestLabels {
    guest: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    guest: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InstanceLabels {
    guest: String,
    r#use: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TrapLabels {
    guest: String,
    trap: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BoundLabels {
    limit: &'static str,
}

/// What a request came to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outcome {
    /// None where the client went away before there was an answer.
    pub(super) status: Option<http::StatusCode>,
    pub(super) wall: Duration,
    pub(super) bytes: u64,
}

impl Metrics {
    pub(super) fn new() -> Metrics {
        let mut all = Registry::default();
        all.register_collector(Box::new(Process::new()));
        let registry = all.sub_registry_with_prefix("inn");
        let metrics = Metrics {
            registry: Registry::default(),
            connections: Gauge::default(),
            in_flight: Gauge::default(),
            waiting: Gauge::default(),
            accepted: Counter::default(),
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            sent: Counter::default(),
            processor: Family::default(),
            memory: Family::new_with_constructor(|| Histogram::new(byte_bounds())),
            instances: Family::default(),
            traps: Family::default(),
            denials: Family::default(),
            bounds: Family::default(),
        };
        registry.register("connections", "Connections that there are", metrics.connections.clone());
        registry.register("requests_in_flight", "Requests that are handled", metrics.in_flight.clone());
        registry.register("requests_waiting", "Requests that wait to be handled", metrics.waiting.clone());
        registry.register("accepted_connections", "Connections that were accepted", metrics.accepted.clone());
        registry.register(
            "requests",
            "Requests, by the status of their answer; 0 where the client went away before",
            metrics.requests.clone(),
        );
        registry.register_with_unit(
            "request",
            "Time from a request's head to the last byte of its answer",
            Unit::Seconds,
            metrics.seconds.clone(),
        );
        registry.register_with_unit("response_body", "Bytes of answers", Unit::Bytes, metrics.sent.clone());
        registry.register_with_unit(
            "guest_cpu",
            "Processor time of guests",
            Unit::Seconds,
            metrics.processor.clone(),
        );
        registry.register_with_unit(
            "guest_memory_peak",
            "What a request's guest made inn hold at the most",
            Unit::Bytes,
            metrics.memory.clone(),
        );
        registry.register(
            "guest_instances",
            "Requests, by whether their instance was made for them",
            metrics.instances.clone(),
        );
        registry.register("guest_traps", "Guests that trapped, by the trap", metrics.traps.clone());
        registry.register(
            "guest_denials",
            "What guests wanted and were not granted",
            metrics.denials.clone(),
        );
        registry.register(
            "limits_hit",
            "Limits of the server that took effect, by their flag",
            metrics.bounds.clone(),
        );
        Metrics { registry: all, ..metrics }
    }

    /// A connection was accepted.
    pub(super) fn accepted(&self) {
        self.accepted.inc();
    }

    /// A bound took effect.
    pub(super) fn hit(&self, bound: Bound) {
        self.bounds.get_or_create(&BoundLabels { limit: bound.flag() }).inc();
    }

    /// A request is over.
    pub(super) fn request(&self, outcome: &Outcome, told: &Told) {
        let guest = told.guest.clone().unwrap_or_default();
        let labels = GuestLabels { guest: guest.clone() };
        let status = outcome.status.map_or(0, |status| status.as_u16());
        self.requests.get_or_create(&StatusLabels { guest: guest.clone(), status }).inc();
        self.seconds.get_or_create(&labels).observe(outcome.wall.as_secs_f64());
        self.sent.inc_by(outcome.bytes);
        if let Some(time) = told.processor_time {
            self.processor.get_or_create(&labels).inc_by(time.as_secs_f64());
        }
        if let Some(bytes) = told.peak_bytes {
            self.memory.get_or_create(&labels).observe(bytes as f64);
        }
        if !told.denied.is_empty() {
            self.denials.get_or_create(&labels).inc_by(told.denied.len() as u64);
        }
        if let Some(instance) = told.instance {
            let r#use = match instance {
                InstanceUse::New => "new",
                InstanceUse::Reused => "reused",
            };
            self.instances.get_or_create(&InstanceLabels { guest: guest.clone(), r#use }).inc();
        }
        if let Some(trap) = &told.trap {
            self.traps.get_or_create(&TrapLabels { guest, trap: trap.clone() }).inc();
        }
    }

    /// All of it, in the text format of Prometheus.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = prometheus_client::encoding::prometheus_text::encode(&mut text, &self.registry);
        text
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// What the system knows of this process.
#[derive(Debug)]
struct Process {
    begun: Duration,
}

impl Process {
    fn new() -> Process {
        Process { begun: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, value: f64| {
            let metric = ConstGauge::new(value);
            metric.encode(encoder.encode_descriptor(
                name,
                help,
                unit,
                prometheus_client::metrics::MetricType::Gauge,
            )?)
        };
        gauge(
            "process_start_time",
            "When the server began, in seconds since 1970",
            Some(&Unit::Seconds),
            self.begun.as_secs_f64(),
        )?;
        // What the system does not tell is left out.
        if let Some(bytes) = resident_bytes() {
            gauge("process_resident_memory", "Memory of the process", Some(&Unit::Bytes), bytes as f64)?;
        }
        if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
            gauge("process_open_fds", "Descriptors of the process", None, open.count() as f64)?;
        }
        let time = clock_gettime(ClockId::ProcessCPUTime);
        let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
        let metric = ConstCounter::new(seconds);
        let kind = prometheus_client::metrics::MetricType::Counter;
        metric.encode(encoder.encode_descriptor(
            "process_cpu",
            "Processor time of the process",
            Some(&Unit::Seconds),
            kind,
        )?)
    }
}

fn resident_bytes() -> Option<u64> {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_counted_in_all_that_it_is_a_part_of() {
        let metrics = Metrics::new();
        let told = Told {
            guest: Some(String::from("a\"b.wasm")),
            instance: Some(InstanceUse::New),
            processor_time: Some(Duration::from_millis(1500)),
            denied: vec![String::from("x"), String::from("y")],
            peak_bytes: Some(100_000),
            trap: Some(String::from("unreachable")),
            ..Told::default()
        };
        let status = Some(http::StatusCode::INTERNAL_SERVER_ERROR);
        metrics.request(&Outcome { status, wall: Duration::from_millis(3), bytes: 7 }, &told);
        metrics.request(&Outcome { status: None, wall: Duration::ZERO, bytes: 0 }, &Told::default());
        metrics.hit(Bound::Queue);
        metrics.in_flight.inc();
        let text = metrics.text();
        for line in [
            r#"inn_requests_total{guest="a\"b.wasm",status="500"} 1"#,
            r#"inn_requests_total{guest="",status="0"} 1"#,
            r#"inn_request_seconds_bucket{guest="a\"b.wasm",le="0.0025"} 0"#,
            r#"inn_request_seconds_bucket{guest="a\"b.wasm",le="0.005"} 1"#,
            r#"inn_guest_cpu_seconds_total{guest="a\"b.wasm"} 1.5"#,
            r#"inn_guest_memory_peak_bytes_count{guest="a\"b.wasm"} 1"#,
            r#"inn_guest_instances_total{guest="a\"b.wasm",use="new"} 1"#,
            r#"inn_guest_traps_total{guest="a\"b.wasm",trap="unreachable"} 1"#,
            r#"inn_guest_denials_total{guest="a\"b.wasm"} 2"#,
            r#"inn_limits_hit_total{limit="max-queue"} 1"#,
            "inn_response_body_bytes_total 7",
            "inn_requests_in_flight 1",
        ] {
            assert!(text.lines().any(|found| found == line), "no {line} in\n{text}");
        }
        assert!(text.contains("\nprocess_resident_memory_bytes "), "{text}");
    }
}
