//! Which tiers execute guests.

#[cfg(all(feature = "compiler", target_arch = "x86_64", target_os = "linux"))]
mod compiling;

use innkeeper_engine::{Config, Engine, Error, NewCode, TierUp};

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

/// An engine with a choice of tiers. Where there is no compiler for the processor or the operating system, or none is built in, all choices mean the interpreter.
#[must_use]
pub fn engine_with(config: Config, tiers: Tiers) -> Engine {
    #[cfg(all(feature = "compiler", target_arch = "x86_64", target_os = "linux"))]
    let engine = compiling_engine(config, tiers, innkeeper_jit::cache::Cache::off());
    #[cfg(not(all(feature = "compiler", target_arch = "x86_64", target_os = "linux")))]
    let engine = interpreting_engine(config, tiers);
    engine
}

/// The same, with a cache: what was compiled for a module in one process is used in the next, and modules known from there are not validated again.
#[cfg(feature = "cache")]
#[must_use]
pub fn engine_cached(config: Config, tiers: Tiers, cache: crate::cache::Cache) -> Engine {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    let engine = compiling_engine(config, tiers, cache);
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    let engine = {
        let _ = cache;
        interpreting_engine(config, tiers)
    };
    engine
}

#[cfg(all(feature = "compiler", target_arch = "x86_64", target_os = "linux"))]
fn compiling_engine(config: Config, tiers: Tiers, cache: innkeeper_jit::cache::Cache) -> Engine {
    match compiling::engine(config, tiers, cache) {
        Ok(engine) => with_text(engine),
        Err(config) => interpreting_engine(config, tiers),
    }
}

/// An engine that only interprets, whatever was chosen.
fn interpreting_engine(mut config: Config, _: Tiers) -> Engine {
    config.tuning.tier_up = TierUp::never();
    with_text(Engine::with_tier(config, innkeeper_interp::Interpreter))
}

/// An engine that takes modules in the text format, where that is built in.
fn with_text(engine: Engine) -> Engine {
    #[cfg(feature = "wat")]
    let engine = engine.with_text(crate::text::translate);
    engine
}

/// What [`Engine::new`] gives.
#[allow(unsafe_code, reason = "the engine asks for it by name, since it knows no tier")]
// SAFETY: nobody else has a function of this name, in which the crate and its version stand; its type is that which the engine's `default_engine.rs` states.
#[unsafe(no_mangle)]
fn innkeeper_0_1_default_engine(config: Config) -> Result<Engine, Error> {
    Ok(engine_with(config, Tiers::default()))
}

/// Whether this thread is inside the compiler, whose panics are caught: the function that it was compiling stays interpreted. The panic hook is told of
/// them as of any other, and can ask this if it would rather not show them.
#[must_use]
pub fn is_compiling() -> bool {
    #[cfg(all(feature = "compiler", target_arch = "x86_64", target_os = "linux"))]
    let is_compiling = innkeeper_jit::is_compiling();
    #[cfg(not(all(feature = "compiler", target_arch = "x86_64", target_os = "linux")))]
    let is_compiling = false;
    is_compiling
}

/// Has `watcher` told of all machine code of this process from now on, on the thread that made it and before it is executed: for tools that look at the
/// process from outside, such as profilers. Only the first watcher of a process is told; false where this is not the first, or nothing compiles.
pub fn watch_code(watcher: impl Fn(NewCode<'_>) + Send + Sync + 'static) -> bool {
    #[cfg(all(feature = "compiler", target_arch = "x86_64", target_os = "linux"))]
    let is_first = innkeeper_jit::watch_code(watcher);
    #[cfg(not(all(feature = "compiler", target_arch = "x86_64", target_os = "linux")))]
    let is_first = {
        let _ = watcher;
        false
    };
    is_first
}
