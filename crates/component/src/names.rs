//! Names of imports and exports, and which versions of an interface stand for each other.
//!
//! A name with a version, `ns:package/interface@1.2.3`, also finds another version that is compatible by the rules of semantic versioning: the same
//! major version, or while that is 0 the same minor one. Versions before a release (`1.0.0-rc.1`) and those of 0.0 are found under their own name only.
//! Where several are compatible, the newest is found.

use std::collections::HashMap;
use std::sync::Arc;

/// The number of a version: major, minor, patch.
type Number = (u64, u64, u64);

/// A name, split where its version begins.
struct Versioned<'a> {
    base: &'a str,
    number: Number,
    /// Whether it is of a version before a release.
    is_pre_release: bool,
}

impl<'a> Versioned<'a> {
    /// None where the name has no version, or none that can be read.
    fn of(name: &'a str) -> Option<Versioned<'a>> {
        let (base, version) = name.rsplit_once('@')?;
        let (version, is_pre_release) = {
            let release = version.split_once('+').map_or(version, |(release, _build)| release);
            release.split_once('-').map_or((release, false), |(number, _)| (number, true))
        };
        let mut parts = version.split('.').map(|part| part.parse().ok());
        let number = (parts.next()??, parts.next()??, parts.next()??);
        parts.next().is_none().then_some(Versioned { base, number, is_pre_release })
    }

    /// What all versions have in common that stand for each other; none where no other does.
    fn compatible(&self) -> Option<CompatibleKey> {
        let series = match self.number {
            _ if self.is_pre_release => return None,
            (0, 0, _) => return None,
            (0, minor, _) => (0, minor),
            (major, _, _) => (major, 0),
        };
        Some((self.base.into(), series))
    }
}

type CompatibleKey = (Box<str>, (u64, u64));

/// Things by name.
#[derive(Clone, Debug)]
pub struct NameMap<V> {
    exact: HashMap<Arc<str>, V>,
    /// The newest version of each series.
    newest: HashMap<CompatibleKey, (Number, Arc<str>)>,
}

impl<V> Default for NameMap<V> {
    fn default() -> Self {
        NameMap { exact: HashMap::new(), newest: HashMap::new() }
    }
}

impl<V> NameMap<V> {
    /// Gives a name to something, in the place of what had it.
    pub fn insert(&mut self, name: &str, value: V) -> &mut V {
        let shared: Arc<str> = name.into();
        if let Some(versioned) = Versioned::of(name)
            && let Some(key) = versioned.compatible()
        {
            let newest = self.newest.entry(key).or_insert_with(|| (versioned.number, Arc::clone(&shared)));
            if newest.0 <= versioned.number {
                *newest = (versioned.number, Arc::clone(&shared));
            }
        }
        self.exact.entry(Arc::clone(&shared)).insert_entry(value).into_mut()
    }

    /// What has this very name.
    pub fn get_exact_mut(&mut self, name: &str) -> Option<&mut V> {
        self.exact.get_mut(name)
    }

    /// What has the name, or that of the newest compatible version.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&V> {
        self.resolve(name).and_then(|name| self.exact.get(name))
    }

    /// The name under which something is found that is looked for under another.
    #[must_use]
    pub fn resolve<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        if self.exact.contains_key(name) {
            return Some(name);
        }
        let (_, newest) = self.newest.get(&Versioned::of(name)?.compatible()?)?;
        Some(newest)
    }

    /// Other versions of what a name is of, for messages.
    pub fn other_versions<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let base = name.rsplit_once('@').map_or(name, |(base, _)| base);
        let mut others: Vec<&str> = self
            .exact
            .keys()
            .map(|known| &**known)
            .filter(|known| *known != name && known.rsplit_once('@').map_or(*known, |(base, _)| base) == base)
            .collect();
        others.sort_unstable();
        others.into_iter()
    }

    /// Everything, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.exact.iter().map(|(name, value)| (&**name, value))
    }

    /// Whether nothing has a name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(offered: &[&str], wanted: &str) -> Option<String> {
        let mut names = NameMap::default();
        for name in offered {
            names.insert(name, *name);
        }
        names.get(wanted).map(|name| (*name).to_owned())
    }

    /// C10, C11: both directions, and what stands for nothing but itself.
    #[test]
    fn c10_versions_stand_for_compatible_ones() {
        for (offered, wanted, expected) in [
            (&["a:b/c@0.2.12"][..], "a:b/c@0.2.0", Some("a:b/c@0.2.12")),
            (&["a:b/c@0.2.0"], "a:b/c@0.2.12", Some("a:b/c@0.2.0")),
            (&["a:b/c@0.2.1", "a:b/c@0.2.9", "a:b/c@0.2.4"], "a:b/c@0.2.0", Some("a:b/c@0.2.9")),
            (&["a:b/c@0.2.1", "a:b/c@0.2.9"], "a:b/c@0.2.1", Some("a:b/c@0.2.1")),
            (&["a:b/c@0.1.0"], "a:b/c@0.2.0", None),
            (&["a:b/c@0.0.1"], "a:b/c@0.0.2", None),
            (&["a:b/c@0.0.1"], "a:b/c@0.0.1", Some("a:b/c@0.0.1")),
            (&["a:b/c@1.4.0"], "a:b/c@1.0.0", Some("a:b/c@1.4.0")),
            (&["a:b/c@2.0.0"], "a:b/c@1.0.0", None),
            (&["a:b/c@1.0.0-rc.1"], "a:b/c@1.0.0", None),
            (&["a:b/c@1.0.0"], "a:b/c@1.0.0-rc.1", None),
            (&["a:b/c@1.0.0-rc.1"], "a:b/c@1.0.0-rc.1", Some("a:b/c@1.0.0-rc.1")),
            (&["a:b/c@1.0.0+build"], "a:b/c@1.0.1", Some("a:b/c@1.0.0+build")),
            (&["a:b/c"], "a:b/c@1.0.0", None),
            (&["a:b/c@1.0.0"], "a:b/c", None),
            (&["a:b/d@1.0.0"], "a:b/c@1.0.0", None),
            (&["plain"], "plain", Some("plain")),
        ] {
            assert_eq!(found(offered, wanted).as_deref(), expected, "{offered:?} for {wanted}");
        }
    }
}
