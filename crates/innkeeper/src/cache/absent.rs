//! Where there is no compiler, there is nothing to keep: the same names, none of which does anything.

use std::io::{self, Write};
use std::path::Path;

use innkeeper_engine::{CompileStatistics, Config};

use super::compilable::Compilable;

/// Where an engine finds machine code that was made earlier: nowhere.
#[derive(Clone, Debug, Default)]
pub struct Cache(());

/// There is none.
#[derive(Clone, Copy, Debug)]
pub enum CacheDirectory {}

/// There is none.
#[derive(Clone, Copy, Debug)]
pub enum CacheSeal {}

/// There is none.
#[derive(Clone, Copy, Debug)]
pub enum Precompiled {}

/// How much is in a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheContents {
    /// Modules that there is something about.
    pub files: u64,
    /// Bytes of their files.
    pub bytes: u64,
}

/// Why a directory cannot be a cache.
#[derive(Debug)]
pub enum CacheError {
    /// There is no compiler.
    NoCompiler,
}

/// Why there is no key.
#[derive(Debug)]
pub enum CacheSealError {
    /// There is no compiler.
    NoCompiler,
}

/// Why a file of machine code cannot be used or made.
#[derive(Debug)]
pub enum PrecompiledError {
    /// There is no compiler.
    NoCompiler,
    /// The system cannot read or write it.
    System(io::Error),
}

/// What is told while functions are compiled.
pub type Progress<'a> = &'a (dyn Fn(usize, usize) + Sync);

impl Cache {
    /// No cache.
    #[must_use]
    pub fn off() -> Cache {
        Cache::default()
    }

    /// Cannot be called.
    #[must_use]
    pub fn new(directory: CacheDirectory, _: CacheSeal) -> Cache {
        match directory {}
    }

    /// Never one.
    ///
    /// # Errors
    /// Always.
    pub fn in_directory(_: &Path, _: CacheSeal) -> Result<Cache, CacheError> {
        Err(CacheError::NoCompiler)
    }

    /// Cannot be called.
    #[must_use]
    pub fn of_precompiled(precompiled: Precompiled) -> Cache {
        match precompiled {}
    }

    /// None.
    #[must_use]
    pub fn directory(&self) -> Option<&CacheDirectory> {
        None
    }

    /// None.
    #[must_use]
    pub fn seal(&self) -> Option<&CacheSeal> {
        None
    }
}

impl CacheSeal {
    /// What the file of the key would be called.
    pub const FILE_NAME: &'static str = "key";

    /// Never one.
    ///
    /// # Errors
    /// Always.
    pub fn in_directory(_: &Path) -> Result<CacheSeal, CacheSealError> {
        Err(CacheSealError::NoCompiler)
    }

    /// Cannot be called.
    #[must_use]
    pub fn directory(&self) -> &Path {
        match *self {}
    }

    /// Cannot be called.
    #[must_use]
    pub fn derive(&self, _: &str) -> [u8; 32] {
        match *self {}
    }
}

impl CacheDirectory {
    /// What it would hold.
    pub const DEFAULT_LIMIT_BYTES: u64 = 1 << 30;

    /// Never one.
    ///
    /// # Errors
    /// Always.
    pub fn open(_: &Path, _: u64) -> Result<CacheDirectory, CacheError> {
        Err(CacheError::NoCompiler)
    }

    /// Cannot be called.
    pub fn remove_if_new(&self) {
        match *self {}
    }

    /// Cannot be called.
    #[must_use]
    pub fn path(&self) -> &Path {
        match *self {}
    }

    /// Cannot be called.
    #[must_use]
    pub fn overlaps(&self, _: &Path) -> bool {
        match *self {}
    }

    /// Cannot be called.
    #[must_use]
    pub fn limit_bytes(&self) -> u64 {
        match *self {}
    }

    /// Cannot be called.
    #[must_use]
    pub fn is_first_refusal(&self) -> bool {
        match *self {}
    }

    /// Cannot be called.
    #[must_use]
    pub fn reserve(&self) -> Option<std::fs::File> {
        match *self {}
    }

    /// Cannot be called.
    ///
    /// # Errors
    /// None.
    pub fn contents(&self) -> io::Result<CacheContents> {
        match *self {}
    }

    /// Cannot be called.
    ///
    /// # Errors
    /// None.
    pub fn clear(&self) -> io::Result<CacheContents> {
        match *self {}
    }
}

impl Precompiled {
    /// Never.
    #[must_use]
    pub fn is_one(_: &[u8]) -> bool {
        false
    }

    /// Never one.
    ///
    /// # Errors
    /// Always.
    pub fn open_trusted(_: &Path, _: &Config) -> Result<Precompiled, PrecompiledError> {
        Err(PrecompiledError::NoCompiler)
    }

    /// Cannot be called.
    #[must_use]
    pub fn take_module(&mut self) -> Vec<u8> {
        match *self {}
    }
}

/// Never compiles anything.
///
/// # Errors
/// Always.
pub fn precompile(
    _: &dyn Compilable,
    _: &mut dyn Write,
    _: Progress<'_>,
) -> Result<CompileStatistics, PrecompiledError> {
    Err(PrecompiledError::NoCompiler)
}

/// Never compiles anything.
///
/// # Errors
/// Always.
pub fn fill_cache(_: &dyn Compilable, _: Progress<'_>) -> Result<CompileStatistics, PrecompiledError> {
    Err(PrecompiledError::NoCompiler)
}

/// Never compiles anything.
///
/// # Errors
/// Always.
pub fn fill_cache_with_called(
    _: &dyn Compilable,
    _: Progress<'_>,
    _: &(dyn Fn() -> bool + Sync),
) -> Result<CompileStatistics, PrecompiledError> {
    Err(PrecompiledError::NoCompiler)
}

const NO_COMPILER: &str = "there is no compiler for this processor or operating system";

impl std::fmt::Display for CacheError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(NO_COMPILER)
    }
}

impl std::error::Error for CacheError {}

impl std::fmt::Display for CacheSealError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(NO_COMPILER)
    }
}

impl std::error::Error for CacheSealError {}

impl PrecompiledError {
    /// Whether another configuration of the engine could use the file: none can.
    #[must_use]
    pub fn is_of_settings(&self) -> bool {
        false
    }
}

impl std::fmt::Display for PrecompiledError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            PrecompiledError::NoCompiler => f.write_str(NO_COMPILER),
            PrecompiledError::System(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PrecompiledError {}

impl From<io::Error> for PrecompiledError {
    fn from(error: io::Error) -> PrecompiledError {
        PrecompiledError::System(error)
    }
}
