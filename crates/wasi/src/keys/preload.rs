//! What a directory in memory holds before the guest begins: files, directories and links, from pairs of names and bytes or from a tar archive.
//!
//! Plain data: paths are looked at when the directory is opened.

use std::borrow::Cow;
use std::sync::Arc;

use super::KeyError;

/// Something that is there before the guest begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Preloaded {
    /// Its path beneath the directory, without `/` at the front.
    pub(crate) path: String,
    pub(crate) what: PreloadedKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PreloadedKind {
    Directory,
    File(Arc<[u8]>),
    /// A symbolic link with this text.
    Link(String),
}

/// A member's head and what follows come in blocks of so many bytes (POSIX.1-2017, `pax`, "ustar Interchange Format").
const BLOCK_BYTES: usize = 512;

/// The members of a tar archive: regular files, directories and symbolic links.
///
/// # Errors
/// Where it ends in the middle, or has members of another kind.
pub(super) fn members_of_tar(archive: &[u8]) -> Result<Vec<Preloaded>, KeyError> {
    let mut members = Vec::new();
    let mut at = 0;
    // What an extended head says of the next member.
    let (mut long_path, mut long_target, mut long_size) = (None, None, None);
    while archive.get(at..).is_some_and(|rest| rest.iter().take(BLOCK_BYTES).any(|byte| *byte != 0)) {
        let broken = |reason: &str| KeyError::Archive { offset_bytes: at, reason: reason.to_owned() };
        let head =
            archive.get(at..at + BLOCK_BYTES).ok_or_else(|| broken("the archive ends within a head"))?;
        if !has_right_sum(head) {
            return Err(broken("the member's head has another sum than it says"));
        }
        let said = number(&head[124..136]).ok_or_else(|| broken("the member's size is no number"))?;
        let size = long_size.take().unwrap_or(said);
        let start = at + BLOCK_BYTES;
        let end = usize::try_from(size).ok().and_then(|size| start.checked_add(size));
        let contents = end.and_then(|end| archive.get(start..end));
        let contents = contents.ok_or_else(|| broken("the archive ends within the member"))?;
        let next = start + contents.len().next_multiple_of(BLOCK_BYTES);
        let path = |long: Option<String>| long.unwrap_or_else(|| path_of(head));
        let what = match head[156] {
            b'x' => {
                for (key, value) in records(contents) {
                    match key {
                        "path" => long_path = Some(value.to_owned()),
                        "linkpath" => long_target = Some(value.to_owned()),
                        "size" => long_size = value.parse().ok(),
                        _ => {}
                    }
                }
                at = next;
                continue;
            }
            b'g' => {
                at = next;
                continue;
            }
            b'L' => {
                long_path = Some(text(contents).into_owned());
                at = next;
                continue;
            }
            b'K' => {
                long_target = Some(text(contents).into_owned());
                at = next;
                continue;
            }
            b'0' | 0 | b'7' => PreloadedKind::File(contents.into()),
            b'5' => PreloadedKind::Directory,
            b'2' => {
                PreloadedKind::Link(long_target.take().unwrap_or_else(|| text(&head[157..257]).into_owned()))
            }
            _ => return Err(broken("only regular files, directories and symbolic links can be in memory")),
        };
        members.push(Preloaded { path: path(long_path.take()), what });
        at = next;
    }
    Ok(members)
}

/// The text up to the first NUL.
fn text(field: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(field.split(|byte| *byte == 0).next().unwrap_or_default())
}

fn path_of(head: &[u8]) -> String {
    let name = text(&head[..100]);
    // Where GNU tar's own form has something else.
    let has_prefix = &head[257..263] == b"ustar\0";
    match if has_prefix { text(&head[345..500]) } else { Cow::Borrowed("") } {
        prefix if prefix.is_empty() => name.into_owned(),
        prefix => format!("{prefix}/{name}"),
    }
}

/// A number in octal digits, or, with the highest bit set, in bytes.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        return field[1..]
            .iter()
            .try_fold(0_u64, |sum, byte| sum.checked_mul(256)?.checked_add(u64::from(*byte)));
    }
    let digits = text(field);
    match digits.trim() {
        "" => Some(0),
        digits => u64::from_str_radix(digits, 8).ok(),
    }
}

fn has_right_sum(head: &[u8]) -> bool {
    const SUM: std::ops::Range<usize> = 148..156;
    let byte = |(at, byte): (usize, &u8)| u64::from(if SUM.contains(&at) { b' ' } else { *byte });
    number(&head[SUM]) == Some(head.iter().enumerate().map(byte).sum())
}

/// The records of an extended head: `length key=value\n` each.
fn records(mut contents: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    std::iter::from_fn(move || {
        let space = contents.iter().position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(&contents[..space]).ok()?.parse().ok()?;
        let record = contents.get(space + 1..length)?.strip_suffix(b"\n")?;
        contents = &contents[length..];
        std::str::from_utf8(record).ok()?.split_once('=')
    })
}
