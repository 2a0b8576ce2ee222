//! The certificate that `inn serve` has: `--tls-cert` and `--tls-key`.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use clap::{Args, ValueHint};
use innkeeper_http::server::{Tls, TlsError};
use rustix::fs::{CWD, Mode, openat};

use super::sources::{self, Unread, When};
use crate::report::{self, Problem, visible};
use crate::writable::{LOOKUP, Writable};

#[derive(Debug, Args)]
#[command(next_help_heading = "TLS")]
pub(crate) struct TlsFlags {
    /// Serve HTTPS with this certificate, and those that vouch for it behind it (PEM), over every address of --listen
    ///
    /// The file and that of --tls-key are read again when they change, and at SIGHUP; connections that there are keep what they began with. Sockets of the file system stay unencrypted.
    #[arg(long, value_name = "FILE", requires = "tls_key", value_hint = ValueHint::FilePath)]
    pub(super) tls_cert: Option<PathBuf>,

    /// The private key of --tls-cert (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert", value_hint = ValueHint::FilePath)]
    pub(super) tls_key: Option<PathBuf>,
}

/// The certificate, where there is to be one. `writable` is what guests may write to, whichever are served.
pub(super) fn open(flags: &TlsFlags, writable: Arc<Mutex<Writable>>) -> Result<Option<Tls>, Problem> {
    let (Some(certificates), Some(key)) = (&flags.tls_cert, &flags.tls_key) else { return Ok(None) };
    // Also when they are read again: a guest could have led the way elsewhere meanwhile, or changed them.
    let is_again = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&is_again);
    let open = move |path: &Path| {
        let writable = writable.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let when = if asked.load(Ordering::SeqCst) { When::Again } else { When::AtTheStart };
        sources::open(path, "what TLS is by", (&writable, when)).map_err(|error| match error {
            Unread::System(error) => error,
            Unread::Refused(reason) => std::io::Error::other(reason),
        })
    };
    let opened = Tls::open_by(certificates, key, open).map(Some).map_err(|error| problem(&error));
    is_again.store(true, Ordering::SeqCst);
    opened
}

/// Follows the files, and says when they were read again, or could not be.
pub(super) fn follow(tls: Tls) {
    tokio::spawn(async move {
        let told = |outcome: Result<(), TlsError>| match outcome {
            Ok(()) => report::note(&Problem::new("--tls-cert", "the certificate was read again")),
            Err(error) => report::warning(&problem(&error).help("what was read before stays in use")),
        };
        tls.follow_files(told).await;
    });
}

fn problem(error: &TlsError) -> Problem {
    Problem::new(visible(&error.file().to_string_lossy()), error.reason())
}

/// Refuses a key that lies in one of these directories, which a guest is granted, or clients are given: whoever makes it talk could make it tell.
pub(super) fn keep_from_guest(flags: &TlsFlags, shown: &Writable) -> Result<(), Problem> {
    let Some(key) = &flags.tls_key else { return Ok(()) };
    // Where it is, and not where a link to it is; what is not there is told by whoever reads it.
    let Ok(real) = key.canonicalize() else { return Ok(()) };
    let Some(parent) = real.parent() else { return Ok(()) };
    let Ok(directory) = openat(CWD, parent, LOOKUP, Mode::empty()) else { return Ok(()) };
    match shown.around(&directory) {
        Ok(None) | Err(_) => Ok(()),
        Ok(Some(granted)) => Err(Problem::new(
            visible(&key.to_string_lossy()),
            format!(
                "the key lies in {}, which the guest is granted, or clients are given the files of",
                visible(&granted.to_string_lossy())
            ),
        )
        .help("keep it where neither --dir nor --static leads")
        .mistake()),
    }
}
