//! `wasi:http/types.fields` as WASI 0.3 has it.

use innkeeper_component::{ComponentType, Lower, Resource};
use innkeeper_wasi::p2::FindContext;
use innkeeper_wasi::p3::Interface;

use crate::types::HttpLimits;
use crate::types::fields::{self, Entries, FieldError, Fields, Handle, bind_fields, tell};

/// `wasi:http/types.header-error`
#[derive(Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(path = innkeeper_component)]
pub(super) enum HeaderError {
    InvalidSyntax,
    Forbidden,
    Immutable,
    SizeExceeded,
    #[expect(dead_code, reason = "nothing else fails")]
    Other(Option<String>),
}

impl From<FieldError> for HeaderError {
    fn from(error: FieldError) -> HeaderError {
        match error {
            FieldError::InvalidSyntax => HeaderError::InvalidSyntax,
            FieldError::Forbidden => HeaderError::Forbidden,
            FieldError::Immutable => HeaderError::Immutable,
            FieldError::TooLarge => HeaderError::SizeExceeded,
        }
    }
}

pub(super) fn bind<T: Send + 'static>(
    types: &mut Interface<'_, T, impl FindContext<T>>,
    limits: &HttpLimits,
) {
    bind_fields!(types, limits, HeaderError, "copy-all")
        .func::<(Handle<'_>, &str), Result<Vec<Vec<u8>>, HeaderError>>(
            "[method]fields.get-and-delete",
            |cx, params| tell(fields::delete(cx, params)),
        );
}
