//! Components that are measured. Each exports an async `run` of two numbers.

/// The functions of the canonical ABI that callers use, with a memory.
const AROUND: &str = r#"
    (core module $libc (memory (export "mem") 4))
    (core instance $libc (instantiate $libc))
    (alias core export $libc "mem" (core memory $mem))
    (core func $return (canon task.return))
    (core func $set-new (canon waitable-set.new))
    (core func $join (canon waitable.join))
    (core func $drop (canon subtask.drop))"#;

/// The same as imports of a module's.
const IMPORTS: &str = r#"
    (import "" "mem" (memory 4))
    (import "" "return" (func $return))
    (import "" "set-new" (func $set-new (result i32)))
    (import "" "join" (func $join (param i32 i32)))
    (import "" "drop" (func $drop (param i32)))"#;

const GIVEN: &str = r#"(export "mem" (memory $mem)) (export "return" (func $return))
    (export "set-new" (func $set-new)) (export "join" (func $join)) (export "drop" (func $drop))"#;

const RUN: &str = r#"(func (export "run") async (param "n" u32) (param "m" u32)
    (canon lift (core func $m "run") async (callback (core func $m "cb"))))"#;

/// What the host calls.
pub const CALLED: &str = r#"(component
    (core func $return (canon task.return))
    (core module $m
        (import "" "return" (func $return))
        (func (export "nop") (result i32) (call $return) (i32.const 0))
        (func (export "cb") (param i32 i32 i32) (result i32) (unreachable)))
    (core instance $m (instantiate $m (with "" (instance (export "return" (func $return))))))
    (func (export "nop") async (canon lift (core func $m "nop") async (callback (core func $m "cb")))))"#;

/// Calls the host's async function, which is ready, so often.
pub fn ready() -> String {
    format!(
        r#"(component
        (import "ready" (func $f async))
        {AROUND}
        (core func $f (canon lower (func $f) async (memory $mem)))
        (core module $m {IMPORTS}
            (import "" "f" (func $f (result i32)))
            (func (export "run") (param i32 i32) (result i32)
                (loop
                    ;; `RETURNED`
                    (if (i32.ne (call $f) (i32.const 2)) (then (unreachable)))
                    (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
                (call $return) (i32.const 0))
            (func (export "cb") (param i32 i32 i32) (result i32) (unreachable)))
        (core instance $m (instantiate $m (with "" (instance {GIVEN} (export "f" (func $f))))))
        {RUN})"#
    )
}

/// A component has so many tasks begin in another, each of which leaves its turn so often, and waits for all.
pub fn tasks() -> String {
    of_two(
        ("", ""),
        r#"(core func $return (canon task.return))
        (core func $get (canon context.get i32 0))
        (core func $set (canon context.set i32 0))
        (core module $m
            (import "" "return" (func $return))
            (import "" "get" (func $get (result i32)))
            (import "" "set" (func $set (param i32)))
            ;; `EXIT`, or `YIELD`
            (func $next (param i32) (result i32)
                (if (i32.eqz (local.get 0)) (then (call $return) (return (i32.const 0))))
                (call $set (i32.sub (local.get 0) (i32.const 1)))
                (i32.const 1))
            (func (export "f") (param i32) (result i32) (call $next (local.get 0)))
            (func (export "cb") (param i32 i32 i32) (result i32) (call $next (call $get))))
        (core instance $m (instantiate $m (with "" (instance
            (export "return" (func $return)) (export "get" (func $get)) (export "set" (func $set))))))
        (func (export "f") async (param "n" u32)
            (canon lift (core func $m "f") async (callback (core func $m "cb"))))"#,
    )
}

/// As [`tasks`], whose tasks wait for a function of the host's that never returns.
pub fn waiting() -> String {
    let callee = r#"(import "never" (func $never async))
        (core func $never (canon lower (func $never) async))
        (core func $set-new (canon waitable-set.new))
        (core func $join (canon waitable.join))
        (core module $m
            (import "" "never" (func $never (result i32)))
            (import "" "set-new" (func $set-new (result i32)))
            (import "" "join" (func $join (param i32 i32)))
            ;; `WAIT`
            (func (export "f") (param i32) (result i32) (local $set i32)
                (local.set $set (call $set-new))
                (call $join (i32.shr_u (call $never) (i32.const 4)) (local.get $set))
                (i32.or (i32.shl (local.get $set) (i32.const 4)) (i32.const 2)))
            (func (export "cb") (param i32 i32 i32) (result i32) (unreachable)))
        (core instance $m (instantiate $m (with "" (instance
            (export "never" (func $never)) (export "set-new" (func $set-new)) (export "join" (func $join))))))
        (func (export "f") async (param "n" u32)
            (canon lift (core func $m "f") async (callback (core func $m "cb"))))"#;
    of_two((r#"(import "never" (func $never async))"#, r#"(with "never" (func $never))"#), callee)
}

fn of_two((imported, given): (&str, &str), callee: &str) -> String {
    format!(
        r#"(component {imported}
        (component $C {callee})
        (component $D
            (import "c" (instance $c (export "f" (func async (param "n" u32)))))
            {AROUND}
            (core func $f (canon lower (func $c "f") async (memory $mem)))
            (core module $m {IMPORTS}
                (import "" "f" (func $f (param i32) (result i32)))
                (global $set (mut i32) (i32.const 0))
                (global $pending (mut i32) (i32.const 0))
                (func $next (result i32)
                    (if (global.get $pending)
                        (then (return (i32.or (i32.shl (global.get $set) (i32.const 4)) (i32.const 2)))))
                    (call $return) (i32.const 0))
                (func (export "run") (param i32 i32) (result i32) (local $status i32)
                    (if (i32.eqz (global.get $set)) (then (global.set $set (call $set-new))))
                    (loop
                        (local.set $status (call $f (local.get 1)))
                        (if (i32.ne (local.get $status) (i32.const 2))
                            (then
                                (call $join (i32.shr_u (local.get $status) (i32.const 4)) (global.get $set))
                                (global.set $pending (i32.add (global.get $pending) (i32.const 1)))))
                        (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
                    (call $next))
                ;; An event of a subtask's, which has returned.
                (func (export "cb") (param i32 i32 i32) (result i32)
                    (if (i32.or (i32.ne (local.get 0) (i32.const 1)) (i32.ne (local.get 2) (i32.const 2)))
                        (then (unreachable)))
                    (call $drop (local.get 1))
                    (global.set $pending (i32.sub (global.get $pending) (i32.const 1)))
                    (call $next)))
            (core instance $m (instantiate $m (with "" (instance {GIVEN} (export "f" (func $f))))))
            {RUN})
        (instance $c (instantiate $C {given}))
        (instance $d (instantiate $D (with "c" (instance $c))))
        (func (export "run") (alias export $d "run")))"#
    )
}

/// A component reads what another writes: so many times 64 KiB.
pub fn stream() -> String {
    format!(
        r#"(component
        (component $C
            {AROUND}
            (type $s (stream u8))
            (core func $return-stream (canon task.return (result $s)))
            (core func $new (canon stream.new $s))
            (core func $write (canon stream.write $s async (memory $mem)))
            (core func $end (canon stream.drop-writable $s))
            (core module $m {IMPORTS}
                (import "" "return-stream" (func $return-stream (param i32)))
                (import "" "new" (func $new (result i64)))
                (import "" "write" (func $write (param i32 i32 i32) (result i32)))
                (import "" "end" (func $end (param i32)))
                (global $left (mut i32) (i32.const 0))
                (global $w (mut i32) (i32.const 0))
                (global $set (mut i32) (i32.const 0))
                (func $next (result i32)
                    (loop
                        (if (i32.eqz (global.get $left))
                            (then
                                (call $join (global.get $w) (i32.const 0))
                                (call $end (global.get $w))
                                (return (i32.const 0))))
                        (if (i32.eq (call $write (global.get $w) (i32.const 65536) (i32.const 65536)) (i32.const -1))
                            (then (return (i32.or (i32.shl (global.get $set) (i32.const 4)) (i32.const 2)))))
                        (global.set $left (i32.sub (global.get $left) (i32.const 1)))
                        (br 0))
                    (unreachable))
                (func (export "f") (param i32) (result i32) (local $both i64)
                    (if (i32.eqz (global.get $set)) (then (global.set $set (call $set-new))))
                    (global.set $left (local.get 0))
                    (local.set $both (call $new))
                    (global.set $w (i32.wrap_i64 (i64.shr_u (local.get $both) (i64.const 32))))
                    (call $return-stream (i32.wrap_i64 (local.get $both)))
                    (call $join (global.get $w) (global.get $set))
                    (call $next))
                (func (export "cb") (param i32 i32 i32) (result i32)
                    (global.set $left (i32.sub (global.get $left) (i32.const 1)))
                    (call $next)))
            (core instance $m (instantiate $m (with "" (instance {GIVEN}
                (export "return-stream" (func $return-stream)) (export "new" (func $new))
                (export "write" (func $write)) (export "end" (func $end))))))
            (func (export "f") async (param "n" u32) (result $s)
                (canon lift (core func $m "f") async (callback (core func $m "cb")))))
        (component $D
            (import "c" (instance $c (export "f" (func async (param "n" u32) (result (stream u8))))))
            {AROUND}
            (type $s (stream u8))
            (core func $f (canon lower (func $c "f") async (memory $mem)))
            (core func $read (canon stream.read $s async (memory $mem)))
            (core func $end (canon stream.drop-readable $s))
            (core module $m {IMPORTS}
                (import "" "f" (func $f (param i32 i32) (result i32)))
                (import "" "read" (func $read (param i32 i32 i32) (result i32)))
                (import "" "end" (func $end (param i32)))
                (global $r (mut i32) (i32.const 0))
                (global $set (mut i32) (i32.const 0))
                (func $next (param $result i32) (result i32)
                    (loop
                        ;; `DROPPED`
                        (if (i32.eq (i32.and (local.get $result) (i32.const 15)) (i32.const 1))
                            (then
                                (call $join (global.get $r) (i32.const 0))
                                (call $end (global.get $r))
                                (call $return) (return (i32.const 0))))
                        (local.set $result (call $read (global.get $r) (i32.const 65536) (i32.const 65536)))
                        (br_if 0 (i32.ne (local.get $result) (i32.const -1))))
                    (i32.or (i32.shl (global.get $set) (i32.const 4)) (i32.const 2)))
                (func (export "run") (param i32 i32) (result i32) (local $status i32)
                    (if (i32.eqz (global.get $set)) (then (global.set $set (call $set-new))))
                    (local.set $status (call $f (local.get 0) (i32.const 16)))
                    (if (i32.ne (i32.and (local.get $status) (i32.const 15)) (i32.const 2)) (then (unreachable)))
                    (global.set $r (i32.load (i32.const 16)))
                    (call $join (global.get $r) (global.get $set))
                    (call $next (i32.const 0)))
                (func (export "cb") (param i32 i32 i32) (result i32) (call $next (local.get 2))))
            (core instance $m (instantiate $m (with "" (instance {GIVEN}
                (export "f" (func $f)) (export "read" (func $read)) (export "end" (func $end))))))
            {RUN})
        (instance $c (instantiate $C))
        (instance $d (instantiate $D (with "c" (instance $c))))
        (func (export "run") (alias export $d "run")))"#
    )
}
