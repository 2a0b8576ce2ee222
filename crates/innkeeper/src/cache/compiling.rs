//! The code cache, and modules that are compiled ahead of time.

use std::io::Write;

use innkeeper_engine::{CompileStatistics, Module, tier};
use innkeeper_jit::NativeModule;
pub use innkeeper_jit::Progress;
pub use innkeeper_jit::cache::{
    Cache, CacheContents, CacheDirectory, CacheError, CacheSeal, CacheSealError, Precompiled,
    PrecompiledError,
};

/// Compiles all functions of a module and writes them, with the module itself, for [`Precompiled::open_trusted`]. Functions that are refused will be
/// interpreted; the statistics say why.
///
/// # Errors
/// [`PrecompiledError::NoCompiler`] where the module's engine does not compile; errors of the writer.
pub fn precompile(
    module: &Module,
    to: &mut dyn Write,
    progress: Progress<'_>,
) -> Result<CompileStatistics, PrecompiledError> {
    native(module)?.compile_ahead(tier::parts(module), to, progress)
}

/// Compiles all functions of a module and leaves them in its engine's cache, where every later run finds them.
///
/// # Errors
/// [`PrecompiledError::NoCompiler`] where the module's engine does not compile, [`PrecompiledError::NoCache`] where it has no cache; errors of the system.
pub fn fill_cache(module: &Module, progress: Progress<'_>) -> Result<CompileStatistics, PrecompiledError> {
    native(module)?.fill_cache(tier::parts(module), progress)
}

/// Compiles the functions of a module that earlier runs with the same cache have called and that have no code in it, those that were called most often
/// first, until `goes_on` says no. What has been compiled is written in steps, so that runs meanwhile find it. The statistics are those of the whole engine.
///
/// # Errors
/// As [`fill_cache`].
pub fn fill_cache_with_called(
    module: &Module,
    progress: Progress<'_>,
    goes_on: &(dyn Fn() -> bool + Sync),
) -> Result<CompileStatistics, PrecompiledError> {
    native(module)?.fill_cache_with_called(tier::parts(module), progress, goes_on)
}

fn native(module: &Module) -> Result<&NativeModule, PrecompiledError> {
    NativeModule::of(tier::parts(module)).ok_or(PrecompiledError::NoCompiler)
}
