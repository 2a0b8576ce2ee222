//! Whether a version of WASI is bound as a whole, and with the types that it has.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::surface::{Function, functions};

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

/// Checks that each function can be linked with the type that is imported, or is named among the gaps, and that no gap is stale.
pub(crate) fn check_bound<E: std::fmt::Display>(
    (imports, gaps): (&str, &str),
    functions: &[Function],
    link: impl Fn(&str) -> Result<(), E>,
) {
    let known: BTreeSet<&str> = gaps.lines().filter(|line| !line.starts_with('#')).collect();
    let mut found = BTreeSet::new();
    for function in functions {
        let told = format!("{} {}", function.interface, function.name);
        match link(&using(imports, [function])) {
            Ok(()) => {}
            Err(error) if known.contains(&*told) => {
                assert!(error.to_string().contains("nobody provides"), "{told}: {error}");
                found.insert(told);
            }
            Err(error) => panic!("{told}: {error}"),
        }
    }
    let stale: Vec<&&str> = known.iter().filter(|known| !found.contains(**known)).collect();
    assert!(stale.is_empty(), "these are bound by now, or there are none such: {stale:?}");
}
