//! `bindgen!`: reads what is said of the WIT, and has it made into Rust.

use innkeeper_bindgen::{Bindgen, Mode};
use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Ident, LitBool, LitStr, Path, Result, Token, braced, bracketed, token};

/// What is said in the macro.
pub(crate) struct Said {
    bindgen: Bindgen,
    /// Where it is said, for errors of all of it.
    span: Span,
}

pub(crate) fn expand(said: Said) -> Result<TokenStream> {
    let error = |message: String| Error::new(said.span, message);
    let generated = said.bindgen.generate().map_err(|reason| error(reason.to_string()))?;
    let code: TokenStream = generated.code.parse().map_err(|reason| {
        error(format!("what was made of the WIT is no Rust ({reason}); this is a fault of `bindgen!`"))
    })?;
    let files = generated.files.iter().filter_map(|file| std::path::absolute(file).ok());
    let files: Vec<String> = files.filter_map(|file| Some(file.to_str()?.to_owned())).collect();
    // A change of the WIT has the compiler come here again.
    Ok(quote! {
        #code
        #(const _: &[u8] = ::core::include_bytes!(#files);)*
    })
}

impl Parse for Said {
    fn parse(input: ParseStream<'_>) -> Result<Said> {
        let span = input.span();
        let mut bindgen = Bindgen::new();
        if input.peek(LitStr) {
            bindgen = bindgen.world(input.parse::<LitStr>()?.value());
            if input.parse::<Option<Token![in]>>()?.is_some() {
                bindgen = bindgen.path(from_package(&input.parse()?));
            } else {
                bindgen = bindgen.path(from_package(&LitStr::new("wit", span)));
            }
            return Ok(Said { bindgen, span });
        }
        let (mut has_source, content);
        if input.is_empty() {
            return Ok(Said { bindgen: bindgen.path(from_package(&LitStr::new("wit", span))), span });
        }
        braced!(content in input);
        has_source = false;
        while !content.is_empty() {
            (bindgen, has_source) = option(&content, bindgen, has_source)?;
            if !content.is_empty() {
                content.parse::<Token![,]>()?;
            }
        }
        if !has_source {
            bindgen = bindgen.path(from_package(&LitStr::new("wit", span)));
        }
        Ok(Said { bindgen, span })
    }
}

/// Reads one option; says whether WIT is named.
fn option(input: ParseStream<'_>, bindgen: Bindgen, has_source: bool) -> Result<(Bindgen, bool)> {
    let name: Ident = input.call(syn::ext::IdentExt::parse_any)?;
    input.parse::<Token![:]>()?;
    let bindgen = match name.to_string().as_str() {
        "path" if input.peek(token::Bracket) => {
            let paths = list::<LitStr>(input)?;
            return Ok((paths.iter().fold(bindgen, |all, path| all.path(from_package(path))), true));
        }
        "path" => return Ok((bindgen.path(from_package(&input.parse()?)), true)),
        "inline" => return Ok((bindgen.inline(input.parse::<LitStr>()?.value()), true)),
        "world" => bindgen.world(input.parse::<LitStr>()?.value()),
        "worlds" => list::<LitStr>(input)?.iter().fold(bindgen, |all, world| all.world(world.value())),
        "with" => pairs(input, bindgen, |all, wit, input| {
            let path: Path = input.parse()?;
            Ok(all.with(wit.value(), quote!(#path).to_string().replace(' ', "")))
        })?,
        "imports" => modes(input, bindgen, Bindgen::imports, |all, name, mode| all.import(name, mode))?,
        "exports" => modes(input, bindgen, Bindgen::exports, |all, name, mode| all.export(name, mode))?,
        "features" => list::<LitStr>(input)?.iter().fold(bindgen, |all, name| all.feature(name.value())),
        "all_features" => if_true(input, bindgen, Bindgen::all_features)?,
        "owned_parameters" => if_true(input, bindgen, Bindgen::owned_parameters)?,
        "omit_unsupported" => if_true(input, bindgen, Bindgen::omit_unsupported)?,
        "derives" => list::<Path>(input)?
            .iter()
            .fold(bindgen, |all, path| all.derive(quote!(#path).to_string().replace(' ', ""))),
        "component_path" => {
            let path: Path = input.parse()?;
            bindgen.component_path(quote!(#path).to_string().replace(' ', ""))
        }
        other => {
            return Err(Error::new(
                name.span(),
                format!(
                    "`{other}` is no option: there are path, inline, world, worlds, with, imports, exports, features, all_features, \
                     owned_parameters, omit_unsupported, derives, component_path"
                ),
            ));
        }
    };
    Ok((bindgen, has_source))
}

/// `[a, b]`
fn list<T: Parse>(input: ParseStream<'_>) -> Result<Vec<T>> {
    let content;
    bracketed!(content in input);
    Ok(Punctuated::<T, Token![,]>::parse_terminated(&content)?.into_iter().collect())
}

fn if_true(
    input: ParseStream<'_>,
    bindgen: Bindgen,
    then: impl FnOnce(Bindgen) -> Bindgen,
) -> Result<Bindgen> {
    Ok(if input.parse::<LitBool>()?.value { then(bindgen) } else { bindgen })
}

/// `{ "name": ..., }`
fn pairs(
    input: ParseStream<'_>,
    bindgen: Bindgen,
    read: impl Fn(Bindgen, LitStr, ParseStream<'_>) -> Result<Bindgen>,
) -> Result<Bindgen> {
    let content;
    braced!(content in input);
    let mut bindgen = bindgen;
    while !content.is_empty() {
        let name: LitStr = content.parse()?;
        content.parse::<Token![:]>()?;
        bindgen = read(bindgen, name, &content)?;
        if !content.is_empty() {
            content.parse::<Token![,]>()?;
        }
    }
    Ok(bindgen)
}

/// A mode for all functions, or `{ default: async, "name": trappable | async }`.
fn modes(
    input: ParseStream<'_>,
    bindgen: Bindgen,
    default: impl Fn(Bindgen, Mode) -> Bindgen,
    of: impl Fn(Bindgen, String, Mode) -> Bindgen,
) -> Result<Bindgen> {
    if !input.peek(token::Brace) {
        return Ok(default(bindgen, mode(input)?));
    }
    let content;
    braced!(content in input);
    let mut bindgen = bindgen;
    while !content.is_empty() {
        let name = if content.peek(LitStr) { Some(content.parse::<LitStr>()?) } else { None };
        let word: Option<Ident> = match name {
            Some(_) => None,
            None => Some(content.parse()?),
        };
        content.parse::<Token![:]>()?;
        let mode = mode(&content)?;
        bindgen = match (name, word) {
            (Some(name), _) => of(bindgen, name.value(), mode),
            (None, Some(word)) if word == "default" => default(bindgen, mode),
            (None, word) => {
                let span = word.map_or_else(|| content.span(), |word| word.span());
                return Err(Error::new(
                    span,
                    "expected `default` or the name of a function or interface in quotes",
                ));
            }
        };
        if !content.is_empty() {
            content.parse::<Token![,]>()?;
        }
    }
    Ok(bindgen)
}

/// `async | trappable`
fn mode(input: ParseStream<'_>) -> Result<Mode> {
    let mut mode = Mode::default();
    loop {
        let word: Ident = input.call(syn::ext::IdentExt::parse_any)?;
        mode = match word.to_string().as_str() {
            "async" => mode.waiting(true),
            "sync" => mode.waiting(false),
            "trappable" => mode.trappable(true),
            _ => {
                return Err(Error::new(
                    word.span(),
                    "expected `async`, `sync` or `trappable`, with `|` between",
                ));
            }
        };
        if input.parse::<Option<Token![|]>>()?.is_none() {
            return Ok(mode);
        }
    }
}

/// A path in the package that is compiled.
fn from_package(path: &LitStr) -> std::path::PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default();
    std::path::Path::new(&package).join(path.value())
}
