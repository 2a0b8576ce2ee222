//! The last path that a guest did not find in a directory where that may be a misunderstanding: one in which libraries look up absolute paths as well, or one whose own name
//! the path repeats.
//!
//! What fails for it ends soon, so the last one is kept. Nothing is looked at on the host before somebody wants to know.

use std::sync::PoisonError;

use super::Host;
use super::credentials::Grant;
use super::denial::Refusal;
use super::directory::Directory;
use super::error::Error;
use super::explain::Explanation;
use super::gate::{Object, Request};
use super::missing;

impl Host {
    /// Notes that a path was not found, if it was looked up in a directory in which libraries look up absolute paths as well. The last one is kept: what fails for it
    /// ends soon.
    #[cold]
    pub(super) fn note_missed(&self, request: &Request<'_>, directory: &Directory) {
        let Object::Path(credentials, path) = request.object else { return };
        let Grant::Directory { guest, .. } = &*credentials.grant else { return };
        let is_told = missing::stripped(guest).is_empty() || missing::after_name(guest, path).is_some();
        if *directory.credentials.guest_path != **guest || !is_told {
            return;
        }
        let missed = Refusal::of_path((request.operation, request.needs), Error::NotFound, credentials, path);
        *self.missed.lock().unwrap_or_else(PoisonError::into_inner) = Some(missed);
    }

    pub(super) fn explain_missed(&self) -> Option<Explanation> {
        let missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        if let Some((path, guest, rest)) = missing::repeated(&missed, &self.grants) {
            return Some(Explanation::Repeated { path, guest, rest });
        }
        let missing = missing::elsewhere(&missed, &self.grants)?;
        let path = String::from_utf8_lossy(missed.path.as_deref()?).into_owned();
        let guest = missed.credentials?.guest_path.to_string();
        Some(Explanation::Elsewhere { path: format!("/{path}"), guest, missing })
    }

    /// The last path that the guest did not find where that may be a misunderstanding, as it was looked up there.
    #[must_use]
    pub fn missed_path(&self) -> Option<String> {
        let missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        missed.as_ref()?.path.as_deref().map(|path| String::from_utf8_lossy(path).into_owned())
    }
}
