//! Help that fits on a screen, and when it is shown. The whole is made of the flags' own texts, by the library that reads command lines.

use std::process::ExitCode;

use crate::report::{self, Problem};
use crate::written::{command_name, is_learn};

/// `inn -h`: what fits on a screen.
pub(crate) const SHORT_HELP: &str = "\
Runs WebAssembly programs that hold only the keys they were given

Usage: inn [run] [FLAGS] FILE [ARGS]...
       inn COMMAND ...

Examples:
  inn app.wasm a b                     run app.wasm with two arguments and no access to files
  inn --dir data::/data::ro app.wasm   it finds ./data as /data and cannot change it
  inn --invoke add math.wasm 2 40      call one function and print what it returns

Keys, without which a program has no access to anything:
  -d, --dir HOST[::GUEST][::ro|rw|cow]   a directory; --tmp GUEST is one in memory
  -e, --env NAME[=VALUE]                 an environment variable
      --net connect:HOST:PORT            the network, for components; --listen PORT for others
      --http GET:https://HOST/PATH/*     requests of HTTP, for components
Also often used:
      --timeout 5s --max-memory 64MiB    bounds
      --explain --trace                  what was denied, every call to the host

Commands: run, serve, compile, compose, inspect, validate, explore, replay, policy, cache, cow, wast
`inn help` lists all flags, `inn help COMMAND` those of a command.
";

/// `inn policy learn -h`.
pub(crate) const LEARN_HELP: &str = "\
Run a program with the keys given, and write the least policy that covers what it used

Usage: inn policy learn --to FILE.toml [FLAGS] FILE [ARGS]...

  -o, --to FILE.toml   the policy to write, or to extend

Example: inn policy learn --to app.toml --dir .::.::ro app.wasm notes.txt

The other flags are those of `inn run`: `inn -h` shows the usual ones, `inn help policy learn` lists all.
";

/// `inn serve -h`.
pub(crate) const SERVE_HELP: &str = "\
Answer requests of HTTP by a program, an instance of it for each

Usage: inn serve [OPTIONS] <FILE>

      --cgi                     FILE is a module of WASI 0.1: variables and input in, answer out
      --watch                   read FILE again when it changes
      --listen [ADDRESS:]PORT   where to listen (127.0.0.1:8080); unix:PATH is a socket
      --access-log FORM         json, common or off
  -d, --dir, --tmp, -e, --env   what each request's guest is granted, as for inn run
      --timeout, --max-body     bounds on requests, of which there are more

Examples:
  inn serve --cgi app.wasm
  inn serve --cgi --listen 0.0.0.0:80 --dir data::/data::ro app.wasm
  inn serve inn.toml            several programs, each with its keys

`inn help serve` lists all flags, docs/serving.md has all limits in one table.
";

/// Whether `-h` was written, for running a program, which has very many flags. `--help` has everything.
pub(crate) fn wants_short_help() -> bool {
    let mut before = std::env::args_os().skip(1).take_while(|argument| argument != "--help");
    let has_short = |name: String| matches!(&*name, "run" | "serve") || is_learn();
    before.any(|argument| argument == "-h") && command_name().is_none_or(has_short)
}

/// `inn version`.
pub(crate) fn version() -> Result<ExitCode, Problem> {
    report::output(concat!("inn ", env!("CARGO_PKG_VERSION"), "\n"))?;
    Ok(ExitCode::SUCCESS)
}
