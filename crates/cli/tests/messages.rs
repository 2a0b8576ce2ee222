//! What `inn` says to command lines that are wrong: each with its whole standard error and exit code, in `messages.txt`.
//!
//! `INN_BLESS=1 cargo test -p innkeeper-cli --test messages` writes what is said now; read the difference before it is committed.
//! In the table a line `$ inn ...` is run by a shell in a folder with the files that [`files`] makes; `= CODE` closes what it says, where `~` is an empty line.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// Files that commands name.
fn files(folder: &Path) {
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
    put("elf", b"\x7fELF\x02\x01\x01\0\0\0");
    put("wasmtime.cwasm", b"\x7fELF\x02\x01\x01\xc8\0\0\0\0\0\0\0\0");
    put("wasmer.wasmu", b"wasmer-universal\0\0");
    put("app.wasm.gz", b"\x1f\x8b\x08\0\0\0\0\0");
    put("page.wasm", b"<!DOCTYPE html>\n<html><body>404</body></html>\n");
    put("script.sh", b"#!/bin/sh\nexec inn app.wasm\n");
    put("lfs.wasm", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
    put("app.js", b"'use strict';\nconst fs = require('fs');\n");
    put("app.py", b"import sys\nprint(sys.argv)\n");
    put("empty.wasm", b"");
    put("zeros.wasm", &[0; 600]);
    put("noise.wasm", b"\x93\xf1\x02\xffnoise\xfe");
    let mut tar = vec![b'x'; 512];
    tar[257..262].copy_from_slice(b"ustar");
    put("app.tar", &tar);
    put("app.zip", b"PK\x03\x04\x14\0");
    put("data.json", b"[1, 2]\n");
    put(
        "napi.wat",
        br#"(module (import "env" "napi_create_function" (func)) (func (export "napi_register_wasm_v1")))"#,
    );
    put("invalid.wat", b"(module\n  (func (export \"_start\")\n    i32.const 1))\n");
    put("component.wasm", b"\0asm\x0d\0\x01\0");
    put(
        "component.wat",
        br#"(component
            (import "wasi:cli/stdin@0.2.0" (instance $in (export "get-stdin" (func (result u32)))))
            (import "wasi:random/random@0.2.0" (instance $random
                (export "get-random-u64" (func (result u64))) (export "unused" (func))))
            (core func (canon lower (func $in "get-stdin")))
            (core func (canon lower (func $random "get-random-u64"))))"#,
    );
    put("damaged.wasm", b"\0asm\x01\0\0\0\x01\x05\x01");
    put("bad.wat", b"(module\n  (func (export \"_start\")\n    (i32.ad (i32.const 1))))\n");
    put("hello.wat", br#"(module (func (export "_start")))"#);
    put("lib.wat", br#"(module (func (export "add") (param i32 i32) (result i32) (local.get 0)) (func (export "neg") (param i32)))"#);
    put("go.wat", br#"(module (import "gojs" "runtime.wasmExit" (func (param i32))) (func (export "run")))"#);
    put("bindgen.wat", br#"(module (import "wbg" "__wbg_log_1" (func (param i32))) (func (export "main")))"#);
    put("emscripten.wat", br#"(module (import "env" "emscripten_memcpy_js" (func (param i32 i32 i32))) (func (export "_start")))"#);
    put("p2.wat", br#"(module (import "wasi:cli/stdout@0.2.0" "get-stdout" (func (result i32))) (func (export "_start")))"#);
    put(
        "env.wat",
        br#"(module (import "env" "printf" (func (param i32 i32) (result i32))) (func (export "_start")))"#,
    );
    put(
        "ruby-js.wat",
        br#"(module (import "rb-js-abi-host" "eval-js" (func (param i32))) (func (export "_start")))"#,
    );
    put("wasmedge.wat", br#"(module (import "wasi_snapshot_preview1" "sock_open" (func (param i32 i32 i32) (result i32))) (func (export "_start")))"#);
    put("other-type.wat", br#"(module (import "wasi_snapshot_preview1" "fd_close" (func (param i64) (result i32))) (func (export "_start")))"#);
    put("object.wat", br#"(module (import "env" "__linear_memory" (memory 1)) (import "env" "main" (func)) (func (export "_start")))"#);
    put("simd.wat", br#"(module (func (export "_start") (drop (v128.const i64x2 0 0))))"#);
    put("loop.wat", br#"(module (func (export "_start") (loop (br 0))))"#);
    put("deep.wat", br#"(module (func $f (export "_start") (call $f) (call $f)))"#);
    put(
        "beyond.wat",
        br#"(module (memory 1) (func (export "_start") (drop (i32.load offset=4 (i32.const 65536)))))"#,
    );
    put("grow.wat", br#"(module (memory 1) (func (export "_start") (if (i32.eq (memory.grow (i32.const 1000)) (i32.const -1)) (then unreachable))))"#);
    put("big.wat", br#"(module (memory 1000) (func (export "_start")))"#);
    put("accept.wat", br#"(module (import "wasi_snapshot_preview1" "sock_accept" (func $a (param i32 i32 i32) (result i32))) (memory (export "memory") 1)
        (func (export "_start") (if (call $a (i32.const 3) (i32.const 0) (i32.const 0)) (then unreachable))))"#);
    let wasi = |name: &str, ty: &str, body: &str| {
        let text = format!(
            r#"(module (import "wasi_snapshot_preview1" "{name}" (func $f (param {ty}) (result i32))) (memory (export "memory") 1)
            (data (i32.const 16) "../etc/passwd") (func (export "_start") (if {body} (then unreachable))))"#
        );
        text.into_bytes()
    };
    let open = |path: &str, oflags: u32| {
        let body = format!(
            "(call $f (i32.const 3) (i32.const 0) {path} (i32.const {oflags}) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 8))"
        );
        wasi("path_open", "i32 i32 i32 i32 i32 i64 i64 i32 i32", &body)
    };
    put("open.wat", &open("(i32.const 16) (i32.const 1)", 0));
    put("create.wat", &open("(i32.const 19) (i32.const 3)", 1));
    put(
        "no-directory.wat",
        &String::from_utf8(open("(i32.const 19) (i32.const 10)", 0))
            .unwrap()
            .replacen("(i32.const 3)", "(i32.const -1)", 1)
            .into_bytes(),
    );
    put("escape.wat", &open("(i32.const 16) (i32.const 13)", 0));
    let spoof = "../x: no key covers it; grant it with --dir /::/::rw";
    let text = String::from_utf8(open("(i32.const 16) (i32.const 52)", 0)).unwrap();
    let named = |path: &str, fd: u32| {
        let length = path.len();
        let text = String::from_utf8(open(&format!("(i32.const 16) (i32.const {length})"), 0)).unwrap();
        text.replace("../etc/passwd", path).replacen("(i32.const 3)", &format!("(i32.const {fd})"), 1)
    };
    // The root in which nothing is comes behind what was granted.
    put("spelt.wat", named("./data/../data/file", 4).as_bytes());
    put("repeat.wat", named("data/python.wat", 3).as_bytes());
    put("proc.wat", named("proc/self/environ", 3).as_bytes());
    put("passwd.wat", named("etc/passwd", 3).as_bytes());
    put("python.wat", named("usr/local/lib/python3.13/os.py", 3).as_bytes());
    put("ruby.wat", named("usr/local/lib/ruby/3.4.0/rubygems.rb", 3).as_bytes());
    put("bom.wat", b"\xef\xbb\xbf(module (func (export \"_start\")))");
    put("try.wat", b"(module (tag $e) (func (export \"_start\") (try (do (throw $e)) (catch $e))))");
    put("try-result.wat", b"(module (tag $e) (func (export \"_start\") (drop (try $l (result i32) (do (throw $e)) (catch $e (i32.const 1))))))");
    put("nameless.wat", b"(module (func (@name \"\") unreachable) (func (export \"_start\") (call 0)))");
    put("real.wasm", b"\0asm\x01\0\0\0");
    put("one.toml", b"[directory]\nhost = \"data\"\n");
    put("write.toml", b"[[directory]]\nhost = \"data\"\naccess = \"write\"\n");
    put("home.toml", b"[[directory]]\nhost = \"~/data\"\n");
    put("dollar.toml", b"[[directory]]\nhost = \"$HOME/data\"\n");
    put("spoof.wat", text.replace("../etc/passwd", spoof).as_bytes());
    put("scan.wat", &wasi("fd_prestat_get", "i32 i32", "(call $f (i32.const 3) (i32.const 8))"));
    put("scan-on.wat", &wasi("fd_prestat_get", "i32 i32", "(call $f (i32.const 4) (i32.const 8))"));
    // The second time it wants to write.
    put("two.wat", br#"(module (import "wasi_snapshot_preview1" "path_open" (func $f (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 16) "data/file") (func (export "_start")
            (drop (call $f (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 9) (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 8)))
            (drop (call $f (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 9) (i32.const 1) (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 8)))
            unreachable))"#);
    // It opens the directory that it was given, as programs that list one do.
    put("list.wat", br#"(module (import "wasi_snapshot_preview1" "path_open" (func $f (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_readdir" (func $list (param i32 i32 i32 i64 i32) (result i32)))
        (memory (export "memory") 1) (data (i32.const 16) ".") (func (export "_start")
            (if (call $f (i32.const 3) (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 2) (i64.const 16384) (i64.const 0) (i32.const 0) (i32.const 8)) (then unreachable))
            (if (call $list (i32.load (i32.const 8)) (i32.const 64) (i32.const 256) (i64.const 0) (i32.const 0)) (then unreachable))))"#);
    put(
        "spawn.wat",
        br#"(module (import "wasi" "thread-spawn" (func $f (param i32) (result i32))) (import "env" "memory" (memory 1 1 shared))
        (func (export "wasi_thread_start") (param i32 i32))
        (func (export "_start") (if (i32.lt_s (call $f (i32.const 0)) (i32.const 0)) (then unreachable))))"#,
    );
    put(
        "exception.wat",
        br#"(module (tag $e (param i32)) (func (export "_start") (throw $e (i32.const 42))))"#,
    );
    put("dot.toml", b"[[directory]]\nhost = \"data\"\nguest = \".\"\n");
    put("limits.toml", b"[limits]\nmemory = \"1MiB\"\ncpu = \"20ms\"\n");
    put("kernel.toml", b"[[directory]]\nhost = \"/proc\"\n");
    put("gone.toml", b"[[directory]]\nhost = \"gone\"\n");
    put("bad.toml", b"[limits]\nmemroy = 5\n");
    std::fs::create_dir_all(folder.join("data/usr/local/lib/python3.13")).unwrap();
    std::fs::copy(folder.join("python.wat"), folder.join("data/python.wat")).unwrap();
    std::fs::create_dir(folder.join("home")).unwrap();
}

/// A line of a backtrace without the place in the function: where a guest is stopped is chance.
fn without_place(line: &str) -> &str {
    match line.split_once(" (at offset ") {
        Some((frame, _)) if line.starts_with("  ") => frame,
        _ => line,
    }
}

#[test]
fn wrong_commands_are_answered_with_thing_reason_and_mend() {
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/messages.txt");
    let expected = std::fs::read_to_string(&table).unwrap();
    let folder = tempfile::tempdir().unwrap();
    files(folder.path());
    let mut said = String::new();
    for line in
        expected.lines().filter(|line| line.starts_with("$ ") || line.starts_with("# ") || line.is_empty())
    {
        let Some(command) = line.strip_prefix("$ ") else {
            writeln!(said, "{line}").unwrap();
            continue;
        };
        let ran = Command::new("sh")
            .arg("-c")
            .arg(format!("inn() {{ \"$INN\" \"$@\"; }}; {command}"))
            .current_dir(folder.path())
            .env("INN", env!("CARGO_BIN_EXE_inn"))
            .env("HOME", folder.path().join("home"))
            .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
            .env("XDG_STATE_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/state"))
            .output()
            .unwrap();
        writeln!(said, "$ {command}").unwrap();
        for line in String::from_utf8_lossy(&ran.stderr).lines() {
            writeln!(said, "{}", if line.is_empty() { "~" } else { without_place(line) }).unwrap();
        }
        writeln!(said, "= {}", ran.status.code().unwrap_or(-1)).unwrap();
    }
    if std::env::var_os("INN_BLESS").is_some() {
        std::fs::write(&table, &said).unwrap();
        return;
    }
    let first = said.lines().zip(expected.lines()).position(|(said, expected)| said != expected);
    let line = first.unwrap_or_else(|| said.lines().count().min(expected.lines().count()));
    let [said_line, expected_line] =
        [&said, &expected].map(|text| text.lines().nth(line).unwrap_or("(the end)"));
    assert!(
        said == expected,
        "messages.txt, line {}:\n  said     {said_line}\n  expected {expected_line}",
        line + 1
    );
}
