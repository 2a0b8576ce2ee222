//! What all views of one guest's host have in common.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Arc, Mutex, OnceLock};

use innkeeper_engine::Budget;

use super::allowance::Allowance;
use super::clock::TimeSource;
use super::credentials::Grant;
use super::denial::Refusal;
use super::explain::Search;
use super::gate::Gate;
use super::handles::KeptTrees;
use super::limit_reached::ReachedLimit;
use super::poll::Interrupt;
use super::random::RandomSource;
use super::reach::NativeDirectory;
use super::resolve::Resolve;
use super::unread::Unread;
use crate::keys::{DirectoryOrder, WasiLimits};

/// One guest's host, whichever of its stores asks.
#[derive(Debug)]
pub struct Shared {
    pub(super) gate: Gate,
    pub(super) resolve: Resolve<'static>,
    pub(super) limits: WasiLimits,
    pub(super) budget: Budget,
    /// Sockets that the guest has made and not given up, and look-ups of names.
    pub(super) sockets: Arc<AtomicU32>,
    /// Threads that look up names.
    pub(super) lookups: Arc<AtomicU32>,
    pub(super) arguments: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    pub(super) environment_read: AtomicBool,
    pub(super) grants: Vec<Arc<Grant>>,
    /// What each of them opened to, if it is a directory of the host's.
    pub(super) opened: Arc<[Option<NativeDirectory>]>,
    pub(super) time: TimeSource,
    pub(super) random: RandomSource,
    pub(super) order: DirectoryOrder,
    pub(super) allowance: Option<Allowance>,
    pub(super) trees: KeptTrees,
    pub(super) interrupt: OnceLock<Interrupt>,
    pub(super) unread: OnceLock<Unread>,
    pub(super) search: Search,
    pub(super) reached: Mutex<BTreeSet<ReachedLimit>>,
    /// The last path that was not found in a directory that covers everything.
    pub(super) missed: Mutex<Option<Refusal>>,
}
