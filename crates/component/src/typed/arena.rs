//! Strings that a guest has in another encoding than Rust, kept for as long as a host function borrows them.

use std::cell::OnceCell;

/// A chain of strings, to which one can be added while the others are borrowed.
#[derive(Default)]
pub(crate) struct Arena(OnceCell<Box<(String, Arena)>>);

impl Arena {
    /// Keeps a string; gives it, and where the next one can be kept. Here one can be kept once.
    pub(crate) fn keep(&self, text: String) -> (&str, &Arena) {
        let (text, next) = &**self.0.get_or_init(|| Box::new((text, Arena::default())));
        (text, next)
    }
}

impl Drop for Arena {
    /// Link by link: a guest decides how many there are, and the stack has an end.
    fn drop(&mut self) {
        let mut next = self.0.take();
        while let Some(mut link) = next {
            next = link.1.0.take();
        }
    }
}
