//! The compiler's intermediate representation, line by line, as the page shows it.
//!
//! Must stay true: a line has no offset in its text, as the page has that beside it, and no more indentation than tells instructions from what they are in.

use super::callees::Callees;

/// The lines of a function's intermediate representation, each with the offset in the module where there is one.
pub(super) fn lines(
    text: &str,
    callees: &Callees,
    callee: impl Fn(usize) -> Option<String>,
) -> Vec<(Option<usize>, String)> {
    let lines = text.lines().filter(|line| !is_declaration(line)).map(|line| {
        let (offset, line) = split(line);
        let line = callees.with_inlined(&line);
        match offset.filter(|_| is_call(&line)).and_then(&callee) {
            Some(callee) => (offset, format!("{line}  ; {callee}")),
            None => (offset, line),
        }
    });
    lines.collect()
}

fn is_call(line: &str) -> bool {
    let line = line.trim_start();
    let operation = line.split_once(" = ").map_or(line, |(_, operation)| operation);
    operation.starts_with("call") || operation.starts_with("return_call") || operation.starts_with("try_call")
}

/// Whether a line is one of the many before the code that say no more than types of calls and kinds of memory.
fn is_declaration(line: &str) -> bool {
    let line = line.trim_start();
    ["sig", "region"].iter().any(|name| {
        let rest = line.strip_prefix(name).map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
        rest.is_some_and(|rest| rest.starts_with(" = "))
    })
}

/// A line's offset in the module, which it begins with as `@` and hexadecimal digits, and the line without.
fn split(line: &str) -> (Option<usize>, String) {
    const INDENT: &str = "    ";
    let whole = line.trim();
    let (offset, text) = match whole.strip_prefix('@').and_then(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
        Some((usize::from_str_radix(&rest[..end], 16).ok()?, rest[end..].trim_start()))
    }) {
        Some((offset, text)) => (Some(offset), text),
        None => (None, whole),
    };
    let is_outer = text.is_empty() || ["function ", "block", "}"].iter().any(|start| text.starts_with(start));
    (offset, if is_outer { text.to_owned() } else { INDENT.to_owned() + text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_their_offset_beside_them_and_little_indentation() {
        let far = " ".repeat(26);
        assert_eq!(
            split(&format!("@004a{far}    v3 = iadd v1, v2")),
            (Some(0x4a), "    v3 = iadd v1, v2".to_owned())
        );
        assert_eq!(split(&format!("{far}    brif v1, block2")), (None, "    brif v1, block2".to_owned()));
        assert_eq!(split(&format!("{far}block1(v2: i32):")), (None, "block1(v2: i32):".to_owned()));
        assert_eq!(split("}"), (None, "}".to_owned()));
        assert_eq!(split(""), (None, String::new()));
    }

    #[test]
    fn calls_are_told_from_other_instructions() {
        for (line, expected) in [
            ("    call fn0(v1)", true),
            ("    v2 = call_indirect sig0, v3(v1)", true),
            ("    try_call fn0(v1), sig0, block1, []", true),
            ("    v2 = iadd v1, v1  ; of call", false),
        ] {
            assert_eq!(is_call(line), expected, "{line}");
        }
    }
}
