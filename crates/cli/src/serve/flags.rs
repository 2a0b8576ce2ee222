//! What `inn serve` takes.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, ValueEnum, ValueHint};
use innkeeper::wasi::keys::{parse_address, parse_duration, parse_size};
use innkeeper_http::server::{Address, Limits};

use super::files::StaticFlag;
use super::tls::TlsFlags;
use crate::flags::{GrantFlags, Tier};
use crate::values::{CacheFlag, parse_count};

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The program, .wasm or .wat
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: OsString,

    /// Run FILE, a module of WASI 0.1, once for each request, as the Common Gateway Interface describes
    ///
    /// The request is in environment variables (REQUEST_METHOD, PATH_INFO, QUERY_STRING, HTTP_*) and on standard input; the answer is what the program prints: fields such as
    /// `Content-Type: text/plain`, an empty line, and the body. Where it traps or exits with another code than 0, the answer is 500, or cut short.
    #[arg(long)]
    pub(crate) cgi: bool,

    /// Where to listen: an address and port, a port of 127.0.0.1, or unix:PATH; repeatable (127.0.0.1:8080)
    ///
    /// Of port 0, the system chooses one. The addresses are told on standard error. Sockets that systemd has opened (LISTEN_FDS) are served as well, and instead of the usual address.
    #[arg(long, value_name = "[ADDRESS:]PORT|unix:PATH", value_parser = parse_listen)]
    pub(crate) listen: Vec<Address>,

    /// Give the files of DIR to requests whose path begins with /PATH, beside the program; repeatable
    ///
    /// With ETag, ranges and conditions, and index.html for a directory. Nothing outside of DIR is given, whatever links there are, no name that begins with a dot but .well-known, and no list of what is there.
    #[arg(long = "static", value_name = "/PATH=DIR", value_parser = OsStringValueParser::new().try_map(StaticFlag::parse), value_hint = ValueHint::DirPath)]
    pub(crate) statics: Vec<StaticFlag>,

    /// Where whoever looks after the server is told how it does: /healthz, /readyz, /metrics, and a page at /
    ///
    /// An address that no client of the server reaches. Nothing can be changed there, and nobody is asked who they are. The page is for browsers that ask by an address, or for localhost.
    #[arg(long, value_name = "[ADDRESS:]PORT|unix:PATH", value_parser = parse_listen)]
    pub(crate) admin: Option<Address>,

    /// The form of the line that each request has on standard output
    #[arg(long, value_name = "FORM", value_enum, default_value_t = AccessLogFlag::Json)]
    pub(crate) access_log: AccessLogFlag,

    #[command(flatten)]
    pub(crate) tls: TlsFlags,

    #[command(flatten)]
    pub(crate) grants: GrantFlags,

    #[command(flatten)]
    pub(crate) guest_limits: GuestLimitFlags,

    #[command(flatten)]
    pub(crate) limits: ServerLimitFlags,

    /// What executes the guest
    #[arg(long, value_name = "TIER", help_heading = "Execution", value_enum, default_value_t = Tier::Auto, hide_short_help = true)]
    pub(crate) tier: Tier,

    /// Where compiled code is kept from run to run: a directory, or off
    #[arg(long, value_name = "DIR|off", help_heading = "Execution", value_parser = OsStringValueParser::new().try_map(CacheFlag::parse), value_hint = ValueHint::DirPath, hide_short_help = true)]
    pub(crate) cache: Option<CacheFlag>,
}

/// The form of the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AccessLogFlag {
    /// An object a line, with trace, guest, times and denied keys
    Json,
    /// The common log format
    Common,
    /// None
    Off,
}

/// What the guest may use up for one request.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits of the guest, for each request")]
pub(crate) struct GuestLimitFlags {
    /// Processor time (10s)
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, hide_short_help = true)]
    pub(crate) max_cpu: Option<Duration>,

    /// What the guest may make inn hold in all (256MiB)
    #[arg(long, value_name = "SIZE", value_parser = parse_size, hide_short_help = true)]
    pub(crate) max_memory: Option<u64>,

    /// Bytes that the guest may write to files, streams and sockets, its answer included
    #[arg(long, value_name = "SIZE", value_parser = parse_size, hide_short_help = true)]
    pub(crate) max_written: Option<u64>,

    /// Files, directories and sockets open at once
    #[arg(long, value_name = "COUNT", value_parser = parse_count::<u32>, hide_short_help = true)]
    pub(crate) max_handles: Option<u32>,

    /// Memory for the changes in each cow directory (1GiB)
    #[arg(long, value_name = "SIZE", value_parser = parse_size, hide_short_help = true)]
    pub(crate) max_cow: Option<u64>,
}

/// What clients may make the server hold, and for how long.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits of the server")]
pub(crate) struct ServerLimitFlags {
    /// How long a request may take, from its head to the last byte of its answer (60s): 504
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) timeout: Option<Duration>,

    /// Bytes of a request's body (64MiB): 413
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) max_body: Option<u64>,

    /// Requests that are handled at a time (256)
    #[arg(long, value_name = "COUNT", value_parser = parse_count::<u32>)]
    pub(crate) max_requests: Option<u32>,

    /// Requests that wait until they can be handled (1024); one more: 503
    #[arg(long, value_name = "COUNT", value_parser = parse_count::<u32>, hide_short_help = true)]
    pub(crate) max_queue: Option<u32>,

    /// How long a request waits until it can be handled (5s): 503
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, hide_short_help = true)]
    pub(crate) queue_time: Option<Duration>,

    /// Connections at a time (4096); for one more, the one that has been without a request for longest is closed
    #[arg(long, value_name = "COUNT", value_parser = parse_count::<u32>, hide_short_help = true)]
    pub(crate) max_connections: Option<u32>,

    /// Connections at a time of one peer, an IPv4 address or an IPv6 network of 64 bits (512)
    #[arg(long, value_name = "COUNT", value_parser = parse_count::<u32>, hide_short_help = true)]
    pub(crate) max_connections_per_peer: Option<u32>,

    /// Bytes of a request's head (16KiB): 431
    #[arg(long, value_name = "SIZE", value_parser = parse_size, hide_short_help = true)]
    pub(crate) max_header: Option<u64>,

    /// How long the head of a request may take, and a new connection until its first (10s)
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, hide_short_help = true)]
    pub(crate) header_time: Option<Duration>,

    /// How long a connection may be without a request (60s)
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, hide_short_help = true)]
    pub(crate) idle_time: Option<Duration>,

    /// How long a body may stand still, whichever way it goes (20s): 408
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, hide_short_help = true)]
    pub(crate) body_time: Option<Duration>,

    /// Bytes a second (4KiB) with less than which a request goes that has waited for its client for a second, where others wait for its place: 408
    #[arg(long, value_name = "SIZE", value_parser = parse_size, hide_short_help = true)]
    pub(crate) min_rate: Option<u64>,

    /// How long requests may go on after SIGTERM or ctrl-C (30s); a second one ends them at once
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, hide_short_help = true)]
    pub(crate) drain: Option<Duration>,

    /// Requests at a time in one connection of HTTP/2 (100)
    #[arg(long, value_name = "COUNT", value_parser = parse_count::<u32>, hide_short_help = true)]
    pub(crate) max_streams: Option<u32>,
}

impl ServerLimitFlags {
    /// The bounds that they set, and the usual ones.
    pub(crate) fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        let count = |flag: Option<u32>, usual: usize| {
            flag.map_or(usual, |count| usize::try_from(count).unwrap_or(usize::MAX).max(1))
        };
        limits.max_connections = count(self.max_connections, limits.max_connections);
        limits.max_connections_per_peer =
            count(self.max_connections_per_peer, limits.max_connections_per_peer);
        limits.max_requests = count(self.max_requests, limits.max_requests);
        limits.max_queue = self.max_queue.map_or(limits.max_queue, |count| count as usize);
        limits.queue_time = self.queue_time.unwrap_or(limits.queue_time);
        let header = self.max_header.map(|bytes| u32::try_from(bytes).unwrap_or(u32::MAX));
        limits.max_header_bytes = header.unwrap_or(limits.max_header_bytes);
        limits.max_body_bytes = self.max_body.unwrap_or(limits.max_body_bytes);
        limits.header_time = self.header_time.unwrap_or(limits.header_time);
        limits.idle_time = self.idle_time.unwrap_or(limits.idle_time);
        limits.body_time = self.body_time.unwrap_or(limits.body_time);
        limits.min_rate_bytes = self.min_rate.unwrap_or(limits.min_rate_bytes);
        limits.request_time = self.timeout.unwrap_or(limits.request_time);
        limits.drain_time = self.drain.unwrap_or(limits.drain_time);
        limits.max_streams = self.max_streams.map_or(limits.max_streams, |count| count.max(1));
        limits
    }
}

/// Where to listen, if nobody says otherwise.
pub(crate) fn usual_address() -> Address {
    Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 8080)))
}

fn parse_listen(text: &str) -> Result<Address, String> {
    match text.strip_prefix("unix:") {
        Some("") => Err(String::from("write the path of a socket after unix:")),
        Some(path) => Ok(Address::Unix(PathBuf::from(path))),
        None => parse_address(text).map(Address::Tcp).map_err(|error| error.to_string()),
    }
}
