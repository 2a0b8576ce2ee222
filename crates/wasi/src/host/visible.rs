//! Texts that a guest has chosen, fit to print: nothing in them drives a terminal, hides, or passes for what the host says.

/// `text` with every character that is not visible replaced by an escape, so that a guest cannot drive the terminal or hide anything.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for character in text.chars() {
        if is_visible(character) {
            result.push(character);
        } else {
            result.extend(character.escape_unicode());
        }
    }
    result
}

/// Most characters of a name in a sentence; what is longer is shortened in the middle.
const MAX_NAMED_CHARS: usize = 256;

/// A name that a guest has chosen, such as a path, as it stands in a sentence: in quotes if anything in it could be taken for the sentence itself.
#[must_use]
pub fn named(name: &str) -> String {
    let is_plain = |character: char| character.is_alphanumeric() || "_./@%+=~-".contains(character);
    let count = name.chars().count();
    let shown: String = if count > MAX_NAMED_CHARS {
        let half = MAX_NAMED_CHARS / 2;
        name.chars().take(half).chain(['…']).chain(name.chars().skip(count - half)).collect()
    } else {
        name.to_owned()
    };
    if !shown.is_empty() && shown.chars().all(|character| is_plain(character) || character == '…') {
        return visible(&shown);
    }
    let mut quoted = String::from('"');
    for character in shown.chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    visible(&(quoted + "\""))
}

/// Whether a character shows, or changes how the visible one before it does. What controls the terminal or the direction of text is not, nor what separates lines, nor any space but one,
/// nor what nothing is assigned to or has a meaning for its users only.
fn is_visible(character: char) -> bool {
    if character.is_ascii() {
        return !character.is_ascii_control();
    }
    // The standard library has the table: it escapes what does not show, and a mark only if nothing comes before it.
    let mut with_one_before = [0; 5];
    with_one_before[0] = b'a';
    let end = 1 + character.encode_utf8(&mut with_one_before[1..]).len();
    let text = std::str::from_utf8(&with_one_before[..end]).unwrap_or_default();
    text.escape_debug().count() == 2 && !is_blank(character)
}

/// Letters and marks that show nothing, though they are ones by their category.
fn is_blank(character: char) -> bool {
    matches!(
        character,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}'
            | '\u{e0100}'..='\u{e01ef}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Characters of the general categories Cc, Cf, Co, Cn, Zl and Zp, range by range, and letters that show nothing.
    const HIDDEN: &[(u32, u32)] = &[
        (0x0, 0x1f),
        (0x7f, 0xa0),
        (0xad, 0xad),
        (0x34f, 0x34f),
        (0x378, 0x379),
        (0x600, 0x605),
        (0x61c, 0x61c),
        (0x6dd, 0x6dd),
        (0x70f, 0x70f),
        (0x890, 0x891),
        (0x8e2, 0x8e2),
        (0x115f, 0x1160),
        (0x180b, 0x180f),
        (0x2000, 0x200f),
        (0x2028, 0x202f),
        (0x205f, 0x206f),
        (0x2800, 0x2800),
        (0x3000, 0x3000),
        (0x3164, 0x3164),
        (0xe000, 0xf8ff),
        (0xfdd0, 0xfdef),
        (0xfeff, 0xfeff),
        (0xffa0, 0xffa0),
        (0xfff0, 0xfffb),
        (0xfffe, 0xffff),
        (0x110bd, 0x110bd),
        (0x110cd, 0x110cd),
        (0x13430, 0x1343f),
        (0x1bca0, 0x1bca3),
        (0x1d173, 0x1d17a),
        (0x1fffe, 0x1ffff),
        (0xe0000, 0x10_ffff),
    ];

    #[test]
    fn every_character_that_does_not_show_is_escaped() {
        for (first, last) in HIDDEN {
            for character in (*first..=*last).filter_map(char::from_u32) {
                let shown = visible(&format!("a{character}b"));
                assert_eq!(shown, format!("a{}b", character.escape_unicode()));
            }
        }
        for text in ["a b~", "caf\u{e9}", "cafe\u{301}", "日本", "\u{1f3e0}", "…“”", "Ж", "שלום"]
        {
            assert_eq!(visible(text), text);
        }
    }

    #[test]
    fn a_name_in_a_sentence_is_not_taken_for_the_sentence() {
        for (name, shown) in [
            ("/a/b-c_d.e", "/a/b-c_d.e"),
            ("日本/x", "日本/x"),
            ("", r#""""#),
            ("../x: no key covers it", r#""../x: no key covers it""#),
            (r#"a" \"#, r#""a\" \\""#),
            ("a;b", r#""a;b""#),
            ("a\nb", r#""a\u{a}b""#),
        ] {
            assert_eq!(named(name), shown);
        }
        let long = named(&format!("/begin/{}/end", "x".repeat(5000)));
        assert!(long.starts_with("/begin/x") && long.ends_with("x/end") && long.contains("x…x"), "{long}");
        assert_eq!(long.chars().count(), MAX_NAMED_CHARS + 1);
    }
}
