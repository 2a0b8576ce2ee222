//! What async functions of components cost: calls from and to the host, tasks of guests, turns, streams, and what tasks that wait keep, beside the wasmtime crate, in one process.
//!
//! As in `benches/components`, whose rounds these are. Both hosts poll their calls by themselves, without an executor.
//!
//! ```console
//! $ cargo run --release --manifest-path benches/tasks/Cargo.toml [WORDS IN THE NAME OF WHAT IS MEASURED]
//! $ cargo run --release --manifest-path benches/tasks/Cargo.toml held ours|theirs
//! ```

mod guest;
mod innkeeper_host;
#[path = "../../components/src/pairs.rs"]
mod pairs;
mod rounds;
mod wasmtime_host;

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use pairs::Round;

/// What an engine makes to be measured.
struct Host {
    /// A guest's async function `run`, called with how many tasks there are to be and how often each leaves its turn: two numbers made of the round's.
    guest: fn(text: &str, numbers: fn(u32) -> [u32; 2]) -> Round,
    /// The host calls an async function of no parameters that returns at once.
    nop: fn() -> Round,
    /// Has so many tasks wait for ever, and gives what the process keeps more than before, in bytes.
    held: fn(tasks: u32) -> usize,
}

struct Case {
    name: &'static str,
    /// How often it is done in a round.
    times: u32,
    /// What it may take of the other engine's time.
    aim: f64,
    make: fn(&Host) -> Round,
}

const CASES: [Case; 6] = [
    Case { name: "host to guest: async nop", times: 5_000, aim: 0.4, make: |host| (host.nop)() },
    Case {
        name: "guest to host: ready",
        times: 20_000,
        aim: 0.4,
        make: |host| (host.guest)(&guest::ready(), |times| [times, 0]),
    },
    Case {
        name: "two tasks that yield in turns",
        times: 20_000,
        aim: 0.5,
        make: |host| (host.guest)(&guest::tasks(), |times| [2, times / 2]),
    },
    Case {
        name: "tasks that return at once",
        times: 10_000,
        aim: 0.5,
        make: |host| (host.guest)(&guest::tasks(), |times| [times, 0]),
    },
    Case {
        name: "tasks begun, all waiting, finished",
        times: 10_000,
        aim: 0.5,
        make: |host| (host.guest)(&guest::tasks(), |times| [times, 1]),
    },
    Case {
        name: "stream between guests: 64 KiB",
        times: 500,
        aim: 0.3,
        make: |host| (host.guest)(&guest::stream(), |times| [times, 0]),
    },
];

/// Tasks of which it is told what they keep while they wait.
const HELD: u32 = 10_000;

fn main() {
    let words = std::env::args().nth(1);
    if words.as_deref() == Some("held") {
        let host = match std::env::args().nth(2).as_deref() {
            Some("theirs") => &wasmtime_host::HOST,
            _ => &innkeeper_host::HOST,
        };
        println!("{} bytes a task of {HELD} that wait", (host.held)(HELD) / HELD as usize);
        return;
    }
    pairs::head();
    for case in &CASES {
        if words.as_ref().is_some_and(|words| !case.name.contains(words.as_str())) {
            continue;
        }
        let (ours, theirs) = ((case.make)(&innkeeper_host::HOST), (case.make)(&wasmtime_host::HOST));
        pairs::report((case.name, case.times, case.aim), [ours, theirs]);
    }
}

/// Polls until it is ready: whoever is measured waits for nobody else.
fn block_on<R>(future: impl Future<Output = R>) -> R {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return result;
        }
    }
}

/// Polls so often.
fn poll<R>(mut future: Pin<&mut impl Future<Output = R>>, times: usize) {
    for _ in 0..times {
        let _ = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    }
}

/// What the process keeps in memory, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
