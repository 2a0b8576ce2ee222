//! Names of Rust as WIT has them.

/// `ReadOnly`, `read_only` and `READ_ONLY` are `read-only`, `HttpURL` is `http-url`.
pub(crate) fn kebab(name: &str) -> String {
    let letters: Vec<char> = name.strip_prefix("r#").unwrap_or(name).chars().collect();
    let mut kebab = String::new();
    for (i, letter) in letters.iter().enumerate() {
        if *letter == '_' {
            kebab.push('-');
            continue;
        }
        let before = i.checked_sub(1).map(|i| letters[i]);
        let begins_word = letter.is_uppercase()
            && before.is_some_and(|before| {
                let ends_acronym =
                    before.is_uppercase() && letters.get(i + 1).is_some_and(|next| next.is_lowercase());
                before != '_' && (!before.is_uppercase() || ends_acronym)
            });
        if begins_word {
            kebab.push('-');
        }
        kebab.extend(letter.to_lowercase());
    }
    kebab
}

#[cfg(test)]
mod tests {
    use super::kebab;

    #[test]
    fn words_are_parted_by_hyphens() {
        for (rust, wit) in [
            ("a", "a"),
            ("read_only", "read-only"),
            ("ReadOnly", "read-only"),
            ("READ_ONLY", "read-only"),
            ("HttpURL", "http-url"),
            ("HTTPServer", "http-server"),
            ("Utf8", "utf8"),
            ("Ipv4Address", "ipv4-address"),
            ("r#type", "type"),
        ] {
            assert_eq!(kebab(rust), wit, "{rust}");
        }
    }
}
