//! Components of which nobody knows what is in them: ones that are made up, and those of [`Pair`] with bytes changed.
//!
//! Decoding one is an answer, never a panic, and soon there. What is valid is instantiated and all that it exports is called: with generated calls between its parts in both
//! tiers, and with walked ones, and what comes of that is compared.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use arbitrary::{Arbitrary, Unstructured};
use innkeeper::component::{Component, Export, Linker, List, Type, TypeKind, Val};
use innkeeper::{Adapters, Config, Engine, ErrorKind, NanBits, Store, TierUp, Tiers, Trap};

use crate::Random;
use crate::pair::Pair;

/// A component, valid or not.
pub struct Nest {
    bytes: Vec<u8>,
}

/// What came of components.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// So many were decoded, or refused.
    pub components: u64,
    /// So many of them were valid.
    pub valid: u64,
    /// So many were instantiated.
    pub instantiated: u64,
    /// Calls that were compared.
    pub calls: u64,
    /// Calls that went well.
    pub returned: u64,
}

impl Tried {
    /// Adds what came of others.
    pub fn add(&mut self, other: Tried) {
        self.components += other.components;
        self.valid += other.valid;
        self.instantiated += other.instantiated;
        self.calls += other.calls;
        self.returned += other.returned;
    }
}

/// How long decoding may take, on a machine that is busy.
const SOON: Duration = Duration::from_secs(20);
/// How long a guest may run.
const DEADLINE: Duration = Duration::from_secs(10);
/// Changes that are made to a component, one after the other.
const MOST_CHANGES: u64 = 4;

/// What is seen of a component: each call that was made, and what came of it.
type Seen = Result<Vec<(String, Outcome)>, String>;

#[derive(Debug, PartialEq)]
enum Outcome {
    Returned(String),
    Failed,
    /// By a limit or a deadline, which each way to call meets elsewhere: nothing can be compared from here on.
    Stopped,
}

impl Nest {
    /// The component of a seed.
    #[must_use]
    pub fn from_seed(seed: u64) -> Nest {
        let mut random = Random::new(seed);
        let bytes = if seed.is_multiple_of(4) { made_up(&mut random) } else { changed(&mut random) };
        Nest { bytes }
    }

    /// Bytes that may be a component.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Nest {
        Nest { bytes: bytes.to_vec() }
    }

    /// The component's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Decodes the component, and compares generated calls with walked ones.
    ///
    /// # Errors
    /// What differs, or panics, or takes too long.
    pub fn check(&self) -> Result<Tried, String> {
        let mut tried = Tried { components: 1, ..Tried::default() };
        let Some(walked) = self.seen(Tiers::Interpreter, Adapters::Walked)? else { return Ok(tried) };
        tried.valid = 1;
        for tiers in [Tiers::Interpreter, Tiers::Compiled] {
            let generated =
                self.seen(tiers, Adapters::Generated)?.ok_or("it is valid, and the next time it is not")?;
            match (&walked, &generated) {
                (Ok(walked), Ok(generated)) => {
                    tried.instantiated = 1;
                    compare(walked, generated, &mut tried).map_err(|told| format!("{tiers:?}: {told}"))?;
                }
                (Err(_), Err(_)) => {}
                // Whoever was stopped while it was instantiated would have failed later.
                (Ok(seen), Err(_)) | (Err(_), Ok(seen)) if is_cut(seen) => {}
                (walked, generated) => {
                    return Err(format!(
                        "instantiating it gives {:.1000} walked, and {:.1000} in {tiers:?}",
                        format!("{walked:?}"),
                        format!("{generated:?}")
                    ));
                }
            }
        }
        Ok(tried)
    }

    /// What is seen of it, where it is valid.
    fn seen(&self, tiers: Tiers, adapters: Adapters) -> Result<Option<Seen>, String> {
        let begin = Instant::now();
        let engine = engine(tiers, adapters);
        let decode = || Component::new(&engine, self.bytes.clone());
        let decoded = catch_unwind(AssertUnwindSafe(decode)).map_err(|_| "decoding it panics")?;
        if begin.elapsed() > SOON {
            return Err(format!("decoding it takes {:?}", begin.elapsed()));
        }
        let Ok(component) = decoded else { return Ok(None) };
        let run = || run(&engine, &component);
        catch_unwind(AssertUnwindSafe(run)).map(Some).map_err(|_| format!("running it panics in {tiers:?}"))
    }
}

/// Instantiates a component, and calls all that it exports.
fn run(engine: &Engine, component: &Component) -> Seen {
    let told = |error: innkeeper::Error| error.to_string();
    let mut linker = Linker::new(engine);
    linker.define_unknown_imports_as_traps(component).map_err(told)?;
    let mut store = Store::new(engine, ()).map_err(told)?;
    store.set_deadline(Some(DEADLINE)).map_err(told)?;
    let mut seen = Vec::new();
    let instance = match linker.instantiate(&mut store, component) {
        Ok(instance) => instance,
        Err(error) if is_stopped(&error) => {
            seen.push(("instantiating".to_owned(), Outcome::Stopped));
            return Ok(seen);
        }
        Err(error) => return Err(error.to_string()),
    };
    let mut random = Random::new(0);
    for (path, export) in instance.exports(&mut store) {
        let Export::Func(func) = export else { continue };
        let ty = func.ty(&store).map_err(told)?;
        let params: Option<Vec<Val>> = ty.params().map(|(_, ty)| some(&ty, &mut random)).collect();
        let Some(params) = params else { continue };
        let mut results = vec![Val::Bool(false); usize::from(ty.result().is_some())];
        let outcome = match func.call(&mut store, &params, &mut results) {
            Ok(()) => Outcome::Returned(format!("{results:?}")),
            Err(error) if is_stopped(&error) => Outcome::Stopped,
            Err(_) => Outcome::Failed,
        };
        seen.push((path, outcome));
    }
    Ok(seen)
}

fn is_cut(seen: &[(String, Outcome)]) -> bool {
    matches!(seen, [(_, Outcome::Stopped)])
}

fn is_stopped(error: &innkeeper::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Limit(_)
            | ErrorKind::Trap(Trap::DeadlineExceeded | Trap::Interrupted | Trap::CallStackExhausted)
    )
}

fn compare(
    walked: &[(String, Outcome)],
    generated: &[(String, Outcome)],
    tried: &mut Tried,
) -> Result<(), String> {
    for ((path, want), (_, have)) in walked.iter().zip(generated) {
        if [want, have].contains(&&Outcome::Stopped) {
            return Ok(());
        }
        tried.calls += 1;
        tried.returned += u64::from(matches!(want, Outcome::Returned(_)));
        if want != have {
            return Err(format!("`{path}`: walked, it is {want:?}, generated {have:?}"));
        }
    }
    Ok(())
}

fn engine(tiers: Tiers, adapters: Adapters) -> Engine {
    let mut config = Config { nan_bits: NanBits::Canonical, ..Config::default() };
    config.tuning.adapters = adapters;
    config.tuning.tier_up = TierUp::eager();
    config.limits.memory_bytes = Some(64 << 20);
    config.limits.table_elements = 10_000;
    innkeeper::engine_with(config, tiers)
}

/// A component of a generator's.
fn made_up(random: &mut Random) -> Vec<u8> {
    let bytes = random.bytes(2048);
    let component = wasm_smith::Component::arbitrary(&mut Unstructured::new(&bytes));
    component.map_or_else(|_| Vec::new(), |component| component.to_bytes())
}

/// Two components that hand values to each other, with some bytes changed.
fn changed(random: &mut Random) -> Vec<u8> {
    let pair = Pair::from_seed(random.draw());
    let Ok(bytes) = innkeeper::to_binary(pair.text().as_bytes()) else { return Vec::new() };
    let mut bytes = bytes.into_owned();
    for _ in 0..1 + random.draw() % MOST_CHANGES {
        change(&mut bytes, random);
    }
    bytes
}

/// Lengths stand before everything, so that most changes leave them as they are.
fn change(bytes: &mut Vec<u8>, random: &mut Random) {
    let at = random.draw() as usize % bytes.len().max(1);
    let Some(byte) = bytes.get_mut(at) else { return };
    match random.draw() % 16 {
        0..8 => *byte = random.pick(&[0, 1, 2, 3, 4, 0x10, 0x40, 0x7f, 0x73, 0x70]),
        8..12 => *byte ^= 1 << (random.draw() % 8),
        12 => *byte = random.draw() as u8,
        13 => {
            let from = random.draw() as usize % bytes.len();
            let length = (1 + random.draw() as usize % 16).min(bytes.len() - from.max(at));
            bytes.copy_within(from..from + length, at);
        }
        14 => drop(bytes.remove(at)),
        _ => bytes.insert(at, random.draw() as u8),
    }
}

/// A value of a type; none where a value is a handle.
fn some(ty: &Type, random: &mut Random) -> Option<Val> {
    let number = random.draw();
    Some(match ty.kind() {
        TypeKind::Bool => Val::Bool(number & 1 != 0),
        TypeKind::S8 => Val::S8(number as i8),
        TypeKind::U8 => Val::U8(number as u8),
        TypeKind::S16 => Val::S16(number as i16),
        TypeKind::U16 => Val::U16(number as u16),
        TypeKind::S32 => Val::S32(number as i32),
        TypeKind::U32 => Val::U32(number as u32 >> (number >> 32 & 31)),
        TypeKind::S64 => Val::S64(number.cast_signed()),
        TypeKind::U64 => Val::U64(number),
        TypeKind::Float32 => Val::Float32(1.5),
        TypeKind::Float64 => Val::Float64(-2.5),
        TypeKind::Char => Val::Char(random.pick(&['a', 'é', '🍵'])),
        TypeKind::String => Val::String(random.pick(&["", "text", "grün", "茶🍵"]).to_owned()),
        TypeKind::List(element) => some_list(&element, random)?,
        TypeKind::FixedLengthList(element, length) if length < 100 => {
            Val::List(List::Vals((0..length).map(|_| some(&element, random)).collect::<Option<_>>()?))
        }
        TypeKind::Map(key, value) => Val::Map(vec![(some(&key, random)?, some(&value, random)?)]),
        TypeKind::Record(fields) => Val::Record(
            fields.into_iter().map(|(label, ty)| Some((label, some(&ty, random)?))).collect::<Option<_>>()?,
        ),
        TypeKind::Tuple(parts) => Val::Tuple(parts.iter().map(|ty| some(ty, random)).collect::<Option<_>>()?),
        TypeKind::Variant(cases) => {
            let (label, payload) = cases.get(number as usize % cases.len().max(1))?.clone();
            let payload = match payload {
                Some(ty) => Some(Box::new(some(&ty, random)?)),
                None => None,
            };
            Val::Variant(label, payload)
        }
        TypeKind::Enum(labels) => Val::Enum(labels.get(number as usize % labels.len().max(1))?.clone()),
        TypeKind::Flags(labels) => Val::Flags(
            (0..).zip(labels).filter(|(i, _)| number >> (i % 64) & 1 != 0).map(|(_, l)| l).collect(),
        ),
        TypeKind::Option(ty) => match number & 1 {
            0 => Val::Option(None),
            _ => Val::Option(Some(Box::new(some(&ty, random)?))),
        },
        TypeKind::Result(ok, err) => {
            let of = |ty: Option<Type>, random: &mut Random| match ty {
                Some(ty) => some(&ty, random).map(|val| Some(Box::new(val))),
                None => Some(None),
            };
            Val::Result(if number & 1 == 0 { Ok(of(ok, random)?) } else { Err(of(err, random)?) })
        }
        _ => return None,
    })
}

fn some_list(element: &Type, random: &mut Random) -> Option<Val> {
    let count = random.draw() % 4;
    Some(Val::List(match element.kind() {
        TypeKind::S8 => List::S8(vec![-1; count as usize]),
        TypeKind::U8 => List::U8(vec![2; count as usize]),
        TypeKind::S16 => List::S16(vec![-3; count as usize]),
        TypeKind::U16 => List::U16(vec![4; count as usize]),
        TypeKind::S32 => List::S32(vec![-5; count as usize]),
        TypeKind::U32 => List::U32(vec![6; count as usize]),
        TypeKind::S64 => List::S64(vec![-7; count as usize]),
        TypeKind::U64 => List::U64(vec![8; count as usize]),
        TypeKind::Float32 => List::Float32(vec![0.5; count as usize]),
        TypeKind::Float64 => List::Float64(vec![0.25; count as usize]),
        _ => List::Vals((0..count).map(|_| some(element, random)).collect::<Option<_>>()?),
    }))
}
