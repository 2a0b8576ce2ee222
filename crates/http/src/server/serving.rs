//! What all connections of a server share.

use std::sync::Arc;

use super::access_log::AccessLog;
use super::admission::Admission;
use super::connections::Connections;
use super::events::Events;
use super::metrics::Metrics;
use super::{Limits, Stop};
use crate::Handler;

/// See the module.
pub(super) struct Serving {
    pub(super) limits: Limits,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) log: AccessLog,
    pub(super) admission: Admission,
    pub(super) connections: Arc<Connections>,
    pub(super) stop: Stop,
    pub(super) metrics: Arc<Metrics>,
    pub(super) events: Events,
}

impl Serving {
    /// Why a request that came now would not be taken, in words; none where it would be.
    pub(super) fn refusal(&self) -> Option<&'static str> {
        if self.stop.is_draining() {
            Some("ending")
        } else if self.admission.is_full(&self.limits) {
            Some("too many requests")
        } else {
            None
        }
    }
}
