//! What pools of records and of memories have in common: how many users there may be, and what waits for its next one.
//!
//! Must stay true: there are never more permits than the most, and none is lost; what waits is in nobody else's hands; what has been removed with its key is not taken any more.
//!
//! The locks are a parameter, so that the model checker tries what engines use: these are made outside of models, where its own locks do not work.

use std::sync::{Mutex, PoisonError};

/// A lock around something.
pub(crate) trait Lock<T> {
    fn new(inner: T) -> Self;

    /// Does something with it, with the lock held.
    fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R;
}

impl<T> Lock<T> for Mutex<T> {
    fn new(inner: T) -> Self {
        Mutex::new(inner)
    }

    fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
        act(&mut self.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How much of something there may be at a time. Without a bound nobody counts.
pub(crate) struct Permits<L = Mutex<usize>> {
    most: Option<usize>,
    given: L,
}

impl<L: Lock<usize>> Permits<L> {
    pub(crate) fn new(most: Option<usize>) -> Permits<L> {
        Permits { most, given: L::new(0) }
    }

    /// Permits so much more.
    ///
    /// # Errors
    /// The bound, where that would be more than it.
    pub(crate) fn take(&self, count: usize) -> Result<(), usize> {
        let Some(most) = self.most else { return Ok(()) };
        self.given.with(|given| {
            let sum = given.checked_add(count).filter(|sum| *sum <= most).ok_or(most)?;
            *given = sum;
            Ok(())
        })
    }

    pub(crate) fn give_back(&self, count: usize) {
        if self.most.is_some() {
            self.given.with(|given| *given -= count);
        }
    }
}

/// What waits for its next user, with a key that says what it is good for. What has waited longest makes room for what comes.
pub(crate) struct Idle<K, V, L = Mutex<Vec<(K, V)>>> {
    most: usize,
    waiting: L,
    of: std::marker::PhantomData<fn() -> (K, V)>,
}

impl<K: Copy + PartialEq, V, L: Lock<Vec<(K, V)>>> Idle<K, V, L> {
    pub(crate) fn new(most: usize) -> Idle<K, V, L> {
        Idle { most, waiting: L::new(Vec::new()), of: std::marker::PhantomData }
    }

    /// What came last with that key.
    pub(crate) fn take(&self, key: K) -> Option<V> {
        self.waiting.with(|waiting| {
            let position = waiting.iter().rposition(|(its, _)| *its == key)?;
            Some(waiting.remove(position).1)
        })
    }

    /// Has something wait; tells what there is no room for, to be dropped where nothing is locked.
    pub(crate) fn put(&self, key: K, thing: V) -> Option<V> {
        self.waiting.with(|waiting| {
            let displaced = match waiting.len() < self.most {
                true => None,
                false if waiting.is_empty() => return Some(thing),
                false => Some(waiting.remove(0).1),
            };
            waiting.push((key, thing));
            displaced
        })
    }

    /// Takes out all with that key: whoever the key names is gone, and puts nothing there any more.
    pub(crate) fn remove(&self, key: K) -> Vec<V> {
        self.waiting
            .with(|waiting| waiting.extract_if(.., |(its, _)| *its == key).map(|(_, thing)| thing).collect())
    }
}

#[cfg(all(test, not(feature = "loom")))]
mod tests {
    use super::*;

    #[test]
    fn what_has_waited_longest_makes_room() {
        let idle: Idle<char, u32> = Idle::new(2);
        assert_eq!((idle.put('a', 1), idle.put('b', 2), idle.put('a', 3)), (None, None, Some(1)));
        assert_eq!((idle.take('c'), idle.take('a'), idle.take('a')), (None, Some(3), None));
        assert_eq!((idle.put('b', 4), idle.remove('b'), idle.take('b')), (None, vec![2, 4], None));
        let none: Idle<char, u32> = Idle::new(0);
        assert_eq!((none.put('a', 1), none.take('a')), (Some(1), None));
    }

    #[test]
    fn permits_end_at_the_bound_and_come_back() {
        let permits: Permits = Permits::new(Some(3));
        assert_eq!((permits.take(2), permits.take(2), permits.take(1)), (Ok(()), Err(3), Ok(())));
        assert_eq!(permits.take(usize::MAX), Err(3));
        permits.give_back(2);
        assert_eq!((permits.take(2), permits.take(1)), (Ok(()), Err(3)));
        let unbounded: Permits = Permits::new(None);
        assert_eq!(unbounded.take(usize::MAX), unbounded.take(usize::MAX));
    }
}

/// Every order in which stores on several threads can use a pool.
#[cfg(all(test, feature = "loom"))]
mod model {
    use super::*;
    use crate::sync::{loom, thread};
    use loom::sync::atomic::{AtomicUsize, Ordering};
    use loom::sync::{Arc, Mutex};

    impl<T> Lock<T> for Mutex<T> {
        fn new(inner: T) -> Self {
            Mutex::new(inner)
        }

        fn with<R>(&self, act: impl FnOnce(&mut T) -> R) -> R {
            act(&mut self.lock().unwrap())
        }
    }

    type ModelIdle = Idle<Option<u32>, Taken, Mutex<Vec<(Option<u32>, Taken)>>>;

    /// What somebody has alone.
    #[derive(Clone)]
    struct Taken(Arc<AtomicUsize>);

    impl Taken {
        fn use_alone(&self) {
            assert_eq!(self.0.fetch_add(1, Ordering::Relaxed), 0, "two have it");
            thread::yield_now();
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// As an image of a memory: its number is the key of what has it mapped.
    struct Image(Arc<ModelIdle>);

    const NUMBER: Option<u32> = Some(1);

    impl Drop for Image {
        fn drop(&mut self) {
            drop(self.0.remove(NUMBER));
        }
    }

    /// As a store does that has a memory with an image, and goes.
    fn use_memory(idle: &ModelIdle, image: &Arc<Image>) {
        let memory = idle.take(NUMBER).unwrap_or_else(|| Taken(Arc::new(AtomicUsize::new(0))));
        memory.use_alone();
        drop(idle.put(NUMBER, memory));
        drop(Arc::clone(image));
    }

    /// Whoever lets go of an image last, no memory waits with it afterwards.
    #[test]
    fn no_memory_waits_with_an_image_that_is_gone() {
        for most in 0..=2 {
            loom::model(move || {
                let idle = Arc::new(ModelIdle::new(most));
                let image = Arc::new(Image(Arc::clone(&idle)));
                let users: Vec<_> = (0..2)
                    .map(|_| {
                        let (idle, image) = (Arc::clone(&idle), Arc::clone(&image));
                        thread::spawn(move || use_memory(&idle, &image))
                    })
                    .collect();
                // The module goes.
                drop(image);
                users.into_iter().for_each(|user| user.join().unwrap());
                assert!(idle.take(NUMBER).is_none());
            });
        }
    }

    /// Never more than the most, and what was given back can be had.
    #[test]
    fn there_are_as_many_permits_as_the_most_and_none_is_lost() {
        loom::model(|| {
            let permits = Arc::new(Permits::<Mutex<usize>>::new(Some(1)));
            let holders = Arc::new(AtomicUsize::new(0));
            let users: Vec<_> = (0..2)
                .map(|_| {
                    let (permits, holders) = (Arc::clone(&permits), Arc::clone(&holders));
                    thread::spawn(move || {
                        if permits.take(1).is_ok() {
                            assert_eq!(holders.fetch_add(1, Ordering::Relaxed), 0, "two at a time");
                            holders.fetch_sub(1, Ordering::Relaxed);
                            permits.give_back(1);
                        }
                    })
                })
                .collect();
            users.into_iter().for_each(|user| user.join().unwrap());
            assert_eq!((permits.take(1), permits.take(1)), (Ok(()), Err(1)));
        });
    }
}
