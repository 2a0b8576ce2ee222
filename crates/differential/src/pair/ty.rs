//! Random types of values, as they are written, and what core types they are passed in.

use crate::Random;

/// A type.
#[derive(Clone, Debug)]
pub(super) enum Ty {
    Prim(&'static str),
    List(Box<Ty>),
    Map(&'static str, Box<Ty>),
    Record(Vec<Ty>),
    Tuple(Vec<Ty>),
    Variant(Vec<Option<Ty>>),
    Enum(usize),
    Option(Box<Ty>),
    Result(Option<Box<Ty>>, Option<Box<Ty>>),
    Flags(usize),
}

/// So many fields that what is in a tuple with them is passed in memory.
pub(super) const FILLERS: usize = 17;

const PRIMS: [&str; 13] =
    ["bool", "s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64", "f32", "f64", "char", "string"];
const KEYS: [&str; 5] = ["bool", "u8", "s32", "char", "string"];

impl Ty {
    pub(super) fn random(random: &mut Random, depth: u32) -> Ty {
        let below = |random: &mut Random| Ty::random(random, depth - 1);
        let boxed = |random: &mut Random| Box::new(Ty::random(random, depth - 1));
        let some = |random: &mut Random| random.draw() % 10 < 7;
        match if depth == 0 { 0 } else { random.draw() % 12 } {
            3 => Ty::List(boxed(random)),
            4 => {
                // Twenty are more than are passed in core values.
                let count = random.pick(&[1, 2, 3, 4, 5, 20]);
                Ty::Record((0..count).map(|_| below(random)).collect())
            }
            5 => Ty::Tuple((0..1 + random.draw() % 4).map(|_| below(random)).collect()),
            6 => {
                let count = random.pick(&[1, 2, 3, 4, 5, 6, 257, 300]);
                let mut payloads = 0;
                let cases = (0..count).map(|_| {
                    let has_payload = payloads < 7 && some(random);
                    payloads += usize::from(has_payload);
                    has_payload.then(|| below(random))
                });
                Ty::Variant(cases.collect())
            }
            7 => Ty::Enum(random.pick(&[1, 2, 5, 256, 257])),
            8 => Ty::Option(boxed(random)),
            9 => {
                let ok = some(random).then(|| boxed(random));
                Ty::Result(ok, some(random).then(|| boxed(random)))
            }
            10 => Ty::Flags(random.pick(&[1, 7, 8, 9, 16, 17, 31, 32])),
            11 => Ty::Map(random.pick(&KEYS), boxed(random)),
            _ => Ty::Prim(random.pick(&PRIMS)),
        }
    }

    /// How it is written; types that must have names are added to `defs` and are called by their number there.
    pub(super) fn text(&self, defs: &mut Vec<String>) -> String {
        let named = |defs: &mut Vec<String>, text: String| {
            defs.push(text);
            format!("$t{}", defs.len() - 1)
        };
        match self {
            Ty::Prim(name) => (*name).to_owned(),
            Ty::List(element) => format!("(list {})", element.text(defs)),
            Ty::Map(key, value) => format!("(map {key} {})", value.text(defs)),
            Ty::Record(fields) => {
                let fields: String = (fields.iter().enumerate())
                    .map(|(i, ty)| format!("(field \"f{i}\" {})", ty.text(defs)))
                    .collect();
                named(defs, format!("(record {fields})"))
            }
            Ty::Tuple(parts) => {
                let parts: Vec<String> = parts.iter().map(|ty| ty.text(defs)).collect();
                format!("(tuple {})", parts.join(" "))
            }
            Ty::Variant(cases) => {
                let cases: String = (cases.iter().enumerate())
                    .map(|(i, ty)| {
                        let payload = ty.as_ref().map_or(String::new(), |ty| ty.text(defs));
                        format!("(case \"c{i}\" {payload})")
                    })
                    .collect();
                named(defs, format!("(variant {cases})"))
            }
            Ty::Enum(count) => named(defs, format!("(enum {})", labels(*count))),
            Ty::Flags(count) => named(defs, format!("(flags {})", labels(*count))),
            Ty::Option(payload) => format!("(option {})", payload.text(defs)),
            Ty::Result(ok, err) => {
                let ok = ok.as_ref().map_or(String::new(), |ty| ty.text(defs));
                let err = err.as_ref().map_or(String::new(), |ty| format!("(error {})", ty.text(defs)));
                format!("(result {ok} {err})")
            }
        }
    }

    /// The core types that it is passed in, however many.
    pub(super) fn flat(&self) -> Vec<&'static str> {
        match self {
            Ty::Prim("s64" | "u64") => vec!["i64"],
            Ty::Prim("f32") => vec!["f32"],
            Ty::Prim("f64") => vec!["f64"],
            Ty::Prim("string") | Ty::List(_) | Ty::Map(..) => vec!["i32", "i32"],
            Ty::Prim(_) | Ty::Enum(_) | Ty::Flags(_) => vec!["i32"],
            Ty::Record(parts) | Ty::Tuple(parts) => parts.iter().flat_map(Ty::flat).collect(),
            Ty::Variant(cases) => variant(cases.iter().flatten()),
            Ty::Option(payload) => variant(std::iter::once(&**payload)),
            Ty::Result(ok, err) => variant([ok, err].into_iter().flatten().map(|ty| &**ty)),
        }
    }

    /// Where it is passed in one core value: which that is, and how it is loaded.
    pub(super) fn single_load(&self) -> Option<(&'static str, &'static str)> {
        if self.flat().len() != 1 {
            return None;
        }
        match self {
            Ty::Record(parts) | Ty::Tuple(parts) => parts.first()?.single_load(),
            Ty::Prim("s8") => Some(("i32", "i32.load8_s")),
            Ty::Prim("bool" | "u8") => Some(("i32", "i32.load8_u")),
            Ty::Prim("s16") => Some(("i32", "i32.load16_s")),
            Ty::Prim("u16") => Some(("i32", "i32.load16_u")),
            Ty::Prim("s64" | "u64") => Some(("i64", "i64.load")),
            Ty::Prim("f32") => Some(("f32", "f32.load")),
            Ty::Prim("f64") => Some(("f64", "f64.load")),
            Ty::Enum(257..) => Some(("i32", "i32.load16_u")),
            Ty::Variant(cases) if cases.len() > 256 => Some(("i32", "i32.load16_u")),
            Ty::Flags(17..) => Some(("i32", "i32.load")),
            Ty::Flags(9..) => Some(("i32", "i32.load16_u")),
            Ty::Prim(_) => Some(("i32", "i32.load")),
            _ => Some(("i32", "i32.load8_u")),
        }
    }
}

pub(super) fn labels(count: usize) -> String {
    (0..count).map(|i| format!("\"l{i}\" ")).collect()
}

/// The number of the case, and what all payloads can be passed in.
fn variant<'a>(payloads: impl Iterator<Item = &'a Ty>) -> Vec<&'static str> {
    let mut joined: Vec<&'static str> = Vec::new();
    for payload in payloads {
        for (i, slot) in payload.flat().into_iter().enumerate() {
            match joined.get_mut(i) {
                Some(known) if *known == slot => {}
                Some(known) => {
                    *known =
                        if matches!((*known, slot), ("i32" | "f32", "i32" | "f32")) { "i32" } else { "i64" }
                }
                None => joined.push(slot),
            }
        }
    }
    std::iter::once("i32").chain(joined).collect()
}
