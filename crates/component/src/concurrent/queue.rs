//! Keys in the order in which they came, of which some may be of what is gone meanwhile.
//!
//! Must stay true: those of what is gone are never many more than the others, whose places are charged: how often something comes and goes, guests choose.

use std::collections::VecDeque;

use super::{Key, Slab};

/// Keys of what is gone that are left where they are, beside as many as there are of what is there.
const MOST_GONE: usize = 16;

/// See the module's documentation. Each key is in it once at most, which is for whoever adds it to see to.
pub(crate) struct Queue<V> {
    keys: VecDeque<Key<V>>,
    /// How many of them are of what is gone.
    gone: usize,
}

impl<V> Default for Queue<V> {
    fn default() -> Self {
        Queue { keys: VecDeque::new(), gone: 0 }
    }
}

impl<V> Queue<V> {
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// How many are of what is there, where none of the others was taken.
    pub(super) fn there(&self) -> usize {
        self.keys.len().saturating_sub(self.gone)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Key<V>> + '_ {
        self.keys.iter().copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn add(&mut self, key: Key<V>) {
        self.keys.push_back(key);
    }

    /// Takes the first one.
    pub(super) fn take(&mut self) -> Option<Key<V>> {
        self.keys.pop_front()
    }

    /// Takes the one that so many are before.
    pub(super) fn take_at(&mut self, index: usize) -> Option<Key<V>> {
        self.keys.remove(index)
    }

    /// Takes all.
    pub(super) fn take_all(&mut self) -> VecDeque<Key<V>> {
        self.gone = 0;
        std::mem::take(&mut self.keys)
    }

    /// Notes that one that was taken is of what is gone.
    pub(super) fn has_taken_gone(&mut self) {
        self.gone = self.gone.saturating_sub(1);
    }

    /// Notes that what one of them is of is gone from its slab. Where it drops keys, these are at least half of those that it looks at: each costs constant time.
    pub(super) fn is_gone(&mut self, slab: &Slab<V>) {
        self.gone += 1;
        if self.gone > MOST_GONE && self.gone * 2 > self.keys.len() {
            self.keys.retain(|key| slab.get(*key).is_some());
            self.keys.shrink_to(self.keys.len() * 2 + MOST_GONE);
            self.gone = 0;
        }
    }
}
