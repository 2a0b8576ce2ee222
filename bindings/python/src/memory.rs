//! A guest's memory: reads, writes, and the buffer that `memoryview(memory)` shows.
//!
//! Must stay true: the bytes that were ever shown stay where they are for as long as the object that has shown them, also where its view was given back: `numpy` keeps just the object
//! and the address. (Memories of 32 bits never move, which the engine is told; nothing of a store goes before the store, which the memory holds; and one that is closed keeps its
//! memories until no object is left that has shown them.) While there is a view the store is not closed, and no guest of the store runs without Python's lock meanwhile (`crate::store`), so that nobody changes them
//! behind Python's back.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};

use ::innkeeper::{AsContextMut, IndexType};
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyo3::{PyTraverseError, PyVisit};

use crate::argument::argument;
use crate::error::{OrRaise, Result, refused};
use crate::store::Store;

/// A linear memory. `memoryview(memory)` sees its bytes where they are, as far as it has grown by then; while there is such a view, Python's other threads wait for the guest.
/// (Not for an array of `numpy` that was made of the memory itself, which keeps no view: it can change beneath whoever reads it while the guest runs.)
#[pyclass(frozen, module = "innkeeper")]
pub(crate) struct Memory {
    pub(crate) store: Py<Store>,
    pub(crate) memory: ::innkeeper::Memory,
    /// Whether it has ever shown its bytes.
    was_shown: AtomicBool,
}

impl Memory {
    pub(crate) fn new(store: Py<Store>, memory: ::innkeeper::Memory) -> Memory {
        Memory { store, memory, was_shown: AtomicBool::new(false) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if *self.was_shown.get_mut() {
            self.store.get().drop_shown();
        }
    }
}

#[pymethods]
impl Memory {
    /// A copy of `size` bytes from an address on.
    fn read<'py>(
        &self,
        py: Python<'py>,
        address: &Bound<'py, PyAny>,
        size: &Bound<'py, PyAny>,
    ) -> Result<Bound<'py, PyBytes>> {
        let (address, size) = (argument("address", address).count()?, argument("size", size).count()?);
        let held_bytes = self.store.get().with(|store| self.memory.data_size(&store))?.or_raise(py)?;
        let fits = usize::try_from(size).ok().filter(|size| *size <= held_bytes);
        let outside = || refused(format!("{size} bytes at {address} are not inside the memory"));
        let size = fits.ok_or_else(outside)?;
        PyBytes::new_with(py, size, |bytes| {
            self.store.get().with(|store| self.memory.read(&store, address, bytes))?.or_raise(py)
        })
    }

    /// Writes bytes from an address on.
    fn write(&self, py: Python<'_>, address: &Bound<'_, PyAny>, bytes: &Bound<'_, PyAny>) -> Result<()> {
        let (address, bytes) = (argument("address", address).count()?, argument("bytes", bytes));
        let write = |bytes: &[u8]| self.store.get().with(|store| self.memory.write(store, address, bytes));
        match bytes.borrowed() {
            Some(bytes) => write(bytes),
            None => write(&bytes.bytes()?),
        }?
        .or_raise(py)
    }

    /// Makes it longer by so many pages of 65,536 bytes; gives how many it had.
    fn grow(&self, py: Python<'_>, pages: &Bound<'_, PyAny>) -> Result<u64> {
        let pages = argument("pages", pages).count()?;
        self.store.get().with(|mut store| self.memory.grow(store.as_context_mut(), pages))?.or_raise(py)
    }

    /// How many pages it has.
    #[getter]
    fn pages(&self, py: Python<'_>) -> Result<u64> {
        self.store.get().with(|store| self.memory.size(&store))?.or_raise(py)
    }

    fn __repr__(&self) -> String {
        let held = self.store.get().with(|store| self.memory.size(&store));
        match held {
            Ok(Ok(pages)) => {
                format!("<innkeeper.Memory of {pages} {}>", if pages == 1 { "page" } else { "pages" })
            }
            _ => String::from("<innkeeper.Memory>"),
        }
    }

    fn __len__(&self, py: Python<'_>) -> Result<usize> {
        self.store.get().with(|store| self.memory.data_size(&store))?.or_raise(py)
    }

    /// # Safety
    /// Python calls it, with a buffer of its own to fill.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> Result<()> {
        let py = slf.py();
        let Memory { store, memory, was_shown } = slf.get();
        let (start, size) = store.get().with(|mut store| {
            if memory.ty(&store).or_raise(py)?.index == IndexType::I64 {
                return Err(PyBufferError::new_err("a memory of 64 bits may move: use read and write"));
            }
            let bytes = memory.data_mut(&mut store).or_raise(py)?;
            Ok((bytes.as_mut_ptr(), bytes.len()))
        })??;
        let size = size.try_into().map_err(|_| PyBufferError::new_err("the memory is too large"))?;
        // SAFETY: Python owns `view`; the bytes stay where they are for as long as the object that is named as theirs (see above), which the buffer holds.
        match unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), start.cast(), size, 0, flags) } {
            0 => {
                store.get().add_view();
                if !was_shown.swap(true, Ordering::AcqRel) {
                    store.get().add_shown();
                }
                Ok(())
            }
            _ => Err(PyErr::fetch(py)),
        }
    }

    /// # Safety
    /// Python calls it once for each buffer that was filled.
    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {
        self.store.get().drop_view();
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> std::result::Result<(), PyTraverseError> {
        visit.call(&self.store)
    }
}
