//! `Lower`: values to core values and to bytes.

use proc_macro2::TokenStream;
use quote::quote;

use crate::component_type::{discriminant_size, shapes};
use crate::input::{Input, Kind, Part};

pub(crate) fn implement(input: &Input) -> TokenStream {
    let (name, path) = (&input.name, &input.path);
    let (declared, given) = input.generics();
    let shape = quote!(<Self as #path::ComponentType>::SHAPE);
    let (lower, store) = match &input.kind {
        Kind::Record(fields) => record(input, fields),
        Kind::Variant(cases) | Kind::Enum(cases) => variant(input, cases),
        Kind::Flags(flags) => {
            let names = flags.iter().map(|flag| &flag.name);
            let bits = 0..flags.len() as u32;
            let value = quote!(0 #(| u32::from(self.#names) << #bits)*);
            (
                quote! {
                    let bits: u32 = #value;
                    slots.push(u64::from(bits));
                    ::core::result::Result::Ok(())
                },
                quote!(context.write_number(address, #value, #shape.size())),
            )
        }
    };
    let look = look_at_handles(input);
    quote! {
        #[automatically_derived]
        impl #declared #path::Lower for #name #given {
            fn lower(
                &self,
                context: &mut #path::LowerContext<'_>,
                slots: &mut #path::SlotsMut,
            ) -> ::core::result::Result<(), #path::Error> {
                #lower
            }

            fn store(
                &self,
                context: &mut #path::LowerContext<'_>,
                address: u32,
            ) -> ::core::result::Result<(), #path::Error> {
                #store
            }

            #look
        }
    }
}

/// Looks at handles, in those types that can have such.
fn look_at_handles(input: &Input) -> TokenStream {
    let (name, path) = (&input.name, &input.path);
    let look =
        |ty: &syn::Type, value: TokenStream| quote!(<#ty as #path::Lower>::look_at_handles(#value, given)?;);
    let looks = match &input.kind {
        Kind::Record(fields) => {
            let looks = fields.iter().filter_map(|field| {
                let name = &field.name;
                Some(look(field.ty.as_ref()?, quote!(&self.#name)))
            });
            quote!(#(#looks)*)
        }
        Kind::Variant(cases) => {
            let arms = cases.iter().filter_map(|case| {
                let (case_name, look) = (&case.name, look(case.ty.as_ref()?, quote!(payload)));
                Some(quote!(#name::#case_name(payload) => { #look }))
            });
            quote!(match self { #(#arms)* _ => {} })
        }
        Kind::Enum(_) | Kind::Flags(_) => return TokenStream::new(),
    };
    quote! {
        #[allow(unreachable_patterns)]
        fn look_at_handles(
            &self,
            given: &mut #path::GivenHandles<'_>,
        ) -> ::core::result::Result<(), #path::Error> {
            #looks
            ::core::result::Result::Ok(())
        }
    }
}

fn record(input: &Input, fields: &[Part]) -> (TokenStream, TokenStream) {
    let path = &input.path;
    let names: Vec<_> = fields.iter().map(|field| &field.name).collect();
    let types: Vec<_> = fields.iter().filter_map(|field| field.ty.as_ref()).collect();
    let lower = quote! {
        #(<#types as #path::Lower>::lower(&self.#names, context, slots)?;)*
        ::core::result::Result::Ok(())
    };
    let store = quote! {
        let end = 0;
        #(
            let at = <#types as #path::ComponentType>::SHAPE.field_at(end);
            let end = at + <#types as #path::ComponentType>::SHAPE.size();
            <#types as #path::Lower>::store(&self.#names, context, address + at)?;
        )*
        let _ = end;
        ::core::result::Result::Ok(())
    };
    (lower, store)
}

fn variant(input: &Input, cases: &[Part]) -> (TokenStream, TokenStream) {
    let (name, path) = (&input.name, &input.path);
    let arms = |write: &dyn Fn(u32, Option<&syn::Type>) -> TokenStream| {
        let arms = cases.iter().zip(0u32..).map(|(case, number)| {
            let case_name = &case.name;
            let payload = case.ty.as_ref().map(|_| quote!((payload)));
            let write = write(number, case.ty.as_ref());
            quote!(#name::#case_name #payload => { #write })
        });
        quote!(#(#arms)*)
    };
    let lower_arms = arms(&|number, ty| {
        let payload = ty.map(|ty| quote!(<#ty as #path::Lower>::lower(payload, context, slots)?;));
        quote!(slots.push(u64::from(#number)); #payload)
    });
    let (shapes, size) = (shapes(input, cases), discriminant_size(cases.len()));
    let store_arms = arms(&|number, ty| {
        let payload = ty.map(|ty| {
            quote! {
                let at = address + #path::Shape::payload(&#shapes);
                <#ty as #path::Lower>::store(payload, context, at)?;
            }
        });
        quote!(context.write_number(address, #number, #size)?; #payload)
    });
    let shape = quote!(<Self as #path::ComponentType>::SHAPE);
    let lower = quote! {
        let end = slots.length() + #shape.flat();
        match self { #lower_arms }
        slots.fill_to(end);
        ::core::result::Result::Ok(())
    };
    let store = quote! {
        match self { #store_arms }
        ::core::result::Result::Ok(())
    };
    (lower, store)
}
