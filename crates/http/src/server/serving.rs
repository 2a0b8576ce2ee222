//! What all connections of a server share.

use std::sync::Arc;

use super::access_log::AccessLog;
use super::admission::Admission;
use super::connections::Connections;
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
}
