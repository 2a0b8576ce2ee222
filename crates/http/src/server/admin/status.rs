//! What the page shows besides what is counted.

use std::time::SystemTime;

use crate::server::events::{Denial, FailedRequest};
use crate::server::json::Object;
use crate::server::serving::Serving;
use crate::server::when::rfc3339;

/// See the module.
pub(super) fn json(serving: &Serving) -> String {
    let (denials, failures) = serving.events.latest();
    let limits = &serving.limits;
    let mut bounds = Object::new();
    bounds
        .value("requests", limits.max_requests)
        .value("queue", limits.max_queue)
        .value("connections", limits.max_connections);
    let mut status = Object::new();
    status
        .text("version", env!("CARGO_PKG_VERSION"))
        .text("time", &rfc3339(SystemTime::now()))
        .value("log_lines_left_out", serving.log.left_out())
        .value("limits", bounds.end())
        .list("denials", denials.iter().map(denial))
        .list("failures", failures.iter().map(failure));
    if let Some(reason) = serving.refusal() {
        status.text("refusal", reason);
    }
    status.end()
}

fn denial(denial: &Denial) -> String {
    let Denial { guest, what, count, last } = denial;
    let mut object = Object::new();
    object.text("guest", guest).text("what", what).value("count", count).text("last", &rfc3339(*last));
    object.end()
}

fn failure(request: &FailedRequest) -> String {
    let FailedRequest { time, guest, method, path, status, note, trace } = request;
    let mut object = Object::new();
    object.text("time", &rfc3339(*time)).text("guest", guest).text("method", method).text("path", path);
    object.value("status", status).text("note", note).text("trace", trace);
    object.end()
}
