//! Every function of WASI 0.1 with its WebAssembly type, written once: linking, tracing and coverage are driven by it.
//!
//! `for_each_function!` and `for_each_unstable_function!` pass the whole list to a macro of the caller's.
//! The order is that of the specification. Nothing here says what a function does.

use super::context::Context;
use super::errno::Errno;
use super::memory::{GuestMemory, Pointer};
use super::table::Fd;
use crate::exit::Exit;
use crate::host::hold_thread;

/// Passes the functions that both versions share, after `$first`, to `$callback`.
macro_rules! with_shared_functions {
    ($callback:ident { $($first:tt)* }) => {
        $callback! {
            [args_environ] args_get(argv: i32, argv_buf: i32) -> errno;
            [args_environ] args_sizes_get(argc: i32, argv_buf_size: i32) -> errno;
            [args_environ] environ_get(environ: i32, environ_buf: i32) -> errno;
            [args_environ] environ_sizes_get(environc: i32, environ_buf_size: i32) -> errno;
            [clock] clock_res_get(id: i32, resolution: i32) -> errno;
            [clock] clock_time_get(id: i32, precision: i64, time: i32) -> errno;
            [fd] fd_advise(fd: i32, offset: i64, length: i64, advice: i32) -> errno;
            [fd] fd_allocate(fd: i32, offset: i64, length: i64) -> errno;
            [fd] fd_close(fd: i32) -> errno;
            [fd] fd_datasync(fd: i32) -> errno;
            [fdstat] fd_fdstat_get(fd: i32, stat: i32) -> errno;
            [fdstat] fd_fdstat_set_flags(fd: i32, flags: i32) -> errno;
            [fdstat] fd_fdstat_set_rights(fd: i32, base: i64, inheriting: i64) -> errno;
            [filestat] fd_filestat_set_size(fd: i32, size: i64) -> errno;
            [filestat] fd_filestat_set_times(fd: i32, atim: i64, mtim: i64, flags: i32) -> errno;
            [fd] fd_pread(fd: i32, iovs: i32, iovs_len: i32, offset: i64, nread: i32) -> errno;
            [fdstat] fd_prestat_get(fd: i32, prestat: i32) -> errno;
            [fdstat] fd_prestat_dir_name(fd: i32, path: i32, path_len: i32) -> errno;
            [fd] fd_pwrite(fd: i32, iovs: i32, iovs_len: i32, offset: i64, nwritten: i32) -> errno;
            [fd] fd_read(fd: i32, iovs: i32, iovs_len: i32, nread: i32) -> waits;
            [dir] fd_readdir(fd: i32, buf: i32, buf_len: i32, cookie: i64, bufused: i32) -> errno;
            [fd] fd_renumber(fd: i32, to: i32) -> errno;
            [fd] fd_sync(fd: i32) -> errno;
            [fd] fd_tell(fd: i32, offset: i32) -> errno;
            [fd] fd_write(fd: i32, iovs: i32, iovs_len: i32, nwritten: i32) -> waits;
            [path] path_create_directory(fd: i32, path: i32, path_len: i32) -> errno;
            [filestat] path_filestat_set_times(
                fd: i32, flags: i32, path: i32, path_len: i32, atim: i64, mtim: i64, fst_flags: i32
            ) -> errno;
            [path] path_link(
                old_fd: i32, old_flags: i32, old_path: i32, old_path_len: i32, new_fd: i32, new_path: i32, new_path_len: i32
            ) -> errno;
            [path] path_open(
                fd: i32, dirflags: i32, path: i32, path_len: i32, oflags: i32, rights_base: i64, rights_inheriting: i64,
                fdflags: i32, opened_fd: i32
            ) -> waits;
            [path] path_readlink(
                fd: i32, path: i32, path_len: i32, buf: i32, buf_len: i32, bufused: i32
            ) -> errno;
            [path] path_remove_directory(fd: i32, path: i32, path_len: i32) -> errno;
            [path] path_rename(
                fd: i32, old_path: i32, old_path_len: i32, new_fd: i32, new_path: i32, new_path_len: i32
            ) -> errno;
            [path] path_symlink(old_path: i32, old_path_len: i32, fd: i32, new_path: i32, new_path_len: i32) -> errno;
            [path] path_unlink_file(fd: i32, path: i32, path_len: i32) -> errno;
            [process] proc_exit(code: i32) -> never;
            [process] proc_raise(signal: i32) -> errno;
            [process] sched_yield() -> errno;
            [random] random_get(buf: i32, buf_len: i32) -> errno;
            [sock] sock_recv(
                fd: i32, ri_data: i32, ri_data_len: i32, ri_flags: i32, ro_datalen: i32, ro_flags: i32
            ) -> waits;
            [sock] sock_send(fd: i32, si_data: i32, si_data_len: i32, si_flags: i32, so_datalen: i32) -> waits;
            [sock] sock_shutdown(fd: i32, how: i32) -> errno;
            $($first)*
        }
    };
}

/// Passes every function of `wasi_snapshot_preview1` to the macro `$callback`, each as
/// `[module] name(parameter: type, ...) -> errno;`, except that `proc_exit` has `-> never`, and that those have `-> waits` that may wait for time, or for somebody
/// outside of the guest: they return an error number, too, and are `async fn`s.
macro_rules! for_each_function {
    ($callback:ident) => {
        $crate::p1::functions::with_shared_functions! { $callback {
            [fd] fd_seek(fd: i32, offset: i64, whence: i32, newoffset: i32) -> errno;
            [filestat] fd_filestat_get(fd: i32, stat: i32) -> errno;
            [filestat] path_filestat_get(fd: i32, flags: i32, path: i32, path_len: i32, stat: i32) -> errno;
            [poll] poll_oneoff(subscriptions: i32, events: i32, count: i32, nevents: i32) -> waits;
            [sock] sock_accept(fd: i32, flags: i32, accepted: i32) -> waits;
        } }
    };
}

/// Passes every function of `wasi_unstable` to the macro `$callback`, as `for_each_function!` does.
macro_rules! for_each_unstable_function {
    ($callback:ident) => {
        $crate::p1::functions::with_shared_functions! { $callback {
            [unstable] fd_seek(fd: i32, offset: i64, whence: i32, newoffset: i32) -> errno;
            [unstable] fd_filestat_get(fd: i32, stat: i32) -> errno;
            [unstable] path_filestat_get(fd: i32, flags: i32, path: i32, path_len: i32, stat: i32) -> errno;
            [unstable] poll_oneoff(subscriptions: i32, events: i32, count: i32, nevents: i32) -> waits;
        } }
    };
}

pub(crate) use for_each_function;
pub(crate) use for_each_unstable_function;
pub(crate) use with_shared_functions;

/// A version of WASI 0.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// `wasi_snapshot_preview1`.
    Preview1,
    /// `wasi_unstable`.
    Unstable,
}

impl Version {
    /// Both versions.
    pub const ALL: [Version; 2] = [Version::Preview1, Version::Unstable];

    /// The module that guests import the functions from.
    #[must_use]
    pub fn module_name(self) -> &'static str {
        match self {
            Version::Preview1 => "wasi_snapshot_preview1",
            Version::Unstable => "wasi_unstable",
        }
    }
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParameterType {
    /// 32 bits.
    I32,
    /// 64 bits.
    I64,
}

/// One function's name and type. The result is an `i32` error number, except that `proc_exit` has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// Its parameters.
    pub parameters: &'static [(&'static str, ParameterType)],
    /// Whether it returns.
    pub returns: Returns,
    /// Whether it may wait for time, or for somebody outside of the guest. Then it holds no thread in a call that can wait.
    pub may_wait: bool,
}

/// Whether a function returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    /// An error number, zero for success.
    Errno,
    /// It does not.
    Never,
}

/// What every function gives: the one place where a result becomes an error number.
pub trait Outcome {
    /// The error number, zero for success.
    ///
    /// # Errors
    /// The guest has ended itself.
    fn outcome(self) -> Result<i32, Exit>;
}

impl Outcome for Result<(), Errno> {
    fn outcome(self) -> Result<i32, Exit> {
        Ok(self.err().map_or(0, Errno::number))
    }
}

impl Outcome for Exit {
    fn outcome(self) -> Result<i32, Exit> {
        Err(self)
    }
}

/// A WebAssembly value as a parameter of a function here. All bits are kept; what they mean is checked later.
pub trait FromWasm<T> {
    /// The parameter with these bits.
    fn from_wasm(value: T) -> Self;
}

impl FromWasm<i32> for u32 {
    fn from_wasm(value: i32) -> u32 {
        value.cast_unsigned()
    }
}

impl FromWasm<i32> for Fd {
    fn from_wasm(value: i32) -> Fd {
        Fd(value.cast_unsigned())
    }
}

impl FromWasm<i32> for Pointer {
    fn from_wasm(value: i32) -> Pointer {
        Pointer(value.cast_unsigned())
    }
}

impl FromWasm<i64> for u64 {
    fn from_wasm(value: i64) -> u64 {
        value.cast_unsigned()
    }
}

impl FromWasm<i64> for i64 {
    fn from_wasm(value: i64) -> i64 {
        value
    }
}

macro_rules! list {
    ($([$module:ident] $name:ident($($parameter:ident: $type:ident),*) -> $returns:ident;)*) => {
        &[$(Function {
            name: stringify!($name),
            parameters: &[$((stringify!($parameter), list!(@type $type))),*],
            returns: list!(@returns $returns),
            may_wait: list!(@waits $returns),
        }),*]
    };
    (@type i32) => { ParameterType::I32 };
    (@type i64) => { ParameterType::I64 };
    (@returns errno) => { Returns::Errno };
    (@returns waits) => { Returns::Errno };
    (@returns never) => { Returns::Never };
    (@waits waits) => { true };
    (@waits $returns:ident) => { false };
}

/// Every function of a version.
#[must_use]
pub fn functions(version: Version) -> &'static [Function] {
    match version {
        Version::Preview1 => for_each_function!(list),
        Version::Unstable => for_each_unstable_function!(list),
    }
}

/// Calls a function by its name, with parameters as 64-bit slots; missing ones are zero. Whatever waits holds the thread.
///
/// Returns nothing if there is no such function, otherwise the error number (zero for success) or the guest's exit.
pub fn call(
    version: Version,
    name: &str,
    cx: &mut Context,
    memory: &mut GuestMemory<'_>,
    parameters: &[u64],
) -> Option<Result<i32, Exit>> {
    let mut slots = parameters.iter().copied();
    macro_rules! dispatch {
        ($([$module:ident] $name:ident($($parameter:ident: $type:ident),*) -> $returns:ident;)*) => {
            match name {
                $(stringify!($name) => {
                    $(let $parameter = FromWasm::from_wasm(slots.next().unwrap_or(0) as $type);)*
                    Some(dispatch!(@run $returns super::$module::$name(cx, memory, $($parameter),*)).outcome())
                })*
                _ => None,
            }
        };
        (@run waits $call:expr) => { hold_thread($call) };
        (@run $returns:ident $call:expr) => { $call };
    }
    match version {
        Version::Preview1 => for_each_function!(dispatch),
        Version::Unstable => for_each_unstable_function!(dispatch),
    }
}
