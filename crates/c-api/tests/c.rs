//! The library as C sees it: that the headers, the standard and the exported functions agree; that programs in C do what they should; the example; and, where they
//! are given, the programs of github.com/WebAssembly/wasm-c-api.
//!
//! Where there is no C compiler there is nobody to see anything, and these tests say so and end. With `INNKEEPER_C_FLAGS` programs are compiled with more flags, with
//! `WASM_C_API_EXAMPLES=FOLDER` the standard's programs run: `cargo xtask c-library` sets both.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The folder that the shared library was built into.
fn library_folder() -> PathBuf {
    let this = std::env::current_exe().expect("this program has a path");
    let folders = this.ancestors().skip(1).take(2);
    let has_library = |folder: &&Path| folder.join("libinnkeeper_c.so").is_file();
    folders.into_iter().find(has_library).expect("the library is built together with its tests").to_owned()
}

fn crate_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("there is no `{program}`: nothing is tested with it");
    }
    found
}

fn text_of(command: &mut Command) -> String {
    let output = command.output().expect("the program can be started");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn is_ours(name: &str) -> bool {
    name.starts_with("wasm_") || (name.starts_with("innkeeper_") && !name.contains("default_engine"))
}

/// The functions that a header declares: names before a parenthesis, outside of braces, in what is no `typedef` and no function of the header's own.
fn declared(header: &str) -> BTreeSet<String> {
    let header = crate_folder().join("include").join(header);
    let text = text_of(Command::new("cc").args(["-E", "-P"]).arg(header));
    let mut depth = 0;
    let mut outside = String::new();
    for character in text.chars() {
        match character {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                outside.push(if depth == 0 { ';' } else { ' ' });
            }
            _ if depth == 0 => outside.push(character),
            _ => {}
        }
    }
    let mut names = BTreeSet::new();
    for statement in outside.split(';') {
        let is_declaration = !statement.split_whitespace().any(|word| word == "typedef" || word == "inline");
        let name = statement.split('(').next().unwrap_or_default().trim_end();
        let start = name.rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |at| at + 1);
        if is_declaration && statement.contains('(') && is_ours(&name[start..]) {
            names.insert(name[start..].to_owned());
        }
    }
    names
}

fn exported() -> BTreeSet<String> {
    let listing = text_of(
        Command::new("nm").args(["-D", "--defined-only"]).arg(library_folder().join("libinnkeeper_c.so")),
    );
    let names = listing.lines().filter_map(|line| line.rsplit(' ').next());
    names.filter(|name| is_ours(name)).map(str::to_owned).collect()
}

#[test]
fn the_headers_declare_what_the_library_exports_and_nothing_else() {
    if !has("cc") || !has("nm") {
        return;
    }
    let (declared, exported) = (declared("innkeeper.h"), exported());
    let missing: Vec<_> = declared.difference(&exported).collect();
    let undeclared: Vec<_> = exported.difference(&declared).collect();
    assert!(missing.is_empty() && undeclared.is_empty(), "missing: {missing:?}; undeclared: {undeclared:?}");
    assert!(declared.len() > 340, "{} are few", declared.len());
}

#[test]
fn the_standard_is_whole() {
    if !has("cc") {
        return;
    }
    let standard = include_str!("standard.txt").lines().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(declared("wasm.h"), standard);
}

#[test]
fn the_headers_are_c_and_c_plus_plus() {
    let strict = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only"];
    for (compiler, language) in
        [("cc", ["-xc", "-std=c11"]), ("cc", ["-xc", "-std=c23"]), ("c++", ["-xc++", "-std=c++11"])]
    {
        // The standard of 2023 has a name in newer compilers only.
        let is_known = || {
            let empty = Command::new(compiler).args(language).args(["-fsyntax-only", "/dev/null"]).output();
            empty.is_ok_and(|output| output.status.success())
        };
        if has(compiler) && is_known() {
            let header = crate_folder().join("include/innkeeper.h");
            text_of(Command::new(compiler).args(strict).args(language).arg(header));
        }
    }
}

/// A program in C, compiled with the library, in a folder of its own.
struct Program {
    folder: tempfile::TempDir,
}

impl Program {
    fn compiled(source: &Path, flags: &[&str]) -> Program {
        let folder = tempfile::tempdir().expect("a folder");
        let library = library_folder().join("libinnkeeper_c.so");
        // The name that the dynamic linker looks for is the library's own.
        for name in ["libinnkeeper_c.so", "libinnkeeper_c.so.0"] {
            std::os::unix::fs::symlink(&library, folder.path().join(name)).expect("a link");
        }
        let more = std::env::var("INNKEEPER_C_FLAGS").unwrap_or_default();
        let mut run_path = OsString::from("-Wl,-rpath,");
        run_path.push(folder.path());
        let mut compile = Command::new("cc");
        compile.args(["-g", "-o"]).arg(folder.path().join("program")).arg(source).args(flags);
        compile.args(more.split_whitespace()).arg("-I").arg(crate_folder().join("include"));
        compile.arg("-L").arg(folder.path()).args(["-linnkeeper_c", "-lpthread"]).arg(run_path);
        text_of(&mut compile);
        Program { folder }
    }

    fn run_in(&self, folder: &Path) -> Output {
        let mut command = Command::new(self.folder.path().join("program"));
        command.current_dir(folder).output().expect("the program can be started")
    }

    /// What it prints.
    fn done_in(&self, folder: &Path) -> String {
        let output = self.run_in(folder);
        let (printed, errors) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{}\n{printed}{errors}", output.status);
        printed.into_owned()
    }
}

/// Every function that there is, in a program that calls it with nothing: null pointers, zero numbers. None of them ends the program, and so none unwinds into it either.
#[test]
fn every_function_survives_a_call_with_nothing() {
    if !has("cc") {
        return;
    }
    let names = declared("innkeeper.h");
    let calls: String = names
        .iter()
        .map(|name| format!("    puts(\"{name}\");\n    ((any_t)(void*){name})(0, 0, 0, 0, 0, 0, 0, 0);\n"))
        .collect();
    let zeros = ["uintptr_t"; 8].join(", ");
    // What the functions give is never given back: AddressSanitizer is told not to look for leaks.
    let text = format!(
        "#include <stdint.h>\n#include <stdio.h>\n#include \"innkeeper.h\"\ntypedef uintptr_t (*any_t)({zeros});\nint __lsan_is_turned_off(void) {{ return 1; }}\nint main(void) {{\n    setvbuf(stdout, NULL, _IONBF, 0);\n{calls}    return 0;\n}}\n"
    );
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("all.c");
    std::fs::write(&source, text).expect("a file");
    let program = Program::compiled(&source, &["-std=gnu11"]);
    let output = program.run_in(folder.path());
    let printed = String::from_utf8_lossy(&output.stdout);
    let last = printed.lines().last().unwrap_or_default();
    assert!(output.status.success(), "{last}: {}", output.status);
    assert_eq!(printed.lines().count(), names.len());
}

/// There is one place where functions are exported, and that catches what unwinds.
#[test]
fn functions_are_exported_where_panics_are_caught_and_nowhere_else() {
    let mut exporting = Vec::new();
    let mut folders = vec![crate_folder().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = std::fs::read_to_string(&path).expect("text");
                let count = text.matches("no_mangle").count() + text.matches("export_name").count();
                exporting.extend(std::iter::repeat_n(path, count));
            }
        }
    }
    assert_eq!(exporting, [crate_folder().join("src/boundary.rs")]);
    let boundary = include_str!("../src/boundary.rs");
    let (_, exported) = boundary.split_once("no_mangle").expect("it is there");
    let body = exported.split_once("macro_rules!").map_or(exported, |(body, _)| body);
    assert!(body.contains("caught("));
}

const STRICT: &[&str] = &["-std=gnu11", "-Wall", "-Wextra", "-Werror"];

#[test]
fn programs_find_what_they_expect() {
    if !has("cc") {
        return;
    }
    let programs = crate_folder().join("tests/programs");
    let mut count = 0;
    for entry in std::fs::read_dir(programs).expect("a folder") {
        let source = entry.expect("an entry").path();
        if source.extension().is_some_and(|ending| ending == "c") {
            eprintln!("{}", source.display());
            let program = Program::compiled(&source, STRICT);
            program.done_in(program.folder.path());
            count += 1;
        }
    }
    assert!(count >= 7, "{count} programs are few");
}

#[test]
fn the_example_prints_what_it_should() {
    if !has("cc") {
        return;
    }
    let program = Program::compiled(&crate_folder().join("examples/hello.c"), STRICT);
    let printed = program.done_in(program.folder.path());
    assert_eq!(printed, "the guest printed: hello\ntwice next of 40: 42\nspin: its time was over\n");
}

/// The programs of the standard, with what each prints among other things: of those that do not all check it themselves.
const STANDARD_PROGRAMS: &[(&str, &[&str])] = &[
    (
        "callback",
        &["Calling back...\n> 7\n", "Calling back closure...\n> 42\n", "Printing result...\n> 49\n"],
    ),
    (
        "finalize",
        &["Live count 100001\n", "Live count 200002\n", "Finalizing #100000...\n", "Live count 0\n"],
    ),
    ("global", &[]),
    ("hello", &["Calling back...\n> Hello World!\n"]),
    ("hostref", &["Calling back...\n> > 0x1\n", "Calling back...\n> > 0x2\n"]),
    ("memory", &["Growing memory...\n", "Creating stand-alone memory...\n"]),
    ("multi", &["> > 1 3 2 4\n", "Printing result...\n> 4 3 2 1\n"]),
    (
        "reflect",
        &[
            ">> initial: func i32 f64 f32 -> i32\n>> current: func i32 f64 f32 -> i32\n>> in-arity: 3, out-arity: 1\n",
            ">> current: global const f64\n",
            ">> current: table 0d 50d funcref\n",
            ">> current: memory 1d\n",
        ],
    ),
    ("serialize", &["Calling back...\n> Hello World!\n"]),
    ("start", &["unreachable"]),
    ("table", &["Growing table...\nCalling back...\n"]),
    ("threads", &["> Thread 0 running\n", "> Thread 9 running\n"]),
    ("trap", &["> callback abort\n", "unreachable", " = 1.0x", " = 2.0x"]),
];

#[test]
fn programs_of_the_standard_print_what_they_should() {
    let Some(examples) = std::env::var_os("WASM_C_API_EXAMPLES").map(PathBuf::from) else {
        eprintln!("WASM_C_API_EXAMPLES names no folder: the standard's own programs are left out");
        return;
    };
    let modules = tempfile::tempdir().expect("a folder");
    let translated = Program::compiled(&crate_folder().join("tests/programs/binary/binary.c"), STRICT);
    for (name, _) in STANDARD_PROGRAMS {
        let text = std::fs::read_to_string(examples.join(format!("{name}.wat"))).expect("the module's text");
        // Two words that the text format has changed since.
        let text = text.replace("(ref.null)", "(ref.null extern)").replace("anyfunc", "funcref");
        std::fs::write(modules.path().join(format!("{name}.wat")), text).expect("a file");
    }
    translated.done_in(modules.path());
    for (name, parts) in STANDARD_PROGRAMS {
        let program = Program::compiled(&examples.join(format!("{name}.c")), &["-std=gnu11"]);
        let printed = program.done_in(modules.path());
        // That of threads has no last word.
        assert!(printed.ends_with("Done.\n") || *name == "threads", "{name}: {printed}");
        for part in *parts {
            assert!(printed.contains(part), "{name} does not print {part:?}: {printed}");
        }
        eprintln!("{name}: as it should be");
    }
}
