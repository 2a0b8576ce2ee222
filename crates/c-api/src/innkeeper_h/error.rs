//! Errors: what went wrong, why, where in the guest, and how it exited.

use std::sync::Arc;

use innkeeper::{Error, ErrorKind, Result, wasi};

use crate::boundary::{Failed, In, Out, Own, c_functions, take_last_error};
use crate::object::Ref;
use crate::problem::{Frame, Problem, trap};
use crate::store::StoreRef;
use crate::vector::Vector;
use crate::wasm_h::engine::StoreBox;
use crate::wasm_h::trap::problem;

/// `innkeeper_error_t`.
pub struct ErrorBox {
    pub(crate) problem: Arc<Problem>,
    store: Option<StoreRef>,
}

impl ErrorBox {
    pub(crate) fn new(problem: Arc<Problem>, store: Option<&StoreRef>) -> Own<ErrorBox> {
        Own::new(ErrorBox { problem, store: store.cloned() })
    }

    fn of_error(error: Error) -> Own<ErrorBox> {
        ErrorBox::new(Problem::new(error, None), None)
    }

    fn error(&self) -> &Error {
        &self.problem.error
    }

    /// What caused it, outermost first, without the error itself.
    fn causes(&self) -> Vec<String> {
        let is_in_chain = matches!(self.error().kind(), ErrorKind::Host(_) | ErrorKind::Trap(_));
        self.error().chain().skip(usize::from(is_in_chain)).map(ToString::to_string).collect()
    }
}

/// What a function gives that returns its error: null where it has succeeded.
#[repr(transparent)]
pub struct Told(Own<ErrorBox>);

impl Failed for Told {
    fn failed(error: Error) -> Told {
        Told(ErrorBox::of_error(error))
    }
}

impl Told {
    pub(crate) const DONE: Told = Told(Own::NULL);

    /// Of a call in `store`.
    pub(crate) fn of(store: &StoreRef, done: std::result::Result<(), Arc<Problem>>) -> Told {
        Told(match done {
            Ok(()) => Own::NULL,
            Err(problem) => ErrorBox::new(problem, Some(store)),
        })
    }
}

pub(super) fn text(text: &str) -> Result<Vector<u8>> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.push(0);
    Vector::of_bytes(&bytes)
}

/// The numbers of `innkeeper_error_kind_t`.
fn kind(kind: &ErrorKind) -> u8 {
    match kind {
        ErrorKind::Malformed { .. } | ErrorKind::MalformedComponent { .. } | ErrorKind::Text(_) => 1,
        ErrorKind::Unsupported(_) => 2,
        ErrorKind::Link(_) => 3,
        ErrorKind::Limit(_) => 4,
        ErrorKind::Trap(_) => 5,
        ErrorKind::Exception(_) => 6,
        ErrorKind::Host(_) => 7,
        ErrorKind::Precompiled(_) => 8,
        ErrorKind::Os(_) => 9,
        _ => 0,
    }
}

c_functions! {
    fn innkeeper_last_error() -> Own<ErrorBox> {
        Ok(take_last_error().map_or(Own::NULL, ErrorBox::of_error))
    }

    fn innkeeper_trap_error(trap: In<Ref>) -> Own<ErrorBox> {
        let trap = trap.get("the trap")?;
        Ok(ErrorBox::new(Arc::clone(problem(trap)?), trap.store.as_ref()))
    }

    fn innkeeper_error_delete(error: Own<ErrorBox>) {
        drop(error.take());
        Ok(())
    }

    fn innkeeper_error_kind(error: In<ErrorBox>) -> u8 {
        let error = error.get("the error")?.error();
        Ok(if wasi::exit_code(error).is_some() { 10 } else { kind(error.kind()) })
    }

    fn innkeeper_error_message(error: In<ErrorBox>, out: Out<Vector<u8>>) {
        out.set(Vector::EMPTY);
        out.set(text(&error.get("the error")?.error().to_string())?);
        Ok(())
    }

    fn innkeeper_error_report(error: In<ErrorBox>, out: Out<Vector<u8>>) {
        out.set(Vector::EMPTY);
        out.set(text(&format!("{:?}", error.get("the error")?.error()))?);
        Ok(())
    }

    fn innkeeper_error_cause_count(error: In<ErrorBox>) -> usize {
        Ok(error.get("the error")?.causes().len())
    }

    fn innkeeper_error_cause(error: In<ErrorBox>, index: usize, out: Out<Vector<u8>>) -> bool {
        out.set(Vector::EMPTY);
        let causes = error.get("the error")?.causes();
        let Some(cause) = causes.get(index) else { return Ok(false) };
        out.set(text(cause)?);
        Ok(true)
    }

    fn innkeeper_error_exit_status(error: In<ErrorBox>, out: Out<i32>) -> bool {
        let status = wasi::exit_code(error.get("the error")?.error());
        if let Some(status) = status {
            out.set(status);
        }
        Ok(status.is_some())
    }

    fn innkeeper_trap_new_exit(store: In<StoreBox>, status: i32) -> Own<Ref> {
        let StoreBox(store) = store.get("the store")?;
        let exit = Error::from(wasi::Exit(status.cast_unsigned()));
        Ok(trap(Problem::new(exit, None), Some(store)))
    }

    fn innkeeper_error_trap_code(error: In<ErrorBox>) -> u8 {
        Ok(error.get("the error")?.error().downcast_ref().map_or(0, trap_code))
    }

    fn innkeeper_error_frames(error: In<ErrorBox>, out: Out<Vector<Own<Frame>>>) {
        out.set(Vector::EMPTY);
        let error = error.get("the error")?;
        let frames = Frame::all(&error.problem, error.store.as_ref());
        out.set(Vector::of(frames.into_iter().map(Own::new))?);
        Ok(())
    }

    fn innkeeper_frame_func_name(frame: In<Frame>, out: Out<Vector<u8>>) -> bool {
        out.set(Vector::EMPTY);
        let name = &frame.get("the frame")?.info.func_name;
        out.set(text(name.as_deref().unwrap_or_default())?);
        Ok(name.is_some())
    }

    fn innkeeper_frame_module_name(frame: In<Frame>, out: Out<Vector<u8>>) -> bool {
        out.set(Vector::EMPTY);
        let name = &frame.get("the frame")?.info.module_name;
        out.set(text(name.as_deref().unwrap_or_default())?);
        Ok(name.is_some())
    }

    fn innkeeper_frame_source(
        frame: In<Frame>,
        index: usize,
        file: Out<Vector<u8>>,
        line: Out<u32>,
        column: Out<u32>,
    ) -> bool {
        file.set(Vector::EMPTY);
        let sources = frame.get("the frame")?.info.sources();
        let Some(source) = sources.get(index) else { return Ok(false) };
        file.set(text(source.file.as_deref().unwrap_or_default())?);
        line.set(source.line.unwrap_or(0));
        column.set(source.column.unwrap_or(0));
        Ok(true)
    }
}

/// The numbers of `innkeeper_trap_code_t`, and the traps that they stand for.
fn trap_code(trap: &innkeeper::Trap) -> u8 {
    use innkeeper::Trap;
    match trap {
        Trap::Unreachable => 1,
        Trap::MemoryOutOfBounds => 2,
        Trap::TableOutOfBounds => 3,
        Trap::UndefinedElement | Trap::UninitializedElement => 4,
        Trap::IndirectCallTypeMismatch => 5,
        Trap::IntegerOverflow => 6,
        Trap::IntegerDivideByZero => 7,
        Trap::InvalidConversionToInteger => 8,
        Trap::CallStackExhausted => 9,
        Trap::Interrupted => 10,
        Trap::DeadlineExceeded => 11,
        Trap::OutOfFuel => 12,
        _ => 255,
    }
}
