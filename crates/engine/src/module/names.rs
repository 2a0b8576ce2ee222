//! The name section: names of the module, its functions and its tags, read when somebody first asks for one.
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

pub(super) fn read(section: &[u8]) -> Names {
    let mut names = Names::default();
    for name in NameSectionReader::new(BinaryReader::new(section, 0)) {
        match name {
            Ok(Name::Module { name, .. }) => names.module = Some(name.into()),
            Ok(Name::Function(map)) => {
                for naming in map.into_iter().map_while(Result::ok) {
                    names.funcs.insert(FuncIndex(naming.index), naming.name.into());
                }
            }
            Ok(Name::Tag(map)) => {
                for naming in map.into_iter().map_while(Result::ok) {
                    names.tags.insert(TagIndex(naming.index), naming.name.into());
                }
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    names
}
