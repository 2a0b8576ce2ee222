//! The linker script: sections of functions, in an order.
//!
//! Every function is in a section with its name. The name of an instance ends in a hash, which another version of the Rust compiler or
//! of a dependency changes; where nearly all instances of a name are entered, the script has all of them, whatever their hash is.

use std::collections::{BTreeMap, BTreeSet};

use super::sections::{Section, Sections};

const HEADER: &str = "\
/* Made by `cargo xtask startup`: which functions a start of `inn` enters, so that they are linked next to each other and less of
   the file is mapped. Names that no longer exist do no harm. Renew it when `cargo xtask startup --check` says so. */
SECTIONS
{
  .text.startup_first :
  {
";
const FOOTER: &str = "  }\n}\nINSERT BEFORE .text;\n";

/// Which part of a name's bytes must be entered for all of its instances to be listed, in percent.
const DENSE_PERCENT: u64 = 75;

/// Writes the script for functions by address, in groups; a section is where it is found first.
pub(super) fn write(sections: &Sections, groups: &[BTreeSet<u64>]) -> String {
    let mut all_bytes: BTreeMap<String, u64> = BTreeMap::new();
    for (_, section) in sections.iter() {
        *all_bytes.entry(any_hash(&section.name)).or_default() += section.size_bytes;
    }
    let mut lines = Vec::new();
    let mut listed = BTreeSet::new();
    for group in groups {
        let starts: BTreeSet<u64> = group.iter().filter_map(|&address| sections.start_of(address)).collect();
        let entered: Vec<&Section> =
            sections.iter().filter(|(start, _)| starts.contains(start)).map(|(_, section)| section).collect();
        let mut entered_bytes: BTreeMap<String, u64> = BTreeMap::new();
        for section in &entered {
            *entered_bytes.entry(any_hash(&section.name)).or_default() += section.size_bytes;
        }
        let patterns: BTreeSet<String> = entered
            .iter()
            .filter_map(|section| {
                pattern(section, |name| entered_bytes[name] * 100 >= all_bytes[name] * DENSE_PERCENT)
            })
            .collect();
        lines.extend(patterns.into_iter().filter(|pattern| listed.insert(pattern.clone())));
    }
    format!("{HEADER}    {}\n{FOOTER}", lines.join("\n    "))
}

/// What the script says for a section of which something is entered, if it can be told from others; `is_dense` asks for all hashes.
fn pattern(section: &Section, is_dense: impl Fn(&str) -> bool) -> Option<String> {
    // Functions of C are together in a file's sections, whose names many have.
    let member = section.file.strip_suffix(')').and_then(|file| file.rsplit_once('('));
    if let Some((archive, member)) = member {
        let archive = archive.rsplit('/').next().unwrap_or(archive);
        if archive.ends_with(".a") {
            return Some(format!("*{archive}:{member}(.text .text.*)"));
        }
    }
    let name = any_hash(&section.name);
    let is_a_functions = section.name.starts_with(".text.");
    is_a_functions.then(|| format!("*({})", if is_dense(&name) { name } else { this_hash(&section.name) }))
}

/// The name with any hash: `…17h0123456789abcdefE` ends in `17h*`; in the newer form crates have one, `…Cs1a2B_4core…`.
fn any_hash(name: &str) -> String {
    if let Some(at) = hash(name) {
        return format!("{}*", &name[..at]);
    }
    let Some((first, rest)) = name.split_once("._R") else { return name.to_owned() };
    let mut pattern = format!("{first}._R");
    for (number, part) in rest.split(CRATE).enumerate() {
        let digits = part.find(|digit: char| !digit.is_ascii_alphanumeric());
        match digits {
            Some(end) if number > 0 && part[end..].starts_with('_') => {
                pattern.push_str(CRATE);
                pattern.push('*');
                pattern.push_str(&part[end..]);
            }
            _ if number > 0 => pattern.extend([CRATE, part]),
            _ => pattern.push_str(part),
        }
    }
    pattern
}

/// What stands before the hash of a crate, in names of the form that begins with `_R`.
const CRATE: &str = "Cs";

/// The name up to its hash's end: the optimizer may append a number of its own.
fn this_hash(name: &str) -> String {
    match hash(name) {
        Some(at) if name.len() > at + HASH_LENGTH => format!("{}*", &name[..at + HASH_LENGTH]),
        _ => name.to_owned(),
    }
}

/// `0123456789abcdefE`
const HASH_LENGTH: usize = 17;

/// Where the hash of a name begins, behind `17h`.
fn hash(name: &str) -> Option<usize> {
    let at = name.rfind("17h")? + "17h".len();
    let (digits, end) = name.get(at..at + HASH_LENGTH)?.split_at(HASH_LENGTH - 1);
    (end == "E" && digits.bytes().all(|digit| digit.is_ascii_hexdigit())).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes() {
        let name = ".text._ZN4core3ptr13drop_in_place17h0123456789abcdefE";
        assert_eq!(any_hash(name), ".text._ZN4core3ptr13drop_in_place17h*");
        assert_eq!(this_hash(name), name);
        let numbered = format!("{name}.llvm.123");
        assert_eq!(any_hash(&numbered), any_hash(name));
        assert_eq!(this_hash(&numbered), format!("{name}*"));
        for plain in ["memcpy", "", "a17h", "17hello_there_everyE", "_ZN1a17h0123456789abcdef"] {
            assert_eq!(any_hash(plain), plain);
            assert_eq!(this_hash(plain), plain);
        }
    }

    #[test]
    fn hashes_of_crates() {
        let name = ".text._RNvNtCsgEmfK2I1SDS_4core3numINvB2_CsA_3std";
        assert_eq!(any_hash(name), ".text._RNvNtCs*_4core3numINvB2_Cs*_3std");
        assert_eq!(this_hash(name), name);
        assert_eq!(any_hash(".text._RNv3Css4Cs.b"), ".text._RNv3Css4Cs.b");
    }

    #[test]
    fn sections_and_members_of_archives() {
        let of = |file: &str, name: &str| {
            let section = Section { name: name.to_owned(), file: file.to_owned(), size_bytes: 1 };
            pattern(&section, |_| true)
        };
        assert_eq!(of("/lib/libc.a(malloc.o)", ".text").as_deref(), Some("*libc.a:malloc.o(.text .text.*)"));
        assert_eq!(of("/lib/libstd.rlib(std.o)", ".text.main").as_deref(), Some("*(.text.main)"));
        // That would be everybody's.
        assert_eq!(of("/lib/crt1.o", ".text"), None);
    }
}
