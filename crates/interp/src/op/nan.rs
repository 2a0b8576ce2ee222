//! Canonical NaNs, after instructions that may make others, where the configuration asks for them.

use innkeeper_engine::nan::{canonical_f32, canonical_f64};
use innkeeper_engine::simd::{canonical_f32x4, canonical_f64x2};

use crate::machine::{A, B, handlers};

handlers! {
    /// `[r a]`.
    fn f32(m) {
        m.set(A, canonical_f32(m.get(B)));
        m.next(2)
    }

    /// `[r a]`.
    fn f64(m) {
        m.set(A, canonical_f64(m.get(B)));
        m.next(2)
    }

    /// `[r a]`.
    fn f32x4(m) {
        m.set_vector(A, canonical_f32x4(m.get_vector(B)));
        m.next(2)
    }

    /// `[r a]`.
    fn f64x2(m) {
        m.set_vector(A, canonical_f64x2(m.get_vector(B)));
        m.next(2)
    }
}
