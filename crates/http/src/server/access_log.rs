//! One line a request, when it is over: as JSON, or as other servers write them.
//!
//! Lines are written by a thread of their own. Where it cannot keep up, lines are left out and counted, and no request waits. Those that wait are bounded in number and in bytes.

use std::fmt::Write as _;
use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use http::{Request, StatusCode, Version};

use super::account::{Account, InstanceUse, Told};
use super::bound::Bound;
use super::events::FailedRequest;
use super::json::string;
use super::metrics::Outcome;
use super::serving::Serving;
use super::trace_context::TraceContext;
use super::when::{common_time, rfc3339};

/// How the log's lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// An object a line.
    Json,
    /// The common log format, which has neither times nor traces.
    Common,
}

/// Where lines go. Dropping it does not wait for them; see [`AccessLog::finish`].
#[derive(Debug, Default)]
pub struct AccessLog {
    writer: Option<Writer>,
    left_out: AtomicU64,
}

/// The way to the thread that writes.
#[derive(Debug)]
struct Writer {
    format: LogFormat,
    lines: SyncSender<Line>,
    /// Bytes of the lines that wait.
    waiting: Arc<AtomicUsize>,
}

enum Line {
    Text(String),
    /// All before it is to be written, and then this told.
    Flush(std::sync::mpsc::Sender<()>),
}

/// Lines that wait to be written.
const MOST_WAITING: usize = 4096;

/// And their bytes.
const MOST_WAITING_BYTES: usize = 4 << 20;

/// How long the last lines may take.
const LAST_LINES: Duration = Duration::from_secs(1);

impl AccessLog {
    /// None.
    #[must_use]
    pub fn off() -> AccessLog {
        AccessLog::default()
    }

    /// One that is written to `output`.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn new(format: LogFormat, output: impl Write + Send + 'static) -> std::io::Result<AccessLog> {
        let (sender, lines) = sync_channel(MOST_WAITING);
        let waiting = Arc::new(AtomicUsize::new(0));
        let writer = Writer { format, lines: sender, waiting: Arc::clone(&waiting) };
        let write = move || write_all(&lines, &waiting, output);
        std::thread::Builder::new().name("access log".to_owned()).spawn(write)?;
        Ok(AccessLog { writer: Some(writer), left_out: AtomicU64::new(0) })
    }

    /// Waits until all lines are written, for a second at most.
    pub fn finish(&self) {
        if let Some(writer) = &self.writer {
            let (told, heard) = channel();
            if writer.lines.try_send(Line::Flush(told)).is_ok() {
                let _ = heard.recv_timeout(LAST_LINES);
            }
        }
    }

    /// How many lines were left out.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out.load(Ordering::Relaxed)
    }

    fn write(&self, line: impl FnOnce(LogFormat) -> String) {
        if let Some(writer) = &self.writer
            && !writer.write(line(writer.format))
        {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Writer {
    /// Has a line written, if there is room for it.
    fn write(&self, line: String) -> bool {
        let bytes = line.len();
        let has_room = self.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes <= MOST_WAITING_BYTES;
        let is_sent = has_room && self.lines.try_send(Line::Text(line)).is_ok();
        if !is_sent {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
        }
        is_sent
    }
}

fn write_all(lines: &Receiver<Line>, waiting: &AtomicUsize, mut output: impl Write) {
    for line in lines {
        match line {
            Line::Text(text) => {
                // Where nobody reads them, there is nobody to tell.
                let _ = output.write_all(text.as_bytes());
                waiting.fetch_sub(text.len(), Ordering::Relaxed);
            }
            Line::Flush(told) => {
                let _ = output.flush();
                let _ = told.send(());
            }
        }
    }
}

/// The line of one request. It is written when this is dropped: after the answer's last byte, or where the client has gone.
pub(super) struct Entry {
    serving: Arc<Serving>,
    account: Account,
    begin: Instant,
    began: SystemTime,
    peer: Option<IpAddr>,
    /// None where the head could not be read.
    head: Option<Head>,
    trace: String,
    status: Option<StatusCode>,
    bytes: u64,
    /// How many the answer says that there are: with the last of them it is complete, and nobody asks for an end.
    length: Option<u64>,
    is_complete: bool,
}

/// What a request's head has said.
struct Head {
    method: String,
    target: String,
    version: Version,
}

impl Entry {
    pub(super) fn begin<B>(
        serving: Arc<Serving>,
        request: &Request<B>,
        peer: Option<IpAddr>,
        trace: &TraceContext,
        account: Account,
    ) -> Entry {
        let target = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        Entry {
            serving,
            account,
            begin: Instant::now(),
            began: SystemTime::now(),
            peer,
            head: Some(Head {
                method: request.method().as_str().to_owned(),
                target: target.to_owned(),
                version: request.version(),
            }),
            trace: trace.trace().to_owned(),
            status: None,
            bytes: 0,
            length: None,
            is_complete: false,
        }
    }

    /// Writes the line of a head that nobody could read, to which this was answered.
    pub(super) fn unread(
        serving: Arc<Serving>,
        (peer, trace): (Option<IpAddr>, &TraceContext),
        (status, note): (StatusCode, &str),
    ) {
        let account = Account::default();
        account.note(note);
        drop(Entry {
            serving,
            account,
            begin: Instant::now(),
            began: SystemTime::now(),
            peer,
            head: None,
            trace: trace.trace().to_owned(),
            status: Some(status),
            bytes: 0,
            length: None,
            is_complete: true,
        });
    }

    /// The answer has begun.
    pub(super) fn answered<B>(&mut self, response: &http::Response<B>) {
        self.status = Some(response.status());
        let length = response.headers().get(http::header::CONTENT_LENGTH);
        self.length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    }

    /// So many more bytes of its body were handed over to be sent.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        self.is_complete |= self.length.is_some_and(|length| self.bytes >= length);
    }

    /// The answer is there as a whole.
    pub(super) fn completed(&mut self) {
        self.is_complete = true;
    }

    /// Why it is not.
    pub(super) fn note(&self, reason: &str) {
        self.account.note(reason);
    }

    /// A bound is why it is not.
    pub(super) fn limited(&self, bound: Bound, what: &str) {
        self.serving.metrics.hit(bound);
        self.note(&bound.said(what, &self.serving.limits));
    }

    /// A bound is why it is not, which has been counted.
    pub(super) fn was_limited(&self, bound: Bound, what: &str) {
        self.note(&bound.said(what, &self.serving.limits));
    }

    /// Keeps what whoever looks after the server may want to know of it.
    fn remember(&self, told: &Told) {
        let (events, guest) = (&self.serving.events, told.guest.as_deref().unwrap_or_default());
        events.denied(guest, &told.denied, self.began);
        let has_failed = self.status.is_none_or(|status| status.is_server_error()) || !self.is_complete;
        // What was refused for a reason is told as well; one that was answered, whatever there is to note, has not failed.
        let is_refused = told.note.is_some() && self.status.is_some_and(|status| status.is_client_error());
        if !has_failed && !is_refused {
            return;
        }
        let (method, target) = match &self.head {
            Some(head) => (head.method.clone(), &*head.target),
            None => Default::default(),
        };
        events.failed(FailedRequest {
            time: self.began,
            guest: guest.to_owned(),
            method,
            path: target.split('?').next().unwrap_or_default().to_owned(),
            status: self.status.map_or(0, |status| status.as_u16()),
            note: told.note.clone().unwrap_or_default(),
            trace: self.trace.clone(),
        });
    }

    fn line(&self, format: LogFormat, told: &Told) -> String {
        match format {
            LogFormat::Json => self.json(told),
            LogFormat::Common => self.common(),
        }
    }

    fn json(&self, told: &Told) -> String {
        let mut line = String::from("{\"time\":");
        string(&mut line, &rfc3339(self.began));
        let mut field = |name: &str, value: &str| {
            let _ = write!(line, ",\"{name}\":");
            string(&mut line, value);
        };
        field("trace", &self.trace);
        if let Some(peer) = self.peer {
            field("peer", &peer.to_string());
        }
        if let Some(Head { method, target, version }) = &self.head {
            field("method", method);
            field("target", target);
            field("version", &format!("{version:?}"));
        }
        if let Some(guest) = &told.guest {
            field("guest", guest);
        }
        if let Some(instance) = told.instance {
            field("instance", if instance == InstanceUse::New { "new" } else { "reused" });
        }
        if let Some(status) = self.status {
            let _ = write!(line, ",\"status\":{}", status.as_u16());
        }
        let _ = write!(line, ",\"bytes\":{},\"wall_us\":{}", self.bytes, self.begin.elapsed().as_micros());
        if let Some(time) = told.processor_time {
            let _ = write!(line, ",\"cpu_us\":{}", time.as_micros());
        }
        if !self.is_complete {
            line.push_str(",\"incomplete\":true");
        }
        if !told.denied.is_empty() {
            line.push_str(",\"denied\":[");
            for (index, denied) in told.denied.iter().enumerate() {
                line.push_str(if index == 0 { "" } else { "," });
                string(&mut line, denied);
            }
            line.push(']');
        }
        if let Some(note) = &told.note {
            line.push_str(",\"note\":");
            string(&mut line, note);
        }
        line.push_str("}\n");
        line
    }

    fn common(&self) -> String {
        let peer = self.peer.map_or_else(|| String::from("-"), |peer| peer.to_string());
        let status = self.status.map_or_else(|| String::from("-"), |status| status.as_u16().to_string());
        let line = self.head.as_ref().map_or_else(
            || String::from("-"),
            |head| format!("{} {} {:?}", head.method, escaped(&head.target), head.version),
        );
        format!("{peer} - - [{}] \"{line}\" {status} {}\n", common_time(self.began), self.bytes)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let told = self.account.take();
        self.serving.log.write(|format| self.line(format, &told));
        let outcome = Outcome { status: self.status, wall: self.begin.elapsed(), bytes: self.bytes };
        self.serving.metrics.request(&outcome, &told);
        self.remember(&told);
    }
}

/// A target in which nothing ends its line or its quotes, and which no terminal takes for a command: other characters than those of a URI are escaped as there.
fn escaped(target: &str) -> String {
    let mut escaped = String::with_capacity(target.len());
    for byte in target.bytes() {
        match byte {
            b'"' | b'\\' | 0..=b' ' | 0x7f.. => drop(write!(escaped, "%{byte:02X}")),
            byte => escaped.push(char::from(byte)),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An output that takes nothing until it may.
    struct Stuck(std::sync::mpsc::Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_nobody_reads_are_bounded_in_bytes() {
        let (release, held) = channel();
        let log = AccessLog::new(LogFormat::Json, Stuck(held)).unwrap();
        let line = "x".repeat(MOST_WAITING_BYTES / 4);
        for _ in 0..6 {
            log.write(|_| line.clone());
        }
        assert_eq!(log.left_out(), 2, "four are at the limit, the one that is being written among them");
        drop(release);
        log.finish();
        log.write(|_| line.clone());
        assert_eq!(log.left_out(), 2, "there is room again");
    }

    #[test]
    fn targets_keep_to_their_line() {
        assert_eq!(escaped("/a?b=%20\"\\ \n\u{9b}"), "/a?b=%20%22%5C%20%0A%C2%9B");
    }
}
