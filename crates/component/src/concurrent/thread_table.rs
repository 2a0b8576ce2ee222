//! Threads of an instance by index (canonical ABI, `Table`): those that somebody has asked for one.
//!
//! Must stay true: how many threads come and go, guests choose; each costs constant time.

use super::{Key, Thread};

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct ThreadTable {
    /// By index, from 1.
    places: Vec<Option<Key<Thread>>>,
    free: Vec<u32>,
}

impl ThreadTable {
    pub(super) fn get(&self, index: u32) -> Option<Key<Thread>> {
        self.places.get((index as usize).checked_sub(1)?).copied().flatten()
    }

    /// Gives a thread an index: the one that has become free last, where there is one.
    pub(super) fn add(&mut self, key: Key<Thread>) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() as u32
        });
        self.places[index as usize - 1] = Some(key);
        index
    }

    pub(super) fn remove(&mut self, index: u32) {
        let place = (index as usize).checked_sub(1).and_then(|place| self.places.get_mut(place));
        if place.and_then(Option::take).is_some() {
            self.free.push(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_begin_at_one_and_are_used_again_last_in_first_out() {
        let mut table = ThreadTable::default();
        let key = Key::of_nothing();
        let indices: Vec<u32> = (0..100_000).map(|_| table.add(key)).collect();
        assert!(indices.iter().copied().eq(1..=100_000));
        assert_eq!((table.get(0), table.get(1), table.get(100_001)), (None, Some(key), None));
        [7, 7, 0, 3, 200_000].into_iter().for_each(|index| table.remove(index));
        assert_eq!((table.get(3), table.get(7)), (None, None));
        assert_eq!([table.add(key), table.add(key), table.add(key)], [3, 7, 100_001]);
    }
}
