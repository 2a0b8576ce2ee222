//! `inn inspect`, `validate`, `completion`, `--version` and `--help`.

use crate::inn;

#[test]
fn inspect_tells_a_program_and_the_keys_it_may_want() {
    let ran = inn(&["inspect", "{hello-c}"]).run();
    ran.code(0).stderr("").prints(&[
        "hello-c.wasm\n",
        "program (exports _start)",
        " bytes\n",
        " defined\n",
        "2 pages (131072 bytes) at start, no maximum",
        "0.1 (wasi_snapshot_preview1, 12 functions)",
        "Imports: 12\n",
        "  wasi_snapshot_preview1 path_open: func (i32, i32, i32, i32, i32, i64, i64, i32, i32) -> (i32), for files and directories by their paths\n",
        "Exports: 2\n",
        "  _start: func () -> ()\n",
        "--dir HOST[::GUEST][::ro|rw|cow]   files and directories (path_open)",
        "ARGS after FILE                    arguments (args_get)",
    ]);
    assert!(!ran.stdout.contains("--env"), "{ran:#?}");
    inn(&["inspect", "{hello-rust}"])
        .run()
        .code(0)
        .prints(&["--env NAME[=VALUE]                 environment variables (environ_get)"]);
    inn(&["inspect", "{clockrandom}"]).run().code(0).prints(&[
        "always granted",
        "clock_time_get",
        "random_get",
    ]);
}

#[test]
fn inspect_tells_a_reactor() {
    inn(&["inspect", "{reactor}"]).run().code(0).prints(&[
        "reactor (exports _initialize",
        "name       reactor\n",
        "WASI       none\n",
        "  add: func (i32, i32) -> (i32)\n",
        "Keys that it may want: none\n",
    ]);
}

#[test]
fn inspect_tells_what_inn_does_not_have() {
    let text = r#"(module
        (import "env" "a\1b[2Jb" (func))
        (import "wasi_unstable" "sock_accept" (func (param i32 i32 i32) (result i32)))
        (import "wasi_unstable" "fd_close" (func (param i64) (result i32)))
        (import "wasi_unstable" "sock_send" (func (param i32 i32 i32 i32 i32) (result i32)))
        (memory (export "m") 0 3))"#;
    let ran = inn(&["inspect", "-"]).stdin(text).run();
    ran.code(0).prints(&[
        "standard input\n",
        "library",
        "0.1 (wasi_unstable, 1 function)",
        "0 pages (0 bytes) at start, 3 pages (196608 bytes) at most",
        "Imports that inn does not have",
        "  env a\\u{1b}[2Jb: is not there\n",
        "  wasi_unstable sock_accept: is not there\n",
        "  wasi_unstable fd_close: is there, with another type\n",
        "--listen ADDRESS:PORT              connections to accept (sock_send)",
    ]);
}

/// A module that has everything there is to say of one.
const RICH: &str = r#"(module $rich
    (@custom "producers" (before first) "\02\08language\02\04Rust\042024\01C\0217\0cprocessed-by\01\05clang\0618.1.3")
    (@custom "mine" (after code) "some bytes")
    (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "clock_time_get" (func (param i32 i64 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_unlink_file" (func (param i32 i32 i32) (result i32)))
    (import "wasi_unstable" "fd_close" (func (param i64) (result i32)))
    (import "env" "memory" (memory 3 7 shared))
    (import "env" "\1b[2J\u{202e}\"name\\" (func (param f32)))
    (tag $e (param i32))
    (table 2 funcref)
    (global (export "g") (mut i64) (i64.const 5))
    (memory (export "m") 1 4)
    (memory i64 2)
    (func (export "_start") (drop (v128.const i64x2 0 0)) (throw $e (i32.const 1)))
    (func (export "two") (result i32 i32) (i32.const 1) (i32.const 2))
    (elem (i32.const 0) func 0)
    (data (i32.const 0) "data"))"#;

/// All values in JSON that are texts or numbers, and all names of members.
fn walk(json: &serde_json::Value, values: &mut Vec<String>, names: &mut Vec<String>) {
    match json {
        serde_json::Value::Object(members) => members.iter().for_each(|(name, value)| {
            names.push(name.clone());
            walk(value, values, names);
        }),
        serde_json::Value::Array(elements) => {
            elements.iter().for_each(|element| walk(element, values, names))
        }
        serde_json::Value::String(text) => values.push(text.clone()),
        serde_json::Value::Number(number) => values.push(number.to_string()),
        serde_json::Value::Bool(_) | serde_json::Value::Null => {}
    }
}

#[test]
fn inspect_says_the_same_to_people_and_to_machines() {
    let plain = inn(&["inspect", "-"]).stdin(RICH).run().code(0).stdout.clone();
    let ran = inn(&["inspect", "--json", "-"]).stdin(RICH).run();
    ran.code(0).stderr("");
    assert!(!ran.stdout.contains(|it: char| it.is_control() && it != '\n' || it == '\u{202e}'), "{ran:#?}");
    let json: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
    let (mut values, mut names) = (Vec::new(), Vec::new());
    walk(&json, &mut values, &mut names);
    assert!(values.len() > 80, "{}", values.len());
    // What is in the JSON is in the text, names that would drive a terminal as they are printed.
    for value in values {
        let printed = value.replace('\u{1b}', "\\u{1b}").replace('\u{202e}', "\\u{202e}");
        assert!(plain.contains(&printed), "{printed} is not in {plain}");
    }
    // What is in the text is in the JSON: no word of a fact, and no line of a list, is missing there.
    let all = format!("{json:#}")
        .replace("\\\"", "\"")
        .replace("\\\\", "\\")
        .replace('\u{202e}', "\\u{202e}")
        .replace("\\u001b", "\\u{1b}");
    for line in plain.lines() {
        let (_, said) = line.split_once(": ").unwrap_or(("", line));
        for word in
            said.split([' ', ',', '(', ')']).filter(|word| word.contains(|it: char| it.is_ascii_digit()))
        {
            assert!(all.contains(word.trim_end_matches(';')), "{word} of {line:?} is not in {all}");
        }
    }
    let list = |name: &str| json[name].as_array().map_or(0, Vec::len);
    for (heading, name) in [("Sections", "sections"), ("Imports", "imports"), ("Exports", "exports")] {
        assert!(plain.contains(&format!("\n{heading}: {}\n", list(name))) && list(name) > 0, "{name}");
    }
    assert_eq!(
        json["features"],
        serde_json::json!([
            "mutable-global",
            "multi-value",
            "simd",
            "exception-handling",
            "multi-memory",
            "memory64",
            "threads"
        ])
    );
    assert_eq!(
        json["producers"][2],
        serde_json::json!({"field": "processed-by", "name": "clang", "version": "18.1.3"})
    );
    let provided: Vec<bool> =
        json["imports"].as_array().unwrap().iter().map(|import| import["provided"] == true).collect();
    assert_eq!(provided, [true, true, true, false, true, false]);
    // The manual names each member.
    let manual = include_str!("../../../../docs/inspect.md");
    for name in names {
        assert!(manual.contains(&format!("`{name}`")), "docs/inspect.md does not say what `{name}` is");
    }
}

#[test]
fn inspect_finds_the_features_that_a_module_cannot_do_without() {
    for (text, features) in [
        ("(module)", serde_json::json!([])),
        ("(module (func (result i32) (i32.extend8_s (i32.const 1))))", serde_json::json!(["sign-extension"])),
        ("(module (func (return_call 0)))", serde_json::json!(["tail-call"])),
        ("(module (type (struct)))", serde_json::json!(["gc"])),
    ] {
        let ran = inn(&["inspect", "--json", "-"]).stdin(text).run();
        let json: serde_json::Value = serde_json::from_str(&ran.code(0).stdout).unwrap();
        assert_eq!(json["features"], features, "{text}");
    }
}

#[test]
fn validate_says_one_line() {
    let ran = inn(&["validate", "{hello-as}"]).run();
    ran.code(0).stderr("");
    assert!(ran.stdout.ends_with("hello-as.wasm: valid\n") && ran.stdout.lines().count() == 1, "{ran:#?}");
    let text = "(module (func (result i32) (i64.const 1)))";
    inn(&["validate", "-"])
        .stdin(text)
        .run()
        .code(1)
        .stdout("")
        .says(&["type mismatch", "standard input:1:41\n"]);
}

#[test]
fn completion_is_there_for_every_usual_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        inn(&["completion", shell]).run().code(0).stderr("").prints(&["inn", "inspect", "explain"]);
    }
}

#[test]
fn version_and_help() {
    inn(&["--version"]).run().code(0).stdout(concat!("inn ", env!("CARGO_PKG_VERSION"), "\n"));
    inn(&["--help"]).run().code(0).prints(&[
        "Usage: inn [run] [FLAGS] FILE [ARGS]...",
        "inspect",
        "--dir",
        "Examples:",
        "Exit codes:",
    ]);
    inn(&["run", "--help"]).run().code(0).prints(&[
        "Usage: inn run [FLAGS] FILE [ARGS]...",
        "--invoke",
        "Examples:",
    ]);
}

/// What a toolchain makes of a program: an import in another version, one that nobody has, one of which nothing is used; an adapter among its modules.
const PROGRAM: &str = r#"(component
    (import "wasi:random/random@0.2.3" (instance $random (export "get-random-u64" (func (result u64))) (export "get-random-u65" (func (result u64)))))
    (import "wasi:cli/environment@0.4.0" (instance $environment (export "get" (func (result u32)))))
    (import "wasi:clocks/wall-clock@0.2.0" (instance))
    (core func $random (canon lower (func $random "get-random-u64")))
    (core func $more (canon lower (func $random "get-random-u65")))
    (core func $get (canon lower (func $environment "get")))
    (core module $main (@producers (language "C" "11") (processed-by "clang" "20.1")) (func (export "run") (result i32) (i32.const 0)))
    (core module $wit-component:shim)
    (core instance $main (instantiate $main))
    (func $run (result (result)) (canon lift (core func $main "run")))
    (instance $run (export "run" (func $run)))
    (export "wasi:cli/run@0.2.3" (instance $run)))"#;

#[test]
fn inspect_says_whether_a_component_can_run_here() {
    let ran = inn(&["inspect", "-"]).stdin(PROGRAM).run();
    ran.code(0).stderr("").prints(&[
        "component, a program\n",
        "  language   C 11\n",
        "  runs here  yes; it fails where it calls one of the 2 imports that are missing\n",
        "wit-component:shim: 36 bytes at offset",
        ", functions that stand for others until these are there\n",
        "  wasi:random/random@0.2.3: inn, as 0.2.12; 1 of the 2 that are used are missing\n",
        "  wasi:cli/environment@0.4.0: nobody; 1 of the 1 that are used are missing\n",
        "  wasi:clocks/wall-clock@0.2.0: inn, as 0.2.12; nothing is used of it\n",
        "there is `wasi:cli/environment@0.2.12`, `wasi:cli/environment@0.3.2` only\n",
        "  wasi:cli/run@0.2.3#run: func() -> result\n",
        "environment variables and arguments (wasi:cli/environment@0.4.0)",
        "clocks and randomness (wasi:random/random@0.2.3)",
    ]);
    let json = inn(&["inspect", "--json", "-"]).stdin(PROGRAM).run();
    json.code(0).prints(&[
        "\"role\": \"program\"",
        "\"version\": \"0.2.3\"",
        "\"provided_as\": \"wasi:random/random@0.2.12\"",
        "\"provided\": false",
        "\"flag\": \"always granted\"",
    ]);
}

/// What prints WIT stops at some valid components by panicking, which is no news for a user: the rest is told.
#[test]
fn inspect_tells_the_rest_where_an_interface_cannot_be_printed() {
    for component in [
        r#"(component (import "a:b/c" (instance $i (export "t" (type (sub resource))))) (export "a:b/c" (instance $i)))"#,
        r#"(component (type (component (export "x" (func)))) (export "w" (type 0)))"#,
        r#"(component (type (component (export "x:y/z" (func)))) (export "w" (type 0)))"#,
        r#"(component (type (component (type u8) (export "z" (type (eq 0))))) (export "w" (type 0)))"#,
    ] {
        let ran = inn(&["inspect", "-"]).stdin(component).run();
        ran.code(0).stderr("").prints(&[
            "component, ",
            "Core modules: 0",
            "cannot be printed as WIT: it has something",
        ]);
        inn(&["inspect", "--json", "-"]).stdin(component).run().code(0).stderr("").prints(&["\"wit\": null"]);
    }
}
