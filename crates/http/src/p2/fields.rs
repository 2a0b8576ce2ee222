//! `wasi:http/types.fields` as WASI 0.2 has it.

use innkeeper_component::{ComponentType, Lower, Resource};
use innkeeper_wasi::p2::{FindContext, Interface};

use crate::types::HttpLimits;
use crate::types::fields::{self, Entries, FieldError, Fields, Handle, bind_fields, tell};

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

pub(super) fn bind<T: Send + 'static>(
    types: &mut Interface<'_, T, impl FindContext<T>>,
    limits: &HttpLimits,
) {
    bind_fields!(types, limits, HeaderError, "entries");
}
