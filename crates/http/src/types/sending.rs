//! Where requests of guests are sent from, and how long they are waited for.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::runtime::Handle;

use super::error_code::ErrorCode;
use crate::client::Times;

/// How long a guest waits, where it says so.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RequestTimes {
    /// For a connection.
    pub(crate) connect: Option<Duration>,
    /// For the head of the answer.
    pub(crate) first_byte: Option<Duration>,
    /// For the next bytes of its body.
    pub(crate) between_bytes: Option<Duration>,
}

/// A time that was given as nanoseconds.
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// How long a guest waits for a connection that says nothing of it.
const CONNECT_TIME: Duration = Duration::from_secs(30);

/// The same for the beginning of the answer. Its deadline is most often earlier.
const FIRST_BYTE_TIME: Duration = Duration::from_secs(600);

impl From<RequestTimes> for Times {
    fn from(times: RequestTimes) -> Times {
        Times {
            connect: times.connect.unwrap_or(CONNECT_TIME),
            first_byte: times.first_byte.unwrap_or(FIRST_BYTE_TIME),
        }
    }
}

/// The runtime that sends requests: that of whoever runs the guest, or one of its own where there is none, made when it is first needed.
///
/// # Errors
/// Where there is no thread for one.
pub(crate) fn runtime() -> Result<Handle, ErrorCode> {
    static OWN: OnceLock<Option<Handle>> = OnceLock::new();
    if let Ok(handle) = Handle::try_current() {
        return Ok(handle);
    }
    // One with threads of its own would panic where the system has none.
    let own = OWN.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        let handle = runtime.handle().clone();
        let thread = std::thread::Builder::new().name(String::from("http"));
        thread.spawn(move || runtime.block_on(std::future::pending::<()>())).ok()?;
        Some(handle)
    });
    let missing = || ErrorCode::InternalError(Some(String::from("there is no thread to send it by")));
    own.clone().ok_or_else(missing)
}
