//! A map of fields with what is charged for it: whoever has the map has the charge, and both end together.
//!
//! Must stay true: what is charged is what the map takes, and not what is in it now. A map keeps the room that it once had, so that room is counted by the most that there was. No field in a map that was
//! received shares bytes with anything else: what was read from a connection would stay as a whole for as long as a part of it does.

use http::{HeaderMap, HeaderName, HeaderValue};
use innkeeper_engine::{Budget, BudgetKind, Charge, Error};

use super::fields::remove_forbidden;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct FieldMap {
    map: HeaderMap,
    /// What its fields count.
    size_bytes: usize,
    /// Values beside the first one of their name: the most that there were at once.
    most_further: usize,
    charge: Charge,
}

/// What a map of a certain shape has room for.
#[derive(Clone, Copy, Debug)]
struct Shape {
    size_bytes: usize,
    values: usize,
    /// Names that there is room for.
    names: usize,
    /// Values beside the first one of their name that there is room for, before it is rounded.
    further: usize,
}

/// Bytes that a field counts beside its name and value (RFC 9113, 6.5.2).
pub(super) const FIELD_COST_BYTES: usize = 32;

/// What allocators and counters take beside the bytes of a name and a value, with what a field counts for that already.
const VALUE_BESIDE_BYTES: usize = 64;

/// A name's place in a map, with its first value, their hash and links, and the part of the index that is there for it.
const NAME_BYTES: usize = size_of::<HeaderName>() + size_of::<HeaderValue>() + 40;

/// The place of another value of a name.
const FURTHER_BYTES: usize = size_of::<HeaderValue>() + 32;

/// Names and further values that a map has room for as soon as it has any.
const FEWEST_NAMES: usize = 6;
const FEWEST_FURTHER: usize = 4;

/// The map itself, in a block that is shared.
const MAP_BYTES: usize = size_of::<FieldMap>() + 32;

pub(super) fn size_of_field(name: &HeaderName, value: &HeaderValue) -> usize {
    name.as_str().len() + value.len() + FIELD_COST_BYTES
}

impl Shape {
    /// That of a map as it is, which has only as many further values as there is room for.
    fn of(map: &HeaderMap) -> Shape {
        Shape {
            size_bytes: map.iter().map(|(name, value)| size_of_field(name, value)).sum(),
            values: map.len(),
            names: map.capacity(),
            further: map.len() - map.keys_len(),
        }
    }

    fn held_bytes(self) -> u64 {
        let further = match self.further {
            0 => 0,
            further => further.next_power_of_two().max(FEWEST_FURTHER),
        };
        let fields = self.size_bytes + self.values * VALUE_BESIDE_BYTES;
        (MAP_BYTES + fields + self.names * NAME_BYTES + further * FURTHER_BYTES) as u64
    }
}

/// How many names a map has room for that has had to make room for so many: it doubles.
fn names_with_room(names: usize) -> usize {
    let mut room = if names == 0 { 0 } else { FEWEST_NAMES };
    while room < names {
        room *= 2;
    }
    room
}

impl FieldMap {
    /// More names have no room in a map.
    pub(super) const MOST_NAMES: usize = (1 << 15) / 4 * 3;

    /// One without a field.
    ///
    /// # Errors
    /// Where the budget has no more.
    pub(crate) fn new(budget: &Budget) -> Result<FieldMap, Error> {
        FieldMap::copy_of(&HeaderMap::new(), budget)
    }

    /// A copy of fields that have come, but for those that no guest sees. It has no part of what it was read from.
    ///
    /// # Errors
    /// Where the budget has no more.
    pub(crate) fn received(mut map: HeaderMap, budget: &Budget) -> Result<FieldMap, Error> {
        remove_forbidden(&mut map);
        let mut copy = FieldMap::copy_of(&map, budget)?;
        for value in copy.map.values_mut() {
            if let Ok(mut own) = HeaderValue::from_bytes(value.as_bytes()) {
                own.set_sensitive(value.is_sensitive());
                *value = own;
            }
        }
        Ok(copy)
    }

    /// The same fields once more, charged to the same budget.
    ///
    /// # Errors
    /// Where it has no more.
    pub(crate) fn copy(&self) -> Result<FieldMap, Error> {
        FieldMap::copy_of(&self.map, self.charge.budget())
    }

    /// A copy has as much room for names, and for further values only what it needs.
    fn copy_of(map: &HeaderMap, budget: &Budget) -> Result<FieldMap, Error> {
        let shape = Shape::of(map);
        let charge = budget.hold(BudgetKind::Buffer, shape.held_bytes())?;
        let Shape { size_bytes, further, .. } = shape;
        Ok(FieldMap { map: map.clone(), size_bytes, most_further: further, charge })
    }

    /// Puts one field in the place of those of its name that there are.
    ///
    /// # Errors
    /// As [`FieldMap::add`].
    pub(crate) fn insert(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), Error> {
        self.add((name, true), vec![value])
    }

    pub(crate) fn map(&self) -> &HeaderMap {
        &self.map
    }

    /// What its fields count, by the measure of HTTP/2.
    pub(crate) fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Adds values of a name, in whose place those that there are go first if `replaces`. Nothing is changed where there is no room.
    ///
    /// # Errors
    /// Where the budget has no more, or a map has as many fields as one can have.
    pub(crate) fn add(
        &mut self,
        (name, replaces): (HeaderName, bool),
        values: Vec<HeaderValue>,
    ) -> Result<(), Error> {
        if values.is_empty() && !replaces {
            return Ok(());
        }
        let (gone, gone_bytes) = if replaces { self.count_of(&name) } else { (0, 0) };
        let added: usize = values.iter().map(|value| size_of_field(&name, value)).sum();
        let count = self.map.len() - gone + values.len();
        let is_there = self.map.contains_key(&name);
        let names = self.map.keys_len() + usize::from(!is_there && !values.is_empty());
        let further = count.saturating_sub(names - usize::from(is_there && values.is_empty()));
        let foreseen = Shape {
            size_bytes: self.size_bytes - gone_bytes + added,
            values: count,
            names: self.map.capacity().max(names_with_room(names)),
            further: self.most_further.max(further),
        };
        // What goes is still charged while what comes is there.
        let bytes = foreseen.held_bytes().max(self.charge.bytes());
        self.charge.set(bytes)?;
        if replaces {
            self.take_out(&name);
        }
        for value in values {
            let size_bytes = size_of_field(&name, &value);
            self.map
                .try_append(name.clone(), value)
                .map_err(|_| Error::limit("a guest's fields are more than a map of them has room for"))?;
            self.size_bytes += size_bytes;
        }
        self.settle()
    }

    /// Takes all values of a name away.
    pub(crate) fn remove(&mut self, name: &HeaderName) {
        self.take_out(name);
        // Less is never refused.
        let _ = self.settle();
    }

    /// The fields, for who does away with them, with what is charged for them until then.
    pub(crate) fn into_parts(self) -> (HeaderMap, Charge) {
        (self.map, self.charge)
    }

    /// How many values there are of a name, and what they count.
    pub(crate) fn count_of(&self, name: &HeaderName) -> (usize, usize) {
        let values = self.map.get_all(name).iter();
        values.fold((0, 0), |(count, bytes), value| (count + 1, bytes + size_of_field(name, value)))
    }

    fn take_out(&mut self, name: &HeaderName) {
        let (_, bytes) = self.count_of(name);
        self.map.remove(name);
        self.size_bytes -= bytes;
    }

    /// Charges for what is there now, and for the room that is kept.
    fn settle(&mut self) -> Result<(), Error> {
        let further = self.map.len() - self.map.keys_len();
        self.most_further = self.most_further.max(further);
        let shape = Shape {
            size_bytes: self.size_bytes,
            values: self.map.len(),
            // More than was foreseen where names were chosen so that they meet.
            names: self.map.capacity(),
            further: self.most_further,
        };
        Ok(self.charge.set(shape.held_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(bytes: usize) -> HeaderValue {
        HeaderValue::from_bytes(&vec![b'v'; bytes]).unwrap()
    }

    fn name(number: usize) -> HeaderName {
        HeaderName::from_bytes(format!("x-{number}").as_bytes()).unwrap()
    }

    /// What is charged never goes below what the map has room for, whatever was taken out of it, and is given back with the map.
    #[test]
    fn room_that_is_kept_is_charged() {
        let budget = Budget::new(None, "limit");
        for (of_one_name, taken) in [(true, 1000), (false, 1000)] {
            let mut fields = FieldMap::new(&budget).unwrap();
            for number in 0..taken {
                let name = if of_one_name { name(0) } else { name(number) };
                fields.add((name, false), vec![value(0)]).unwrap();
            }
            for number in 0..taken {
                fields.remove(&name(number));
            }
            assert_eq!((fields.map().len(), fields.size_bytes()), (0, 0));
            let room = if of_one_name { taken * FURTHER_BYTES } else { taken * NAME_BYTES };
            assert!(budget.used_for(BudgetKind::Buffer) >= room as u64, "{budget:?}");
            let (map, charge) = fields.into_parts();
            assert!(charge.bytes() >= room as u64);
            drop((map, charge));
            assert_eq!(budget.used_for(BudgetKind::Buffer), 0);
        }
    }

    /// A map that must grow has been charged for by then, so that a refusal changes nothing.
    #[test]
    fn what_is_refused_changes_nothing() {
        let budget = Budget::new(Some(2 << 20), "limit");
        let mut fields = FieldMap::new(&budget).unwrap();
        fields.add((name(1), false), vec![value(3)]).unwrap();
        let before = budget.used_for(BudgetKind::Buffer);
        let many = vec![value(0); 30_000];
        fields.add((name(1), true), many).unwrap_err();
        assert_eq!(budget.used_for(BudgetKind::Buffer), before);
        assert_eq!((fields.map().len(), fields.map().get(name(1)).unwrap().len()), (1, 3));
    }

    /// As many names as grow a map several times: what was foreseen is what came.
    #[test]
    fn growth_is_foreseen() {
        let mut map = HeaderMap::new();
        for number in 0..800 {
            map.append(name(number), value(1));
            assert_eq!(map.capacity(), names_with_room(number + 1), "{number}");
        }
    }

    #[test]
    fn what_was_received_is_a_copy() {
        let budget = Budget::new(None, "limit");
        let read = bytes::Bytes::from(vec![b'a'; 1000]);
        let mut map = HeaderMap::new();
        map.append(name(1), HeaderValue::from_maybe_shared(read.slice(..3)).unwrap());
        map.append("connection", HeaderValue::from_static("x-2"));
        map.append(name(2), HeaderValue::from_static("gone"));
        let fields = FieldMap::received(map, &budget).unwrap();
        assert_eq!((fields.map().len(), &fields.map()[name(1)]), (1, &HeaderValue::from_static("aaa")));
        assert!(read.is_unique());
    }
}
