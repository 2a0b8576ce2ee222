//! Settings of a run that change what its guest computes, as its record keeps them: a replay has the same.
//!
//! Everything else that could make a difference is an answer of the host's, and recorded as one.

use innkeeper::{Feature, Features};

use crate::flags::RunArgs;

/// What is set otherwise than usual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RecordedSettings {
    /// What the guest may use up. It is a trap at the same instruction.
    pub(crate) fuel: Option<u64>,
    /// What the guest may hold: growing a memory fails in the same place.
    pub(crate) memory_bytes: Option<u64>,
    /// What is valid.
    pub(crate) features: Features,
    /// How many functions of a component are called; after them come the arguments, where there is one.
    pub(crate) calls: usize,
}

impl RecordedSettings {
    /// Those of a command line.
    pub(crate) fn of(features: Features, memory_bytes: Option<u64>, args: &RunArgs) -> RecordedSettings {
        RecordedSettings { fuel: args.keys.limits.fuel, memory_bytes, features, calls: 0 }
    }

    /// One word for each setting, `NAME=VALUE`.
    pub(crate) fn to_words(self) -> Vec<String> {
        let RecordedSettings { fuel, memory_bytes, features, calls } = self;
        let mut words = Vec::new();
        words.extend(fuel.map(|units| format!("fuel={units}")));
        words.extend(memory_bytes.map(|bytes| format!("memory={bytes}")));
        if features != Features::default() {
            let on = Feature::ALL.iter().filter(|feature| features.contains(**feature));
            let names: Vec<&str> = on.map(|feature| feature.name()).collect();
            words.push(format!("features={}", names.join(",")));
        }
        if calls > 0 {
            words.push(format!("calls={calls}"));
        }
        words
    }

    /// Reads the words; the first that means nothing, where there is one.
    pub(crate) fn from_words(words: &[String]) -> Result<RecordedSettings, &str> {
        let mut settings = RecordedSettings::default();
        for word in words {
            let (name, value) = word.split_once('=').ok_or(&**word)?;
            match name {
                "fuel" => settings.fuel = Some(value.parse().map_err(|_| &**word)?),
                "memory" => settings.memory_bytes = Some(value.parse().map_err(|_| &**word)?),
                "calls" => settings.calls = value.parse().map_err(|_| &**word)?,
                "features" => settings.features = features(value).ok_or(&**word)?,
                _ => return Err(word),
            }
        }
        Ok(settings)
    }
}

fn features(names: &str) -> Option<Features> {
    names.split(',').filter(|name| !name.is_empty()).try_fold(Features::MVP, |features, name| {
        Some(features.with(*Feature::ALL.iter().find(|feature| feature.name() == name)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_they_were_written() {
        let mut all = vec![RecordedSettings::default()];
        for feature in Feature::ALL {
            all.push(RecordedSettings {
                fuel: Some(u64::MAX),
                memory_bytes: Some(0),
                features: Features::default().without(*feature),
                calls: 2,
            });
        }
        all.push(RecordedSettings { features: Features::MVP, ..RecordedSettings::default() });
        for settings in all {
            assert_eq!(RecordedSettings::from_words(&settings.to_words()), Ok(settings));
        }
        for word in ["fuel", "fuel=", "memory=x", "features=x", "calls=x", "other=1"] {
            assert_eq!(RecordedSettings::from_words(&[word.to_owned()]), Err(word));
        }
    }
}
