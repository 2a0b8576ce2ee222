//! A guest's memory: reads, writes, and the buffer that `memoryview(memory)` shows.
//!
//! Must stay true: a view's bytes stay where they are for as long as it lives (memories of 32 bits never move, which the engine is told, and nothing of a store goes before the
//! store, which the memory holds), and no guest of the store runs without Python's lock meanwhile (`crate::store`), so that nobody changes them
//! behind Python's back.

use std::ffi::c_int;
use std::sync::Arc;

use ::innkeeper::{AsContextMut, IndexType};
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::error::{OrRaise, Result};
use crate::store::Shared;

/// A linear memory. `memoryview(memory)` sees its bytes where they are, as far as it has grown by then; while there is such a view, Python's other threads wait for the guest.
#[pyclass(frozen, module = "innkeeper")]
pub(crate) struct Memory {
    pub(crate) shared: Arc<Shared>,
    pub(crate) memory: ::innkeeper::Memory,
}

#[pymethods]
impl Memory {
    /// A copy of `size` bytes from an address on.
    fn read<'py>(&self, py: Python<'py>, address: u64, size: usize) -> Result<Bound<'py, PyBytes>> {
        PyBytes::new_with(py, size, |bytes| {
            self.shared.with(|store| self.memory.read(&store, address, bytes))?.or_raise(py)
        })
    }

    /// Writes bytes from an address on.
    fn write(&self, py: Python<'_>, address: u64, bytes: &[u8]) -> Result<()> {
        self.shared.with(|store| self.memory.write(store, address, bytes))?.or_raise(py)
    }

    /// Makes it longer by so many pages of 65,536 bytes; gives how many it had.
    fn grow(&self, py: Python<'_>, pages: u64) -> Result<u64> {
        self.shared.with(|mut store| self.memory.grow(store.as_context_mut(), pages))?.or_raise(py)
    }

    /// How many pages it has.
    #[getter]
    fn pages(&self, py: Python<'_>) -> Result<u64> {
        self.shared.with(|store| self.memory.size(&store))?.or_raise(py)
    }

    fn __len__(&self, py: Python<'_>) -> Result<usize> {
        self.shared.with(|store| self.memory.data_size(&store))?.or_raise(py)
    }

    /// # Safety
    /// Python calls it, with a buffer of its own to fill.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> Result<()> {
        let py = slf.py();
        let Memory { shared, memory } = slf.get();
        let (start, size) = shared.with(|mut store| {
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
                shared.add_view();
                Ok(())
            }
            _ => Err(PyErr::fetch(py)),
        }
    }

    /// # Safety
    /// Python calls it once for each buffer that was filled.
    unsafe fn __releasebuffer__(&self, _view: *mut ffi::Py_buffer) {
        self.shared.drop_view();
    }
}
