//! The engine's configuration: which features modules may use, the limits and the tuning.

use crate::features::Features;
use crate::limits::Limits;
use crate::nan::NanBits;
use crate::pooling::Pooling;
use crate::tuning::Tuning;

/// What an [`crate::Engine`] is made from.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// What modules may use.
    pub features: Features,
    /// Bounds on guests.
    pub limits: Limits,
    /// How many stores there may be, and what is kept of those that are gone.
    pub pooling: Pooling,
    /// Knobs that change speed only.
    pub tuning: Tuning,
    /// Whether guests' instructions are counted.
    pub metering: Metering,
    /// Which bits the NaNs have that guests' instructions make.
    pub nan_bits: NanBits,
}

impl From<&Config> for Config {
    fn from(config: &Config) -> Config {
        config.clone()
    }
}

/// Whether guests' instructions are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Metering {
    /// They are not.
    #[default]
    Off,
    /// Each instruction uses one unit of fuel, charged when the straight run of instructions it belongs to is entered.
    Fuel,
}
