//! What the bytes of a module say that a decoded one does not keep: sections, producers, features.
//!
//! Of bytes that are no valid module there is less, and no error: decoding them says what is wrong.

use innkeeper::{Feature, Features};
use wasmparser::{KnownCustom, Parser, Payload, ProducersSectionReader};

use super::facts::{Producer, Section};

/// The parts.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) size_bytes: usize,
    pub(super) sections: Vec<Section>,
    pub(super) producers: Vec<Producer>,
    pub(super) features: Vec<&'static str>,
}

/// Sections by their numbers.
const SECTIONS: [&str; 14] = [
    "custom",
    "type",
    "import",
    "function",
    "table",
    "memory",
    "global",
    "export",
    "start",
    "element",
    "code",
    "data",
    "data count",
    "tag",
];

/// The parts of a module's bytes.
pub(super) fn parts(bytes: &[u8]) -> Parts {
    let mut parts = Parts { size_bytes: bytes.len(), ..Parts::default() };
    for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
        if let Some((id, range)) = payload.as_section() {
            let custom = match &payload {
                Payload::CustomSection(section) => Some(section.name().to_owned()),
                _ => None,
            };
            let name = SECTIONS.get(usize::from(id)).copied().unwrap_or("unknown");
            parts.sections.push(Section {
                name,
                custom,
                offset: range.start,
                size_bytes: range.end - range.start,
            });
        }
        if let Payload::CustomSection(section) = &payload
            && let KnownCustom::Producers(reader) = section.as_known()
        {
            // What is damaged in it is left out: it says nothing about what the module does.
            let _ = add_producers(&mut parts.producers, reader);
        }
    }
    if let Some(needed) = Features::needed_by(bytes) {
        let needed = Feature::ALL.iter().filter(|feature| needed.contains(**feature));
        parts.features = needed.map(|feature| feature.name()).collect();
    }
    parts
}

pub(super) fn add_producers(
    producers: &mut Vec<Producer>,
    reader: ProducersSectionReader<'_>,
) -> wasmparser::Result<()> {
    for field in reader {
        let field = field?;
        for value in field.values {
            let value = value?;
            let (name, version) = (value.name.to_owned(), value.version.to_owned());
            producers.push(Producer { field: field.name.to_owned(), name, version });
        }
    }
    Ok(())
}
