//! Output that nobody reads, or that cannot be written.

use std::fs::OpenOptions;
use std::process::{Command, Stdio};

use crate::{guest, inn, scratch};

fn inspect_into(stdout: Stdio) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inn"));
    let output = command.arg("inspect").arg(guest("hello-c")).stdout(stdout).output().expect("inn runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_closed_pipe_ends_the_output_quietly() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    assert_eq!(inspect_into(writer.into()), (Some(0), String::new()));
}

#[test]
fn a_full_device_is_an_error() {
    let Ok(full) = OpenOptions::new().write(true).open("/dev/full") else { return };
    let (code, stderr) = inspect_into(full.into());
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with("error: standard output: "), "{stderr}");
}

/// Names that a module has chosen write no lines of their own into what `inn` says, whichever part of a module they are in.
#[test]
fn d14_names_in_modules_write_no_lines_of_their_own() {
    const NAME: &str = r"x\nerror: forged\1b[2J";
    let modules = [
        r#"(module (import "NAME" "b" (func)) (func (export "_start")))"#,
        r#"(module (import "a" "NAME" (func)) (func (export "_start")))"#,
        r#"(module (import "wasi_snapshot_preview1" "NAME" (func)) (func (export "_start")))"#,
        r#"(module (func (export "NAME")))"#,
        r#"(module (func (export "NAME")) (func (export "NAME")))"#,
        r#"(module (func $"NAME" unreachable) (func (export "_start") call 0))"#,
        r#"(module $"NAME" (func unreachable) (func (export "_start") call 0))"#,
    ];
    for module in modules {
        let dir = scratch();
        std::fs::write(dir.path().join("m.wat"), module.replace("NAME", NAME)).unwrap();
        for args in
            [&["m.wat"][..], &["--invoke", "y", "m.wat"], &["validate", "m.wat"], &["inspect", "m.wat"]]
        {
            let ran = inn(args).current_dir(&dir).run();
            let text = format!("{}{}", ran.stdout, ran.stderr);
            assert!(!text.lines().any(|line| line.starts_with("error: forged")), "{args:?}: {ran:#?}");
            assert!(!text.contains('\u{1b}'), "{args:?}: {ran:#?}");
        }
    }
}
