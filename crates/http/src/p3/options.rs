//! `wasi:http/types.request-options`: how long a guest waits for what a request leads to.

use std::time::Duration;

use innkeeper_component::{Borrowed, ComponentType, Lower, Resource};
use innkeeper_wasi::p2::{FindContext, Held};
use innkeeper_wasi::p3::Interface;

use crate::types::{RequestTimes, nanoseconds};

/// `wasi:http/types.request-options`
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RequestOptions {
    pub(super) times: RequestTimes,
    /// Those of a request are.
    pub(super) is_immutable: bool,
}

/// `wasi:http/types.request-options-error`
#[derive(Debug, PartialEq, Eq, ComponentType, Lower)]
#[component(path = innkeeper_component)]
enum RequestOptionsError {
    #[expect(dead_code, reason = "all times are there")]
    NotSupported,
    Immutable,
    #[expect(dead_code, reason = "nothing else fails")]
    Other(Option<String>),
}

impl Held for RequestOptions {
    const NAME: &'static str = "wasi:http/types request-options";
}

type Handle<'a> = Borrowed<'a, RequestOptions>;

/// A time of the options as two functions: one that reads it, and one that sets it.
macro_rules! time {
    ($types:ident, $name:literal, $field:ident) => {
        $types
            .func::<(Handle<'_>,), Option<u64>>(
                concat!("[method]request-options.get-", $name),
                |cx, (options,)| Ok(cx.get(options)?.times.$field.map(nanoseconds)),
            )
            .func::<(Handle<'_>, Option<u64>), Result<(), RequestOptionsError>>(
                concat!("[method]request-options.set-", $name),
                |cx, (options, time)| {
                    let options = cx.get_mut(options)?;
                    if options.is_immutable {
                        return Ok(Err(RequestOptionsError::Immutable));
                    }
                    options.times.$field = time.map(Duration::from_nanos);
                    Ok(Ok(()))
                },
            )
    };
}

pub(super) fn bind<T: Send + 'static>(types: &mut Interface<'_, T, impl FindContext<T>>) {
    types
        .resource::<RequestOptions>("request-options")
        .func::<(), Resource<RequestOptions>>("[constructor]request-options", |cx, ()| {
            Ok(cx.push(RequestOptions::default())?)
        })
        .func::<(Handle<'_>,), Resource<RequestOptions>>(
            "[method]request-options.clone",
            |cx, (options,)| {
                let times = cx.get(options)?.times;
                Ok(cx.push(RequestOptions { times, is_immutable: false })?)
            },
        );
    time!(types, "connect-timeout", connect);
    time!(types, "first-byte-timeout", first_byte);
    time!(types, "between-bytes-timeout", between_bytes);
}
