//! What is to be made of which WIT, and how.

use std::path::PathBuf;

/// How a function is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mode {
    /// Whether it is `async`: the host's can wait, and a guest's is called so that it can.
    pub is_async: bool,
    /// Whether the host's returns a `Result` whose error ends the guest.
    pub is_trappable: bool,
}

impl Mode {
    /// One that waits, or does not.
    #[must_use]
    pub fn waiting(self, is_async: bool) -> Mode {
        Mode { is_async, ..self }
    }

    /// One that can trap, or cannot.
    #[must_use]
    pub fn trappable(self, is_trappable: bool) -> Mode {
        Mode { is_trappable, ..self }
    }
}

/// Makes Rust of WIT: says of which, and how.
#[derive(Clone, Debug)]
pub struct Bindgen {
    pub(crate) paths: Vec<PathBuf>,
    pub(crate) inline: Option<String>,
    pub(crate) worlds: Vec<String>,
    pub(crate) with: Vec<(String, String)>,
    pub(crate) imports: Modes,
    pub(crate) exports: Modes,
    pub(crate) features: Vec<String>,
    pub(crate) all_features: bool,
    pub(crate) owned_parameters: bool,
    pub(crate) derives: Vec<String>,
    pub(crate) component: String,
    pub(crate) omit_unsupported: bool,
}

/// Modes of functions: one for all, and others for some.
#[derive(Clone, Debug, Default)]
pub(crate) struct Modes {
    default: Mode,
    /// `interface`, `interface#function` or `function`, without versions, and the mode. What comes later is said more exactly.
    rules: Vec<(String, Mode)>,
}

impl Modes {
    /// The mode of a function, of which the interface's name is none where it is the world's own.
    pub(crate) fn of(&self, interface: Option<&str>, function: &str) -> Mode {
        let interface = interface.map(unversioned);
        let is_rule = |rule: &str| match rule.split_once('#') {
            Some((of, name)) => Some(of) == interface && name == function,
            None => Some(rule) == interface || interface.is_none() && rule == function,
        };
        let found = self.rules.iter().rev().find(|(rule, _)| is_rule(rule));
        found.map_or(self.default, |(_, mode)| *mode)
    }

    /// Rules that are of nothing, with what knows names.
    pub(crate) fn unused<'a>(
        &'a self,
        is_known: impl Fn(&str) -> bool + 'a,
    ) -> impl Iterator<Item = &'a str> {
        self.rules.iter().map(|(rule, _)| rule.as_str()).filter(move |rule| !is_known(rule))
    }
}

/// A name of an interface, or of something in it, without the version.
pub(crate) fn unversioned(name: &str) -> &str {
    name.split_once('@').map_or(name, |(name, _)| name)
}

/// As [`unversioned`], of a name that goes on after the version: `a:b/c@1.0.0#d` is `a:b/c#d`.
fn without_version(name: &str) -> String {
    let Some((before, after)) = name.split_once('@') else { return name.to_owned() };
    let rest = after.find(['#', '/']).map_or("", |at| &after[at..]);
    format!("{before}{rest}")
}

impl Bindgen {
    /// Whether instances are made so that they can wait: some function does.
    pub(crate) fn instantiates_async(&self) -> bool {
        let mut modes = [&self.imports, &self.exports]
            .into_iter()
            .flat_map(|modes| modes.rules.iter().map(|(_, mode)| *mode).chain([modes.default]));
        modes.any(|mode| mode.is_async)
    }
}

impl Default for Bindgen {
    fn default() -> Self {
        Bindgen {
            paths: Vec::new(),
            inline: None,
            worlds: Vec::new(),
            with: Vec::new(),
            imports: Modes::default(),
            exports: Modes::default(),
            features: Vec::new(),
            all_features: false,
            owned_parameters: false,
            derives: Vec::new(),
            component: String::from("::innkeeper::component"),
            omit_unsupported: false,
        }
    }
}

impl Bindgen {
    /// Of the WIT in the folder `wit`, with its only world, unless something else is said.
    #[must_use]
    pub fn new() -> Bindgen {
        Bindgen::default()
    }

    /// Reads a file, or a folder with its `deps`. The first is that of the worlds, unless they are in [`Bindgen::inline`].
    #[must_use]
    pub fn path(mut self, path: impl Into<PathBuf>) -> Bindgen {
        self.paths.push(path.into());
        self
    }

    /// Reads a package from text. It can use those of [`Bindgen::path`].
    #[must_use]
    pub fn inline(mut self, wit: impl Into<String>) -> Bindgen {
        self.inline = Some(wit.into());
        self
    }

    /// A world by its name, `world` or `ns:package/world`; all that are said share their types.
    #[must_use]
    pub fn world(mut self, name: impl Into<String>) -> Bindgen {
        self.worlds.push(name.into());
        self
    }

    /// Has a Rust path stand for something of WIT: a type (`wasi:io/poll/pollable`), or a whole interface (`wasi:io/poll`) for which there are bindings already.
    #[must_use]
    pub fn with(mut self, wit: impl AsRef<str>, rust: impl Into<String>) -> Bindgen {
        self.with.push((without_version(wit.as_ref()), rust.into()));
        self
    }

    /// How functions of the host are made for which nothing else is said.
    #[must_use]
    pub fn imports(mut self, mode: Mode) -> Bindgen {
        self.imports.default = mode;
        self
    }

    /// How functions of the host are made: those of an interface (`wasi:io/poll`), one of it (`wasi:io/poll#poll`, `wasi:io/poll#[method]pollable.block`), or one of the world's own.
    #[must_use]
    pub fn import(mut self, name: impl AsRef<str>, mode: Mode) -> Bindgen {
        self.imports.rules.push((without_version(name.as_ref()), mode));
        self
    }

    /// How calls of guests are made for which nothing else is said.
    #[must_use]
    pub fn exports(mut self, mode: Mode) -> Bindgen {
        self.exports.default = mode;
        self
    }

    /// How calls of guests are made; names are as in [`Bindgen::import`].
    #[must_use]
    pub fn export(mut self, name: impl AsRef<str>, mode: Mode) -> Bindgen {
        self.exports.rules.push((without_version(name.as_ref()), mode));
        self
    }

    /// Has what is marked `@unstable(feature = name)`.
    #[must_use]
    pub fn feature(mut self, name: impl Into<String>) -> Bindgen {
        self.features.push(name.into());
        self
    }

    /// Has all that is marked `@unstable`.
    #[must_use]
    pub fn all_features(mut self) -> Bindgen {
        self.all_features = true;
        self
    }

    /// Has functions of the host take values that are their own, where they would borrow them from the guest's memory.
    #[must_use]
    pub fn owned_parameters(mut self) -> Bindgen {
        self.owned_parameters = true;
        self
    }

    /// Derives a trait for all types that have names.
    #[must_use]
    pub fn derive(mut self, path: impl Into<String>) -> Bindgen {
        self.derives.push(path.into());
        self
    }

    /// Where `innkeeper::component` is found.
    #[must_use]
    pub fn component_path(mut self, path: impl Into<String>) -> Bindgen {
        self.component = path.into();
        self
    }

    /// Leaves functions out whose types cannot be passed yet: `async` ones of WIT, streams, futures, maps. Their names are in [`crate::Generated::omitted`], and in the documentation of the trait that lacks
    /// them.
    #[must_use]
    pub fn omit_unsupported(mut self) -> Bindgen {
        self.omit_unsupported = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_that_was_said_last_is_the_functions() {
        let waiting = Mode::default().waiting(true);
        let bindgen = Bindgen::new()
            .import("a:b/c", Mode::default().trappable(true))
            .import("a:b/c@1.0.0#[method]d.wait", waiting)
            .import("own", waiting);
        let mode = |interface, function| bindgen.imports.of(interface, function);
        assert_eq!(mode(Some("a:b/c@1.2.0"), "e"), Mode::default().trappable(true));
        assert_eq!(mode(Some("a:b/c"), "[method]d.wait"), waiting);
        assert_eq!(mode(Some("a:b/x"), "own"), Mode::default());
        assert_eq!(mode(None, "own"), waiting);
    }
}
