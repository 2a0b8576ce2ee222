//! What the outermost component imports: only what is used of it must be there.

use std::rc::Rc;
use std::sync::Arc;

use innkeeper_engine::Error;
use wasmparser::component_types::{
    ComponentAnyTypeId, ComponentEntityType, ComponentFuncTypeId, ComponentInstanceTypeId,
};

use super::cost::steps_of_name;
use super::frame::{FuncUse, InstanceDef, ItemDef, Resources};
use super::inline::{Inliner, unseen};
use super::{FuncDef, FuncNumber, Import, ImportKind, ImportNumber, ResourceDef};
use crate::decode::ItemType;
use crate::module_type::ModuleType;
use crate::types::ResourceSlot;

/// An import's name, then names of exports, the last first.
pub(super) struct Path {
    name: Arc<str>,
    outer: Option<Rc<Path>>,
    /// Of all its names.
    steps: usize,
}

impl Path {
    pub(super) fn new(outer: Option<&Rc<Path>>, name: &Arc<str>) -> Rc<Path> {
        let steps = outer.map_or(0, |outer| outer.steps) + steps_of_name(name);
        Rc::new(Path { name: Arc::clone(name), outer: outer.cloned(), steps })
    }

    fn names(&self) -> Arc<[Arc<str>]> {
        let mut names = vec![Arc::clone(&self.name)];
        let mut path = self;
        while let Some(outer) = &path.outer {
            names.push(Arc::clone(&outer.name));
            path = outer;
        }
        names.reverse();
        names.into()
    }
}

impl Inliner<'_> {
    /// What an import of the outermost component stands for, or a part of one.
    pub(super) fn imported(&mut self, path: Rc<Path>, ty: ItemType) -> Result<ItemDef, Error> {
        Ok(match ty {
            ItemType::Func(ty) => ItemDef::Func(self.imported_func(&path, ty)?),
            ItemType::Instance(ty) => {
                let resources = self.imported_resources(&path, ty)?;
                ItemDef::Instance(InstanceDef::Imported { path, ty, resources })
            }
            ItemType::Module(ty) => {
                let types = self.types;
                let declared = types.get(ty).ok_or_else(unseen)?;
                let names = declared.imports.keys().flat_map(|(from, name)| [from, name]);
                for name in names.chain(declared.exports.keys()) {
                    self.costs.spend_on_name(name)?;
                }
                self.plan.module_types.push(ModuleType::new(types, ty).ok_or_else(unseen)?);
                let kind = ImportKind::Module(self.plan.module_types.len() - 1);
                let import = self.import(&path, kind, true)?;
                ItemDef::Module(super::ModuleDef::Imported(import), ty)
            }
            ItemType::Component => {
                self.import(&path, ImportKind::Component, true)?;
                ItemDef::Component(None)
            }
            ItemType::Type(ComponentAnyTypeId::Resource(id)) => {
                let slot = self.imported_resource(&path)?;
                self.frames[0].resources.insert(id.resource(), slot);
                ItemDef::Type(Some(slot))
            }
            ItemType::Type(_) => ItemDef::Type(None),
            ItemType::Value => return Err(unseen()),
        })
    }

    /// What an imported instance exports under a name.
    pub(super) fn imported_export(
        &mut self,
        instance: &InstanceDef,
        name: &Arc<str>,
    ) -> Result<ItemDef, Error> {
        let InstanceDef::Imported { path, ty, resources } = instance else { return Err(unseen()) };
        let key = (path_key(path), Arc::clone(name));
        if let Some(known) = self.import_exports.get(&key) {
            return Ok(known.clone());
        }
        let types = self.types;
        let item = types.get(*ty).and_then(|ty| ty.exports.get(&**name)).ok_or_else(unseen)?;
        let path = Path::new(Some(path), name);
        let item = match item_type(item.ty) {
            ItemType::Type(ComponentAnyTypeId::Resource(_)) => {
                ItemDef::Type(Some(*resources.own.get(name).ok_or_else(unseen)?))
            }
            ItemType::Instance(ty) => {
                // Its resources are known with those of the instance that it is in.
                let resources = resources.inner.get(name).cloned().unwrap_or_default();
                ItemDef::Instance(InstanceDef::Imported { path, ty, resources })
            }
            ty => self.imported(path, ty)?,
        };
        self.import_exports.insert(key, item.clone());
        Ok(item)
    }

    fn imported_func(&mut self, path: &Path, ty: ComponentFuncTypeId) -> Result<FuncUse, Error> {
        let ty = self.func_type(0, ty)?;
        let import = self.import(path, ImportKind::Func(ty), true)?;
        self.plan.funcs.push(FuncDef::Imported(import));
        Ok(FuncUse { number: FuncNumber(self.plan.funcs.len() as u32 - 1), ty })
    }

    fn imported_resource(&mut self, path: &Path) -> Result<ResourceSlot, Error> {
        let slot = ResourceSlot(self.plan.resources.len() as u32);
        let import = self.import(path, ImportKind::Resource, false)?;
        self.plan.resources.push(ResourceDef::Imported(import));
        Ok(slot)
    }

    /// Gives a slot to each resource type of an imported instance, and of those in it.
    fn imported_resources(
        &mut self,
        path: &Rc<Path>,
        ty: ComponentInstanceTypeId,
    ) -> Result<Rc<Resources>, Error> {
        let (types, mut found) = (self.types, Resources::default());
        let exports = &types.get(ty).ok_or_else(unseen)?.exports;
        for (name, item) in exports {
            let name = self.name(name)?;
            match item_type(item.ty) {
                ItemType::Type(ComponentAnyTypeId::Resource(id)) => {
                    // Another name of one that is known already.
                    let known = self.frames[0].resources.get(&id.resource()).copied();
                    let slot = match known {
                        Some(slot) => slot,
                        None => self.imported_resource(&Path::new(Some(path), &name))?,
                    };
                    self.frames[0].resources.insert(id.resource(), slot);
                    found.own.insert(name, slot);
                }
                ItemType::Instance(ty) => {
                    let inner = self.imported_resources(&Path::new(Some(path), &name), ty)?;
                    found.inner.insert(name, inner);
                }
                _ => {}
            }
        }
        Ok(Rc::new(found))
    }

    fn import(&mut self, path: &Path, kind: ImportKind, is_needed: bool) -> Result<ImportNumber, Error> {
        self.costs.spend(path.steps)?;
        self.plan.imports.push(Import { path: path.names(), kind, is_needed });
        Ok(ImportNumber(self.plan.imports.len() as u32 - 1))
    }
}

/// Paths are made once, and live as long as what was imported by them.
fn path_key(path: &Rc<Path>) -> usize {
    Rc::as_ptr(path) as usize
}

pub(super) fn item_type(ty: ComponentEntityType) -> ItemType {
    match ty {
        ComponentEntityType::Module(id) => ItemType::Module(id),
        ComponentEntityType::Func(id) => ItemType::Func(id),
        ComponentEntityType::Value(_) => ItemType::Value,
        ComponentEntityType::Type { created, .. } => ItemType::Type(created),
        ComponentEntityType::Instance(id) => ItemType::Instance(id),
        ComponentEntityType::Component(_) => ItemType::Component,
    }
}
