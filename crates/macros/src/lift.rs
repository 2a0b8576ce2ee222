//! `Lift`: values from core values and from bytes.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};

use crate::component_type::{discriminant_size, shapes};
use crate::input::{Input, Kind, Part};

pub(crate) fn implement(input: &Input) -> TokenStream {
    let (name, path) = (&input.name, &input.path);
    let (declared, given) = input.generics();
    let lifted = input.with_lifetime(&quote!('lifted));
    let (lift, load) = match &input.kind {
        Kind::Record(fields) => record(input, fields),
        Kind::Variant(cases) | Kind::Enum(cases) => variant(input, cases),
        Kind::Flags(flags) => {
            let value = flags_value(flags);
            let shape = quote!(<Self as #path::ComponentType>::SHAPE);
            (
                quote! { let bits = slots.next_slot() as u32; #value },
                quote! { let bits = context.read_number(address, #shape.size()); #value },
            )
        }
    };
    quote! {
        #[automatically_derived]
        impl #declared #path::Lift for #name #given {
            type Lifted<'lifted> = #lifted;

            fn lift<'lifted>(
                context: &mut #path::LiftContext<'lifted>,
                slots: &mut #path::Slots<'_>,
            ) -> ::core::result::Result<#lifted, #path::Error> {
                #lift
            }

            fn load<'lifted>(
                context: &mut #path::LiftContext<'lifted>,
                address: u32,
            ) -> ::core::result::Result<#lifted, #path::Error> {
                #load
            }
        }
    }
}

fn record(input: &Input, fields: &[Part]) -> (TokenStream, TokenStream) {
    let (name, path) = (&input.name, &input.path);
    let names: Vec<_> = fields.iter().map(|field| &field.name).collect();
    let types: Vec<_> = fields.iter().filter_map(|field| field.ty.as_ref()).collect();
    // A field can have the name of anything that is used here.
    let values: Vec<_> = (0..fields.len()).map(|index| format_ident!("value_{index}")).collect();
    let lift = quote! {
        ::core::result::Result::Ok(#name { #(#names: <#types as #path::Lift>::lift(context, slots)?),* })
    };
    let load = quote! {
        let end = 0;
        #(
            let at = <#types as #path::ComponentType>::SHAPE.field_at(end);
            let end = at + <#types as #path::ComponentType>::SHAPE.size();
            let #values = <#types as #path::Lift>::load(context, address + at)?;
        )*
        let _ = end;
        ::core::result::Result::Ok(#name { #(#names: #values),* })
    };
    (lift, load)
}

fn variant(input: &Input, cases: &[Part]) -> (TokenStream, TokenStream) {
    let (name, path) = (&input.name, &input.path);
    let arms = |read: &dyn Fn(&syn::Type) -> TokenStream| {
        let arms = cases.iter().zip(0u32..).map(|(case, number)| {
            let case_name = &case.name;
            let payload = case.ty.as_ref().map(|ty| {
                let read = read(ty);
                quote!((#read?))
            });
            quote!(#number => ::core::result::Result::Ok(#name::#case_name #payload),)
        });
        quote!(#(#arms)*)
    };
    let lift_arms = arms(&|ty| quote!(<#ty as #path::Lift>::lift(context, &mut payload)));
    let load_arms = arms(&|ty| quote!(<#ty as #path::Lift>::load(context, address + payload_at)));
    let (shapes, size) = (shapes(input, cases), discriminant_size(cases.len()));
    let shape = quote!(<Self as #path::ComponentType>::SHAPE);
    let lift = quote! {
        let case = slots.next_slot() as u32;
        #[allow(unused_variables, unused_mut)]
        let mut payload = slots.payload(#shape.flat() - 1);
        match case {
            #lift_arms
            _ => ::core::result::Result::Err(context.no_case(case)),
        }
    };
    let payload = (!matches!(input.kind, Kind::Enum(_))).then(|| payload_at(input, &shapes));
    let load = quote! {
        #payload
        match context.read_number(address, #size) {
            #load_arms
            case => ::core::result::Result::Err(context.no_case(case)),
        }
    };
    (lift, load)
}

/// Where the payload is. A constant cannot name the type's lifetime, so that it is a variable; the compiler makes a number of it.
fn payload_at(input: &Input, shapes: &TokenStream) -> TokenStream {
    let path = &input.path;
    quote!(let payload_at = #path::Shape::payload(&#shapes);)
}

fn flags_value(flags: &[Part]) -> TokenStream {
    let names = flags.iter().map(|flag| &flag.name);
    let bits = 0..flags.len() as u32;
    quote!(::core::result::Result::Ok(Self { #(#names: bits >> #bits & 1 != 0),* }))
}
