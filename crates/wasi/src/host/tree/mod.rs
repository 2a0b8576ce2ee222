//! A directory tree that the host keeps itself: in memory alone, or laid over a directory of the host that stays as it is.
//!
//! Nodes have numbers that are never used again; a directory maps names to nodes. Laid over a host directory (the *lower* one), a
//! node knows the place there that it stands for, and is read from there until it is changed: listings when first
//! needed, contents piece by piece. Names that were removed are simply not in their directory any more.
//!
//! What must stay true: nothing below is ever written through a tree while a guest runs; `..` and links are followed here, never by the
//! system, and never above the directory that a path was looked up in; memory is bounded by the tree's limit, by what it costs the host (`cost`).
//!
//! Where the lower directory is changed by others meanwhile, a guest sees old or new, each file for itself.
//!
//! Topics: `node` (what there is), `content` (bytes of a file), `lower` (the directory beneath), `walk` (paths), `out_of_sight` (what no path reaches), `names`
//! (operations on names), `handle` (open files and directories), `preload` (what is there before the guest), `read_back` (its files, for the keys' owner), `changes`, `apply`
//! and `archive` (what became of it).

mod apply;
mod archive;
mod archive_member;
mod changes;
mod content;
mod cost;
mod handle;
mod lower;
mod names;
mod node;
mod out_of_sight;
mod preload;
mod read_back;
mod walk;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use innkeeper_engine::Budget;

pub(super) use apply::stage::PREFIX as STAGING_PREFIX;
pub use apply::{
    Aftermath, ApplyError, Cause as ApplyCause, ChangesSeal, Finish, Leftover, Trust, Unfinished,
    finish_apply, list_unfinished,
};
pub(super) use apply::{is_staging_directory, looks_like_staging_directory};
pub use archive::ArchiveError;
pub use changes::{Change, ChangeKind, Overlay, Stop};
pub(super) use handle::{TreeDirectory, TreeEntry, TreeFile, TreeOpened, WriteAt};
pub use read_back::KeptDirectory;
pub(super) use walk::Last;

use super::error::Error;
use super::gate::Permit;
use super::metadata::Timestamp;
use super::reach::NativeDirectory;
use super::resolve::Resolve;
use cost::Account;
use node::State;

/// A tree. Handles share it.
#[derive(Debug)]
pub(super) struct Tree {
    state: Mutex<State>,
}

/// What an operation on a tree needs besides the tree: the gate's permit, the way to find things beneath, and the time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visit<'a> {
    pub(super) permit: &'a Permit,
    pub(super) resolve: Resolve<'a>,
    pub(super) now: Timestamp,
}

impl Visit<'_> {
    /// Whether to go on with what a guest, or a directory, chooses the length of.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    fn heed_interrupt(self) -> Result<(), Error> {
        self.resolve.heed_interrupt()
    }
}

impl Tree {
    /// An empty tree in memory that takes `limit_bytes`.
    pub(super) fn in_memory(budget: &Budget, limit_bytes: u64, now: Timestamp) -> Arc<Tree> {
        Arc::new(Tree { state: Mutex::new(State::new(None, Account::new(budget, limit_bytes), now)) })
    }

    /// A tree laid over a host directory, whose changes take at most `limit_bytes`.
    pub(super) fn over(
        lower: NativeDirectory,
        budget: &Budget,
        limit_bytes: u64,
        now: Timestamp,
    ) -> Arc<Tree> {
        Arc::new(Tree { state: Mutex::new(State::new(Some(lower), Account::new(budget, limit_bytes), now)) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
