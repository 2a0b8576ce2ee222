//! HTTPS: both protocols, certificates that change, and what is refused.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertificateParams, KeyPair};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::client::{Client, GET};
use crate::{PATIENCE, Server, guests};

type TlsClient = StreamOwned<ClientConnection, TcpStream>;

/// Makes a certificate of localhost and puts it and its key into a folder.
pub(crate) fn write_certificate(dir: &Path) -> CertificateDer<'static> {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new([String::from("localhost")]).unwrap().self_signed(&key).unwrap();
    for (name, text) in [("key.pem", key.serialize_pem()), ("cert.pem", certificate.pem())] {
        // As whoever renews certificates does it: a file is there as a whole, or not at all.
        std::fs::write(dir.join("new"), text).unwrap();
        std::fs::rename(dir.join("new"), dir.join(name)).unwrap();
    }
    certificate.der().clone()
}

/// A server with a certificate, and where its files are.
fn server() -> (Server, std::path::PathBuf, CertificateDer<'static>) {
    let mut made = None;
    let server = Server::with(&guests::environment(), &[], |dir, inn| {
        made = Some((dir.to_owned(), write_certificate(dir)));
        inn.args(["--listen", "0", "--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
    });
    let (dir, certificate) = made.unwrap();
    (server, dir, certificate)
}

/// A connection on which this certificate, and no other, is believed.
fn connect(server: &Server, certificate: &CertificateDer<'static>, protocols: &[&str]) -> TlsClient {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
}

/// What is answered to a request, or the error.
fn ask(client: &mut TlsClient, request: &[u8]) -> std::io::Result<String> {
    client.write_all(request)?;
    let mut text = Vec::new();
    match client.read_to_end(&mut text) {
        // It closes the connection when it has said all, with or without a farewell.
        Err(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => Err(error),
        _ => Ok(String::from_utf8_lossy(&text).into_owned()),
    }
}

const CLOSING: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

#[test]
fn both_protocols_are_spoken_as_clients_prefer() {
    let (server, _, certificate) = server();
    assert!(server.addresses[0].starts_with("https://127.0.0.1:"), "{:?}", server.addresses);
    for protocols in [&[][..], &["http/1.1"], &["http/1.1", "h2"]] {
        let mut client = connect(&server, &certificate, protocols);
        let text = ask(&mut client, CLOSING).unwrap();
        // Where the client leaves the choice, it is HTTP/2: this one would not have understood the answer.
        if protocols.len() == 2 {
            assert_eq!(client.conn.alpn_protocol(), Some(&b"h2"[..]));
            continue;
        }
        assert!(text.starts_with("HTTP/1.1 200 ") && text.contains("HTTPS=on\0"), "{text}");
    }
    let mut client = connect(&server, &certificate, &["h2"]);
    client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut head = [0; 9];
    client.read_exact(&mut head).unwrap();
    assert_eq!(head[3], 4, "settings");
    assert_eq!(client.conn.alpn_protocol(), Some(&b"h2"[..]));
    assert!(connect(&server, &certificate, &["spdy/3"]).write_all(b"x").is_err());
}

#[test]
fn certificates_are_read_again() {
    let (server, dir, old) = server();
    let mut open = connect(&server, &old, &[]);
    open.write_all(GET.as_bytes()).unwrap();
    let mut first = [0; 12];
    open.read_exact(&mut first).unwrap();
    let new = write_certificate(&dir);
    // Both may be seen at once, or the one before the other.
    while !server.line().contains("read again") {}
    assert!(ask(&mut connect(&server, &new, &[]), CLOSING).unwrap().starts_with("HTTP/1.1 200 "));
    assert!(ask(&mut connect(&server, &old, &[]), CLOSING).is_err(), "it is not the old one any more");
    assert!(ask(&mut open, CLOSING).unwrap().contains("HTTP/1.1 200 "), "who was there stays");
    std::fs::write(dir.join("cert.pem"), "nothing").unwrap();
    while !server.line().contains("cert.pem") {}
    assert!(server.line().contains("stays in use"));
    assert!(ask(&mut connect(&server, &new, &[]), CLOSING).unwrap().starts_with("HTTP/1.1 200 "));
    server.signal("-HUP");
    while !server.line().contains("cert.pem") {}
    server.log();
}

/// What is no TLS, or does not go on, is closed, and others are served.
#[test]
fn clients_that_do_not_speak_tls_keep_nobody_out() {
    let mut certificate = None;
    let server =
        Server::with(&guests::hello(), &["--header-time", "500ms", "--max-connections", "8"], |dir, inn| {
            certificate = Some(write_certificate(dir));
            inn.args(["--listen", "0", "--tls-cert", "cert.pem", "--tls-key", "key.pem"]);
        });
    let certificate = certificate.unwrap();
    let mut silent: Vec<Client> = (0..20)
        .map(|number| {
            let mut client = Client::connect(server.address());
            client.send([&b""[..], GET.as_bytes(), b"\x16\x03\x01\x02\x00\x01"][number % 3]);
            client
        })
        .collect();
    assert!(ask(&mut connect(&server, &certificate, &[]), CLOSING).unwrap().contains("hello"));
    for client in &mut silent {
        let rest = client.rest();
        assert!(!rest.starts_with(b"HTTP"), "{}", rest.escape_ascii());
    }
}

#[test]
fn what_is_no_certificate_is_said() {
    let refused = |prepare: &dyn Fn(&Path), flags: &[&str], wanted: &str| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("guest.wat"), guests::hello()).unwrap();
        write_certificate(dir.path());
        prepare(dir.path());
        let mut inn = std::process::Command::new(env!("CARGO_BIN_EXE_inn"));
        inn.args(["serve", "--cgi", "--cache", "off", "--listen", "0", "--tls-cert", "cert.pem"]).args(flags);
        let ran = inn.arg("guest.wat").current_dir(dir.path()).output().unwrap();
        let stderr = String::from_utf8(ran.stderr).unwrap();
        assert!(!ran.status.success() && stderr.contains(wanted), "{stderr}");
    };
    let key = &["--tls-key", "key.pem"][..];
    let nothing = |_: &Path| ();
    refused(&nothing, &[], "--tls-key");
    refused(&nothing, &["--tls-key", "none.pem"], "none.pem");
    refused(&nothing, &["--tls-key", "cert.pem"], "no private key");
    refused(&|dir| std::fs::write(dir.join("cert.pem"), "").unwrap(), key, "no certificate");
    let other = |dir: &Path| {
        std::fs::copy(dir.join("cert.pem"), dir.join("kept")).unwrap();
        write_certificate(dir);
        std::fs::rename(dir.join("kept"), dir.join("cert.pem")).unwrap();
    };
    refused(&other, key, "not the key of cert.pem");
    // No guest is granted the key, by whatever name.
    let linked = |dir: &Path| {
        std::fs::create_dir(dir.join("shown")).unwrap();
        std::fs::rename(dir.join("key.pem"), dir.join("shown/real.pem")).unwrap();
        std::os::unix::fs::symlink("shown/real.pem", dir.join("key.pem")).unwrap();
    };
    refused(&nothing, &["--tls-key", "key.pem", "--dir", ".::/x::ro"], "which the guest is granted");
    refused(&linked, &["--tls-key", "key.pem", "--dir", "shown::/x::ro"], "which the guest is granted");
}

/// A guest could lead the way to a certificate of its own making.
#[test]
fn a_certificate_is_read_again_by_no_planted_link() {
    let mut made = None;
    let server = Server::with(&guests::environment(), &[], |dir, inn| {
        std::fs::create_dir_all(dir.join("data/tls")).unwrap();
        std::fs::create_dir(dir.join("own")).unwrap();
        made = Some((
            dir.to_owned(),
            write_certificate(&dir.join("data/tls")),
            write_certificate(&dir.join("own")),
        ));
        inn.args(["--listen", "0", "--dir", "data::/data::rw", "--tls-cert", "data/tls/cert.pem"]);
        // The key is refused where guests could read it.
        inn.args(["--tls-key", "key.pem"]);
        std::fs::rename(dir.join("data/tls/key.pem"), dir.join("key.pem")).unwrap();
    });
    let (dir, certificate, planted) = made.unwrap();
    std::fs::rename(dir.join("data/tls"), dir.join("data/moved")).unwrap();
    std::os::unix::fs::symlink("../own", dir.join("data/tls")).unwrap();
    std::fs::rename(dir.join("own/key.pem"), dir.join("key.pem")).unwrap();
    server.signal("-HUP");
    // It may have seen the change by itself already.
    while !server.line().contains("symbolic link `tls`") {}
    let answer = ask(&mut connect(&server, &certificate, &[]), CLOSING);
    assert!(answer.unwrap().starts_with("HTTP/1.1 200 "));
    assert!(ask(&mut connect(&server, &planted, &[]), CLOSING).is_err());
}
