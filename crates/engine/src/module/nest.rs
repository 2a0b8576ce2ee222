//! Validates a component together with all modules and components nested in it, so that its modules need not be validated again.
//!
//! What a component means is not known here: whoever decodes it is shown each payload after it was validated, with the types that there are by then.
//!
//! Must stay true: a [`Nest`] is made only of bytes that have been validated to the end. Bodies of functions may have been so at an earlier time, for which the tier vouches.
//! [`Nest::module`] relies on that.

use std::ops::Range;
use std::sync::Arc;

use wasmparser::types::{Types, TypesRef};
use wasmparser::{Encoding, Parser, Payload, ValidPayload, Validator, WasmFeatures};

use super::bytes::ModuleBytes;
use super::decode::{Body, validate_bodies};
use super::{Module, no_memory, room};
use crate::budget::Charge;
use crate::engine::Engine;
use crate::error::{Error, ErrorKind};
use crate::tier::{Lacking, Preparation, Verdict};

/// A component that has been validated with everything in it.
pub struct Nest {
    engine: Engine,
    bytes: Arc<Vec<u8>>,
    /// Where each module lies, in their order.
    modules: Vec<Range<usize>>,
    types: Types,
    charge: Option<Charge>,
    /// What the tier knows of the component.
    preparation: Box<dyn Preparation>,
}

/// Whoever decodes a component: is shown each payload, after it was validated, and the types of the component or module that is being read then: at
/// the end of a nested one, those of the component around it.
pub type Visit<'a> = dyn FnMut(&Payload<'_>, TypesRef<'_>) -> Result<(), Error> + 'a;

impl Nest {
    /// Validates a component, in either format as [`Module::new`] reads; `features` are those of the component model, and the engine's configuration says what its modules may use.
    /// Bodies of functions are not validated again where the tier knows the component.
    ///
    /// # Errors
    /// [`ErrorKind::MalformedComponent`] with the offset where the bytes break the rules; whatever `visit` fails with.
    pub fn new(
        engine: &Engine,
        bytes: Vec<u8>,
        features: WasmFeatures,
        visit: &mut Visit<'_>,
    ) -> Result<Nest, Error> {
        let bytes = engine.to_binary(bytes)?;
        let preparation = engine.tier().cache_lookup(engine.config(), &bytes);
        Nest::of_prepared(engine, (bytes, preparation), features, visit)
    }

    /// The component of an engine's whose tier has been asked about it.
    pub(crate) fn of_prepared(
        engine: &Engine,
        (bytes, preparation): (Vec<u8>, Box<dyn Preparation>),
        features: WasmFeatures,
        visit: &mut Visit<'_>,
    ) -> Result<Nest, Error> {
        let (charge, bytes) = charged(engine, bytes)?;
        let (modules, types) = validate(engine, &bytes, (features, preparation.verdict()), visit)?;
        Ok(Nest { engine: engine.clone(), bytes: Arc::new(bytes), modules, types, charge, preparation })
    }

    /// Validates a component to the last body, without keeping it.
    ///
    /// # Errors
    /// As [`Nest::new`].
    pub fn validate(engine: &Engine, bytes: Vec<u8>, features: WasmFeatures) -> Result<(), Error> {
        let (_charge, bytes) = charged(engine, engine.to_binary(bytes)?)?;
        validate(engine, &bytes, (features, Verdict::Unknown), &mut |_, _| Ok(())).map(drop)
    }

    /// The component as it came.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What validating it could take, which stays charged until it has been worked out what the component means. None where that is too little to count.
    pub fn take_charge(&mut self) -> Option<Charge> {
        self.charge.take()
    }

    /// Everything that is known about its types.
    #[must_use]
    pub fn types(&self) -> TypesRef<'_> {
        self.types.as_ref()
    }

    /// Where each core module lies in [`Nest::bytes`], in their order.
    #[must_use]
    pub fn modules(&self) -> &[Range<usize>] {
        &self.modules
    }

    /// Decodes one of the modules, which shares the component's bytes; none where there is no such module.
    ///
    /// # Errors
    /// Limits; what is valid but not supported.
    pub fn module(&self, index: usize) -> Result<Option<Module>, Error> {
        let Some(range) = self.modules.get(index).cloned() else { return Ok(None) };
        let part = ModuleBytes::Part { whole: Arc::clone(&self.bytes), range };
        let preparation = self.preparation.part(number(index), None);
        // It was validated as a part of the component.
        Module::with_verdict(&self.engine, part, (Verdict::Valid, preparation)).map(Some)
    }

    /// A module that was generated to stand between instances of the component; backtraces leave out its frames. `index` counts those that are generated.
    ///
    /// # Errors
    /// As [`Module::new`].
    pub fn adapter(&self, index: usize, bytes: Vec<u8>) -> Result<Module, Error> {
        let preparation = self.preparation.part(number(self.modules.len() + index), Some(&bytes));
        Module::adapter(&self.engine, bytes, preparation)
    }

    /// As [`Module::keep_code`], of the component: `modules` are those that have been made of it here, whose code is kept together.
    pub fn keep_code<'m>(&self, modules: impl Iterator<Item = &'m Module>) -> Lacking {
        let noted = modules.inspect(|module| module.0.note_called()).last();
        noted.map_or(Lacking::default(), |module| module.0.write_cache())
    }
}

/// The number of a part. There are fewer than bytes, of which there are no more.
fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// A component's bytes, with what validating them can take.
fn charged(engine: &Engine, bytes: Vec<u8>) -> Result<(Option<Charge>, Vec<u8>), Error> {
    // Offsets are kept in 32 bits, as in a module.
    if u32::try_from(bytes.len()).is_err() {
        let len = bytes.len();
        return Err(Error::limit(format!("the component has {len} bytes; 4 GiB less one byte is the most")));
    }
    Ok((room::charge_nest(engine, &bytes)?, bytes))
}

impl std::fmt::Debug for Nest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Nest")
            .field("bytes", &self.bytes.len())
            .field("modules", &self.modules.len())
            .finish_non_exhaustive()
    }
}

fn validate(
    engine: &Engine,
    bytes: &[u8],
    (features, bodies_are): (WasmFeatures, Verdict),
    visit: &mut Visit<'_>,
) -> Result<(Vec<Range<usize>>, Types), Error> {
    let features = engine.config().features.flags().union(features);
    let mut validator = Validator::new_with_features(features);
    let mut parser = Parser::new(0);
    parser.set_features(features);
    let (mut modules, mut bodies, mut root): (_, Vec<Body<'_>>, _) = (Vec::new(), Vec::new(), None);
    let mut is_first = true;
    for payload in parser.parse_all(bytes) {
        let payload = payload.map_err(malformed)?;
        if let Payload::Version { encoding: Encoding::Module, .. } = payload
            && is_first
        {
            return Err(Error::new(ErrorKind::MalformedComponent {
                offset_bytes: 0,
                message: "this is a core module, not a component".to_owned(),
            }));
        }
        is_first = false;
        match &payload {
            Payload::CodeSectionStart { count, .. } if bodies_are == Verdict::Unknown => {
                let count = (*count as usize).min(bytes.len());
                bodies.try_reserve(count).map_err(|_| no_memory(count, "functions"))?;
            }
            Payload::ModuleSection { unchecked_range, .. } => {
                modules.push(unchecked_range.start as usize..unchecked_range.end as usize);
            }
            _ => {}
        }
        match validator.payload(&payload).map_err(malformed)? {
            ValidPayload::Func(..) if bodies_are == Verdict::Valid => {}
            ValidPayload::Func(func, body) => bodies.push((func, body)),
            ValidPayload::End(types) => {
                // What ends belongs to the component around it from now on.
                visit(&payload, validator.types(0).unwrap_or(types.as_ref()))?;
                root = Some(types);
            }
            _ => {
                if let Some(types) = validator.types(0) {
                    visit(&payload, types)?;
                }
            }
        }
    }
    validate_bodies(engine, &bodies, bytes).map_err(component_error)?;
    // The parser's last payload is the end of the outermost component.
    let root = root.ok_or_else(|| Error::limit("the component has no end"))?;
    Ok((modules, root))
}

fn malformed(error: wasmparser::BinaryReaderError) -> Error {
    component_error(error.into())
}

/// How validation begins to say that a component has values, or a start function, which takes and gives them.
const HAS_VALUES: &str = "support for component model `value`s is not enabled";

/// What is wrong with a module is wrong with the component that it is in. Values may be right, and are a part of the component model that is not built.
fn component_error(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Malformed { message, .. } if message.starts_with(HAS_VALUES) => {
            Error::new(ErrorKind::Unsupported("values and start functions of components".to_owned()))
        }
        ErrorKind::Malformed { offset_bytes, message } => {
            let (offset_bytes, message) = (*offset_bytes, message.clone());
            Error::new(ErrorKind::MalformedComponent { offset_bytes, message })
        }
        _ => error,
    }
}
