//! What machine code is made from and for. Code is used where all of it is the same, and nowhere else.

use blake3::{Hash, Hasher};
use cranelift_codegen::isa::TargetIsa;
use innkeeper_engine::Config;

/// Everything that machine code depends on, as digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// The bytes of the module, or of the component that it is a part of.
    pub(crate) module: Hash,
    pub(crate) target: Target,
}

/// What machine code is made for, whatever the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The build of the compiler and of the engine, whose records the code knows.
    pub(crate) build: Hash,
    /// The processor, by what the compiler knows of its features.
    pub(crate) processor: Hash,
    /// The engine's configuration and the compiler's, as far as code and validity depend on them.
    pub(crate) settings: Hash,
}

/// How the build is called in messages.
pub(crate) fn build_name() -> String {
    format!("{} ({})", env!("CARGO_PKG_VERSION"), env!("INNKEEPER_BUILD"))
}

impl Target {
    /// What an engine with this configuration, whose layout of memories is settled, makes code for.
    pub(crate) fn new(isa: &dyn TargetIsa, config: &Config) -> Target {
        let mut processor = Hasher::new();
        processor.update(isa.triple().to_string().as_bytes());
        for value in isa.isa_flags() {
            processor.update(format!("\n{value}").as_bytes());
        }
        let build = format!("{} {}", build_name(), cranelift_native::VERSION);
        // All fields by name, so that a new one is not forgotten: limits and most of the tuning change no code.
        let Config { features, metering, nan_bits, tuning, limits: _, pooling: _ } = config;
        let settings = format!(
            "{features:?} {metering:?} {nan_bits:?} {:?} {:?} {:?} {}",
            tuning.memory_layout,
            tuning.inlining,
            tuning.unrolling,
            isa.flags()
        );
        Target {
            build: blake3::hash(build.as_bytes()),
            processor: processor.finalize(),
            settings: blake3::hash(settings.as_bytes()),
        }
    }
}

impl Key {
    pub(crate) fn new(module: &[u8], target: Target) -> Key {
        Key { module: blake3::hash(module), target }
    }

    /// The name of the file that has the code.
    pub(crate) fn file_name(&self) -> String {
        let mut hasher = Hasher::new();
        for part in self.parts() {
            hasher.update(part.as_bytes());
        }
        format!("{}.{SUFFIX}", hasher.finalize().to_hex())
    }

    /// The digests, in the order in which a file has them.
    pub(crate) fn parts(&self) -> [Hash; 4] {
        [self.module, self.target.build, self.target.processor, self.target.settings]
    }

    pub(crate) fn from_parts([module, build, processor, settings]: [Hash; 4]) -> Key {
        Key { module, target: Target { build, processor, settings } }
    }
}

/// What names of files in a cache end with.
pub(crate) const SUFFIX: &str = "code";

/// Whether a file of a cache has such a name.
pub(crate) fn is_file_name(name: &[u8]) -> bool {
    let hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
    name.strip_suffix(b".code").is_some_and(|digest| digest.len() == 64 && digest.iter().all(hex))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::format::{Head, Seal, Sections};
    use crate::cache::{Cache, CacheSeal};

    #[test]
    fn the_build_has_a_name_that_covers_the_versions_of_what_it_uses() {
        let lock = option_env!("INNKEEPER_BUILD_LOCK").map(std::fs::read_to_string);
        assert!(lock.is_some_and(|lock| lock.is_ok_and(|lock| lock.contains("cranelift-codegen"))));
    }

    fn key() -> Key {
        let isa = crate::compiler::isa(innkeeper_engine::NanBits::AsComputed).unwrap();
        Key::new(b"module", Target::new(&*isa, &Config::default()))
    }

    /// A file that says it is for `key`.
    fn file(key: Key, seal: &CacheSeal) -> Vec<u8> {
        let mut head = Head {
            key,
            build_name: build_name(),
            sections: Sections::default(),
            functions: Vec::new(),
            profile: Vec::new(),
            refused: Vec::new(),
            trampolines: Vec::new(),
        };
        let mut bytes = head.write(Seal::Keyed(seal));
        bytes.resize(usize::try_from(head.sections.code.end).unwrap(), 0);
        bytes
    }

    #[test]
    fn c3_other_version_processor_or_settings() {
        let key = key();
        let path = tempfile::tempdir().unwrap();
        let seal = CacheSeal::in_directory(&path.path().join("seal")).unwrap();
        let cache = Cache::in_directory(&path.path().join("cache"), seal.clone()).unwrap();
        let is_used = |said: Key| {
            let directory = cache.directory().unwrap();
            let bytes = file(said, &seal);
            directory.write(&key.file_name(), 0, |to| std::io::Write::write_all(to, &bytes)).unwrap();
            cache.find(&key).is_some()
        };
        assert!(is_used(key));
        let other = blake3::hash(b"other");
        for part in 0..4 {
            let mut parts = key.parts();
            parts[part] = other;
            let changed = Key::from_parts(parts);
            assert_ne!(changed.file_name(), key.file_name());
            assert!(!is_used(changed), "part {part}");
        }
        assert!(is_used(key));
    }

    #[test]
    fn names_of_files() {
        assert!(is_file_name(key().file_name().as_bytes()));
        for name in ["", ".code", "x.code", "../x", &"0".repeat(64), &("A".repeat(64) + ".code")] {
            assert!(!is_file_name(name.as_bytes()), "{name}");
        }
    }
}
