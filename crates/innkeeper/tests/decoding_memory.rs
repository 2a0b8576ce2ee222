//! Decoding a module takes no more memory than is charged before, whatever the module consists of: a module whose decoding takes more than the limit is refused, and what
//! stays is told.
//!
//! One test at a time, because all that the process allocates is counted.

mod counting_allocator;

use std::sync::{Mutex, PoisonError};

use counting_allocator::{in_use, peak_of};
use innkeeper::{Budget, Config, Engine, ErrorKind, Module, Tiers};

/// A way to make modules: by its name, what makes one of about so many bytes.
type Shape = (&'static str, fn(usize) -> Vec<u8>);

const TYPE: &[u8] = b"\x01\x04\x01\x60\0\0";

/// As few bytes as possible for as much as possible.
const SHAPES: &[Shape] = &[
    ("functions' types in one group", |n| {
        section(1, &[&[1, 0x4e], &*vector(n / 3, |_| b"\x60\0\0".to_vec())].concat())
    }),
    ("the same type again and again", |n| section(1, &vector(n / 3, |_| b"\x60\0\0".to_vec()))),
    ("structures, each another", |n| section(1, &vector(n / 42, structure))),
    ("groups of one, each another", |n| {
        section(1, &vector(n / 44, |i| [&[0x4e, 1], &*structure(i)].concat()))
    }),
    ("empty groups", |n| section(1, &vector(n / 2, |_| b"\x4e\0".to_vec()))),
    ("fields", |n| {
        let fields = [b"\x5f".as_slice(), &vector(10_000, |_| b"\x7f\0".to_vec())].concat();
        section(1, &[&[1, 0x4e], &*vector(n / 20_000, |_| fields.clone())].concat())
    }),
    ("fields that refer to the group", |n| {
        let fields = [b"\x5f".as_slice(), &vector(10_000, |_| b"\x63\0\0".to_vec())].concat();
        section(1, &[&[1, 0x4e], &*vector(n / 30_000, |_| fields.clone())].concat())
    }),
    ("parameters", |n| {
        let func = [b"\x60".as_slice(), &vector(1000, |_| vec![0x7f]), &[0]].concat();
        section(1, &[&[1, 0x4e], &*vector(n / 1000, |_| func.clone())].concat())
    }),
    ("results", |n| {
        let func = [b"\x60\0".as_slice(), &vector(1000, |_| vec![0x7f])].concat();
        section(1, &vector(n / 1000, |i| [&[0x4e, 2], &*func, &structure(i)].concat()))
    }),
    ("arrays", |n| section(1, &[&[1, 0x4e], &*vector(n / 3, |_| b"\x5e\x7f\0".to_vec())].concat())),
    ("subtypes", |n| {
        let open = |i: usize| match i % 60 {
            0 => b"\x50\0\x5f\0".to_vec(),
            _ => [b"\x50\x01".as_slice(), &number(i - 1), b"\x5f\0"].concat(),
        };
        section(1, &[&[1, 0x4e], &*vector(n / 6, open)].concat())
    }),
    ("elements that are expressions", |n| {
        section(9, &[b"\x01\x05\x70", &*vector(n / 3, |_| b"\xd0\x70\x0b".to_vec())].concat())
    }),
    ("elements that are functions", |n| {
        let elements = section(9, &[b"\x01\x01\0", &*vector(n, |_| vec![0])].concat());
        [TYPE, b"\x03\x02\x01\0", &elements, b"\x0a\x04\x01\x02\0\x0b"].concat()
    }),
    ("segments of elements", |n| section(9, &vector((n / 3).min(100_000), |_| b"\x01\0\0".to_vec()))),
    ("an expression of sums", |n| {
        section(6, &[b"\x01\x7f\0\x41\0", &*b"\x41\0\x6a".repeat(n / 3), b"\x0b"].concat())
    }),
    ("an expression of many operands", |n| {
        let count = (n / 2).min(10_000);
        let array = [b"\x01\x5e\x7f\0".as_slice()].concat();
        let init = [b"\x64\0\0".as_slice(), &b"\x41\0".repeat(count), b"\xfb\x08\0", &number(count), b"\x0b"];
        [section(1, &array), section(6, &vector(n / 20_000 + 1, |_| init.concat()))].concat()
    }),
    ("globals", |n| section(6, &vector(n / 5, |_| b"\x7f\0\x41\0\x0b".to_vec()))),
    ("tables", |n| section(4, &vector((n / 3).min(100_000), |_| b"\x70\0\0".to_vec()))),
    ("tables with expressions", |n| {
        section(4, &vector((n / 8).min(100_000), |_| b"\x40\0\x70\0\0\xd0\x70\x0b".to_vec()))
    }),
    ("tags", |n| [TYPE, &section(13, &vector(n / 2, |_| b"\0\0".to_vec()))].concat()),
    ("imported functions", |n| [TYPE, &section(2, &vector(n / 4, |_| b"\0\0\0\0".to_vec()))].concat()),
    ("imported functions with names", |n| {
        [
            TYPE,
            &section(
                2,
                &vector(n / 15, |i| [name(&format!("{i:05x}")), name("abcdef"), vec![0, 0]].concat()),
            ),
        ]
        .concat()
    }),
    ("imported globals", |n| section(2, &vector(n / 5, |_| b"\0\0\x03\x7f\0".to_vec()))),
    ("exports", |n| {
        let exports = vector(n / 8, |i| [name(&format!("{i:05x}")), vec![0, 0]].concat());
        [TYPE, b"\x03\x02\x01\0", &section(7, &exports), b"\x0a\x04\x01\x02\0\x0b"].concat()
    }),
    ("exports with long names", |n| {
        let exports =
            vector(n / 90_000 + 1, |i| [name(&format!("{i}{}", "n".repeat(90_000))), vec![0, 0]].concat());
        [TYPE, b"\x03\x02\x01\0", &section(7, &exports), b"\x0a\x04\x01\x02\0\x0b"].concat()
    }),
    ("functions", |n| {
        let functions = section(3, &vector(n / 4, |_| vec![0]));
        [TYPE, &functions, &section(10, &vector(n / 4, |_| b"\x02\0\x0b".to_vec()))].concat()
    }),
    ("segments of data", |n| section(11, &vector((n / 2).min(100_000), |_| b"\x01\0".to_vec()))),
    ("segments of data with places", |n| {
        let datas = section(11, &vector((n / 5).min(100_000), |_| b"\0\x41\0\x0b\0".to_vec()));
        [b"\x05\x03\x01\0\0", &*datas].concat()
    }),
    ("data", |n| section(11, &[b"\x01\x01", &*vector(n, |_| vec![7])].concat())),
];

/// A structure of twenty fields that no other number has.
fn structure(i: usize) -> Vec<u8> {
    let fields = (0..20).flat_map(|bit| [0x7f - (i >> bit & 1) as u8, 0]);
    [0x5f, 20].into_iter().chain(fields).collect()
}

fn number(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number > 127 {
        bytes.push((number & 127) as u8 | 128);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

fn name(name: &str) -> Vec<u8> {
    [&number(name.len()), name.as_bytes()].concat()
}

fn vector(count: usize, item: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    let items: Vec<u8> = (0..count).flat_map(item).collect();
    [number(count), items].concat()
}

fn section(id: u8, contents: &[u8]) -> Vec<u8> {
    [&[id], &*number(contents.len()), contents].concat()
}

fn module(sections: &[u8]) -> Vec<u8> {
    [b"\0asm\x01\0\0\0", sections].concat()
}

fn engine(memory_bytes: Option<u64>) -> Engine {
    let mut config = Config::default();
    config.limits.memory_bytes = memory_bytes;
    innkeeper::engine_with(config, Tiers::Interpreter)
}

/// Decodes a module, and says what that took at most and what it left, beside the module's bytes.
fn decode(engine: &Engine, bytes: Vec<u8>) -> (Result<Module, innkeeper::Error>, usize, usize) {
    let held = in_use();
    let (module, peak) = peak_of(|| Module::new(engine, bytes));
    (module, peak, in_use().saturating_sub(held))
}

#[test]
fn decoding_takes_no_more_than_the_limit_or_is_refused() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut wrong = Vec::new();
    for (shape, make) in SHAPES {
        for bytes in [30_000, 500_000] {
            let bytes = module(&make(bytes));
            let (decoded, peak, held) = decode(&engine(None), bytes.clone());
            let decoded = decoded.unwrap_or_else(|error| panic!("{shape}: {error}"));
            let told = decoded.held_bytes();
            let times = |held: usize| held as f64 / bytes.len() as f64;
            println!(
                "{shape}: {} bytes, peak {:.1}x, held {:.1}x, told {:.1}x",
                bytes.len(),
                times(peak),
                times(held),
                times(told as usize)
            );
            // What a tier has of each function is not told.
            let of_tier = decoded.defined_func_count() * 32;
            if held as u64 > told + (64 << 10) + of_tier as u64 {
                wrong.push(format!("{shape}: {held} bytes are held, {told} told"));
            }
            drop(decoded);
            // One byte less than it takes, which is what a limit allows with what a budget gives for free.
            let peak = peak as u64;
            if let Some(too_little) = peak.checked_sub(Budget::FREE_BYTES + 1) {
                let (refused, taken, _) = decode(&engine(Some(too_little)), bytes.clone());
                let Some(error) = refused.err() else {
                    wrong.push(format!("{shape}: took {peak} bytes of {too_little}"));
                    continue;
                };
                let ErrorKind::Limit(text) = error.kind() else { panic!("{shape}: {error}") };
                assert!(
                    text.contains("for decoding a module") && text.contains("Limits::memory_bytes"),
                    "{text}"
                );
                assert!(taken < 64 << 10, "{shape}: {taken} bytes to refuse it");
                assert!(Module::validate(&engine(Some(too_little)), &bytes).is_err(), "{shape}");
            }
            // What is told is no great multiple of what is taken, but for what turns out to be the same.
            let (decoded, ..) = decode(&engine(Some(peak * 3)), bytes);
            if let Some(error) = decoded.err().filter(|_| !shape.contains("again")) {
                wrong.push(format!("{shape}: {error} with three times the {peak} bytes that it takes"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Names of functions that there are none of, and the same ones again, take nothing.
#[test]
fn names_take_a_few_bytes_for_each_function_that_there_is() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let naming = |index: usize| [number(index), name("a")].concat();
    let names = |namings: Vec<u8>| section(0, &[name("name"), section(1, &namings)].concat());
    let func = [TYPE, b"\x03\x02\x01\0", b"\x0a\x04\x01\x02\0\x0b"].concat();
    let sections =
        [("of others", names(vector(400_000, naming))), ("of one", names(vector(400_000, |_| naming(0))))];
    for (which, names) in sections {
        let (module, ..) = decode(&engine(None), module(&[&*func, &names].concat()));
        let module = module.unwrap();
        let (name, peak) = peak_of(|| module.functions().next().unwrap().name);
        assert_eq!(name, Some("a"), "{which}");
        assert!(peak < 4096, "{which}: {peak} bytes for the name of a function");
    }
    // A long one stays where it is.
    let long = "n".repeat(90_000);
    let names = section(
        0,
        &[name("name"), section(0, &name("m")), section(1, &[&[1, 0], &*name(&long)].concat())].concat(),
    );
    let (module, ..) = decode(&engine(None), module(&[&*func, &names].concat()));
    let module = module.unwrap();
    let (name, peak) = peak_of(|| module.functions().next().unwrap().name);
    assert_eq!((name, module.name()), (Some(&*long), Some("m")));
    assert!(peak < 4096, "{peak} bytes for a long name");
}

static ALONE: Mutex<()> = Mutex::new(());
