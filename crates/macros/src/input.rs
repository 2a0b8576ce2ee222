//! What a Rust type is in WIT.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::{
    Attribute, Data, DeriveInput, Error, Fields, GenericParam, Ident, Lifetime, LitStr, Path, Result, Type,
};

use crate::names::kebab;

/// A type that one of the traits is to be derived for.
pub(crate) struct Input {
    pub(crate) name: Ident,
    lifetime: Option<Lifetime>,
    /// Where the traits are.
    pub(crate) path: TokenStream,
    pub(crate) kind: Kind,
}

pub(crate) enum Kind {
    Record(Vec<Part>),
    Flags(Vec<Part>),
    Enum(Vec<Part>),
    Variant(Vec<Part>),
}

/// A field or a case.
pub(crate) struct Part {
    pub(crate) name: Ident,
    pub(crate) wit_name: String,
    /// Of a field, or of a case's payload.
    pub(crate) ty: Option<Type>,
}

/// What is said in `#[component(...)]`.
#[derive(Default)]
struct Said {
    name: Option<String>,
    path: Option<Path>,
    flags: bool,
    variant: bool,
}

/// Flags that a type may have (canonical ABI).
const MAX_FLAGS: usize = 32;

impl Input {
    pub(crate) fn new(input: &DeriveInput) -> Result<Input> {
        let said = Said::new(&input.attrs)?;
        let mut lifetime = None;
        for param in &input.generics.params {
            match param {
                GenericParam::Lifetime(param) if lifetime.is_none() => {
                    lifetime = Some(param.lifetime.clone())
                }
                _ => {
                    let message = "a type of WIT may have one lifetime, and no other parameters";
                    return Err(Error::new_spanned(param, message));
                }
            }
        }
        let kind = match &input.data {
            Data::Struct(data) => {
                let fields = fields(&data.fields, &input.ident)?;
                if said.flags { Kind::Flags(fields) } else { Kind::Record(fields) }
            }
            Data::Enum(data) => {
                let cases: Vec<Part> = data.variants.iter().map(case).collect::<Result<_>>()?;
                let is_enum = !said.variant && cases.iter().all(|case| case.ty.is_none());
                if is_enum { Kind::Enum(cases) } else { Kind::Variant(cases) }
            }
            Data::Union(_) => return Err(Error::new_spanned(&input.ident, "a union is no type of WIT")),
        };
        kind.check(&said, &input.ident)?;
        let path = match said.path {
            Some(path) => path.into_token_stream(),
            None => quote!(::innkeeper::component),
        };
        Ok(Input { name: input.ident.clone(), lifetime, path, kind })
    }

    /// The type's parameters, as an `impl` declares them and as the type has them.
    pub(crate) fn generics(&self) -> (TokenStream, TokenStream) {
        match &self.lifetime {
            Some(lifetime) => (quote!(<#lifetime>), quote!(<#lifetime>)),
            None => (TokenStream::new(), TokenStream::new()),
        }
    }

    /// The type with another lifetime in the place of its own, where it has one.
    pub(crate) fn with_lifetime(&self, lifetime: &TokenStream) -> TokenStream {
        let name = &self.name;
        if self.lifetime.is_some() { quote!(#name<#lifetime>) } else { quote!(#name) }
    }
}

impl Kind {
    pub(crate) fn parts(&self) -> &[Part] {
        match self {
            Kind::Record(parts) | Kind::Flags(parts) | Kind::Enum(parts) | Kind::Variant(parts) => parts,
        }
    }

    fn check(&self, said: &Said, name: &Ident) -> Result<()> {
        let parts = self.parts().len();
        let message = match self {
            _ if parts == 0 => "a type of WIT has at least one field or case",
            Kind::Flags(_) if parts > MAX_FLAGS => "there are at most 32 flags",
            Kind::Enum(_) | Kind::Variant(_) if said.flags => "flags are a struct of `bool`s",
            Kind::Record(_) | Kind::Flags(_) if said.variant => "a variant is an `enum` of Rust",
            _ => return Ok(()),
        };
        Err(Error::new_spanned(name, message))
    }
}

impl Said {
    fn new(attributes: &[Attribute]) -> Result<Said> {
        let mut said = Said::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("component")) {
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("name") {
                    said.name = Some(meta.value()?.parse::<LitStr>()?.value());
                } else if meta.path.is_ident("path") {
                    said.path = Some(meta.value()?.parse()?);
                } else if meta.path.is_ident("flags") {
                    said.flags = true;
                } else if meta.path.is_ident("variant") {
                    said.variant = true;
                } else {
                    return Err(meta.error("expected `name`, `path`, `flags` or `variant`"));
                }
                Ok(())
            })?;
        }
        Ok(said)
    }
}

fn fields(fields: &Fields, of: &Ident) -> Result<Vec<Part>> {
    let Fields::Named(named) = fields else {
        return Err(Error::new_spanned(of, "the fields of a record have names"));
    };
    let fields = named.named.iter().filter_map(|field| {
        let name = field.ident.clone()?;
        Some(part(&field.attrs, name, Some(field.ty.clone())))
    });
    fields.collect()
}

fn case(case: &syn::Variant) -> Result<Part> {
    let payload = match &case.fields {
        Fields::Unit => None,
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
            fields.unnamed.first().map(|field| field.ty.clone())
        }
        _ => return Err(Error::new_spanned(case, "a case has one payload, `Case(T)`, or none")),
    };
    part(&case.attrs, case.ident.clone(), payload)
}

fn part(attributes: &[Attribute], name: Ident, ty: Option<Type>) -> Result<Part> {
    let said = Said::new(attributes)?;
    let wit_name = said.name.unwrap_or_else(|| kebab(&name.to_string()));
    Ok(Part { name, wit_name, ty })
}
