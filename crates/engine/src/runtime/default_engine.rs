//! The engine that [`Engine::new`] makes: which tiers execute guests is decided by the crate that picks them, which this one does not know.
//!
//! Must stay true: what refers to the function is inlined where it is used, so that this crate can be linked where there is no such choice.

use crate::config::Config;
use crate::engine::Engine;
use crate::error::Error;

impl Engine {
    /// An engine with the default choice of tiers: guests start in the interpreter, and what gets hot is compiled, where there is a compiler.
    ///
    /// # Errors
    /// None at present; what a configuration asks for may come to be refused.
    #[inline]
    pub fn new(config: impl Into<Config>) -> Result<Engine, Error> {
        // SAFETY: the crate `innkeeper` defines the function, with this type (`tiers/mod.rs`).
        unsafe { innkeeper_0_1_default_engine(config.into()) }
    }
}

unsafe extern "Rust" {
    fn innkeeper_0_1_default_engine(config: Config) -> Result<Engine, Error>;
}
