//! Output that nobody reads, or that cannot be written.

use std::fs::OpenOptions;
use std::process::{Command, Stdio};

use crate::guest;

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
