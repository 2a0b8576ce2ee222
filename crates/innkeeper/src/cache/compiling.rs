//! The code cache, and modules and components that are compiled ahead of time.

use std::io::Write;

use innkeeper_engine::{CompileStatistics, tier};
pub use innkeeper_jit::Progress;
pub use innkeeper_jit::cache::{
    Cache, CacheContents, CacheDirectory, CacheError, CacheSeal, CacheSealError, Precompiled,
    PrecompiledError,
};

use super::compilable::Compilable;

/// Compiles all functions of a module or component and writes them, with the module or component itself, for [`Precompiled::open_trusted`]. Functions that are refused will be
/// interpreted; the statistics say why.
///
/// # Errors
/// [`PrecompiledError::NoCompiler`] where the engine does not compile; errors of the writer; [`PrecompiledError::Guest`] where a component's modules cannot be decoded.
pub fn precompile(
    code: &dyn Compilable,
    to: &mut dyn Write,
    progress: Progress<'_>,
) -> Result<CompileStatistics, PrecompiledError> {
    let modules = code.modules()?;
    let parts: Vec<&tier::ModuleParts> = modules.iter().map(|module| &**tier::parts(module)).collect();
    innkeeper_jit::compile_ahead((&parts, code.whole()), to, progress)
}

/// Compiles all functions of a module or component and leaves them in its engine's cache, where every later run finds them.
///
/// # Errors
/// As [`precompile`]; [`PrecompiledError::NoCache`] where the engine has no cache; errors of the system.
pub fn fill_cache(
    code: &dyn Compilable,
    progress: Progress<'_>,
) -> Result<CompileStatistics, PrecompiledError> {
    let modules = code.modules()?;
    let parts: Vec<&tier::ModuleParts> = modules.iter().map(|module| &**tier::parts(module)).collect();
    innkeeper_jit::fill_cache((&parts, code.whole()), progress)
}

/// Compiles the functions of a module or component that earlier runs with the same cache have called and that have no code in it, those that were called most often
/// first, until `goes_on` says no. What has been compiled is written in steps, so that runs meanwhile find it. The statistics are those of the whole engine.
///
/// # Errors
/// As [`fill_cache`].
pub fn fill_cache_with_called(
    code: &dyn Compilable,
    progress: Progress<'_>,
    goes_on: &(dyn Fn() -> bool + Sync),
) -> Result<CompileStatistics, PrecompiledError> {
    let modules = code.modules()?;
    let parts: Vec<&tier::ModuleParts> = modules.iter().map(|module| &**tier::parts(module)).collect();
    innkeeper_jit::fill_cache_with_called(&parts, progress, goes_on)
}
