//! Where a store keeps its entities, and the numbers that name them.
//!
//! Must stay true: nothing is ever taken out but all at once, when the store begins anew or goes, so that until then a number is good.

use std::num::NonZero;
use std::ops::{Index, IndexMut};

use crate::error::{Error, ErrorKind};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) struct $name(NonZero<u32>);

        impl ArenaId for $name {
            #[inline]
            fn from_position(position: u32) -> Self {
                $name(NonZero::<u32>::MIN.saturating_add(position))
            }
            #[inline]
            fn position(self) -> usize {
                (self.0.get() - 1) as usize
            }
        }
    )*};
}

ids! {
    /// A memory of a store.
    MemoryId
    /// A table of a store.
    TableId
    /// A global of a store.
    GlobalId
    /// A tag of a store.
    TagId
    /// An instance of a store.
    InstanceId
}

/// A number that names an element of an [`Arena`]: its position and one, so that none is no larger and both go through registers.
pub(crate) trait ArenaId: Copy {
    /// The number of the element at `position`, which is less than `u32::MAX`.
    fn from_position(position: u32) -> Self;
    fn position(self) -> usize;
}

/// A vector that only grows, indexed by its own kind of number.
pub(crate) struct Arena<E, I> {
    elements: Vec<E>,
    id: std::marker::PhantomData<fn(I)>,
}

impl<E, I: ArenaId> Arena<E, I> {
    pub(crate) fn new() -> Self {
        Arena { elements: Vec::new(), id: std::marker::PhantomData }
    }

    pub(crate) fn push(&mut self, element: E) -> Result<I, Error> {
        let position = u32::try_from(self.elements.len()).ok().filter(|position| *position < u32::MAX);
        let position =
            position.ok_or_else(|| Error::limit("a store holds less than 2^32 entities of a kind"))?;
        self.elements.try_reserve(1).map_err(|_| {
            Error::new(ErrorKind::Os("there is no memory for another entity of a store".to_owned()))
        })?;
        self.elements.push(element);
        Ok(I::from_position(position))
    }

    /// Drops all: their numbers are those of others from now on.
    pub(crate) fn clear(&mut self) {
        self.elements.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.elements.len()
    }

    /// The numbers of all, in order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = I> + use<E, I> {
        (0..self.elements.len() as u32).map(I::from_position)
    }

    pub(crate) fn iter(&self) -> std::slice::Iter<'_, E> {
        self.elements.iter()
    }
}

impl<E, I: ArenaId> Index<I> for Arena<E, I> {
    type Output = E;
    fn index(&self, id: I) -> &E {
        &self.elements[id.position()]
    }
}

impl<E, I: ArenaId> IndexMut<I> for Arena<E, I> {
    fn index_mut(&mut self, id: I) -> &mut E {
        &mut self.elements[id.position()]
    }
}

/// Two different elements at once.
pub(crate) fn two<E, I: ArenaId>(arena: &mut Arena<E, I>, a: I, b: I) -> [&mut E; 2] {
    // Callers have told the two apart.
    match arena.elements.get_disjoint_mut([a.position(), b.position()]) {
        Ok(pair) => pair,
        Err(error) => unreachable!("{error}"),
    }
}
