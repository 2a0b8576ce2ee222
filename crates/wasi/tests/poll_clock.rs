//! Waiting, clocks, randomness, arguments: cases P1 to P8 of the sandbox.

mod support;

use std::time::Instant;

use innkeeper_wasi::host::Interrupt;
use innkeeper_wasi::keys::{Access, Keys, StdinKey};
use innkeeper_wasi::p1::{Errno, Exit, Version};
use support::*;

const REALTIME: u32 = 0;
const MONOTONIC: u32 = 1;
const ABSTIME: u16 = 1;

/// A subscription in the layout of the guest's version.
#[derive(Clone, Copy)]
enum Sub {
    Clock { id: u32, timeout: u64, flags: u16 },
    Fd { tag: u8, fd: u32 },
}

fn subscription(version: Version, userdata: u64, sub: Sub) -> Vec<u8> {
    let (size, shift) = if version == Version::Preview1 { (48, 0) } else { (56, 8) };
    let mut bytes = vec![0; size];
    bytes[..8].copy_from_slice(&userdata.to_le_bytes());
    match sub {
        Sub::Clock { id, timeout, flags } => {
            bytes[16 + shift..20 + shift].copy_from_slice(&id.to_le_bytes());
            bytes[24 + shift..32 + shift].copy_from_slice(&timeout.to_le_bytes());
            bytes[40 + shift..42 + shift].copy_from_slice(&flags.to_le_bytes());
        }
        Sub::Fd { tag, fd } => {
            bytes[8] = tag;
            bytes[16..20].copy_from_slice(&fd.to_le_bytes());
        }
    }
    bytes
}

/// Waits; events as (user data, error, type, bytes). User data are 100, 101, ...
fn poll(guest: &mut TestGuest, subs: &[Sub]) -> Answer<Vec<(u64, u16, u8, u64)>> {
    let version = guest.version;
    let bytes: Vec<u8> =
        (100..).zip(subs).flat_map(|(userdata, sub)| subscription(version, userdata, *sub)).collect();
    let input = guest.put(&bytes);
    let output = guest.put(&vec![0xee; subs.len() * 32]);
    guest.call("poll_oneoff", &[input, output, subs.len() as u64, 512])?;
    let event = |index: u64| {
        let at = output + index * 32;
        let error_and_type = guest.u32_at(at + 8);
        (guest.u64_at(at), error_and_type as u16, (error_and_type >> 16) as u8, guest.u64_at(at + 16))
    };
    Ok((0..u64::from(guest.u32_at(512))).map(event).collect())
}

fn guest() -> TestGuest {
    TestGuest::new(&Keys::builder().stdin(StdinKey::Bytes(b"hello".to_vec())).build())
}

fn relative(timeout: u64) -> Sub {
    Sub::Clock { id: MONOTONIC, timeout, flags: 0 }
}

#[test]
fn p1_p2_no_and_too_many_subscriptions() {
    let mut guest = guest();
    let inval = Err(number(Errno::Inval));
    assert_eq!(guest.call("poll_oneoff", &[1024, 2048, 0, 512]), inval, "P1");
    assert_eq!(guest.call("poll_oneoff", &[1024, 2048, 0xffff_ffff, 512]), inval, "P2");
    assert_eq!(
        guest.call("poll_oneoff", &[1024, 2048, 0x0555_5556, 512]),
        inval,
        "P2: wraps to a small size"
    );
    assert_eq!(guest.call("poll_oneoff", &[1024, 2048, 10_000, 512]), Err(number(Errno::Fault)), "P2");
}

#[test]
fn p3_every_subscription_is_reported() {
    let mut guest = guest();
    for version in Version::ALL {
        guest.version = version;
        let bytes = subscription(version, 7, relative(0));
        let input = guest.put(&[bytes.clone(), bytes.clone(), bytes].concat());
        let output = guest.put(&[0; 96]);
        guest.call("poll_oneoff", &[input, output, 3, 512]).expect("poll");
        assert_eq!(guest.u32_at(512), 3, "P3 {version:?}");
        for index in 0..3 {
            assert_eq!(guest.u64_at(output + 32 * index), 7, "P3 {version:?}");
        }
        // Events over the subscriptions they answer.
        let input = guest
            .put(&[subscription(version, 1, relative(0)), subscription(version, 2, relative(0))].concat());
        guest.call("poll_oneoff", &[input, input, 2, 512]).expect("poll");
        assert_eq!((guest.u64_at(input), guest.u64_at(input + 32)), (1, 2), "P3 {version:?}");
    }
}

#[test]
fn p4_times_that_are_over_and_times_that_never_come() {
    for version in Version::ALL {
        let mut guest = guest();
        guest.version = version;
        let begin = Instant::now();
        for id in [REALTIME, MONOTONIC] {
            let past = Sub::Clock { id, timeout: 0, flags: ABSTIME };
            assert_eq!(poll(&mut guest, &[past, relative(u64::MAX)]), Ok(vec![(100, 0, 0, 0)]), "P4 {id}");
        }
        let soon = poll(&mut guest, &[relative(u64::MAX), relative(2_000_000)]);
        assert_eq!(soon, Ok(vec![(101, 0, 0, 0)]), "P4");
        assert!(begin.elapsed().as_millis() >= 2, "P4: waited for the time");
        // For ever, until somebody interrupts.
        let interrupt = Interrupt::new().expect("interrupt");
        guest.cx.host().set_interrupt(interrupt.clone());
        let raiser = std::thread::spawn(move || interrupt.raise());
        for sub in [relative(u64::MAX), Sub::Clock { id: REALTIME, timeout: u64::MAX, flags: ABSTIME }] {
            assert_eq!(poll(&mut guest, &[sub]), Err(number(Errno::Intr)), "P4");
        }
        raiser.join().expect("raiser");
    }
}

#[test]
fn p5_clocks() {
    let mut guest = guest();
    let inval = number(Errno::Inval);
    for id in [4, 5, 0xffff_ffff] {
        assert_eq!(guest.call("clock_time_get", &[id, 0, 512]), Err(inval), "P5");
        assert_eq!(guest.call("clock_res_get", &[id, 512]), Err(inval), "P5");
        assert_eq!(poll(&mut guest, &[Sub::Clock { id: id as u32, timeout: 0, flags: 0 }]), Err(inval), "P5");
    }
    for id in 0..4 {
        let mut last = 0;
        for _ in 0..100 {
            guest.call("clock_time_get", &[id, 1000, 512]).expect("clock");
            assert!(guest.u64_at(512) >= last, "P5 {id}");
            last = guest.u64_at(512);
        }
        guest.call("clock_res_get", &[id, 512]).expect("resolution");
        assert!((1..=1_000_000_000).contains(&guest.u64_at(512)), "P5 {id}");
    }
    let cpu = Sub::Clock { id: 3, timeout: 1_000_000_000, flags: 0 };
    assert_eq!(poll(&mut guest, &[cpu]), Ok(vec![(100, number(Errno::NotSup) as u16, 0, 0)]), "P5");
    assert_eq!(poll(&mut guest, &[Sub::Clock { id: 1, timeout: 0, flags: 2 }]), Err(inval), "P5");
}

#[test]
fn p6_many_short_waits_leave_nothing_behind() {
    let mut guest = guest();
    let before = host_descriptors();
    for _ in 0..10_000 {
        assert_eq!(poll(&mut guest, &[relative(1)]).map(|events| events.len()), Ok(1), "P6");
    }
    assert!(host_descriptors() < before + 50, "P6");
}

#[test]
fn p7_randomness_is_capped_and_filled() {
    let mut guest = guest();
    assert_eq!(guest.call("random_get", &[0x3_ffff, 0]), Ok(()), "P7");
    assert_eq!(guest.call("random_get", &[0, 0xffff_ffff]), Err(number(Errno::Fault)), "P7");
    assert_eq!(guest.memory[..8], [0; 8], "P7: nothing was written");
    let all = MEMORY_BYTES as u64;
    assert_eq!(guest.call("random_get", &[0, all]), Ok(()), "P7");
    let zeros = guest.memory.iter().filter(|byte| **byte == 0).count();
    assert!((all / 512..all / 128).contains(&(zeros as u64)), "P7: {zeros} zeros in {all} bytes");
}

#[test]
fn p8_arguments_and_environment() {
    let keys = Keys::builder().arguments(["prog", "with space", ""]).variable("A", "1").variable("B", "x=y");
    let mut guest = TestGuest::new(&keys.build());
    guest.call("args_sizes_get", &[512, 516]).expect("sizes");
    assert_eq!((guest.u32_at(512), guest.u32_at(516)), (3, 17), "P8");
    guest.call("args_get", &[1024, 2048]).expect("args");
    assert_eq!(&guest.memory[2048..2065], b"prog\0with space\0\0", "P8");
    assert_eq!([1024, 1028, 1032].map(|at| guest.u32_at(at)), [2048, 2053, 2064], "P8");
    guest.call("environ_sizes_get", &[512, 516]).expect("sizes");
    assert_eq!((guest.u32_at(512), guest.u32_at(516)), (2, 10), "P8");
    guest.call("environ_get", &[1024, 2048]).expect("environ");
    assert_eq!(&guest.memory[2048..2058], b"A=1\0B=x=y\0", "P8");
    let fault = Err(number(Errno::Fault));
    let before = guest.memory.clone();
    assert_eq!(guest.call("args_get", &[1024, MEMORY_BYTES as u64 - 16]), fault, "P8");
    assert_eq!(guest.call("args_get", &[MEMORY_BYTES as u64 - 8, 2048]), fault, "P8");
    assert_eq!(guest.call("environ_sizes_get", &[512, 0xffff_fffe]), fault, "P8");
    assert!(guest.memory == before, "P8: nothing partly written");
    let huge = Keys::builder().argument("x".repeat(MEMORY_BYTES + 1)).build();
    let mut guest = TestGuest::new(&huge);
    assert_eq!(guest.call("args_get", &[0, 8]), fault, "P8");
}

#[test]
fn readiness_of_files_and_streams() {
    let sandbox = Sandbox::new();
    let keys = Keys::builder()
        .stdin(StdinKey::Bytes(b"hello".to_vec()))
        .dir(sandbox.inside(), "/", Access::ReadWrite)
        .build();
    for version in Version::ALL {
        let mut guest = TestGuest::new(&keys);
        guest.version = version;
        let file = guest.open(3, "f", open_for(READ | WRITE, 0)).expect("open");
        let subs = [
            Sub::Fd { tag: 1, fd: 0 },
            Sub::Fd { tag: 2, fd: 1 },
            Sub::Fd { tag: 1, fd: file },
            Sub::Fd { tag: 2, fd: file },
            relative(u64::MAX),
        ];
        let ready = vec![(100, 0, 1, 5), (101, 0, 2, 0), (102, 0, 1, 6), (103, 0, 2, 0)];
        assert_eq!(poll(&mut guest, &subs), Ok(ready), "{version:?}");
        for (tag, fd) in [(1, 99), (2, 0), (1, 1), (1, 3), (2, u32::MAX)] {
            assert_eq!(poll(&mut guest, &[Sub::Fd { tag, fd }]), Err(number(Errno::Badf)), "{tag} {fd}");
        }
        assert_eq!(poll(&mut guest, &[Sub::Fd { tag: 3, fd: 0 }]), Err(number(Errno::Inval)));
    }
}

#[test]
fn a_pipe_is_waited_for_and_interrupted() {
    let sandbox = Sandbox::new();
    rustix::fs::mkfifoat(rustix::fs::CWD, sandbox.inside().join("pipe"), rustix::fs::Mode::RWXU)
        .expect("mkfifo");
    let mut guest = TestGuest::new(&Keys::builder().dir(sandbox.inside(), "/", Access::ReadWrite).build());
    let both = guest.open(3, "pipe", open_for(READ | WRITE, 0)).expect("open");
    assert_eq!(
        poll(&mut guest, &[Sub::Fd { tag: 1, fd: both }, relative(0)]).map(|events| events[0].0),
        Ok(101)
    );
    let nonblocking =
        guest.open(3, "pipe", Open { rights: READ, fdflags: 4, ..Open::default() }).expect("open");
    assert_eq!(guest.read(nonblocking, 4), Err(number(Errno::Again)));
    let interrupt = Interrupt::new().expect("interrupt");
    guest.cx.host().set_interrupt(interrupt.clone());
    interrupt.raise();
    assert_eq!(guest.read(both, 4), Err(number(Errno::Intr)), "a blocking read ends");
    interrupt.clear();
    assert_eq!(guest.write(both, b"x"), Ok(1));
    assert_eq!(poll(&mut guest, &[Sub::Fd { tag: 1, fd: both }]), Ok(vec![(100, 0, 1, 1)]));
    assert_eq!(guest.read(both, 4).as_deref(), Ok(&b"x"[..]));
}

#[test]
fn the_process_functions() {
    let mut guest = guest();
    assert_eq!(guest.call_raw("proc_exit", &[42]), Err(Exit(42)));
    assert_eq!(guest.call_raw("proc_exit", &[0xffff_ffff]), Err(Exit(u32::MAX)));
    assert_eq!(guest.call("proc_raise", &[9]), Err(number(Errno::NotSup)));
    assert_eq!(guest.call("sched_yield", &[]), Ok(()));
}
