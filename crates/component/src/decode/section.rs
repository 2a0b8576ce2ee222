//! The sections of a component, each read after it was validated.

use std::sync::Arc;

use innkeeper_engine::{Error, ErrorKind};
use wasmparser::component_types::ComponentAnyTypeId;
use wasmparser::types::TypesRef;
use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, ComponentType,
    Encoding, ExternalKind, Instance, Payload,
};

use super::{Definition, Item, ItemRef, ItemType};

/// Components that are being read, the innermost last.
#[derive(Default)]
pub(super) struct Builder {
    /// Finished or not, by number.
    definitions: Vec<Definition>,
    open: Vec<Open>,
    /// Whether a core module is being read, whose sections are nobody's business here.
    in_module: bool,
    /// How many modules of the nest have been read.
    modules: usize,
}

/// A component that is being read, with how much its index spaces hold.
#[derive(Default)]
pub(super) struct Open {
    number: usize,
    pub(super) items: Vec<Item>,
    pub(super) core_funcs: u32,
    modules: u32,
    pub(super) funcs: u32,
    instances: u32,
    components: u32,
    types: u32,
}

impl Builder {
    pub(super) fn finish(self) -> Vec<Definition> {
        self.definitions
    }

    pub(super) fn payload(&mut self, payload: &Payload<'_>, types: TypesRef<'_>) -> Result<(), Error> {
        match payload {
            Payload::Version { encoding: Encoding::Module, .. } => {
                self.in_module = true;
                return Ok(());
            }
            Payload::Version { encoding: Encoding::Component, .. } => {
                self.open.push(Open { number: self.definitions.len(), ..Open::default() });
                self.definitions.push(Definition::default());
                return Ok(());
            }
            Payload::End(_) => {
                self.end(types);
                return Ok(());
            }
            Payload::ComponentStartSection { .. } => return Err(values()),
            _ => {}
        }
        match self.open.last_mut() {
            Some(open) if !self.in_module => open.section(payload, types),
            _ => Ok(()),
        }
    }

    /// A module or a component has been read, and belongs to the component around it, whose types these are.
    fn end(&mut self, types: TypesRef<'_>) {
        if std::mem::take(&mut self.in_module) {
            if let Some(open) = self.open.last_mut() {
                let ty = types.module_at(open.modules);
                open.modules += 1;
                open.items.push(Item::Module { number: self.modules, ty });
            }
            self.modules += 1;
            return;
        }
        let Some(ended) = self.open.pop() else { return };
        self.definitions[ended.number].items = ended.items;
        if let Some(open) = self.open.last_mut() {
            open.components += 1;
            open.items.push(Item::Component(ended.number));
        }
    }
}

impl Open {
    fn section(&mut self, payload: &Payload<'_>, types: TypesRef<'_>) -> Result<(), Error> {
        match payload {
            Payload::InstanceSection(section) => {
                for instance in section.clone() {
                    self.items.push(core_instance(instance?));
                }
            }
            Payload::ComponentTypeSection(section) => {
                for ty in section.clone() {
                    let index = self.types;
                    self.types += 1;
                    if let ComponentType::Resource { dtor, .. } = ty?
                        && let ComponentAnyTypeId::Resource(id) = types.component_any_type_at(index)
                    {
                        self.items.push(Item::Resource { id: id.resource(), dtor });
                    }
                }
            }
            Payload::ComponentInstanceSection(section) => {
                for instance in section.clone() {
                    let ty = types.component_instance_at(self.instances);
                    self.instances += 1;
                    self.items.push(match instance? {
                        ComponentInstance::Instantiate { component_index, args } => Item::Instantiate {
                            component: component_index,
                            args: args
                                .iter()
                                .map(|arg| (arg.name.into(), item_ref(arg.kind, arg.index, types)))
                                .collect(),
                            ty,
                        },
                        ComponentInstance::FromExports(exports) => Item::Exports {
                            exports: exports
                                .iter()
                                .map(|export| {
                                    (export.name.name.into(), item_ref(export.kind, export.index, types))
                                })
                                .collect(),
                            ty,
                        },
                    });
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section.clone() {
                    self.alias(alias?);
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for canonical in section.clone() {
                    self.canonical(canonical?, types)?;
                }
            }
            Payload::ComponentImportSection(section) => {
                for import in section.clone() {
                    let import = import?;
                    let ty = self.new_item(import.ty.kind(), types)?;
                    self.items.push(Item::Import { name: import.name.name.into(), ty });
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone() {
                    let export = export?;
                    let item = item_ref(export.kind, export.index, types);
                    let ty = self.new_item(export.kind, types)?;
                    self.items.push(Item::Export { name: export.name.name.into(), item, ty });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn alias(&mut self, alias: ComponentAlias<'_>) {
        match alias {
            ComponentAlias::InstanceExport { kind, instance_index, name } => {
                *self.count(kind) += 1;
                self.items.push(Item::Alias { instance: instance_index, name: name.into() });
            }
            ComponentAlias::CoreInstanceExport { kind, instance_index, name } => {
                self.core_funcs += u32::from(kind == ExternalKind::Func);
                self.items.push(Item::CoreAlias { kind, instance: instance_index, name: name.into() });
            }
            ComponentAlias::Outer { kind, count, index } => match kind {
                ComponentOuterAliasKind::CoreModule => {
                    self.modules += 1;
                    self.items.push(Item::OuterModule { count, index });
                }
                ComponentOuterAliasKind::Component => {
                    self.components += 1;
                    self.items.push(Item::OuterComponent { count, index });
                }
                ComponentOuterAliasKind::Type => self.types += 1,
                ComponentOuterAliasKind::CoreType => {}
            },
        }
    }

    /// The type of what has just been added to an index space.
    fn new_item(&mut self, kind: ComponentExternalKind, types: TypesRef<'_>) -> Result<ItemType, Error> {
        if kind == ComponentExternalKind::Value {
            return Err(values());
        }
        let count = self.count(kind);
        let index = *count;
        *count += 1;
        Ok(match kind {
            ComponentExternalKind::Module => ItemType::Module(types.module_at(index)),
            ComponentExternalKind::Func => ItemType::Func(types.component_function_at(index)),
            ComponentExternalKind::Instance => ItemType::Instance(types.component_instance_at(index)),
            ComponentExternalKind::Component => ItemType::Component,
            ComponentExternalKind::Type => ItemType::Type(types.component_any_type_at(index)),
            ComponentExternalKind::Value => ItemType::Value,
        })
    }

    fn count(&mut self, kind: ComponentExternalKind) -> &mut u32 {
        match kind {
            ComponentExternalKind::Module => &mut self.modules,
            ComponentExternalKind::Func => &mut self.funcs,
            ComponentExternalKind::Instance => &mut self.instances,
            ComponentExternalKind::Component => &mut self.components,
            // Values are refused before they are counted.
            ComponentExternalKind::Type | ComponentExternalKind::Value => &mut self.types,
        }
    }
}

fn core_instance(instance: Instance<'_>) -> Item {
    match instance {
        Instance::Instantiate { module_index, args } => Item::CoreInstantiate {
            module: module_index,
            args: args.iter().map(|arg| (arg.name.into(), arg.index)).collect(),
        },
        Instance::FromExports(exports) => Item::CoreExports(
            exports.iter().map(|export| (Arc::from(export.name), export.kind, export.index)).collect(),
        ),
    }
}

fn item_ref(kind: ComponentExternalKind, index: u32, types: TypesRef<'_>) -> ItemRef {
    match kind {
        ComponentExternalKind::Module => ItemRef::Module(index),
        ComponentExternalKind::Func => ItemRef::Func(index),
        ComponentExternalKind::Instance => ItemRef::Instance(index),
        ComponentExternalKind::Component => ItemRef::Component(index),
        ComponentExternalKind::Type => ItemRef::Type(types.component_any_type_at(index)),
        ComponentExternalKind::Value => ItemRef::Value,
    }
}

/// What validation says of a component that has them, too, and before: they are no part of what it lets pass.
fn values() -> Error {
    Error::new(ErrorKind::Unsupported("values and start functions of components".to_owned()))
}
