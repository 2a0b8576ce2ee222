//! What can be compiled into a file: a module, or a component with all modules in it.

#[cfg(feature = "component")]
use innkeeper_component::Component;
use innkeeper_engine::{Error, Module};

/// What machine code can be kept of: a module or a component.
pub trait Compilable: sealed::Compilable {}

impl<T: sealed::Compilable> Compilable for T {}

pub(super) mod sealed {
    use super::*;

    pub trait Compilable {
        /// The modules that it consists of, those included that are generated for it.
        fn modules(&self) -> Result<Vec<Module>, Error>;

        /// All of it, in the binary format.
        fn whole(&self) -> &[u8];
    }

    impl Compilable for Module {
        fn modules(&self) -> Result<Vec<Module>, Error> {
            Ok(vec![self.clone()])
        }

        fn whole(&self) -> &[u8] {
            self.bytes()
        }
    }

    #[cfg(feature = "component")]
    impl Compilable for Component {
        fn modules(&self) -> Result<Vec<Module>, Error> {
            self.all_modules()
        }

        fn whole(&self) -> &[u8] {
            self.bytes()
        }
    }
}
