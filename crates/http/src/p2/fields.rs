//! `wasi:http/types.fields` as WASI 0.2 has it.

use innkeeper_component::{ComponentType, Lower, Resource};
use innkeeper_wasi::p2::{FindContext, Interface};

use crate::types::HttpLimits;
use crate::types::fields::{self, Entries, FieldError, Fields, Handle, tell};

/// `wasi:http/types.header-error`
#[derive(Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(path = innkeeper_component, variant)]
pub(super) enum HeaderError {
    InvalidSyntax,
    /// Also what is over a limit: there is no better word for it.
    Forbidden,
    Immutable,
}

impl From<FieldError> for HeaderError {
    fn from(error: FieldError) -> HeaderError {
        match error {
            FieldError::InvalidSyntax => HeaderError::InvalidSyntax,
            FieldError::Forbidden | FieldError::TooLarge => HeaderError::Forbidden,
            FieldError::Immutable => HeaderError::Immutable,
        }
    }
}

type Changed = Result<(), HeaderError>;

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
            move |cx, (entries,)| tell(fields::from_list(cx, &limits, &entries)),
        )
        .func::<(Handle<'_>, &str), Vec<Vec<u8>>>("[method]fields.get", |cx, (fields, name)| {
            Ok(cx.get(fields)?.values(name))
        })
        .func::<(Handle<'_>, &str), bool>("[method]fields.has", |cx, (fields, name)| {
            Ok(cx.get(fields)?.map().contains_key(name))
        })
        .func::<(Handle<'_>, &str, Vec<&[u8]>), Changed>(
            "[method]fields.set",
            move |cx, (fields, name, values)| tell(fields::set(cx, &limits, (fields, name), &values)),
        )
        .func::<(Handle<'_>, &str), Changed>("[method]fields.delete", |cx, params| {
            tell(fields::delete(cx, params).map(drop))
        })
        .func::<(Handle<'_>, &str, &[u8]), Changed>(
            "[method]fields.append",
            move |cx, (fields, name, value)| tell(fields::append(cx, &limits, (fields, name), value)),
        )
        .func::<(Handle<'_>,), Entries>("[method]fields.entries", |cx, (fields,)| {
            Ok(cx.get(fields)?.entries())
        })
        .func::<(Handle<'_>,), Resource<Fields>>("[method]fields.clone", |cx, (fields,)| {
            let copy = cx.get(fields)?.copy(cx)?;
            Ok(cx.push(copy)?)
        });
}
