//! Greets on stdout and writes the same greeting to a file, /helloworld/helloworld.txt or the path in the
//! first argument. hello-c and hello-as do the same, byte for byte, through their own libraries.

use std::io::Write;
use std::process::ExitCode;

const GREETING: &str = "Hello, World!\n";

fn main() -> ExitCode {
    let path = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "/helloworld/helloworld.txt".to_owned());
    let mut stdout = std::io::stdout();
    if let Err(error) = stdout
        .write_all(GREETING.as_bytes())
        .and_then(|()| stdout.flush())
    {
        eprintln!("hello: cannot write to stdout: {error}");
        return ExitCode::FAILURE;
    }
    if let Err(error) = std::fs::write(&path, GREETING) {
        eprintln!("hello: cannot write {path}: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
