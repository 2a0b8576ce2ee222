//! What instances export, and which resource types come with it.

use std::sync::Arc;

use innkeeper_engine::Error;
use wasmparser::component_types::ComponentAnyTypeId;

use super::cost::{limit, steps_of_name};
use super::frame::{InstanceDef, ItemDef};
use super::imports::item_type;
use super::inline::{Inliner, MAX_DEPTH, unseen};
use super::{ExportDef, Exports};
use crate::decode::ItemType;

impl Inliner<'_> {
    /// Notes which resource types those are that an item of a type brings with it.
    pub(super) fn register(&mut self, item: &ItemDef, ty: ItemType) -> Result<(), Error> {
        match (item, ty) {
            (ItemDef::Type(Some(slot)), ItemType::Type(ComponentAnyTypeId::Resource(id))) => {
                self.frame().resources.insert(id.resource(), *slot);
            }
            (ItemDef::Instance(InstanceDef::Exports(items, _)), ItemType::Instance(ty)) => {
                let types = self.types;
                for (name, export) in &types.get(ty).ok_or_else(unseen)?.exports {
                    self.costs.spend_on_name(name)?;
                    if let Some(item) = items.get(name.as_str()) {
                        self.register(item, item_type(export.ty))?;
                    }
                }
            }
            (ItemDef::Instance(instance @ InstanceDef::Imported { .. }), ItemType::Instance(ty)) => {
                let types = self.types;
                for (name, export) in &types.get(ty).ok_or_else(unseen)?.exports {
                    self.costs.spend_on_name(name)?;
                    let ty = item_type(export.ty);
                    if matches!(ty, ItemType::Instance(_) | ItemType::Type(ComponentAnyTypeId::Resource(_))) {
                        let name = self.name(name)?;
                        let item = self.imported_export(instance, &name)?;
                        self.register(&item, ty)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn export_of(&mut self, instance: &InstanceDef, name: &Arc<str>) -> Result<ItemDef, Error> {
        match instance {
            InstanceDef::Exports(items, _) => items.get(name).cloned().ok_or_else(unseen),
            InstanceDef::Imported { .. } => self.imported_export(instance, name),
        }
    }

    /// What the outermost component exports, or an instance that it does, whose names are so many steps.
    pub(super) fn exports(
        &mut self,
        items: &[(Arc<str>, ItemDef)],
        (depth, steps): (usize, usize),
    ) -> Result<Exports, Error> {
        if depth > MAX_DEPTH {
            return Err(limit());
        }
        let mut exports = Exports::default();
        for (name, item) in items {
            let steps = steps + steps_of_name(name);
            self.costs.spend(steps)?;
            let export = match item {
                ItemDef::Func(func) => ExportDef::Func(func.number, func.ty),
                ItemDef::Module(module, _) => ExportDef::Module(*module),
                ItemDef::Type(Some(slot)) => ExportDef::Resource(*slot),
                ItemDef::Type(None) => ExportDef::Type,
                ItemDef::Component(_) => ExportDef::Component,
                ItemDef::Instance(instance) => {
                    let names: Vec<Arc<str>> = match instance {
                        InstanceDef::Exports(_, names) => names.to_vec(),
                        InstanceDef::Imported { ty, .. } => {
                            let types = self.types;
                            let ty = types.get(*ty).ok_or_else(unseen)?;
                            ty.exports.keys().map(|name| self.name(name)).collect::<Result<_, _>>()?
                        }
                    };
                    let mut items = Vec::with_capacity(names.len());
                    for name in names {
                        self.costs.spend_on_name(&name)?;
                        let item = self.export_of(instance, &name)?;
                        items.push((name, item));
                    }
                    ExportDef::Instance(self.exports(&items, (depth + 1, steps))?)
                }
            };
            exports.push(name, export);
        }
        Ok(exports)
    }
}
