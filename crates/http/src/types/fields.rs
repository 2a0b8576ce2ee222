//! `wasi:http/types.fields`: headers and trailers.
//!
//! Those that a guest gets from a message cannot be changed by it. Fields that belong to a connection and not to a message are the host's business: a guest can neither set
//! nor see them.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use innkeeper_component::{Borrowed, Resource};
use innkeeper_engine::Error;
use innkeeper_wasi::p2::{Context, Failure, Held, Outcome, told};

use super::field_map::{FIELD_COST_BYTES, FieldMap};
use super::limits::HttpLimits;

/// `wasi:http/types.fields`
#[derive(Debug)]
pub(crate) struct Fields {
    /// With its charge, which ends with the last handle or message that has it.
    map: Arc<FieldMap>,
    mutability: Mutability,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutability {
    Mutable,
    Immutable,
}

/// Why fields are not changed, or not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldError {
    InvalidSyntax,
    Forbidden,
    Immutable,
    /// More than a limit lets there be.
    TooLarge,
}

impl Held for Fields {
    const NAME: &'static str = "wasi:http/types fields";
}

/// Whether a field belongs to a connection, or says what the host knows better.
pub(crate) fn is_forbidden(name: &HeaderName) -> bool {
    static NAMES: [HeaderName; 7] = [
        header::CONNECTION,
        header::HOST,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    NAMES.contains(name) || matches!(name.as_str(), "keep-alive" | "proxy-connection" | "http2-settings")
}

/// Takes away what no guest sees: also what `Connection` says is about the connection.
pub(super) fn remove_forbidden(map: &mut HeaderMap) {
    let names = |value: &HeaderValue| -> Vec<HeaderName> {
        let text = value.to_str().unwrap_or_default();
        text.split(',').filter_map(|name| name.trim().parse().ok()).collect()
    };
    let named: Vec<HeaderName> = map.get_all(header::CONNECTION).iter().flat_map(names).collect();
    for name in named {
        map.remove(name);
    }
    let forbidden: Vec<HeaderName> = map.keys().filter(|name| is_forbidden(name)).cloned().collect();
    for name in forbidden {
        map.remove(name);
    }
}

impl Fields {
    /// Fields of a message that was received.
    pub(crate) fn received(map: FieldMap) -> Fields {
        Fields { map: Arc::new(map), mutability: Mutability::Immutable }
    }

    /// Those of a guest that has just made them, and can change them.
    fn new(cx: &Context) -> Result<Fields, Error> {
        let map = FieldMap::new(cx.host().budget())?;
        Ok(Fields { map: Arc::new(map), mutability: Mutability::Mutable })
    }

    /// A copy, which the guest can change.
    fn copy(&self) -> Result<Fields, Error> {
        Ok(Fields { map: Arc::new(self.map.copy()?), mutability: Mutability::Mutable })
    }

    /// The same fields, which the guest cannot change, for a handle of their own. It may stay for longer than their message, or go into another one.
    pub(crate) fn shared(&self) -> Fields {
        Fields { map: Arc::clone(&self.map), mutability: Mutability::Immutable }
    }

    /// All fields, in order.
    pub(crate) fn entries(&self) -> Entries {
        let entries = self.map().iter();
        entries.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect()
    }

    /// The values of a name, if it is one.
    pub(crate) fn values(&self, name: &str) -> Vec<Vec<u8>> {
        self.map().get_all(name).iter().map(|value| value.as_bytes().to_vec()).collect()
    }

    /// The fields, to send them: a copy where a handle or another message has them as well.
    ///
    /// # Errors
    /// Where the budget has no more for it.
    pub(crate) fn into_map(self) -> Result<FieldMap, Error> {
        Arc::try_unwrap(self.map).or_else(|shared| shared.copy())
    }

    pub(crate) fn map(&self) -> &HeaderMap {
        self.map.map()
    }

    /// The map, to change it.
    fn own(&mut self) -> Result<&mut FieldMap, Error> {
        if Arc::strong_count(&self.map) > 1 {
            self.map = Arc::new(self.map.copy()?);
        }
        Arc::get_mut(&mut self.map).ok_or_else(|| Error::limit("fields that are in use elsewhere"))
    }

    fn check_mutable(&self) -> Result<(), FieldError> {
        match self.mutability {
            Mutability::Mutable => Ok(()),
            Mutability::Immutable => Err(FieldError::Immutable),
        }
    }

    /// Adds values of a name, in whose place those that there are go first if `replaces`. All is looked at before anything is copied: a guest can name the same bytes as often as it likes.
    fn add(
        &mut self,
        limits: &HttpLimits,
        (name, replaces): (&str, bool),
        values: &[&[u8]],
    ) -> Result<(), Failed> {
        if name.len() > limits.max_fields_bytes || values.len() > limits.max_fields {
            return Err(FieldError::TooLarge.into());
        }
        let name = name_to_set(name, values)?;
        let added = values.iter().map(|value| value.len() + name.as_str().len() + FIELD_COST_BYTES);
        let added = added.fold(0_usize, usize::saturating_add);
        let (gone, gone_bytes) = if replaces { self.map.count_of(&name) } else { (0, 0) };
        let bytes = (self.map.size_bytes() - gone_bytes).saturating_add(added);
        let count = self.map().len() - gone + values.len();
        if bytes > limits.max_fields_bytes || count > limits.max_fields.min(FieldMap::MOST_NAMES) {
            return Err(FieldError::TooLarge.into());
        }
        let values = values.iter().map(|value| HeaderValue::from_bytes(value));
        let values: Vec<HeaderValue> =
            values.collect::<Result<_, _>>().map_err(|_| FieldError::InvalidSyntax)?;
        Ok(self.own()?.add((name, replaces), values)?)
    }
}

impl From<FieldError> for Failed {
    fn from(error: FieldError) -> Failed {
        Failed(Failure::Code(error))
    }
}

impl<E: Into<Failure<FieldError>>> From<E> for Failed {
    fn from(error: E) -> Failed {
        Failed(error.into())
    }
}

/// Why a function of fields has failed.
pub(crate) struct Failed(Failure<FieldError>);

/// Tells the guest what came of it, in the words of its version.
pub(crate) fn tell<R, E: From<FieldError>>(result: Result<R, Failed>) -> Outcome<R, E> {
    Ok(told(result.map_err(|failed| failed.0))?.map_err(E::from))
}

/// A name that a guest may set to these values.
fn name_to_set(name: &str, values: &[&[u8]]) -> Result<HeaderName, FieldError> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| FieldError::InvalidSyntax)?;
    // Of what belongs to a connection, that trailers are understood is said by whoever understands them: gRPC asks for it.
    let is_of_trailers =
        name == header::TE && values.iter().all(|value| value.eq_ignore_ascii_case(b"trailers"));
    if is_forbidden(&name) && !is_of_trailers { Err(FieldError::Forbidden) } else { Ok(name) }
}

pub(crate) type Handle<'a> = Borrowed<'a, Fields>;
pub(crate) type Entries = Vec<(String, Vec<u8>)>;

/// `constructor`
pub(crate) fn make(cx: &mut Context) -> Result<Resource<Fields>, Error> {
    let fields = Fields::new(cx)?;
    Ok(cx.push(fields)?)
}

/// `clone`
pub(crate) fn copy(cx: &mut Context, fields: Handle<'_>) -> Result<Resource<Fields>, Error> {
    let copy = cx.get(fields)?.copy()?;
    Ok(cx.push(copy)?)
}

/// `from-list`
pub(crate) fn from_list(
    cx: &mut Context,
    limits: &HttpLimits,
    entries: &[(&str, &[u8])],
) -> Result<Resource<Fields>, Failed> {
    let mut fields = Fields::new(cx)?;
    for (name, value) in entries {
        fields.add(limits, (name, false), &[value])?;
    }
    Ok(cx.push(fields).map_err(Error::from)?)
}

/// `append`
pub(crate) fn append(
    cx: &mut Context,
    limits: &HttpLimits,
    (fields, name): (Handle<'_>, &str),
    value: &[u8],
) -> Result<(), Failed> {
    let fields = cx.get_mut(fields)?;
    fields.check_mutable()?;
    fields.add(limits, (name, false), &[value])
}

/// `set`. Nothing is changed where a value is refused.
pub(crate) fn set(
    cx: &mut Context,
    limits: &HttpLimits,
    (fields, name): (Handle<'_>, &str),
    values: &[&[u8]],
) -> Result<(), Failed> {
    let fields = cx.get_mut(fields)?;
    fields.check_mutable()?;
    fields.add(limits, (name, true), values)
}

/// `delete`; gives the values that there were.
pub(crate) fn delete(cx: &mut Context, (fields, name): (Handle<'_>, &str)) -> Result<Vec<Vec<u8>>, Failed> {
    let fields = cx.get_mut(fields)?;
    fields.check_mutable()?;
    let name = name_to_set(name, &[])?;
    let values = fields.values(name.as_str());
    fields.own()?.remove(&name);
    Ok(values)
}

/// Binds what both versions have of `fields`, with their own errors and name for all entries; gives the resource, to bind more of it. Whoever uses it has this module's names in scope.
macro_rules! bind_fields {
    ($types:expr, $limits:expr, $error:ty, $entries:literal) => {{
        let limits = *$limits;
        $types
            .resource::<Fields>("fields")
            .func::<(), Resource<Fields>>("[constructor]fields", |cx, ()| fields::make(cx))
            .func::<(Vec<(&str, &[u8])>,), Result<Resource<Fields>, $error>>(
                "[static]fields.from-list",
                move |cx, (entries,)| tell(fields::from_list(cx, &limits, &entries)),
            )
            .func::<(Handle<'_>, &str), Vec<Vec<u8>>>("[method]fields.get", |cx, (fields, name)| {
                Ok(cx.get(fields)?.values(name))
            })
            .func::<(Handle<'_>, &str), bool>("[method]fields.has", |cx, (fields, name)| {
                Ok(cx.get(fields)?.map().contains_key(name))
            })
            .func::<(Handle<'_>, &str, Vec<&[u8]>), Result<(), $error>>(
                "[method]fields.set",
                move |cx, (fields, name, values)| tell(fields::set(cx, &limits, (fields, name), &values)),
            )
            .func::<(Handle<'_>, &str), Result<(), $error>>("[method]fields.delete", |cx, params| {
                tell(fields::delete(cx, params).map(drop))
            })
            .func::<(Handle<'_>, &str, &[u8]), Result<(), $error>>(
                "[method]fields.append",
                move |cx, (fields, name, value)| tell(fields::append(cx, &limits, (fields, name), value)),
            )
            .func::<(Handle<'_>,), Entries>(concat!("[method]fields.", $entries), |cx, (fields,)| {
                Ok(cx.get(fields)?.entries())
            })
            .func::<(Handle<'_>,), Resource<Fields>>("[method]fields.clone", |cx, (fields,)| {
                fields::copy(cx, fields)
            })
    }};
}
pub(crate) use bind_fields;
