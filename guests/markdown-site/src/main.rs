//! Makes a web site from a folder of Markdown: a guest of real size that reads and writes trees of files, uses
//! arguments, environment and stdin, and computes (Markdown, JSON, regular expressions, deflate, CRC-32).
//! Its output depends on its input only: no clock, no randomness of its own.
//!
//! - `build SOURCE TARGET`: every `.md` becomes `.html`, other files are copied; writes `index.json` and
//!   `search.json.gz`. `SITE_TITLE` in the environment, else `title` in SOURCE/site.json, names the site.
//! - `verify TARGET`: checks the files of a built site against its index.
//! - `render`: Markdown on stdin, HTML on stdout.
//! - `search PATTERN FILE...`: prints the lines of text that match; exit code 1 where none does.

mod markdown;
mod search;
mod site;

use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;

const USAGE: &str =
    "usage: markdown-site build SOURCE TARGET | verify TARGET | render | search PATTERN FILE...";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments[..] {
        ["build", source, target] => {
            site::build(Path::new(source), Path::new(target)).map(|()| true)
        }
        ["verify", target] => site::verify(Path::new(target)).map(|()| true),
        ["render"] => render().map(|()| true),
        ["search", pattern, ref files @ ..] if !files.is_empty() => {
            search::print_matches(pattern, files)
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("markdown-site: {message}");
            ExitCode::from(3)
        }
    }
}

fn render() -> Result<(), String> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| format!("cannot read stdin: {error}"))?;
    let page = markdown::Page::parse(&text);
    let mut stdout = std::io::stdout();
    stdout
        .write_all(page.html.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| format!("cannot write to stdout: {error}"))
}
