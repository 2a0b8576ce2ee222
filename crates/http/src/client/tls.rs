//! TLS to whoever answers: the machine's certificate authorities are believed, and nobody else.

use std::sync::{Arc, OnceLock};

use innkeeper_wasi::keys::HttpHost;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use super::connect::of_io;
use crate::types::{ErrorCode, TlsAlertReceivedPayload};

/// What connections over TLS need. It is read when the first is opened.
#[derive(Debug, Default)]
pub(super) struct Tls(OnceLock<Result<Arc<ClientConfig>, String>>);

impl Tls {
    /// Speaks TLS to `host`, which has to prove that it is that.
    pub(super) async fn connect(
        &self,
        stream: TcpStream,
        host: &HttpHost,
    ) -> Result<TlsStream<TcpStream>, ErrorCode> {
        let name = match host {
            HttpHost::Name(name) => ServerName::try_from(name.as_str().to_owned()),
            HttpHost::Address(address) => Ok(ServerName::from(*address)),
        };
        let name = name.map_err(|_| ErrorCode::HttpRequestUriInvalid)?;
        // Files are read the first time, which is soon done.
        let config = self.0.get_or_init(config).clone();
        let config = config.map_err(|reason| ErrorCode::InternalError(Some(reason)))?;
        let connected = TlsConnector::from(config).connect(name, stream).await;
        connected.map_err(|error| failure(&error))
    }
}

fn config() -> Result<Arc<ClientConfig>, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(String::from(
            "no certificate authority is known: the machine has none, or SSL_CERT_FILE names none",
        ));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn failure(error: &std::io::Error) -> ErrorCode {
    let tls = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(_)) => ErrorCode::TlsCertificateError,
        Some(rustls::Error::AlertReceived(alert)) => ErrorCode::TlsAlertReceived(TlsAlertReceivedPayload {
            alert_id: Some(u8::from(*alert)),
            alert_message: Some(format!("{alert:?}")),
        }),
        Some(_) => ErrorCode::TlsProtocolError,
        None => of_io(error),
    }
}
