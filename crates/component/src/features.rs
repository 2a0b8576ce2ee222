//! Which parts of the component model components may use.

use wasmparser::WasmFeatures;

macro_rules! features {
    ($($(#[$doc:meta])* $name:ident $text:literal $default:literal $(= $flag:ident)?;)*) => {
        /// A part of the component model that can be switched on and off.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Feature {
            $($(#[$doc])* $name,)*
        }

        impl Feature {
            /// All of them.
            pub const ALL: &'static [Feature] = &[$(Feature::$name,)*];

            /// The name that it has in the standard's texts.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Feature::$name => $text,)* }
            }

            /// Whether it is on where nobody says otherwise: what is frozen is.
            #[must_use]
            pub fn is_default(self) -> bool {
                match self { $(Feature::$name => $default,)* }
            }

            fn flag(self) -> WasmFeatures {
                match self { $(Feature::$name => WasmFeatures::empty()$(.union(WasmFeatures::$flag))?,)* }
            }
        }
    };
}

features! {
    /// Async functions, streams and futures.
    Async "async" true = CM_ASYNC;
    /// `map<K, V>`
    Map "map" true = CM_MAP;
    /// Names of what an import implements.
    Implements "implements" true = CM_IMPLEMENTS;
    /// `list<T, N>`
    FixedLengthLists "fixed-length-lists" false = CM_FIXED_LENGTH_LISTS;
    /// Async functions without a callback.
    StackfulAsync "async-stackful" false = CM_ASYNC_STACKFUL;
    /// More options of functions around async ones.
    MoreAsyncBuiltins "more-async-builtins" false = CM_MORE_ASYNC_BUILTINS;
    /// Cooperative threads.
    Threads "threading" false = CM_THREADING;
    /// `error-context`
    ErrorContext "error-context" false = CM_ERROR_CONTEXT;
    /// Namespaces inside namespaces in names.
    NestedNames "nested-names" false = CM_NESTED_NAMES;
    /// Version suffixes of names.
    CanonicalNames "canon-names" false = CM_CANON_NAMES;
    /// `stream.forward` and `future.forward`
    Forward "forward" false = CM_FORWARD;
    /// Functions named as those that get and set something.
    Accessors "accessors" false = CM_ACCESSORS;
    /// Calls between a component and those that are nested in it. The text of the canonical ABI allows them where the callee is not entered; its reference tests demand a trap
    /// for the time being.
    CallsToRelatives "calls-to-relatives" false;
}

/// A set of features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Features(u32);

impl Features {
    /// The set with a feature added.
    #[must_use]
    pub fn with(self, feature: Feature) -> Features {
        Features(self.0 | 1 << feature as u32)
    }

    /// The set with a feature taken away.
    #[must_use]
    pub fn without(self, feature: Feature) -> Features {
        Features(self.0 & !(1 << feature as u32))
    }

    /// Whether a feature is in the set.
    #[must_use]
    pub fn contains(self, feature: Feature) -> bool {
        self.0 >> feature as u32 & 1 != 0
    }

    /// What validation is told of them.
    pub(crate) fn flags(self) -> WasmFeatures {
        let on = Feature::ALL.iter().filter(|feature| self.contains(**feature));
        on.fold(WasmFeatures::COMPONENT_MODEL, |flags, feature| flags.union(feature.flag()))
    }
}

impl Default for Features {
    fn default() -> Features {
        let on = Feature::ALL.iter().filter(|feature| feature.is_default());
        on.fold(Features(0), |features, feature| features.with(*feature))
    }
}
