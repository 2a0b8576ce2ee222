//! A component: decoded, validated, planned, immutable and shared.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use innkeeper_engine as core;
use innkeeper_engine::{Engine, Error};

use crate::adapter::{self, Allowance, Batch, Calls};
use crate::decode::Decoded;
use crate::features::Features;
use crate::plan::{ImportKind, Plan};
use crate::types::FuncType;

/// A validated component. Cloning is cheap: clones share everything.
#[derive(Clone)]
pub struct Component(Arc<Inner>);

struct Inner {
    engine: Engine,
    nest: core::Nest,
    plan: Plan,
    /// Decoded when one is first needed.
    modules: Box<[OnceLock<core::Module>]>,
    /// What the plan takes.
    charge: core::Charge,
    /// Calls between the instances of the nest that code is generated for, worked out when it is first instantiated.
    calls: OnceLock<Calls>,
    /// Those of trampolines, by their numbers, and then that of destructors of the host's resources: looked up when it is first instantiated.
    number_types: OnceLock<core::NumberTypes>,
}

/// Something that a component must be given.
#[derive(Clone, Debug)]
pub struct ImportItem {
    /// The import's name, then those of exports of it, as in `wasi:cli/environment@0.2.0` and `get-arguments`.
    pub path: Vec<Arc<str>>,
    /// What must stand there.
    pub kind: ImportItemKind,
    /// Whether it can be left away: a resource type of which the component has no handles.
    pub is_optional: bool,
}

/// What kind of thing is imported.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ImportItemKind {
    /// A function.
    Func(FuncType),
    /// A core module.
    Module,
    /// A resource type.
    Resource,
    /// A component.
    Component,
}

impl Component {
    /// Decodes and validates a component in the binary format, with all that is nested in it, and works out what instantiating it comes to.
    ///
    /// # Errors
    /// [`core::ErrorKind::MalformedComponent`] with the offset where the bytes break the rules; [`core::ErrorKind::Unsupported`] for what is valid and not
    /// built yet; limits.
    pub fn new(engine: &Engine, bytes: impl Into<Vec<u8>>) -> Result<Component, Error> {
        Component::with_features(engine, bytes, Features::default())
    }

    /// As [`Component::new`], where components may use these parts of the component model.
    ///
    /// # Errors
    /// As [`Component::new`].
    pub fn with_features(
        engine: &Engine,
        bytes: impl Into<Vec<u8>>,
        features: Features,
    ) -> Result<Component, Error> {
        let decoded = Decoded::new(engine, bytes.into(), features.flags())?;
        Component::of_decoded(engine, decoded, features)
    }

    /// Works out what instantiating it comes to.
    pub(crate) fn of_decoded(
        engine: &Engine,
        mut decoded: Decoded,
        features: Features,
    ) -> Result<Component, Error> {
        let decoding = decoded.nest.take_charge();
        let budget = match &decoding {
            Some(charge) => charge.budget().clone(),
            None => core::Budget::new(engine.config().limits.memory_bytes, "Limits::memory_bytes"),
        };
        let (plan, charge) = Plan::new(&decoded, features, &budget)?;
        let modules = decoded.nest.modules().iter().map(|_| OnceLock::new()).collect();
        Ok(Component(Arc::new(Inner {
            engine: engine.clone(),
            nest: decoded.nest,
            plan,
            modules,
            calls: OnceLock::new(),
            number_types: OnceLock::new(),
            charge,
        })))
    }

    /// Checks that bytes are a valid component, without keeping it.
    ///
    /// # Errors
    /// As [`Component::new`], and where the system has no memory for a copy.
    pub fn validate(engine: &Engine, bytes: &[u8], features: Features) -> Result<(), Error> {
        let mut copy = Vec::new();
        copy.try_reserve_exact(bytes.len()).map_err(|_| {
            Error::limit(format!(
                "the system has no memory for a copy of the component's {} bytes",
                bytes.len()
            ))
        })?;
        copy.extend_from_slice(bytes);
        core::Nest::validate(engine, copy, features.flags())
    }

    /// Whether bytes begin as a component in the binary format does.
    #[must_use]
    pub fn is_one(bytes: &[u8]) -> bool {
        // The version of the format, and then the layer, which is that of components.
        bytes.starts_with(b"\0asm") && bytes.get(6..8) == Some(&[1, 0])
    }

    /// The engine that the component was made for.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.0.engine
    }

    /// The component in the binary format.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.nest.bytes()
    }

    /// Where each core module lies in the component's bytes, in their order.
    #[must_use]
    pub fn module_ranges(&self) -> &[Range<usize>] {
        self.0.nest.modules()
    }

    /// What the component must be given, function by function; what it imports and nothing is used of is not there.
    pub fn imports(&self) -> impl ExactSizeIterator<Item = ImportItem> + '_ {
        let plan = &self.0.plan;
        plan.imports.iter().map(|import| ImportItem {
            path: import.path.to_vec(),
            kind: match import.kind {
                ImportKind::Func(ty) => ImportItemKind::Func(FuncType::new(&plan.types, ty)),
                ImportKind::Module(_) => ImportItemKind::Module,
                ImportKind::Resource => ImportItemKind::Resource,
                ImportKind::Component => ImportItemKind::Component,
            },
            is_optional: !import.is_needed,
        })
    }

    /// The names of all imports, in order, with those that nothing is used of.
    pub fn import_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.plan.import_names.iter().map(|name| &**name)
    }

    /// The functions that an instance exports, with their types; one of an instance inside it is `instance#name`.
    #[must_use]
    pub fn exported_funcs(&self) -> Vec<(String, FuncType)> {
        let mut found = Vec::new();
        self.0.plan.exports.add_funcs(("", &self.0.plan.types), &mut found);
        found
    }

    /// The modules that the component consists of, all decoded now, and those that are generated for calls between its instances, as they are where its memories are as most are: for
    /// whoever compiles all of them.
    ///
    /// # Errors
    /// Limits; what is valid and not supported.
    pub fn all_modules(&self) -> Result<Vec<core::Module>, Error> {
        let own = (0..self.0.modules.len()).map(|number| self.module(number).cloned());
        own.chain(self.generated()).collect()
    }

    /// As [`core::Module::keep_code`], of all modules of the component together, which have one file in the cache.
    pub fn keep_code(&self) -> core::Lacking {
        self.0.keep_code()
    }

    pub(crate) fn nest(&self) -> &core::Nest {
        &self.0.nest
    }

    pub(crate) fn calls(&self) -> &Calls {
        self.0.calls.get_or_init(|| match adapter::is_on(&self.0.engine) {
            true => Calls::of(&self.0.plan),
            false => Calls::default(),
        })
    }

    /// Types of functions that the host makes for instances: of each trampoline, and last of destructors of the host's resources.
    ///
    /// # Errors
    /// Where the engine's registry of types is full.
    pub(crate) fn number_types(&self) -> Result<&core::NumberTypes, Error> {
        if let Some(types) = self.0.number_types.get() {
            return Ok(types);
        }
        let dtor = core::FuncType::new([core::ValType::I32], []);
        let types = self.0.plan.trampolines.iter().map(|trampoline| &trampoline.ty).chain([&dtor]);
        let types = core::NumberTypes::new(&self.0.engine, types)?;
        Ok(self.0.number_types.get_or_init(|| types))
    }

    /// What code for those may come to.
    pub(crate) fn allowance(&self) -> Allowance {
        Allowance::of_component(self.bytes().len())
    }

    /// What the component's own parts are charged to.
    pub(crate) fn budget(&self) -> &core::Budget {
        self.0.charge.budget()
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.0.plan
    }

    /// One of the modules, decoded now where it was not before.
    pub(crate) fn module(&self, number: usize) -> Result<&core::Module, Error> {
        let once =
            self.0.modules.get(number).ok_or_else(|| Error::limit("the component has no such module"))?;
        if let Some(module) = once.get() {
            return Ok(module);
        }
        let module = self.0.nest.module(number)?;
        let module = module.ok_or_else(|| Error::limit("the component has no such module"))?;
        Ok(once.get_or_init(|| module))
    }
}

impl Inner {
    fn keep_code(&self) -> core::Lacking {
        let generated =
            self.calls.get().into_iter().flat_map(|calls| &calls.batches).filter_map(Batch::module);
        self.nest.keep_code(self.modules.iter().filter_map(OnceLock::get).chain(generated))
    }
}

impl Drop for Inner {
    /// Once, and not module by module.
    fn drop(&mut self) {
        self.keep_code();
    }
}

impl std::fmt::Debug for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Component")
            .field("bytes", &self.bytes().len())
            .field("modules", &self.0.modules.len())
            .finish_non_exhaustive()
    }
}
