//! `inn explore`: what the compiler makes of a module's functions, as one page of HTML.

mod page;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;

use innkeeper::{Config, Engine, FunctionInfo, Module};

use crate::args::ExploreArgs;
use crate::input::Input;
use crate::output::Output;
use crate::profile;
use crate::report::{self, Problem, visible};
use crate::writable::Writable;

/// A function as the page shows it.
struct Function {
    name: String,
    /// Bytes of its body.
    wasm_bytes: usize,
    /// Samples of a profile in which it was the innermost.
    ticks: u64,
    /// Its instructions as text, each with its offset in the module.
    wasm: Vec<(usize, String)>,
    compiled: Result<innkeeper::Disassembly, String>,
}

/// Writes the page.
pub(crate) fn explore(args: &ExploreArgs) -> Result<ExitCode, Problem> {
    args.work.watch()?;
    let mut input = Input::read(&args.file)?;
    let text = Text::print(&input)?;
    let engine: Engine = innkeeper::engine(Config::default());
    let module = input.module(&engine)?;
    let ticks = match &args.profile {
        Some(path) => own_ticks(&read(path)?),
        None => HashMap::new(),
    };
    let ticks_of =
        |info: &FunctionInfo<'_>| ticks.get(&profile::name(info.name, info.func)).copied().unwrap_or(0);
    let mut infos: Vec<FunctionInfo<'_>> = module.functions().collect();
    // Hot ones first, then large ones; those that are alike stay in the module's order.
    infos.sort_by_key(|info| std::cmp::Reverse((ticks_of(info), info.body.len())));
    let shown = infos.iter().take(args.functions).map(|info| function(&module, info, ticks_of(info), &text));
    let shown: Vec<Function> = shown.collect::<Option<_>>().ok_or_else(|| {
        Problem::new(&input.name, "there is no compiler for this processor, so there is nothing to show")
            .help("run inn on x86-64 Linux")
    })?;
    let path = args.to.clone().unwrap_or_else(|| PathBuf::from(&args.file).with_extension("html"));
    let html = page::page(&input.name, &shown, infos.len());
    Output::open(&path, &Writable::nothing())?.write(|to| to.write_all(html.as_bytes()))?;
    let name = visible(&path.to_string_lossy());
    report::output(&format!("{name}: {} of {} functions\n", shown.len(), infos.len()))?;
    Ok(ExitCode::SUCCESS)
}

fn function(module: &Module, info: &FunctionInfo<'_>, ticks: u64, text: &Text) -> Option<Function> {
    Some(Function {
        name: profile::name(info.name, info.func),
        wasm_bytes: info.body.len(),
        ticks,
        wasm: text.within(&info.body),
        compiled: module.explain(info.func)?,
    })
}

/// A module in the text format, line by line.
struct Text {
    /// Where lines begin that have an offset, with it; ascending.
    lines: Vec<(usize, Range<usize>)>,
    text: String,
}

impl Text {
    fn print(input: &Input) -> Result<Text, Problem> {
        let mut printed = String::new();
        let found =
            wasmprinter::Config::new().offsets_and_lines(&input.bytes, &mut printed).map_err(|error| {
                Problem::new(&input.name, format!("{error:#}")).help("the file is damaged or no module")
            })?;
        let (mut text, mut lines) = (String::new(), Vec::new());
        for (offset, line) in found {
            let start = text.len();
            text.push_str(line);
            if let Some(offset) = offset {
                lines.push((usize::try_from(offset).unwrap_or(usize::MAX), start..text.len()));
            }
        }
        Ok(Text { lines, text })
    }

    /// The lines of what lies in a range of the module's bytes.
    fn within(&self, range: &Range<usize>) -> Vec<(usize, String)> {
        let start = self.lines.partition_point(|(offset, _)| *offset < range.start);
        let lines = self.lines[start..].iter().take_while(|(offset, _)| *offset < range.end);
        lines.map(|(offset, place)| (*offset, self.text[place.clone()].trim_end().to_owned())).collect()
    }
}

/// The time of each function that was the innermost of a stack, out of the lines of a profile's folded stacks.
fn own_ticks(folded: &str) -> HashMap<String, u64> {
    let mut ticks = HashMap::new();
    for line in folded.lines() {
        let Some((stack, count)) = line.rsplit_once(' ') else { continue };
        let innermost = stack.rsplit(';').next().unwrap_or(stack);
        *ticks.entry(innermost.to_owned()).or_default() += count.parse().unwrap_or(0);
    }
    ticks
}

fn read(path: &OsStr) -> Result<String, Problem> {
    fs::read_to_string(path).map_err(|error| {
        Problem::new(path.to_string_lossy(), error)
            .help("name the .folded file that `inn --profile` has written")
    })
}

#[cfg(test)]
mod tests {
    use super::own_ticks;

    #[test]
    fn time_belongs_to_the_innermost_function() {
        let ticks = own_ticks("a;b 3\na;c d 4\nb 5\nnonsense\n");
        assert_eq!((ticks.len(), ticks["b"], ticks["c d"]), (2, 8, 4));
    }
}
