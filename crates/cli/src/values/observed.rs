//! How a run is watched: `--trace`, `--profile`.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use innkeeper::wasi::observe::TraceForm;

use crate::elsewhere;
use crate::report::visible;

/// A value of `--trace`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TraceFlag {
    Lines(TraceForm),
    Summary,
}

impl TraceFlag {
    /// Reads `text`, `json` or `summary`.
    pub(crate) fn parse(value: &str) -> Result<TraceFlag, String> {
        match value {
            "text" => Ok(TraceFlag::Lines(TraceForm::Text)),
            "json" => Ok(TraceFlag::Lines(TraceForm::Json)),
            "summary" => Ok(TraceFlag::Summary),
            _ => Err(String::from("write text, json or summary; --trace-file FILE says where it goes")),
        }
    }
}

/// Endings of files that are something else than a flame graph, or the stacks beside it.
const NO_GRAPHS: [&str; 15] = [
    "folded", "gif", "gz", "htm", "html", "jpeg", "jpg", "json", "pb", "pdf", "png", "pprof", "txt", "wasm",
    "webp",
];

/// A value of `--profile`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ProfileFlag {
    File(OsString),
    Perf,
}

impl ProfileFlag {
    /// Reads `perf` or a path. A word that could be a kind of profile is no path: a file of that name can be written as `./NAME`.
    pub(crate) fn parse(value: OsString) -> Result<ProfileFlag, String> {
        let is_file = || match Path::new(&value).extension().and_then(OsStr::to_str) {
            Some(ending) if NO_GRAPHS.iter().any(|other| ending.eq_ignore_ascii_case(other)) => Err(format!(
                "`{}`: a flame graph is written as SVG, and not as {ending}: name it {}",
                visible(&value.to_string_lossy()),
                visible(&Path::new(&value).with_extension("svg").to_string_lossy())
            )),
            _ => Ok(ProfileFlag::File(value.clone())),
        };
        match value.to_str() {
            Some("perf") => Ok(ProfileFlag::Perf),
            Some(word) if word.contains('/') => is_file(),
            Some(word) => match elsewhere::profile(word) {
                Some(answer) => Err(format!("`{}` is another host's: {answer}", visible(word))),
                None if !word.is_empty() && !word.contains('.') => Err(format!(
                    "`{0}` is no kind of profile; a flame graph goes to a file such as {0}.svg, or ./{0}",
                    visible(word)
                )),
                None => is_file(),
            },
            None => is_file(),
        }
    }
}
