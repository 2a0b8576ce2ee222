//! Which parts of WebAssembly modules may use: each proposal of the standard since its first version, and a few beyond it.
//!
//! What is switched off is refused when a module is validated. Everything in the standard is on by default; so are the proposals that
//! this engine implements beyond it, because programs for it exist.

use wasmparser::{Validator, WasmFeatures};

macro_rules! features {
    ($($(#[$doc:meta])* $name:ident $text:literal = $($flag:ident)|+;)*) => {
        /// A part of WebAssembly that can be switched off.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Feature {
            $($(#[$doc])* $name,)*
        }

        impl Feature {
            /// All of them, in the order of the standard's history.
            pub const ALL: &'static [Feature] = &[$(Feature::$name,)*];

            /// The proposal's usual name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Feature::$name => $text,)*
                }
            }

            fn flags(self) -> WasmFeatures {
                match self {
                    $(Feature::$name => WasmFeatures::empty()$(.union(WasmFeatures::$flag))+,)*
                }
            }
        }
    };
}

features! {
    /// Mutable globals that are imported or exported.
    MutableGlobals "mutable-global" = MUTABLE_GLOBAL;
    /// Conversions from floats that saturate instead of trapping.
    SaturatingConversions "saturating-float-to-int" = SATURATING_FLOAT_TO_INT;
    /// Sign extension within a register.
    SignExtension "sign-extension" = SIGN_EXTENSION;
    /// Several results of functions and blocks.
    MultiValue "multi-value" = MULTI_VALUE;
    /// Bulk operations on memories and tables.
    BulkMemory "bulk-memory" = BULK_MEMORY | BULK_MEMORY_OPT;
    /// References as values, several tables.
    ReferenceTypes "reference-types" = REFERENCE_TYPES | CALL_INDIRECT_OVERLONG;
    /// Vectors of 128 bits.
    Simd "simd" = SIMD;
    /// Vector operations whose results may differ between processors.
    RelaxedSimd "relaxed-simd" = RELAXED_SIMD;
    /// Arithmetic in constant expressions.
    ExtendedConst "extended-const" = EXTENDED_CONST;
    /// Tail calls.
    TailCalls "tail-call" = TAIL_CALL;
    /// Exceptions.
    Exceptions "exception-handling" = EXCEPTIONS;
    /// The older form of exceptions, which some compilers still emit.
    LegacyExceptions "legacy-exceptions" = LEGACY_EXCEPTIONS;
    /// References to functions of a known type.
    FunctionReferences "function-references" = FUNCTION_REFERENCES;
    /// Several memories.
    MultiMemory "multi-memory" = MULTI_MEMORY;
    /// Memories and tables with 64-bit indices.
    Memory64 "memory64" = MEMORY64;
    /// Structures, arrays and garbage collection.
    GarbageCollection "gc" = GC;
    /// Shared memories, atomic instructions, waiting and waking.
    Threads "threads" = THREADS;
    /// Memories whose pages are single bytes.
    CustomPageSizes "custom-page-sizes" = CUSTOM_PAGE_SIZES;
    /// Arithmetic on 128-bit integers in two halves.
    WideArithmetic "wide-arithmetic" = WIDE_ARITHMETIC;
}

/// A set of features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features(WasmFeatures);

impl Features {
    /// The first version of the standard only.
    pub const MVP: Features = Features(WasmFeatures::FLOATS.union(WasmFeatures::GC_TYPES));

    /// The set with a feature added.
    #[must_use]
    pub fn with(self, feature: Feature) -> Features {
        Features(self.0.union(feature.flags()))
    }

    /// The set with a feature taken away.
    #[must_use]
    pub fn without(self, feature: Feature) -> Features {
        Features(self.0.difference(feature.flags()))
    }

    /// Whether a feature is in the set.
    #[must_use]
    pub fn contains(self, feature: Feature) -> bool {
        self.0.contains(feature.flags())
    }

    /// The least set with which a module in the binary format is valid; nothing where it is not valid with all of them.
    ///
    /// Validates it once for each feature that it needs and a few times more.
    #[must_use]
    pub fn needed_by(module: &[u8]) -> Option<Features> {
        let is_valid =
            |features: Features| Validator::new_with_features(features.flags()).validate_all(module).is_ok();
        let mut needed = Features::default();
        if !is_valid(needed) {
            return None;
        }
        let mut groups = vec![Feature::ALL];
        while let Some(group) = groups.pop() {
            let without = group.iter().fold(needed, |features, feature| features.without(*feature));
            if is_valid(without) {
                needed = without;
            } else if group.len() > 1 {
                let (first, second) = group.split_at(group.len() / 2);
                groups.extend([second, first]);
            }
        }
        Some(needed)
    }

    /// The same set as the decoder knows it.
    #[must_use]
    pub fn flags(self) -> WasmFeatures {
        self.0
    }
}

impl Default for Features {
    fn default() -> Features {
        Feature::ALL.iter().fold(Features::MVP, |features, feature| features.with(*feature))
    }
}
