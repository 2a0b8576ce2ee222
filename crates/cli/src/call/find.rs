//! Functions that a component exports, found by what a user calls them.
//!
//! In WAVE a function has the name of its interface before its own, `ns:package/interface@1.0.0.function`; what says no more than the rest does can be left away, from the left and the
//! version: `interface.function`, `function`. A resource's are `counter.new`, `counter.get` and so on.

use innkeeper::component::{Component, FuncType, NameMap};

use crate::nearest::nearest;
use crate::report::short;

/// A function that a component exports.
#[derive(Clone, Debug)]
pub(crate) struct Exported {
    /// As the component has it: `ns:package/interface#[method]counter.get`.
    pub(crate) path: String,
    /// The interface's name, where it is in one.
    pub(crate) interface: Option<String>,
    /// The name without that, as one writes it: `counter.get`.
    pub(crate) name: String,
    pub(super) kind: Kind,
    pub(crate) ty: FuncType,
}

/// What a function is to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Of none.
    Free,
    /// It makes one.
    Constructor,
    /// It takes one first.
    Method,
    Static,
}

/// All functions that a component exports.
pub(crate) fn exported(component: &Component) -> Vec<Exported> {
    component.exported_funcs().into_iter().map(|(path, ty)| Exported::new(path, ty)).collect()
}

impl Exported {
    fn new(path: String, ty: FuncType) -> Exported {
        let (interface, own) = match path.rsplit_once('#') {
            Some((interface, own)) => (Some(interface.to_owned()), own),
            None => (None, path.as_str()),
        };
        let (kind, name) = [
            ("[constructor]", Kind::Constructor),
            ("[method]", Kind::Method),
            ("[static]", Kind::Static),
            ("[async method]", Kind::Method),
            ("[async static]", Kind::Static),
            ("[async]", Kind::Free),
        ]
        .into_iter()
        .find_map(|(mark, kind)| own.strip_prefix(mark).map(|name| (kind, name)))
        .unwrap_or((Kind::Free, own));
        let name = if kind == Kind::Constructor { format!("{name}.new") } else { name.to_owned() };
        Exported { path, interface, name, kind, ty }
    }

    /// The whole name, as one writes it.
    pub(crate) fn written(&self) -> String {
        match &self.interface {
            Some(interface) => format!("{interface}.{}", self.name),
            None => self.name.clone(),
        }
    }

    /// Whether it is what a user calls so.
    fn is_called(&self, wanted: &str) -> bool {
        if wanted == self.path || wanted == self.name {
            return true;
        }
        let Some(interface) = &self.interface else { return false };
        let before = wanted.strip_suffix(self.name.as_str()).and_then(|rest| rest.strip_suffix(['.', '#']));
        before.is_some_and(|before| names_interface(before, interface))
    }
}

/// Whether words are a name of an interface: all of it, without its version or with a compatible one, or its last part alone.
fn names_interface(words: &str, interface: &str) -> bool {
    let (whole, version) = interface.split_once('@').map_or((interface, None), |(a, b)| (a, Some(b)));
    let last = whole.rsplit_once('/').map_or(whole, |(_, last)| last);
    if words == whole || words == last {
        return true;
    }
    let Some((base, asked)) = words.split_once('@') else { return false };
    let mut names = NameMap::default();
    if let Some(version) = version {
        names.insert(&format!("{whole}@{version}"), ());
    }
    (base == whole || base == last) && names.get(&format!("{whole}@{asked}")).is_some()
}

/// The function of a name.
///
/// # Errors
/// What is wrong, and what there is instead.
pub(super) fn find<'a>(all: &'a [Exported], wanted: &str) -> Result<&'a Exported, (String, String)> {
    let found: Vec<&Exported> = all.iter().filter(|function| function.is_called(wanted)).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => {
            let reason = format!("the component exports no function `{}`", short(wanted));
            let near = nearest(wanted, all.iter().map(|function| function.name.as_str()));
            let help = match near {
                Some(near) => format!("did you mean `{}`? It exports {}", short(near), listed(all)),
                None => format!("it exports {}", listed(all)),
            };
            Err((reason, help))
        }
        // What has the whole name is meant, although others have it as their last part.
        several => match several.iter().find(|function| function.path == wanted) {
            Some(one) => Ok(one),
            None => {
                let names: Vec<String> =
                    several.iter().map(|function| format!("`{}`", short(&function.written()))).collect();
                let reason = format!("{} functions are called `{}`", several.len(), short(wanted));
                Err((reason, format!("write which one is meant: {}", names.join(", "))))
            }
        },
    }
}

/// Functions that are listed by name.
const MAX_LISTED: usize = 8;

/// The first few functions with their types, as one would call them.
pub(crate) fn listed(all: &[Exported]) -> String {
    if all.is_empty() {
        return String::from("no function at all");
    }
    let mut listed: Vec<String> = all
        .iter()
        .take(MAX_LISTED)
        .map(|function| format!("`{}: {}`", short(&function.written()), short(&function.ty.to_string())))
        .collect();
    if all.len() > MAX_LISTED {
        listed.push(format!("and {} more, which `inn inspect` lists", all.len() - MAX_LISTED));
    }
    listed.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_no_more_can_be_left_away() {
        let interface = "test:shop/cart@1.2.0";
        for words in ["test:shop/cart@1.2.0", "test:shop/cart@1.0.0", "test:shop/cart", "cart", "cart@1.9.1"]
        {
            assert!(names_interface(words, interface), "{words}");
        }
        for words in ["", "art", "shop/cart", "test:shop/cart@2.0.0", "other:shop/cart", "cart@"] {
            assert!(!names_interface(words, interface), "{words}");
        }
    }
}
