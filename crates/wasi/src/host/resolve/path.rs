//! A guest's path, checked and taken apart as text. Nothing is looked up here.
//!
//! What must stay true: what [`GuestPath::text`] and [`GuestPath::split`] give never ends in a slash or `/.`, is never empty
//! and never absolute; `..` is kept, since what it means depends on links. No path, and no link's target, has a name in it that is reserved
//! for staging directories ([`is_reserved`]): whoever looks up a guest's path comes through here, whatever kind of directory it is in.

use super::Error;
use super::alias::could_begin_with;
use crate::host::tree::STAGING_PREFIX;

/// Longest path accepted, in bytes, as in the Linux kernel (its limit counts a terminating NUL).
pub(in crate::host) const MAX_PATH_BYTES: usize = 4095;

/// A checked relative path.
#[derive(Clone, Copy, Debug)]
pub(in crate::host) struct GuestPath<'a> {
    text: &'a [u8],
    must_be_directory: bool,
    last: LastPart,
}

/// What the last part of a path is, slashes after it left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::host) enum LastPart {
    /// A name, which something could be made or removed under.
    Name,
    /// `.`, which is no name: what comes before it is a directory, and a link there is followed.
    Dot,
    /// `..`, likewise.
    DotDot,
}

impl<'a> GuestPath<'a> {
    /// Checks a path that a guest gave.
    ///
    /// # Errors
    /// [`Error::NotFound`] for an empty path, [`Error::Escape`] for an absolute one, [`Error::Invalid`] for one with
    /// a NUL, [`Error::NameTooLong`] beyond [`MAX_PATH_BYTES`], [`Error::Reserved`] for one through a reserved name.
    pub(in crate::host) fn parse(path: &'a [u8]) -> Result<GuestPath<'a>, Error> {
        if path.len() > MAX_PATH_BYTES {
            return Err(Error::NameTooLong);
        }
        if path.is_empty() {
            return Err(Error::NotFound);
        }
        if path.contains(&0) {
            return Err(Error::Invalid);
        }
        if path[0] == b'/' {
            return Err(Error::Escape);
        }
        if names_reserved(path) {
            return Err(Error::Reserved);
        }
        let text = trim_end(trim_start(path));
        let must_be_directory = text.len() < trim_start(path).len() || text.is_empty();
        let last = match without_slashes(path) {
            [b'.', b'.'] | [.., b'/', b'.', b'.'] => LastPart::DotDot,
            [b'.'] | [.., b'/', b'.'] => LastPart::Dot,
            _ => LastPart::Name,
        };
        Ok(GuestPath { text: if text.is_empty() { b"." } else { text }, must_be_directory, last })
    }

    /// What the last part is.
    pub(in crate::host) fn last(&self) -> LastPart {
        self.last
    }

    /// The path without trailing slashes and dots; `.` for the directory itself.
    pub(in crate::host) fn text(&self) -> &'a [u8] {
        self.text
    }

    /// As [`GuestPath::text`], with the `.` at its end, if that is what it ended in.
    pub(in crate::host) fn text_with_dot(&self) -> Vec<u8> {
        let mut text = self.text.to_vec();
        if self.last == LastPart::Dot && self.text != b"." {
            text.extend(b"/.");
        }
        text
    }

    /// Whether the path ended in a slash or `/.`, or was `.`.
    pub(in crate::host) fn must_be_directory(&self) -> bool {
        self.must_be_directory
    }

    /// The same path without the wish for a directory.
    pub(in crate::host) fn without_wish(&self) -> GuestPath<'a> {
        GuestPath { must_be_directory: false, ..*self }
    }

    /// The path up to the last name, if there is more than that, and the last name.
    ///
    /// A path that ends in `.` or `..` names a directory and no name in one, so all of it comes first, and the name is `.`.
    pub(in crate::host) fn split(&self) -> (Option<&'a [u8]>, &'a [u8]) {
        if self.text == b".." || self.text.ends_with(b"/..") {
            return (Some(self.text), b".");
        }
        if self.last == LastPart::Dot && self.text != b"." {
            return (Some(self.text), b".");
        }
        match self.text.iter().rposition(|&byte| byte == b'/') {
            None => (None, self.text),
            Some(slash) => (Some(trim_end(&self.text[..slash])), &self.text[slash + 1..]),
        }
    }
}

/// The path that leads where a link with this target does, if the link lies in the directory `parent`.
///
/// # Errors
/// [`Error::Escape`] for an absolute target, [`Error::NotFound`] for an empty one, [`Error::NameTooLong`], [`Error::Reserved`].
pub(in crate::host) fn splice(parent: Option<&[u8]>, target: &[u8]) -> Result<Vec<u8>, Error> {
    match target.first() {
        None => return Err(Error::NotFound),
        Some(b'/') => return Err(Error::Escape),
        Some(_) if names_reserved(target) => return Err(Error::Reserved),
        Some(_) => {}
    }
    let mut text = parent.map_or_else(Vec::new, <[u8]>::to_vec);
    if !text.is_empty() {
        text.push(b'/');
    }
    text.extend_from_slice(target);
    if text.len() > MAX_PATH_BYTES { Err(Error::NameTooLong) } else { Ok(text) }
}

/// Puts the components of `path` on the list so that the first is taken next.
pub(in crate::host) fn push_components(todo: &mut Vec<Vec<u8>>, path: &[u8]) {
    let components =
        path.split(|&byte| byte == b'/').filter(|component| !component.is_empty() && *component != b".");
    todo.extend(components.rev().map(<[u8]>::to_vec));
}

/// Whether a path has a reserved name in it.
pub(in crate::host) fn names_reserved(path: &[u8]) -> bool {
    path.split(|&byte| byte == b'/').any(is_reserved)
}

/// Whether a name is reserved for directories that changes are staged in: what is in one is carried out with the user's rights, so no guest makes, moves, enters or
/// sees one, nor a link to one. So are names that a file system could take for such a one.
pub(in crate::host) fn is_reserved(name: &[u8]) -> bool {
    could_begin_with(name, STAGING_PREFIX)
}

/// Without leading `./`, which says nothing.
fn trim_start(mut path: &[u8]) -> &[u8] {
    while let [b'.', b'/', rest @ ..] = path {
        path = rest;
        while let [b'/', rest @ ..] = path {
            path = rest;
        }
    }
    path
}

/// Without trailing slashes.
fn without_slashes(mut path: &[u8]) -> &[u8] {
    while let [rest @ .., b'/'] = path {
        path = rest;
    }
    path
}

/// Without trailing slashes and `/.`.
fn trim_end(mut path: &[u8]) -> &[u8] {
    loop {
        match path {
            [rest @ .., b'/'] | [rest @ .., b'/', b'.'] => path = rest,
            [b'.'] => return b"",
            _ => return path,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_apart() {
        let cases: &[(&str, Option<&str>, &str, bool)] = &[
            ("a", None, "a", false),
            ("a/", None, "a", true),
            ("a//", None, "a", true),
            ("a/.", Some("a"), ".", true),
            ("a/./", Some("a"), ".", true),
            ("a/b//./.", Some("a/b"), ".", true),
            ("a/../.", Some("a/.."), ".", true),
            ("a/b", Some("a"), "b", false),
            ("a//b", Some("a"), "b", false),
            ("a/./b", Some("a"), "b", false),
            ("./a", None, "a", false),
            (".//./a", None, "a", false),
            (".", None, ".", true),
            ("./", None, ".", true),
            ("./.", None, ".", true),
            ("..", Some(".."), ".", false),
            ("../", Some(".."), ".", true),
            ("a/..", Some("a/.."), ".", false),
            ("./..", Some(".."), ".", false),
            ("../x", Some(".."), "x", false),
            (".a", None, ".a", false),
            ("a.", None, "a.", false),
            ("...", None, "...", false),
            ("a/...", Some("a"), "...", false),
        ];
        for &(text, parent, name, must_be_directory) in cases {
            let path = GuestPath::parse(text.as_bytes()).expect(text);
            assert_eq!(path.split(), (parent.map(str::as_bytes), name.as_bytes()), "{text}");
            assert_eq!(path.must_be_directory(), must_be_directory, "{text}");
        }
    }

    #[test]
    fn the_last_part_is_told_whatever_follows_it() {
        use LastPart::{Dot, DotDot, Name};
        for (text, last) in [
            ("a", Name),
            ("a//", Name),
            (".a", Name),
            ("a.", Name),
            ("...", Name),
            ("./a/", Name),
            (".", Dot),
            ("./", Dot),
            ("a/.", Dot),
            ("a/.//", Dot),
            ("../.", Dot),
            ("..", DotDot),
            ("../", DotDot),
            ("a/..", DotDot),
            ("a/./..//", DotDot),
        ] {
            assert_eq!(GuestPath::parse(text.as_bytes()).expect(text).last(), last, "{text}");
        }
    }

    #[test]
    fn bad_paths_are_refused() {
        assert_eq!(GuestPath::parse(b"").err(), Some(Error::NotFound));
        assert_eq!(GuestPath::parse(b"/").err(), Some(Error::Escape));
        assert_eq!(GuestPath::parse(b"a\0").err(), Some(Error::Invalid));
        assert_eq!(GuestPath::parse(&[b'a'; 4096]).err(), Some(Error::NameTooLong));
        for path in [
            ".innkeeper-cow-",
            "./.innkeeper-cow-1",
            "a//.INNkeeper-Cow-x/",
            "a/.innkeeper-cow-7/../b",
            "a/INNKEE~1/b",
        ] {
            assert_eq!(GuestPath::parse(path.as_bytes()).err(), Some(Error::Reserved), "{path}");
            assert_eq!(splice(Some(b"a"), path.as_bytes()).err(), Some(Error::Reserved), "{path}");
        }
        for path in [".innkeeper-co", "x.innkeeper-cow-", ".innkeeper/cow-1", "..innkeeper-cow-1"] {
            assert!(GuestPath::parse(path.as_bytes()).is_ok(), "{path}");
        }
    }
}
