//! Names of functions that calls lead to.

use std::collections::HashMap;

use innkeeper::{ExternType, Module};

use crate::names::{self, Names};

/// The functions of a module by their indices, with names fit to show.
pub(super) struct Callees(HashMap<u32, String>);

impl Callees {
    pub(super) fn of(module: &Module, own: &Names) -> Callees {
        let imported = module.imports().filter(|import| matches!(import.ty, ExternType::Func(_)));
        let imported = imported.map(|import| names::import(import.module, import.name));
        let mut all: HashMap<u32, String> = (0..).zip(imported).collect();
        all.extend(own.by_index().iter().map(|(func, name)| (*func, name.clone())));
        Callees(all)
    }

    /// Whether there is a function of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.values().any(|known| known == name)
    }

    /// The lines of a function's text, with the callee's name behind each call.
    pub(super) fn named_in(&self, mut lines: Vec<(usize, String)>) -> Vec<(usize, String)> {
        for (_, line) in &mut lines {
            let index = callee_index(line).and_then(|index| index.parse().ok());
            if let Some(name) = index.and_then(|index: u32| self.0.get(&index)) {
                *line = format!("{line}  ;; {name}");
            }
        }
        lines
    }

    /// What is called at an offset, as the lines of a function's text have it.
    pub(super) fn called_at(&self, wasm: &[(usize, String)], offset: usize) -> Option<String> {
        let at = wasm.binary_search_by_key(&offset, |(offset, _)| *offset).ok()?;
        let line = wasm[at].1.trim_start();
        let called = callee_index(line)?;
        let name = line.split_once(";; ").map_or(called, |(_, name)| name);
        Some(name.trim_start_matches('$').to_owned())
    }

    /// A line of the intermediate representation, with a name where it says which function's body it is from.
    pub(super) fn with_inlined(&self, line: &str) -> String {
        let name = line.split_once("; of func[").and_then(|(before, after)| {
            let (index, rest) = after.split_once(']')?;
            Some(format!("{before}; of {}{rest}", self.0.get(&index.parse().ok()?)?))
        });
        name.unwrap_or_else(|| line.to_owned())
    }
}

/// The function that an instruction calls by its index or by its name in the text format.
fn callee_index(line: &str) -> Option<&str> {
    let mut words = line.trim_start().split(' ');
    let is_call = matches!(words.next()?, "call" | "return_call" | "ref.func");
    words.next().filter(|_| is_call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_the_names_of_what_they_lead_to() {
        let callees = Callees(HashMap::from([(3, String::from("a::b"))]));
        let lines = vec![
            (8, String::from("  call 3")),
            (10, String::from("  i32.const 3")),
            (12, String::from("  call $own")),
        ];
        let lines = callees.named_in(lines);
        assert_eq!(lines[0].1, "  call 3  ;; a::b");
        assert_eq!(callees.called_at(&lines, 8).as_deref(), Some("a::b"));
        assert_eq!(callees.called_at(&lines, 12).as_deref(), Some("own"));
        assert_eq!(callees.called_at(&lines, 10), None);
        assert_eq!(callees.with_inlined("x  ; of func[3], @0001"), "x  ; of a::b, @0001");
        assert_eq!(callees.with_inlined("x  ; of func[4], @0001"), "x  ; of func[4], @0001");
    }
}
