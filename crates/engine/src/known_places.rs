//! What a walk over the frames of a stack remembers: a stack has hundreds of thousands of frames, and few places that they return to.

/// Numbers by places in code, and whatever tells apart what is at the same place. Some are forgotten where there are very many.
#[derive(Default)]
pub struct KnownPlaces {
    /// Made for the first that is worth remembering: most walks are short.
    places: Option<[(usize, usize, usize); KnownPlaces::SLOTS]>,
    forgone: usize,
}

impl KnownPlaces {
    const SLOTS: usize = 256;

    /// Slots that a place can be in.
    const TRIES: usize = 4;

    /// Places at the start of a walk that are not remembered.
    const FORGONE: usize = 16;

    /// The number that was put there, if it is still known. No place is 0.
    #[inline]
    #[must_use]
    pub fn get(&self, place: usize, of: usize) -> Option<usize> {
        let places = self.places.as_ref()?;
        let mut found = slots(place).map(|slot| places[slot]);
        found.find(|known| (known.0, known.1) == (place, of)).map(|known| known.2)
    }

    /// Remembers a number for a place that has none.
    pub fn put(&mut self, place: usize, of: usize, number: usize) {
        if self.forgone < KnownPlaces::FORGONE {
            self.forgone += 1;
            return;
        }
        if self.places.is_none() {
            self.places = Some([(0, 0, 0); KnownPlaces::SLOTS]);
        }
        let Some(places) = &mut self.places else { return };
        let mut slots = slots(place);
        let first = slots.clone().next().unwrap_or_default();
        let free = slots.find(|slot| places[*slot].0 == 0);
        places[free.unwrap_or(first)] = (place, of, number);
    }
}

fn slots(place: usize) -> impl Iterator<Item = usize> + Clone {
    // Code of the interpreter is made of words; neighbours lie a few of them apart.
    let first = place ^ (place >> 3) ^ (place >> 11);
    (0..KnownPlaces::TRIES).map(move |i| (first + i) % KnownPlaces::SLOTS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_known_by_both_of_its_numbers() {
        let mut known = KnownPlaces::default();
        (0..KnownPlaces::FORGONE).for_each(|_| known.put(80, 1, 7));
        assert_eq!(known.get(80, 1), None);
        known.put(80, 1, 7);
        known.put(80, 2, 8);
        assert_eq!((known.get(80, 1), known.get(80, 2), known.get(80, 3)), (Some(7), Some(8), None));
    }

    #[test]
    fn what_is_known_of_very_many_places_is_right() {
        let mut known = KnownPlaces::default();
        let places = || (1..5000).map(|i| i * 24);
        places().for_each(|place| known.put(place, 0, place + 1));
        assert!(places().all(|place| known.get(place, 0).is_none_or(|number| number == place + 1)));
        assert!(places().any(|place| known.get(place, 0).is_some()));
    }
}
