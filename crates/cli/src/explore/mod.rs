//! `inn explore`: what the compiler makes of the functions of a module, or of all modules of a component, as one page of HTML.

mod callees;
mod choice;
mod intermediate;
mod machine;
mod packed;
mod page;
mod samples;
mod text;

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueHint};
use innkeeper::{Engine, FunctionInfo, Module};

use callees::Callees;
use samples::Samples;
use text::Text;

use crate::cache;
use crate::input::{Code, Input};
use crate::output::{Document, written_to};
use crate::profile::ModuleHash;
use crate::program_names::ProgramNames;
use crate::report::Problem;
use crate::values::parse_positive;
use crate::work::WorkFlags;
use crate::writable::Writable;

/// A page of more bytes is not opened everywhere, nor sent as a mail.
const LARGE_PAGE_BYTES: usize = 10 << 20;

#[derive(Debug, Args)]
pub(crate) struct ExploreArgs {
    /// The module or component, .wasm or .wat, or - for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: OsString,

    /// Show what was hot first, by the .folded file of a run with --profile
    #[arg(long, value_name = "FILE.folded", value_hint = ValueHint::FilePath)]
    pub(crate) profile: Option<OsString>,

    /// Show so many functions: the hottest, or else the largest (100; of a profile, those of them that took time)
    #[arg(long, value_name = "COUNT", value_parser = parse_positive)]
    pub(crate) functions: Option<NonZeroUsize>,

    /// Show the function of this name or index, or else those whose names have it in them; repeatable
    #[arg(long, value_name = "NAME")]
    pub(crate) function: Vec<String>,

    /// Where the page goes, instead of beside FILE, or - for standard output
    #[arg(long, short = 'o', alias = "output", value_name = "FILE.html", value_hint = ValueHint::FilePath)]
    pub(crate) to: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) work: WorkFlags,
}

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
    let path = match &args.to {
        Some(path) => path.clone(),
        None if args.file == "-" => {
            return Err(Problem::new("standard input", "has no name to make the page's from")
                .help("name the page, -o NAME.html, or - for standard output"));
        }
        None => PathBuf::from(&args.file).with_extension("html"),
    };
    let output =
        Document::open(&path, &Writable::by_no_guest([&args.file].into_iter().chain(&args.profile)))?;
    let mut input = Input::read(&args.file)?;
    let engine: Engine = innkeeper::engine(args.work.config());
    // Before the module takes the bytes.
    let hash = ModuleHash::of(&input.bytes);
    let program = match input.code(&engine)? {
        Code::Module(module) => ProgramNames::of_module(&module),
        Code::Component(component) => {
            ProgramNames::of_components([(&component, None)]).map_err(|error| input.problem(&error))?
        }
    };
    let callees: Vec<Callees> = program.0.iter().map(|part| Callees::of(&part.module, &part.names)).collect();
    let samples = args.profile.as_deref().map(Samples::read).transpose()?;
    if let (Some(samples), Some(path)) = (&samples, &args.profile) {
        let is_known = |name: &str| {
            let mut parts = program.0.iter().zip(&callees);
            parts.any(|(part, callees)| {
                [part.within(name), Some(name)].into_iter().flatten().any(|name| callees.has(name))
            })
        };
        choice::check_samples(samples, path, (hash, &is_known), &input.name)?;
    }
    let chosen = choice::choose(&program, samples.as_ref(), args, &input.name)?;
    let head = page::Head {
        module: &input.name,
        total: program.count(),
        ticks: samples.as_ref().map_or(0, |samples| samples.total),
    };
    let mut page = page::Page::new(head);
    let mut texts: Vec<Option<Text>> = program.0.iter().map(|_| None).collect();
    for (part, info) in &chosen {
        // Every part is one of the program's.
        let at = program.0.iter().position(|own| std::ptr::eq(own, *part)).unwrap_or_default();
        let text = match &mut texts[at] {
            Some(text) => text,
            text => text.insert(Text::print(&input.name, part.module.bytes())?),
        };
        let wasm = callees[at].named_in(text.within(&info.body));
        let name = part.name(info.func);
        let ticks = samples.as_ref().map_or(0, |samples| samples.of(&name));
        let function =
            function(&part.module, info, (name, ticks), (wasm, &callees[at])).ok_or_else(|| {
                Problem::new(
                    &input.name,
                    "there is no compiler for this processor, so there is nothing to show",
                )
                .help("run inn on x86-64 Linux")
            })?;
        page.push(&function);
    }
    let html = page.finish();
    output.write(html.as_bytes(), &closing_line(&path, chosen.len(), program.count(), html.len()))?;
    Ok(ExitCode::SUCCESS)
}

/// What was written, how large it is, and what makes it smaller where somebody may want that.
fn closing_line(path: &std::path::Path, shown: usize, total: usize, bytes: usize) -> String {
    let (name, size) = (written_to(path), cache::size(bytes as u64));
    let smaller = match shown {
        2.. if bytes > LARGE_PAGE_BYTES => {
            format!("; --functions {} makes it smaller", (shown / 5).max(1))
        }
        _ => String::new(),
    };
    format!("{name}: {shown} of {total} functions, {size}{smaller}\n")
}

fn function(
    module: &Module,
    info: &FunctionInfo<'_>,
    (name, ticks): (String, u64),
    (wasm, callees): (Vec<(usize, String)>, &Callees),
) -> Option<Function> {
    let compiled = module.explain(info.func)?.map(|listing| {
        let callee = |offset| callees.called_at(&wasm, offset);
        Compiled {
            intermediate: intermediate::lines(&listing.intermediate, callees, callee),
            machine: machine::instructions(&listing, callee),
            machine_bytes: listing.code.len(),
        }
    });
    Some(Function { name, index: info.func.0, wasm_bytes: info.body.len(), ticks, wasm, compiled })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_has_the_size_and_what_makes_it_smaller() {
        let line = |shown, bytes| closing_line(std::path::Path::new("a.html"), shown, 300, bytes);
        assert_eq!(line(100, 2 << 20), "a.html: 100 of 300 functions, 2.0 MiB\n");
        let large = "a.html: 100 of 300 functions, 83.0 MiB; --functions 20 makes it smaller\n";
        assert_eq!(line(100, 83 << 20), large);
        assert_eq!(line(1, 83 << 20), "a.html: 1 of 300 functions, 83.0 MiB\n");
    }
}
