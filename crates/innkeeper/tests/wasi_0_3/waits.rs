//! In calls that can wait, no thread is held: guests that wait for each other share one.

use std::io::Write;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::thread;

use innkeeper::wasi::keys::{Capture, Keys, StdinKey, StdoutKey};

use super::engines;
use super::program::start_async;
use super::sleeper::Sleeper;
use super::streams::CAT;

/// One guest writes to a pipe what the other one reads from it, on the same thread.
#[test]
fn guests_share_a_thread() {
    for engine in engines() {
        let (stdin, mut to) = std::io::pipe().unwrap();
        let (from, stdout) = std::io::pipe().unwrap();
        let bytes: Vec<u8> = (0..500_000_u32).map(|index| (index % 249) as u8).collect();
        let sent = bytes.clone();
        let writer = thread::spawn(move || to.write_all(&sent).unwrap());
        let capture = Capture::new(1 << 20);
        let opened = |fd: OwnedFd| Arc::new(fd);
        let one = Keys::builder()
            .stdin(StdinKey::Opened(opened(stdin.into())))
            .stdout(StdoutKey::Opened(opened(stdout.into())))
            .build();
        let other = Keys::builder()
            .stdin(StdinKey::Opened(opened(from.into())))
            .stdout(StdoutKey::Capture(capture.clone()))
            .build();
        let mut codes = [None, None];
        {
            let first = async {
                let code = start_async(&engine, CAT, &one).await;
                // Its end of the pipe is closed with its keys.
                drop(one);
                code
            };
            let (mut first, mut second) = (pin!(first), pin!(start_async(&engine, CAT, &other)));
            let both = std::future::poll_fn(|task| {
                if codes[0].is_none()
                    && let Poll::Ready(code) = first.as_mut().poll(task)
                {
                    codes[0] = Some(code.unwrap());
                }
                if codes[1].is_none()
                    && let Poll::Ready(code) = second.as_mut().poll(task)
                {
                    codes[1] = Some(code.unwrap());
                }
                if codes.contains(&None) { Poll::Pending } else { Poll::Ready(()) }
            });
            Sleeper::new().run(pin!(both));
        }
        assert_eq!(codes, [Some(0), Some(0)]);
        writer.join().unwrap();
        assert!(capture.contents() == bytes);
    }
}
