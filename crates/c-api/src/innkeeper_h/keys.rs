//! Keys: what a program of WASI may reach. Without any it has clocks and randomness only.

use std::ffi::c_void;
use std::io::{self, Read, Write};

use innkeeper::Result;
use innkeeper::wasi::keys::{
    Access, Capture, Clocks, DirKey, FileMode, Keys, Random, Sink, Source, StdinKey, StdoutKey,
};

use crate::boundary::{Env, Finalizer, In, InOut, Out, Own, Text, c_functions, usage};
use crate::vector::Vector;

/// `innkeeper_keys_t`.
pub struct KeysBox(pub(crate) Keys);

/// `innkeeper_capture_t`.
pub struct CaptureBox(Capture);

/// `innkeeper_read_callback_t`: how many bytes it has put there, or less than zero.
type ReadCallback = extern "C" fn(*mut c_void, *mut u8, usize) -> isize;
/// `innkeeper_write_callback_t`: whether it has taken them.
type WriteCallback = extern "C" fn(*mut c_void, *const u8, usize) -> bool;

struct Reader(ReadCallback, Env);

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0(self.1.pointer(), buffer.as_mut_ptr(), buffer.len());
        usize::try_from(count).map(|count| count.min(buffer.len())).map_err(|_| failed())
    }
}

struct Writer(WriteCallback, Env);

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let is_taken = bytes.is_empty() || self.0(self.1.pointer(), bytes.as_ptr(), bytes.len());
        if is_taken { Ok(bytes.len()) } else { Err(failed()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn failed() -> io::Error {
    io::Error::from(io::ErrorKind::BrokenPipe)
}

fn keys(of: &InOut<KeysBox>) -> Result<&mut Keys> {
    Ok(&mut of.get("the keys")?.0)
}

/// Standard output or standard error, by `innkeeper_stream_t`.
fn output(of: &InOut<KeysBox>, stream: u8) -> Result<&mut StdoutKey> {
    let keys = keys(of)?;
    match stream {
        1 => Ok(&mut keys.stdout),
        2 => Ok(&mut keys.stderr),
        _ => Err(usage(format!("there is no output stream {stream}"))),
    }
}

c_functions! {
    fn innkeeper_keys_new() -> Own<KeysBox> {
        Ok(Own::new(KeysBox(Keys::default())))
    }

    fn innkeeper_keys_delete(of: Own<KeysBox>) {
        drop(of.take());
        Ok(())
    }

    fn innkeeper_keys_argument(of: InOut<KeysBox>, argument: Text) -> bool {
        keys(&of)?.arguments.push(argument.get("the argument")?.to_owned());
        Ok(true)
    }

    fn innkeeper_keys_variable(of: InOut<KeysBox>, name: Text, value: Text) -> bool {
        let variable = (name.get("the variable's name")?.to_owned(), value.get("its value")?.to_owned());
        keys(&of)?.environment.push(variable);
        Ok(true)
    }

    fn innkeeper_keys_directory(of: InOut<KeysBox>, host: Text, guest: Text, access: u8) -> bool {
        let access = match access {
            0 => Access::ReadOnly,
            1 => Access::ReadWrite,
            2 => Access::CopyOnWrite,
            _ => return Err(usage(format!("there is no access {access} to directories"))),
        };
        let key = DirKey::new(host.get("the directory")?, guest.get("the guest's name for it")?, access);
        keys(&of)?.directories.push(key);
        Ok(true)
    }

    fn innkeeper_keys_temporary_directory(of: InOut<KeysBox>, guest: Text, limit_bytes: u64) -> bool {
        let key = DirKey::temporary(guest.get("the guest's name for the directory")?, limit_bytes);
        keys(&of)?.directories.push(key);
        Ok(true)
    }

    fn innkeeper_keys_temporary_file(of: InOut<KeysBox>, path: Text, contents: In<Vector<u8>>) -> bool {
        let contents = contents.get("what is in the file")?.as_slice();
        let path = path.get("the file's path")?;
        let key = keys(&of)?.directories.last_mut();
        let key = key.filter(|key| matches!(key.access, Access::Temporary { .. }));
        let key = key.ok_or_else(|| usage("the last directory that was granted is none in memory"))?;
        let nothing = DirKey::temporary("", 0);
        *key = std::mem::replace(key, nothing).with_file(path, contents);
        Ok(true)
    }

    fn innkeeper_keys_inherit_stdio(of: InOut<KeysBox>) {
        let keys = keys(&of)?;
        keys.stdin = StdinKey::Inherit;
        (keys.stdout, keys.stderr) = (StdoutKey::Inherit, StdoutKey::Inherit);
        Ok(())
    }

    fn innkeeper_keys_stdin_bytes(of: InOut<KeysBox>, bytes: In<Vector<u8>>) {
        keys(&of)?.stdin = StdinKey::Bytes(bytes.get("the input")?.as_slice().to_vec());
        Ok(())
    }

    fn innkeeper_keys_stdin_callback(
        of: InOut<KeysBox>,
        read: Option<ReadCallback>,
        env: *mut c_void,
        finalizer: Option<Finalizer>,
    ) {
        let env = Env::new(env, finalizer);
        let read = read.ok_or_else(|| usage("the function to call is missing"))?;
        keys(&of)?.stdin = StdinKey::Source(Source::new(Reader(read, env)));
        Ok(())
    }

    fn innkeeper_keys_output_callback(
        of: InOut<KeysBox>,
        stream: u8,
        write: Option<WriteCallback>,
        env: *mut c_void,
        finalizer: Option<Finalizer>,
    ) {
        let env = Env::new(env, finalizer);
        let write = write.ok_or_else(|| usage("the function to call is missing"))?;
        *output(&of, stream)? = StdoutKey::Sink(Sink::new(Writer(write, env)));
        Ok(())
    }

    fn innkeeper_keys_output_file(of: InOut<KeysBox>, stream: u8, path: Text, appends: bool) -> bool {
        let mode = if appends { FileMode::Append } else { FileMode::Truncate };
        *output(&of, stream)? = StdoutKey::File { path: path.get("the file's name")?.into(), mode };
        Ok(true)
    }

    fn innkeeper_keys_capture_output(of: InOut<KeysBox>, stream: u8, capacity: usize) -> Own<CaptureBox> {
        let capture = Capture::new(capacity);
        *output(&of, stream)? = StdoutKey::Capture(capture.clone());
        Ok(Own::new(CaptureBox(capture)))
    }

    fn innkeeper_keys_deterministic(of: InOut<KeysBox>, seed: u64) {
        let keys = keys(&of)?;
        (keys.clocks, keys.random) = (Clocks::stepped(), Random::Seeded(seed));
        Ok(())
    }

    fn innkeeper_capture_contents(capture: In<CaptureBox>, out: Out<Vector<u8>>) {
        out.set(Vector::EMPTY);
        out.set(Vector::of_bytes(&capture.get("the capture")?.0.contents())?);
        Ok(())
    }

    fn innkeeper_capture_delete(capture: Own<CaptureBox>) {
        drop(capture.take());
        Ok(())
    }
}
