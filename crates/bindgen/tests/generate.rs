//! What is said of WIT that cannot be made into Rust, and what is left out; files that are written.

use innkeeper_bindgen::{Bindgen, Mode};

const WIT: &str = "package test:plain@1.0.0;
    interface values {
        /// Of use.
        ///
        /// ```
        /// not rust
        /// ```
        plain: func() -> u32;
        flow: func() -> stream<u8>;
    }
    world first { import values; }
    world second { export values; }";

fn error(bindgen: Bindgen) -> String {
    bindgen.generate().unwrap_err().to_string()
}

fn plain() -> Bindgen {
    Bindgen::new().inline(WIT).world("first")
}

#[test]
fn what_is_wrong_is_named() {
    let parsed = error(Bindgen::new().inline("package a:b; world c { import d: func(; }"));
    assert!(parsed.contains("inline:1:"), "{parsed}");
    let several = error(Bindgen::new().inline(WIT));
    assert!(several.contains("test:plain/first@1.0.0, test:plain/second@1.0.0"), "{several}");
    let missing = error(Bindgen::new().inline(WIT).world("third"));
    assert!(missing.contains("third") && missing.contains("test:plain/first@1.0.0"), "{missing}");
    let unsupported = error(plain());
    assert!(unsupported.contains("`test:plain/values@1.0.0#flow` cannot be made: streams"), "{unsupported}");
    let with = error(plain().omit_unsupported().with("test:plain/other", "crate::Other"));
    assert!(with.contains("`test:plain/other`, which is no interface or type"), "{with}");
    let rule = error(plain().omit_unsupported().import("test:plain/valves", Mode::default()));
    assert!(rule.contains("`test:plain/valves` is no interface or function"), "{rule}");
    let rule = error(plain().omit_unsupported().import("test:plain/values#plane", Mode::default()));
    assert!(rule.contains("`test:plain/values#plane` is no interface or function"), "{rule}");
    let file = error(Bindgen::new().path("no/such/folder"));
    assert!(file.contains("no/such/folder"), "{file}");
}

#[test]
fn what_cannot_be_passed_can_be_left_out() {
    let generated = plain().omit_unsupported().generate().unwrap();
    assert_eq!(generated.omitted, ["test:plain/values@1.0.0#flow: streams cannot be passed yet"]);
    assert!(
        generated.code.contains("/// - `test:plain/values@1.0.0#flow`: streams cannot be passed yet"),
        "{}",
        generated.code
    );
    assert!(generated.code.contains("fn plain(&mut self) -> u32;") && !generated.code.contains("fn flow"));
}

/// Examples in WIT are not tried as Rust.
#[test]
fn documentation_is_carried_over() {
    let code = plain().omit_unsupported().generate().unwrap().code;
    let lines: Vec<&str> = code.lines().map(str::trim).collect();
    let docs =
        ["/// Of use.", "///", "/// ```text", "/// not rust", "/// ```", "fn plain(&mut self) -> u32;"];
    assert!(lines.windows(docs.len()).any(|window| window == docs), "{code}");
}

/// One interface under two names: one trait, and a function that links it for each.
#[test]
fn an_interface_can_be_imported_under_several_names() {
    let wit = "package test:keys; interface store { get: func(key: string) -> u32; }
        world keys { import store; import other: store; }";
    let code = Bindgen::new().inline(wit).generate().unwrap().code;
    assert!(
        code.contains(r#"linker.instance("test:keys/store")"#)
            && code.contains(r#"linker.instance("other")"#),
        "{code}"
    );
    assert_eq!(code.matches("pub trait Host").count(), 1);
}

/// A build script can run again and again, and touches the file only where the WIT has changed.
#[test]
fn a_file_is_written_where_it_differs() {
    let folder = tempfile::tempdir().unwrap();
    let (wit, to) = (folder.path().join("plain.wit"), folder.path().join("bindings.rs"));
    std::fs::write(&wit, "package a:b; world c { import d: func(); }").unwrap();
    let bindgen = Bindgen::new().path(&wit);
    let generated = bindgen.write_file(&to).unwrap();
    assert_eq!(generated.files, std::slice::from_ref(&wit));
    let written = std::fs::read_to_string(&to).unwrap();
    assert!(written.starts_with("// Made from WIT") && written.ends_with(&generated.code));
    let time = std::fs::metadata(&to).unwrap().modified().unwrap();
    bindgen.write_file(&to).unwrap();
    assert_eq!(std::fs::metadata(&to).unwrap().modified().unwrap(), time);
    std::fs::write(&wit, "package a:b; world c { import e: func(); }").unwrap();
    bindgen.write_file(&to).unwrap();
    assert!(std::fs::read_to_string(&to).unwrap().contains("fn e(&mut self)"));
}
