//! TLS: a certificate and its key, from files that are read again when they change.
//!
//! Connections that there are keep what they began with; those that begin have what was read last. Where new files are not in order, the old ones stay in use.

use std::fmt;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::server::TlsStream;

/// The protocols that are spoken, the preferred one first (ALPN).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// How often it is looked whether the files have changed.
const LOOK_TIME: Duration = Duration::from_secs(1);

/// More than any chain of certificates has.
const MOST_BYTES: u64 = 1 << 20;

/// TLS 1.2 and 1.3 with a certificate. Clones are the same.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    files: Arc<Files>,
}

/// How the files are opened, each time that they are read.
type OpenFile = dyn Fn(&Path) -> std::io::Result<std::fs::File> + Send + Sync;

/// The certificate's files, and what was read of them last.
struct Files {
    open: Box<OpenFile>,
    certificates: PathBuf,
    key: PathBuf,
    current: RwLock<Arc<CertifiedKey>>,
    provider: Arc<CryptoProvider>,
    seen: Mutex<Option<[Stamp; 2]>>,
    asked: Notify,
}

/// By which it is seen that a file has changed: when it was, which one it is and how long.
type Stamp = Option<(SystemTime, u64, u64)>;

/// Why there is no certificate in these files.
#[derive(Debug)]
pub struct TlsError {
    file: PathBuf,
    reason: String,
}

impl TlsError {
    fn new(file: &Path, reason: impl fmt::Display) -> TlsError {
        TlsError { file: file.to_owned(), reason: reason.to_string() }
    }

    /// The file that is not in order.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What is wrong with it.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.reason)
    }
}

impl std::error::Error for TlsError {}

impl Tls {
    /// That of a chain of certificates, the server's own first, and the key of that one; both as PEM.
    ///
    /// # Errors
    /// The files cannot be read, are not what they should be, or do not belong together.
    pub fn open(certificates: &Path, key: &Path) -> Result<Tls, TlsError> {
        Tls::open_by(certificates, key, |path| std::fs::File::open(path))
    }

    /// As [`Tls::open`], for whoever has a say in which ways are gone to the files: they are opened by `open`, now and whenever they are read again.
    ///
    /// # Errors
    /// As there.
    pub fn open_by(
        certificates: &Path,
        key: &Path,
        open: impl Fn(&Path) -> std::io::Result<std::fs::File> + Send + Sync + 'static,
    ) -> Result<Tls, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let seen = [stamp(certificates), stamp(key)];
        let current = read((certificates, key), &provider, &open)?;
        let files = Arc::new(Files {
            open: Box::new(open),
            certificates: certificates.to_owned(),
            key: key.to_owned(),
            current: RwLock::new(Arc::new(current)),
            provider: Arc::clone(&provider),
            seen: Mutex::new(Some(seen)),
            asked: Notify::new(),
        });
        let of_system = |error| TlsError::new(certificates, format!("TLS cannot be had: {error}"));
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(of_system)?.with_no_client_auth();
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Files>::clone(&files);
        let mut config = config.with_cert_resolver(resolver);
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        config.ticketer = ring::Ticketer::new().map_err(of_system)?;
        Ok(Tls { acceptor: TlsAcceptor::from(Arc::new(config)), files })
    }

    /// Reads the files again whenever they change, or that is asked for, and tells how that went, without an end.
    pub async fn follow_files(&self, told: impl Fn(Result<(), TlsError>)) {
        loop {
            let is_asked = tokio::select! {
                () = self.files.asked.notified() => true,
                () = sleep(LOOK_TIME) => false,
            };
            let files = Arc::clone(&self.files);
            // A thread that may wait for a disk.
            let outcome = tokio::task::spawn_blocking(move || files.look(is_asked)).await;
            if let Ok(Some(outcome)) = outcome {
                told(outcome);
            }
        }
    }

    /// Asks for the files to be read again, by whoever follows them.
    pub fn reload(&self) {
        self.files.asked.notify_one();
    }

    /// Begins a connection with a client.
    pub(super) async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        self.acceptor.accept(stream).await
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("certificates", &self.files.certificates).finish_non_exhaustive()
    }
}

impl Files {
    /// Reads the files where they have changed, or in any case; none where they have not.
    fn look(&self, in_any_case: bool) -> Option<Result<(), TlsError>> {
        let now = Some([stamp(&self.certificates), stamp(&self.key)]);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now && !in_any_case {
            return None;
        }
        *seen = now;
        let found = read((&self.certificates, &self.key), &self.provider, &*self.open);
        Some(found.map(|found| {
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(found);
        }))
    }
}

impl fmt::Debug for Files {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Files").field("certificates", &self.certificates).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Files {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn stamp(path: &Path) -> Stamp {
    let found = std::fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.ino(), found.len()))
}

fn read(
    (certificates, key): (&Path, &Path),
    provider: &CryptoProvider,
    open: &OpenFile,
) -> Result<CertifiedKey, TlsError> {
    let text = bytes(certificates, open)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain =
        chain.map_err(|error| TlsError::new(certificates, format!("no certificates as PEM: {error}")))?;
    if chain.is_empty() {
        return Err(TlsError::new(certificates, "there is no certificate in it (PEM, BEGIN CERTIFICATE)"));
    }
    let private = PrivateKeyDer::from_pem_slice(&bytes(key, open)?)
        .map_err(|error| TlsError::new(key, format!("no private key as PEM: {error}")))?;
    CertifiedKey::from_der(chain, private, provider)
        .map_err(|error| TlsError::new(key, format!("not the key of {}: {error}", certificates.display())))
}

fn bytes(path: &Path, open: &OpenFile) -> Result<Vec<u8>, TlsError> {
    let problem = |error| TlsError::new(path, error);
    let mut bytes = Vec::new();
    open(path).map_err(problem)?.take(MOST_BYTES).read_to_end(&mut bytes).map_err(problem)?;
    Ok(bytes)
}
