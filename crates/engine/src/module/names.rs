//! What a module, its functions and its tags are called, looked for when somebody first asks for a name: as the name section has it, and a function that has no
//! name there as the first export of it.
//!
//! Names stay where they are, in the module's bytes; what is kept is where each begins.
//!
//! Must stay true: what is kept is in proportion to what the module has, whatever the section holds, and where there is no memory for it, nothing has a name.
//!
//! A broken name section is no error (core specification, appendix "Custom Sections"): what was read before the break counts.

use std::ops::Range;

use wasmparser::{BinaryReader, ExportSectionReader, ExternalKind, Name, NameMap, NameSectionReader};

#[derive(Default)]
pub(super) struct Names {
    module: Option<Place>,
    pub(super) funcs: NameList,
    pub(super) tags: NameList,
}

/// The names of an index space, by index.
#[derive(Default)]
pub(super) struct NameList(Vec<Place>);

/// Where a name is in the module's bytes, which are fewer than 4 GiB.
#[derive(Clone, Copy)]
struct Place {
    start: u32,
    bytes: u32,
}

/// What has no name.
const NOWHERE: Place = Place { start: 0, bytes: 0 };

impl Place {
    fn of(module: &[u8], name: &str) -> Place {
        Place { start: (name.as_ptr().addr() - module.as_ptr().addr()) as u32, bytes: name.len() as u32 }
    }

    fn name(self, module: &[u8]) -> Option<&str> {
        let name = module.get(self.start as usize..)?.get(..self.bytes as usize)?;
        std::str::from_utf8(name).ok().filter(|name| !name.is_empty())
    }
}

impl Names {
    /// The name of the module with these bytes.
    pub(super) fn module<'a>(&self, module: &'a [u8]) -> Option<&'a str> {
        self.module?.name(module)
    }

    fn note_section(&mut self, module: &[u8], section: Range<usize>, (funcs, tags): (usize, usize)) {
        for name in NameSectionReader::new(BinaryReader::new(&module[section], 0)) {
            match name {
                Ok(Name::Module { name, .. }) => self.module = Some(Place::of(module, name)),
                Ok(Name::Function(map)) => self.funcs.note(module, map, funcs),
                Ok(Name::Tag(map)) => self.tags.note(module, map, tags),
                Ok(_) => {}
                Err(_) => break,
            }
        }
    }

    /// Bytes that are kept.
    pub(super) fn held_bytes(&self) -> usize {
        (self.funcs.0.capacity() + self.tags.0.capacity()) * size_of::<Place>()
    }
}

impl NameList {
    /// The name of what has an index, in the module with these bytes.
    pub(super) fn get<'a>(&self, index: usize, module: &'a [u8]) -> Option<&'a str> {
        self.0.get(index)?.name(module)
    }

    /// Notes names of an index space of `count`; those beyond are nobody's.
    fn note(&mut self, module: &[u8], names: NameMap<'_>, count: usize) {
        for naming in names.into_iter().map_while(Result::ok) {
            if let Some(place) = self.place(naming.index as usize, count) {
                *place = Place::of(module, naming.name);
            }
        }
    }

    /// Notes what functions are exported as that have no name yet.
    fn note_exported(&mut self, module: &[u8], section: Range<usize>, count: usize) {
        let Ok(exports) = ExportSectionReader::new(BinaryReader::new(&module[section], 0)) else { return };
        for export in exports.into_iter().map_while(Result::ok) {
            let is_func = matches!(export.kind, ExternalKind::Func | ExternalKind::FuncExact);
            let place = is_func.then(|| self.place(export.index as usize, count)).flatten();
            // A name of nothing is none.
            if let Some(place) = place.filter(|place| place.bytes == 0) {
                *place = Place::of(module, export.name);
            }
        }
    }

    /// Where the name of what has an index is noted; nowhere for an index beyond `count`, or without memory.
    fn place(&mut self, index: usize, count: usize) -> Option<&mut Place> {
        if self.0.is_empty() && index < count {
            self.0.try_reserve_exact(count).ok()?;
            self.0.resize(count, NOWHERE);
        }
        self.0.get_mut(index)
    }
}

/// Where a module's bytes have names.
#[derive(Clone, Debug, Default)]
pub(super) struct Sections {
    pub(super) names: Option<Range<usize>>,
    pub(super) exports: Option<Range<usize>>,
}

/// Reads the names of a module with so many functions and tags.
pub(super) fn read(module: &[u8], sections: &Sections, (funcs, tags): (usize, usize)) -> Names {
    let mut names = Names::default();
    if let Some(section) = &sections.names {
        names.note_section(module, section.clone(), (funcs, tags));
    }
    if let Some(section) = &sections.exports {
        names.funcs.note_exported(module, section.clone(), funcs);
    }
    names
}
