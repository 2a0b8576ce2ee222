//! `inn run --invoke` of a component: makes an instance, calls in it what was asked for, and tells what came of it.
//!
//! What the component imports and nobody provides fails when it is called, and not before: most functions of a library need nothing.

use std::process::ExitCode;

use innkeeper::Store;
use innkeeper::component::Component;
use innkeeper::wasi::keys::Keys;
use innkeeper::wasi::p2::Context;

use crate::call::{Call, Called, Session, exported};
use crate::component::{Linked, is_trap};
use crate::deadline::Deadline;
use crate::ended::{TRAP_EXIT_CODE, tell_of_limit};
use crate::flags::RunArgs;
use crate::guest::Execution;
use crate::input::Input;
use crate::report::{self, Problem};
use crate::signals;
use crate::wording::Wording;

/// Makes the calls of `--invoke` in an instance of the component.
pub(crate) fn run(
    args: &RunArgs,
    input: &Input,
    execution: Execution,
    (keys, deadline): (&Keys, &Deadline),
) -> Result<ExitCode, Problem> {
    let calls = Call::all(&args.invoke, args.guest_args())?;
    let wording = Wording::of(args, keys);
    let engine = innkeeper::engine_cached(execution.config, execution.tiers, execution.cache);
    let component = Component::new(&engine, input.bytes.as_slice()).map_err(|error| input.problem(&error))?;
    let context = Context::new(keys).map_err(|error| wording.cannot_be_granted(&error))?;
    let stopper = deadline.start_guest();
    context.host().set_interrupt(stopper.interrupt());
    let signal = signals::stop_on_signals(stopper)?;
    let budget = context.host().budget().clone();
    engine.charge_compiling_to(&budget);
    let linked = Linked::new(&engine, &component).map_err(|error| input.problem(&error))?;
    let mut store = Store::with_budget(&engine, context, &budget).map_err(|error| input.problem(&error))?;
    stopper.add_store(store.interrupt_handle());
    if let Some(fuel) = args.keys.limits.fuel {
        store.set_fuel(fuel).map_err(|error| input.problem(&error))?;
    }
    let ended = make_calls(&mut store, &linked, &input.name, &calls);
    let code = match ended {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(Called::Problem(problem)) => Err(problem),
        Err(Called::Failed { error, .. }) if signal.exit_code().is_some() && is_trap(&error) => {
            Ok(ExitCode::from(signal.exit_code().unwrap_or(TRAP_EXIT_CODE)))
        }
        Err(Called::Failed { error, .. }) if is_trap(&error) => {
            report::stopped(&error);
            tell_of_limit(error.trap(), deadline, (&keys.limits, args.keys.limits.fuel), &wording);
            Ok(ExitCode::from(TRAP_EXIT_CODE))
        }
        Err(Called::Failed { call, error }) => Err(Problem::new(call, error)),
    };
    if stopper.stopped().is_some() {
        // Whoever stopped it does not wait until all that it made has been taken apart; the process ends soon.
        std::mem::forget(store);
    }
    code
}

fn make_calls(
    store: &mut Store<Context>,
    linked: &Linked<'_>,
    name: &str,
    calls: &[Call<'_>],
) -> Result<(), Called> {
    let failed = |error| Called::Failed { call: name.to_owned(), error };
    let instance = linked.linker.instantiate(&mut *store, linked.component).map_err(failed)?;
    let mut session = Session::new(instance, exported(linked.component));
    for call in calls {
        if let Some(result) = session.call(&mut *store, call)? {
            report::output(&(result + "\n"))?;
        }
    }
    session.finish(store).map_err(failed)
}
