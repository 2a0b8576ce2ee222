//! Directives about components: they share the script's store, and one of them can be what is invoked next.

use std::collections::HashMap;

use innkeeper::component::{Component, Export, Features, Instance, Linker, List, Trap, Type, TypeKind, Val};
use innkeeper::{Engine, Error, ErrorKind, Store};
use wast::component::WastVal;
use wast::core::{NanPattern, WastArgCore, WastRetCore};
use wast::token::Id;
use wast::{QuoteWat, QuoteWatTest, WastArg, WastInvoke, WastRet, Wat};

type Result<T = (), E = String> = std::result::Result<T, E>;

/// What a script knows of components.
pub(crate) struct Components {
    features: Features,
    linker: Linker<()>,
    definitions: HashMap<String, Component>,
    last_definition: Option<Component>,
    instances: HashMap<String, Instance>,
    current: Option<Instance>,
}

/// What an invocation has come to: a value, or the guest's error.
pub(crate) type Outcome = Result<Option<Val>, Error>;

/// Whether a directive's module is a component.
pub(crate) fn is_component(wat: &QuoteWat<'_>) -> bool {
    matches!(wat, QuoteWat::Wat(Wat::Component(_)) | QuoteWat::QuoteComponent(..))
}

impl Components {
    pub(crate) fn new(engine: &Engine, features: Features) -> Components {
        Components {
            features,
            linker: Linker::new(engine),
            definitions: HashMap::new(),
            last_definition: None,
            instances: HashMap::new(),
            current: None,
        }
    }

    /// Whether what is invoked without a name is a component's.
    pub(crate) fn is_current(&self, name: Option<Id<'_>>) -> bool {
        match name {
            Some(id) => self.instances.contains_key(id.name()),
            None => self.current.is_some(),
        }
    }

    /// A module is invoked from now on.
    pub(crate) fn set_aside(&mut self) {
        self.current = None;
        self.last_definition = None;
    }

    /// Whether what is instantiated without a definition, or by a name, is a component.
    pub(crate) fn has_definition(&self, name: Option<Id<'_>>) -> bool {
        match name {
            Some(id) => self.definitions.contains_key(id.name()),
            None => self.last_definition.is_some(),
        }
    }

    /// Instantiates a component of the script.
    pub(crate) fn component(&mut self, store: &mut Store<()>, mut wat: QuoteWat<'_>) -> Result {
        let name = wat.name().map(|id| id.name().to_owned());
        let component = self.decode(store, &mut wat)?;
        self.instantiate(store, name, &component)
    }

    pub(crate) fn define(&mut self, store: &mut Store<()>, mut wat: QuoteWat<'_>) -> Result {
        let component = self.decode(store, &mut wat)?;
        if let Some(id) = wat.name() {
            self.definitions.insert(id.name().to_owned(), component.clone());
        }
        self.last_definition = Some(component);
        Ok(())
    }

    pub(crate) fn instantiate_definition(
        &mut self,
        store: &mut Store<()>,
        instance: Option<Id<'_>>,
        definition: Option<Id<'_>>,
    ) -> Result {
        let component = match definition {
            Some(id) => self.definitions.get(id.name()).cloned(),
            None => self.last_definition.clone(),
        };
        let component = component.ok_or("no such component definition")?;
        self.instantiate(store, instance.map(|id| id.name().to_owned()), &component)
    }

    fn instantiate(&mut self, store: &mut Store<()>, name: Option<String>, component: &Component) -> Result {
        let instance = self.linker.instantiate(&mut *store, component).map_err(|error| error.to_string())?;
        if let Some(name) = name {
            self.register(store, &name, instance)?;
            self.instances.insert(name, instance);
        }
        self.current = Some(instance);
        Ok(())
    }

    fn register(&mut self, store: &mut Store<()>, name: &str, instance: Instance) -> Result {
        self.linker.define_instance(store, name, instance).map_err(|error| error.to_string())
    }

    /// Lets components import an instance by a name.
    pub(crate) fn register_named(
        &mut self,
        store: &mut Store<()>,
        name: &str,
        instance: Option<Id<'_>>,
    ) -> Result {
        let instance = self.instance(instance)?;
        self.register(store, name, instance)
    }

    fn instance(&self, name: Option<Id<'_>>) -> Result<Instance> {
        match name {
            Some(id) => {
                self.instances.get(id.name()).copied().ok_or(format!("no instance named {}", id.name()))
            }
            None => self.current.ok_or_else(|| "no instance yet".to_owned()),
        }
    }

    fn decode(&self, store: &Store<()>, wat: &mut QuoteWat<'_>) -> Result<Component> {
        let bytes = wat.encode().map_err(|error| error.message())?;
        Component::with_features(store.engine(), bytes, self.features).map_err(|error| error.to_string())
    }

    /// The outcome of the guest's execution inside the result of the directive's own.
    pub(crate) fn invoke(&mut self, store: &mut Store<()>, invoke: &WastInvoke<'_>) -> Result<Outcome> {
        let instance = self.instance(invoke.module)?;
        let func = match instance.get_export(&mut *store, invoke.name) {
            Some(Export::Func(func)) => func,
            _ => return Err(format!("no function named {}", invoke.name)),
        };
        let ty = func.ty(&*store).map_err(|error| error.to_string())?;
        let mut args = Vec::new();
        for (arg, (_, ty)) in invoke.args.iter().zip(ty.params()) {
            match arg {
                WastArg::Component(arg) => args.push(value(arg, &ty)?),
                // Floats are written as those of modules are.
                WastArg::Core(WastArgCore::F32(float)) => args.push(Val::Float32(f32::from_bits(float.bits))),
                WastArg::Core(WastArgCore::F64(float)) => args.push(Val::Float64(f64::from_bits(float.bits))),
                other => return Err(format!("no value of a component: {other:?}")),
            }
        }
        // What stands in it does not matter: it is written over.
        let mut results = vec![Val::Bool(false); usize::from(ty.result().is_some())];
        match func.call(store, &args, &mut results) {
            Err(error) if matches!(error.kind(), ErrorKind::Usage(_)) => Err(error.to_string()),
            Err(error) => Ok(Err(error)),
            Ok(()) => Ok(Ok(results.pop())),
        }
    }

    pub(crate) fn assert_return(&self, outcome: Outcome, expected: &[WastRet<'_>]) -> Result {
        let val = outcome.map_err(|error| error.to_string())?;
        match (val, expected) {
            (None, []) => Ok(()),
            (Some(Val::Float32(val)), [WastRet::Core(WastRetCore::F32(NanPattern::Value(expected)))])
                if val.to_bits() == expected.bits =>
            {
                Ok(())
            }
            (Some(Val::Float64(val)), [WastRet::Core(WastRetCore::F64(NanPattern::Value(expected)))])
                if val.to_bits() == expected.bits =>
            {
                Ok(())
            }
            (Some(val), [WastRet::Component(expected)]) => match is_equal(expected, &val) {
                true => Ok(()),
                false => Err(format!("{expected:?} was expected, but it returned {val:?}")),
            },
            (val, expected) => Err(format!("{expected:?} was expected, but it returned {val:?}")),
        }
    }

    pub(crate) fn assert_trap(&self, outcome: Outcome, message: &str) -> Result {
        match outcome {
            Err(error) => check_trap(&error, message),
            Ok(val) => Err(format!("the trap `{message}` was expected, but it returned {val:?}")),
        }
    }

    /// Instantiates a component that must trap meanwhile.
    pub(crate) fn instantiate_wat(&mut self, store: &mut Store<()>, wat: Wat<'_>) -> Result<Outcome> {
        let component = self.decode(store, &mut QuoteWat::Wat(wat))?;
        Ok(self.linker.instantiate(store, &component).map(|_| None))
    }

    pub(crate) fn assert_rejected(&self, engine: &Engine, mut wat: QuoteWat<'_>, message: &str) -> Result {
        // Text that is no component is malformed, whatever else it might be.
        let bytes = match wat.to_test() {
            Ok(QuoteWatTest::Binary(bytes)) => bytes,
            Ok(QuoteWatTest::Text(_)) => match wat.encode() {
                Ok(bytes) => bytes,
                Err(_) => return Ok(()),
            },
            Err(_) => return Ok(()),
        };
        match Component::validate(engine, &bytes, self.features) {
            Err(error) => match error.kind() {
                ErrorKind::MalformedComponent { message: found, .. } if found.contains(message) => Ok(()),
                _ => Err(format!("rejection for `{message}` was expected, but it failed otherwise: {error}")),
            },
            Ok(()) => Err(format!("rejection for `{message}` was expected, but the component is accepted")),
        }
    }

    pub(crate) fn assert_unlinkable(&mut self, store: &mut Store<()>, wat: Wat<'_>, message: &str) -> Result {
        let component = self.decode(store, &mut QuoteWat::Wat(wat))?;
        match self.linker.instantiate(store, &component) {
            Err(error) if matches!(error.kind(), ErrorKind::Link(_)) => Ok(()),
            Err(error) => Err(format!("`{message}` was expected, but: {error}")),
            Ok(_) => Err(format!("`{message}` was expected, but the component was instantiated")),
        }
    }
}

/// Texts of traps begin as the suite says, with or without what all begin with.
fn check_trap(error: &Error, message: &str) -> Result {
    let text = error.to_string();
    let is_trap = error.trap().is_some() || error.downcast_ref::<Trap>().is_some();
    let bare = |text: &str| match text.strip_prefix("wasm trap: ").unwrap_or(text) {
        // What another host calls it.
        "wasm `unreachable` instruction executed" => "unreachable".to_owned(),
        text => text.to_owned(),
    };
    match is_trap && bare(&text).starts_with(&bare(message)) {
        true => Ok(()),
        false => Err(format!("the trap `{message}` was expected, but: {error}")),
    }
}

/// A value that a script writes down, of a type.
fn value(written: &WastVal<'_>, ty: &Type) -> Result<Val> {
    let payload = |written: &Option<Box<WastVal<'_>>>, ty: Option<&Type>| match (written, ty) {
        (Some(written), Some(ty)) => Ok(Some(Box::new(value(written, ty)?))),
        (None, None) => Ok(None),
        _ => Err(format!("a payload that does not fit {ty:?}")),
    };
    let all = |written: &[WastVal<'_>], ty: &Type| {
        written.iter().map(|written| value(written, ty)).collect::<Result<Vec<_>>>()
    };
    Ok(match (written, ty.kind()) {
        (WastVal::Bool(value), _) => Val::Bool(*value),
        (WastVal::U8(value), _) => Val::U8(*value),
        (WastVal::S8(value), _) => Val::S8(*value),
        (WastVal::U16(value), _) => Val::U16(*value),
        (WastVal::S16(value), _) => Val::S16(*value),
        (WastVal::U32(value), _) => Val::U32(*value),
        (WastVal::S32(value), _) => Val::S32(*value),
        (WastVal::U64(value), _) => Val::U64(*value),
        (WastVal::S64(value), _) => Val::S64(*value),
        (WastVal::F32(value), _) => Val::Float32(f32::from_bits(value.bits)),
        (WastVal::F64(value), _) => Val::Float64(f64::from_bits(value.bits)),
        (WastVal::Char(value), _) => Val::Char(*value),
        (WastVal::String(text), _) => Val::String((*text).to_owned()),
        (WastVal::Enum(label), _) => Val::enumeration(label),
        (WastVal::Flags(labels), _) => Val::flags(labels.iter().copied()),
        (WastVal::List(vals), TypeKind::List(ty) | TypeKind::FixedLengthList(ty, _)) => {
            Val::List(List::Vals(all(vals, &ty)?))
        }
        // A map may be written as the list of pairs that it is in memory.
        (WastVal::List(pairs), TypeKind::Map(key, val)) => {
            let pairs = pairs.iter().map(|pair| match pair {
                WastVal::Tuple(pair) if pair.len() == 2 => {
                    Ok((value(&pair[0], &key)?, value(&pair[1], &val)?))
                }
                other => Err(format!("no pair of a map: {other:?}")),
            });
            Val::Map(pairs.collect::<Result<_>>()?)
        }
        (WastVal::Map(pairs), TypeKind::Map(key, val)) => {
            let pairs = pairs.iter().map(|(k, v)| Ok((value(k, &key)?, value(v, &val)?)));
            Val::Map(pairs.collect::<Result<_>>()?)
        }
        (WastVal::Record(fields), TypeKind::Record(types)) => {
            let fields =
                fields.iter().zip(&types).map(|((name, val), (_, ty))| Ok(((*name).into(), value(val, ty)?)));
            Val::Record(fields.collect::<Result<_>>()?)
        }
        (WastVal::Tuple(vals), TypeKind::Tuple(types)) => {
            let vals = vals.iter().zip(&types).map(|(val, ty)| value(val, ty));
            Val::Tuple(vals.collect::<Result<_>>()?)
        }
        (WastVal::Variant(case, val), TypeKind::Variant(cases)) => {
            let ty = cases.iter().find(|(known, _)| **known == **case).and_then(|(_, ty)| ty.as_ref());
            Val::Variant((*case).into(), payload(val, ty)?)
        }
        (WastVal::Option(val), TypeKind::Option(ty)) => {
            Val::Option(val.as_ref().map(|val| value(val, &ty)).transpose()?.map(Box::new))
        }
        (WastVal::Result(Ok(val)), TypeKind::Result(ty, _)) => Val::Result(Ok(payload(val, ty.as_ref())?)),
        (WastVal::Result(Err(val)), TypeKind::Result(_, ty)) => Val::Result(Err(payload(val, ty.as_ref())?)),
        (written, _) => return Err(format!("{written:?} is not of the type {ty}")),
    })
}

/// Whether a value is the one that a script writes down.
fn is_equal(written: &WastVal<'_>, val: &Val) -> bool {
    let payload = |written: &Option<Box<WastVal<'_>>>, val: &Option<Box<Val>>| match (written, val) {
        (Some(written), Some(val)) => is_equal(written, val),
        (None, None) => true,
        _ => false,
    };
    let all = |written: &[WastVal<'_>], vals: &mut dyn ExactSizeIterator<Item = Val>| {
        written.len() == vals.len() && written.iter().zip(vals).all(|(written, val)| is_equal(written, &val))
    };
    match (written, val) {
        (WastVal::Bool(a), Val::Bool(b)) => a == b,
        (WastVal::U8(a), Val::U8(b)) => a == b,
        (WastVal::S8(a), Val::S8(b)) => a == b,
        (WastVal::U16(a), Val::U16(b)) => a == b,
        (WastVal::S16(a), Val::S16(b)) => a == b,
        (WastVal::U32(a), Val::U32(b)) => a == b,
        (WastVal::S32(a), Val::S32(b)) => a == b,
        (WastVal::U64(a), Val::U64(b)) => a == b,
        (WastVal::S64(a), Val::S64(b)) => a == b,
        (WastVal::F32(a), Val::Float32(b)) => a.bits == b.to_bits(),
        (WastVal::F64(a), Val::Float64(b)) => a.bits == b.to_bits(),
        (WastVal::Char(a), Val::Char(b)) => a == b,
        (WastVal::String(a), Val::String(b)) => a == b,
        (WastVal::Enum(a), Val::Enum(b)) => **a == **b,
        (WastVal::Flags(a), Val::Flags(b)) => {
            a.len() == b.len() && b.iter().all(|label| a.contains(&&**label))
        }
        (WastVal::List(written), Val::List(list)) => all(written, &mut list.iter()),
        (WastVal::Tuple(written), Val::Tuple(vals)) => all(written, &mut vals.iter().cloned()),
        (WastVal::List(written), Val::Map(pairs)) => {
            let is_pair = |(written, (key, val)): (&WastVal<'_>, &(Val, Val))| match written {
                WastVal::Tuple(both) if both.len() == 2 => is_equal(&both[0], key) && is_equal(&both[1], val),
                _ => false,
            };
            written.len() == pairs.len() && written.iter().zip(pairs).all(is_pair)
        }
        (WastVal::Map(written), Val::Map(pairs)) => {
            let mut both = written.iter().zip(pairs);
            written.len() == pairs.len() && both.all(|((a, x), (b, y))| is_equal(a, b) && is_equal(x, y))
        }
        (WastVal::Record(written), Val::Record(fields)) => {
            let mut both = written.iter().zip(fields);
            written.len() == fields.len() && both.all(|((a, x), (b, y))| **a == **b && is_equal(x, y))
        }
        (WastVal::Variant(a, x), Val::Variant(b, y)) => **a == **b && payload(x, y),
        (WastVal::Option(a), Val::Option(b)) => payload(a, b),
        (WastVal::Result(Ok(a)), Val::Result(Ok(b))) | (WastVal::Result(Err(a)), Val::Result(Err(b))) => {
            payload(a, b)
        }
        _ => false,
    }
}
