//! What the embedder's references keep alive, and for how long.
//!
//! Must stay true: a reference is good only where its place still has its generation; a place that is given to another reference has another one.

use std::fmt;
use std::sync::{Arc, Weak};

use crate::error::Error;
use crate::index::StoreId;
use crate::store::{AsContext, AsContextMut, StoreContext, StoreContextMut, StoreCore};

/// A reference that the embedder holds: a place in one of the store's two lists of roots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rooted {
    store: StoreId,
    place: RootPlace,
    /// Tells apart the references that have stood at the same place.
    generation: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RootPlace {
    /// In the list whose end is cut off when a call of a function of the host returns.
    Scoped(usize),
    /// In that of the owned ones.
    Owned(usize),
}

/// An entry of the store's list of roots.
pub(crate) struct Root {
    pub(crate) slot: u64,
    generation: u64,
}

/// The roots that are let go one by one.
#[derive(Default)]
pub(crate) struct OwnedRoots {
    roots: Vec<OwnedRoot>,
    free: Vec<usize>,
    /// With so many entries in use, those that nobody holds any more are looked for.
    sweep_at: usize,
}

struct OwnedRoot {
    root: Root,
    /// Gone with the last [`OwnedRooted`].
    holders: Weak<()>,
}

impl OwnedRoots {
    /// What must be kept.
    pub(crate) fn slots(&self) -> impl Iterator<Item = u64> {
        self.roots.iter().filter(|owned| owned.is_held()).map(|owned| owned.root.slot)
    }

    fn push(&mut self, root: Root, holders: Weak<()>) -> usize {
        if self.free.is_empty() && self.roots.len() >= self.sweep_at {
            let is_free = |(place, owned): (usize, &OwnedRoot)| (!owned.is_held()).then_some(place);
            self.free = self.roots.iter().enumerate().filter_map(is_free).collect();
            let held = self.roots.len() - self.free.len();
            // So that looking through all is paid for by as many that are added.
            self.sweep_at = (2 * held).max(FIRST_SWEEP);
        }
        let owned = OwnedRoot { root, holders };
        match self.free.pop() {
            Some(place) => {
                self.roots[place] = owned;
                place
            }
            None => {
                self.roots.push(owned);
                self.roots.len() - 1
            }
        }
    }
}

const FIRST_SWEEP: usize = 32;

impl OwnedRoot {
    fn is_held(&self) -> bool {
        self.holders.strong_count() > 0
    }
}

impl StoreCore {
    /// Keeps what `slot` refers to, for the embedder.
    pub(crate) fn root(&mut self, slot: u64) -> Rooted {
        let generation = self.next_generation();
        self.roots.push(Root { slot, generation });
        Rooted { store: self.id(), place: RootPlace::Scoped(self.roots.len() - 1), generation }
    }

    pub(crate) fn slot_of_root(&self, rooted: Rooted) -> Result<u64, Error> {
        if rooted.store != self.id() {
            return Err(Error::foreign("the reference"));
        }
        let root = match rooted.place {
            RootPlace::Scoped(place) => self.roots.get(place),
            RootPlace::Owned(place) => {
                let owned = self.owned_roots.roots.get(place);
                owned.filter(|owned| owned.is_held()).map(|owned| &owned.root)
            }
        };
        match root {
            Some(root) if root.generation == rooted.generation => Ok(root.slot),
            _ => Err(Error::usage(
                "the reference is no longer good: the call of the host's function in which it was made has returned, or it was released (`to_owned_rooted` keeps it longer)",
            )),
        }
    }

    fn next_generation(&mut self) -> u64 {
        self.root_generation += 1;
        self.root_generation
    }
}

/// What every reference can say of itself; for this crate.
pub(crate) trait Place: Copy {
    fn rooted(self) -> Rooted;
    fn at(rooted: Rooted) -> Self;
}

/// A reference that the embedder holds: [`crate::ExternRef`], [`crate::AnyRef`], [`crate::EqRef`], [`crate::StructRef`], [`crate::ArrayRef`] or [`crate::ExnRef`].
#[allow(private_bounds, reason = "there are no others")]
pub trait Reference: Place {
    /// The reference for as long as the result is held, or a clone of it: beyond the host call that it was made in.
    ///
    /// # Errors
    /// Where the reference is no longer good, or of another store.
    fn to_owned_rooted(self, mut store: impl AsContextMut) -> Result<OwnedRooted<Self>, Error> {
        let core = &mut store.as_context_mut().0.core;
        let slot = core.slot_of_root(self.rooted())?;
        let (generation, holders) = (core.next_generation(), Arc::new(()));
        let place = core.owned_roots.push(Root { slot, generation }, Arc::downgrade(&holders));
        let rooted = Rooted { store: core.id(), place: RootPlace::Owned(place), generation };
        Ok(OwnedRooted { reference: Self::at(rooted), holders })
    }
}

/// A reference that is good until this and all its clones are dropped. What it refers to goes with the next collection then.
///
/// ```
/// # use innkeeper_engine::{Engine, Error, ExternRef, Reference, Store};
/// # fn keep(engine: &Engine) -> Result<(), Error> {
/// let mut store = Store::new(engine, ())?;
/// let kept = ExternRef::new(&mut store, 7_u32)?.to_owned_rooted(&mut store)?;
/// store.release_references();
/// assert!(kept.get().data(&store)?.is_some());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct OwnedRooted<R> {
    reference: R,
    holders: Arc<()>,
}

impl<R: Reference> OwnedRooted<R> {
    /// The reference, which is good for as long as this lives.
    #[must_use]
    pub fn get(&self) -> R {
        self.reference
    }

    /// How many there are of this, clones included.
    #[must_use]
    pub fn holders(&self) -> usize {
        Arc::strong_count(&self.holders)
    }
}

impl<R: fmt::Debug> fmt::Debug for OwnedRooted<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedRooted").field(&self.reference).finish()
    }
}

/// A store in which references that are made are released when this is dropped.
pub struct RootScope<C: AsContextMut> {
    store: C,
    /// Roots that there were before.
    before: usize,
}

impl<C: AsContextMut> RootScope<C> {
    /// Begins a scope.
    pub fn new(store: C) -> RootScope<C> {
        let before = store.as_context().0.core.roots.len();
        RootScope { store, before }
    }
}

impl<C: AsContextMut> AsContext for RootScope<C> {
    type Data = C::Data;
    fn as_context(&self) -> StoreContext<'_, C::Data> {
        self.store.as_context()
    }
}

impl<C: AsContextMut> AsContextMut for RootScope<C> {
    fn as_context_mut(&mut self) -> StoreContextMut<'_, C::Data> {
        self.store.as_context_mut()
    }
}

impl<C: AsContextMut> Drop for RootScope<C> {
    fn drop(&mut self) {
        let before = self.before;
        self.store.as_context_mut().0.core.roots.truncate(before);
    }
}
