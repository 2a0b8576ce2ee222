//! Components of the world `wasi:http/proxy`, made of core text: a module that imports functions by the names of their interfaces, and drops handles by `drop`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::surface::{Function, functions};

/// What the world `wasi:http/proxy` imports: interfaces with the types of their functions.
pub(crate) const IMPORTS: &str = include_str!("wasi-http-0.2.12.wat");

/// What every guest has: functions with short names, and some of its own that answer.
///
/// `$answer` sets a response of a status and gives its body, `$stream` gives the stream of a body, `$say` writes to it and gives 0 where that has succeeded, `$end` finishes both.
const PRELUDE: &str = r#"
    (import "env" "memory" (memory 64))
    (import "wasi:http/types" "[constructor]fields" (func $fields (result i32)))
    (import "wasi:http/types" "[method]fields.append" (func $append (param i32 i32 i32 i32 i32 i32)))
    (import "wasi:http/types" "[constructor]outgoing-response" (func $response (param i32) (result i32)))
    (import "wasi:http/types" "[method]outgoing-response.set-status-code" (func $set_status (param i32 i32) (result i32)))
    (import "wasi:http/types" "[method]outgoing-response.body" (func $response_body (param i32 i32)))
    (import "wasi:http/types" "[method]outgoing-body.write" (func $write_body (param i32 i32)))
    (import "wasi:http/types" "[static]outgoing-body.finish" (func $finish_body (param i32 i32 i32 i32)))
    (import "wasi:http/types" "[static]response-outparam.set" (func $set (param i32 i32 i32 i32 i64 i32 i32 i32 i32)))
    (import "wasi:http/types" "[method]incoming-request.consume" (func $consume (param i32 i32)))
    (import "wasi:http/types" "[method]incoming-body.stream" (func $read_body (param i32 i32)))
    (import "wasi:http/types" "[static]incoming-body.finish" (func $finish_read (param i32) (result i32)))
    (import "wasi:io/streams" "[method]output-stream.blocking-write-and-flush" (func $write (param i32 i32 i32 i32)))
    (import "drop" "output-stream" (func $drop_output (param i32)))
    (import "drop" "input-stream" (func $drop_input (param i32)))
    (import "drop" "outgoing-body" (func $drop_body (param i32)))
    (import "drop" "incoming-body" (func $drop_read_body (param i32)))
    (import "drop" "incoming-request" (func $drop_request (param i32)))
    (import "drop" "response-outparam" (func $drop_outparam (param i32)))
    (func $ok (param $at i32) (result i32)
        (if (i32.load8_u (local.get $at)) (then (unreachable)))
        (i32.load (i32.add (local.get $at) (i32.const 4))))
    (func $send (param $out i32) (param $response i32)
        (call $set (local.get $out) (i32.const 0) (local.get $response) (i32.const 0) (i64.const 0)
            (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
    (func $answer_with (param $out i32) (param $status i32) (param $fields i32) (result i32)
        (local $response i32) (local $body i32)
        (local.set $response (call $response (local.get $fields)))
        (if (call $set_status (local.get $response) (local.get $status)) (then (unreachable)))
        (call $response_body (local.get $response) (i32.const 64))
        (local.set $body (call $ok (i32.const 64)))
        (call $send (local.get $out) (local.get $response))
        (local.get $body))
    (func $answer (param $out i32) (param $status i32) (result i32)
        (call $answer_with (local.get $out) (local.get $status) (call $fields)))
    (func $stream (param $body i32) (result i32)
        (call $write_body (local.get $body) (i32.const 64)) (call $ok (i32.const 64)))
    (func $say (param $stream i32) (param $at i32) (param $length i32) (result i32)
        (call $write (local.get $stream) (local.get $at) (local.get $length) (i32.const 64))
        (i32.load8_u (i32.const 64)))
    (func $end (param $body i32) (param $stream i32)
        (call $drop_output (local.get $stream))
        (call $finish_body (local.get $body) (i32.const 0) (i32.const 0) (i32.const 64))
        (if (i32.load8_u (i32.const 64)) (then (unreachable))))
    (func $reading (param $request i32) (result i32)
        (call $consume (local.get $request) (i32.const 64)) (call $ok (i32.const 64)))
    (func $read_stream (param $body i32) (result i32)
        (call $read_body (local.get $body) (i32.const 64)) (call $ok (i32.const 64)))
"#;

/// In which interface resources are.
const RESOURCES: &[(&str, &[&str])] = &[
    ("wasi:io/poll", &["pollable"]),
    ("wasi:io/error", &["error"]),
    ("wasi:io/streams", &["input-stream", "output-stream"]),
];

/// A component whose `handle` is the function `$handle` of this text, with two handles as parameters.
pub(crate) fn component(text: &str) -> String {
    let (mut core, rest) = imports_first(&format!("{PRELUDE}{text}"));
    core += &rest;
    let mut component = IMPORTS.trim_end().strip_suffix(')').unwrap().to_owned();
    component += r#"(core module $libc (memory (export "memory") 64) (global $next (mut i32) (i32.const 0x100000))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
            (if (i32.gt_u (global.get $next) (i32.const 0x300000)) (then (global.set $next (i32.const 0x100000))))
            (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
            (global.set $next (i32.add (local.get $at) (local.get 3)))
            (local.get $at)))
        (core instance $libc (instantiate $libc))"#;
    let mut given = String::new();
    let (mut interfaces, mut known) = (BTreeSet::new(), BTreeSet::new());
    for import in core.split("(import \"").skip(1) {
        let mut words = import.split('"');
        let (interface, name) = (words.next().unwrap(), words.nth(1).unwrap());
        if interface == "env" || !known.insert((interface, name)) {
            continue;
        }
        interfaces.insert(interface);
        let number = known.len();
        if interface == "drop" {
            let of = RESOURCES.iter().find(|(_, names)| names.contains(&name));
            let of = of.map_or("wasi:http/types", |(interface, _)| interface);
            write!(component, "(alias export ${of}@0.2.12 {name:?} (type $r{number}))").unwrap();
            write!(component, "(core func $f{number} (canon resource.drop $r{number}))").unwrap();
        } else {
            let is_it = |known: &&Function| {
                known.name == name && known.interface.strip_suffix("@0.2.12") == Some(interface)
            };
            let all = functions(IMPORTS);
            let function = all.iter().find(is_it).unwrap_or_else(|| panic!("there is no {interface} {name}"));
            let options = r#"(memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))"#;
            let lower = format!("(canon lower (func {} {name:?}) {options})", function.instance);
            write!(component, "(core func $f{number} {lower})").unwrap();
        }
        write!(given, "{interface}\n{name}\n{number}\n").unwrap();
    }
    let given: Vec<&str> = given.lines().collect();
    let mut with = String::from(r#"(with "env" (instance (export "memory" (memory $libc "memory"))))"#);
    for interface in interfaces {
        write!(with, "(with {interface:?} (instance").unwrap();
        for import in given.chunks(3).filter(|import| import[0] == interface) {
            write!(with, "(export {:?} (func $f{}))", import[1], import[2]).unwrap();
        }
        with += "))";
    }
    write!(
        component,
        r#"(core module $main {core} (export "handle" (func $handle)))
        (core instance $main (instantiate $main {with}))
        (alias export $wasi:http/types@0.2.12 "incoming-request" (type $request))
        (alias export $wasi:http/types@0.2.12 "response-outparam" (type $outparam))
        (func $lifted (param "request" (own $request)) (param "response-out" (own $outparam))
            (canon lift (core func $main "handle")))
        (instance $handler (export "handle" (func $lifted)))
        (export "wasi:http/incoming-handler@0.2.12" (instance $handler)))"#
    )
    .unwrap();
    component
}

/// The imports of a module's text, and the rest: imports come first.
fn imports_first(text: &str) -> (String, String) {
    let (mut imports, mut rest) = (String::new(), String::new());
    let mut left = text;
    while let Some(at) = left.find("(import ") {
        rest += &left[..at];
        let mut depth = 0;
        let end = left[at..].find(|letter| {
            depth += i32::from(letter == '(') - i32::from(letter == ')');
            depth == 0
        });
        let (import, after) = left[at..].split_at(end.expect("a parenthesis") + 1);
        imports += import;
        left = after;
    }
    rest += left;
    (imports, rest)
}
