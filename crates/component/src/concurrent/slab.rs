//! Things of a store that come and go, each under a key that nothing else ever had.
//!
//! Must stay true: what is gone is not found under its key, whoever has its place now. Guests choose how many there are: places are charged before they are made.

use std::marker::PhantomData;

use innkeeper_engine::{Budget, BudgetKind, Charge, Error};

/// The key of a `V`.
pub(crate) struct Key<V> {
    pub(crate) index: u32,
    generation: u32,
    of: PhantomData<fn() -> V>,
}

impl<V> Key<V> {
    fn new(index: u32, generation: u32) -> Key<V> {
        Key { index, generation, of: PhantomData }
    }
}

#[cfg(test)]
impl<V> Key<V> {
    /// One that nothing has.
    pub(crate) fn of_nothing() -> Key<V> {
        Key::new(u32::MAX, 0)
    }
}

impl<V> Clone for Key<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Key<V> {}

impl<V> PartialEq for Key<V> {
    fn eq(&self, other: &Key<V>) -> bool {
        (self.index, self.generation) == (other.index, other.generation)
    }
}

impl<V> Eq for Key<V> {}

impl<V> std::fmt::Debug for Key<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

/// See the module's documentation.
pub(crate) struct Slab<V> {
    places: Vec<(u32, Option<V>)>,
    free: Vec<u32>,
    /// How many places there is room for.
    room: usize,
    charge: Option<Charge>,
}

/// Places that there is room for at first.
const FIRST_PLACES: usize = 16;

/// What each of them takes elsewhere: what was passed to a call, queues that it stands in.
const ELSEWHERE_BYTES: usize = 160;

impl<V> Default for Slab<V> {
    fn default() -> Self {
        Slab { places: Vec::new(), free: Vec::new(), room: 0, charge: None }
    }
}

impl<V> Slab<V> {
    pub(crate) fn add(&mut self, thing: V, budget: &Budget) -> Result<Key<V>, Error> {
        if self.free.is_empty() && self.places.len() >= self.room {
            self.grow(budget)?;
        }
        Ok(self.put(thing))
    }

    /// Makes room for twice as many, all of which can be free at once.
    fn grow(&mut self, budget: &Budget) -> Result<(), Error> {
        let places = (self.room * 2).max(FIRST_PLACES);
        let bytes = places * (size_of::<(u32, Option<V>)>() + size_of::<u32>() + ELSEWHERE_BYTES);
        match &mut self.charge {
            Some(charge) => charge.set(bytes as u64)?,
            None => self.charge = Some(budget.hold(BudgetKind::Descriptor, bytes as u64)?),
        }
        let no_memory = |_| Error::limit("the system has no memory for more tasks and what they wait for");
        self.places.try_reserve_exact(places - self.places.len()).map_err(no_memory)?;
        self.free.try_reserve_exact(places - self.free.len()).map_err(no_memory)?;
        self.room = places;
        Ok(())
    }

    fn put(&mut self, thing: V) -> Key<V> {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push((0, None));
            self.places.len() as u32 - 1
        });
        let place = &mut self.places[index as usize];
        place.1 = Some(thing);
        Key::new(index, place.0)
    }

    pub(crate) fn get(&self, key: Key<V>) -> Option<&V> {
        let (generation, thing) = self.places.get(key.index as usize)?;
        thing.as_ref().filter(|_| *generation == key.generation)
    }

    pub(crate) fn get_mut(&mut self, key: Key<V>) -> Option<&mut V> {
        let (generation, thing) = self.places.get_mut(key.index as usize)?;
        thing.as_mut().filter(|_| *generation == key.generation)
    }

    /// What has a place now, whatever its generation.
    pub(crate) fn at(&mut self, index: u32) -> Option<&mut V> {
        self.places.get_mut(index as usize)?.1.as_mut()
    }

    /// The key of what has a place now.
    pub(crate) fn key_at(&self, index: u32) -> Option<Key<V>> {
        let (generation, thing) = self.places.get(index as usize)?;
        thing.as_ref().map(|_| Key::new(index, *generation))
    }

    pub(crate) fn remove(&mut self, key: Key<V>) -> Option<V> {
        let (generation, thing) = self.places.get_mut(key.index as usize)?;
        if *generation != key.generation {
            return None;
        }
        let thing = thing.take()?;
        *generation = generation.wrapping_add(1);
        self.free.push(key.index);
        Some(thing)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = Key<V>> + '_ {
        let there = self.places.iter().enumerate().filter(|(_, (_, thing))| thing.is_some());
        there.map(|(index, (generation, _))| Key::new(index as u32, *generation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_not_found_under_its_key() {
        let budget = Budget::new(Some(1 << 20), "a test");
        let mut slab = Slab::default();
        let (one, two) = (slab.add(1, &budget).unwrap(), slab.add(2, &budget).unwrap());
        assert_eq!(slab.remove(one), Some(1));
        let three = slab.add(3, &budget).unwrap();
        assert_eq!(three.index, one.index);
        assert_eq!(slab.get(one), None);
        assert_eq!(slab.get_mut(one), None);
        assert_eq!(slab.remove(one), None);
        assert_eq!((slab.get(two), slab.get(three)), (Some(&2), Some(&3)));
        assert_eq!(slab.keys().collect::<Vec<_>>(), [three, two]);
        assert_eq!(slab.len(), 2);
    }

    /// C85: as many as the budget has room for, and no more; places are used again.
    #[test]
    fn c85_places_are_charged_and_used_again() {
        let budget = Budget::new(Some(1 << 20), "a test");
        let mut slab = Slab::default();
        let made = (0..1_000_000_u64).take_while(|i| slab.add(*i, &budget).is_ok()).count();
        assert!((1000..10_000).contains(&made), "{made}");
        let used = budget.used_bytes();
        for _ in 0..3 {
            let keys: Vec<_> = slab.keys().collect();
            assert!(keys.into_iter().all(|key| slab.remove(key).is_some()));
            assert!((0..made as u64).all(|i| slab.add(i, &budget).is_ok()));
        }
        assert_eq!(budget.used_bytes(), used);
    }
}
