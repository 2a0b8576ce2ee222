//! Where everything is in Rust: a module for each interface, on the side of the host and, where a guest exports it, on the guest's.
//!
//! An interface that is exported has types of its own only where there are resources among them: those are the guest's, and no others. All else is shared.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use wit_parser::{
    InterfaceId, PackageId, Resolve, Type, TypeDefKind, TypeId, TypeOwner, WorldItem, WorldKey,
};

use crate::error::Error;
use crate::names::{camel, snake, unique};
use crate::options::{Bindgen, unversioned};
use crate::source::Source;

/// Whose types are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Those of what guests import.
    Host,
    /// Those of what guests export.
    Guest,
}

/// An interface that some world imports or exports.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) id: InterfaceId,
    /// What components call it.
    pub(crate) instance: String,
    pub(crate) module: Vec<String>,
    /// Whether its types and traits are those of another module, which it gives another name of an instance to.
    pub(crate) is_alias: bool,
}

/// See the module's documentation.
pub(crate) struct Places {
    modules: HashMap<InterfaceId, Vec<String>>,
    /// Each once, in the order of the worlds.
    pub(crate) imported: Vec<Placed>,
    pub(crate) exported: Vec<Placed>,
    /// Interfaces whose types are written on the host's side, imported or not.
    pub(crate) shared: Vec<InterfaceId>,
    /// Exported interfaces that have types of their own on the guest's side.
    own: HashSet<InterfaceId>,
    /// What Rust has for interfaces already.
    pub(crate) replaced: HashMap<InterfaceId, String>,
    /// What Rust has for types already.
    pub(crate) replaced_types: HashMap<TypeId, String>,
}

impl Places {
    pub(crate) fn new(options: &Bindgen, source: &Source) -> Result<Places, Error> {
        let resolve = &source.resolve;
        let mut places = Places {
            modules: HashMap::new(),
            imported: Vec::new(),
            exported: Vec::new(),
            shared: Vec::new(),
            own: HashSet::new(),
            replaced: HashMap::new(),
            replaced_types: HashMap::new(),
        };
        let packages = package_modules(resolve);
        let (mut used, mut used_exports) = (Vec::new(), Vec::new());
        for world in source.worlds.iter().map(|world| &resolve.worlds[*world]) {
            for (key, item) in &world.imports {
                if let WorldItem::Interface { id, .. } = item {
                    let placed = places.place(resolve, &packages, (key, *id), &mut used);
                    if !places
                        .imported
                        .iter()
                        .any(|known| known.instance == placed.instance && known.id == *id)
                    {
                        places.imported.push(placed);
                    }
                    places.share(*id);
                }
            }
            for (key, item) in &world.exports {
                if let WorldItem::Interface { id, .. } = item {
                    let mut placed = places.place(resolve, &packages, (key, *id), &mut used_exports);
                    placed.module.insert(0, String::from("exports"));
                    if !places
                        .exported
                        .iter()
                        .any(|known| known.instance == placed.instance && known.id == *id)
                    {
                        places.exported.push(placed);
                    }
                }
            }
        }
        for exported in places.exported.clone() {
            if places.has_own_types(resolve, exported.id) {
                places.own.insert(exported.id);
            } else {
                places.share(exported.id);
            }
        }
        places.replace(options, resolve)?;
        let is_interface = |name: &str| {
            let (interface, function) =
                name.split_once('#').map_or((name, None), |(of, own)| (of, Some(own)));
            let mut all = places.imported.iter().chain(&places.exported);
            all.any(|known| {
                let functions = &resolve.interfaces[known.id].functions;
                unversioned(&known.instance) == interface
                    && function.is_none_or(|function| functions.contains_key(function))
            })
        };
        let is_function = |name: &str| {
            let mut worlds = source.worlds.iter().map(|world| &resolve.worlds[*world]);
            worlds.any(|world| {
                let mut items = world.imports.keys().chain(world.exports.keys());
                items.any(|key| matches!(key, WorldKey::Name(known) if known == name))
            })
        };
        let is_known = |name: &str| is_interface(name) || is_function(name);
        if let Some(unused) = options.imports.unused(is_known).chain(options.exports.unused(is_known)).next()
        {
            return Err(Error::new(format!(
                "`{unused}` is no interface or function of the worlds, so that nothing can be said of it"
            )));
        }
        Ok(places)
    }

    fn place(
        &mut self,
        resolve: &Resolve,
        packages: &HashMap<PackageId, [String; 2]>,
        (key, id): (&WorldKey, InterfaceId),
        used: &mut Vec<String>,
    ) -> Placed {
        let instance = resolve.name_world_key(key);
        let interface = &resolve.interfaces[id];
        let whole = interface.package.and_then(|package| packages.get(&package)).zip(interface.name.as_ref());
        let module = match whole {
            Some(([namespace, package], name)) => vec![namespace.clone(), package.clone(), snake(name)],
            None => match self.modules.get(&id) {
                Some(known) => known.clone(),
                None => vec![unique(snake(&instance), used)],
            },
        };
        self.modules.insert(id, module.clone());
        match key {
            WorldKey::Name(name) if whole.is_some() => {
                Placed { id, instance, module: vec![unique(snake(name), used)], is_alias: true }
            }
            _ => Placed { id, instance, module, is_alias: false },
        }
    }

    fn share(&mut self, id: InterfaceId) {
        if !self.shared.contains(&id) {
            self.shared.push(id);
        }
    }

    fn is_exported(&self, id: InterfaceId) -> bool {
        self.exported.iter().any(|exported| exported.id == id)
    }

    /// Whether an exported interface has resources, or uses types of an exported one that has; or nobody else can have its types.
    fn has_own_types(&self, resolve: &Resolve, id: InterfaceId) -> bool {
        // One without a name of its own is of this export only.
        let interface = &resolve.interfaces[id];
        interface.name.is_none()
            || interface.types.values().any(|ty| match &resolve.types[*ty].kind {
                TypeDefKind::Resource => true,
                TypeDefKind::Type(Type::Id(used)) => match resolve.types[*used].owner {
                    TypeOwner::Interface(of) => {
                        of != id && self.is_exported(of) && self.has_own_types(resolve, of)
                    }
                    _ => false,
                },
                _ => false,
            })
    }

    /// Finds what `with` names.
    fn replace(&mut self, options: &Bindgen, resolve: &Resolve) -> Result<(), Error> {
        for (wit, rust) in &options.with {
            let mut is_found = false;
            for (id, interface) in &resolve.interfaces {
                let Some(name) = resolve.id_of(id).or_else(|| interface.name.clone()) else { continue };
                let name = unversioned(&name);
                if wit == name {
                    self.replaced.insert(id, rust.clone());
                    is_found = true;
                } else if let Some(ty) = wit.strip_prefix(name).and_then(|rest| rest.strip_prefix(['/', '#']))
                    && let Some(ty) = interface.types.get(ty)
                {
                    self.replaced_types.insert(*ty, rust.clone());
                    is_found = true;
                }
            }
            if !is_found {
                return Err(Error::new(format!(
                    "`with` names `{wit}`, which is no interface or type of the WIT: write `ns:package/interface` or `ns:package/interface/type`"
                )));
            }
        }
        Ok(())
    }

    /// Whether an interface's types of the guest's side are its own.
    pub(crate) fn has_own(&self, id: InterfaceId) -> bool {
        self.own.contains(&id)
    }

    /// The module of an interface's types.
    pub(crate) fn module(&self, id: InterfaceId, side: Side) -> Vec<String> {
        let mut module = self.modules.get(&id).cloned().unwrap_or_default();
        if side == Side::Guest && self.has_own(id) {
            module.insert(0, String::from("exports"));
        }
        module
    }

    /// Where a type with a name is.
    pub(crate) fn type_path(&self, resolve: &Resolve, id: TypeId, side: Side) -> Option<Vec<String>> {
        let ty = &resolve.types[id];
        let mut path = match ty.owner {
            TypeOwner::Interface(interface) => self.module(interface, side),
            TypeOwner::World(_) => Vec::new(),
            TypeOwner::None => return None,
        };
        path.push(camel(ty.name.as_ref()?));
        Some(path)
    }

    /// Whether a resource is a guest's.
    pub(crate) fn is_guests(&self, resolve: &Resolve, resource: TypeId, side: Side) -> bool {
        match resolve.types[resource].owner {
            TypeOwner::Interface(interface) => side == Side::Guest && self.has_own(interface),
            _ => false,
        }
    }
}

/// The modules of packages: of namespace and name, and of the version where there are several.
fn package_modules(resolve: &Resolve) -> HashMap<PackageId, [String; 2]> {
    let mut versions: BTreeMap<(&str, &str), BTreeSet<String>> = BTreeMap::new();
    let version_of =
        |id: PackageId| resolve.packages[id].name.version.as_ref().map_or(String::new(), ToString::to_string);
    for (id, package) in &resolve.packages {
        versions.entry((&package.name.namespace, &package.name.name)).or_default().insert(version_of(id));
    }
    let modules = resolve.packages.iter().map(|(id, package)| {
        let name = &package.name;
        let has_several = versions.get(&(&name.namespace, &name.name)).is_some_and(|known| known.len() > 1);
        let version = version_of(id).replace(['.', '-', '+'], "_");
        let module = if has_several { format!("{}-{version}", name.name) } else { name.name.clone() };
        (id, [snake(&name.namespace), snake(&module)])
    });
    modules.collect()
}

/// A path as it is written in a module.
pub(crate) fn relative(from: &[String], to: &[String]) -> String {
    let common = from.iter().zip(to).take_while(|(a, b)| a == b).count().min(to.len().saturating_sub(1));
    let mut path = "super::".repeat(from.len() - common);
    if from.is_empty() && to.len() > 1 {
        path.push_str("self::");
    }
    path.push_str(&to[common..].join("::"));
    path
}

#[cfg(test)]
mod tests {
    use super::relative;

    #[test]
    fn paths_are_as_short_as_they_can_be() {
        let path = |text: &str| {
            text.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        };
        for (from, to, written) in [
            ("a/b/c", "a/b/c/T", "T"),
            ("a/b/c", "a/b/d/T", "super::d::T"),
            ("exports/a/b/c", "a/b/c/T", "super::super::super::super::a::b::c::T"),
            ("", "a/T", "self::a::T"),
            ("", "T", "T"),
            ("a", "T", "super::T"),
        ] {
            assert_eq!(relative(&path(from), &path(to)), written, "{from} {to}");
        }
    }
}
