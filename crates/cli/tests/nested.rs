//! Y2: whatever can be nested in what `inn` reads is read, or refused, in bounded stack: modules, text, scripts and policies.

use std::path::Path;
use std::process::{Command, Stdio};

/// As deep as files of a few hundred kilobytes go.
const DEPTH: usize = 100_000;

/// Runs `inn` on a file; fails unless it ends by itself, with an answer.
fn ends(name: &str, contents: &[u8], args: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(name);
    std::fs::write(&file, contents).unwrap();
    let place = |arg: &str| if arg == "FILE" { file.clone() } else { Path::new(arg).to_owned() };
    let mut command = Command::new(env!("CARGO_BIN_EXE_inn"));
    command.args(args.iter().map(|arg| place(arg))).current_dir(&dir).stdin(Stdio::null());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // A signal is no code.
    let code = output.status.code();
    assert!(matches!(code, Some(0 | 1 | 2 | 134)), "{name} {args:?}: {:?} {:.300}", output.status, said);
}

fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn section(id: u8, contents: &[u8]) -> Vec<u8> {
    [&[id], &leb(contents.len())[..], contents].concat()
}

/// A program of one function, with one local of type i32.
fn program(body: &[u8]) -> Vec<u8> {
    let body = [&[1, 1, 0x7f][..], body].concat();
    let code = [&[1], &leb(body.len())[..], &body].concat();
    let sections = [
        section(1, b"\x01\x60\0\0"),
        section(3, b"\x01\0"),
        section(7, b"\x01\x06_start\0\0"),
        section(10, &code),
    ];
    [&b"\0asm\x01\0\0\0"[..], &sections.concat()].concat()
}

/// A module of types each of which refers to the one before, in the way that `one` says; the first is an empty structure.
fn types(count: usize, one: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    let all = (0..count).flat_map(|i| if i == 0 { vec![0x50, 0, 0x5f, 0] } else { one(i) });
    let contents: Vec<u8> = leb(count).into_iter().chain(all).collect();
    [&b"\0asm\x01\0\0\0"[..], &section(1, &contents)].concat()
}

fn bodies(depth: usize) -> Vec<(&'static str, Vec<u8>)> {
    let nested =
        |opening: &[u8], closing: &[u8]| [opening.repeat(depth), closing.repeat(depth), vec![0x0b]].concat();
    vec![
        ("block", nested(&[0x02, 0x40], &[0x0b])),
        ("loop", nested(&[0x03, 0x40], &[0x0b])),
        ("if", nested(&[0x41, 1, 0x04, 0x40], &[0x0b])),
        ("else", nested(&[0x41, 1, 0x04, 0x40], &[0x05, 0x0b])),
        ("try_table", nested(&[0x1f, 0x40, 0], &[0x0b])),
        ("operands", [[0x41, 1].repeat(depth / 5), [0x6a].repeat(depth / 5 - 1), vec![0x1a, 0x0b]].concat()),
        ("too many operands", [[0x41, 1].repeat(depth), [0x6a].repeat(depth - 1), vec![0x1a, 0x0b]].concat()),
        ("a chain", [vec![0x20, 0], [0x20, 0, 0x6a].repeat(depth), vec![0x1a, 0x0b]].concat()),
        (
            "a chain that turns",
            [vec![0x20, 0], [0x20, 0, 0x6b, 0x22, 0].repeat(depth), vec![0x1a, 0x0b]].concat(),
        ),
        (
            "selects",
            [[0x20, 0].repeat(depth / 5 + 1), [0x20, 0, 0x1b].repeat(depth / 5), vec![0x1a, 0x0b]].concat(),
        ),
    ]
}

#[test]
fn y2_nested_bodies_are_executed_in_bounded_stack() {
    for (name, body) in bodies(DEPTH) {
        let module = program(&body);
        for tier in ["interpreter", "compiled"] {
            ends(name, &module, &["--cache", "off", "--tier", tier, "FILE"]);
        }
    }
}

#[test]
fn y2_nested_bodies_are_looked_at_in_bounded_stack() {
    for (name, body) in bodies(DEPTH) {
        let module = program(&body);
        for command in [&["validate", "FILE"][..], &["inspect", "FILE"]] {
            ends(name, &module, command);
        }
    }
    // What is shown is as wide as it is deep.
    for (name, body) in bodies(2000) {
        ends(name, &program(&body), &["explore", "FILE", "--to", "page.html"]);
    }
}

#[test]
fn y2_types_that_refer_to_each_other_are_read_in_bounded_stack() {
    let reference = |i: usize| [&[0x5f, 1, 0x63][..], &leb(i - 1), &[0]].concat();
    let subtype = |i: usize| [&[0x50, 1][..], &leb(i - 1), &[0x5f, 0]].concat();
    for (name, module) in [
        ("references", types(DEPTH, reference)),
        ("supertypes", types(60, subtype)),
        ("too many supertypes", types(DEPTH, subtype)),
        ("groups", {
            let contents = [&leb(1)[..], &[0x4e].repeat(DEPTH)].concat();
            [&b"\0asm\x01\0\0\0"[..], &section(1, &contents)].concat()
        }),
    ] {
        for command in [&["validate", "FILE"][..], &["inspect", "FILE"], &["--invoke", "f", "FILE"]] {
            ends(name, &module, command);
        }
    }
}

#[test]
fn y2_nested_text_is_read_in_bounded_stack() {
    let nested = |opening: &str, closing: &str| opening.repeat(DEPTH) + &closing.repeat(DEPTH);
    let fold = |opening: &str| {
        format!(
            "(module (func (export \"_start\") (drop {})))",
            opening.repeat(DEPTH) + "(i32.const 1)" + &")".repeat(DEPTH)
        )
    };
    let within =
        |start: &str, opening: &str, end: &str| format!("(module {start}{}{end})", nested(opening, ")"));
    for (name, text) in [
        ("parentheses", nested("(", ")")),
        ("modules", nested("(module ", ")")),
        ("comments", nested("(;", ";)")),
        ("blocks", within("(func (export \"_start\") ", "(block ", ")")),
        ("loops", within("(func (export \"_start\") ", "(loop ", ")")),
        (
            "conditions",
            within("(func (export \"_start\") ", "(if (i32.const 1) (then ", "").replace(')', "))"),
        ),
        ("operands", fold("(i32.eqz ")),
        ("additions", fold("(i32.add (i32.const 1) ")),
        ("groups", within("", "(rec ", "")),
        ("subtypes", within("", "(type (sub ", "")),
        ("references", within("(global ", "(ref ", "")),
        ("expressions", within("(global i32 ", "(i32.add (i32.const 1) ", "")),
        ("components", nested("(component ", ")")),
        ("component types", format!("(component {})", nested("(type (component ", "))"))),
        ("annotations", within("", "(@a ", "")),
    ] {
        ends(&format!("{name}.wat"), text.as_bytes(), &["--cache", "off", "FILE"]);
        ends(&format!("{name}.wast"), text.as_bytes(), &["wast", "FILE"]);
    }
}

#[test]
fn y2_nested_policies_are_read_in_bounded_stack() {
    for (name, text) in [
        ("arrays", format!("a = {}{}", "[".repeat(DEPTH), "]".repeat(DEPTH))),
        ("tables", format!("a = {}1{}", "{a=".repeat(DEPTH), "}".repeat(DEPTH))),
        ("keys", format!("[{}]", vec!["a"; DEPTH].join("."))),
        ("dotted keys", format!("{} = 1", vec!["a"; DEPTH].join("."))),
    ] {
        ends(&format!("{name}.toml"), text.as_bytes(), &["policy", "check", "FILE"]);
    }
}
