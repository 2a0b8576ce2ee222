//! What stands between C and Rust: how pointers come in and go out, and that no panic does.
//!
//! Every function is declared with [`c_functions`]. Its parameters say what C promises of a pointer: [`In`] and [`InOut`] are lent, [`Own`] is given away, [`Out`] is to be written.
//! All may be null; a function that needs them says so with an error. Must stay true: values of these types come from C only, as arguments of functions that the headers declare.

use std::cell::RefCell;
use std::ffi::{CStr, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use innkeeper::{Error, ErrorKind, Result};

/// What a function gives that has failed.
pub(crate) trait Failed {
    fn failed(error: Error) -> Self;
}

/// Keeps an error for `innkeeper_last_error`.
fn keep(error: Error) {
    // The one before goes afterwards: what is attached to it may come back here. A thread that is about to end keeps none.
    let _before = LAST_ERROR.try_with(|last| last.replace(Some(error)));
}

macro_rules! failed {
    ($($ty:ty => $value:expr;)*) => {$(
        impl Failed for $ty {
            fn failed(error: Error) -> $ty {
                keep(error);
                $value
            }
        }
    )*};
}

failed! {
    () => ();
    bool => false;
    u8 => 0;
    u32 => 0;
    u64 => 0;
    usize => 0;
    *mut u8 => std::ptr::null_mut();
    *mut c_void => std::ptr::null_mut();
}

impl<T> Failed for Own<T> {
    fn failed(error: Error) -> Own<T> {
        keep(error);
        Own::NULL
    }
}

impl<T> Failed for Lent<T> {
    fn failed(error: Error) -> Lent<T> {
        keep(error);
        Lent(std::ptr::null_mut())
    }
}

/// Declares functions for C, whose bodies give a [`Result`]; an error, or a panic, is returned by functions that return errors, and kept for `innkeeper_last_error` by others.
macro_rules! c_functions {
    ($($(#[$meta:meta])* fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block)*) => {$(
        $(#[$meta])*
        #[unsafe(no_mangle)]
        pub extern "C" fn $name($($arg: $ty),*) $(-> $ret)? {
            $crate::boundary::guard(move || -> innkeeper::Result<_> { $body })
        }
    )*};
}
pub(crate) use c_functions;

thread_local! {
    static LAST_ERROR: RefCell<Option<Error>> = const { RefCell::new(None) };
}

/// The error of the last function of this thread that has failed, once.
pub(crate) fn take_last_error() -> Option<Error> {
    LAST_ERROR.try_with(RefCell::take).ok().flatten()
}

pub(crate) fn guard<R: Failed>(call: impl FnOnce() -> Result<R>) -> R {
    caught(call).unwrap_or_else(R::failed)
}

/// What a call gives, a panic being an error.
pub(crate) fn caught<R>(call: impl FnOnce() -> Result<R>) -> Result<R> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        // What a panic carries may panic when it is dropped.
        std::mem::forget(panic);
        Err(Error::msg(format!("the library has failed: {text}")))
    })
}

/// The C program has not kept to the header, as far as can be seen.
pub(crate) fn usage(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage(message.into()))
}

fn null(what: &str) -> Error {
    usage(format!("{what} is missing: the pointer is null"))
}

/// Something that C lends for the call.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct In<T>(*const T);

impl<T> In<T> {
    pub(crate) fn get(&self, what: &str) -> Result<&T> {
        self.option().ok_or_else(|| null(what))
    }

    pub(crate) fn option(&self) -> Option<&T> {
        // SAFETY: the header makes the C program promise that the pointer is null or one to a value of the type which stays there, unchanged by others, for the call.
        unsafe { self.0.as_ref() }
    }

    /// The same pointer, to give back to C.
    pub(crate) fn lent(self) -> Lent<T> {
        Lent(self.0.cast_mut())
    }
}

/// Something that C lends for the call, to be changed.
#[repr(transparent)]
pub struct InOut<T>(*mut T);

impl<T> InOut<T> {
    #[expect(clippy::mut_from_ref, reason = "it is C's, of which this is a name only")]
    pub(crate) fn get(&self, what: &str) -> Result<&mut T> {
        // SAFETY: the header makes the C program promise that the pointer is null or one to a value of the type which nobody else uses during the call.
        unsafe { self.0.as_mut() }.ok_or_else(|| null(what))
    }
}

/// Where C wants something written.
#[repr(transparent)]
pub struct Out<T>(*mut T);

/// What can be written for C, or deleted where C does not want it.
pub(crate) trait Given {
    fn unwanted(self);
}

macro_rules! numbers {
    ($($ty:ty)*) => {$(
        impl Given for $ty {
            fn unwanted(self) {}
        }
    )*};
}

numbers! { i32 u32 u64 }

impl<T> Given for Own<T> {
    fn unwanted(self) {
        drop(self.take());
    }
}

impl<T: Given> Out<T> {
    pub(crate) fn set(&self, value: T) {
        if self.0.is_null() {
            return value.unwanted();
        }
        // SAFETY: the header makes the C program promise that there is room for a value of the type; what is there is overwritten as it is.
        unsafe { self.0.write(value) };
    }

    pub(crate) fn is_wanted(&self) -> bool {
        !self.0.is_null()
    }
}

/// Something in a box that changes hands between C and the library, or nothing.
#[repr(transparent)]
pub struct Own<T>(*mut T);

impl<T> Own<T> {
    pub(crate) const NULL: Own<T> = Own(std::ptr::null_mut());

    pub(crate) fn new(value: T) -> Own<T> {
        Own(Box::into_raw(Box::new(value)))
    }

    pub(crate) fn option(value: Option<T>) -> Own<T> {
        value.map_or(Own::NULL, Own::new)
    }

    /// What C has given away.
    pub(crate) fn take(self) -> Option<Box<T>> {
        // SAFETY: the pointer is null, or `new` has made it of a box; the header makes the C program promise that it gives it away once.
        (!self.0.is_null()).then(|| unsafe { Box::from_raw(self.0) })
    }

    pub(crate) fn wanted(self, what: &str) -> Result<Box<T>> {
        self.take().ok_or_else(|| null(what))
    }

    pub(crate) fn as_ref(&self) -> Option<&T> {
        // SAFETY: the pointer is null, or of a box that C or the library owns, and that the header makes the C program leave alone while it lends it.
        unsafe { self.0.as_ref() }
    }
}

/// A pointer into something that C holds already: it stays valid as long as that does.
#[repr(transparent)]
pub struct Lent<T>(*mut T);

impl<T> Lent<T> {
    pub(crate) fn of(value: &T) -> Lent<T> {
        Lent(std::ptr::from_ref(value).cast_mut())
    }

    pub(crate) fn null() -> Lent<T> {
        Lent(std::ptr::null_mut())
    }
}

/// A string of C: bytes up to a zero.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Text(*const c_char);

impl Text {
    pub(crate) fn get(&self, what: &str) -> Result<&str> {
        if self.0.is_null() {
            return Err(null(what));
        }
        // SAFETY: the header makes the C program promise that the bytes end with a zero and stay there for the call.
        let text = unsafe { CStr::from_ptr(self.0) };
        text.to_str().map_err(|_| usage(format!("{what} is not UTF-8")))
    }
}

/// What a C program hands over with its functions: a pointer, and what is called with it when nobody needs it any more.
pub(crate) struct Env {
    pointer: *mut c_void,
    finalizer: Option<Finalizer>,
}

pub(crate) type Finalizer = extern "C" fn(*mut c_void);

// SAFETY: the library only hands the pointer back; the headers say on which threads that may be.
unsafe impl Send for Env {}
// SAFETY: as above.
unsafe impl Sync for Env {}

impl Env {
    pub(crate) fn new(pointer: *mut c_void, finalizer: Option<Finalizer>) -> Env {
        Env { pointer, finalizer }
    }

    /// What the program's functions are called with.
    pub(crate) fn pointer(&self) -> *mut c_void {
        self.pointer
    }
}

impl Drop for Env {
    fn drop(&mut self) {
        if let Some(finalizer) = self.finalizer {
            finalizer(self.pointer);
        }
    }
}
