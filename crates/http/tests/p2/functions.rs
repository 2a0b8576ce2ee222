//! Every function of WASI HTTP 0.2.12 is bound with the type that the specification has for it, and serves whoever wants any version since 0.2.0.

use innkeeper::wasi::host::OpenKeys;
use innkeeper::wasi::keys::Keys;
use innkeeper::{Engine, Error};
use innkeeper_http::{HttpLimits, Proxy, ProxyTimes};

use super::bound::{check_bound, using, without};
use super::guest::IMPORTS;
use super::surface::functions;
use super::{component, engines, guest, linker};

/// Functions that are not bound yet, one a line. One that is bound by now, or that there never was, fails the test.
const KNOWN_GAPS: &str = include_str!("known-gaps.txt");

fn link(engine: &Engine, text: &str) -> Result<(), Error> {
    let linker = linker(engine, &HttpLimits::default());
    let keys = OpenKeys::open(&Keys::default()).unwrap();
    let context = innkeeper::wasi::p2::Context::with_open_keys(&keys).unwrap();
    let mut store = innkeeper::Store::new(engine, context)?;
    linker.instantiate(&mut store, &component(engine, text)).map(drop)
}

#[test]
fn every_function_is_bound_with_its_type() {
    let [engine, _] = engines();
    let functions = functions(IMPORTS);
    let of_http = functions.iter().filter(|function| function.interface.starts_with("wasi:http/"));
    assert_eq!(of_http.count(), 52);
    check_bound((IMPORTS, KNOWN_GAPS), &functions, |text| link(&engine, text));
}

/// A component says the version that it was made for.
#[test]
fn every_version_of_0_2_links() {
    let [engine, _] = engines();
    let bound = without(IMPORTS, KNOWN_GAPS);
    for version in ["0.2.0", "0.2.6", "0.2.12", "0.2.99"] {
        let imports = IMPORTS.replace("@0.2.12", &format!("@{version}"));
        link(&engine, &using(&imports, &bound)).unwrap_or_else(|error| panic!("{version}: {error}"));
    }
    let imports = IMPORTS.replace("@0.2.12", "@0.3.0");
    assert!(link(&engine, &using(&imports, &bound)).is_err());
}

#[test]
fn a_handler_of_any_version_of_0_2_is_found() {
    let [engine, _] = engines();
    let text = guest::component("(func $handle (param i32 i32))");
    let proxy = |text: &str| {
        let pre = linker(&engine, &HttpLimits::default()).instantiate_pre(&component(&engine, text)).unwrap();
        Proxy::new(
            pre,
            OpenKeys::open(&Keys::default()).unwrap(),
            String::from("guest"),
            ProxyTimes::default(),
        )
    };
    for version in ["0.2.0", "0.2.3", "0.2.12"] {
        proxy(&text.replace("@0.2.12", &format!("@{version}"))).unwrap();
    }
    for other in [
        text.replace("incoming-handler@0.2.12", "incoming-handler@0.3.0"),
        text.replace("incoming-handler@0.2.12", "incoming-handler2@0.2.0"),
        String::from("(component)"),
    ] {
        let told = proxy(&other).unwrap_err().to_string();
        assert!(told.contains("no `wasi:http/incoming-handler` of WASI 0.2"), "{told}");
    }
}
