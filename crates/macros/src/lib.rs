//! Derives of `ComponentType`, `Lift` and `Lower`, which `innkeeper::component` re-exports beside the traits.
//!
//! What a Rust type is in WIT is read once (`input.rs`); each derive writes its trait from that. Must stay true: what is generated uses public names of
//! `innkeeper::component` only, so that everything it does could be written by hand.

#![forbid(unsafe_code)]

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

fn derive(input: TokenStream, implement: fn(&Input) -> proc_macro2::TokenStream) -> TokenStream {
    let input = syn::parse(input).and_then(|input| Input::new(&input));
    input.map_or_else(|error| error.to_compile_error(), |input| implement(&input)).into()
}
