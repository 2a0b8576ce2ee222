//! Handles among what the host is about to give to a guest. A mistake of the host's is found before the guest is entered, which would not be left again.

use std::any::TypeId;
use std::collections::HashSet;

use innkeeper_engine::Error;

use super::wit::BoundResources;
use crate::check::Given;
use crate::resource::{ResourceAny, usage};
use crate::state::State;

/// What has been looked at.
pub struct GivenHandles<'a> {
    state: &'a mut State,
    resources: &'a BoundResources,
    handles: Given,
    /// Where those are that are no [`ResourceAny`], and are given away.
    places: HashSet<usize>,
}

impl<'a> GivenHandles<'a> {
    pub(crate) fn new(state: &'a mut State, resources: &'a BoundResources) -> GivenHandles<'a> {
        GivenHandles { state, resources, handles: Given::default(), places: HashSet::new() }
    }

    /// Whether what is at a place in the host's memory is given away for the first time.
    pub(super) fn first(&mut self, place: usize) -> bool {
        self.places.insert(place)
    }

    /// Whether a handle of the host's can be given, together with those before it.
    pub(super) fn any(&mut self, any: ResourceAny, rust: TypeId, is_own: bool) -> Result<(), Error> {
        let ty = self.resources.get(rust)?;
        self.handles
            .look((self.state.id, &mut self.state.host_handles), (ty, is_own), any)
            .map_err(|reason| usage(&reason))
    }
}

impl std::fmt::Debug for GivenHandles<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GivenHandles").finish_non_exhaustive()
    }
}
