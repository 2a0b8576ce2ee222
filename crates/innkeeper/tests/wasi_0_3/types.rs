//! Every function of WASI 0.3.2 is bound with the type that the specification has for it, and serves whoever wants any version since 0.3.0.

use innkeeper::component::Linker;
use innkeeper::wasi::keys::Keys;
use innkeeper::wasi::p2;
use innkeeper::{Error, Store};

use super::bound::{check_bound, using, without};
use super::surface::{Function, functions};
use super::{add_to_linker, component, engines};

/// The interfaces with the types of their functions.
pub(crate) const IMPORTS: &str = include_str!("wasi-0.3.2.wat");

/// Functions that are not bound yet, one a line. One that is bound by now, or that there never was, fails the test.
const KNOWN_GAPS: &str = include_str!("known-gaps.txt");

/// Those that are bound.
pub(crate) fn bound_functions() -> Vec<Function> {
    without(IMPORTS, KNOWN_GAPS)
}

fn link(engine: &innkeeper::Engine, text: &str) -> Result<(), Error> {
    let mut linker = Linker::new(engine);
    add_to_linker(&mut linker)?;
    let mut store = Store::new(engine, p2::Context::new(&Keys::default())?)?;
    linker.instantiate(&mut store, &component(engine, text)).map(drop)
}

#[test]
fn every_function_is_bound_with_its_type() {
    let [engine, _] = engines();
    let functions = functions(IMPORTS);
    assert!(functions.len() >= 89, "{}", functions.len());
    check_bound((IMPORTS, KNOWN_GAPS), &functions, |text| link(&engine, text));
}

#[test]
fn every_version_of_0_3_links() {
    let [engine, _] = engines();
    let functions = bound_functions();
    for version in ["0.3.0", "0.3.1", "0.3.2", "0.3.99"] {
        let imports = IMPORTS.replace("@0.3.2", &format!("@{version}"));
        link(&engine, &using(&imports, &functions)).unwrap_or_else(|error| panic!("{version}: {error}"));
    }
    for version in ["0.4.0", "0.3.0-rc-2025-09-16"] {
        let imports = IMPORTS.replace("@0.3.2", &format!("@{version}"));
        let told = link(&engine, &using(&imports, &functions)).unwrap_err().to_string();
        assert!(told.contains("wasi:random/random@0.3.2` only"), "{version}: {told}");
    }
}
