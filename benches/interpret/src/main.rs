//! Measures the engine from inside a process, without the cost of starting one: how fast modules are validated and
//! functions lowered, what instances and calls cost, and how long the bench programs run.
//!
//! Prints a Markdown table. Each number is the best of several tries: what disturbs a measurement only makes it slower.

#![forbid(unsafe_code)]

mod calls;
mod modules;
mod programs;
mod timing;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "usage: innkeeper-interpret [MODULE.wasm]
MODULE is what validation and instantiation are measured with (default: guests/markdown-site)";

/// One line of the table.
struct Figure {
    what: String,
    value: String,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let module = match (arguments.next(), arguments.next()) {
        (None, _) => root().join("guests/markdown-site/markdown-site.wasm"),
        (Some(path), None) if !path.starts_with('-') => PathBuf::from(path),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    match measure(&module) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("innkeeper-interpret: {message}");
            ExitCode::FAILURE
        }
    }
}

fn measure(module: &Path) -> Result<(), String> {
    println!("| {:<44} | {:>14} |\n|{:-<46}|{:->16}|", "what", "best", "", ":");
    let parts = [|module: &Path| modules::figures(module), |_: &Path| calls::figures()];
    for part in parts {
        part(module)?.iter().for_each(print);
    }
    programs::figures(&root().join("benches/programs"), print)
}

fn print(figure: &Figure) {
    println!("| {:<44} | {:>14} |", figure.what, figure.value);
}

/// The repository's root: two folders above this crate.
fn root() -> PathBuf {
    let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_dir.ancestors().nth(2).unwrap_or(crate_dir).to_owned()
}
