//! What is served is read again: at SIGHUP, and with `--watch` when it has changed.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use innkeeper_http::Replaceable;
use innkeeper_http::server::{Tls, notify};
use rustix::time::{ClockId, clock_gettime};

use super::site::{Site, Unchanged};
use crate::report::{self, Problem};
use crate::signals;
use crate::stack::ENOUGH_BYTES;

/// How often it is looked whether something has changed.
const LOOK_TIME: Duration = Duration::from_secs(1);

/// Has `site` read again from now on, and `answering` answer by what is there then.
pub(super) fn follow(
    site: &Arc<Mutex<Site>>,
    (answering, tls): (Arc<Replaceable>, Option<Tls>),
    is_watched: bool,
) -> Result<(), Problem> {
    let (ask, asked) = requests();
    let for_signals = ask.clone();
    signals::on_hangups(move || {
        if let Some(tls) = &tls {
            tls.reload();
        }
        for_signals.ask();
    })?;
    let site = Arc::clone(site);
    let follow = move || {
        // Nobody asks any more only where nobody has begun to.
        let _ask = ask;
        follow_on(&site, &answering, &asked, is_watched);
    };
    // Text is read on it, which takes a stack like that of the first.
    let thread = std::thread::Builder::new().name("reload".to_owned()).stack_size(ENOUGH_BYTES);
    thread.spawn(follow).map(drop).map_err(|error| Problem::new("a thread to read files again", error))
}

/// Asks for all to be read again.
#[derive(Clone)]
struct Ask(SyncSender<()>);

/// Requests to read all again, which wait for one that is being done: one stands for all that have come since that began.
fn requests() -> (Ask, Receiver<()>) {
    let (ask, asked) = sync_channel(1);
    (Ask(ask), asked)
}

impl Ask {
    fn ask(&self) {
        // Where there is no room, one waits already.
        let _ = self.0.try_send(());
    }
}

fn follow_on(site: &Mutex<Site>, answering: &Replaceable, asked: &Receiver<()>, is_watched: bool) {
    let mut is_stuck = false;
    loop {
        let is_asked = match is_watched {
            true => asked.recv_timeout(LOOK_TIME),
            false => asked.recv().map_err(RecvTimeoutError::from),
        };
        let mut site = site.lock().unwrap_or_else(PoisonError::into_inner);
        match is_asked {
            Ok(()) => {
                notify(&reloading());
                read_again(&mut site, answering, Unchanged::ReadAgain);
                notify("READY=1");
            }
            Err(RecvTimeoutError::Timeout) => match site.has_changed() {
                Ok(true) => read_again(&mut site, answering, Unchanged::Kept),
                Ok(false) => is_stuck = false,
                // It was said when it began.
                Err(_) if is_stuck => {}
                Err(problem) => {
                    is_stuck = true;
                    report::warning(&problem);
                }
            },
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn read_again(site: &mut Site, answering: &Replaceable, unchanged: Unchanged) {
    match site.read_again(unchanged) {
        Ok(handler) => {
            answering.replace(handler);
            report::note(&Problem::new(site.names(), "read again, and answers new requests"));
        }
        Err(problem) => {
            report::warning(&problem);
            report::note(&Problem::new(site.names(), "what was read before stays in use"));
        }
    }
}

/// What a service manager is told that waits until all is read again.
fn reloading() -> String {
    let now = clock_gettime(ClockId::Monotonic);
    format!("RELOADING=1\nMONOTONIC_USEC={}", now.tv_sec * 1_000_000 + now.tv_nsec / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_requests_to_read_again_are_one() {
        let (ask, asked) = requests();
        for _ in 0..3 {
            (0..1000).for_each(|_| ask.ask());
            assert_eq!(asked.try_iter().count(), 1);
        }
    }
}
