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
    /// Whether guests' instructions are counted.
    pub metering: Metering,
}

/// Whether guests' instructions are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Metering {
    /// They are not.
    #[default]
    Off,
    /// Each instruction uses one unit of fuel, charged when the straight run of instructions it belongs to is entered.
    Fuel,
}

impl Config {
    /// The features that every tier implements: WebAssembly 2.0, and tail calls, extended constant expressions and
    /// relaxed SIMD of 3.0.
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
            | WasmFeatures::SIMD
            | WasmFeatures::RELAXED_SIMD
            | WasmFeatures::TAIL_CALL
            | WasmFeatures::EXTENDED_CONST
            | WasmFeatures::GC_TYPES
            | WasmFeatures::FUNCTION_REFERENCES
            | WasmFeatures::GC
            | WasmFeatures::EXCEPTIONS
            | WasmFeatures::LEGACY_EXCEPTIONS
    }
}
