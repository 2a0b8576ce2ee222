//! Every function of WASI HTTP 0.2.12 is bound with the type that the specification has for it, and serves whoever wants any version since 0.2.0.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use innkeeper::wasi::host::OpenKeys;
use innkeeper::wasi::keys::Keys;
use innkeeper::{Engine, Error};
use innkeeper_http::{HttpLimits, Proxy, ProxyTimes};

use super::imports::{Function, IMPORTS, functions};
use super::{component, engines, guest, linker};

/// Functions that are not bound yet, one a line. One that is bound by now, or that there never was, fails the test.
const KNOWN_GAPS: &str = include_str!("known-gaps.txt");

/// A component that imports everything, and uses these functions.
fn using<'a>(imports: &str, functions: impl IntoIterator<Item = &'a Function>) -> String {
    let mut text = imports.trim_end().strip_suffix(')').unwrap().to_owned();
    text += r#"(core module $m (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (unreachable)))
        (core instance $m (instantiate $m))"#;
    for Function { instance, name, .. } in functions {
        let options = r#"(memory (core memory $m "memory")) (realloc (core func $m "realloc"))"#;
        write!(text, "(core func (canon lower (func {instance} {name:?}) {options}))").unwrap();
    }
    text + ")"
}

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
    let known: BTreeSet<&str> = KNOWN_GAPS.lines().filter(|line| !line.starts_with('#')).collect();
    let functions = functions();
    let of_http = functions.iter().filter(|function| function.interface.starts_with("wasi:http/"));
    assert_eq!(of_http.count(), 52);
    let mut gaps = BTreeSet::new();
    for function in &functions {
        let told = format!("{} {}", function.interface, function.name);
        match link(&engine, &using(IMPORTS, [function])) {
            Ok(()) => {}
            Err(error) if known.contains(&*told) => {
                assert!(error.to_string().contains("nobody provides"), "{told}: {error}");
                gaps.insert(told);
            }
            Err(error) => panic!("{told}: {error}"),
        }
    }
    let stale: Vec<&&str> = known.iter().filter(|known| !gaps.contains(**known)).collect();
    assert!(stale.is_empty(), "these are bound by now, or there are none such: {stale:?}");
}

/// A component says the version that it was made for.
#[test]
fn every_version_of_0_2_links() {
    let [engine, _] = engines();
    let known: BTreeSet<&str> = KNOWN_GAPS.lines().collect();
    let all = functions();
    let bound = || all.iter().filter(|f| !known.contains(&*format!("{} {}", f.interface, f.name)));
    for version in ["0.2.0", "0.2.6", "0.2.12", "0.2.99"] {
        let imports = IMPORTS.replace("@0.2.12", &format!("@{version}"));
        link(&engine, &using(&imports, bound())).unwrap_or_else(|error| panic!("{version}: {error}"));
    }
    let imports = IMPORTS.replace("@0.2.12", "@0.3.0");
    assert!(link(&engine, &using(&imports, bound())).is_err());
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
