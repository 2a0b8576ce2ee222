//! The WIT that is read: packages, and the worlds that something is to be made of.

use std::path::PathBuf;

use wit_parser::{PackageId, Resolve, WorldId};

use crate::error::Error;
use crate::options::Bindgen;

/// What was read.
pub(crate) struct Source {
    pub(crate) resolve: Resolve,
    pub(crate) worlds: Vec<WorldId>,
    pub(crate) files: Vec<PathBuf>,
}

impl Source {
    pub(crate) fn read(options: &Bindgen) -> Result<Source, Error> {
        let mut resolve = Resolve { all_features: options.all_features, ..Resolve::default() };
        resolve.features.extend(options.features.iter().cloned());
        let (mut files, mut packages) = (Vec::new(), Vec::new());
        let usual = [PathBuf::from("wit")];
        let paths = match options.paths.is_empty() && options.inline.is_none() {
            true => &usual[..],
            false => &options.paths,
        };
        for path in paths {
            let (package, sources) =
                resolve.push_path(path).map_err(|error| Error::new(resolve.render_error(&error)))?;
            packages.push(package);
            files.extend(sources.paths().map(|path| path.to_owned()));
        }
        if let Some(inline) = &options.inline {
            let package = resolve.push_str("inline", inline);
            packages = vec![package.map_err(|error| Error::new(resolve.render_error(&error)))?];
        }
        let worlds = worlds(&resolve, &packages, options)?;
        Ok(Source { resolve, worlds, files })
    }
}

fn worlds(resolve: &Resolve, packages: &[PackageId], options: &Bindgen) -> Result<Vec<WorldId>, Error> {
    let main = packages.first().map(std::slice::from_ref).unwrap_or_default();
    let find = |name: Option<&str>| {
        resolve.select_world(main, name).map_err(|error| {
            let worlds: Vec<String> = resolve
                .worlds
                .iter()
                .filter_map(|(_, world)| Some(resolve.id_of_name(world.package?, &world.name)))
                .collect();
            Error::new(format!("{error:#}; there are the worlds {}", worlds.join(", ")))
        })
    };
    match options.worlds.is_empty() {
        true => find(None).map(|world| vec![world]),
        false => options.worlds.iter().map(|name| find(Some(name))).collect(),
    }
}
