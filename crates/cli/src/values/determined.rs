//! What a guest gets that differs from run to run: `--clocks`, `--random`.

use std::time::Duration;

use innkeeper::wasi::keys::{Clocks, Random};

/// A value of `--clocks`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClockFlag(pub(crate) Clocks);

impl ClockFlag {
    /// Reads `real`, `fixed[:SECONDS]` or `stepped[:SECONDS]`.
    pub(crate) fn parse(value: &str) -> Result<ClockFlag, String> {
        let (kind, seconds) = match value.split_once(':') {
            Some((kind, seconds)) => {
                (kind, Some(seconds.parse().map_err(|_| format!("`{seconds}` is no number of seconds"))?))
            }
            None => (value, None),
        };
        let Clocks::Stepped { realtime, step } = Clocks::stepped() else {
            return Err(String::from("there are no stepped clocks"));
        };
        let realtime = seconds.map_or(realtime, Duration::from_secs);
        match (kind, seconds) {
            ("real", None) => Ok(ClockFlag(Clocks::Real)),
            ("fixed", _) => Ok(ClockFlag(Clocks::Fixed { realtime })),
            ("stepped", _) => Ok(ClockFlag(Clocks::Stepped { realtime, step })),
            _ => Err(String::from("write real, fixed[:SECONDS] or stepped[:SECONDS]")),
        }
    }
}

/// A value of `--random`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RandomFlag(pub(crate) Random);

impl RandomFlag {
    /// Reads `real` or `seed:NUMBER`.
    pub(crate) fn parse(value: &str) -> Result<RandomFlag, String> {
        let seed = value.strip_prefix("seed:").and_then(|seed| seed.parse().ok());
        match (value, seed) {
            ("real", _) => Ok(RandomFlag(Random::Real)),
            (_, Some(seed)) => Ok(RandomFlag(Random::Seeded(seed))),
            _ => Err(String::from("write real, or seed:NUMBER")),
        }
    }
}
