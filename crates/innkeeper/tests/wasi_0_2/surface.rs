//! What a version of WASI has for programs: functions with their types, from a text of what a component imports.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// A function of an interface, which is the imported instance of a number.
pub(crate) struct Function {
    pub(crate) instance: usize,
    pub(crate) interface: &'static str,
    pub(crate) name: &'static str,
}

/// All functions, in order.
pub(crate) fn functions(imports: &'static str) -> Vec<Function> {
    let quoted = |line: &'static str| line.split('"').nth(1).unwrap();
    let (mut functions, mut names, mut instance) = (Vec::new(), Vec::new(), 0);
    for line in imports.lines() {
        if line.trim_start().starts_with("(export") && line.contains("(func (type") {
            names.push(quoted(line));
        }
        if line.starts_with("  (import ") {
            let interface = quoted(line);
            functions.extend(names.drain(..).map(|name| Function { instance, interface, name }));
            instance += 1;
        }
    }
    functions
}

/// Those that are not named among the gaps.
pub(crate) fn without(imports: &'static str, gaps: &str) -> Vec<Function> {
    let gaps: BTreeSet<&str> = gaps.lines().collect();
    let is_bound =
        |function: &Function| !gaps.contains(&*format!("{} {}", function.interface, function.name));
    functions(imports).into_iter().filter(is_bound).collect()
}

/// A component that imports everything, and uses these functions.
pub(crate) fn using<'a>(imports: &str, functions: impl IntoIterator<Item = &'a Function>) -> String {
    let mut text = imports.trim_end().strip_suffix(')').unwrap().to_owned();
    text += r#"(core module $m (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (unreachable)))
        (core instance $m (instantiate $m))"#;
    for Function { instance, name, .. } in functions {
        let options = r#"(memory (core memory $m "memory")) (realloc (core func $m "realloc"))"#;
        write!(text, "(core func (canon lower (func {instance} {name:?}) {options}))").unwrap();
    }
    text + ")"
}
