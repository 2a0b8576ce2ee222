//! Where the host keeps what is behind its resources.
//!
//! Must stay true: a number that was given out is not given out again for something else before 256 others of the same place, so that whoever keeps one too long is told.

use std::any::Any;

use innkeeper_engine::Error;

use super::{Borrowed, Resource};
use crate::resource::usage;

/// Values of any types that resources stand for. It is part of a store's data as a rule.
#[derive(Default)]
pub struct ResourceTable {
    places: Vec<Place>,
    free: Vec<u32>,
}

#[derive(Default)]
struct Place {
    generation: u8,
    value: Option<Box<dyn Any + Send + Sync>>,
}

/// Bits of a resource's number that say which place it is.
const PLACE_BITS: u32 = 24;

impl ResourceTable {
    /// An empty table.
    #[must_use]
    pub fn new() -> ResourceTable {
        ResourceTable::default()
    }

    /// Keeps a value; gives the resource that stands for it.
    ///
    /// # Errors
    /// Where there are as many as there may be, 2^24.
    pub fn push<R: Send + Sync + 'static>(&mut self, value: R) -> Result<Resource<R>, Error> {
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                if self.places.len() >> PLACE_BITS != 0 {
                    return Err(Error::limit("the table of the host's resources has as many as it may"));
                }
                self.places.push(Place::default());
                self.places.len() as u32 - 1
            }
        };
        let kept = &mut self.places[place as usize];
        kept.value = Some(Box::new(value));
        Ok(Resource::new(place | u32::from(kept.generation) << PLACE_BITS))
    }

    /// What is behind a resource.
    ///
    /// # Errors
    /// Where it is not there any more, or of another type.
    pub fn get<R: 'static>(&self, resource: &Resource<R>) -> Result<&R, Error> {
        self.at(resource.rep())
    }

    /// What is behind a resource, to change it.
    ///
    /// # Errors
    /// As [`ResourceTable::get`].
    pub fn get_mut<R: 'static>(&mut self, resource: &Resource<R>) -> Result<&mut R, Error> {
        self.at_mut(resource.rep())
    }

    /// What is behind a resource that is lent.
    ///
    /// # Errors
    /// As [`ResourceTable::get`].
    pub fn borrowed<R: 'static>(&self, resource: Borrowed<'_, R>) -> Result<&R, Error> {
        self.at(resource.rep())
    }

    /// What is behind a resource that is lent, to change it.
    ///
    /// # Errors
    /// As [`ResourceTable::get`].
    pub fn borrowed_mut<R: 'static>(&mut self, resource: Borrowed<'_, R>) -> Result<&mut R, Error> {
        self.at_mut(resource.rep())
    }

    /// Takes what is behind a resource out of the table.
    ///
    /// # Errors
    /// As [`ResourceTable::get`].
    pub fn delete<R: 'static>(&mut self, resource: Resource<R>) -> Result<R, Error> {
        self.at::<R>(resource.rep())?;
        let (place, _) = split(resource.rep());
        let kept = &mut self.places[place];
        let value = kept.value.take().and_then(|value| value.downcast().ok()).ok_or_else(gone)?;
        kept.generation = kept.generation.wrapping_add(1);
        self.free.push(place as u32);
        Ok(*value)
    }

    fn at<R: 'static>(&self, rep: u32) -> Result<&R, Error> {
        let (place, generation) = split(rep);
        let kept = self.places.get(place).filter(|kept| kept.generation == generation);
        kept.and_then(|kept| kept.value.as_ref()?.downcast_ref()).ok_or_else(gone)
    }

    fn at_mut<R: 'static>(&mut self, rep: u32) -> Result<&mut R, Error> {
        let (place, generation) = split(rep);
        let kept = self.places.get_mut(place).filter(|kept| kept.generation == generation);
        kept.and_then(|kept| kept.value.as_mut()?.downcast_mut()).ok_or_else(gone)
    }
}

/// The place and the generation that a resource's number is made of.
fn split(rep: u32) -> (usize, u8) {
    ((rep & ((1 << PLACE_BITS) - 1)) as usize, (rep >> PLACE_BITS) as u8)
}

fn gone() -> Error {
    usage("the table has no such resource: it was taken out, or it is of another type")
}

impl std::fmt::Debug for ResourceTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResourceTable").field("resources", &(self.places.len() - self.free.len())).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_out_is_not_found_again() {
        let mut table = ResourceTable::new();
        let first = table.push("one".to_owned()).unwrap();
        let stale = Resource::<String>::new(first.rep());
        assert_eq!(table.get(&first).unwrap(), "one");
        assert!(table.get(&Resource::<u32>::new(first.rep())).is_err(), "another type");
        table.get_mut(&first).unwrap().push('!');
        assert_eq!(table.delete(first).unwrap(), "one!");
        let second = table.push("two".to_owned()).unwrap();
        assert!(table.get(&stale).is_err(), "its place has another one");
        assert!(table.delete(stale).is_err());
        assert_eq!(table.borrowed(second.borrow()).unwrap(), "two");
    }
}
