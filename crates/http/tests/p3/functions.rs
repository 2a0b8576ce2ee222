//! Every function of WASI HTTP 0.3.2 is bound with the type that the specification has for it, and serves whoever wants any version since 0.3.0.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use innkeeper::wasi::host::OpenKeys;
use innkeeper::wasi::keys::Keys;
use innkeeper::{Engine, Error};
use innkeeper_http::{Proxy, ProxyTimes};

use super::guest::IMPORTS;
use super::{component, engines, guest, linker};

/// Functions that are not bound yet, one a line. One that is bound by now, or that there never was, fails the test.
const KNOWN_GAPS: &str = include_str!("known-gaps.txt");

/// The imported instance of a number, its name, and a function of it.
type Function = (usize, &'static str, &'static str);

/// All functions, in order.
fn functions() -> Vec<Function> {
    let quoted = |line: &'static str| line.split('"').nth(1).unwrap();
    let (mut functions, mut names, mut instance) = (Vec::new(), Vec::new(), 0);
    for line in IMPORTS.lines() {
        if line.trim_start().starts_with("(export") && line.contains("(func ") {
            names.push(quoted(line));
        }
        if line.starts_with("  (import ") {
            functions.extend(names.drain(..).map(|name| (instance, quoted(line), name)));
            instance += 1;
        }
    }
    functions
}

/// A component that imports everything, and uses these functions.
fn using<'a>(imports: &str, functions: impl IntoIterator<Item = &'a Function>) -> String {
    let mut text = imports.trim_end().strip_suffix(')').unwrap().to_owned();
    text += r#"(core module $m (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (unreachable)))
        (core instance $m (instantiate $m))"#;
    for (instance, _, name) in functions {
        let options = r#"(memory (core memory $m "memory")) (realloc (core func $m "realloc"))"#;
        write!(text, "(core func (canon lower (func {instance} {name:?}) {options}))").unwrap();
    }
    text + ")"
}

fn link(engine: &Engine, text: &str) -> Result<(), Error> {
    let keys = OpenKeys::open(&Keys::default()).unwrap();
    let context = innkeeper::wasi::p2::Context::with_open_keys(&keys).unwrap();
    let mut store = innkeeper::Store::new(engine, context)?;
    linker(engine).instantiate(&mut store, &component(engine, text)).map(drop)
}

#[test]
fn every_function_is_bound_with_its_type() {
    let [engine, _] = engines();
    let known: BTreeSet<&str> = KNOWN_GAPS.lines().filter(|line| !line.starts_with('#')).collect();
    let functions = functions();
    let of_http = functions.iter().filter(|(_, interface, _)| interface.starts_with("wasi:http/"));
    assert_eq!(of_http.count(), 37);
    let mut gaps = BTreeSet::new();
    for function in &functions {
        let told = format!("{} {}", function.1, function.2);
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
fn every_version_of_0_3_links() {
    let [engine, _] = engines();
    let known: BTreeSet<&str> = KNOWN_GAPS.lines().collect();
    let all = functions();
    let bound = || all.iter().filter(|(_, interface, name)| !known.contains(&*format!("{interface} {name}")));
    for version in ["0.3.0", "0.3.2", "0.3.99"] {
        let imports = IMPORTS.replace("@0.3.2", &format!("@{version}"));
        link(&engine, &using(&imports, bound())).unwrap_or_else(|error| panic!("{version}: {error}"));
    }
    let imports = IMPORTS.replace("@0.3.2", "@0.4.0");
    assert!(link(&engine, &using(&imports, bound())).is_err());
}

#[test]
fn a_handler_of_any_version_of_0_3_is_found() {
    let [engine, _] = engines();
    let text = guest::component("(func $handle (param i32) (unreachable))");
    let proxy = |text: &str| {
        let pre = linker(&engine).instantiate_pre(&component(&engine, text)).unwrap();
        let keys = OpenKeys::open(&Keys::default()).unwrap();
        Proxy::new(pre, keys, String::from("guest"), ProxyTimes::default())
    };
    for version in ["0.3.0", "0.3.1", "0.3.2"] {
        proxy(&text.replace("@0.3.2", &format!("@{version}"))).unwrap();
    }
    let exported = r#"(export "wasi:http/handler@0.3.2""#;
    for other in [
        text.replace(exported, r#"(export "wasi:http/handler@0.4.0""#),
        text.replace(exported, r#"(export "wasi:http/handler2@0.3.0""#),
        String::from("(component)"),
    ] {
        let told = proxy(&other).unwrap_err().to_string();
        assert!(told.contains("exports no `wasi:http/handler` of WASI 0.3"), "{told}");
    }
}
