//! What the server has to tell beside its answers and its log of requests, on standard error.

use log::{LevelFilter, Log, Metadata, Record};

use crate::report::{self, Problem};

struct Trouble;

/// Has it told from now on.
pub(super) fn report() {
    // Somebody has a logger already only where this was called before.
    if log::set_logger(&Trouble).is_ok() {
        log::set_max_level(LevelFilter::Warn);
    }
}

impl Log for Trouble {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= LevelFilter::Warn && metadata.target().starts_with("innkeeper")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            report::warning(&Problem::from_message(record.args()));
        }
    }

    fn flush(&self) {}
}
