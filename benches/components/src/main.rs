//! What calls of components cost, between each other and from and to the host, beside the wasmtime crate, in one process.
//!
//! Engines take turns, round by round, by the processor time of the thread; of each pair of rounds the ratio is taken, and of all ratios the median counts, so that a
//! machine that does other work meanwhile changes little. Guests are the same bytes. What is measured repeats within one call of the guest where the guest calls, and in
//! the host where the host calls.
//!
//! ```console
//! $ cargo run --release --manifest-path benches/components/Cargo.toml [WORDS IN THE NAME OF WHAT IS MEASURED [ours|theirs]]
//! ```

mod guest;
mod innkeeper_host;
mod pairs;
mod wasmtime_host;

use pairs::{ROUNDS, Round};

/// What an engine makes to be measured.
struct Host {
    /// A guest's function that is called with how often it does what is measured.
    guest: fn(text: &str) -> Round,
    /// The host calls a function of no parameters whose type is known.
    typed: fn() -> Round,
    /// The same with values of any type.
    untyped: fn() -> Round,
}

struct Case {
    name: &'static str,
    /// How often it is done in a round.
    times: u32,
    /// What it may take of the other engine's time.
    aim: f64,
    make: fn(&Host) -> Round,
}

const CASES: [Case; 15] = [
    Case {
        name: "guest to host: nop",
        times: 200_000,
        aim: 0.5,
        make: |host| (host.guest)(&guest::host_nop()),
    },
    Case {
        name: "guest to host: string 64 B",
        times: 50_000,
        aim: 0.5,
        make: |host| (host.guest)(&guest::host_string(64)),
    },
    Case {
        name: "guest to host: string 64 KiB",
        times: 1000,
        aim: 0.5,
        make: |host| (host.guest)(&guest::host_string(65_536)),
    },
    Case {
        name: "guest to host: resource method",
        times: 50_000,
        aim: 0.5,
        make: |host| (host.guest)(&guest::host_method()),
    },
    Case {
        name: "guest to host: list<u32> of 10^6",
        times: 10,
        aim: 0.7,
        make: |host| (host.guest)(&guest::host_list("list", 1_000_000)),
    },
    Case {
        name: "guest to host: list<u32>, borrowed",
        times: 50_000,
        aim: 0.7,
        make: |host| (host.guest)(&guest::host_list("borrowed-list", 1_000_000)),
    },
    Case { name: "host to guest: nop, typed", times: 50_000, aim: 0.6, make: |host| (host.typed)() },
    Case { name: "host to guest: nop, untyped", times: 50_000, aim: 0.8, make: |host| (host.untyped)() },
    Case { name: "composed: nop", times: 500_000, aim: 0.8, make: |host| (host.guest)(&guest::nop()) },
    Case {
        name: "composed: nop, callee with calls",
        times: 500_000,
        aim: 0.8,
        make: |host| (host.guest)(&guest::nop_into_one_that_leads_out()),
    },
    Case {
        name: "composed: list<u8> of 1 MiB",
        times: 20,
        aim: 0.1,
        make: |host| (host.guest)(&guest::bytes(1 << 20)),
    },
    Case {
        name: "composed: string 64 B",
        times: 50_000,
        aim: 0.8,
        make: |host| (host.guest)(&guest::string(64)),
    },
    Case {
        name: "composed: string 64 KiB",
        times: 1000,
        aim: 0.8,
        make: |host| (host.guest)(&guest::string(65_536)),
    },
    Case {
        name: "composed: record of 20 fields",
        times: 50_000,
        aim: 0.9,
        make: |host| (host.guest)(&guest::record()),
    },
    Case {
        name: "composed: record, callee with calls",
        times: 50_000,
        aim: 0.9,
        make: |host| (host.guest)(&guest::record_into_one_that_leads_out()),
    },
];

fn main() {
    let words = std::env::args().nth(1);
    let only = std::env::args().nth(2);
    pairs::head();
    for case in &CASES {
        if words.as_ref().is_some_and(|words| !case.name.contains(words.as_str())) {
            continue;
        }
        // For whoever looks at one engine with a profiler.
        let alone = match only.as_deref() {
            Some("ours") => Some(&innkeeper_host::HOST),
            Some("theirs") => Some(&wasmtime_host::HOST),
            _ => None,
        };
        if let Some(host) = alone {
            let mut alone = (case.make)(host);
            (0..20 * ROUNDS).for_each(|_| alone(case.times));
            continue;
        }
        let (ours, theirs) = ((case.make)(&innkeeper_host::HOST), (case.make)(&wasmtime_host::HOST));
        pairs::report((case.name, case.times, case.aim), [ours, theirs]);
    }
}
