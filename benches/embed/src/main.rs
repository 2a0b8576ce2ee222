//! What stores, instances and calls cost an embedder, beside the wasmtime crate with its pooling allocator and wasmi, in one process.
//!
//! Each figure is thread CPU time for one round. Engines take turns, round by round, and the least of many rounds counts, so that what else the machine does is
//! in none of them. Every store is made, used and dropped within its round.
//!
//! ```console
//! $ cargo run --release --manifest-path benches/embed/Cargo.toml [WORDS IN THE NAME OF WHAT IS MEASURED]
//! ```
//!
//! What this is not: a measurement of what guests compute; that is `benches/compare`.

mod guest;
mod innkeeper_host;
mod wasmi_host;
mod wasmtime_host;

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use guest::{CASES, Case};

/// Rounds of each engine; the least counts.
const ROUNDS: usize = 40;

/// Does once what is measured.
type Once = Box<dyn FnMut()>;

/// The same, on several threads at a time.
type Shared = Box<dyn Fn() + Send + Sync>;

/// What an engine makes to be measured.
struct Host {
    name: &'static str,
    /// Makes, uses and drops a store of an engine that is there.
    store: fn(&Case) -> Shared,
    /// The host calls a guest's function.
    call: fn() -> Once,
    /// A guest calls the host a thousand times.
    host_calls: fn() -> Once,
    /// As `call`, in a call that can wait, of a function of the host that is ready at once; none where there is no such thing.
    call_async: Option<fn() -> Once>,
    /// As `host_calls`, in a call that can wait.
    host_calls_async: Option<fn() -> Once>,
    /// Holds so many stores with an instance of the case that nobody uses.
    idle: fn(&Case, usize) -> Box<dyn std::any::Any>,
    /// Holds so many calls that wait; none where there is no such thing.
    parked: Option<fn(usize) -> Box<dyn std::any::Any>>,
}

const HOSTS: [Host; 3] = [innkeeper_host::HOST, wasmtime_host::HOST, wasmi_host::HOST];

/// Whether something of such a name is to be measured.
fn is_wanted(name: &str) -> bool {
    std::env::args().nth(1).is_none_or(|words| name.contains(&words))
}

fn main() {
    println!(
        "{:>36} {:>12} {:>12} {:>12} {:>10} {:>10}",
        "thread CPU time, ns", HOSTS[0].name, HOSTS[1].name, HOSTS[2].name, "/wasmtime", "/wasmi"
    );
    for case in &CASES {
        report(case.name, case.times, |host| Some(Box::new((host.store)(case)) as Once));
    }
    report("host calls guest, typed", 100_000, |host| Some((host.call)()));
    report("guest calls host, 1000 times", 100, |host| Some((host.host_calls)()));
    report("async call, 1000 host calls", 100, |host| Some(host.host_calls_async?()));
    report("async call, 1000 ready host calls", 100, |host| Some(host.call_async?()));
    for case in &CASES[1..] {
        on_two_threads(case);
    }
    println!(
        "{:>36} {:>12} {:>12} {:>12}",
        "KiB of memory each", HOSTS[0].name, HOSTS[1].name, HOSTS[2].name
    );
    for case in &CASES[1..] {
        memory(case.name, HELD, |host| Some((host.idle)(case, HELD)));
    }
    memory("a call that waits", MOST_HELD, |host| Some(host.parked?(MOST_HELD)));
}

/// Prints the least of many rounds for each engine.
fn report(name: &str, times: u32, make: impl Fn(&Host) -> Option<Once>) {
    if !is_wanted(name) {
        return;
    }
    let mut engines = HOSTS.each_ref().map(make);
    let mut least = [f64::NAN; 3];
    for _ in 0..ROUNDS {
        for (once, least) in engines.iter_mut().zip(&mut least) {
            if let Some(once) = once {
                *least = least.min(round(times, once));
            }
        }
    }
    print_row(name, least);
}

fn round(times: u32, mut once: impl FnMut()) -> f64 {
    let begin = thread_time();
    (0..times).for_each(|_| once());
    (thread_time() - begin).as_nanos() as f64 / f64::from(times)
}

fn print_row(name: &str, [ours, wasmtime, wasmi]: [f64; 3]) {
    println!(
        "{name:>36} {ours:>12.1} {wasmtime:>12.1} {wasmi:>12.1} {:>10.2} {:>10.2}",
        ours / wasmtime,
        ours / wasmi
    );
}

/// How much more a store costs on each of two threads with one engine than on one alone. Turns of one and of two are mixed, and the least of each counts.
fn on_two_threads(case: &Case) {
    let name = format!("two threads: {}", case.name);
    if !is_wanted(&name) {
        return;
    }
    let mut ratios = [f64::NAN; 3];
    for (host, ratio) in HOSTS.iter().zip(&mut ratios) {
        let once = (host.store)(case);
        let measured = || round(case.times, &once);
        let (mut one, mut two) = (f64::MAX, f64::MAX);
        for _ in 0..ROUNDS {
            one = one.min(measured());
            two = two.min(std::thread::scope(|scope| {
                let threads = [(); 2].map(|()| scope.spawn(measured));
                threads.map(|thread| thread.join().unwrap()).iter().sum::<f64>() / 2.0
            }));
        }
        *ratio = two / one;
    }
    let [ours, wasmtime, wasmi] = ratios;
    println!("{name:>36} {ours:>12.2} {wasmtime:>12.2} {wasmi:>12.2}");
}

/// Stores that are held at once.
const HELD: usize = 1000;

/// Calls that are.
const MOST_HELD: usize = 10_000;

/// Prints what each of many things that are held at once takes of physical memory.
fn memory(name: &str, count: usize, hold: impl Fn(&Host) -> Option<Box<dyn std::any::Any>>) {
    if !is_wanted(name) {
        return;
    }
    let each = HOSTS.map(|host| {
        let before = resident_bytes();
        let Some(held) = hold(&host) else { return f64::NAN };
        let after = resident_bytes();
        drop(held);
        after.saturating_sub(before) as f64 / count as f64 / 1024.0
    });
    println!("{name:>36} {:>12.1} {:>12.1} {:>12.1}", each[0], each[1], each[2]);
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// Processor time of this thread.
fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}
