//! Vectors of `wasm.h`: a size and an array, both in sight of C.
//!
//! Must stay true: an array is of `malloc`, of zeros where it is "uninitialized", so that a vector that was filled halfway can be deleted.

use innkeeper::{Error, Result};

use crate::boundary::{Given, Own};

/// What a vector has elements of. They are plain to Rust: what they own is given back by [`Element::delete`] only.
pub trait Element: Sized {
    fn duplicate(&self) -> Self;
    fn delete(self);
}

impl Element for u8 {
    fn duplicate(&self) -> u8 {
        *self
    }
    fn delete(self) {}
}

impl<T: Clone> Element for Own<T> {
    fn duplicate(&self) -> Own<T> {
        Own::option(self.as_ref().cloned())
    }
    fn delete(self) {
        drop(self.take());
    }
}

/// A vector of `wasm.h`.
#[repr(C)]
pub struct Vector<T> {
    size: usize,
    data: *mut T,
}

impl<T: Element> Vector<T> {
    pub(crate) const EMPTY: Vector<T> = Vector { size: 0, data: std::ptr::null_mut() };

    /// One with room for `size` elements, all of zeros.
    pub(crate) fn zeroed(size: usize) -> Result<Vector<T>> {
        if size == 0 {
            return Ok(Vector::EMPTY);
        }
        // SAFETY: any two numbers will do.
        let data = unsafe { libc::calloc(size, size_of::<T>()) }.cast::<T>();
        if data.is_null() {
            return Err(Error::limit(format!("there is no memory for a vector of {size} elements")));
        }
        Ok(Vector { size, data })
    }

    pub(crate) fn of(elements: impl IntoIterator<Item = T>) -> Result<Vector<T>> {
        let elements: Vec<T> = elements.into_iter().collect();
        let vector: Vector<T> = Vector::zeroed(elements.len())?;
        for (place, element) in elements.into_iter().enumerate() {
            // SAFETY: there is room for as many elements as there are.
            unsafe { vector.data.add(place).write(element) };
        }
        Ok(vector)
    }

    /// One that takes over what is in an array of C's.
    pub(crate) fn of_array(size: usize, from: *const T) -> Result<Vector<T>> {
        let vector = Vector::zeroed(size)?;
        if !from.is_null() {
            // SAFETY: the header makes the C program promise that the array has as many elements and that they are given away; there is as much room.
            unsafe { std::ptr::copy_nonoverlapping(from, vector.data, vector.size) };
        }
        Ok(vector)
    }

    pub(crate) fn as_slice(&self) -> &[T] {
        if self.data.is_null() {
            return &[];
        }
        // SAFETY: the library has made the array with as many elements, or the header makes the C program promise that it has.
        unsafe { std::slice::from_raw_parts(self.data, self.size) }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        if self.data.is_null() {
            return &mut [];
        }
        // SAFETY: as in `as_slice`, and nobody else uses the array during the call.
        unsafe { std::slice::from_raw_parts_mut(self.data, self.size) }
    }

    pub(crate) fn duplicate(&self) -> Result<Vector<T>> {
        Vector::of(self.as_slice().iter().map(Element::duplicate))
    }

    /// Deletes the elements and the array, and leaves an empty vector.
    pub(crate) fn clear(&mut self) {
        let Vector { size, data } = std::mem::replace(self, Vector::EMPTY);
        if data.is_null() {
            return;
        }
        for place in 0..size {
            // SAFETY: as in `as_slice`; each element is read once, and the array is gone afterwards.
            unsafe { data.add(place).read() }.delete();
        }
        // SAFETY: vectors that are deleted were made by a function of the library, which takes arrays from `calloc`.
        unsafe { libc::free(data.cast()) };
    }

    /// The elements, without the array, which is given back.
    pub(crate) fn into_elements(mut self) -> Vec<T> {
        let elements = (0..self.as_slice().len())
            // SAFETY: as in `clear`.
            .map(|place| unsafe { self.data.add(place).read() })
            .collect();
        // SAFETY: as in `clear`; the array's elements have moved.
        unsafe { libc::free(std::mem::replace(&mut self, Vector::EMPTY).data.cast()) };
        elements
    }
}

impl<T: Element> Given for Vector<T> {
    fn unwanted(mut self) {
        self.clear();
    }
}

impl Vector<u8> {
    pub(crate) fn of_bytes(bytes: &[u8]) -> Result<Vector<u8>> {
        Vector::of_array(bytes.len(), bytes.as_ptr())
    }

    /// The bytes as text, up to a zero at the end if there is one.
    pub(crate) fn text(&self) -> String {
        let bytes = self.as_slice();
        String::from_utf8_lossy(bytes.strip_suffix(&[0]).unwrap_or(bytes)).into_owned()
    }
}

/// The functions of a kind of vectors: its element, then the names.
macro_rules! vector_functions {
    ($($element:ty: $empty:ident $uninitialized:ident $new:ident $copy:ident $delete:ident;)*) => {
        $crate::boundary::c_functions! {$(
            fn $empty(out: $crate::boundary::Out<$crate::vector::Vector<$element>>) {
                out.set($crate::vector::Vector::EMPTY);
                Ok(())
            }
            fn $uninitialized(out: $crate::boundary::Out<$crate::vector::Vector<$element>>, size: usize) {
                out.set($crate::vector::Vector::EMPTY);
                out.set($crate::vector::Vector::zeroed(size)?);
                Ok(())
            }
            fn $new(out: $crate::boundary::Out<$crate::vector::Vector<$element>>, size: usize, from: *const $element) {
                out.set($crate::vector::Vector::EMPTY);
                out.set($crate::vector::Vector::of_array(size, from)?);
                Ok(())
            }
            fn $copy(
                out: $crate::boundary::Out<$crate::vector::Vector<$element>>,
                from: $crate::boundary::In<$crate::vector::Vector<$element>>,
            ) {
                out.set($crate::vector::Vector::EMPTY);
                out.set(from.get("the vector to copy")?.duplicate()?);
                Ok(())
            }
            fn $delete(vector: $crate::boundary::InOut<$crate::vector::Vector<$element>>) {
                if let Ok(vector) = vector.get("the vector") {
                    vector.clear();
                }
                Ok(())
            }
        )*}
    };
}
pub(crate) use vector_functions;
