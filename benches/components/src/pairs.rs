//! Two engines in turns, round by round, by the processor time of the thread.
//!
//! Of each pair of rounds the ratio is taken, and of all ratios the median counts, so that a machine that does other work meanwhile changes little.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Pairs of rounds.
pub const ROUNDS: usize = 60;

/// Does once what is measured, so many times.
pub type Round = Box<dyn FnMut(u32)>;

/// Prints what the columns of [`report`] are.
pub fn head() {
    println!(
        "{:>36} {:>12} {:>12} {:>8} {:>6}",
        "thread CPU time, ns", "innkeeper", "wasmtime", "ratio", "aim"
    );
}

/// Measures ours and theirs, each so many times a round, and prints the least that one took, the ratio, and what it may be.
pub fn report((name, times, aim): (&str, u32, f64), [mut ours, mut theirs]: [Round; 2]) {
    let (mut ratios, mut least) = (Vec::new(), [f64::MAX; 2]);
    // Code that is hot is compiled meanwhile, in the background.
    for _ in 0..5 {
        ours(times);
        theirs(times);
        std::thread::sleep(Duration::from_millis(20));
    }
    for i in 0..ROUNDS {
        let mut pair = [0.0; 2];
        // Whoever is first has the colder caches.
        for engine in [i % 2, 1 - i % 2] {
            pair[engine] = round(times, if engine == 0 { &mut ours } else { &mut theirs });
            least[engine] = least[engine].min(pair[engine]);
        }
        ratios.push(pair[0] / pair[1]);
    }
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios[ratios.len() / 2];
    let verdict = if ratio <= aim { "" } else { "  short of it" };
    println!("{name:>36} {:>12.1} {:>12.1} {ratio:>8.2} {aim:>6}{verdict}", least[0], least[1]);
}

fn round(times: u32, once: &mut Round) -> f64 {
    let begin = thread_time();
    once(times);
    (thread_time() - begin).as_nanos() as f64 / f64::from(times)
}

fn thread_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
}
