//! What a call that was leaked in a function of the host leaves behind.

use super::*;
use crate::config::Config;
use crate::engine::Engine;
use crate::store::{AsContextMut, Store};
use crate::tier::{NoCode, NoTier};

struct Panics;

impl Drop for Panics {
    fn drop(&mut self) {
        panic!("in a destructor");
    }
}

/// A reason that nobody was told of is the embedder's, and may panic when it is dropped: not where the function's call ends, which no panic may pass, but when the guest is left.
#[test]
fn what_is_pending_of_a_leaked_call_may_panic_when_it_is_dropped() {
    // SAFETY: nothing of a module is called.
    let engine = Engine::with_tier(Config::default(), unsafe { NoTier::new(|| Box::new(NoCode)) });
    let mut store = Store::new(&engine, ()).unwrap();
    let inner = store.as_context_mut().0;
    let vm = inner.core.vm();
    // SAFETY: the record is of the store, of which this test has exclusive use; what follows is what `call_code` does.
    unsafe {
        (*vm).core = (&raw mut inner.core).cast();
        let before = Before::of(vm);
        (*vm).nesting += 1;
        (*vm).fiber.pending = Some(Pending::Panic(Box::new(Panics)));
        assert_eq!(before.end(vm, Ok(Ok(()))), HOST_DONE);
        assert!((*vm).nesting == 0 && (*vm).fiber.pending.is_none());
        let panic = (*core_of(vm)).host_panics.take().unwrap();
        assert_eq!(panic.downcast_ref(), Some(&"in a destructor"));
    }
}
