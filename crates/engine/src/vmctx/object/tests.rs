//! That a collection is given up soon, at each of its stages, and loses nothing by it.

use super::*;
use crate::fiber::StackPool;
use crate::vmctx::record::StoreRecord;

/// Numbers in no order, each once.
fn shuffled(count: usize) -> Vec<usize> {
    let mut all: Vec<usize> = (0..count).collect();
    let mut random = 1_u64;
    for i in (1..count).rev() {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        all.swap(i, (random >> 33) as usize % (i + 1));
    }
    all
}

fn record(budget: &Budget) -> StoreRecord {
    let stack = StackPool::for_tests().take().expect("a stack");
    StoreRecord::new(
        (stack, &crate::vmctx::polled::RecordPool::for_tests()),
        std::ptr::null(),
        1,
        Arc::default(),
        budget,
    )
    .expect("a record")
}

/// A heap of exceptions, which are the objects that need no type.
fn heap(budget: &Budget, objects: usize, slots: u32) -> Heap {
    let mut heap = Heap::new(usize::MAX, Collection::WhenDue, budget);
    for _ in 0..objects {
        assert!(heap.allocate(Allocation::Exception(slots)).is_ok());
    }
    heap
}

#[test]
fn marks_are_cleared_for_as_long_as_nobody_wants_a_stop() {
    const OBJECTS: usize = 3 * WORK as usize;
    let budget = Budget::new(None, "the limit");
    let (mut heap, record) = (heap(&budget, OBJECTS, 1), record(&budget));
    for object in &heap.objects {
        // SAFETY: the test's heap owns the object.
        unsafe { (*object.as_ptr()).marked_by = 1 };
    }
    heap.collection_number = u16::MAX;
    record.interrupt_handle().interrupt();
    heap.begin_collection(record.interrupt_handle());
    assert!(!heap.end_collection() && heap.collection_number == u16::MAX);
    record.take_request();
    heap.begin_collection(record.interrupt_handle());
    heap.sweep(&mut Vec::new());
    assert!(heap.end_collection() && heap.collection_number == 1);
    assert!(heap.objects.is_empty(), "what was marked by the first collection of all is not in use");
}

#[test]
fn large_objects_are_freed_for_as_long_as_nobody_wants_a_stop() {
    const OBJECTS: usize = 64;
    // Just less than what is given back in portions.
    const SLOTS: u32 = (RELEASED_BYTES / 8 - 8) as u32;
    let budget = Budget::new(Some(1 << 40), "the limit");
    let (mut heap, record) = (heap(&budget, OBJECTS, SLOTS), record(&budget));
    heap.begin_collection(record.interrupt_handle());
    record.interrupt_handle().interrupt();
    heap.sweep(&mut Vec::new());
    assert!(!heap.end_collection());
    assert!(heap.objects.len() > OBJECTS - 8, "{} are left", heap.objects.len());
}

#[test]
fn sorting_in_portions_sorts_and_loses_nothing_when_it_is_given_up() {
    const COUNT: usize = 300_000;
    let sorted: Vec<usize> = (0..COUNT).collect();
    let orders = [shuffled(COUNT), sorted.clone(), sorted.iter().rev().copied().collect()];
    for order in orders {
        let mut all = order.clone();
        let mut looks = 0;
        sort_in_portions(&mut all, || {
            looks += 1;
            false
        });
        assert!(looks > 10 && all == sorted, "{looks}");
        for last in 0..looks {
            let (mut all, mut look) = (order.clone(), 0);
            sort_in_portions(&mut all, || {
                look += 1;
                look > last
            });
            all.sort_unstable();
            assert!(all == sorted, "given up at look {last}");
        }
    }
}

#[test]
fn a_number_of_objects_of_the_host_makes_a_collection_due() {
    let budget = Budget::new(None, "the limit");
    let (mut heap, record) = (heap(&budget, 0, 0), record(&budget));
    let host = || Allocation::Host(Arc::new(()));
    for _ in 0..3 {
        let count = (0..).take_while(|_| heap.allocate_if_not_due(host()).is_ok()).take(1 << 20).count();
        assert_eq!(count, FIRST_THRESHOLD_HOSTS, "their own bytes would be let grow to thousands more");
        // What guests make of their own is counted in bytes alone.
        assert!(heap.allocate_if_not_due(Allocation::Exception(1)).is_ok());
        heap.begin_collection(record.interrupt_handle());
        let mut freed = Vec::new();
        heap.sweep(&mut freed);
        assert!(heap.end_collection() && freed.len() == FIRST_THRESHOLD_HOSTS && heap.hosts == 0);
    }
}
