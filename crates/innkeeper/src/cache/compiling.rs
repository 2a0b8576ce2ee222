//! The code cache, and modules that are compiled ahead of time.

use std::io::Write;

use innkeeper_engine::{Census, Module, tier};
use innkeeper_jit::NativeModule;
pub use innkeeper_jit::Progress;
pub use innkeeper_jit::cache::{
    Cache, CacheContents, CacheDirectory, CacheError, Precompiled, PrecompiledError,
};

/// Compiles all functions of a module and writes them, with the module itself, for [`Precompiled::open_trusted`]. Functions that are refused will be
/// interpreted; the census says why.
///
/// # Errors
/// [`PrecompiledError::NoCompiler`] where the module's engine does not compile; errors of the writer.
pub fn precompile(
    module: &Module,
    to: &mut dyn Write,
    progress: Progress<'_>,
) -> Result<Census, PrecompiledError> {
    let parts = tier::parts(module);
    let native = parts.code().native().and_then(|native| native.downcast_ref::<NativeModule>());
    native.ok_or(PrecompiledError::NoCompiler)?.compile_ahead(parts, to, progress)
}
