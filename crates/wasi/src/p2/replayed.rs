//! The output of a component that is replayed: what it writes to its standard streams, found among its arguments.
//!
//! No stream is open in a replay. Which of the guest's are standard ones follows from the recorded calls: `get-stdout` and `get-stderr` give them. What a guest passes from one
//! stream to another by `splice` is in no argument, and not written here.

use std::fmt;
use std::io::{self, Write};

use innkeeper_component::{HostCallName, Part, Val, ValueVisitor};
use innkeeper_engine::Error;

/// Where the output of a replayed guest goes.
pub struct ReplayedStreams {
    to: [Box<dyn Write + Send>; 2],
    /// What stands for streams that the guest has: which of the two each is.
    open: Vec<(u32, usize)>,
    error: Option<io::Error>,
}

impl ReplayedStreams {
    /// Standard output goes to `stdout`, standard error to `stderr`. Each write of the guest's is followed by a flush.
    #[must_use]
    pub fn new(stdout: Box<dyn Write + Send>, stderr: Box<dyn Write + Send>) -> ReplayedStreams {
        ReplayedStreams { to: [stdout, stderr], open: Vec::new(), error: None }
    }

    /// Notes what a call that has returned has given: resources that these numbers stand for.
    pub(super) fn follow(&mut self, name: &HostCallName, first_rep: u32, last_rep: u32) {
        let interface = name.instance().unwrap_or_default().split('@').next();
        let which = match (interface, &*name.function()) {
            (Some("wasi:cli/stdout"), "get-stdout") => 0,
            (Some("wasi:cli/stderr"), "get-stderr") => 1,
            _ => return,
        };
        self.open.extend((first_rep..=last_rep).map(|rep| (rep, which)));
    }

    /// What writing reported.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        self.error.take().map_or(Ok(()), Err)
    }

    fn write(&mut self, which: usize, bytes: &[u8]) {
        let stream = &mut self.to[which];
        if let Err(error) = stream.write_all(bytes).and_then(|()| stream.flush())
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            self.error.get_or_insert(error);
        }
    }
}

/// Writes what a call has written, as its arguments are shown: a stream, then bytes, or how many zeros.
pub(super) struct Output<'a> {
    streams: &'a mut ReplayedStreams,
    which: Option<usize>,
}

impl Output<'_> {
    /// Where the call is one that writes, and has succeeded.
    pub(super) fn of<'a>(
        streams: &'a mut ReplayedStreams,
        name: &HostCallName,
        answer: Option<&Val>,
    ) -> Option<Output<'a>> {
        let is_stream = name.instance().is_some_and(|instance| instance.starts_with("wasi:io/streams@"));
        let writes = matches!(
            &*name.function(),
            "[method]output-stream.write"
                | "[method]output-stream.blocking-write-and-flush"
                | "[method]output-stream.write-zeroes"
                | "[method]output-stream.blocking-write-zeroes-and-flush"
        );
        let has_succeeded = matches!(answer, Some(Val::Result(Ok(_))));
        (is_stream && writes && has_succeeded).then_some(Output { streams, which: None })
    }
}

impl ValueVisitor for Output<'_> {
    fn part(&mut self, part: Part<'_>) -> Result<(), Error> {
        match (part, self.which) {
            (Part::Handle { rep, .. }, _) => {
                self.which = self.streams.open.iter().find(|(open, _)| *open == rep).map(|(_, which)| *which);
            }
            (Part::Bytes(piece), Some(which)) => self.streams.write(which, piece),
            (Part::Unsigned(mut zeros), Some(which)) => {
                while zeros > 0 {
                    let count = zeros.min(4096);
                    self.streams.write(which, &[0; 4096][..count as usize]);
                    zeros -= count;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl fmt::Debug for ReplayedStreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayedStreams").field("open", &self.open).finish_non_exhaustive()
    }
}
