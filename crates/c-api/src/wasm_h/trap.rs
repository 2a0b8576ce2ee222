//! Traps and their frames.

use innkeeper::Error;

use crate::boundary::{In, Lent, Out, Own, c_functions, usage};
use crate::object::{Object, Ref};
use crate::problem::{Frame, Problem, trap};
use crate::vector::{Vector, vector_functions};
use crate::wasm_h::engine::StoreBox;

pub(crate) fn problem(of: &Ref) -> innkeeper::Result<&std::sync::Arc<Problem>> {
    match &of.object {
        Object::Trap(problem) => Ok(problem),
        _ => Err(usage("the object is no trap")),
    }
}

c_functions! {
    fn wasm_trap_new(store: In<StoreBox>, message: In<Vector<u8>>) -> Own<Ref> {
        // Never null, which a function of the host that gives it would mean success with.
        let message = message.option().map(Vector::text).unwrap_or_default();
        let message = if message.is_empty() { String::from("a trap without a message") } else { message };
        Ok(trap(Problem::new(Error::msg(message), None), store.option().map(|StoreBox(store)| store)))
    }

    fn wasm_trap_message(of: In<Ref>, out: Out<Vector<u8>>) {
        out.set(Vector::EMPTY);
        let mut message = problem(of.get("the trap")?)?.error.to_string().into_bytes();
        message.push(0);
        out.set(Vector::of_bytes(&message)?);
        Ok(())
    }

    fn wasm_trap_origin(of: In<Ref>) -> Own<Frame> {
        let of = of.get("the trap")?;
        let frames = Frame::all(problem(of)?, of.store.as_ref());
        Ok(Own::option(frames.into_iter().next()))
    }

    fn wasm_trap_trace(of: In<Ref>, out: Out<Vector<Own<Frame>>>) {
        out.set(Vector::EMPTY);
        let of = of.get("the trap")?;
        let frames = Frame::all(problem(of)?, of.store.as_ref());
        out.set(Vector::of(frames.into_iter().map(Own::new))?);
        Ok(())
    }

    fn wasm_frame_delete(frame: Own<Frame>) {
        drop(frame.take());
        Ok(())
    }

    fn wasm_frame_copy(frame: In<Frame>) -> Own<Frame> {
        Ok(Own::new(frame.get("the frame")?.clone()))
    }

    fn wasm_frame_instance(frame: In<Frame>) -> Lent<Ref> {
        Ok(frame.get("the frame")?.instance())
    }

    fn wasm_frame_func_index(frame: In<Frame>) -> u32 {
        Ok(frame.get("the frame")?.info.func.0)
    }

    fn wasm_frame_func_offset(frame: In<Frame>) -> usize {
        let info = &frame.get("the frame")?.info;
        let start = info.body_start_bytes().unwrap_or(0);
        Ok(info.offset_bytes.map_or(0, |offset| offset.saturating_sub(start)))
    }

    fn wasm_frame_module_offset(frame: In<Frame>) -> usize {
        Ok(frame.get("the frame")?.info.offset_bytes.unwrap_or(0))
    }
}

vector_functions! {
    Own<Frame>: wasm_frame_vec_new_empty wasm_frame_vec_new_uninitialized wasm_frame_vec_new wasm_frame_vec_copy wasm_frame_vec_delete;
}
