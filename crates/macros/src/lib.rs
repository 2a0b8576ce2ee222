//! Derives of `ComponentType`, `Lift` and `Lower`, and `bindgen!`, which `innkeeper::component` re-exports beside the traits.
//!
//! What a Rust type is in WIT is read once (`input.rs`); each derive writes its trait from that. Must stay true: what is generated uses public names of
//! `innkeeper::component` only, so that everything it does could be written by hand.

#![forbid(unsafe_code)]

#[cfg(feature = "bindgen")]
mod bindgen;
mod component_type;
mod input;
mod lift;
mod lower;
mod names;

use input::Input;
use proc_macro::TokenStream;

/// Says which type of WIT a Rust type is, and how it is laid out.
///
/// A struct with named fields is a record, and with `#[component(flags)]`, flags, of which each field is one, a `bool`. An enum of which no case has a payload is an
/// `enum`, and with `#[component(variant)]` a variant; any other is a variant, whose cases have one payload or none. Names are those of WIT with `-` between words:
/// `ReadOnly` and `read_only` are `read-only`; `#[component(name = "...")]` gives another one. A type has a lifetime where it borrows, and no other parameters.
///
/// What is generated is of `innkeeper::component`; `#[component(path = some::path)]` says where else that is found.
#[proc_macro_derive(ComponentType, attributes(component))]
pub fn derive_component_type(input: TokenStream) -> TokenStream {
    derive(input, component_type::implement)
}

/// Makes values of a Rust type from what a guest hands over; see [`ComponentType`](derive@ComponentType).
#[proc_macro_derive(Lift, attributes(component))]
pub fn derive_lift(input: TokenStream) -> TokenStream {
    derive(input, lift::implement)
}

/// Hands values of a Rust type to a guest; see [`ComponentType`](derive@ComponentType).
#[proc_macro_derive(Lower, attributes(component))]
pub fn derive_lower(input: TokenStream) -> TokenStream {
    derive(input, lower::implement)
}

/// Makes Rust of WIT: types, traits for a host to implement for what components import, and typed calls of what they export.
///
/// ```ignore
/// innkeeper::component::bindgen!("greeter");                                       // the world `greeter` of the folder `wit` of this package
/// innkeeper::component::bindgen!("greeter" in "interfaces");
/// innkeeper::component::bindgen!({
///     path: "wit",                             // or a list; files, and folders with their `deps`
///     inline: "package a:b; world c { }",      // a package in place of the first path's
///     world: "greeter",                        // or worlds: ["one", "ns:package/other"], which share their types
///     with: { "wasi:io/poll/pollable": crate::Pollable, "wasi:clocks/wall-clock": other::bindings::wall_clock },
///     imports: { default: trappable, "wasi:io/poll": async | trappable, "wasi:io/poll#poll": sync },
///     exports: async,                          // of all; or as `imports`
///     features: ["some-gate"],                 // what is marked `@unstable`; all_features: true
///     owned_parameters: true,                  // host functions take `String` instead of `&str`
///     derives: [serde::Serialize],
///     omit_unsupported: true,                  // leave out what has streams, futures or maps
/// });
/// ```
///
/// For each interface that is imported there is a module, `ns::package::interface`, with its types, a trait `Host` and `add_to_linker`; for each that is exported, `exports::ns::package::interface` with
/// `Guest`, whose functions are `call_...`. For the world there is a struct with its name: `add_to_linker` of all imports, `instantiate`, and the exports. A resource that is imported is a type that `with` names, or
/// one that has no values and stands for it in `Resource<...>`.
#[cfg(feature = "bindgen")]
#[proc_macro]
pub fn bindgen(input: TokenStream) -> TokenStream {
    let expanded = syn::parse(input).and_then(bindgen::expand);
    expanded.unwrap_or_else(|error| error.to_compile_error()).into()
}

fn derive(input: TokenStream, implement: fn(&Input) -> proc_macro2::TokenStream) -> TokenStream {
    let input = syn::parse(input).and_then(|input| Input::new(&input));
    input.map_or_else(|error| error.to_compile_error(), |input| implement(&input)).into()
}
