//! Calls of components under observation: values as text in WAVE, as JSON and as bytes, and records of calls.
//!
//! A call is its function's name, its arguments and its result, whatever memory these lie in: what a component does is what it says in the terms of WIT. Nothing here
//! knows which functions there are.

mod json;
mod record;
mod replay;
mod values;
mod wave;

pub(crate) use json::JsonText;
pub(crate) use record::Answered;
pub use record::ComponentRecorder;
pub use replay::ComponentReplayer;
pub(crate) use replay::{Made, NoAnswer};
pub(crate) use wave::WaveText;

use innkeeper_component::HostCallName;

/// Elements of a list that are written.
const MAX_ELEMENTS: u32 = 32;

/// Bytes of a list of bytes that are written.
const MAX_BYTES: usize = 64;

/// Longest text that is written of a string, in characters.
const MAX_TEXT_CHARS: usize = 256;

/// What is written of the values of a call ends about here.
const MAX_LINE_BYTES: usize = 8192;

/// A function's name as traces have it, `wasi:io/streams.[method]input-stream.read`: which version a component imports says nothing of what it does.
pub(crate) fn short_name(name: &HostCallName) -> String {
    match name.instance() {
        Some(instance) => {
            let interface = instance.split_once('@').map_or(instance, |(interface, _)| interface);
            format!("{interface}.{}", name.function())
        }
        None => name.function(),
    }
}
