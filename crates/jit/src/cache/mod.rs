//! The code cache: what is known of a module from one run to the next, or of a component with all modules in it, and those that were generated for it.
//!
//! One file a [`key::Key`]: the bytes of the module or component, the build of the compiler, the processor and the settings. That there is one says that they are
//! valid; in it are the machine code of functions and loops that were hot ([`format`] has the layout), which functions to compile next, and trampolines. [`directory`]
//! decides which files are believed, [`saved`] uses them, [`writer`] writes them, and [`kept`] has what modules of one file share. A file that was compiled ahead of time ([`precompiled`]) is of the same
//! format, with the module in it.
//!
//! A file in a directory is believed only with the code of the user's own key ([`seal`]): a guest that was granted the directory may have put it there.
//!
//! Must stay true: what is not exactly what was written for this very key is not used; neither is it an error: the module is validated and compiled again.

pub(crate) mod contents;
mod directory;
pub(crate) mod entry_point;
pub(crate) mod format;
pub(crate) mod kept;
pub(crate) mod key;
#[allow(unsafe_code, reason = "files are mapped")]
mod mapping;
mod precompiled;
mod saved;
mod seal;
pub(crate) mod writer;

use std::path::Path;
use std::sync::Arc;

pub use directory::{CacheContents, CacheDirectory, CacheError};
pub use precompiled::{Precompiled, PrecompiledError};
pub use seal::{CacheSeal, CacheSealError};

pub(crate) use saved::SavedCode;

use format::Seal;
use key::Key;
use mapping::Sharing;

/// Where an engine finds machine code that was made earlier, and leaves what it makes. None of it is needed: without, code is made again.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    sealed: Option<Arc<SealedDirectory>>,
    precompiled: Option<Arc<Precompiled>>,
}

/// A directory of files, and the key that they are believed by.
#[derive(Debug)]
pub(crate) struct SealedDirectory {
    pub(crate) directory: CacheDirectory,
    seal: CacheSeal,
}

impl SealedDirectory {
    /// The code that was made for a key, if there is a file that can be believed.
    pub(crate) fn find(&self, key: &Key) -> Option<SavedCode> {
        let (file, bytes) = self.directory.find(&key.file_name())?;
        let saved = SavedCode::open((&file, bytes), Seal::Keyed(&self.seal), Sharing::Mapped).ok()?;
        (saved.head().key == *key).then_some(saved)
    }

    /// What the heads of files that are written here are authenticated with.
    pub(crate) fn seal(&self) -> Seal<'_> {
        Seal::Keyed(&self.seal)
    }
}

impl Cache {
    /// No cache.
    #[must_use]
    pub fn off() -> Cache {
        Cache::default()
    }

    /// A directory of files, one a module or component, of which those are believed that were written with this key.
    ///
    /// Whoever can write there while a process uses it decides what that process executes, and whoever knows the key decides it for later ones: no guest may be
    /// granted either directory, or one that it is in. WASI's `Keys::hidden` keeps them from a guest.
    #[must_use]
    pub fn new(directory: CacheDirectory, seal: CacheSeal) -> Cache {
        Cache { sealed: Some(Arc::new(SealedDirectory { directory, seal })), precompiled: None }
    }

    /// [`Cache::new`] of a directory of [`CacheDirectory::DEFAULT_LIMIT_BYTES`] at the most.
    ///
    /// # Errors
    /// As [`CacheDirectory::open`].
    pub fn in_directory(path: &Path, seal: CacheSeal) -> Result<Cache, CacheError> {
        Ok(Cache::new(CacheDirectory::open(path, CacheDirectory::DEFAULT_LIMIT_BYTES)?, seal))
    }

    /// No directory, and a module that was compiled ahead of time.
    #[must_use]
    pub fn of_precompiled(precompiled: Precompiled) -> Cache {
        Cache { sealed: None, precompiled: Some(Arc::new(precompiled)) }
    }

    /// The directory, if there is one.
    #[must_use]
    pub fn directory(&self) -> Option<&CacheDirectory> {
        self.sealed.as_ref().map(|sealed| &sealed.directory)
    }

    /// The key that files in the directory are believed by, if there is a directory.
    #[must_use]
    pub fn seal(&self) -> Option<&CacheSeal> {
        self.sealed.as_ref().map(|sealed| &sealed.seal)
    }

    /// Whether nothing is found here, and nothing left.
    pub(crate) fn is_off(&self) -> bool {
        self.sealed.is_none() && self.precompiled.is_none()
    }

    /// The code that was made for a key, if there is a file that can be believed.
    pub(crate) fn find(&self, key: &Key) -> Option<Arc<SavedCode>> {
        if let Some(code) = self.precompiled.as_ref().and_then(|precompiled| precompiled.code_for(key)) {
            return Some(code);
        }
        self.sealed.as_ref()?.find(key).map(Arc::new)
    }

    pub(crate) fn shared_directory(&self) -> Option<Arc<SealedDirectory>> {
        self.sealed.clone()
    }
}
