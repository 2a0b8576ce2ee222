//! Bounds on commands that run no guest of their own, or one without keys: how long they work, and how much memory they hold meanwhile.
//!
//! Checking, describing, compiling and printing a module takes time and memory in proportion to what somebody put into it. A thread looks at both now and then, and ends the
//! command with a message where either is too much. Nothing needs to be put in order then: these commands change nothing but the file they write at their end.

use std::fs::File;
use std::io::Read;
use std::time::{Duration, Instant};

use clap::Args;
use innkeeper::wasi::keys::{duration_in_words, parse_duration, parse_size};
use innkeeper::{Budget, Config};

use crate::report::{self, Problem};

/// How much a command may take.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct WorkFlags {
    /// End after this time, as in 10s or 500ms
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "10m")]
    timeout: Duration,

    /// Memory that the command may have, as in 64MiB (half of the machine's memory)
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_memory: Option<u64>,
}

/// Between two looks: memory cannot be filled with much meanwhile.
const INTERVAL: Duration = Duration::from_millis(20);

impl WorkFlags {
    /// The configuration of an engine whose modules are held to the same bound before they are decoded.
    pub(crate) fn config(&self) -> Config {
        let mut config = Config::default();
        config.limits.memory_bytes = self.max_memory;
        config
    }

    /// Holds the command to its bounds from now on.
    ///
    /// # Errors
    /// Where the system refuses the thread that watches.
    pub(crate) fn watch(&self) -> Result<(), Problem> {
        let (begin, timeout) = (Instant::now(), self.timeout);
        let most_bytes = self.max_memory.unwrap_or_else(Budget::default_limit_bytes);
        let look = move || {
            let left = timeout.saturating_sub(begin.elapsed());
            if left.is_zero() {
                end(
                    &format!("it takes longer than {}", duration_in_words(timeout)),
                    "--timeout DURATION gives it more time",
                );
            }
            if held_bytes() > most_bytes {
                let reason = format!("it needs more than {most_bytes} bytes of memory");
                end(&reason, "--max-memory SIZE gives it more, if the machine has it");
            }
            left
        };
        // Also where there is next to nothing to do.
        look();
        let watch = move || {
            loop {
                std::thread::sleep(look().min(INTERVAL));
            }
        };
        let thread = std::thread::Builder::new().name("bounds".to_owned()).stack_size(128 << 10);
        innkeeper::spawn_for_host(thread, watch)
            .map_err(|error| Problem::new("the thread that watches time", error))
    }
}

fn end(reason: &str, help: &str) -> ! {
    report::problem(&Problem::new("the command was ended", reason).help(help));
    std::process::exit(1)
}

/// Memory that this process holds of its own; 0 where the system does not tell.
///
/// What is mapped from files is not counted: pages of the program itself are the system's to keep or drop, and how many of them are there differs from machine to machine.
fn held_bytes() -> u64 {
    // Without the allocator: on a thread of its own that would take address space for a heap, at a moment that nobody knows.
    let mut text = [0; 4096];
    let read = File::open("/proc/self/status").and_then(|mut file| file.read(&mut text)).unwrap_or(0);
    let status = std::str::from_utf8(&text[..read]).unwrap_or_default();
    let kibibytes = |name: &str| {
        let value = status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
        value.and_then(|value| value.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    (kibibytes("RssAnon:") + kibibytes("RssShmem:")) << 10
}
