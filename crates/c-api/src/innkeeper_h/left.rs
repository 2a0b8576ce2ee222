//! What a guest of WASI has left with its store: files in directories that the host keeps itself, and what was denied to it.

use std::ffi::{CString, c_char, c_void};

use innkeeper::wasi::host::{Host, KeptDirectory};
use innkeeper::{Error, Result};

use super::error::{Told, text};
use crate::boundary::{In, Out, Text, c_functions, usage};
use crate::store::StoreRef;
use crate::vector::Vector;
use crate::wasm_h::engine::StoreBox;

/// `innkeeper_file_callback_t`: whether to go on.
type FileCallback = extern "C" fn(*mut c_void, *const c_char) -> bool;

/// Asks the host of a store's keys.
fn of_host<R>(store: &StoreRef, ask: impl FnOnce(&Host) -> Result<R>) -> Result<R> {
    store.enter(|cx| {
        let wasi = cx.data().wasi.as_ref();
        ask(wasi.ok_or_else(|| usage("the store was made without keys"))?.host())
    })
}

/// Asks for something in a directory that a store's host keeps.
fn of_directory<R>(
    store: &StoreRef,
    directory: &str,
    ask: impl FnOnce(&KeptDirectory) -> Result<R>,
) -> Result<R> {
    of_host(store, |host| {
        let kept = host.kept_directory(directory);
        ask(kept.ok_or_else(|| {
            usage(format!(
                "the guest has no directory {directory:?} that is in memory or copied when it is written to"
            ))
        })?)
    })
}

c_functions! {
    fn innkeeper_store_read_file(
        store: In<StoreBox>,
        directory: Text,
        path: Text,
        max_bytes: u64,
        out: Out<Vector<u8>>,
    ) -> Told {
        out.set(Vector::EMPTY);
        let (directory, path) = (directory.get("the directory")?, path.get("the file's path")?);
        let bytes = of_directory(&store.get("the store")?.0, directory, |kept| {
            let read = kept.read_file(path, max_bytes);
            read.map_err(|error| Error::from(error).context(format!("cannot read {path:?} in {directory:?}")))
        })?;
        out.set(Vector::of_bytes(&bytes)?);
        Ok(Told::DONE)
    }

    fn innkeeper_store_files(
        store: In<StoreBox>,
        directory: Text,
        each: Option<FileCallback>,
        env: *mut c_void,
    ) -> Told {
        let directory = directory.get("the directory")?;
        let each = each.ok_or_else(|| usage("the function to call is missing"))?;
        let files = of_directory(&store.get("the store")?.0, directory, |kept| Ok(kept.files()?))?;
        // Nobody is inside any more: the function may use the store.
        for path in files {
            // No path has a zero in it.
            let path = CString::new(path)?;
            if !each(env, path.as_ptr()) {
                break;
            }
        }
        Ok(Told::DONE)
    }

    fn innkeeper_store_denials(store: In<StoreBox>, out: Out<Vector<u8>>) -> Told {
        out.set(Vector::EMPTY);
        let denials = of_host(&store.get("the store")?.0, |host| Ok(host.denials()))?;
        let lines: Vec<String> = denials.iter().map(ToString::to_string).collect();
        out.set(text(&lines.join("\n"))?);
        Ok(Told::DONE)
    }
}
