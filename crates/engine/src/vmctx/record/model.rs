//! Every order in which a guest can answer what other threads ask of it.

use super::*;
use crate::sync::{loom, thread};

fn explore(check: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(check);
}

fn record() -> StoreRecord {
    let budget = Budget::new(None, "the limit");
    let stack = crate::fiber::StackPool::for_tests().take().unwrap();
    StoreRecord::new(
        (stack, &RecordPool::for_tests()),
        std::ptr::null(),
        1,
        Arc::new(Parking::default()),
        &budget,
    )
    .unwrap()
}

fn strike(handle: &InterruptHandle) {
    let _ = handle.strike(OwnLimit::Deadline);
}

/// As a tier does at a loop or a call: answers where a check against the limit fails.
fn poll(record: &StoreRecord) -> Option<Request> {
    let is_wanted = record.shared().stack_limit().load(Ordering::Relaxed).is_null();
    is_wanted.then(|| record.take_request()).flatten()
}

/// Polls until `count` requests to stop have been told of; that they never would be is what the model checker would find.
fn told_of_stops(record: &StoreRecord, asked: impl FnOnce()) -> Vec<Request> {
    let mut told: Vec<Request> = (0..2).filter_map(|_| poll(record)).collect();
    asked();
    // Whoever asked is done: whatever has not been told of yet is told of now.
    told.extend((0..2).filter_map(|_| poll(record)));
    told
}

/// A sample is being answered while the guest is stopped.
#[test]
fn a_request_to_stop_is_never_lost() {
    explore(|| {
        let record = record();
        let (sampler, stopper) = (record.interrupt_handle().clone(), record.interrupt_handle().clone());
        let sampling = thread::spawn(move || sampler.sample());
        let stopping = thread::spawn(move || stopper.interrupt());
        let told = told_of_stops(&record, || {
            sampling.join().unwrap();
            stopping.join().unwrap();
        });
        assert_eq!(told.iter().filter(|request| **request == Request::Interrupt).count(), 1, "{told:?}");
        assert_eq!(record.take_ticks(), 1);
    });
}

/// Machine code begins to run while somebody asks: its first loop finds out.
#[test]
fn a_page_that_is_made_late_is_forbidden() {
    explore(|| {
        let record = record();
        let stopper = record.interrupt_handle().clone();
        let stopping = thread::spawn(move || stopper.interrupt());
        record.shared().set_poll_page_apart().unwrap();
        stopping.join().unwrap();
        assert!(record.shared().vm.is_forbidden());
        assert_eq!(record.take_request(), Some(Request::Interrupt));
        assert!(!record.shared().vm.is_forbidden());
    });
}

/// Of an interrupt and each kind of deadline neither replaces the other, and after them, and when the store's own deadline is lifted, nothing is left over.
#[test]
fn every_request_to_stop_is_told_of() {
    for stop in [InterruptHandle::exceed_deadline, strike] {
        explore(move || {
            let record = record();
            let (first, second) = (record.interrupt_handle().clone(), record.interrupt_handle().clone());
            let first = thread::spawn(move || stop(&first));
            let second = thread::spawn(move || second.interrupt());
            let told = told_of_stops(&record, || {
                first.join().unwrap();
                // The store's own goes on stopping guests until it is lifted.
                if record.shared().requests.load(Ordering::Acquire) & OWN_DEADLINE != 0 {
                    assert_eq!(poll(&record), Some(Request::Deadline));
                    record.interrupt_handle().take_back_strike(OwnLimit::Deadline);
                }
                second.join().unwrap();
            });
            let told_times = |request| told.iter().filter(|told| **told == request).count();
            assert_eq!(told_times(Request::Interrupt), 1, "{told:?}");
            assert!(!record.is_stop_requested() && poll(&record).is_none());
        });
    }
}

/// While guests are under way a deadline is told to each one that asks, whatever else is asked for; when they are over, it is forgotten alone.
#[test]
fn a_deadline_is_kept_beside_an_interrupt() {
    for stop in [InterruptHandle::exceed_deadline, strike] {
        explore(move || {
            let record = record();
            // SAFETY: this thread has the store.
            unsafe { (*record.vm()).nesting = 1 };
            let (first, second) = (record.interrupt_handle().clone(), record.interrupt_handle().clone());
            let first = thread::spawn(move || stop(&first));
            let second = thread::spawn(move || second.interrupt());
            let early = poll(&record);
            first.join().unwrap();
            let told: Vec<_> = (0..2).map(|_| poll(&record)).collect();
            assert_eq!(told, [Some(Request::Deadline); 2], "after {early:?}");
            // SAFETY: as above.
            unsafe { (*record.vm()).nesting = 0 };
            record.forget_told_deadline();
            record.interrupt_handle().take_back_strike(OwnLimit::Deadline);
            second.join().unwrap();
            let late = poll(&record);
            assert_eq!(early == Some(Request::Interrupt), late.is_none(), "{early:?}, {late:?}");
            assert!(!record.is_stop_requested() && poll(&record).is_none());
        });
    }
}

/// What is taken back is the store's own deadline alone, whoever asked first.
#[test]
fn taking_a_deadline_back_leaves_an_interrupt() {
    explore(|| {
        let record = record();
        let (deadline, stopper) = (record.interrupt_handle().clone(), record.interrupt_handle().clone());
        let striking = thread::spawn(move || {
            strike(&deadline);
            deadline.take_back_strike(OwnLimit::Deadline);
        });
        let stopping = thread::spawn(move || stopper.interrupt());
        let told = told_of_stops(&record, || {
            striking.join().unwrap();
            stopping.join().unwrap();
        });
        assert_eq!(told.iter().filter(|told| **told == Request::Interrupt).count(), 1, "{told:?}");
        assert!(!record.is_stop_requested() && poll(&record).is_none());
    });
}
