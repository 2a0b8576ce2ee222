//! What `inn serve` takes.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, ValueEnum, ValueHint};
use innkeeper::wasi::keys::{parse_address, parse_duration, parse_size};
use innkeeper_http::server::{Address, Limits};

use super::files::StaticFlag;
use super::tls::TlsFlags;
use crate::flags::{GrantFlags, Tier};
use crate::values::{CacheFlag, DirFlag, parse_count};

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The program, .wasm or .wat; or a configuration, .toml, of several programs with their keys
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: OsString,

    #[command(flatten)]
    pub(crate) guest: GuestFlags,

    #[command(flatten)]
    pub(crate) server: ServerFlags,
}

/// What a program is served with. In a configuration, each has its own.
#[derive(Debug, Args)]
pub(crate) struct GuestFlags {
    /// Run FILE, a module of WASI 0.1, once for each request, as the Common Gateway Interface describes
    ///
    /// The request is in environment variables (REQUEST_METHOD, PATH_INFO, QUERY_STRING, HTTP_*) and on standard input; the answer is what the program prints: fields such as
    /// `Content-Type: text/plain`, an empty line, and the body. Where it traps or exits with another code than 0, the answer is 500, or cut short.
    #[arg(long)]
    pub(crate) cgi: bool,

    /// Give the files of DIR to requests whose path begins with /PATH, beside the program; repeatable
    ///
    /// With ETag, ranges and conditions, and index.html for a directory. Nothing outside of DIR is given, whatever links there are, no name that begins with a dot but .well-known, and no list of what is there.
    #[arg(long = "static", value_name = "/PATH=DIR", value_parser = OsStringValueParser::new().try_map(StaticFlag::parse), value_hint = ValueHint::DirPath)]
    pub(crate) statics: Vec<StaticFlag>,

    #[command(flatten)]
    pub(crate) grants: GrantFlags,

    #[command(flatten)]
    pub(crate) limits: GuestLimitFlags,
}

/// What the server is, whatever it serves.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct ServerFlags {
    /// Where to listen: an address and port, a port of 127.0.0.1, or unix:PATH; repeatable (127.0.0.1:8080)
    ///
    /// Of port 0, the system chooses one. The addresses are told on standard error. Sockets that systemd has opened (LISTEN_FDS) are served as well, and instead of the usual address.
    #[arg(long, value_name = "[ADDRESS:]PORT|unix:PATH", value_parser = parse_listen)]
    pub(crate) listen: Vec<Address>,

    /// Where whoever looks after the server is told how it does: /healthz, /readyz, /metrics, and a page at /
    ///
    /// An address that no client of the server reaches. Nothing can be changed there, and nobody is asked who they are. The page is for browsers that ask by an address, or for localhost.
    #[arg(long, value_name = "[ADDRESS:]PORT|unix:PATH", value_parser = parse_listen)]
    pub(crate) admin: Option<Address>,

    /// The form of the line that each request has on standard output
    #[arg(long, value_name = "FORM", value_enum, default_value_t = AccessLogFlag::Json)]
    pub(crate) access_log: AccessLogFlag,

    /// Read FILE and its policy again when they change, and answer new requests by what is there then
    ///
    /// They are looked at every second. SIGHUP has them read again in any case. Requests that are being answered come to their end by what they began with. Of a file that is not in order this is
    /// said, and what was read before stays in use.
    #[arg(long)]
    pub(crate) watch: bool,

    /// Take over the sockets of a server that offers them at PATH, which ends then as at SIGTERM, and offer them there to the next
    ///
    /// A restart loses no connection: start the next server with the same flags. It has to be the same user's. Where the next server does not come as far as to serve, the one before goes on.
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) handover: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) tls: TlsFlags,

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

    /// For how long what a client still sends is read and thrown away when its last answer has been sent, so that it does not lose that (5s)
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, hide_short_help = true)]
    pub(crate) linger_time: Option<Duration>,

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

impl GuestFlags {
    /// Makes relative paths relative to a folder. What the guest calls them stays as it is written.
    pub(crate) fn in_folder(mut self, folder: &Path) -> GuestFlags {
        for DirFlag(key) in self.grants.dirs.iter_mut().chain(&mut self.grants.mapdirs) {
            key.host = folder.join(&key.host);
        }
        for StaticFlag { directory, .. } in &mut self.statics {
            *directory = folder.join(&*directory);
        }
        self.grants.policy = self.grants.policy.map(|policy| folder.join(policy));
        self
    }
}

impl ServerFlags {
    /// A value in a configuration, of which relative paths are relative to its folder.
    pub(crate) fn in_folder(flag: &str, value: &str, folder: &Path) -> OsString {
        match (flag, value.strip_prefix("unix:")) {
            ("tls-cert" | "tls-key" | "handover", _) => folder.join(value).into(),
            ("cache", _) if value != "off" => folder.join(value).into(),
            ("listen" | "admin", Some(path)) => {
                let mut listen = OsString::from("unix:");
                listen.push(folder.join(path));
                listen
            }
            _ => value.into(),
        }
    }
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
        limits.linger_time = self.linger_time.unwrap_or(limits.linger_time);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What names files and directories of the host is relative to a configuration's folder: a flag that is new has to be put into one of the functions.
    #[test]
    fn every_path_is_relative_to_the_configurations_folder() {
        let paths = |command: &clap::Command| -> Vec<String> {
            let named =
                command.get_arguments().filter(|argument| argument.get_value_hint() != ValueHint::Unknown);
            named.filter_map(|argument| argument.get_long().map(String::from)).collect()
        };
        let folder = Path::new("/folder");
        let server = ServerFlags::augment_args(clap::Command::new("server"));
        for flag in paths(&server).iter().map(String::as_str) {
            assert_eq!(ServerFlags::in_folder(flag, "x/y", folder), "/folder/x/y", "{flag}");
        }
        for flag in ["listen", "admin"] {
            assert_eq!(ServerFlags::in_folder(flag, "unix:x", folder), "unix:/folder/x");
            assert_eq!(ServerFlags::in_folder(flag, "80", folder), "80");
        }
        assert_eq!(ServerFlags::in_folder("cache", "off", folder), "off");
        let guest = GuestFlags::augment_args(clap::Command::new("guest").no_binary_name(true));
        for flag in paths(&guest) {
            let value = match &*flag {
                "mapdir" => "/guest::x",
                "static" => "/a=x",
                _ => "x",
            };
            let matches = guest.clone().try_get_matches_from([format!("--{flag}={value}")]).unwrap();
            let flags = <GuestFlags as clap::FromArgMatches>::from_arg_matches(&matches).unwrap();
            let text = format!("{:?}", flags.in_folder(folder));
            assert!(text.contains("/folder/x"), "{flag}: {text}");
        }
    }
}
