//! Tuning: choices that cannot change what a guest observes, only how the host goes about it.
//!
//! They exist for tests, and for hosts where the automatic choice is unwelcome.

/// How paths are resolved beneath a directory. The result is the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resolver {
    /// `openat2` where one probe at start shows that it works, otherwise the walker.
    #[default]
    Auto,
    /// `openat2`, unprobed.
    OpenAt2,
    /// The walker: one component at a time, in user space.
    Walk,
}

/// What the probe for `openat2` is taken to answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProbeAnswer {
    /// Whatever the system answers.
    #[default]
    Real,
    /// "Function not implemented": a kernel before 5.6.
    Enosys,
    /// "Operation not permitted": a system call filter.
    Eperm,
}

/// Whether file systems are taken to have names that their text does not tell apart, such as short aliases of long ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameAliases {
    /// By the type of each file system.
    #[default]
    Auto,
    /// All of them: each step of each path is looked at.
    Assumed,
}

/// Every knob that cannot affect correctness.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WasiTuning {
    /// How paths are resolved.
    pub resolver: Resolver,
    /// A simulated answer to the probe that [`Resolver::Auto`] makes.
    pub probe: ProbeAnswer,
    /// Which file systems have names that their text does not tell apart.
    pub aliases: NameAliases,
}

impl WasiTuning {
    /// WasiTuning with this resolver.
    #[must_use]
    pub fn with_resolver(resolver: Resolver) -> WasiTuning {
        WasiTuning { resolver, ..WasiTuning::default() }
    }

    /// WasiTuning that takes every file system for one with aliases, or asks each.
    #[must_use]
    pub fn with_aliases(aliases: NameAliases) -> WasiTuning {
        WasiTuning { aliases, ..WasiTuning::default() }
    }

    /// WasiTuning whose probe for `openat2` answers as told.
    #[must_use]
    pub fn with_probe(probe: ProbeAnswer) -> WasiTuning {
        WasiTuning { probe, ..WasiTuning::default() }
    }
}
