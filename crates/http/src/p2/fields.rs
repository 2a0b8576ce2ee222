//! `wasi:http/types.fields`: headers and trailers.
//!
//! Those that a guest gets from a message cannot be changed by it. Fields that belong to a connection and not to a message are the host's business: a guest can neither set
//! nor see them.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use innkeeper_component::{Borrowed, ComponentType, Lower, Resource};
use innkeeper_engine::{BudgetKind, Charge, Error};
use innkeeper_wasi::p2::{Context, Failure, FindContext, Held, Interface, Outcome, told};

use super::limits::HttpLimits;

/// `wasi:http/types.fields`
#[derive(Debug)]
pub(super) struct Fields {
    map: Arc<HeaderMap>,
    mutability: Mutability,
    bytes: usize,
    /// What it holds is charged once: by who made it.
    charge: Option<Charge>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutability {
    Mutable,
    Immutable,
}

/// `wasi:http/types.header-error`
#[derive(Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(path = innkeeper_component, variant)]
pub(super) enum HeaderError {
    InvalidSyntax,
    /// Also what is over a limit: there is no better word for it.
    Forbidden,
    Immutable,
}

impl Held for Fields {
    const NAME: &'static str = "wasi:http/types fields";
}

/// Bytes that a field counts beside its name and value (RFC 9113, 6.5.2).
const FIELD_COST_BYTES: usize = 32;

/// Bytes that the host holds of a field beside its name and value, at most.
const FIELD_HELD_BYTES: usize = 256;

/// Whether a field belongs to a connection, or says what the host knows better.
pub(super) fn is_forbidden(name: &HeaderName) -> bool {
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

fn size_of_field(name: &HeaderName, value: &HeaderValue) -> usize {
    name.as_str().len() + value.len() + FIELD_COST_BYTES
}

fn held_bytes(bytes: usize, count: usize) -> u64 {
    (bytes + count * FIELD_HELD_BYTES) as u64
}

impl Fields {
    /// Fields of a message that was received, charged to the guest.
    pub(super) fn received(cx: &Context, map: HeaderMap) -> Result<Fields, Error> {
        let bytes = map.iter().map(|(name, value)| size_of_field(name, value)).sum();
        let charge = cx.host().budget().hold(BudgetKind::Buffer, held_bytes(bytes, map.len()))?;
        Ok(Fields { map: Arc::new(map), mutability: Mutability::Immutable, bytes, charge: Some(charge) })
    }

    fn new(cx: &Context) -> Fields {
        let charge = Some(cx.host().budget().empty(BudgetKind::Buffer));
        Fields { map: Arc::default(), mutability: Mutability::Mutable, bytes: 0, charge }
    }

    /// The same fields for a handle of their own, which is dropped before their message.
    pub(super) fn shared(&self) -> Fields {
        Fields { map: Arc::clone(&self.map), mutability: Mutability::Immutable, bytes: 0, charge: None }
    }

    /// The fields, to send them.
    pub(super) fn into_map(self) -> HeaderMap {
        Arc::unwrap_or_clone(self.map)
    }

    pub(super) fn map(&self) -> &HeaderMap {
        &self.map
    }

    fn check_mutable(&self) -> Result<(), HeaderError> {
        match self.mutability {
            Mutability::Mutable => Ok(()),
            Mutability::Immutable => Err(HeaderError::Immutable),
        }
    }

    fn append(&mut self, limits: &HttpLimits, name: HeaderName, value: HeaderValue) -> Result<(), Failed> {
        let bytes = self.bytes + size_of_field(&name, &value);
        let count = self.map.len() + 1;
        if bytes > limits.max_fields_bytes || count > limits.max_fields {
            return Err(HeaderError::Forbidden.into());
        }
        if let Some(charge) = &mut self.charge {
            charge.set(held_bytes(bytes, count)).map_err(Error::from)?;
        }
        let appended = Arc::make_mut(&mut self.map).try_append(name, value);
        appended.map_err(|_| HeaderError::Forbidden)?;
        self.bytes = bytes;
        Ok(())
    }

    fn remove(&mut self, name: &HeaderName) {
        let map = Arc::make_mut(&mut self.map);
        if let header::Entry::Occupied(entry) = map.entry(name.clone()) {
            let (name, values) = entry.remove_entry_mult();
            self.bytes -= values.map(|value| size_of_field(&name, &value)).sum::<usize>();
        }
    }
}

impl From<HeaderError> for Failed {
    fn from(error: HeaderError) -> Failed {
        Failed(Failure::Code(error))
    }
}

impl<E: Into<Failure<HeaderError>>> From<E> for Failed {
    fn from(error: E) -> Failed {
        Failed(error.into())
    }
}

/// Why a function of fields has failed.
struct Failed(Failure<HeaderError>);

fn tell<R>(result: Result<R, Failed>) -> Outcome<R, HeaderError> {
    told(result.map_err(|failed| failed.0))
}

/// A name that a guest may set.
fn name_to_set(name: &str) -> Result<HeaderName, HeaderError> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| HeaderError::InvalidSyntax)?;
    if is_forbidden(&name) { Err(HeaderError::Forbidden) } else { Ok(name) }
}

fn value_to_set(value: &[u8]) -> Result<HeaderValue, HeaderError> {
    HeaderValue::from_bytes(value).map_err(|_| HeaderError::InvalidSyntax)
}

type Handle<'a> = Borrowed<'a, Fields>;
type Changed = Result<(), HeaderError>;
type Entries = Vec<(String, Vec<u8>)>;

pub(super) fn bind<T: Send + 'static>(
    types: &mut Interface<'_, T, impl FindContext<T>>,
    limits: &HttpLimits,
) {
    let limits = *limits;
    types
        .resource::<Fields>("fields")
        .func::<(), Resource<Fields>>("[constructor]fields", |cx, ()| {
            let fields = Fields::new(cx);
            Ok(cx.push(fields)?)
        })
        .func::<(Vec<(&str, &[u8])>,), Result<Resource<Fields>, HeaderError>>(
            "[static]fields.from-list",
            move |cx, (entries,)| tell(from_list(cx, &limits, &entries)),
        )
        .func::<(Handle<'_>, &str), Vec<Vec<u8>>>("[method]fields.get", |cx, (fields, name)| {
            let values = cx.get(fields)?.map.get_all(name);
            Ok(values.iter().map(|value| value.as_bytes().to_vec()).collect())
        })
        .func::<(Handle<'_>, &str), bool>("[method]fields.has", |cx, (fields, name)| {
            Ok(cx.get(fields)?.map.contains_key(name))
        })
        .func::<(Handle<'_>, &str, Vec<&[u8]>), Changed>(
            "[method]fields.set",
            move |cx, (fields, name, values)| tell(set(cx, &limits, (fields, name), &values)),
        )
        .func::<(Handle<'_>, &str), Changed>("[method]fields.delete", |cx, (fields, name)| {
            let fields = cx.get_mut(fields)?;
            Ok(fields.check_mutable().and_then(|()| name_to_set(name)).map(|name| fields.remove(&name)))
        })
        .func::<(Handle<'_>, &str, &[u8]), Changed>(
            "[method]fields.append",
            move |cx, (fields, name, value)| tell(append(cx, &limits, (fields, name), value)),
        )
        .func::<(Handle<'_>,), Entries>("[method]fields.entries", |cx, (fields,)| {
            let entries = cx.get(fields)?.map.iter();
            Ok(entries.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec())).collect())
        })
        .func::<(Handle<'_>,), Resource<Fields>>("[method]fields.clone", |cx, (fields,)| {
            let map = Arc::clone(&cx.get(fields)?.map);
            let mut copy = Fields::received(cx, HeaderMap::clone(&map))?;
            copy.mutability = Mutability::Mutable;
            Ok(cx.push(copy)?)
        });
}

fn from_list(
    cx: &mut Context,
    limits: &HttpLimits,
    entries: &[(&str, &[u8])],
) -> Result<Resource<Fields>, Failed> {
    let mut fields = Fields::new(cx);
    for (name, value) in entries {
        fields.append(limits, name_to_set(name)?, value_to_set(value)?)?;
    }
    Ok(cx.push(fields).map_err(Error::from)?)
}

fn append(
    cx: &mut Context,
    limits: &HttpLimits,
    (fields, name): (Handle<'_>, &str),
    value: &[u8],
) -> Result<(), Failed> {
    let fields = cx.get_mut(fields)?;
    fields.check_mutable()?;
    fields.append(limits, name_to_set(name)?, value_to_set(value)?)
}

/// Nothing is changed where a value is refused for its form.
fn set(
    cx: &mut Context,
    limits: &HttpLimits,
    (fields, name): (Handle<'_>, &str),
    values: &[&[u8]],
) -> Result<(), Failed> {
    let fields = cx.get_mut(fields)?;
    fields.check_mutable()?;
    let name = name_to_set(name)?;
    let values: Vec<HeaderValue> =
        values.iter().map(|value| value_to_set(value)).collect::<Result<_, _>>()?;
    fields.remove(&name);
    values.into_iter().try_for_each(|value| fields.append(limits, name.clone(), value))
}
