//! Rust types beside the walk over types: for every type that can be lifted and lowered, the same values give the same bytes, the same calls of `realloc` and the same
//! traps, from slots and from memory, in all encodings of strings.
//!
//! Which types there are is read from the sources that implement the traits, so that none is left out.

mod guest;
mod random;

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use guest::{Broken, TestGuest, side};
use innkeeper_engine::{Config, Engine, Error, InterruptHandle, Store};
use random::Random;

use super::arena::Arena;
use super::wit::{BoundResources, check_shape};
use super::{LiftContext, LowerContext, SlotsMut, WitTypes};
use crate::abi::{self, Boundary, Lends, StringShapes};
use crate::decode::Encoding;
use crate::state::Shared;
use crate::trap::Trap;
use crate::types::{TypeIndex, ValType};
use crate::val::Val;
use crate::{ComponentType, Lift, Lower};

// With names that derived code could be thought to use itself.
#[derive(Debug, PartialEq, ComponentType, Lift, Lower)]
#[component(path = crate)]
struct Point {
    address: u8,
    end: i64,
    at: f32,
    context: (u8, u16),
    #[component(name = "the-name")]
    name: String,
}

#[derive(Debug, PartialEq, ComponentType, Lift, Lower)]
#[component(path = crate)]
struct Line<'x> {
    text: &'x str,
    marks: &'x [u32],
}

#[derive(Debug, PartialEq, ComponentType, Lift, Lower)]
#[component(path = crate)]
enum Drawing<'x> {
    Nothing,
    Dot(Point),
    Line(Line<'x>),
    Weight(f64),
}

#[derive(Debug, PartialEq, ComponentType, Lift, Lower)]
#[component(path = crate)]
enum Color {
    Red,
    DarkBlue,
    Green,
}

#[derive(Debug, PartialEq, ComponentType, Lift, Lower)]
#[component(path = crate, variant)]
enum Switch {
    Off,
    On,
}

#[derive(Debug, PartialEq, ComponentType, Lift, Lower)]
#[component(path = crate, flags)]
struct Rights {
    read: bool,
    write: bool,
    open_all: bool,
    a: bool,
    b: bool,
    c: bool,
    d: bool,
    e: bool,
    f: bool,
}

type Compare = fn((Encoding, &InterruptHandle), &mut Random, &mut BTreeSet<String>);

macro_rules! types {
    ($($ty:ty),* $(,)?) => { &[$((stringify!($ty), compare::<$ty> as Compare)),*] };
}

/// All that are compared.
const TYPES: &[(&str, Compare)] = types![
    i8, u8, i16, u16, i32, u32, i64, u64, f32, f64, bool, char,
    &[i8], &[u8], &[i16], &[u16], &[i32], &[u32], &[i64], &[u64],
    Vec<i8>, Vec<u8>, Vec<i16>, Vec<u16>, Vec<i32>, Vec<u32>, Vec<i64>, Vec<u64>, Vec<f32>, Vec<f64>,
    Vec<bool>, Vec<char>,
    &str, String, Box<str>, Rc<str>, Arc<str>, Vec<String>, Vec<&str>, Vec<Vec<u16>>, Vec<(u8, u64)>,
    Option<u8>, Option<u64>, Option<Option<f64>>, Option<String>, Option<&[u32]>, Vec<Option<char>>,
    Result<u32, f32>, Result<(), String>, Result<f32, u64>, Result<String, f64>, Result<(), ()>,
    Vec<Result<u64, ()>>, Box<u32>, Box<String>,
    (u8,), (u8, u64, u8), (String, Vec<u8>, bool), (f32, f64, Option<u16>),
    (u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u8, u64),
    (u64, u64, u64, u64, u64, u64, u64, u64, u64, u64, u64, u64, u64, u64, u64, String),
    Point, Line<'_>, Drawing<'_>, Vec<Drawing<'_>>, Color, Vec<Color>, Switch, Rights, Option<Rights>,
    (Point, Color, Rights),
];

/// What the traits are implemented for, as it is written.
fn implemented() -> Vec<String> {
    let mut found = Vec::new();
    for source in [
        include_str!("../number.rs"),
        include_str!("../text.rs"),
        include_str!("../list.rs"),
        include_str!("../compound.rs"),
    ] {
        let mut macro_name = "";
        for line in source.lines() {
            let indented = line.starts_with("    ") && !line.starts_with("        ");
            if let Some(name) = line.strip_suffix("! {").filter(|name| !name.contains(' ')) {
                macro_name = name;
            } else if line == "}" {
                macro_name = "";
            } else if indented && matches!(macro_name, "integers" | "floats") {
                let ty = line.split_whitespace().next().unwrap_or_default();
                found.extend([ty.to_owned(), format!("Vec<{ty}>")]);
                found.extend((macro_name == "integers").then(|| format!("&[{ty}]")));
            } else if indented && macro_name == "owned" {
                found.extend(line.trim().split(',').next().map(str::to_owned));
            } else if let Some((_, ty)) = line.split_once(" Lift for ").filter(|_| line.starts_with("impl")) {
                found.push(ty.trim_end_matches(" {").to_owned());
            }
        }
    }
    found
}

#[test]
fn every_type_that_can_be_lifted_is_compared() {
    let implemented = implemented();
    assert!(implemented.len() > 35, "{implemented:?}");
    for ty in implemented {
        // Types with parameters are there with some in their place.
        let head = ty.split(['<', '(']).next().unwrap_or_default();
        let is_there = TYPES.iter().any(|(name, _)| match ty.contains("V") && ty.contains('<') {
            true => name.starts_with(&format!("{head}<")),
            false if ty.starts_with("($(") => name.starts_with('('),
            false => *name == ty,
        });
        assert!(is_there, "`{ty}` is not compared");
    }
}

#[test]
fn bytes_and_traps_are_those_of_the_walk() {
    let engine = Engine::with_tier(Config::default(), innkeeper_interp::Interpreter);
    let interrupts = Store::new(&engine, ()).unwrap().interrupt_handle();
    let mut traps = BTreeSet::new();
    for (number, (name, compare)) in TYPES.iter().enumerate() {
        for encoding in [Encoding::Utf8, Encoding::Utf16, Encoding::Latin1OrUtf16] {
            let mut random = Random::new(number as u64);
            println!("{name} {encoding:?}");
            for _ in 0..25 {
                compare((encoding, &interrupts), &mut random, &mut traps);
            }
        }
    }
    // Only the host has strings that are too long: what a guest says is as long lies beyond its memory.
    for trap in [
        Trap::Unaligned,
        Trap::ReallocUnaligned,
        Trap::ReallocOutOfBounds,
        Trap::PointerOutOfBounds,
        Trap::StringOutOfBounds,
        Trap::ListOutOfBounds,
        Trap::ListTooLong,
        Trap::InvalidUtf16,
        Trap::InvalidChar(0),
        Trap::InvalidDiscriminant(0),
    ] {
        assert!(traps.contains(&trap.to_string()), "`{trap}` was never met; these were: {traps:#?}");
    }
    assert!(traps.iter().any(|trap| trap.contains("utf-8")), "{traps:#?}");
}

/// One type's types and layouts.
struct Compared {
    shared: Arc<Shared>,
    /// A tuple of it.
    tuple: TypeIndex,
    ty: TypeIndex,
    encoding: Encoding,
    interrupts: InterruptHandle,
}

fn compare<V: Lift>(
    (encoding, interrupts): (Encoding, &InterruptHandle),
    random: &mut Random,
    traps: &mut BTreeSet<String>,
) where
    for<'a> V::Lifted<'a>: Lower,
{
    let mut types = WitTypes::default();
    let ty = V::define(&mut types).0;
    check_shape::<V>(&types.table, ty).unwrap();
    let tuple = types.table.intern(ValType::Tuple([ty].into()));
    let shared = Arc::new(Shared { types: Arc::new(types.table), resources: [].into() });
    let compared = Compared { shared, tuple, ty, encoding, interrupts: interrupts.clone() };
    let val = random.val(&compared.shared.types, compared.ty, 0);
    for max_flat in [16, 0] {
        let mut guest = TestGuest::default();
        let mut slots = compared.walk_lower(&mut guest, max_flat, std::slice::from_ref(&val)).unwrap();
        compared.both::<V>((&guest, &slots), max_flat, Broken::Not, traps);
        for broken in [Broken::Unaligned, Broken::OutOfBounds] {
            compared.both::<V>((&guest, &slots), max_flat, broken, traps);
        }
        for _ in 0..4 {
            random.spoil(&mut guest.memory, &mut slots);
            compared.both::<V>((&guest, &slots), max_flat, Broken::Not, traps);
        }
    }
}

impl Compared {
    /// Lifts what a guest hands over and hands it to another guest, by the walk and with Rust types.
    fn both<V: Lift>(
        &self,
        from: (&TestGuest, &[u64]),
        max_flat: usize,
        broken: Broken,
        traps: &mut BTreeSet<String>,
    ) where
        for<'a> V::Lifted<'a>: Lower,
    {
        let (mut walked_to, mut typed_to) = (TestGuest::new(broken), TestGuest::new(broken));
        let walked = self
            .walk_lift(from, max_flat)
            .and_then(|vals| self.walk_lower(&mut walked_to, max_flat, &vals))
            .map_err(|error| error.to_string());
        let typed = self.typed::<V>(from, &mut typed_to, max_flat).map_err(|error| error.to_string());
        assert_eq!(walked, typed, "{:?}", self.encoding);
        assert!(walked_to.reallocs == typed_to.reallocs, "{:?} {:?}", walked_to.reallocs, typed_to.reallocs);
        assert!(walked_to.memory == typed_to.memory, "other bytes");
        traps.extend(walked.err());
    }

    fn walk_lift(&self, (guest, slots): (&TestGuest, &[u64]), max_flat: usize) -> Result<Vec<Val>, Error> {
        let side = side(&self.shared, self.encoding);
        let (mut state, mut lends) = (guest::state(), Lends::default());
        let budget = guest.budget.clone();
        let from = (&mut state, &*guest.memory);
        let costs = abi::Costs::new(&budget, &self.interrupts);
        let mut lift = abi::Lift::new(&side, Boundary::Host, from, (&mut lends, None), costs);
        lift.values(max_flat, slots, self.tuple)
    }

    fn walk_lower(&self, guest: &mut TestGuest, max_flat: usize, vals: &[Val]) -> Result<Vec<u64>, Error> {
        let side = side(&self.shared, self.encoding);
        let (mut lends, mut strings) = (Lends::default(), StringShapes::new());
        let to = (&mut lends, &mut strings);
        let mut slots = Vec::new();
        let mut lower = abi::Lower::new(&side, Boundary::Host, (guest, None), to);
        lower.values(max_flat, vals, self.tuple, &mut slots)?;
        Ok(slots)
    }

    fn typed<V: Lift>(
        &self,
        (from, slots): (&TestGuest, &[u64]),
        to: &mut TestGuest,
        max_flat: usize,
    ) -> Result<Vec<u64>, Error>
    where
        for<'a> V::Lifted<'a>: Lower,
    {
        let side = side(&self.shared, self.encoding);
        let (mut state, mut lends, resources) = (guest::state(), Lends::default(), BoundResources::default());
        let kept = Arena::default();
        let parts = (&mut state, &*from.memory);
        let costs = abi::Costs::new(&from.budget, &self.interrupts);
        let mut lift = LiftContext::new((&side, &resources), parts, (&mut lends, &kept), costs);
        let lifted = lift.value::<(V,)>(max_flat, slots)?;
        let (mut lends, mut passed) = (Lends::default(), SlotsMut::default());
        let mut lower = LowerContext::new((&side, &resources), (to, None), &mut lends);
        lower.params(max_flat, &lifted, &mut passed)?;
        Ok(passed.as_slice().to_vec())
    }
}

/// Strings that are kept for a borrower do not need a stack as long as they are many.
#[test]
fn a_million_strings_of_another_encoding_can_be_borrowed() {
    let kept = Arena::default();
    let mut next = &kept;
    for i in 0..1_000_000 {
        let (text, after) = next.keep(i.to_string());
        assert_eq!(text.len(), i.to_string().len());
        next = after;
    }
}
