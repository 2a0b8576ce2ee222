//! Names of WIT as Rust has them.

/// Words that no name of Rust is, and that `r#` does not help.
const RESERVED: [&str; 5] = ["self", "Self", "super", "crate", "_"];

/// Words that are names of Rust with `r#` before them.
const KEYWORDS: [&str; 47] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn", "else",
    "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro",
    "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "static", "struct", "trait",
    "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while",
];

/// `read-only` as functions, fields and modules are called: `read_only`.
pub(crate) fn snake(name: &str) -> String {
    escape(name.replace('-', "_").to_lowercase())
}

/// `read-only` as types are called: `ReadOnly`.
pub(crate) fn camel(name: &str) -> String {
    let mut camel = String::new();
    for word in name.split(['-', '_']) {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(&letters.as_str().to_lowercase());
    }
    escape(camel)
}

fn escape(name: String) -> String {
    if RESERVED.contains(&name.as_str()) {
        format!("{name}_")
    } else if KEYWORDS.contains(&name.as_str()) {
        format!("r#{name}")
    } else {
        name
    }
}

/// Whether the derives find the WIT name again in the Rust name.
pub(crate) fn is_found_again(wit: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|first: char| first.is_ascii_lowercase())
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    !RESERVED.contains(&wit) && wit.split('-').all(is_word)
}

/// A name that is not among those that are used, with `_` behind it where it would be.
pub(crate) fn unique(name: String, used: &mut Vec<String>) -> String {
    let mut name = name;
    while used.contains(&name) {
        name = format!("{}_", name.strip_prefix("r#").unwrap_or(&name));
    }
    used.push(name.clone());
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_rusts() {
        for (wit, snake_name, camel_name) in [
            ("read-only", "read_only", "ReadOnly"),
            ("type", "r#type", "Type"),
            ("self", "self_", "Self_"),
            ("HTTP-error", "http_error", "HttpError"),
            ("ipv4-address", "ipv4_address", "Ipv4Address"),
        ] {
            assert_eq!((snake(wit).as_str(), camel(wit).as_str()), (snake_name, camel_name));
        }
        assert!(is_found_again("ipv4-address") && is_found_again("type"));
        assert!(!is_found_again("HTTP-error") && !is_found_again("self"));
        let mut used = vec!["new".to_owned(), "new_".to_owned()];
        assert_eq!(unique("new".to_owned(), &mut used), "new__");
    }
}
