//! Destructors of the embedder's that panic: those of objects' data, of functions of the host, of what another panic was about.
//!
//! Must stay true: whatever one of them does, all others are run, and whoever cleans up comes to his end; then the first panic goes on, and only that.
//!
//! What this is not: what becomes of a panic while frames of a guest are there, see [`crate::store::StoreCore::keep_host_panic`].

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// The first panic of several things that the embedder's code does.
#[derive(Default)]
pub(crate) struct FirstPanic(Option<Box<dyn Any + Send>>);

impl FirstPanic {
    /// Does something that may panic.
    pub(crate) fn catch(&mut self, act: impl FnOnce()) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(act)) {
            self.keep(panic);
        }
    }

    /// Drops what there may be.
    pub(crate) fn drop_taken<T>(&mut self, thing: &mut Option<T>) {
        if let Some(thing) = thing.take() {
            self.catch(|| drop(thing));
        }
    }

    /// Drops each of many things.
    pub(crate) fn drop_all(&mut self, things: impl IntoIterator) {
        let mut things = things.into_iter();
        // Most stores have nothing of the kind.
        let mut are_left = things.size_hint().1 != Some(0);
        while are_left {
            // Begun again after each that panics: that one is no longer among them.
            self.catch(|| {
                for thing in things.by_ref() {
                    drop(thing);
                }
                are_left = false;
            });
        }
    }

    /// Goes on with the panic later, if it is the first.
    pub(crate) fn keep(&mut self, panic: Box<dyn Any + Send>) {
        match &self.0 {
            None => self.0 = Some(panic),
            Some(_) => let_go(panic),
        }
    }

    /// The first panic, which is now somebody else's business.
    pub(crate) fn take(&mut self) -> Option<Box<dyn Any + Send>> {
        self.0.take()
    }

    /// Goes on with the first panic, if there was one and the thread is not panicking already: two at a time would end the process.
    pub(crate) fn go_on(self) {
        match self.0 {
            Some(panic) if std::thread::panicking() => let_go(panic),
            Some(panic) => resume_unwind(panic),
            None => {}
        }
    }
}

/// Drops what somebody panicked with, which may panic itself: then what that is about is nobody's business any more, and is never dropped.
pub(crate) fn let_go(panic: Box<dyn Any + Send>) {
    if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(another);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    struct Panics<'a>(u32, &'a Cell<u32>);

    impl Drop for Panics<'_> {
        fn drop(&mut self) {
            self.1.set(self.1.get() + 1);
            if self.0 % 2 == 1 {
                std::panic::panic_any(self.0);
            }
        }
    }

    #[test]
    fn all_are_dropped_and_the_first_panic_goes_on() {
        let dropped = Cell::new(0);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let mut panics = FirstPanic::default();
            panics.drop_all((2..10).map(|number| Panics(number, &dropped)));
            panics.catch(|| drop(Panics(11, &dropped)));
            panics.go_on();
        }));
        assert_eq!(*caught.unwrap_err().downcast::<u32>().unwrap(), 3);
        assert_eq!(dropped.get(), 9);
    }

    #[test]
    fn a_panic_under_way_is_the_first() {
        let dropped = Cell::new(0);
        struct CleansUp<'a>(&'a Cell<u32>);
        impl Drop for CleansUp<'_> {
            fn drop(&mut self) {
                let mut panics = FirstPanic::default();
                panics.drop_all([Panics(1, self.0), Panics(3, self.0)]);
                panics.go_on();
            }
        }
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _cleans_up = CleansUp(&dropped);
            std::panic::panic_any("the first");
        }));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"the first"));
        assert_eq!(dropped.get(), 2);
    }
}
