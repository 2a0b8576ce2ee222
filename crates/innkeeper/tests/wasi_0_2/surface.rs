//! What a version of WASI has for programs: functions with their types, from a text of what a component imports.

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
        if line.trim_start().starts_with("(export") && line.contains("(func ") {
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
