//! The name section: names of the module, its functions and its tags, read when somebody first asks for one.
//!
//! Must stay true: names are kept only of what the module has, whatever the section holds.
//!
//! A broken name section is no error (core specification, appendix "Custom Sections"): what was read before the break counts.

use std::collections::HashMap;

use wasmparser::{BinaryReader, Name, NameSectionReader};

use crate::index::{FuncIndex, TagIndex};

#[derive(Default)]
pub(super) struct Names {
    pub(super) module: Option<Box<str>>,
    pub(super) funcs: HashMap<FuncIndex, Box<str>>,
    pub(super) tags: HashMap<TagIndex, Box<str>>,
}

/// Reads the names of a module with so many functions and tags.
pub(super) fn read(section: &[u8], (funcs, tags): (usize, usize)) -> Names {
    let mut names = Names::default();
    for name in NameSectionReader::new(BinaryReader::new(section, 0)) {
        match name {
            Ok(Name::Module { name, .. }) => names.module = Some(name.into()),
            Ok(Name::Function(map)) => {
                let namings = map.into_iter().map_while(Result::ok);
                for naming in namings.filter(|naming| (naming.index as usize) < funcs) {
                    names.funcs.insert(FuncIndex(naming.index), naming.name.into());
                }
            }
            Ok(Name::Tag(map)) => {
                let namings = map.into_iter().map_while(Result::ok);
                for naming in namings.filter(|naming| (naming.index as usize) < tags) {
                    names.tags.insert(TagIndex(naming.index), naming.name.into());
                }
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    names
}
