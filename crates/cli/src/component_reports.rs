//! A component's profile and core dump: opened before it can have a say in what stands there, and written when it has ended.

use innkeeper::component::Component;
use innkeeper::wasi::p2::Context;
use innkeeper::{Profile, Store};

use crate::flags::ReportFlags;
use crate::guest::Ending;
use crate::output::Output;
use crate::plug::Plug;
use crate::profile::{self, ModuleHash, Sampler};
use crate::program_names::ProgramNames;
use crate::report::Problem;
use crate::values::ProfileFlag;
use crate::writable::Writable;

/// What is written about a component; nothing of it where nobody has asked.
#[derive(Default)]
pub(crate) struct Reports {
    core_dump: Option<Output>,
    profile: Option<profile::Files>,
}

impl Reports {
    /// Opens what is to be written.
    pub(crate) fn open(flags: &ReportFlags, writable: &Writable) -> Result<Reports, Problem> {
        let core_dump = flags.coredump.as_ref().map(|path| Output::open(path, writable)).transpose()?;
        let profile = match &flags.profile {
            Some(ProfileFlag::File(path)) => Some(profile::Files::open(path, writable)?),
            _ => None,
        };
        Ok(Reports { core_dump, profile })
    }

    /// Begins to take samples, if a profile is wanted, until what this gives is dropped.
    pub(crate) fn start(&self, store: &mut Store<Context>) -> Result<Option<Sampler>, Problem> {
        match self.profile {
            Some(_) => {
                store.start_profile();
                Sampler::start(store.interrupt_handle()).map(Some)
            }
            None => Ok(None),
        }
    }

    /// Writes a core dump of the component of this name, if one is wanted and it has trapped.
    pub(crate) fn dump(
        &mut self,
        name: &str,
        (ending, store): (&Ending, &Store<Context>),
    ) -> Result<(), Problem> {
        match (ending, self.core_dump.take()) {
            (Ending::Trapped(error), Some(output)) => {
                output.write(|to| store.write_core_dump(error, name, to))
            }
            _ => Ok(()),
        }
    }

    /// Writes the profile, if there is one.
    pub(crate) fn write_profile(
        self,
        profile: Option<&Profile>,
        (name, hash): (&str, Option<ModuleHash>),
        (component, plugs): (&Component, &[Plug]),
    ) -> Result<(), Problem> {
        let (Some(profile), Some(files), Some(hash)) = (profile, self.profile, hash) else { return Ok(()) };
        let plugs = plugs.iter().map(|plug| (&plug.component, Some(plug.name.as_str())));
        let names = ProgramNames::of_components(std::iter::once((component, None)).chain(plugs))
            .map_err(|error| Problem::new(name, error))?;
        profile::write(profile, files, (name, &names, hash))
    }
}
