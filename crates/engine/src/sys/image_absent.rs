//! [`Image`] where the system has no files in memory: there never is one.

/// No value of it exists.
pub(crate) enum Image {}

impl Image {
    pub(crate) fn new<'a>(_: usize, _: impl IntoIterator<Item = (usize, &'a [u8])>) -> Option<Image> {
        None
    }

    pub(crate) fn len_bytes(&self) -> usize {
        match *self {}
    }
}
