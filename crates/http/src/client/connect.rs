//! Connections to whoever answers: looked up, connected, and over TLS.

use std::net::{IpAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use innkeeper_wasi::host::{self, AllowedRequest, Host, RequestRoom};
use innkeeper_wasi::keys::HttpScheme;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::tls::Tls;
use crate::Body;
use crate::types::{DnsErrorPayload, ErrorCode};

/// A connection that a request can be sent by. It is closed when this is dropped.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sender: http1::SendRequest<Body>,
    /// Where it leads.
    pub(super) address: IpAddr,
    driver: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Bytes of an answer's head, and its fields.
const MOST_HEAD_BYTES: usize = 64 << 10;
const MOST_FIELDS: usize = 256;

impl Connection {
    /// Opens one for a request.
    ///
    /// # Errors
    /// As WASI has them.
    pub(super) async fn open(
        (host, allowed): (&Host, &AllowedRequest),
        tls: &Tls,
        time: Duration,
    ) -> Result<(Connection, RequestRoom), ErrorCode> {
        let deadline = Instant::now() + time;
        let addresses = timeout_at(deadline, host.addresses_for(allowed)).await;
        let addresses = addresses.map_err(|_| ErrorCode::DnsTimeout)?.map_err(of_lookup)?;
        let (stream, address, room) = connect((host, allowed), &addresses, deadline).await?;
        let begun = async {
            match allowed.target().scheme {
                HttpScheme::Http => Connection::begin(stream, address).await,
                HttpScheme::Https => {
                    Connection::begin(tls.connect(stream, &allowed.target().host).await?, address).await
                }
            }
        };
        let connection = timeout_at(deadline, begun).await.map_err(|_| ErrorCode::ConnectionTimeout)??;
        Ok((connection, room))
    }

    async fn begin<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
        stream: S,
        address: IpAddr,
    ) -> Result<Connection, ErrorCode> {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(MOST_HEAD_BYTES).max_headers(MOST_FIELDS);
        let begun = builder.handshake(TokioIo::new(stream)).await;
        let (sender, driver) = begun.map_err(|error| ErrorCode::of_hyper(&error))?;
        let driver = tokio::spawn(async move {
            // Whoever sends or reads is told.
            let _ = driver.await;
        });
        Ok(Connection { sender, address, driver: driver.abort_handle() })
    }
}

/// Connects to the first address that can be. Each has an equal part of the time that is left.
async fn connect(
    (host, allowed): (&Host, &AllowedRequest),
    addresses: &[IpAddr],
    deadline: Instant,
) -> Result<(tokio::net::TcpStream, IpAddr, RequestRoom), ErrorCode> {
    let mut first_error = None;
    for (index, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let until = Instant::now() + left / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        let connected = async {
            let (fd, room) = host.connect_for(allowed, *address).map_err(of_connecting)?;
            let stream =
                timeout_at(until, connected(fd)).await.map_err(|_| ErrorCode::ConnectionTimeout)??;
            Ok((stream, *address, room))
        };
        match connected.await {
            Ok(connected) => return Ok(connected),
            Err(error) => {
                first_error.get_or_insert(error);
            }
        }
    }
    Err(first_error.unwrap_or(ErrorCode::DestinationNotFound))
}

/// The stream of a socket that is being connected, once it is.
async fn connected(fd: OwnedFd) -> Result<tokio::net::TcpStream, ErrorCode> {
    let failed = |error: std::io::Error| of_io(&error);
    let stream = tokio::net::TcpStream::from_std(TcpStream::from(fd)).map_err(failed)?;
    stream.writable().await.map_err(failed)?;
    match stream.take_error().map_err(failed)? {
        Some(error) => Err(failed(error)),
        None => {
            stream.set_nodelay(true).map_err(failed)?;
            Ok(stream)
        }
    }
}

fn of_lookup(error: host::Error) -> ErrorCode {
    let code = |rcode: &str| {
        ErrorCode::DnsError(DnsErrorPayload { rcode: Some(String::from(rcode)), info_code: None })
    };
    match error {
        host::Error::Denied => ErrorCode::HttpRequestDenied,
        host::Error::NameNotFound => code("NXDOMAIN"),
        host::Error::NameTemporary => code("SERVFAIL"),
        host::Error::TooManyHandles | host::Error::NoMemory => ErrorCode::ConnectionLimitReached,
        _ => code("FORMERR"),
    }
}

fn of_connecting(error: host::Error) -> ErrorCode {
    match error {
        host::Error::Denied => ErrorCode::DestinationIpProhibited,
        host::Error::TooManyHandles | host::Error::NoMemory => ErrorCode::ConnectionLimitReached,
        host::Error::ConnectionRefused => ErrorCode::ConnectionRefused,
        host::Error::Unreachable => ErrorCode::DestinationIpUnroutable,
        host::Error::TimedOut => ErrorCode::ConnectionTimeout,
        _ => ErrorCode::DestinationUnavailable,
    }
}

/// Why a connection has not come about.
pub(super) fn of_io(error: &std::io::Error) -> ErrorCode {
    use std::io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable, TimedOut,
        UnexpectedEof,
    };
    match error.kind() {
        ConnectionRefused => ErrorCode::ConnectionRefused,
        TimedOut => ErrorCode::ConnectionTimeout,
        HostUnreachable | NetworkUnreachable => ErrorCode::DestinationIpUnroutable,
        ConnectionReset | ConnectionAborted | UnexpectedEof => ErrorCode::ConnectionTerminated,
        _ => ErrorCode::DestinationUnavailable,
    }
}
