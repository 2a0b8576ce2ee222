//! Files that are no modules of WebAssembly: what they look like, and what to do.
//!
//! Guesses for messages only: nothing here decides what runs.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use innkeeper::Precompiled;
use innkeeper::wasi::observe::is_record;

/// Where an ELF file says for which system it is.
const ELF_SYSTEM: usize = 7;
/// What stands there in files that `wasmtime compile` makes.
const ELF_SYSTEM_WASMTIME: u8 = 200;

/// What a file looks like that is no module, and the mend.
pub(crate) fn file_kind(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    const BUILD: &str = "build the program for wasm32-wasip1";
    const UNPACK: &str = "unpack it first";
    const COMPILED: &str =
        "name the .wasm file that it was made from; `inn compile` makes such files for inn";
    const FETCHED: &str = "fetch the file itself: what came is a page about it, or an error";
    let starts: &[(&[u8], &str, &str)] = &[
        (b"\x7fELF", "a program or library for this machine (ELF)", BUILD),
        (b"wasmer-universal", "a module that another host has compiled ahead of time (Wasmer)", COMPILED),
        (b"WASMER\0\0", "a module that another host has compiled ahead of time (Wasmer)", COMPILED),
        (b"MZ", "a program for Windows (EXE)", BUILD),
        (b"\xcf\xfa\xed\xfe", "a program for macOS (Mach-O)", BUILD),
        (b"\xca\xfe\xba\xbe", "a Java class or a program for macOS", BUILD),
        (b"!<arch>", "an archive of object files (.a)", "link it to a module"),
        (b"BC\xc0\xde", "LLVM bitcode", "compile it to a module"),
        (b"\x1f\x8b", "compressed (gzip)", UNPACK),
        (b"\xfd7zXZ\0", "compressed (xz)", UNPACK),
        (b"BZh", "compressed (bzip2)", UNPACK),
        (b"\x28\xb5\x2f\xfd", "compressed (zstd)", UNPACK),
        (b"PK\x03\x04", "a ZIP archive", UNPACK),
        (b"PK\x05\x06", "an empty ZIP archive", "fetch or pack it again"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
        (b"SQLite format 3\0", "a database (SQLite)", "name the .wasm file"),
        (b"%PDF-", "a PDF document", "name the .wasm file"),
        (b"\x89PNG", "a picture (PNG)", "name the .wasm file"),
        (
            b"version https://git-lfs.github.com/spec/",
            "a pointer of git-lfs, not the file itself",
            "fetch it: git lfs pull",
        ),
        (b"innrec\0", "a record of a run", "replay it: inn replay RECORD"),
        (b"#!", "a script", "name the module that it runs, or run the script itself"),
    ];
    if bytes.starts_with(b"\x7fELF") && bytes.get(ELF_SYSTEM) == Some(&ELF_SYSTEM_WASMTIME) {
        return Some(("a module that another host has compiled ahead of time (Wasmtime)", COMPILED));
    }
    if let Some((_, kind, mend)) = starts.iter().find(|(start, ..)| bytes.starts_with(start)) {
        return Some((kind, mend));
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return Some(("a tar archive", UNPACK));
    }
    if !bytes.contains(&0) && bytes.starts_with(b"(") && std::str::from_utf8(bytes).is_err() {
        return Some(("text with bytes that are not UTF-8", "save it as UTF-8"));
    }
    // No text has zeros, and damaged modules have them almost everywhere.
    if bytes.contains(&0) || std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_some()) {
        return (!bytes.starts_with(&b"\0asm"[..bytes.len().min(4)])).then_some((
            "data of another kind: it does not begin with the four bytes `\\0asm`",
            "name the .wasm file, or build it again",
        ));
    }
    let text = std::str::from_utf8(&bytes[..bytes.len().min(4096)]).ok().or_else(|| {
        // Cut within a letter.
        (bytes.len() > 4096).then(|| bytes[..4096].utf8_chunks().next().map_or("", |chunk| chunk.valid()))
    })?;
    let code = text.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with('\u{feff}') && code.starts_with(['(', ';']) {
        return Some((
            "its text behind a byte order mark, which the text format does not have",
            "save it as UTF-8 without a mark",
        ));
    }
    let lower = code.get(..code.len().min(16)).unwrap_or(code).to_ascii_lowercase();
    if ["<!doctype", "<html", "<?xml", "<head"].iter().any(|start| lower.starts_with(start)) {
        return Some(("a web page (HTML or XML)", FETCHED));
    }
    let is_heading = |line: &str| {
        let name = line.trim().strip_prefix('[').and_then(|line| line.strip_suffix(']')).unwrap_or_default();
        let name = name.trim_matches(['[', ']', ' ']);
        name.starts_with(|first: char| {
            first.is_ascii_alphabetic() && name != "true" && name != "false" && name != "null"
        }) && name.chars().all(|character| character.is_alphanumeric() || "._-\"'".contains(character))
    };
    if code.lines().next().is_some_and(is_heading) {
        return Some((
            "a TOML file, such as a policy",
            "a policy is given with --policy FILE.toml; name the .wasm file too",
        ));
    }
    if code.starts_with('{') || code.starts_with('[') {
        return Some(("JSON", FETCHED));
    }
    let begins =
        |words: &[&str]| code.lines().take(40).any(|line| words.iter().any(|word| line.starts_with(word)));
    if begins(&["def ", "from ", "import os", "import sys", "class ", "print("]) && !code.contains("};") {
        return Some((
            "a Python program",
            "run it with an interpreter that was built for WASI: inn python.wasm FILE.py",
        ));
    }
    if begins(&[
        "\"use strict\"",
        "'use strict'",
        "const ",
        "let ",
        "var ",
        "function ",
        "import {",
        "import ",
        "export ",
        "(function",
        "//",
        "/*",
        "console.",
    ]) {
        return Some((
            "a JavaScript program, or other source code",
            "run the .wasm file beside it, if that was built for WASI",
        ));
    }
    if begins(&["fn ", "use ", "pub ", "#include", "package ", "int main"]) {
        return Some(("source code", BUILD));
    }
    let is_wat = code.starts_with('(') || code.starts_with(";;");
    (!is_wat && !code.is_empty()).then_some((
        "text, and not the text of a module, which begins with `(module`",
        "name the .wasm or .wat file",
    ))
}

/// What is not read of a module's text, as far as the text tells.
pub(crate) fn unread_text(text: &[u8]) -> Option<&'static str> {
    let text = std::str::from_utf8(text).ok()?;
    text.match_indices("(try").any(|(at, word)| begins_folded_try(&text[at + word.len()..])).then_some(
        "exceptions in the legacy form are read unfolded only: write `try ... catch $tag ... end` for `(try (do ...) (catch $tag ...))`, or translate the file to the binary format",
    )
}

/// Whether `(do` follows, behind a label and a type.
fn begins_folded_try(rest: &str) -> bool {
    if !rest.starts_with([' ', '\n', '\t', '\r', '(']) {
        return false;
    }
    let mut rest = rest;
    while let Some((_, block)) = rest.split_once('(') {
        let block = block.trim_start();
        let is_type = ["result", "param", "type"].iter().any(|word| block.starts_with(word));
        if !is_type {
            return block.starts_with("do");
        }
        rest = block;
    }
    false
}

/// What a file is that is named where another kind of file is wanted, and what it is for.
pub(crate) fn kind_of_file(path: &Path) -> Option<(&'static str, &'static str)> {
    let mut start = Vec::new();
    // A pipe has been read by now.
    let file = File::open(path).ok().filter(|_| path.is_file())?;
    file.take(64).read_to_end(&mut start).ok()?;
    kind_by_start(&start)
}

/// [`kind_of_file`], by the first bytes.
pub(crate) fn kind_by_start(start: &[u8]) -> Option<(&'static str, &'static str)> {
    const RUN: &str = "to run it: inn FILE.wasm";
    if start.starts_with(b"\0asm") {
        return Some(("it is a module", RUN));
    }
    if Precompiled::is_one(start) {
        return Some((
            "it is a module that was compiled ahead of time",
            "to run it: inn --allow-precompiled FILE.cwasm",
        ));
    }
    if is_record(start) {
        return Some(("it is a record of a run", "to replay it: inn replay RECORD"));
    }
    let text = start.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    text.trim_start()
        .starts_with("(module")
        .then_some(("it is the text of a module", "to run it: inn FILE.wat"))
}
