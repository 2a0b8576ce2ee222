//! What a module of a component is called: by its own name, behind those of the components that it is nested in, looked for when somebody first asks.
//!
//! Names of components and of modules in them are in the custom sections `component-name` (component model, `Binary.md`, "Name Section"): a component's own name, and those of what is in its
//! index spaces. They are neither validated nor believed: where there is none, or it is broken, an index stands in its place.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentName, ComponentNameSectionReader,
    ComponentOuterAliasKind, Encoding, KnownCustom, NameMap, Parser, Payload,
};

/// Bytes of a path that are kept: each frame of a backtrace has its own.
const MOST_BYTES: usize = 1000;

/// The path of the module that begins at `start` in a component, as in `outer/inner/module`; `own` is the module's name in its own name section. The outermost component is left out: it
/// is the program. None where there is nothing to tell: no name, and no other module.
pub(super) fn path(component: &[u8], start: usize, own: Option<&str>) -> Option<Box<str>> {
    let mut walk = Walk { start: start as u64, ..Walk::default() };
    for payload in Parser::new(0).parse_all(component).map_while(Result::ok) {
        walk.payload(&payload);
    }
    let mut names = walk.path;
    let number = walk.number?;
    let is_one_of_several = names.len() > 1 || walk.modules > 1;
    if let Some(first) = names.first_mut() {
        let own = own.map(str::to_owned).or_else(|| first.take());
        *first = own.or_else(|| is_one_of_several.then(|| format!("module[{number}]")));
    }
    let mut names: Vec<String> = names.into_iter().flatten().collect();
    names.reverse();
    let mut path = names.join("/");
    path.truncate(path.floor_char_boundary(MOST_BYTES));
    (!path.is_empty()).then(|| path.into())
}

/// A walk through a component to one of its modules.
#[derive(Default)]
struct Walk {
    /// Where the module begins.
    start: u64,
    open: Vec<Open>,
    in_module: bool,
    /// How many modules there have been.
    modules: usize,
    /// Which of them the module is, once it has been seen.
    number: Option<usize>,
    /// Its name, and those of the components around it that have been read to their end, without the outermost.
    path: Vec<Option<String>>,
}

/// A component that is being read.
#[derive(Default)]
struct Open {
    /// How much its index spaces hold.
    modules: u32,
    components: u32,
    /// The module that is looked for, or the component that it is in, by its index.
    holds: Option<Held>,
    /// What the component calls itself.
    own: Option<String>,
    /// What it calls the one that it holds.
    held: Option<String>,
}

#[derive(Clone, Copy)]
enum Held {
    Module(u32),
    Component(u32),
}

impl Walk {
    fn payload(&mut self, payload: &Payload<'_>) {
        match payload {
            Payload::ModuleSection { unchecked_range, .. } if unchecked_range.start == self.start => {
                self.number = Some(self.modules);
                if let Some(open) = self.open.last_mut() {
                    open.holds = Some(Held::Module(open.modules));
                }
            }
            Payload::Version { encoding: Encoding::Module, .. } => self.in_module = true,
            Payload::Version { encoding: Encoding::Component, .. } => self.open.push(Open::default()),
            Payload::End(_) => self.end(),
            payload if !self.in_module => {
                if let Some(open) = self.open.last_mut() {
                    open.section(payload);
                }
            }
            _ => {}
        }
    }

    fn end(&mut self) {
        if std::mem::take(&mut self.in_module) {
            self.modules += 1;
            if let Some(open) = self.open.last_mut() {
                open.modules += 1;
            }
            return;
        }
        let Some(ended) = self.open.pop() else { return };
        if let Some(held) = ended.holds {
            // Inside a component of this one, whose own name comes first.
            match (self.path.last_mut(), held) {
                (Some(of_component), Held::Component(index)) => {
                    let name = of_component.take().or(ended.held);
                    *of_component = Some(name.unwrap_or_else(|| format!("component[{index}]")));
                }
                _ => self.path.push(ended.held),
            }
            if !self.open.is_empty() {
                self.path.push(ended.own);
            }
        }
        if let Some(open) = self.open.last_mut() {
            if ended.holds.is_some() {
                open.holds = Some(Held::Component(open.components));
            }
            open.components += 1;
        }
    }
}

impl Open {
    fn section(&mut self, payload: &Payload<'_>) {
        match payload {
            Payload::ComponentImportSection(section) => {
                for import in section.clone().into_iter().map_while(Result::ok) {
                    self.count(import.ty.kind());
                }
            }
            Payload::ComponentExportSection(section) => {
                for export in section.clone().into_iter().map_while(Result::ok) {
                    self.count(export.kind);
                }
            }
            Payload::ComponentAliasSection(section) => {
                for alias in section.clone().into_iter().map_while(Result::ok) {
                    match alias {
                        ComponentAlias::InstanceExport { kind, .. } => self.count(kind),
                        ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreModule, .. } => {
                            self.modules += 1;
                        }
                        ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, .. } => {
                            self.components += 1;
                        }
                        _ => {}
                    }
                }
            }
            Payload::CustomSection(section) => {
                if let KnownCustom::ComponentName(names) = section.as_known() {
                    self.names(names);
                }
            }
            _ => {}
        }
    }

    fn count(&mut self, kind: ComponentExternalKind) {
        match kind {
            ComponentExternalKind::Module => self.modules += 1,
            ComponentExternalKind::Component => self.components += 1,
            _ => {}
        }
    }

    fn names(&mut self, names: ComponentNameSectionReader<'_>) {
        for name in names.into_iter().map_while(Result::ok) {
            match (name, self.holds) {
                (ComponentName::Component { name, .. }, _) if !name.is_empty() => {
                    self.own = Some(name.to_owned());
                }
                (ComponentName::CoreModules(map), Some(Held::Module(index)))
                | (ComponentName::Components(map), Some(Held::Component(index))) => {
                    self.held = name_of(map, index);
                }
                _ => {}
            }
        }
    }
}

fn name_of(map: NameMap<'_>, index: u32) -> Option<String> {
    let found = map.into_iter().map_while(Result::ok).find(|naming| naming.index == index);
    found.map(|naming| naming.name.to_owned()).filter(|name| !name.is_empty())
}
