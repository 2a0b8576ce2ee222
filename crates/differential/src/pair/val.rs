//! Random values of a type.

use innkeeper::component::{List, Val};

use super::ty::Ty;
use crate::Random;

impl Ty {
    pub(super) fn val(&self, random: &mut Random) -> Val {
        let label = |i: u64| std::sync::Arc::from(format!("l{i}"));
        match self {
            Ty::Prim(name) => prim(name, random),
            Ty::List(element) => list(element, random),
            Ty::Map(key, value) => {
                let count = random.pick(&[0, 1, 2, 3]);
                Val::Map((0..count).map(|_| (prim(key, random), value.val(random))).collect())
            }
            Ty::Record(fields) => Val::Record(
                fields.iter().enumerate().map(|(i, ty)| (format!("f{i}").into(), ty.val(random))).collect(),
            ),
            Ty::Tuple(parts) => Val::Tuple(parts.iter().map(|ty| ty.val(random)).collect()),
            Ty::Variant(cases) => {
                let few = if random.draw().is_multiple_of(4) { cases.len() } else { cases.len().min(7) };
                let case = random.draw() as usize % few;
                let payload = cases[case].as_ref().map(|ty| Box::new(ty.val(random)));
                Val::Variant(format!("c{case}").into(), payload)
            }
            Ty::Enum(count) => Val::Enum(label(random.draw() % *count as u64)),
            Ty::Flags(count) => {
                let bits = random.draw();
                Val::Flags((0..*count as u64).filter(|i| bits >> i & 1 != 0).map(label).collect())
            }
            Ty::Option(payload) => {
                Val::Option((!random.draw().is_multiple_of(3)).then(|| Box::new(payload.val(random))))
            }
            Ty::Result(ok, err) => {
                let of = |ty: &Option<Box<Ty>>, random: &mut Random| {
                    ty.as_ref().map(|ty| Box::new(ty.val(random)))
                };
                Val::Result(match random.draw().is_multiple_of(2) {
                    true => Ok(of(ok, random)),
                    false => Err(of(err, random)),
                })
            }
        }
    }
}

fn list(element: &Ty, random: &mut Random) -> Val {
    let count = random.pick(&[0, 1, 2, 3, 9, 33]);
    let vals: Vec<Val> = (0..count).map(|_| element.val(random)).collect();
    macro_rules! numbers {
        ($kind:ident) => {
            List::$kind(
                vals.iter()
                    .filter_map(|val| if let Val::$kind(number) = val { Some(*number) } else { None })
                    .collect(),
            )
        };
    }
    Val::List(match element {
        Ty::Prim("s8") => numbers!(S8),
        Ty::Prim("u8") => numbers!(U8),
        Ty::Prim("s16") => numbers!(S16),
        Ty::Prim("u16") => numbers!(U16),
        Ty::Prim("s32") => numbers!(S32),
        Ty::Prim("u32") => numbers!(U32),
        Ty::Prim("s64") => numbers!(S64),
        Ty::Prim("u64") => numbers!(U64),
        Ty::Prim("f32") => numbers!(Float32),
        Ty::Prim("f64") => numbers!(Float64),
        _ => List::Vals(vals),
    })
}

fn prim(name: &str, random: &mut Random) -> Val {
    let number = match random.draw() % 4 {
        0 => 0,
        1 => u64::MAX,
        2 => 1 << (random.draw() % 64),
        _ => random.draw(),
    };
    match name {
        "bool" => Val::Bool(number & 1 != 0),
        "s8" => Val::S8(number as i8),
        "u8" => Val::U8(number as u8),
        "s16" => Val::S16(number as i16),
        "u16" => Val::U16(number as u16),
        "s32" => Val::S32(number as i32),
        "u32" => Val::U32(number as u32),
        "s64" => Val::S64(number.cast_signed()),
        "u64" => Val::U64(number),
        "f32" => {
            let float = f32::from_bits(number as u32);
            Val::Float32(if float.is_nan() { f32::NAN } else { float })
        }
        "f64" => {
            let float = f64::from_bits(number);
            Val::Float64(if float.is_nan() { f64::NAN } else { float })
        }
        "char" => Val::Char(random.pick(&['\0', 'A', 'é', '\u{d7ff}', '\u{e000}', '\u{10ffff}', '🍵'])),
        _ => Val::String(string(random)),
    }
}

fn string(random: &mut Random) -> String {
    let length = random.pick(&[0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65]);
    let letters: Vec<char> =
        random.pick(&["abc xyz", "abéÿ", "aé€", "a🍵€", "\0\u{7f}\u{80}", "一二三", "ÿĀ"]).chars().collect();
    (0..length).map(|_| random.pick(&letters)).collect()
}
