//! L4: what never ends is stopped, by another thread and at a deadline, and its store is as good as before.

use std::io::{PipeReader, PipeWriter, Write as _, pipe};
use std::os::fd::AsRawFd as _;
use std::sync::mpsc::channel;
use std::time::Duration;

use innkeeper::wasi::keys::{Keys, StdinKey, WasiLimits};
use innkeeper::wasi::p1::Errno;
use innkeeper::wasi::stop::{StopReason, Stopper, Watch};
use innkeeper::{Error, Instance, Linker, Store, Trap};

use crate::guests::{Ends, GUESTS, Guest};
use crate::house::{self, House, binary};
use crate::reach::{self, Reach};
use crate::setting::{Prepared, Setting};

#[test]
fn l4_in_the_interpreter() {
    every_guest_is_stopped(Setting::Interpreter);
}

#[test]
fn l4_in_compiled_code() {
    every_guest_is_stopped(Setting::Compiled);
}

#[test]
fn l4_in_loops_and_functions_that_get_hot() {
    every_guest_is_stopped(Setting::TieringUpAtOnce);
}

#[test]
fn l4_in_loops_that_get_hot() {
    every_guest_is_stopped(Setting::LoopsAtOnce);
}

#[test]
fn l4_while_code_is_compiled_in_the_background() {
    every_guest_is_stopped(Setting::TieringUpInBackground);
}

#[test]
fn l4_in_code_from_the_cache() {
    every_guest_is_stopped(Setting::Cached);
}

fn every_guest_is_stopped(setting: Setting) {
    for guest in GUESTS {
        Room::new(setting, guest).interrupt();
        let mut after = Duration::from_millis(2);
        // How long it takes until a guest has seen what it is to be stopped in is the machine's business.
        while !Room::new(setting, guest).stop_at_a_deadline(after) {
            after *= 2;
        }
    }
}

/// One guest in an engine and a store of its own.
struct Room {
    case: String,
    guest: &'static Guest,
    setting: Setting,
    prepared: Prepared,
    linker: Linker<House>,
    store: Store<House>,
    stopper: Stopper,
    reach: Reach,
    /// Standard input, to which nobody writes.
    input: (PipeReader, PipeWriter),
}

impl Room {
    fn new(setting: Setting, guest: &'static Guest) -> Room {
        let prepared = setting.prepare(house::config(), &[binary(reach::TEXT), binary(&guest.text())]);
        let input = pipe().unwrap();
        let path = format!("/proc/self/fd/{}", input.0.as_raw_fd()).into();
        let keys = Keys::builder().stdin(StdinKey::File(path)).build();
        let (mut store, stopper) = house::store(&prepared.engine, setting, &keys);
        let linker = house::linker(&prepared.engine);
        let reach = Reach::new(&linker, &mut store, &prepared.modules[0]);
        let case = format!("{}, {setting:?}", guest.name);
        Room { case, guest, setting, prepared, linker, store, stopper, reach, input }
    }

    fn interrupt(mut self) {
        let (settled, is_settled) = channel();
        self.store.data_mut().watched.settled = Some(settled);
        let (ends, stat) = (self.guest.ends, house::stat_of_this_thread());
        let (handle, stopper) = (self.store.interrupt_handle(), self.stopper.clone());
        let interrupter = std::thread::spawn(move || {
            is_settled.recv().unwrap();
            while ends != Ends::Computing && !house::is_asleep(&stat) {
                std::thread::yield_now();
            }
            match ends {
                Ends::Computing | Ends::Waiting => handle.interrupt(),
                Ends::Blocked => stopper.stop(StopReason::Interrupt),
            }
        });
        let (instance, error) = self.run();
        assert_eq!(error.trap(), Some(Trap::Interrupted), "{}: {error}", self.case);
        interrupter.join().unwrap();
        self.check_what_is_left(instance);
    }

    /// False where it was stopped before it had shown what it does.
    fn stop_at_a_deadline(mut self, after: Duration) -> bool {
        let watch = self.watch(after);
        let (instance, error) = self.run();
        assert_eq!(error.trap(), Some(Trap::DeadlineExceeded), "{}: {error}", self.case);
        drop(watch);
        self.store.set_deadline(None).unwrap();
        let is_settled = self.store.data().watched.has_settled;
        self.check_what_is_left(instance);
        is_settled
    }

    fn watch(&mut self, after: Duration) -> Option<Watch> {
        if self.guest.ends != Ends::Blocked {
            self.store.set_deadline(Some(after)).unwrap();
            return None;
        }
        let mut limits = WasiLimits::default();
        limits.wall_time = Some(after);
        self.stopper.watch(&limits).unwrap()
    }

    /// The instance, unless making it never ended, and why it was stopped.
    fn run(&mut self) -> (Option<Instance>, Error) {
        let instance = match self.linker.instantiate(&mut self.store, &self.prepared.modules[1]) {
            Ok(instance) => instance,
            Err(error) => return (None, error),
        };
        let run = instance.get_typed_func::<(), ()>(&mut self.store, "run").unwrap();
        (Some(instance), run.call(&mut self.store, ()).unwrap_err())
    }

    fn check_what_is_left(mut self, instance: Option<Instance>) {
        self.reach.check(&mut self.store, self.setting.is_repeatable(), &self.case);
        self.input.1.write_all(b"!").unwrap();
        if let Some(instance) = instance {
            let check = instance.get_typed_func::<(), i32>(&mut self.store, "check").unwrap();
            let mut outcome = check.call(&mut self.store, ()).unwrap();
            // The system's waits stay interrupted until somebody says otherwise.
            while outcome == Errno::Intr as i32 {
                self.stopper.interrupt().clear();
                outcome = check.call(&mut self.store, ()).unwrap();
            }
            assert_eq!(outcome, 0, "{}", self.case);
        }
        if self.store.data().watched.has_settled {
            self.prepared.check_statistics(&self.case);
        }
    }
}
