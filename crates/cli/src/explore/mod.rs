//! `inn explore`: what the compiler makes of a module's functions, as one page of HTML.

mod callees;
mod machine;
mod page;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt::Display;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;

use innkeeper::{Config, Engine, FunctionInfo, Module};

use callees::Callees;

use crate::args::ExploreArgs;
use crate::input::Input;
use crate::output::Output;
use crate::profile;
use crate::report::{self, Problem, visible};
use crate::writable::Writable;

/// A function as the page shows it.
struct Function {
    name: String,
    index: u32,
    /// Bytes of its body.
    wasm_bytes: usize,
    /// Samples of a profile in which it was the innermost.
    ticks: u64,
    /// Its instructions as text, each with its offset in the module.
    wasm: Vec<(usize, String)>,
    compiled: Result<Compiled, String>,
}

/// What the compiler makes of a function.
struct Compiled {
    /// The intermediate representation's lines, with the offset in the module where there is one.
    intermediate: Vec<(Option<usize>, String)>,
    machine: Vec<machine::Instruction>,
    machine_bytes: usize,
}

/// Writes the page.
pub(crate) fn explore(args: &ExploreArgs) -> Result<ExitCode, Problem> {
    args.work.watch()?;
    let path = args.to.clone().unwrap_or_else(|| PathBuf::from(&args.file).with_extension("html"));
    let output = Output::open(&path, &Writable::by_no_guest([&args.file].into_iter().chain(&args.profile)))?;
    let mut input = Input::read(&args.file)?;
    let text = Text::print(&input)?;
    let engine: Engine = innkeeper::engine(Config::default());
    let module = input.module(&engine)?;
    let ticks = match &args.profile {
        Some(path) => read(path)?,
        None => HashMap::new(),
    };
    let ticks_of =
        |info: &FunctionInfo<'_>| ticks.get(&profile::name(info.name, info.func)).copied().unwrap_or(0);
    let mut infos: Vec<FunctionInfo<'_>> = module.functions().collect();
    if let Some(path) = &args.profile
        && infos.iter().all(|info| ticks_of(info) == 0)
    {
        return Err(Problem::new(path.to_string_lossy(), "it names none of the module's functions")
            .help("name the .folded file of a run of this module")
            .mistake());
    }
    // Hot ones first, then large ones; those that are alike stay in the module's order.
    infos.sort_by_key(|info| std::cmp::Reverse((ticks_of(info), info.body.len())));
    let callees = Callees::of(&module);
    let shown = infos.iter().take(args.functions).map(|info| {
        let wasm = callees.named_in(text.within(&info.body));
        function(&module, info, ticks_of(info), (wasm, &callees))
    });
    let shown: Vec<Function> = shown.collect::<Option<_>>().ok_or_else(|| {
        Problem::new(&input.name, "there is no compiler for this processor, so there is nothing to show")
            .help("run inn on x86-64 Linux")
    })?;
    let html = page::page(&input.name, &shown, infos.len());
    output.write(|to| to.write_all(html.as_bytes()))?;
    let name = visible(&path.to_string_lossy());
    report::output(&format!("{name}: {} of {} functions\n", shown.len(), infos.len()))?;
    Ok(ExitCode::SUCCESS)
}

fn function(
    module: &Module,
    info: &FunctionInfo<'_>,
    ticks: u64,
    (wasm, callees): (Vec<(usize, String)>, &Callees),
) -> Option<Function> {
    let compiled = module.explain(info.func)?.map(|listing| {
        let callee = |offset| callees.called_at(&wasm, offset);
        let lines = listing.intermediate.lines().filter(|line| !is_declaration(line)).map(|line| {
            let offset = offset_of(line);
            let line = callees.with_inlined(line);
            match offset.and_then(callee).filter(|_| line.contains(" call") || line.contains("= call")) {
                Some(callee) => (offset, format!("{line}  ; {callee}")),
                None => (offset, line),
            }
        });
        Compiled {
            intermediate: lines.collect(),
            machine: machine::instructions(&listing, callee),
            machine_bytes: listing.code.len(),
        }
    });
    let (name, index) = (profile::name(info.name, info.func), info.func.0);
    Some(Function { name, index, wasm_bytes: info.body.len(), ticks, wasm, compiled })
}

/// Whether a line of the intermediate representation is one of the many before its code that say no more than types of calls and kinds of memory.
fn is_declaration(line: &str) -> bool {
    let line = line.trim_start();
    ["sig", "region"].iter().any(|name| {
        let rest = line.strip_prefix(name).map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
        rest.is_some_and(|rest| rest.starts_with(" = "))
    })
}

/// The offset in the module that a line of the intermediate representation begins with, as `@` and hexadecimal digits.
fn offset_of(line: &str) -> Option<usize> {
    let digits = line.trim_start().strip_prefix('@')?;
    let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
    usize::from_str_radix(&digits[..end], 16).ok()
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
/// Nothing where a line is none of those.
fn own_ticks(folded: &str) -> Option<HashMap<String, u64>> {
    let mut ticks: HashMap<String, u64> = HashMap::new();
    for line in folded.lines().filter(|line| !line.is_empty()) {
        let (stack, count) = line.rsplit_once(' ')?;
        let innermost = stack.rsplit(';').next().unwrap_or(stack);
        let total = ticks.entry(innermost.to_owned()).or_default();
        *total = total.saturating_add(count.parse().ok()?);
    }
    Some(ticks)
}

fn read(path: &OsStr) -> Result<HashMap<String, u64>, Problem> {
    const MEND: &str = "name the .folded file that `inn --profile` has written, beside the graph";
    let problem = |reason: &dyn Display| Problem::new(path.to_string_lossy(), reason).help(MEND);
    let text = fs::read_to_string(path).map_err(|error| problem(&error))?;
    let ticks = own_ticks(&text)
        .ok_or_else(|| problem(&"its lines are not stacks with a number behind each").mistake())?;
    if ticks.is_empty() { Err(problem(&"no stack is in it").mistake()) } else { Ok(ticks) }
}

#[cfg(test)]
mod tests {
    use super::{offset_of, own_ticks};

    #[test]
    fn lines_of_the_intermediate_representation_say_where_they_come_from() {
        assert_eq!(offset_of("    @004a    v3 = iadd v1, v2"), Some(0x4a));
        assert_eq!(offset_of("block1(v2: i32):"), None);
    }

    #[test]
    fn time_belongs_to_the_innermost_function() {
        let ticks = own_ticks("a;b 3\na;c d 4\nb 5\n\n").unwrap_or_default();
        assert_eq!((ticks.len(), ticks["b"], ticks["c d"]), (2, 8, 4));
        for text in ["nonsense", "a;b 3\n<svg/>", "a b c"] {
            assert_eq!(own_ticks(text), None, "{text}");
        }
    }
}
