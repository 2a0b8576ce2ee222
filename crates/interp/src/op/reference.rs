//! References.

use innkeeper_engine::index::FuncIndex;
use innkeeper_engine::tier::runtime;

use crate::machine::{A, handlers};

handlers! {
    /// `[r _ func]`.
    fn ref_func(m) {
        let record = runtime::ref_func(m.ctx, FuncIndex(m.immediate()));
        m.set(A, record as usize as u64);
        m.next(2)
    }
}
