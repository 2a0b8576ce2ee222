//! The engine's configuration: which features modules may use, the limits and the tuning.

use wasmparser::WasmFeatures;

use crate::limits::Limits;
use crate::tuning::Tuning;

/// What an [`crate::Engine`] is made from.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Bounds on guests.
    pub limits: Limits,
    /// Knobs that change speed only.
    pub tuning: Tuning,
}

impl Config {
    /// The features that every tier implements: WebAssembly 2.0 without SIMD; tail calls, extended constant expressions, several
    /// memories and 64-bit memories of 3.0; custom page sizes, wide arithmetic and threads.
    #[must_use]
    pub fn features(&self) -> WasmFeatures {
        WasmFeatures::MUTABLE_GLOBAL
            | WasmFeatures::SATURATING_FLOAT_TO_INT
            | WasmFeatures::SIGN_EXTENSION
            | WasmFeatures::REFERENCE_TYPES
            | WasmFeatures::CALL_INDIRECT_OVERLONG
            | WasmFeatures::MULTI_VALUE
            | WasmFeatures::BULK_MEMORY
            | WasmFeatures::BULK_MEMORY_OPT
            | WasmFeatures::FLOATS
            | WasmFeatures::TAIL_CALL
            | WasmFeatures::EXTENDED_CONST
            | WasmFeatures::GC_TYPES
            | WasmFeatures::MULTI_MEMORY
            | WasmFeatures::MEMORY64
            | WasmFeatures::CUSTOM_PAGE_SIZES
            | WasmFeatures::WIDE_ARITHMETIC
            | WasmFeatures::THREADS
    }
}
