//! `ComponentType`: which type it is, and its layout.

use proc_macro2::TokenStream;
use quote::quote;

use crate::input::{Input, Kind, Part};

pub(crate) fn implement(input: &Input) -> TokenStream {
    let (name, path) = (&input.name, &input.path);
    let (declared, given) = input.generics();
    let names = input.kind.parts().iter().map(|part| &part.wit_name);
    let count = input.kind.parts().len();
    let (shape, define) = match &input.kind {
        Kind::Record(fields) => {
            let types: Vec<_> = fields.iter().filter_map(|field| field.ty.as_ref()).collect();
            (
                quote!(#path::Shape::record(&[#(<#types as #path::ComponentType>::SHAPE),*])),
                quote! {
                    let fields = [#((#names, <#types as #path::ComponentType>::define(types))),*];
                    types.record(&fields)
                },
            )
        }
        Kind::Variant(cases) => {
            let shapes = shapes(input, cases);
            let types = cases.iter().map(|case| match &case.ty {
                Some(ty) => {
                    quote!(::core::option::Option::Some(<#ty as #path::ComponentType>::define(types)))
                }
                None => quote!(::core::option::Option::None),
            });
            (
                quote!(#path::Shape::variant(&#shapes)),
                quote! {
                    let cases = [#((#names, #types)),*];
                    types.variant(&cases)
                },
            )
        }
        Kind::Enum(_) => {
            (quote!(#path::Shape::enumeration(#count)), quote!(types.enumeration(&[#(#names),*])))
        }
        Kind::Flags(_) => (quote!(#path::Shape::flags(#count)), quote!(types.flags(&[#(#names),*]))),
    };
    quote! {
        impl #declared #path::ComponentType for #name #given {
            const SHAPE: #path::Shape = #shape;

            fn define(types: &mut #path::WitTypes) -> #path::WitType {
                #define
            }
        }
    }
}

/// The shapes of a variant's cases.
pub(crate) fn shapes(input: &Input, cases: &[Part]) -> TokenStream {
    let path = &input.path;
    let shapes = cases.iter().map(|case| match &case.ty {
        Some(ty) => quote!(::core::option::Option::Some(<#ty as #path::ComponentType>::SHAPE)),
        None => quote!(::core::option::Option::None),
    });
    quote!([#(#shapes),*])
}

/// How many bytes the number of a case has, of so many.
pub(crate) fn discriminant_size(cases: usize) -> u32 {
    match cases {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    }
}
