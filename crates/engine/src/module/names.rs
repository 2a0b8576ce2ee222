//! The name section: names of the module, its functions and its tags, looked for when somebody first asks for one.
//!
//! Names stay where they are, in the module's bytes; what is kept is where each begins.
//!
//! Must stay true: what is kept is in proportion to what the module has, whatever the section holds, and where there is no memory for it, nothing has a name.
//!
//! A broken name section is no error (core specification, appendix "Custom Sections"): what was read before the break counts.

use std::ops::Range;

use wasmparser::{BinaryReader, Name, NameMap, NameSectionReader};

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

/// What has no name: a name is behind the bytes that tell how long it is.
const NOWHERE: Place = Place { start: 0, bytes: 0 };

impl Place {
    fn of(module: &[u8], name: &str) -> Place {
        Place { start: (name.as_ptr().addr() - module.as_ptr().addr()) as u32, bytes: name.len() as u32 }
    }

    fn name(self, module: &[u8]) -> Option<&str> {
        let name = module.get(self.start as usize..)?.get(..self.bytes as usize)?;
        std::str::from_utf8(name).ok().filter(|_| self.start != NOWHERE.start)
    }
}

impl Names {
    /// The name of the module with these bytes.
    pub(super) fn module<'a>(&self, module: &'a [u8]) -> Option<&'a str> {
        self.module?.name(module)
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
            let index = naming.index as usize;
            if index >= count {
                continue;
            }
            if self.0.is_empty() {
                if self.0.try_reserve_exact(count).is_err() {
                    return;
                }
                self.0.resize(count, NOWHERE);
            }
            self.0[index] = Place::of(module, naming.name);
        }
    }
}

/// Reads the names of a module with so many functions and tags, from its name section.
pub(super) fn read(module: &[u8], section: Range<usize>, (funcs, tags): (usize, usize)) -> Names {
    let mut names = Names::default();
    for name in NameSectionReader::new(BinaryReader::new(&module[section], 0)) {
        match name {
            Ok(Name::Module { name, .. }) => names.module = Some(Place::of(module, name)),
            Ok(Name::Function(map)) => names.funcs.note(module, map, funcs),
            Ok(Name::Tag(map)) => names.tags.note(module, map, tags),
            Ok(_) => {}
            Err(_) => break,
        }
    }
    names
}
