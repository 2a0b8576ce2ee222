//! Other spellings of a name: what a file system that does not compare names as bytes would take for the same name.
//!
//! Directories with case folding (ext4, f2fs, tmpfs) and file systems of other systems ignore case, characters that do not show, and dots and spaces at the end; `vfat` and `ntfs`
//! give long names short aliases besides (`INNKEE~1`). Must stay true: whatever such a file system takes for a name that is asked about is told here; that a name is told which
//! another file system would keep apart is no harm, as only names that are the host's own are asked about.
//!
//! Nothing is looked up here. What servers and other systems' drivers do with names is known to nobody: there, what a name has led to is looked at
//! ([`crate::host::reach`]).

/// Whether a file system could take one name for the other, which is ASCII.
pub(in crate::host) fn is_alias(name: &[u8], exact: &[u8]) -> bool {
    name == exact || is_short_alias(name, exact) || folded(name) == folded(exact)
}

/// Whether a file system could take a name for one that begins so, in ASCII.
pub(super) fn could_begin_with(name: &[u8], beginning: &[u8]) -> bool {
    // Most names are decided by their first byte: other spellings of ASCII have a letter that is none, or the mark of a short alias.
    let begins_alike = match (name, beginning) {
        ([first, ..], [wanted, ..]) => first.eq_ignore_ascii_case(wanted),
        _ => beginning.is_empty(),
    };
    if !begins_alike && name.iter().all(|byte| byte.is_ascii() && *byte != b'~') {
        return false;
    }
    is_short_alias(name, beginning) || folded(name).starts_with(&folded(beginning))
}

/// A name without what case folding and other systems ignore.
fn folded(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    let characters = text.chars().filter(|character| !is_ignorable(*character));
    // By capitals first: `ſ` is a small `s` in folding, and not among the small letters of any other.
    let folded: String = characters.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect();
    // Behind a colon, `ntfs` has a part of the file.
    let whole = folded.split_once(':').map_or(&*folded, |(whole, _)| whole);
    whole.trim_end_matches(['.', ' ']).to_owned()
}

/// Whether a name can be the alias of at most eight characters, and three behind a dot, that a long name has.
fn is_short_alias(name: &[u8], long: &[u8]) -> bool {
    let Ok(name) = std::str::from_utf8(name) else { return false };
    let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
    let Some((start, number)) = stem.split_once('~') else { return false };
    if stem.len() > 8 || number.is_empty() || !number.bytes().all(|digit| digit.is_ascii_digit()) {
        return false;
    }
    let long: Vec<u8> = long.iter().copied().filter(|byte| !matches!(byte, b'.' | b' ')).collect();
    let begins = |start: &str| {
        long.get(..start.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(start.as_bytes()))
    };
    let is_hexadecimal = |text: &str| text.len() == 4 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    // Where several long names begin alike, two letters and a number of four digits stand before the mark.
    let is_numbered = (0..=2).any(|letters| {
        start.split_at_checked(letters).is_some_and(|(start, rest)| begins(start) && is_hexadecimal(rest))
    });
    !start.is_empty() && (begins(start) || is_numbered)
}

/// Characters that case folding passes over, as Unicode has them (`Default_Ignorable_Code_Point`).
fn is_ignorable(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGING: &[u8] = b".innkeeper-cow-";

    #[test]
    fn every_spelling_that_some_file_system_takes_for_a_name_is_told() {
        for name in [
            ".innkeeper-cow-0123",
            ".INNKEEPER-cow-0123",
            ".inn\u{212a}eeper-cow-0123",
            ".innkeeper-cow-0123. .",
            ".inn\u{200d}keeper-cow-0123",
            "\u{feff}.innkeeper-\u{ad}cow-0123",
            ".innkeeper-cow-0123::$INDEX_ALLOCATION",
            "INNKEE~1",
            "INNKE~10",
            "IN3F2A~1",
            "in00ff~2.abc",
        ] {
            assert!(could_begin_with(name.as_bytes(), STAGING), "{name}");
        }
        for (name, exact) in [
            ("INNKEEPER", "innkeeper"),
            ("inn\u{212a}eeper", "innkeeper"),
            ("innkeeper.", "innkeeper"),
            ("INNKEE~1", "innkeeper"),
            (".Cache ", ".cache"),
            ("CACHE~1", ".cache"),
            ("\u{17f}tate", "state"),
            ("cache-\u{212a}ey", "cache-key"),
        ] {
            assert!(is_alias(name.as_bytes(), exact.as_bytes()), "{name}");
        }
    }

    #[test]
    fn other_names_are_free() {
        for name in [
            "innkeeper-cow-1",
            ".innkeeper",
            ".innkeeper-co",
            "index~1",
            "in~x",
            "inn~",
            "init.c~",
            "~1",
            "\u{e4}rger",
            "inn-keeper~1",
            "a",
            "",
        ] {
            assert!(!could_begin_with(name.as_bytes(), STAGING), "{name}");
        }
        for (name, exact) in
            [("innkeepers", "innkeeper"), ("inn", "innkeeper"), ("cache", ".cache"), ("x~1", "innkeeper")]
        {
            assert!(!is_alias(name.as_bytes(), exact.as_bytes()), "{name}");
        }
    }
}
