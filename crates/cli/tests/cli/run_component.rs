//! Running components: programs of WASI 0.2 and 0.3.

use std::fs;

use wasm_encoder::{ComponentBuilder, ComponentExportKind, ExportKind, ModuleArg, PrimitiveValType};

use crate::components::component_of;
use crate::{Inn, Ran, guest, inn, scratch};

/// A program whose core function `run` has this body, and that imports this.
fn program(imports: &str, core_imports: &str, body: &str) -> String {
    format!(
        r#"(component {imports}
            (core module $m {core_imports} (func (export "run") (result i32) {body}))
            (core instance $i (instantiate $m (with "" (instance $wasi))))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $program (export "run" (func $run)))
            (export "wasi:cli/run@0.2.3" (instance $program)))"#
    )
}

/// A program that imports nothing.
fn plain(body: &str) -> String {
    program("(core instance $wasi)", "", body)
}

fn run(text: &str) -> Ran {
    inn(&["-"]).stdin(text).run()
}

/// A guest of WASI 0.1, as a component, in a folder.
fn adapted(name: &str) -> tempfile::TempDir {
    let folder = scratch();
    let module = fs::read(guest(name)).unwrap();
    fs::write(folder.path().join("guest.wasm"), component_of(&module).unwrap()).unwrap();
    folder
}

fn in_folder(folder: &tempfile::TempDir, args: &[&str]) -> Inn {
    inn(args).current_dir(folder.path())
}

#[test]
fn the_exit_code_is_what_run_returns_or_exit_says() {
    run(&plain("(i32.const 0)")).code(0).stdout("").stderr("");
    run(&plain("(i32.const 1)")).code(1).stdout("").stderr("");
    for (function, ty, argument, code) in [
        ("exit", "(result)", 0, 0),
        ("exit", "(result)", 1, 1),
        ("exit-with-code", "u8", 0, 0),
        ("exit-with-code", "u8", 42, 42),
        ("exit-with-code", "u8", 255, 255),
    ] {
        let imports = format!(
            r#"(import "wasi:cli/exit@0.2.0" (instance $e (export "{function}" (func (param "status{code}" {ty})))))
            (core func $exit (canon lower (func $e "{function}")))
            (core instance $wasi (export "exit" (func $exit)))"#
        )
        .replace(&format!("status{code}"), if ty == "u8" { "status-code" } else { "status" });
        let body = format!("(call $exit (i32.const {argument})) (unreachable)");
        run(&program(&imports, r#"(import "" "exit" (func $exit (param i32)))"#, &body))
            .code(code)
            .stderr("");
    }
}

#[test]
fn a_trap_says_what_and_where() {
    let ran = inn(&["guest.wasm"]).current_dir(adapted("trap").path()).run();
    ran.code(134).stdout("").says(&[
        "error: wasm trap: unreachable\n   0: trap!fall (at offset 0x37)\n   1: trap!step",
        "#run (at offset",
    ]);
}

#[test]
fn times_and_memory_are_bounded() {
    let endless = plain("(loop $l (br $l)) (unreachable)");
    inn(&["--timeout", "50ms", "-"]).stdin(endless.clone()).run().code(134).says(&["--timeout is 50ms"]);
    inn(&["--fuel", "1000", "-"]).stdin(endless).run().code(134).says(&["--fuel is 1000 units"]);
    let grows = plain("(drop (memory.grow (i32.const 10000))) (i32.eq (memory.size) (i32.const 1))")
        .replace(r#"(func (export "run")"#, r#"(memory 1) (func (export "run")"#);
    inn(&["--max-memory", "4MiB", "-"]).stdin(grows).run().code(1).says(&["--max-memory"]);
    // A wait ends as well.
    let sleeps = program(
        r#"(import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type $p (sub resource)))
                (export "[method]pollable.block" (func (param "self" (borrow $p))))))
            (alias export $poll "pollable" (type $pollable))
            (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
                (alias outer 1 $pollable (type $outer)) (export "pollable" (type $p (eq $outer)))
                (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
            (core func $subscribe (canon lower (func $clock "subscribe-duration")))
            (core func $block (canon lower (func $poll "[method]pollable.block")))
            (core instance $wasi (export "subscribe" (func $subscribe)) (export "block" (func $block)))"#,
        r#"(import "" "subscribe" (func $subscribe (param i64) (result i32)))
            (import "" "block" (func $block (param i32)))"#,
        "(call $block (call $subscribe (i64.const 3600000000000))) (i32.const 0)",
    );
    inn(&["--timeout", "50ms", "-"]).stdin(sleeps).run().code(134).says(&["--timeout is 50ms"]);
}

#[test]
fn keys_are_as_for_modules_and_denials_name_the_flag() {
    let folder = adapted("hello-rust");
    fs::create_dir(folder.path().join("out")).unwrap();
    in_folder(&folder, &["guest.wasm"])
        .run()
        .code(1)
        .stdout("Hello, World!\n")
        .says(&["denied: open for writing /helloworld/helloworld.txt", "--dir HOST::/helloworld::rw"]);
    in_folder(&folder, &["--dir", "out::/helloworld::ro", "guest.wasm"])
        .run()
        .code(1)
        .says(&["denied: open for writing /helloworld/helloworld.txt", "::/helloworld::rw"]);
    in_folder(&folder, &["--dir", "out::/helloworld::cow", "--cow-changes", "list", "guest.wasm"])
        .run()
        .code(0)
        .stdout("Hello, World!\n")
        .stderr("A helloworld.txt\n");
    in_folder(&folder, &["--tmp", "/helloworld::1MiB", "guest.wasm"]).run().code(0);
    assert!(!folder.path().join("out/helloworld.txt").exists());
    in_folder(&folder, &["--explain", "--dir", "out::/helloworld", "guest.wasm"])
        .run()
        .code(0)
        .says(&["nothing that the guest asked the host for was denied"]);
    assert_eq!(fs::read_to_string(folder.path().join("out/helloworld.txt")).unwrap(), "Hello, World!\n");
}

#[test]
fn a_policy_is_learned_from_a_component() {
    let folder = adapted("cat");
    fs::write(folder.path().join("text"), "words\n").unwrap();
    in_folder(
        &folder,
        &["policy", "learn", "--to", "cat.toml", "--dir", ".::/in::ro", "guest.wasm", "/in/text"],
    )
    .run()
    .code(0)
    .stdout("words\n");
    in_folder(&folder, &["--policy", "cat.toml", "guest.wasm", "/in/text"]).run().code(0).stdout("words\n");
}

#[test]
fn what_nobody_provides_is_no_harm_until_it_is_called() {
    let imports = r#"(import "wasi:http/types@0.2.0" (instance $http (export "f" (func)) (export "g" (func))))
        (import "test:other/thing@1.0.0" (instance $other (export "h" (func))))
        (core func $f (canon lower (func $http "f"))) (core func $g (canon lower (func $http "g")))
        (core func $h (canon lower (func $other "h")))
        (core instance $wasi (export "f" (func $f)))"#;
    let core_imports = r#"(import "" "f" (func $f))"#;
    run(&program(imports, core_imports, "(i32.const 0)")).code(0).stderr("");
    run(&program(imports, core_imports, "(call $f) (i32.const 0)")).code(134).says(&[
        "`wasi:http/types@0.2.0#f` was called, which nobody provides",
        "the component has 3 imports that nobody provides:",
        "`wasi:http/types@0.2.0#g` (func())",
        "`test:other/thing@1.0.0#h` (func())",
    ]);
}

#[test]
fn a_component_of_another_world_says_what_can_be_called() {
    let library = r#"(component (core module $m (func (export "f") (result i32) (i32.const 1)))
        (core instance $i (instantiate $m))
        (func (export "answer") (result u32) (canon lift (core func $i "f"))))"#;
    run(library).code(2).says(&["exports no `wasi:cli/run`", "inn --invoke 'answer()'"]);
    let later = plain("(i32.const 0)").replace("wasi:cli/run@0.2.3", "wasi:cli/run@0.4.0");
    run(&later).code(1).says(&["it is a program of another version of WASI", "wasi:cli/run@0.4.0"]);
}

/// A program of WASI 0.3, and a failing one of 0.2 beside it: it writes a line to standard output, by a stream that it waits for.
pub(crate) const NEWER: &str = r#"(component
    (import "wasi:cli/stdout@0.3.0" (instance $stdout
        (type $e (enum "io" "illegal-byte-sequence" "pipe")) (export "error-code" (type $c (eq $e)))
        (type $s (stream u8)) (type $r (result (error $c))) (type $f (future $r))
        (export "write-via-stream" (func (param "data" $s) (result $f)))))
    (core module $mem (memory (export "mem") 1) (data (i32.const 100) "Hello, 0.3!\n"))
    (core instance $mem (instantiate $mem))
    (alias core export $mem "mem" (core memory $mem))
    (alias export $stdout "error-code" (type $code))
    (type $bytes (stream u8)) (type $outcome (result (error $code))) (type $ended (future $outcome))
    (core func $stdout (canon lower (func $stdout "write-via-stream")))
    (core func $new (canon stream.new $bytes))
    (core func $write (canon stream.write $bytes async (memory $mem)))
    (core func $drop (canon stream.drop-writable $bytes))
    (core func $read (canon future.read $ended async (memory $mem)))
    (core func $set-new (canon waitable-set.new))
    (core func $set-wait (canon waitable-set.wait (memory $mem)))
    (core func $join (canon waitable.join))
    (core module $m
        (import "" "mem" (memory 1))
        (import "" "stdout" (func $stdout (param i32) (result i32)))
        (import "" "new" (func $new (result i64)))
        (import "" "write" (func $write (param i32 i32 i32) (result i32)))
        (import "" "drop" (func $drop (param i32)))
        (import "" "read" (func $read (param i32 i32) (result i32)))
        (import "" "set-new" (func $set-new (result i32)))
        (import "" "set-wait" (func $set-wait (param i32 i32) (result i32)))
        (import "" "join" (func $join (param i32 i32)))
        (func $wait (param i32 i32) (local i32)
            (if (i32.eq (local.get 1) (i32.const -1)) (then
                (local.set 2 (call $set-new))
                (call $join (local.get 0) (local.get 2))
                (drop (call $set-wait (local.get 2) (i32.const 32)))
                (call $join (local.get 0) (i32.const 0)))))
        (func (export "0.2") (result i32) (i32.const 1))
        (func (export "0.3") (result i32) (local i64 i32 i32)
            (local.set 0 (call $new))
            (local.set 1 (call $stdout (i32.wrap_i64 (local.get 0))))
            (local.set 2 (i32.wrap_i64 (i64.shr_u (local.get 0) (i64.const 32))))
            (call $wait (local.get 2) (call $write (local.get 2) (i32.const 100) (i32.const 12)))
            (call $drop (local.get 2))
            (call $wait (local.get 1) (call $read (local.get 1) (i32.const 48)))
            (i32.load8_u (i32.const 48))))
    (core instance $m (instantiate $m (with "" (instance
        (export "mem" (memory $mem)) (export "stdout" (func $stdout)) (export "new" (func $new)) (export "write" (func $write))
        (export "drop" (func $drop)) (export "read" (func $read)) (export "set-new" (func $set-new))
        (export "set-wait" (func $set-wait)) (export "join" (func $join))))))
    (func $older (result (result)) (canon lift (core func $m "0.2")))
    (func $newer async (result (result)) (canon lift (core func $m "0.3")))
    (instance $older (export "run" (func $older)))
    (instance $newer (export "run" (func $newer)))
    (export "wasi:cli/run@0.2.0" (instance $older))
    (export "wasi:cli/run@0.3.0" (instance $newer)))"#;

#[test]
fn programs_of_wasi_0_3_run_and_are_preferred() {
    for tier in ["interpreter", "compiled"] {
        inn(&["--tier", tier, "-"]).stdin(NEWER).run().code(0).stdout("Hello, 0.3!\n").stderr("");
        inn(&["--tier", tier, "--stdout", "closed", "-"]).stdin(NEWER).run().code(1).stdout("").stderr("");
    }
    inn(&["inspect", "-"])
        .stdin(NEWER)
        .run()
        .code(0)
        .prints(&["component, a program\n", "  wasi:cli/stdout@0.3.0: inn, as 0.3.2\n"]);
}

#[test]
fn calls_of_wasi_0_3_are_not_watched() {
    let folder = scratch();
    for flags in [&["--record", "r.rec"][..], &["--trace"], &["--trace=summary"]] {
        let args = [flags, &["-"]].concat();
        let flag = flags[0].split('=').next().unwrap();
        let ran = in_folder(&folder, &args).stdin(NEWER).run();
        ran.code(2).stdout("").says(&[&format!("{flag}: the program uses WASI 0.3"), "run it without"]);
        assert!(!folder.path().join("r.rec").exists());
    }
}

#[test]
fn several_components_are_not_recorded() {
    let folder = scratch();
    fs::write(folder.path().join("p.wat"), plain("(i32.const 0)")).unwrap();
    let args = ["--record", "r.rec", "--plug", "p.wat", "p.wat"];
    in_folder(&folder, &args).run().code(2).says(&["--record: a record is of one component"]);
}

/// A program that traps, or goes round for ever, in a component that is nested in one of a name, called from one without.
fn nested(body: &str) -> String {
    format!(
        r#"(component
            (component $inner
                (core module $deep (func $work {body}) (func (export "go") (result i32) (call $work) (i32.const 0)))
                (core instance $i (instantiate $deep))
                (func (export "go") (result u32) (canon lift (core func $i "go"))))
            (component
                (import "go" (func $go (result u32)))
                (core func $go (canon lower (func $go)))
                (core module (import "" "go" (func $go (result i32))) (func $run (export "run") (result i32) (call $go)))
                (core instance $i (instantiate 0 (with "" (instance (export "go" (func $go))))))
                (func (export "run") (result (result)) (canon lift (core func $i "run"))))
            (instance $inner (instantiate $inner))
            (instance $outer (instantiate 1 (with "go" (func $inner "go"))))
            (alias export $outer "run" (func $run))
            (instance $program (export "run" (func $run)))
            (export "wasi:cli/run@0.2.3" (instance $program)))"#
    )
}

#[test]
fn a_backtrace_has_components_modules_and_functions_and_nothing_generated() {
    for tier in ["interpreter", "compiled"] {
        let ran = inn(&["--tier", tier, "-"]).stdin(nested("unreachable")).run();
        ran.code(134).says(&[
            "0: inner/deep!work (at offset 0x",
            "1: inner/deep!go (at offset 0x",
            "2: component[1]/module[1]!run (at offset 0x",
        ]);
        assert!(!ran.stderr.contains("3: "), "{tier}: {ran:#?}");
    }
}

#[test]
fn a_backtrace_of_a_component_has_lines() {
    let lines = concat!(env!("CARGO_MANIFEST_DIR"), "/../innkeeper/tests/library/source-lines.wasm");
    let mut builder = ComponentBuilder::default();
    let module = builder.core_module_raw(None, &fs::read(lines).unwrap());
    let nothing: [(&str, ModuleArg); 0] = [];
    let instance = builder.core_instantiate(None, module, nothing);
    let core = builder.core_alias_export(None, instance, "run", ExportKind::Func);
    let (ty, mut encoder) = builder.type_function(None);
    encoder.params([("times", PrimitiveValType::S32)]).result(Some(PrimitiveValType::S32.into()));
    let func = builder.lift_func(None, core, ty, []);
    builder.export("run", ComponentExportKind::Func, func, None);
    let component = builder.finish();
    inn(&["--invoke", "run(4)", "-"]).stdin(component).run().code(134).says(&[
        "0: total (at offset",
        "\n        at /src/source-lines.c:5",
        "1: run",
        "source-lines.c:23",
    ]);
}

#[test]
fn a_core_dump_of_a_component_is_written_where_it_traps() {
    let folder = scratch();
    fs::write(folder.path().join("p.wat"), nested("unreachable")).unwrap();
    in_folder(&folder, &["--coredump", "core", "p.wat"]).run().code(134);
    let dump = fs::read(folder.path().join("core")).unwrap();
    for part in ["corestack", "inner/deep"] {
        assert!(dump.windows(part.len()).any(|window| window == part.as_bytes()), "{part}");
    }
    in_folder(&folder, &["validate", "core"]).run().code(0);
    fs::write(folder.path().join("p.wat"), plain("(i32.const 0)")).unwrap();
    in_folder(&folder, &["--coredump", "none", "p.wat"]).run().code(0);
    assert!(!folder.path().join("none").exists());
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[test]
fn a_component_is_profiled_and_explored_by_the_names_of_its_modules() {
    let folder = scratch();
    fs::write(folder.path().join("p.wat"), nested("(loop $l (br $l))")).unwrap();
    let run = |args: &[&str]| in_folder(&folder, args).run();
    run(&["--timeout", "300ms", "--profile", "out.svg", "p.wat"]).code(134);
    let stacks = fs::read_to_string(folder.path().join("out.folded")).unwrap();
    let (stack, _) = stacks.lines().nth(1).unwrap().rsplit_once(' ').unwrap();
    // What stands between them has called `go` last, and is gone.
    assert_eq!(stack, "component[1]/module[1]!run;inner/deep!go;inner/deep!work");
    assert!(fs::read_to_string(folder.path().join("out.svg")).unwrap().contains(">inner/deep!work, "));
    run(&["explore", "--profile", "out.folded", "p.wat"]).code(0).prints(&["p.html: 1 of 3 functions"]);
    let page = fs::read_to_string(folder.path().join("p.html")).unwrap();
    assert!(page.contains("\"inner/deep!work\""), "{page}");
    run(&["explore", "p.wat"]).code(0).prints(&["p.html: 3 of 3 functions"]);
    run(&["explore", "--function", "run", "p.wat"]).code(0).prints(&["p.html: 1 of 3 functions"]);
    run(&["explore", "--function", "rum", "p.wat"]).code(2).says(&["it defines no function `rum`"]);
    // Of another program.
    fs::write(folder.path().join("q.wat"), plain("(i32.const 0)")).unwrap();
    run(&["explore", "--profile", "out.folded", "q.wat"])
        .code(2)
        .says(&["it is a profile of another program"]);
}
