//! DWARF that stands for much more than it takes: such a module has no sources, and nothing else is different.

use innkeeper::{Module, Store};

use super::engines;

fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 0x7f {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn section(id: u8, contents: &[u8]) -> Vec<u8> {
    [&[id][..], &leb(contents.len()), contents].concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// A module whose only function traps at offset 2 of the code section, with these custom sections.
fn module(customs: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = b"\0asm\x01\0\0\0".to_vec();
    bytes.extend(section(1, b"\x01\x60\0\0"));
    bytes.extend(section(3, b"\x01\0"));
    bytes.extend(section(7, b"\x01\x03run\0\0"));
    bytes.extend(section(10, b"\x01\x03\0\0\x0b"));
    for (name, contents) in customs {
        bytes.extend(section(0, &[&leb(name.len()), name.as_bytes(), contents].concat()));
    }
    bytes
}

/// An abbreviation: its number, what it stands for, whether entries lie in it, and names and forms of attributes.
fn abbreviation(number: u8, tag: u8, has_children: bool, attributes: &[(u8, u8)]) -> Vec<u8> {
    let mut bytes = vec![number, tag, has_children.into()];
    bytes.extend(attributes.iter().flat_map(|(name, form)| [*name, *form]));
    [&bytes[..], &[0, 0]].concat()
}

/// A unit of DWARF 4.
fn unit(entries: &[u8]) -> Vec<u8> {
    let body = [&4_u16.to_le_bytes()[..], &[0; 4], &[4], entries].concat();
    [&words(&[body.len() as u32])[..], &body].concat()
}

const UNIT: u8 = 0x11;
const FUNCTION: u8 = 0x2e;
const INLINED: u8 = 0x1d;
/// Attributes with their forms: where code begins and ends, lists of ranges, programs of lines, the directory.
const CODE: [(u8, u8); 2] = [(0x11, 0x01), (0x12, 0x06)];
const RANGES: (u8, u8) = (0x55, 0x17);
const LINES: (u8, u8) = (0x10, 0x17);
const DIRECTORY: (u8, u8) = (0x1b, 0x08);
const EVERYWHERE: [u32; 2] = [1, 0xffff];

/// Functions that were inlined into each other.
fn nested(count: usize) -> Vec<u8> {
    let abbreviations = [
        abbreviation(1, UNIT, true, &CODE),
        abbreviation(2, FUNCTION, true, &CODE),
        abbreviation(3, INLINED, true, &[]),
    ];
    let place = words(&EVERYWHERE);
    let entries = [&[1][..], &place, &[2], &place, &vec![3; count], &vec![0; count + 2]].concat();
    module(&[
        (".debug_abbrev", [&abbreviations.concat()[..], &[0]].concat()),
        (".debug_info", unit(&entries)),
    ])
}

fn ranges(count: usize) -> Vec<u8> {
    let all: Vec<u32> = (0..count as u32).flat_map(|number| [1 + number % 3, 0xffff + number]).collect();
    [words(&all), vec![0; 8]].concat()
}

/// Units with the same ranges: as many as each has ranges.
fn units_with_ranges(count: usize) -> Vec<u8> {
    let abbreviations =
        [abbreviation(1, UNIT, true, &[RANGES]), abbreviation(2, FUNCTION, false, &CODE), vec![0]].concat();
    let info = unit(&[&[1][..], &[0; 4], &[2], &words(&EVERYWHERE), &[0]].concat()).repeat(count);
    module(&[(".debug_abbrev", abbreviations), (".debug_info", info), (".debug_ranges", ranges(count))])
}

/// Functions with the same ranges.
fn functions_with_ranges(count: usize) -> Vec<u8> {
    let abbreviations =
        [abbreviation(1, UNIT, true, &CODE), abbreviation(2, FUNCTION, false, &[RANGES]), vec![0]].concat();
    let functions = [&[2][..], &[0; 4]].concat().repeat(count);
    let info = unit(&[&[1][..], &words(&EVERYWHERE), &functions, &[0]].concat());
    module(&[(".debug_abbrev", abbreviations), (".debug_info", info), (".debug_ranges", ranges(count))])
}

/// A program of so many lines and files.
fn lines(count: usize, files: usize) -> Vec<u8> {
    let program = [&[0, 5, 2][..], &words(&[1]), &[1], &vec![0x13; count], &[0, 1, 1]].concat();
    let names = b"a.c\0\0\0\0".repeat(files);
    let header = [&[1, 1, 1, 0, 1, 10, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0][..], &names, &[0]].concat();
    let body = [&4_u16.to_le_bytes()[..], &words(&[header.len() as u32]), &header, &program].concat();
    [&words(&[body.len() as u32])[..], &body].concat()
}

/// Units with the same lines.
fn units_with_lines(count: usize) -> Vec<u8> {
    let abbreviations = [&abbreviation(1, UNIT, false, &[CODE[0], CODE[1], LINES])[..], &[0]].concat();
    let info = unit(&[&[1][..], &words(&EVERYWHERE), &[0; 4]].concat()).repeat(count);
    module(&[(".debug_abbrev", abbreviations), (".debug_info", info), (".debug_line", lines(count, 1))])
}

/// Files in a directory with a name of as many bytes.
fn files_in_a_long_directory(count: usize) -> Vec<u8> {
    let attributes = [CODE[0], CODE[1], LINES, DIRECTORY];
    let abbreviations = [&abbreviation(1, UNIT, false, &attributes)[..], &[0]].concat();
    let info = unit(&[&[1][..], &words(&EVERYWHERE), &[0; 4], &vec![b'd'; count], &[0]].concat());
    module(&[(".debug_abbrev", abbreviations), (".debug_info", info), (".debug_line", lines(1, count))])
}

/// What there is much of, and a module that has so many.
type Kind = (&'static str, fn(usize) -> Vec<u8>);

const KINDS: [Kind; 5] = [
    ("inlined functions in each other", nested),
    ("units with the same ranges", units_with_ranges),
    ("functions with the same ranges", functions_with_ranges),
    ("units with the same lines", units_with_lines),
    ("files in a long directory", files_in_a_long_directory),
];

#[test]
fn what_stands_for_more_than_it_takes_is_not_read() {
    let look = |bytes: Vec<u8>| {
        let [engine, _] = engines();
        let mut store = Store::new(&engine, ()).unwrap();
        let module = Module::new(&engine, bytes).unwrap();
        let instance = innkeeper::Instance::new(&mut store, &module, &[]).unwrap();
        let run = instance.get_typed_func::<(), ()>(&store, "run").unwrap();
        let error = run.call(&mut store, ()).unwrap_err();
        error.backtrace().sources().iter().flatten().count()
    };
    for (kind, of) in KINDS {
        // What recurses would need more of a stack.
        let counted = std::thread::Builder::new()
            .stack_size(256 << 10)
            .spawn(move || [20, 10_000].map(|count| look(of(count))))
            .unwrap();
        let [few, many] = counted.join().unwrap();
        assert!(few > 0, "{kind}: a few are read");
        assert_eq!(many, 0, "{kind}: very many are not");
    }
}
