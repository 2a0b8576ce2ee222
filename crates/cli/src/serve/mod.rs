//! `inn serve`: programs that answer requests of HTTP.
//!
//! Nothing here decides how a request is answered: the server and the handlers are the `innkeeper-http` crate's; this makes them of flags.

mod config;
mod files;
mod flags;
mod keys;
mod program;
mod ready;
mod reload;
mod site;
mod sockets;
mod sources;
mod tls;
mod trouble;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use innkeeper_http::server::{
    AccessLog, Inherited, Limits, Listener, LogFormat, Offer, Server, Stop, Tls, notify,
};
use innkeeper_http::{Handler, Replaceable};
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::runtime::Runtime;

pub(crate) use flags::ServeArgs;
use flags::{AccessLogFlag, ServerFlags};
pub(crate) use program::answers_requests;
use site::{Guest, Site};
use sockets::{Sockets, cannot_hand_over};
use sources::{Sources, When};

use crate::report::{self, Problem};
use crate::signals;
use crate::writable::Writable;

/// Serves until it is told to end.
pub(crate) fn serve(args: ServeArgs) -> Result<ExitCode, Problem> {
    let ServeArgs { file, guest, server } = args;
    let (config, server, guests) = match config::is_one(&file) {
        true => {
            let path = PathBuf::from(file);
            let nobody = Writable::default();
            let read = config::read(&path, &Sources::default(), (&nobody, When::AtTheStart))?;
            (Some(path), read.server()?, read.guests)
        }
        false => {
            let (hosts, path) = (Vec::new(), String::from("/"));
            (None, server, vec![Guest { file, hosts, path, flags: guest, written: Vec::new(), place: None }])
        }
    };
    let server = Arc::new(server);
    let (site, handler) = Site::new(&server, config, guests)?;
    let mut limits = server.limits.limits();
    if let (None, Some(wall_time)) = (server.limits.timeout, site.wall_time()) {
        limits.request_time = wall_time;
    }
    let sockets = Sockets::open(&server, &site.writable().lock().unwrap_or_else(PoisonError::into_inner))?;
    let tls = tls::open(&server.tls, site.writable())?;
    trouble::report();
    raise_open_files();
    let runtime = runtime()?;
    let site = Arc::new(Mutex::new(site));
    let handler = Arc::new(Replaceable::new(handler));
    reload::follow(&site, (Arc::clone(&handler), tls.clone()), server.watch)?;
    let handler: Arc<dyn Handler> = handler;
    let served = runtime.block_on(listen_and_serve(&server, (sockets, tls), (limits, handler)));
    // A guest that does not come to its end does not keep the process, nor does what is being read again.
    runtime.shutdown_background();
    if let Ok(site) = site.try_lock() {
        site.keep_code();
    }
    served.map(|()| ExitCode::SUCCESS)
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
    args: &ServerFlags,
    (sockets, tls): (Sockets, Option<Tls>),
    (limits, handler): (Limits, Arc<dyn Handler>),
) -> Result<(), Problem> {
    let mut listeners = Listener::activated().map_err(|error| {
        Problem::new("LISTEN_FDS", format!("what was handed over cannot be served: {error}"))
    })?;
    let handover = args.handover.as_deref().zip(sockets.handover.as_ref());
    let mut inherited = match handover {
        Some((path, place)) => Inherited::take_at(place).map_err(|error| cannot_hand_over(path, &error))?,
        None => Inherited::default(),
    };
    listeners = sockets.listen(&mut inherited, listeners).await?;
    if let Some(tls) = tls {
        listeners = listeners.into_iter().map(|listener| listener.encrypted(&tls)).collect();
        tls::follow(tls);
    }
    let admin = sockets.administer(&mut inherited).await?;
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
    let mut beside = Vec::new();
    let offer = handover.map(|(path, place)| {
        let offer = Offer::at_place(place, listeners.iter().chain(&admin));
        offer.map(|offer| (path, offer)).map_err(|error| cannot_hand_over(path, &error))
    });
    let offer = offer.transpose()?;
    // From here on nothing fails: the server before this one ends. What has come by now waits in its socket, which is the same.
    inherited.tell_ready();
    if let Some((path, mut offer)) = offer {
        match offer.take_place() {
            Ok(()) => {
                let stop = stop.clone();
                beside.push(tokio::spawn(async move { offer.wait(&stop).await }));
            }
            Err(error) => report::warning(&cannot_hand_over(path, &error)),
        }
    }
    for listener in &listeners {
        report::serving(listener);
    }
    let server = Server::new(handler, limits, log, stop);
    if let Some(listener) = admin {
        report::administered(&listener);
        beside.push(server.tell_at(listener));
    }
    notify("READY=1");
    server.serve(listeners).await;
    // Their sockets of the file system go with them.
    for task in beside {
        task.abort();
        let _ = task.await;
    }
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

/// Lets this process have as many open files as it may: each connection is one, and each request up to five.
fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where that is refused, there are as many as before.
    let _ = setrlimit(Resource::Nofile, limit);
}
