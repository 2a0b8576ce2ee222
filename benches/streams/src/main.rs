//! What programs of WASI 0.2 do most with the system, very often: `streams lines COUNT` prints lines, `streams read FILE` reads a file to its end, `streams stdin` reads
//! standard input to its end, `streams poll COUNT TIMES` waits so many times for as many pollables, of which the last is ready.
//!
//! Built with `cargo build --release --target wasm32-wasip2`.

use std::io::Read;
use std::process::ExitCode;

use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::io::poll::{Pollable, poll};

const HOUR: u64 = 3_600_000_000_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse().unwrap_or(1);
    match arguments[..] {
        ["lines", count] => (0..number(count)).for_each(|i| println!("line {i}")),
        ["read", path] => match std::fs::File::open(path) {
            Ok(file) => println!("{} bytes", read(file)),
            Err(error) => println!("{path}: {error}"),
        },
        ["stdin"] => println!("{} bytes", read(std::io::stdin())),
        ["poll", count, times] => {
            let mut pollables: Vec<Pollable> = (1..number(count)).map(|_| subscribe_duration(HOUR)).collect();
            pollables.push(subscribe_duration(0));
            let all: Vec<&Pollable> = pollables.iter().collect();
            let ready: usize = (0..number(times)).map(|_| poll(&all).len()).sum();
            println!("{ready} were ready");
        }
        _ => {
            eprintln!("usage: streams lines COUNT | read FILE | stdin | poll COUNT TIMES");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

/// Reads to the end; how many bytes that were.
fn read(mut from: impl Read) -> u64 {
    let mut buffer = vec![0; 1 << 16];
    let mut total = 0;
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        total += count as u64;
    }
    total
}
