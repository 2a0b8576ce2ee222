//! Guests that never end, each in its own way.

/// A guest whose function `$spin` never ends.
pub(crate) struct Guest {
    pub(crate) name: &'static str,
    /// Its declarations; see [`Guest::text`].
    declarations: &'static str,
    pub(crate) ends: Ends,
}

/// How what never ends is ended.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Ends {
    /// It computes, and looks itself whether it should stop.
    Computing,
    /// It waits for threads of guests, and is woken.
    Waiting,
    /// It waits for the system, and is woken.
    Blocked,
}

/// In a loop: asks the host who executes it, every so often. Odd, so that no loop of few rounds is always seen in the same one.
const LOOK: &str =
    "(if (i32.eqz (i32.rem_u (global.get $rounds) (i32.const 101))) (then (drop (call $here))))
    (global.set $rounds (i32.add (global.get $rounds) (i32.const 1)))";

/// Comes round until the host has seen that it will go on as it is.
const SETTLE: &str = "(loop $settle (br_if $settle (i32.eqz (call $here))))";

pub(crate) const GUESTS: &[Guest] = &[
    computing("br", "(func $spin (loop $l LOOK (br $l)))"),
    computing("br, and nothing else", "(func $spin SETTLE (loop $l (br $l)))"),
    computing("br_if", "(func $spin (loop $l LOOK (br_if $l (global.get $rounds))))"),
    computing("br_table", "(func $spin (loop $l LOOK (br_table $l $l (global.get $rounds))))"),
    computing("br_on_null", "(func $spin (loop $l LOOK (drop (br_on_null $l (ref.null func)))))"),
    computing(
        "br_on_non_null",
        "(func $spin (ref.func $leaf)
            (loop $l (param (ref func)) drop LOOK (br_on_non_null $l (table.get (i32.const 0)))))",
    ),
    computing(
        "br_on_cast",
        "(func $spin (ref.i31 (i32.const 0))
            (loop $l (param (ref i31)) drop LOOK (drop (br_on_cast $l anyref (ref i31) (ref.i31 (i32.const 1))))))",
    ),
    computing(
        "br_on_cast_fail",
        "(func $spin (ref.null any)
            (loop $l (param anyref) drop LOOK (drop (br_on_cast_fail $l anyref (ref struct) (ref.i31 (i32.const 1))))))",
    ),
    computing("catch", "(func $spin (loop $l LOOK (try_table (catch $tag $l) (throw $tag))))"),
    computing(
        "catch_all, from a call",
        "(func $throw (throw $tag)) (func $spin (loop $l LOOK (try_table (catch_all $l) (call $throw))))",
    ),
    computing("a loop in a loop", "(func $spin (loop $m (loop $l LOOK (br_if $l (i32.ctz (global.get $rounds)))) (br $m)))"),
    computing(
        "calls",
        "(func $spin (loop $l LOOK (call $leaf) (call_indirect (i32.const 0)) (call_ref $unit (ref.func $leaf)) (br $l)))",
    ),
    computing("return_call", "(func $spin FEW (return_call $spin))"),
    computing("return_call_indirect", "(func $spin FEW (return_call_indirect (i32.const 1)))"),
    computing("return_call_ref", "(func $spin FEW (return_call_ref $unit (ref.func $spin)))"),
    computing("calls of the host", "(func $spin (loop $l (drop (call $here)) (br $l)))"),
    computing("calls of WASI", "(func $spin (loop $l LOOK (drop (call $yield)) (br $l)))"),
    computing("called by the host", r#"(func $spin (call $call)) (func (export "called") (loop $l LOOK (br $l)))"#),
    computing("start", "(func $endless (loop $l LOOK (br $l))) (start $endless) (func $spin)"),
    Guest {
        name: "memory.atomic.wait32",
        declarations: r#"
            (func $spin SETTLE (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))
            (func (export "check") (result i32)
                (if (memory.atomic.notify (i32.const 0) (i32.const -1)) (then unreachable))
                (i32.sub (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 0)) (i32.const 2)))"#,
        ends: Ends::Waiting,
    },
    Guest {
        name: "memory.atomic.wait64",
        declarations: r#"
            (func $spin SETTLE
                (drop (memory.atomic.wait64 (i32.const 8) (i64.const 0) (i64.const 0x7fff_ffff_ffff_ffff))))
            (func (export "check") (result i32)
                (if (memory.atomic.notify (i32.const 8) (i32.const -1)) (then unreachable))
                (i32.sub (memory.atomic.wait64 (i32.const 8) (i64.const 0) (i64.const 0)) (i32.const 2)))"#,
        ends: Ends::Waiting,
    },
    Guest {
        name: "poll_oneoff",
        declarations: r#"
            (func $wait (param $nanoseconds i64) (result i32)
                (i32.store (i32.const 16) (i32.const 1))
                (i64.store (i32.const 24) (local.get $nanoseconds))
                (call $poll (i32.const 0) (i32.const 100) (i32.const 1) (i32.const 200)))
            (func $spin SETTLE (drop (call $wait (i64.const -1))))
            (func (export "check") (result i32) (call $wait (i64.const 0)))"#,
        ends: Ends::Blocked,
    },
    Guest {
        name: "fd_read",
        declarations: r#"
            (func $byte (result i32)
                (i32.store (i32.const 4) (i32.const 1))
                (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
            (func $spin SETTLE (drop (call $byte)))
            (func (export "check") (result i32) (call $byte))"#,
        ends: Ends::Blocked,
    },
];

const fn computing(name: &'static str, declarations: &'static str) -> Guest {
    Guest { name, declarations, ends: Ends::Computing }
}

impl Guest {
    /// A module: `run` never ends, and `check` gives 0 where all is well.
    pub(crate) fn text(&self) -> String {
        let few = "(local $n i32) (local.set $n (i32.const 4))
            (loop $l LOOK (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))";
        let declarations =
            self.declarations.replace("FEW", few).replace("LOOK", LOOK).replace("SETTLE", SETTLE);
        let check = match self.ends {
            Ends::Computing => r#"(func (export "check") (result i32) (i32.const 0))"#,
            Ends::Waiting | Ends::Blocked => "",
        };
        let shared = if self.ends == Ends::Waiting { "1 shared" } else { "" };
        format!(
            r#"(module
            (import "host" "here" (func $here (result i32)))
            (import "host" "call" (func $call))
            (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
            (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1 {shared})
            (type $unit (func))
            (tag $tag)
            (global $rounds (mut i32) (i32.const 0))
            (table funcref (elem $leaf $spin))
            (func $leaf)
            (func (export "run") (call $spin))
            {declarations} {check})"#
        )
    }
}
