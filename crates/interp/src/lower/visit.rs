//! From wasmparser's visits to the topic files.
//!
//! Each instruction of a proposal that this tier implements is forwarded to the method of the same name in the topic files; a missing
//! method does not compile. Instructions of other proposals are not admitted by validation, and are an error here.

use innkeeper_engine::{Error, ErrorKind};

use super::{Lowering, Result};

macro_rules! visits {
    ($( @$proposal:ident $op:ident $({ $($arg:ident: $argty:ty),* })? => $visit:ident ($($annotation:tt)*))*) => {
        $(visits!(@one $proposal $op $visit ($($($arg: $argty),*)?));)*
    };
    (@one mvp $($rest:tt)*) => { visits!(@forward $($rest)*); };
    (@one sign_extension $($rest:tt)*) => { visits!(@forward $($rest)*); };
    (@one saturating_float_to_int $($rest:tt)*) => { visits!(@forward $($rest)*); };
    (@one bulk_memory $($rest:tt)*) => { visits!(@forward $($rest)*); };
    (@one reference_types $($rest:tt)*) => { visits!(@forward $($rest)*); };
    (@one tail_call $($rest:tt)*) => { visits!(@forward $($rest)*); };
    (@one function_references $($rest:tt)*) => { visits!(@forward $($rest)*); };
    (@one gc $($rest:tt)*) => { visits!(@forward $($rest)*); };
    (@one exceptions $($rest:tt)*) => { visits!(@forward $($rest)*); };
    (@one legacy_exceptions $($rest:tt)*) => { visits!(@forward $($rest)*); };
    (@one simd $($rest:tt)*) => { visits!(@forward $($rest)*); };
    (@one relaxed_simd $($rest:tt)*) => { visits!(@forward $($rest)*); };
    (@one threads $($rest:tt)*) => { visits!(@forward $($rest)*); };
    (@one wide_arithmetic $($rest:tt)*) => { visits!(@forward $($rest)*); };
    (@one $proposal:ident $op:ident $visit:ident ($($arg:ident: $argty:ty),*)) => {
        fn $visit(&mut self $(, _: $argty)*) -> Self::Output {
            Err(unsupported(stringify!($op), stringify!($proposal)))
        }
    };
    (@forward $op:ident $visit:ident ($($arg:ident: $argty:ty),*)) => {
        #[deny(unconditional_recursion)]
        fn $visit(&mut self $(, $arg: $argty)*) -> Self::Output {
            // The inherent method of the same name, which goes before the trait's.
            Lowering::$visit(self $(, $arg)*)
        }
    };
}

impl<'a> wasmparser::VisitOperator<'a> for Lowering<'_> {
    type Output = Result;

    fn simd_visitor(&mut self) -> Option<&mut dyn wasmparser::VisitSimdOperator<'a, Output = Self::Output>> {
        Some(self)
    }

    wasmparser::for_each_visit_operator!(visits);
}

impl wasmparser::VisitSimdOperator<'_> for Lowering<'_> {
    wasmparser::for_each_visit_simd_operator!(visits);
}

fn unsupported(op: &str, proposal: &str) -> Error {
    Error::new(ErrorKind::Unsupported(format!("the instruction {op} (of {proposal})")))
}
