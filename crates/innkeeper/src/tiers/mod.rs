//! Which tiers execute guests.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod compiling;

use innkeeper_engine::{Config, Engine, TierUp};

/// Which tiers execute guests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tiers {
    /// Guests start in the interpreter; what gets hot is compiled in the background.
    #[default]
    Auto,
    /// The interpreter alone.
    Interpreter,
    /// Every function is compiled before it first runs. Those that cannot be are interpreted.
    Compiled,
}

/// An engine with a choice of tiers. Where there is no compiler for the processor or the operating system, all choices mean the interpreter.
#[must_use]
pub fn engine_with(config: Config, tiers: Tiers) -> Engine {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    let config = match compiling::engine(config, tiers) {
        Ok(engine) => return engine,
        Err(config) => config,
    };
    let _ = tiers;
    let mut config = config;
    config.tuning.tier_up = TierUp::never();
    Engine::with_tier(config, innkeeper_interp::Interpreter)
}
