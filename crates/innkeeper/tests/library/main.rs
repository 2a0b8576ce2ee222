//! What users of other hosts' libraries rely on, by name: one file a theme.

mod arguments;
mod errors;
mod exceptions;
mod foreign;
mod host_backtraces;
mod host_calls;
mod hostile_sources;
mod items;
mod linking;
mod references;
mod roots;
mod serialized;
mod serialized_components;
mod shared;
mod sources;
mod stopping;
mod threads;
mod wasi;

use innkeeper::{Config, Engine, Instance, Linker, Module, Store, Tiers};

/// An engine of each kind: interpreted, and compiled.
fn engines() -> [Engine; 2] {
    [Tiers::Interpreter, Tiers::Compiled].map(|tiers| innkeeper::engine_with(Config::default(), tiers))
}

fn module(engine: &Engine, text: &str) -> Module {
    Module::new(engine, text).unwrap()
}

/// A module without imports, in a store of its own.
fn instance(engine: &Engine, text: &str) -> (Store<()>, Instance) {
    let mut store = Store::new(engine, ()).unwrap();
    let instance = Linker::new(engine).instantiate(&mut store, &module(engine, text)).unwrap();
    (store, instance)
}

/// Names of this program's tests, from its own source.
fn names_of_tests() -> Vec<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/library");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let themes = files.filter(|file| file.extension().is_some_and(|ending| ending == "rs"));
    let text: String = themes
        .filter(|file| !file.ends_with("main.rs"))
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect();
    let begins = text.split("#[test]\n").skip(1);
    let functions = begins.filter_map(|rest| rest.split_once("fn "));
    functions.filter_map(|(_, rest)| rest.split_once('(')).map(|(name, _)| name.to_owned()).collect()
}

#[test]
fn every_behaviour_is_listed_by_name() {
    let guide = include_str!("../../../../docs/checks.md");
    let (_, list) = guide.split_once("## What programs that embed the library rely on").unwrap();
    let mut listed: Vec<_> =
        list.split('`').filter(|word| word.contains('_') && !word.contains('/')).collect();
    let mut found = names_of_tests();
    listed.sort_unstable();
    found.sort_unstable();
    assert_eq!(listed, found);
    assert!(found.len() >= 40);
}
