//! Makes components of the guests that are WASI 0.1 programs, by the adapter that other toolchains use: `cargo run -p innkeeper-cli --example components -- FOLDER`; or of
//! other such programs, `... -- FOLDER MODULE...`.

use std::error::Error;
use std::fs;
use std::path::Path;

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER,
};
use wit_component::ComponentEncoder;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let folder = arguments.next().ok_or("name the folder that the components go to")?;
    let modules: Vec<_> = arguments.collect();
    if modules.is_empty() {
        return make_components(Path::new(&folder));
    }
    fs::create_dir_all(&folder)?;
    for module in modules {
        let name = Path::new(&module).file_name().ok_or("a module is a file")?;
        fs::write(Path::new(&folder).join(name), component_of(&fs::read(&module)?)?)?;
    }
    Ok(())
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
