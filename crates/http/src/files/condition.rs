//! Under which conditions a client wants a file: RFC 9110, section 13.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{
    HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};

/// By which a client knows whether it has a file already.
#[derive(Clone, Debug)]
pub(super) struct Validators {
    tag: String,
    modified: SystemTime,
}

/// What is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Whole,
    /// The part that is asked for.
    Part,
    /// 304.
    Unchanged,
    /// 412.
    Failed,
}

/// A file that was written so lately can be written again without its time showing that.
const UNSETTLED: Duration = Duration::from_secs(1);

impl Validators {
    /// Those of a file, at this moment.
    pub(super) fn of(metadata: &Metadata, now: SystemTime) -> Validators {
        // HTTP's dates have four digits of a year, and these begin with 1970: a file's time is whatever somebody has set.
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        let modified = modified.min(now).max(SystemTime::UNIX_EPOCH);
        let is_settled = now.duration_since(modified).is_ok_and(|age| age >= UNSETTLED);
        let weak = if is_settled { "" } else { "W/" };
        let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
        let tag = format!("{weak}\"{seconds:x}.{nanoseconds:x}-{:x}-{:x}\"", metadata.len(), metadata.ino());
        Validators { tag, modified }
    }

    pub(super) fn tag(&self) -> &str {
        &self.tag
    }

    /// When it was written last, as HTTP says that.
    pub(super) fn modified(&self) -> String {
        httpdate::fmt_http_date(self.modified)
    }

    /// What the fields of a request ask for: RFC 9110, section 13.2.2.
    pub(super) fn judge(&self, request: &HeaderMap) -> Outcome {
        let is_met = match lines(request, &IF_MATCH) {
            Some(tags) => listed(&tags).any(|tag| tag == "*" || self.is_same(tag)),
            None => self.date(request, &IF_UNMODIFIED_SINCE).is_none_or(|date| self.seconds() <= date),
        };
        if !is_met {
            return Outcome::Failed;
        }
        let is_known = match lines(request, &IF_NONE_MATCH) {
            Some(tags) => {
                listed(&tags).any(|tag| tag == "*" || without_weakness(tag) == without_weakness(&self.tag))
            }
            None => self.date(request, &IF_MODIFIED_SINCE).is_some_and(|date| self.seconds() <= date),
        };
        if is_known {
            return Outcome::Unchanged;
        }
        let is_part = request.contains_key(RANGE)
            && lines(request, &IF_RANGE).is_none_or(|value| match value.contains('"') {
                true => self.is_same(value.trim()),
                false => self.date(request, &IF_RANGE) == Some(self.seconds()) && !self.tag.starts_with("W/"),
            });
        if is_part { Outcome::Part } else { Outcome::Whole }
    }

    /// Whether it is the same byte for byte, which a weak tag does not say.
    fn is_same(&self, tag: &str) -> bool {
        tag == self.tag && !tag.starts_with("W/")
    }

    fn date(&self, request: &HeaderMap, name: &HeaderName) -> Option<u64> {
        seconds(httpdate::parse_http_date(request.get(name)?.to_str().ok()?).ok()?)
    }

    /// HTTP tells no parts of a second.
    fn seconds(&self) -> u64 {
        seconds(self.modified).unwrap_or(0)
    }
}

fn seconds(time: SystemTime) -> Option<u64> {
    time.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// The values of a field, in one line; none where there is no such field.
fn lines(request: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values = request.get_all(name).iter().map(|value| value.to_str().unwrap_or_default());
    let values: Vec<&str> = values.collect();
    (!values.is_empty()).then(|| values.join(","))
}

/// The tags of a list. Those of ours have no commas.
fn listed(tags: &str) -> impl Iterator<Item = &str> {
    tags.split(',').map(str::trim)
}

fn without_weakness(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file's time is whatever somebody has set: before the first time that HTTP knows, and behind the last.
    #[test]
    fn any_time_of_a_file_is_a_date() {
        let file = tempfile::tempfile().unwrap();
        let year = 365 * 24 * 3600;
        let times = [
            SystemTime::UNIX_EPOCH - Duration::from_secs(1),
            SystemTime::UNIX_EPOCH - Duration::from_secs(60 * year),
            SystemTime::UNIX_EPOCH + Duration::from_secs(9000 * year),
        ];
        for time in times {
            // Where the file system has no such time, it has set another.
            file.set_modified(time).unwrap();
            let validators = Validators::of(&file.metadata().unwrap(), SystemTime::now());
            assert!(validators.modified().ends_with(" GMT"), "{time:?}");
            assert!(validators.seconds() <= seconds(SystemTime::now()).unwrap(), "{time:?}");
        }
    }

    #[test]
    fn conditions_are_judged_in_their_order() {
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let strong = Validators { tag: String::from("\"a\""), modified };
        let weak = Validators { tag: String::from("W/\"a\""), modified };
        let (at, earlier) = ("Sun, 09 Sep 2001 01:46:40 GMT", "Sun, 09 Sep 2001 01:46:39 GMT");
        let judge = |validators: &Validators, fields: &[(HeaderName, &str)]| {
            let mut request = HeaderMap::new();
            for (name, value) in fields {
                request.append(name, value.parse().unwrap());
            }
            validators.judge(&request)
        };
        use Outcome::{Failed, Part, Unchanged, Whole};
        for (fields, of_strong, of_weak) in [
            (&[][..], Whole, Whole),
            (&[(IF_NONE_MATCH, "\"a\"")], Unchanged, Unchanged),
            (&[(IF_NONE_MATCH, "\"b\", W/\"a\"")], Unchanged, Unchanged),
            (&[(IF_NONE_MATCH, "\"b\""), (IF_NONE_MATCH, "\"a\"")], Unchanged, Unchanged),
            (&[(IF_NONE_MATCH, "*")], Unchanged, Unchanged),
            (&[(IF_NONE_MATCH, "\"b\""), (IF_MODIFIED_SINCE, at)], Whole, Whole),
            (&[(IF_MODIFIED_SINCE, at)], Unchanged, Unchanged),
            (&[(IF_MODIFIED_SINCE, earlier)], Whole, Whole),
            (&[(IF_MODIFIED_SINCE, "yesterday")], Whole, Whole),
            (&[(IF_MATCH, "\"a\"")], Whole, Failed),
            (&[(IF_MATCH, "*")], Whole, Whole),
            (&[(IF_MATCH, "\"b\"")], Failed, Failed),
            (&[(IF_UNMODIFIED_SINCE, earlier)], Failed, Failed),
            (&[(IF_UNMODIFIED_SINCE, at)], Whole, Whole),
            (&[(RANGE, "bytes=0-1")], Part, Part),
            (&[(RANGE, "bytes=0-1"), (IF_RANGE, "\"a\"")], Part, Whole),
            (&[(RANGE, "bytes=0-1"), (IF_RANGE, "W/\"a\"")], Whole, Whole),
            (&[(RANGE, "bytes=0-1"), (IF_RANGE, "\"b\"")], Whole, Whole),
            (&[(RANGE, "bytes=0-1"), (IF_RANGE, at)], Part, Whole),
            (&[(RANGE, "bytes=0-1"), (IF_RANGE, earlier)], Whole, Whole),
        ] {
            assert_eq!((judge(&strong, fields), judge(&weak, fields)), (of_strong, of_weak), "{fields:?}");
        }
    }
}
