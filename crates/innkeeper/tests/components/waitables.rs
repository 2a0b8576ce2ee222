//! Waitable sets, and ends of streams and futures: what they are asked for in which state.

use innkeeper::component::{Trap, Val};
use innkeeper::{Config, MemoryLayout, Tiers};

use super::tasks::{STACKFUL, instance, result, returns, traps};
use super::{call, engines};

#[test]
fn c88_c89_sets_and_their_members() {
    let with_member = r#"(func (export "f") (local i64 i32)
        (local.set 0 (call $s-new)) (local.set 1 (call $set-new))
        (call $join (call $low (local.get 0)) (local.get 1)) (call $set-drop (local.get 1)))"#;
    traps(with_member, STACKFUL, &Trap::SetHasMembers);
    let of_sets = r#"(func (export "f") (call $join (call $set-new) (call $set-new)))"#;
    traps(of_sets, STACKFUL, &Trap::WrongHandleKind { handle: 1, expected: "waitable" });
    // From one set to another, and out of it, with its event; an empty set has none.
    let moves = r#"(func (export "f") (local i64 i32 i32)
        (local.set 0 (call $s-new)) (local.set 1 (call $set-new)) (local.set 2 (call $set-new))
        (call $join (call $low (local.get 0)) (local.get 1))
        (drop (call $s-read (call $low (local.get 0)) (i32.const 64) (i32.const 1)))
        (call $s-drop-w (call $high (local.get 0)))
        (call $join (call $low (local.get 0)) (local.get 2))
        (if (call $set-poll (local.get 1) (i32.const 0)) (then (unreachable)))
        (if (i32.ne (call $set-poll (local.get 2) (i32.const 0)) (i32.const 2)) (then (unreachable)))
        (if (i32.ne (i32.load (i32.const 4)) (i32.const 1)) (then (unreachable)))
        (call $join (call $low (local.get 0)) (i32.const 0))
        (call $set-drop (local.get 1)) (call $set-drop (local.get 2))
        (call $return (i32.load (i32.const 0))))"#;
    returns(moves, STACKFUL, 1);
    let unaligned = r#"(func (export "f") (drop (call $set-poll (call $set-new) (i32.const 2))))"#;
    traps(unaligned, STACKFUL, &Trap::Unaligned);
    let beyond = r#"(func (export "f") (drop (call $set-poll (call $set-new) (i32.const 65532))))"#;
    traps(beyond, STACKFUL, &Trap::PointerOutOfBounds);
}

#[test]
fn c90_c92_c93_ends_and_buffers_are_looked_at() {
    let read = |address: u32, length: u32| {
        format!(
            r#"(func (export "f") (drop (call $s-read (call $low (call $s-new)) (i32.const {address}) (i32.const {length}))))"#
        )
    };
    traps(&read(65_535, 2), STACKFUL, &Trap::PointerOutOfBounds);
    traps(&read(0, 1 << 28), STACKFUL, &Trap::BufferTooLong);
    traps(&read(u32::MAX, u32::MAX), STACKFUL, &Trap::BufferTooLong);
    let wrong_end = r#"(func (export "f")
        (drop (call $s-read (call $high (call $s-new)) (i32.const 0) (i32.const 1))))"#;
    traps(wrong_end, STACKFUL, &Trap::WrongHandleKind { handle: 2, expected: "readable end of a stream" });
    let a_future = r#"(func (export "f")
        (drop (call $s-read (call $low (call $f-new)) (i32.const 0) (i32.const 1))))"#;
    traps(a_future, STACKFUL, &Trap::WrongHandleKind { handle: 1, expected: "readable end of a stream" });
    let cancels = r#"(func (export "f") (drop (call $s-cancel-read (call $low (call $s-new)))))"#;
    traps(cancels, STACKFUL, &Trap::NothingToCancel);
    let twice = r#"(func (export "f") (local i32) (local.set 0 (call $low (call $s-new)))
        (drop (call $s-read (local.get 0) (i32.const 0) (i32.const 1)))
        (drop (call $s-read (local.get 0) (i32.const 0) (i32.const 1))))"#;
    traps(twice, STACKFUL, &Trap::Concurrent);
    let cancelled_twice = r#"(func (export "f") (local i32) (local.set 0 (call $low (call $s-new)))
        (drop (call $s-read (local.get 0) (i32.const 0) (i32.const 1)))
        (drop (call $s-cancel-read (local.get 0)))
        (drop (call $s-cancel-read (local.get 0))))"#;
    traps(cancelled_twice, STACKFUL, &Trap::NothingToCancel);
}

/// `g` of a body, beside `f`, both left in the middle where they wait.
const BOTH: &str = r#"(func (export "f") async (result u32) (canon lift (core func $m "f") async))
    (func (export "g") async (result u32) (canon lift (core func $m "g") async))"#;

/// Runs `f` of a body, which must return, and `g`, which must trap.
fn second_traps(body: &str, expected: &Trap) {
    for engine in engines() {
        let (mut store, instance) = instance(&engine, body, BOTH);
        assert_eq!(result(call(&mut store, instance, "f", &[])), 1);
        let error = call(&mut store, instance, "g", &[]).unwrap_err();
        assert_eq!(error.downcast_ref::<Trap>(), Some(expected), "{body}: {error}");
        assert!(instance.is_poisoned(&mut store));
    }
}

/// C88, B5: a set that another task waits at is not dropped, and what another task waits for by itself is in no set.
#[test]
fn c88_sets_and_waitables_that_others_wait_for() {
    let waited_at = r#"(func (export "f") (global.set $kept (call $set-new)) (call $return (i32.const 1))
            (drop (call $set-wait (global.get $kept) (i32.const 0))))
        (func (export "g") (call $set-drop (global.get $kept)))"#;
    second_traps(waited_at, &Trap::SetHasWaiters);
    let read_by_itself = r#"(func (export "f") (global.set $kept (call $low (call $s-new))) (call $return (i32.const 1))
            (drop (call $s-read-sync (global.get $kept) (i32.const 64) (i32.const 1))))
        (func (export "g") (call $join (global.get $kept) SET))"#;
    second_traps(&read_by_itself.replace("SET", "(call $set-new)"), &Trap::WaitableInSet);
    second_traps(&read_by_itself.replace("SET", "(i32.const 0)"), &Trap::WaitableInSet);
}

/// C90, B5: an end that is in a set is not used by itself, and goes nowhere.
#[test]
fn c90_ends_in_sets_are_not_used_by_themselves() {
    let in_set = |then: &str| {
        format!(
            r#"(func (export "f") (local i32) (local.set 0 (call $low (call $s-new)))
            (call $join (local.get 0) (call $set-new)) {then})"#
        )
    };
    let reads = "(drop (call $s-read-sync (local.get 0) (i32.const 64) (i32.const 1)))";
    traps(&in_set(reads), STACKFUL, &Trap::WaitableInSet);
    let cancels = r#"(drop (call $s-read (local.get 0) (i32.const 64) (i32.const 1)))
        (drop (call $s-cancel-read (local.get 0)))"#;
    traps(&in_set(cancels), STACKFUL, &Trap::WaitableInSet);
    let gives = in_set("(local.get 0)").replace(r#"(export "f")"#, r#"(export "f") (result i32)"#);
    let lifts = r#"(func (export "f") (result $s) (canon lift (core func $m "f")))"#;
    traps(&gives, lifts, &Trap::LiftedInSet("stream"));
}

/// B5: ends that are dropped while they are in a set leave it, and nothing is told of them.
#[test]
fn b5_sets_forget_ends_that_are_dropped() {
    let body = r#"(func (export "f") (local i64 i32)
        (local.set 1 (call $set-new))
        (local.set 0 (call $s-new))
        (call $join (call $low (local.get 0)) (local.get 1)) (call $join (call $high (local.get 0)) (local.get 1))
        (call $s-drop-r (call $low (local.get 0)))
        (call $s-drop-w (call $high (local.get 0)))
        (if (call $set-poll (local.get 1) (i32.const 0)) (then (unreachable)))
        ;; Others get their numbers, and are not in the set.
        (local.set 0 (call $s-new))
        (drop (call $s-read (call $low (local.get 0)) (i32.const 64) (i32.const 1)))
        (call $s-drop-w (call $high (local.get 0)))
        (if (call $set-poll (local.get 1) (i32.const 0)) (then (unreachable)))
        (call $set-drop (local.get 1))
        (call $return (i32.const 1)))"#;
    returns(body, STACKFUL, 1);
}

/// C92: the memory that a read waits to write to is looked at again when something comes: it has grown, and may have moved. Parts add up.
#[test]
fn c92_c102_many_small_writes_fill_a_buffer_of_a_memory_that_grows() {
    let body = r#"(func (export "f") (local i64 i32)
        (local.set 0 (call $s-new))
        (if (i32.ne (call $s-read (call $low (local.get 0)) (i32.const 1024) (i32.const 5000)) (i32.const -1)) (then (unreachable)))
        (loop
            ;; One page more every hundred bytes.
            (if (i32.eqz (i32.rem_u (local.get 1) (i32.const 100))) (then
                (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then (unreachable)))))
            (i32.store8 (i32.const 8) (local.get 1))
            (if (i32.ne (call $s-write (call $high (local.get 0)) (i32.const 8) (i32.const 1)) (i32.const 0x10)) (then (unreachable)))
            (br_if 0 (i32.lt_u (local.tee 1 (i32.add (local.get 1) (i32.const 1))) (i32.const 5000))))
        (call $s-drop-w (call $high (local.get 0)))
        ;; DROPPED, with all that was written.
        (if (i32.ne (call $s-cancel-read (call $low (local.get 0))) (i32.const 0x13881)) (then (unreachable)))
        (if (i32.ne (memory.size) (i32.const 51)) (then (unreachable)))
        (call $return (i32.add (i32.load8_u (i32.const 1324)) (i32.load8_u (i32.const 6023)))))"#;
    let expected = 300 % 256 + 4999 % 256;
    for tiers in [Tiers::Interpreter, Tiers::Compiled] {
        for layout in [MemoryLayout::Reserved, MemoryLayout::Exact] {
            let mut config = Config::default();
            config.tuning.memory_layout = layout;
            let engine = innkeeper::engine_with(config, tiers);
            let (mut store, instance) = instance(&engine, body, STACKFUL);
            assert_eq!(result(call(&mut store, instance, "f", &[])), expected, "{layout:?}");
        }
    }
}

/// C102: a task that reads and one that writes a stream byte by byte leave a third its turns, and nothing of what they have sent.
#[test]
fn c102_many_small_writes_leave_others_their_turns() {
    let body = r#"(global $ends (mut i64) (i64.const 0)) (global $turns (mut i32) (i32.const 0)) (global $read (mut i32) (i32.const 0))
        (global $over (mut i32) (i32.const 0))
        (func $wait (param $end i32) (param $set i32)
            (call $join (local.get $end) (local.get $set))
            (drop (call $set-wait (local.get $set) (i32.const 0)))
            (call $join (local.get $end) (i32.const 0)))
        (func (export "begin") (global.set $ends (call $s-new)) (global.set $turns (i32.const 0)) (global.set $read (i32.const 0))
            (global.set $over (i32.const 0)) (call $return (i32.const 0)))
        (func (export "reads") (local $set i32) (local $told i32)
            (local.set $set (call $set-new))
            (call $return (i32.const 0))
            (loop
                (local.set $told (call $s-read (call $low (global.get $ends)) (i32.const 64) (i32.const 1)))
                (if (i32.eq (local.get $told) (i32.const -1)) (then
                    (call $wait (call $low (global.get $ends)) (local.get $set)) (local.set $told (i32.load (i32.const 4)))))
                (global.set $read (i32.add (global.get $read) (i32.shr_u (local.get $told) (i32.const 4))))
                (br_if 0 (i32.eqz (i32.and (local.get $told) (i32.const 15)))))
            (call $s-drop-r (call $low (global.get $ends))) (call $set-drop (local.get $set))
            (global.set $over (i32.const 1)))
        (func (export "turns") (call $return (i32.const 0))
            (loop (global.set $turns (i32.add (global.get $turns) (i32.const 1))) (drop (call $yield)) (br_if 0 (i32.eqz (global.get $over)))))
        (func (export "writes") (param $count i32) (local $set i32)
            (local.set $set (call $set-new))
            (loop
                (if (i32.eq (call $s-write (call $high (global.get $ends)) (i32.const 96) (i32.const 1)) (i32.const -1)) (then
                    (call $wait (call $high (global.get $ends)) (local.get $set))))
                (br_if 0 (local.tee $count (i32.sub (local.get $count) (i32.const 1)))))
            (call $s-drop-w (call $high (global.get $ends))) (call $set-drop (local.get $set))
            (loop (drop (call $yield)) (br_if 0 (i32.eqz (global.get $over))))
            (call $return (global.get $read)))
        (func (export "turned") (call $return (global.get $turns)))"#;
    let exports: String = ["begin", "reads", "turns", "turned", "writes"]
        .map(|name| {
            let given = if name == "writes" { r#"(param "n" u32)"# } else { "" };
            format!(
                r#"(func (export "{name}") async {given} (result u32) (canon lift (core func $m "{name}") async))"#
            )
        })
        .concat();
    for engine in engines() {
        let (mut store, instance) = instance(&engine, body, &exports);
        let mut used = Vec::new();
        for count in [1_000, 1_000, 50_000] {
            for name in ["begin", "reads", "turns"] {
                result(call(&mut store, instance, name, &[]));
            }
            assert_eq!(result(call(&mut store, instance, "writes", &[Val::U32(count)])), count);
            let turns = result(call(&mut store, instance, "turned", &[]));
            assert!(turns >= count / 4, "{turns} turns while {count} bytes went");
            used.push(store.budget().used_bytes());
        }
        assert_eq!(used[1], used[2]);
    }
}

#[test]
fn c94_c101_futures_are_written_once() {
    let unwritten = r#"(func (export "f") (call $f-drop-w (call $high (call $f-new))))"#;
    traps(unwritten, STACKFUL, &Trap::DroppedUnwritten);
    let written = r#"(func (export "f") (local i64) (local.set 0 (call $f-new))
        (i32.store8 (i32.const 0) (i32.const 77))
        (drop (call $f-read (call $low (local.get 0)) (i32.const 16)))
        (if (call $f-write (call $high (local.get 0)) (i32.const 0)) (then (unreachable)))
        (call $f-drop-w (call $high (local.get 0)))
        (call $return (i32.load8_u (i32.const 16))))"#;
    returns(written, STACKFUL, 77);
    // Nobody reads it any more, which the writer learns, and may drop it then.
    let unread = r#"(func (export "f") (local i64 i32) (local.set 0 (call $f-new))
        (call $f-drop-r (call $low (local.get 0)))
        (local.set 1 (call $f-write (call $high (local.get 0)) (i32.const 0)))
        (call $f-drop-w (call $high (local.get 0)))
        (call $return (local.get 1)))"#;
    returns(unread, STACKFUL, 1);
    let busy = r#"(func (export "f") (local i64) (local.set 0 (call $s-new))
        (drop (call $s-write (call $high (local.get 0)) (i32.const 0) (i32.const 1)))
        (call $s-drop-w (call $high (local.get 0))))"#;
    traps(busy, STACKFUL, &Trap::BusyDropped("stream"));
}

/// C101: what was read, or written, is so once, whether it was told at once or later.
#[test]
fn c101_futures_are_read_once() {
    let read_twice = r#"(func (export "f") (local i64) (local.set 0 (call $f-new))
        (drop (call $f-write (call $high (local.get 0)) (i32.const 0)))
        (if (call $f-read (call $low (local.get 0)) (i32.const 16)) (then (unreachable)))
        (drop (call $f-read (call $low (local.get 0)) (i32.const 16))))"#;
    traps(read_twice, STACKFUL, &Trap::ReadTwice);
    let after_the_event = r#"(func (export "f") (local i64 i32) (local.set 0 (call $f-new)) (local.set 1 (call $set-new))
        (if (i32.ne (call $f-read (call $low (local.get 0)) (i32.const 16)) (i32.const -1)) (then (unreachable)))
        (call $join (call $low (local.get 0)) (local.get 1))
        (if (call $f-write (call $high (local.get 0)) (i32.const 0)) (then (unreachable)))
        ;; FUTURE_READ
        (if (i32.ne (call $set-wait (local.get 1) (i32.const 0)) (i32.const 4)) (then (unreachable)))
        (call $join (call $low (local.get 0)) (i32.const 0))
        (drop (call $f-read (call $low (local.get 0)) (i32.const 16))))"#;
    traps(after_the_event, STACKFUL, &Trap::ReadTwice);
    // It is there and was not told of: the end is still at it.
    let before_the_event = r#"(func (export "f") (local i64) (local.set 0 (call $f-new))
        (drop (call $f-read (call $low (local.get 0)) (i32.const 16)))
        (drop (call $f-write (call $high (local.get 0)) (i32.const 0)))
        (drop (call $f-read (call $low (local.get 0)) (i32.const 16))))"#;
    traps(before_the_event, STACKFUL, &Trap::Concurrent);
    let written_twice = r#"(func (export "f") (local i64) (local.set 0 (call $f-new))
        (drop (call $f-read (call $low (local.get 0)) (i32.const 16)))
        (if (call $f-write (call $high (local.get 0)) (i32.const 0)) (then (unreachable)))
        (drop (call $f-write (call $high (local.get 0)) (i32.const 0))))"#;
    traps(written_twice, STACKFUL, &Trap::WrittenTwice);
}

/// C82: two tasks each of which waits for what the other one would write; both are named.
#[test]
fn c82_a_ring_of_two_that_wait_for_each_other() {
    let body = r#"(global $one (mut i64) (i64.const 0)) (global $two (mut i64) (i64.const 0))
        (func $wait (param $end i32) (local $set i32)
            (drop (call $f-read (local.get $end) (i32.const 64)))
            (call $join (local.get $end) (local.tee $set (call $set-new)))
            (drop (call $set-wait (local.get $set) (i32.const 0))))
        (func (export "f") (global.set $one (call $f-new)) (global.set $two (call $f-new))
            (call $return (i32.const 1))
            (call $wait (call $low (global.get $one))) (drop (call $f-write (call $high (global.get $two)) (i32.const 0))))
        (func (export "g")
            (call $wait (call $low (global.get $two))) (drop (call $f-write (call $high (global.get $one)) (i32.const 0))))"#;
    for engine in engines() {
        let (mut store, instance) = instance(&engine, body, BOTH);
        assert_eq!(result(call(&mut store, instance, "f", &[])), 1);
        let error = call(&mut store, instance, "g", &[]).unwrap_err();
        let Some(Trap::Deadlock(waiters)) = error.downcast_ref::<Trap>() else { panic!("{error}") };
        assert_eq!(waiters.len(), 2, "{error}");
        for waiter in waiters {
            assert!(waiter.ends_with(" for an event of a waitable set of 1"), "{waiter}");
        }
        assert!(instance.is_poisoned(&mut store));
    }
}
