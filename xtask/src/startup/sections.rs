//! The linker's input sections, as its map tells: where each function of the source came to lie.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A piece of code that the linker puts somewhere as a whole.
#[derive(Debug, PartialEq)]
pub(super) struct Section {
    /// `.text.` and a function's name, or `.text` where the file was not compiled so.
    pub(super) name: String,
    /// The file that it is from, as the linker names it: `path/libc.a(malloc.o)`.
    pub(super) file: String,
    pub(super) size_bytes: u64,
}

/// Sections of code by address.
pub(super) struct Sections(BTreeMap<u64, Section>);

impl Sections {
    /// Reads the map that the linker of Rust's own distribution (LLD) writes with `-Map`.
    ///
    /// # Errors
    ///
    /// Where there is none, or one in another format.
    pub(super) fn read(path: &Path) -> Result<Sections, String> {
        let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let all: BTreeMap<_, _> = text.lines().filter_map(section).collect();
        if all.is_empty() {
            return Err(format!("{}: no map as LLD writes it; which linker is this?", path.display()));
        }
        Ok(Sections(all))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Section)> {
        self.0.iter().map(|(&address, section)| (address, section))
    }

    /// Where the section begins that `address` is in.
    pub(super) fn start_of(&self, address: u64) -> Option<u64> {
        let (&start, section) = self.0.range(..=address).next_back()?;
        (address - start < section.size_bytes).then_some(start)
    }
}

/// Where in a line of the map the columns end that are numbers.
const NUMBERS_END: usize = 49;

/// A line such as `address address size alignment         file:(section)`, the second of three depths of indentation.
fn section(line: &str) -> Option<(u64, Section)> {
    let (numbers, what) = line.split_at_checked(NUMBERS_END)?;
    let what = what.strip_prefix("        ").filter(|what| !what.starts_with(' '))?;
    let (file, name) = what.strip_suffix(')')?.rsplit_once(":(")?;
    let mut numbers = numbers.split_whitespace().map(|number| u64::from_str_radix(number, 16));
    let address = numbers.next()?.ok()?;
    let size_bytes = numbers.nth(1)?.ok().filter(|&size| size > 0)?;
    let is_code = name == ".text" || name.starts_with(".text.");
    is_code.then(|| (address, Section { name: name.to_owned(), file: file.to_owned(), size_bytes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_map() {
        let of = |what| format!("          35ab19           35ab19      771     1 {what}");
        let (address, found) = section(&of("        /a/libc.a(malloc.o):(.text)")).unwrap();
        assert_eq!(address, 0x35_ab19);
        assert_eq!(
            found,
            Section { name: ".text".to_owned(), file: "/a/libc.a(malloc.o)".to_owned(), size_bytes: 0x771 }
        );
        for other in
            [".text", "        /a/b.o:(.rodata)", "                main", "        <internal>:(.text"]
        {
            assert_eq!(section(&of(other)), None, "{other}");
        }
        assert_eq!(section("             VMA              LMA     Size Align Out     In      Symbol"), None);
    }
}
