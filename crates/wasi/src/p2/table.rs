//! What stands behind the handles of resources that a guest has from WASI.
//!
//! Must stay true: everything in here is charged to the guest's budget; what has a descriptor of the host's counts among the open handles that the keys allow; nothing is
//! dropped before what was made from it, its children; and a number that was given out finds nothing else later on. Nothing is made that is not kept: whoever makes several
//! things, or does something that others see before there is a handle for it, has [`Room`] for all of it first.

use std::any::Any;
use std::marker::PhantomData;

use innkeeper_component::{Borrowed, Resource};
use innkeeper_engine::{Budget, BudgetKind, Charge, Error, Exceeded};

use super::misuse::Misuse;

/// A type that a resource of WASI's is in Rust.
pub trait Held: Any + Send + Sync {
    /// The resource as messages name it.
    const NAME: &'static str;

    /// Whether it counts among the handles that a guest may have open: whatever keeps a descriptor of the host's does.
    const IS_OPEN_HANDLE: bool = false;

    /// Bytes that each takes besides itself, about.
    const COST_BYTES: u64 = 0;
}

/// Why nothing more is kept.
#[derive(Debug)]
pub enum Full {
    /// As many handles are open as the keys allow.
    Handles,
    /// The guest makes the host hold as much as it may.
    Memory(Exceeded),
}

impl From<Full> for Error {
    fn from(full: Full) -> Error {
        match full {
            Full::Handles => Error::limit("the guest has as many handles open as it may"),
            Full::Memory(exceeded) => exceeded.into(),
        }
    }
}

/// Room for one thing, which is charged for from now on: who has it cannot be refused.
#[derive(Debug)]
pub struct Room<H> {
    charge: Charge,
    of: PhantomData<fn(H)>,
}

/// Room for things that are made together: for all of them or for none.
pub(crate) trait Rooms: Sized {
    /// Room in `table` for these beside `open` open handles, to which they are added.
    fn reserve(table: &Table, open: &mut u32) -> Result<Self, Full>;
}

impl<H: Held> Rooms for Room<H> {
    fn reserve(table: &Table, open: &mut u32) -> Result<Room<H>, Full> {
        Room::reserve_with(table, open, 0)
    }
}

impl<H: Held> Room<H> {
    /// Room for one that takes so many more bytes than others.
    fn reserve_with(table: &Table, open: &mut u32, more_bytes: usize) -> Result<Room<H>, Full> {
        *open += u32::from(H::IS_OPEN_HANDLE);
        let is_full = H::IS_OPEN_HANDLE && table.open.saturating_add(*open) > table.max_open;
        let has_place = !table.free.is_empty() || table.places.len() < MOST_PLACES;
        if is_full || !has_place {
            return Err(Full::Handles);
        }
        let cost =
            PLACE_COST_BYTES + BOX_COST_BYTES + size_of::<H>() as u64 + H::COST_BYTES + more_bytes as u64;
        let charge = table.budget.hold(BudgetKind::Descriptor, cost).map_err(Full::Memory)?;
        Ok(Room { charge, of: PhantomData })
    }
}

impl<A: Rooms, B: Rooms> Rooms for (A, B) {
    fn reserve(table: &Table, open: &mut u32) -> Result<(A, B), Full> {
        Ok((A::reserve(table, open)?, B::reserve(table, open)?))
    }
}

impl<A: Rooms, B: Rooms, C: Rooms> Rooms for (A, B, C) {
    fn reserve(table: &Table, open: &mut u32) -> Result<(A, B, C), Full> {
        Ok((A::reserve(table, open)?, B::reserve(table, open)?, C::reserve(table, open)?))
    }
}

/// A place's number, to name it as a parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PlaceIndex(u32);

#[derive(Debug)]
pub(crate) struct Table {
    places: Vec<Place>,
    free: Vec<PlaceIndex>,
    /// How many of the places have something that counts as an open handle.
    open: u32,
    max_open: u32,
    budget: Budget,
    /// For all places that there are: they stay, for what comes next, when what was in them is gone.
    places_charge: Charge,
}

#[derive(Debug, Default)]
struct Place {
    generation: u8,
    kept: Option<Kept>,
}

struct Kept {
    name: &'static str,
    is_open_handle: bool,
    parent: Option<PlaceIndex>,
    children: u32,
    value: Box<dyn Any + Send + Sync>,
    _charge: Charge,
}

/// Bits of a resource's number that say which place it is.
const PLACE_BITS: u32 = 24;

/// Places that there are before there are too many: those that room was kept for still have a number.
const MOST_PLACES: usize = (1 << PLACE_BITS) - (1 << 16);

/// What a place costs, with its number among those that are free. Both lists double when they grow.
const PLACE_COST_BYTES: u64 = 2 * (size_of::<Place>() + size_of::<PlaceIndex>()) as u64;

/// What the box in a place costs beside what is in it.
const BOX_COST_BYTES: u64 = 32;

impl Table {
    /// An empty table, in which so many things may be open handles.
    pub(crate) fn new(max_open: u32, budget: &Budget) -> Table {
        let places_charge = budget.empty(BudgetKind::Descriptor);
        Table {
            places: Vec::new(),
            free: Vec::new(),
            open: 0,
            max_open,
            budget: budget.clone(),
            places_charge,
        }
    }

    /// Room for what is made next: asked for before anything is opened, taken or changed for it. What it is for is kept before anything else is.
    pub(crate) fn room<R: Rooms>(&self) -> Result<R, Full> {
        R::reserve(self, &mut 0)
    }

    /// Room for one thing that takes so many more bytes than others of its kind.
    pub(crate) fn room_with<H: Held>(&self, more_bytes: usize) -> Result<Room<H>, Full> {
        Room::reserve_with(self, &mut 0, more_bytes)
    }

    /// Room for so many things alike.
    pub(crate) fn room_for<H: Held>(&self, count: usize) -> Result<Vec<Room<H>>, Full> {
        let mut open = 0;
        (0..count).map(|_| Rooms::reserve(self, &mut open)).collect()
    }

    /// Keeps a value; gives the resource that stands for it.
    pub(crate) fn push<H: Held>(&mut self, room: Room<H>, value: H) -> Resource<H> {
        self.keep(room, value, None)
    }

    /// [`Table::push`] of what is made from another resource, its parent, which cannot be dropped before it.
    pub(crate) fn push_child<H: Held, P: Held>(
        &mut self,
        room: Room<H>,
        value: H,
        parent: Borrowed<'_, P>,
    ) -> Result<Resource<H>, Misuse> {
        self.get(parent)?;
        let parent = PlaceIndex(split(parent.rep()).0);
        let child = self.keep(room, value, Some(parent));
        if let Some(parent) = self.kept_at(parent) {
            parent.children += 1;
        }
        Ok(child)
    }

    fn keep<H: Held>(&mut self, room: Room<H>, value: H, parent: Option<PlaceIndex>) -> Resource<H> {
        let Room { mut charge, .. } = room;
        let index = match self.free.pop() {
            // Its place is charged already.
            Some(index) => {
                let _ = charge.set(charge.bytes() - PLACE_COST_BYTES.min(charge.bytes()));
                index
            }
            None => {
                charge.hand_over(PLACE_COST_BYTES, &mut self.places_charge);
                self.places.push(Place::default());
                PlaceIndex(self.places.len() as u32 - 1)
            }
        };
        self.open += u32::from(H::IS_OPEN_HANDLE);
        let place = &mut self.places[index.0 as usize];
        place.kept = Some(Kept {
            name: H::NAME,
            is_open_handle: H::IS_OPEN_HANDLE,
            parent,
            children: 0,
            value: Box::new(value),
            _charge: charge,
        });
        Resource::new(index.0 | u32::from(place.generation) << PLACE_BITS)
    }

    /// What is behind a resource.
    pub(crate) fn get<H: Held>(&self, resource: Borrowed<'_, H>) -> Result<&H, Misuse> {
        let (index, generation) = split(resource.rep());
        let place = self.places.get(index as usize).filter(|place| place.generation == generation);
        place.and_then(|place| place.kept.as_ref()?.value.downcast_ref()).ok_or_else(|| Misuse::gone(H::NAME))
    }

    /// What is behind a resource, to change it.
    pub(crate) fn get_mut<H: Held>(&mut self, resource: Borrowed<'_, H>) -> Result<&mut H, Misuse> {
        let (index, generation) = split(resource.rep());
        let place = self.places.get_mut(index as usize).filter(|place| place.generation == generation);
        place.and_then(|place| place.kept.as_mut()?.value.downcast_mut()).ok_or_else(|| Misuse::gone(H::NAME))
    }

    /// Takes what is behind a resource out of the table, for when nobody owns it any more.
    ///
    /// # Errors
    /// Where something is left that was made from it.
    pub(crate) fn delete<H: Held>(&mut self, resource: &Resource<H>) -> Result<(), Misuse> {
        self.remove(resource).map(drop)
    }

    fn remove<H: Held>(&mut self, resource: &Resource<H>) -> Result<Box<dyn Any + Send + Sync>, Misuse> {
        self.get(resource.borrow())?;
        let (index, _) = split(resource.rep());
        let place = &mut self.places[index as usize];
        let Some(kept) = place.kept.take_if(|kept| kept.children == 0) else {
            return Err(Misuse::has_children(H::NAME, self.child_of(PlaceIndex(index))));
        };
        place.generation = place.generation.wrapping_add(1);
        self.free.push(PlaceIndex(index));
        self.open -= u32::from(kept.is_open_handle);
        if let Some(parent) = kept.parent.and_then(|parent| self.kept_at(parent)) {
            parent.children -= 1;
        }
        Ok(kept.value)
    }

    /// As [`Table::delete`], and gives what was behind it: for a function that a guest hands a resource over to.
    ///
    /// # Errors
    /// As [`Table::delete`].
    pub(crate) fn take<H: Held>(&mut self, resource: &Resource<H>) -> Result<H, Misuse> {
        match self.remove(resource)?.downcast() {
            Ok(value) => Ok(*value),
            // It was looked at before it was taken out.
            Err(_) => Err(Misuse::gone(H::NAME)),
        }
    }

    /// Drops everything, for when the guest has ended.
    pub(crate) fn clear(&mut self) {
        *self = Table::new(self.max_open, &self.budget);
    }

    fn kept_at(&mut self, index: PlaceIndex) -> Option<&mut Kept> {
        self.places.get_mut(index.0 as usize)?.kept.as_mut()
    }

    /// The name of something that was made from what is in a place.
    fn child_of(&self, parent: PlaceIndex) -> &'static str {
        let mut kept = self.places.iter().filter_map(|place| place.kept.as_ref());
        kept.find(|kept| kept.parent == Some(parent)).map_or("resource", |kept| kept.name)
    }
}

/// The place and the generation that a resource's number is made of.
fn split(rep: u32) -> (u32, u8) {
    (rep & ((1 << PLACE_BITS) - 1), (rep >> PLACE_BITS) as u8)
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept")
            .field("name", &self.name)
            .field("children", &self.children)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    struct Parent;
    #[derive(Debug, PartialEq, Eq)]
    struct Child(u32);

    impl Held for Parent {
        const NAME: &'static str = "a:b/c.parent";
        const IS_OPEN_HANDLE: bool = true;
    }

    impl Held for Child {
        const NAME: &'static str = "a:b/c.child";
    }

    /// C72: whoever drops a parent first is told what is in the way.
    #[test]
    fn c72_a_parent_is_not_dropped_before_its_children() {
        let mut table = Table::new(1, &Budget::new(None, "limit"));
        let (one, child) = table.room().unwrap();
        let parent = table.push(one, Parent);
        let child = table.push_child(child, Child(7), parent.borrow()).unwrap();
        assert!(matches!(table.room::<Room<Parent>>(), Err(Full::Handles)), "one may be open");
        let told = table.delete(&parent).unwrap_err().to_string();
        assert!(told.contains("a:b/c.parent") && told.contains("a:b/c.child"), "{told}");
        assert_eq!(table.get(child.borrow()).unwrap(), &Child(7));
        table.delete(&child).unwrap();
        assert!(table.get(child.borrow()).is_err(), "it was dropped");
        table.delete(&parent).unwrap();
        let room = table.room().unwrap();
        table.push(room, Parent);
    }

    /// For all that is made together, or for none of it; what was asked for in vain is not held.
    #[test]
    fn there_is_room_for_all_or_for_none() {
        type Two = (Room<Parent>, Room<Parent>);
        let budget = Budget::new(None, "limit");
        for max_open in 0..6 {
            let mut table = Table::new(max_open, &budget);
            let mut pairs = 0;
            while let Ok((one, other)) = table.room::<Two>() {
                table.push(one, Parent);
                table.push(other, Parent);
                pairs += 1;
            }
            assert_eq!((pairs, table.open), (max_open / 2, max_open / 2 * 2));
            for count in 0..3 {
                let has_room = table.room_for::<Parent>(count).is_ok();
                assert_eq!(has_room, count as u32 <= max_open - table.open, "{count} beside {}", table.open);
            }
            assert!(table.room::<(Room<Child>, Room<Child>, Room<Child>)>().is_ok());
        }
    }

    #[test]
    fn what_is_kept_is_charged_until_it_is_dropped() {
        const LIMIT_BYTES: u64 = 1 << 20;
        let budget = Budget::new(Some(LIMIT_BYTES), "limit");
        let mut table = Table::new(1, &budget);
        for _ in 0..10_000 {
            let room = table.room().unwrap();
            let child = table.push(room, Child(1));
            table.delete(&child).unwrap();
        }
        let mut kept = Vec::new();
        let full = loop {
            match table.room() {
                Ok(room) => kept.push(table.push(room, Child(2))),
                Err(full) => break full,
            }
        };
        assert!(matches!(full, Full::Memory(_)));
        // The budget lets a little more pass than it says.
        let most = 3 * LIMIT_BYTES / PLACE_COST_BYTES;
        assert!((kept.len() as u64) < most, "{}", kept.len());
        // Their places stay.
        let places = (kept.len() * size_of::<Place>()) as u64;
        for child in &kept {
            table.delete(child).unwrap();
        }
        assert!(budget.used_for(BudgetKind::Descriptor) >= places, "{budget:?}");
        let room = table.room().unwrap();
        let child = table.push(room, Child(2));
        table.delete(&child).unwrap();
        table.clear();
        assert_eq!(budget.used_for(BudgetKind::Descriptor), 0);
        let room = table.room().unwrap();
        table.push(room, Child(3));
    }
}
