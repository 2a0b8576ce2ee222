//! Components in the text format that would take very long to be translated.
//!
//! The library that translates text puts the types and aliases that an item of a component implies before that item, among all others, and moves what follows, each time: the
//! work grows with the product of how many items there are beside each other, and how much there is to move. Modules are not translated so.
//!
//! What this is not: a parser. What is no component, or is not well-formed, is found out by the library.

use innkeeper_engine::{Error, ErrorKind};
use wast::lexer::{Lexer, TokenKind};

/// The most that the product may be: a second or so. Components that programs are made into have hundreds of items.
const MOST_WORK: u64 = 1 << 33;

/// What a pair of parentheses is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Paren {
    /// Something of which the first word has not been read.
    Unread,
    /// Something that begins with `core`.
    Core,
    /// A core module, whose own items do not count.
    CoreModule,
    /// A component, or a type of one, of an instance or of a module, with how many items it has so far.
    Items(u64),
    Other,
}

/// Refuses text of a component that would take very long.
///
/// # Errors
/// [`ErrorKind::Text`]
pub(super) fn check(text: &str) -> Result<(), Error> {
    let (items, parts) = count(text);
    if items.saturating_mul(parts) <= MOST_WORK {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Text(format!(
        "the component has {items} items beside each other, and {parts} parts in all: too many to translate from the text format in reasonable time; give the component in the binary format, or nest it \
         in several"
    ))))
}

/// How many items there are beside each other at most, and how many parts outside of core modules; nothing of what is no component.
fn count(text: &str) -> (u64, u64) {
    let lexer = Lexer::new(text);
    let (mut open, mut modules): (Vec<Paren>, usize) = (Vec::new(), 0);
    let (mut items, mut parts) = (0, 0);
    // What cannot be read ends it: the library says so.
    for token in lexer.iter(0).map_while(Result::ok) {
        match token.kind {
            TokenKind::LParen => {
                if let Some(Paren::Items(count)) = open.last_mut() {
                    *count += 1;
                    items = items.max(*count);
                }
                parts += u64::from(modules == 0);
                open.push(Paren::Unread);
            }
            TokenKind::RParen => modules -= usize::from(open.pop() == Some(Paren::CoreModule)),
            TokenKind::LineComment | TokenKind::BlockComment | TokenKind::Whitespace => {}
            kind => {
                let word = if kind == TokenKind::Keyword { token.keyword(text) } else { "" };
                let is_outermost = open.len() == 1;
                let Some(top @ (Paren::Unread | Paren::Core)) = open.last_mut() else { continue };
                if is_outermost && word != "component" {
                    return (0, 0);
                }
                *top = match (*top, word) {
                    (Paren::Unread, "core") => Paren::Core,
                    (Paren::Core, "module") => Paren::CoreModule,
                    (Paren::Unread, "component" | "instance" | "module") if modules == 0 => Paren::Items(0),
                    _ => Paren::Other,
                };
                modules += usize::from(*top == Paren::CoreModule);
            }
        }
    }
    (items, parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_beside_each_other_are_counted_and_core_modules_are_not() {
        for (text, items, parts) in [
            ("(module (func) (func))", 0, 0),
            ("(func) (func)", 0, 0),
            ("(component)", 0, 1),
            (
                ";; (\n (; ( ;) (component $c (core module (func) (func (nop))) (type string) (import \"(\" (func)))",
                3,
                5,
            ),
            ("(component (component (type u8) (type u8) (type u8)) (core module $m (memory 1)))", 3, 6),
            ("(component (type (instance (export \"a\" (func)) (type u8))))", 2, 6),
            ("(component (core type (module (type (func)) (type (func)) (type (func)))))", 3, 9),
            ("(component (core instance (export \"a\" (func 1))))", 1, 4),
            ("(component (import \"a\" (func)) \"", 1, 3),
            (")) (component (type u8))", 1, 2),
            ("", 0, 0),
        ] {
            assert_eq!(count(text), (items, parts), "{text}");
        }
    }

    /// Functions that are lowered, again and again.
    #[test]
    fn what_would_take_very_long_is_refused_before() {
        let functions = |count: usize| {
            format!(
                "(component (component (import \"h\" (func $h)) {}))",
                "(core func (canon lower (func $h)))".repeat(count)
            )
        };
        let translated = crate::to_binary(functions(1000).as_bytes()).map(|_| ());
        assert!(translated.is_ok(), "{translated:?}");
        let error = crate::to_binary(functions(100_000).as_bytes()).expect_err("too much").to_string();
        assert!(error.contains("100001 items") && error.contains("binary format"), "{error}");
    }
}
