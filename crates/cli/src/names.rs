//! Names of a module's functions, as profiles and pages have them.
//!
//! Must stay true: two functions of a module never have the same name here, whatever its name section says. What is counted by name in a profile would be one function's
//! and all others' at once.

use std::collections::HashMap;

use innkeeper::{FuncIndex, Module};

use crate::report::short;

/// Names of the functions that a module defines. One that several have is followed by the function's index, as in `drop [167]`.
pub(crate) struct Names(HashMap<u32, String>);

impl Names {
    pub(crate) fn of(module: &Module) -> Names {
        let names = module.functions().map(|info| (info.func, name(info.name, info.func)));
        Names::told_apart(names.collect())
    }

    fn told_apart(names: Vec<(FuncIndex, String)>) -> Names {
        let mut uses: HashMap<&str, usize> = HashMap::new();
        for (_, name) in &names {
            *uses.entry(name).or_default() += 1;
        }
        // A name that looks as if it were followed by an index could be another's with one.
        let is_clear = |name: &str| uses[name] == 1 && !(name.ends_with(']') && name.contains(" ["));
        let clear = names.iter().map(|(func, name)| match is_clear(name) {
            true => (func.0, name.clone()),
            false => (func.0, format!("{name} [{}]", func.0)),
        });
        Names(clear.collect())
    }

    /// The name of a function that the module defines; its index where it has none.
    pub(crate) fn name(&self, func: FuncIndex) -> String {
        self.0.get(&func.0).cloned().unwrap_or_else(|| name(None, func))
    }

    /// All names, by the functions' indices.
    pub(crate) fn by_index(&self) -> &HashMap<u32, String> {
        &self.0
    }
}

/// A function's name, demangled, without what separates names in a line of a profile.
pub(crate) fn name(name: Option<&str>, func: FuncIndex) -> String {
    let name = match name {
        Some(name) => short(&format!("{:#}", rustc_demangle::demangle(name))),
        None => format!("func[{}]", func.0),
    };
    name.replace(';', ":")
}

/// The name of a function that is imported.
pub(crate) fn import(module: &str, name: &str) -> String {
    format!("{}.{}", short(module), short(name)).replace(';', ":")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_functions_have_one_name() {
        let given = ["main", "drop", "drop", "drop [4]", "drop [1]", "x [y]"];
        let given = (0..).map(FuncIndex).zip(given.map(str::to_owned));
        let names = Names::told_apart(given.collect());
        let all: Vec<String> = (0..6).map(|index| names.name(FuncIndex(index))).collect();
        assert_eq!(all[..3], ["main", "drop [1]", "drop [2]"]);
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len(), "{all:?}");
        assert_eq!(names.name(FuncIndex(9)), "func[9]");
    }
}
