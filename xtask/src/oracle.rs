//! Compares calls of components with what the component model's own definitions make of them: random types, random values, what memory holds afterwards.
//!
//! The definitions are a Python program in the component model's repository, of which a checkout is needed (`design/mvp/canonical-abi/definitions.py`), and Python 3.10 or
//! newer; `oracle/pairs.py` makes scripts with it, which `inn wast` runs. Batches take turns in how they are executed: by interpreter or compiled code, with generated
//! calls between components or walked ones. A batch that fails is kept, with the command that shows it again.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{done, target_folder};

const USAGE: &str = "usage: cargo xtask oracle COMPONENT-MODEL [--pairs COUNT] [--seed SEED] [--inn FILE]

  COMPONENT-MODEL  a checkout of the component model's repository
  --pairs COUNT    values, each of which is handed over in four ways; 10,000 if nothing is said
  --seed SEED      where to begin; the number of a batch is added to it
  --inn FILE       which `inn` is tried; if nothing is said, one is built";

/// A batch has so many types, and so many values of each.
const TYPES: u64 = 40;
const VALUES: u64 = 25;

/// How batches are executed.
const WAYS: &[[&str; 4]] = &[
    ["--tier", "interpreter", "--adapters", "generated"],
    ["--tier", "compiled", "--adapters", "generated"],
    ["--tier", "auto", "--adapters", "walked"],
    ["--tier", "auto", "--adapters", "generated"],
];

struct Options {
    definitions: PathBuf,
    pairs: u64,
    seed: u64,
    inn: Option<PathBuf>,
}

pub(crate) fn run(root: &Path, arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let options = Options::read(arguments)?;
    let inn = match options.inn {
        Some(inn) => inn,
        None => {
            done(
                Command::new("cargo")
                    .args(["build", "--quiet", "--locked", "-p", "innkeeper-cli"])
                    .current_dir(root),
            )?;
            target_folder()?.join("debug/inn")
        }
    };
    let folder = tempfile::tempdir().map_err(|error| format!("cannot make a folder: {error}"))?;
    let script = folder.path().join("pairs.wast");
    let (mut failed, batches) = (0, options.pairs.div_ceil(TYPES * VALUES));
    for batch in 0..batches {
        let seed = options.seed + batch;
        write_script(root, &options.definitions, seed, &script)?;
        let way = &WAYS[(seed % WAYS.len() as u64) as usize];
        let told = Command::new(&inn).arg("wast").args(way).arg(&script).output();
        let told = told.map_err(|error| format!("cannot run {}: {error}", inn.display()))?;
        if !told.status.success() {
            let kept = std::env::temp_dir().join(format!("inn-oracle-{seed}.wast"));
            std::fs::copy(&script, &kept)
                .map_err(|error| format!("cannot write {}: {error}", kept.display()))?;
            let text = String::from_utf8_lossy(&told.stdout);
            let first: Vec<&str> = text.lines().take(3).collect();
            println!("{}\nseed {seed}: inn wast {} {}", first.join("\n"), way.join(" "), kept.display());
            failed += 1;
        }
    }
    println!("{} pairs, {failed} of {batches} batches failed", batches * TYPES * VALUES);
    if failed == 0 {
        Ok(())
    } else {
        Err("what the definitions make of values and what `inn` does differs".to_owned())
    }
}

/// Writes a batch's script.
fn write_script(root: &Path, definitions: &Path, seed: u64, script: &Path) -> Result<(), String> {
    let file = std::fs::File::create(script)
        .map_err(|error| format!("cannot write {}: {error}", script.display()))?;
    let mut python = Command::new("python3");
    python.arg(root.join("xtask/src/oracle/pairs.py"));
    python.args([seed, TYPES, VALUES].map(|number| number.to_string()));
    python.env("PYTHONPATH", definitions).env("PYTHONDONTWRITEBYTECODE", "1");
    done(python.stdout(Stdio::from(file)))
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
        let mut checkout = None;
        let mut options = Options { definitions: PathBuf::new(), pairs: 10_000, seed: 0, inn: None };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{argument} wants a value\n{USAGE}"));
            let number = |text: String| text.parse().map_err(|_| format!("{text} is no number\n{USAGE}"));
            match argument.as_str() {
                "--pairs" => options.pairs = number(value()?)?,
                "--seed" => options.seed = number(value()?)?,
                "--inn" => options.inn = Some(value()?.into()),
                _ if checkout.is_none() && !argument.starts_with('-') => checkout = Some(argument),
                _ => return Err(format!("what {argument} means is not known\n{USAGE}")),
            }
        }
        let checkout = checkout.ok_or(USAGE)?;
        options.definitions = Path::new(&checkout).join("design/mvp/canonical-abi");
        let file = options.definitions.join("definitions.py");
        if !file.is_file() {
            return Err(format!(
                "there is no {}: clone https://github.com/WebAssembly/component-model",
                file.display()
            ));
        }
        Ok(options)
    }
}
