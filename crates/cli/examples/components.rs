//! Makes components of the guests that are WASI 0.1 programs, by the adapter that other toolchains use: `cargo run -p innkeeper-cli --example components -- FOLDER`.

use std::error::Error;
use std::fs;
use std::path::Path;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
};
use wit_component::ComponentEncoder;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("name the folder that the components go to")?;
    make_components(Path::new(&folder))
}

/// Writes the component of each guest that is a program into a folder, under the guest's name.
pub(crate) fn make_components(folder: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder)?;
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../guests");
    for guest in fs::read_dir(guests)? {
        let name = guest?.file_name();
        let module = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../guests")
            .join(&name)
            .join(&name)
            .with_extension("wasm");
        // The one that is no program has functions that only a module can export.
        if !module.is_file() || name == "reactor" {
            continue;
        }
        let bytes = fs::read(&module)?;
        if !is_component(&bytes) {
            fs::write(folder.join(name).with_extension("wasm"), component_of(&bytes)?)?;
        }
    }
    Ok(())
}

/// Whether the format's layer is that of components.
fn is_component(bytes: &[u8]) -> bool {
    bytes.get(6..8) == Some(&[1, 0])
}

/// The component of a module that is a program.
pub(crate) fn component_of(module: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let component = ComponentEncoder::default()
        .module(module)?
        .adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER)?
        .validate(true)
        .encode()?;
    Ok(component)
}
