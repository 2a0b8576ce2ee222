//! Components that are measured. Each exports `run`, which does so often what it is about.

/// What allocates at a fixed place, which is enough where nobody keeps anything.
const LIBC: &str = r#"(core module $libc (memory (export "mem") 80)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 65536)))
    (core instance $libc (instantiate $libc))"#;

const OPTIONS: &str = r#"(memory (core memory $libc "mem")) (realloc (core func $libc "realloc"))"#;

/// A core module that calls `f` in a loop, with what `call` passes.
fn looping(import: &str, call: &str) -> String {
    format!(
        r#"(core module $m (import "" "mem" (memory 80)) (import "" "f" (func $f {import}))
            (func (export "run") (param i32)
                (if (i32.eqz (local.get 0)) (then (return)))
                (loop {call} (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))
        (core instance $m (instantiate $m (with "" (instance (export "mem" (memory $libc "mem")) (export "f" (func $f))))))"#
    )
}

/// A component that calls the host's `f`.
fn of_host(imports: &str, lower: &str, import: &str, call: &str) -> String {
    let module = looping(import, call);
    format!(
        r#"(component {imports} {LIBC} {lower} {module}
            (func (export "run") (param "n" u32) (canon lift (core func $m "run"))))"#
    )
}

pub fn host_nop() -> String {
    of_host(r#"(import "nop" (func $f))"#, "(core func $f (canon lower (func $f)))", "", "(call $f)")
}

/// Letters to begin with, for strings: memory is zeros otherwise, which are letters too.
pub fn host_string(bytes: u32) -> String {
    of_host(
        r#"(import "string" (func $f (param "s" string)))"#,
        &format!("(core func $f (canon lower (func $f) {OPTIONS}))"),
        "(param i32 i32)",
        &format!("(call $f (i32.const 1024) (i32.const {bytes}))"),
    )
}

/// A list that goes to the function of the host's with that name.
pub fn host_list(name: &str, length: u32) -> String {
    of_host(
        &format!(r#"(import "{name}" (func $f (param "l" (list u32))))"#),
        &format!("(core func $f (canon lower (func $f) {OPTIONS}))"),
        "(param i32 i32)",
        &format!("(call $f (i32.const 1024) (i32.const {length}))"),
    )
}

pub fn host_method() -> String {
    let module = r#"(core module $m (import "" "make" (func $make (result i32))) (import "" "f" (func $f (param i32) (result i32)))
            (func (export "run") (param i32) (local $it i32)
                (local.set $it (call $make))
                (if (i32.eqz (local.get 0)) (then (return)))
                (loop (drop (call $f (local.get $it))) (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))
        (core instance $m (instantiate $m (with "" (instance (export "make" (func $make)) (export "f" (func $f))))))"#;
    format!(
        r#"(component
            (import "res" (instance $res
                (export "thing" (type $thing (sub resource)))
                (export "make" (func (result (own $thing))))
                (export "get" (func (param "self" (borrow $thing)) (result u32)))))
            (core func $make (canon lower (func $res "make")))
            (core func $f (canon lower (func $res "get")))
            {module}
            (func (export "run") (param "n" u32) (canon lift (core func $m "run"))))"#
    )
}

/// Two components, of which one calls the other's `f`; `types` are there in both, `body` is what the callee does.
fn composed((types, imported): (&str, &str), ty: &str, (core, body): (&str, &str), call: &str) -> String {
    let module = looping(core, call);
    format!(
        r#"(component
        (component $C {types} {LIBC}
            (core module $m (func (export "f") {core} {body}))
            (core instance $m (instantiate $m))
            (func (export "f") {ty} (canon lift (core func $m "f") {OPTIONS})))
        (component $D
            (import "c" (instance $c {imported} (export "f" (func {ty}))))
            {LIBC}
            (core func $f (canon lower (func $c "f") {OPTIONS}))
            {module}
            (func (export "run") (param "n" u32) (canon lift (core func $m "run"))))
        (instance $c (instantiate $C))
        (instance $d (instantiate $D (with "c" (instance $c))))
        (func (export "run") (alias export $d "run")))"#
    )
}

/// What a callee has that could call somebody: it could drop a resource.
const LEADS_OUT: &str = "(type $out (resource (rep i32))) (core func (canon resource.drop $out))";

pub fn nop() -> String {
    composed(("", ""), "", ("", ""), "(call $f)")
}

/// The callee could call somebody, as most can that were made by toolchains: then it must be known that it is in a call.
pub fn nop_into_one_that_leads_out() -> String {
    composed((LEADS_OUT, ""), "", ("", ""), "(call $f)")
}

pub fn bytes(length: u32) -> String {
    composed(
        ("", ""),
        r#"(param "l" (list u8))"#,
        ("(param i32 i32)", ""),
        &format!("(call $f (i32.const 65536) (i32.const {length}))"),
    )
}

pub fn string(length: u32) -> String {
    composed(
        ("", ""),
        r#"(param "s" string)"#,
        ("(param i32 i32)", ""),
        &format!("(call $f (i32.const 65536) (i32.const {length}))"),
    )
}

pub fn record() -> String {
    record_into("")
}

pub fn record_into_one_that_leads_out() -> String {
    record_into(LEADS_OUT)
}

/// Fields of ten types, twice, which lie as they do in what programs pass.
fn record_into(out: &str) -> String {
    let kinds = ["u32", "u8", "s64", "bool", "f64", "u16", "char", "s8", "f32", "u64"];
    let fields: String = (0..20).map(|i| format!("(field \"f{i}\" {})", kinds[i % kinds.len()])).collect();
    let types = format!("{out} (type $r' (record {fields})) (export $r \"r\" (type $r'))");
    let imported = format!("(type $r' (record {fields})) (export \"r\" (type $r (eq $r')))");
    composed((&types, &imported), r#"(param "r" $r)"#, ("(param i32)", ""), "(call $f (i32.const 1024))")
}

/// What the host calls.
pub const CALLED: &str = r#"(component
    (core module $m (func (export "nop")))
    (core instance $m (instantiate $m))
    (func (export "nop") (canon lift (core func $m "nop"))))"#;
