//! `inn serve`: a program that answers requests of HTTP.
//!
//! Nothing here decides how a request is answered: the server and the handlers are the `innkeeper-http` crate's; this makes them of flags.

mod files;
mod flags;
mod program;
mod tls;
mod trouble;

use std::num::NonZeroUsize;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use innkeeper::wasi::keys::{Keys, StdinKey, StdoutKey};
use innkeeper::{NanBits, engine_cached};
use innkeeper_http::Handler;
use innkeeper_http::server::{AccessLog, Address, Limits, Listener, LogFormat, Server, Stop, Tls, notify};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::runtime::Runtime;

pub(crate) use flags::ServeArgs;
use flags::{AccessLogFlag, usual_address};
use program::Program;
pub(crate) use program::answers_requests;

use crate::guest::Execution;
use crate::keys::{complete, granted};
use crate::output::open_streams;
use crate::report::{self, Problem, visible};
use crate::writable::{WayError, Writable, planted};
use crate::{cache, signals};

/// What one request's guest may make inn hold, if nobody says otherwise.
const MEMORY_BYTES: u64 = 256 << 20;

/// Serves until it is told to end.
pub(crate) fn serve(args: &ServeArgs) -> Result<ExitCode, Problem> {
    let mut limits = args.limits.limits();
    let mut keys = keys(args)?;
    if let (None, Some(wall_time)) = (args.limits.timeout, keys.limits.wall_time) {
        limits.request_time = wall_time;
    }
    let shown = files::shown(&keys, &args.statics);
    files::require_no_secret(&args.statics, args.cache.as_ref())?;
    let writable = keep_to_keys(args, (&mut keys, &shown))?;
    let input = program::read(args)?;
    writable.warn_of_input(Path::new(&args.file), "the program that is served");
    let tls = tls::open(&args.tls, (&keys, &shown))?;
    let (cache, reason) = cache::choose(args.cache.as_ref(), &shown)?;
    if let Some(reason) = reason {
        report::note(&reason);
    }
    let is_repeatable = args.grants.deterministic.is_some();
    let nan_bits = if is_repeatable { NanBits::Canonical } else { NanBits::AsComputed };
    let mut execution = Execution::new(&keys.limits, nan_bits);
    (execution.tiers, execution.cache) = (args.tier.into(), cache);
    execution.config.pooling.idle_stores = limits.max_requests;
    execution.config.pooling.idle_memories = limits.max_requests;
    let engine = engine_cached(execution.config, execution.tiers, execution.cache);
    let Program { handler, code } = Program::new(args, input, (&engine, &keys))?;
    let handler = files::beside(handler, &args.statics)?;
    trouble::report();
    raise_open_files();
    let runtime = runtime()?;
    let served = runtime.block_on(listen_and_serve(args, tls, (limits, handler)));
    // A guest that does not come to its end does not keep the process.
    runtime.shutdown_background();
    code.keep_code();
    served.map(|()| ExitCode::SUCCESS)
}

/// Sees to it that guests reach nothing but what their keys grant: what is granted and written for them goes by no link that a guest may have left, and no stream of this process is what no
/// guest may reach. Opens the files that their standard streams go to, once: a guest could lead the next one's elsewhere.
fn keep_to_keys(args: &ServeArgs, (keys, shown): (&mut Keys, &Keys)) -> Result<Writable, Problem> {
    let mut writable = Writable::of_served(keys, &args.file, args.cache.as_ref());
    if let Some(policy) = &args.grants.policy {
        writable.also_reads(policy.as_os_str());
    }
    writable.check_inputs(shown, args.cache.as_ref())?;
    for address in args.listen.iter().chain(&args.admin) {
        if let Address::Unix(path) = address {
            writable.directory_of(path).map_err(|error| match error {
                WayError::System(error) => cannot_listen(address, &error),
                WayError::Planted(step) => planted(path, &step),
            })?;
        }
    }
    if let Some(policy) = &args.grants.policy {
        writable.warn_of_input(policy, "the policy");
    }
    writable.warn_of_program();
    open_streams(keys, &writable)?;
    Ok(writable)
}

/// The keys of each request's guest.
fn keys(args: &ServeArgs) -> Result<Keys, Problem> {
    let builder = Keys::builder().argument(args.file.to_string_lossy());
    let mut keys = granted(builder, &args.grants)?.build();
    // These are nobody's input, and the log's output. A module has those of its request instead.
    if keys.stdin == StdinKey::Inherit {
        keys.stdin = StdinKey::Empty;
    }
    if matches!(keys.stdout, StdoutKey::Inherit) {
        let stderr = std::io::stderr().as_fd().try_clone_to_owned();
        keys.stdout = stderr.map_or(StdoutKey::Closed, |stderr| StdoutKey::Opened(Arc::new(stderr)));
    }
    let flags = &args.guest_limits;
    let limits = &mut keys.limits;
    limits.memory_bytes = flags.max_memory.or(limits.memory_bytes).or(Some(MEMORY_BYTES));
    limits.written_bytes = flags.max_written.or(limits.written_bytes);
    limits.max_open_handles = flags.max_handles.unwrap_or(limits.max_open_handles);
    limits.overlay_bytes = flags.max_cow.unwrap_or(limits.overlay_bytes);
    complete(&mut keys, args.cache.as_ref())?;
    Ok(keys)
}

/// Threads that requests are answered on.
fn runtime() -> Result<Runtime, Problem> {
    let problem = |error: &dyn std::fmt::Display| Problem::new("threads to serve with", error);
    // It panics where there cannot be as many as there are processors.
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let workers = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let tried: Result<Vec<_>, _> =
        (0..workers).map(|_| std::thread::Builder::new().spawn(std::thread::park)).collect();
    let tried = tried.map_err(|error| problem(&error))?;
    for thread in tried {
        thread.thread().unpark();
        let _ = thread.join();
    }
    builder.worker_threads(workers).enable_all().build().map_err(|error| problem(&error))
}

async fn listen_and_serve(
    args: &ServeArgs,
    tls: Option<Tls>,
    (limits, handler): (Limits, Arc<dyn Handler>),
) -> Result<(), Problem> {
    let mut listeners = Listener::activated().map_err(|error| {
        Problem::new("LISTEN_FDS", format!("what was handed over cannot be served: {error}"))
    })?;
    let mut addresses = args.listen.clone();
    if addresses.is_empty() && listeners.is_empty() {
        addresses.push(usual_address());
    }
    for address in &addresses {
        listeners.push(Listener::bind(address).await.map_err(|error| cannot_listen(address, &error))?);
    }
    if let Some(tls) = tls {
        listeners = listeners.into_iter().map(|listener| listener.encrypted(&tls)).collect();
        tls::follow(tls).await?;
    }
    let admin = match &args.admin {
        Some(address) => Some(Listener::bind(address).await.map_err(|error| cannot_listen(address, &error))?),
        None => None,
    };
    let log = access_log(args.access_log)?;
    let stop = Stop::new();
    let for_signals = stop.clone();
    signals::on_requests_to_end(move |is_first| match is_first {
        true => {
            notify("STOPPING=1");
            for_signals.drain();
        }
        false => for_signals.end(),
    })?;
    for listener in &listeners {
        report::serving(listener);
    }
    let server = Server::new(handler, limits, log, stop);
    if let Some(listener) = admin {
        report::administered(&listener);
        server.tell_at(listener);
    }
    notify("READY=1");
    server.serve(listeners).await;
    Ok(())
}

fn access_log(flag: AccessLogFlag) -> Result<AccessLog, Problem> {
    let format = match flag {
        AccessLogFlag::Json => LogFormat::Json,
        AccessLogFlag::Common => LogFormat::Common,
        AccessLogFlag::Off => return Ok(AccessLog::off()),
    };
    AccessLog::new(format, std::io::stdout()).map_err(|error| Problem::new("the access log", error))
}

fn cannot_listen(address: &Address, error: &std::io::Error) -> Problem {
    let name = match address {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(path) => visible(&path.to_string_lossy()),
    };
    let help = match error.kind() {
        std::io::ErrorKind::AddrInUse => "end what listens there, or choose another address",
        _ => "choose another address",
    };
    Problem::new(name, format!("nobody can listen there: {error}")).help(help)
}

/// Lets this process have as many open files as it may: each connection is one, and each request up to five.
fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where that is refused, there are as many as before.
    let _ = setrlimit(Resource::Nofile, limit);
}
