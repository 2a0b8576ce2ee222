//! Finds text: by a regular expression, and by the words in the index of a site.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use regex::{Regex, RegexBuilder};

use crate::markdown::Page;

/// Prints the lines of text that match, as `FILE:LINE: TEXT`; whether there was one.
pub(crate) fn print_matches(pattern: &str, files: &[&str]) -> Result<bool, String> {
    let pattern = RegexBuilder::new(pattern)
        .case_insensitive(true)
        .build()
        .map_err(|error| format!("bad pattern: {error}"))?;
    let mut stdout = std::io::stdout().lock();
    let mut found = false;
    for file in files {
        let source = std::fs::read_to_string(file)
            .map_err(|error| format!("cannot read {file}: {error}"))?;
        for (index, line) in Page::parse(&source).text.lines().enumerate() {
            if pattern.is_match(line) {
                found = true;
                writeln!(stdout, "{file}:{}: {line}", index + 1)
                    .map_err(|error| format!("cannot write to stdout: {error}"))?;
            }
        }
    }
    Ok(found)
}

/// Which pages have a word: words in lower case, pages by their number in the index.
pub(crate) struct WordIndex {
    word: Regex,
    pages: BTreeMap<String, BTreeSet<usize>>,
}

impl WordIndex {
    pub(crate) fn new() -> Result<Self, String> {
        let word = Regex::new(r"\w{3,}").map_err(|error| error.to_string())?;
        Ok(Self {
            word,
            pages: BTreeMap::new(),
        })
    }

    /// Adds the words of a page; how many there were, repeated ones included.
    pub(crate) fn add(&mut self, page: usize, text: &str) -> usize {
        let mut count = 0;
        for word in self.word.find_iter(text) {
            self.pages
                .entry(word.as_str().to_lowercase())
                .or_default()
                .insert(page);
            count += 1;
        }
        count
    }

    pub(crate) fn len(&self) -> usize {
        self.pages.len()
    }

    pub(crate) fn to_json(&self) -> serde_json::Value {
        self.pages
            .iter()
            .map(|(word, pages)| (word.clone(), serde_json::json!(pages)))
            .collect()
    }
}
