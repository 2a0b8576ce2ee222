//! A store that sees which tier its guest is in, and can tell another thread.

use std::mem::MaybeUninit;
use std::path::PathBuf;
use std::sync::mpsc::Sender;

use innkeeper::wasi::keys::Keys;
use innkeeper::wasi::p1::{self, Context};
use innkeeper::wasi::stop::Stopper;
use innkeeper::{Caller, Config, Engine, Error, Limits, Linker, Store};

use crate::setting::{Executes, Setting};

/// Bytes that functions of the host use of the stack they are called on: less than the headroom that they are promised, and more than would be
/// there without.
const HOST_FRAME_BYTES: usize = Limits::HOST_HEADROOM_BYTES - (8 << 10);

/// Each of the stacks that guests may use up. Small, so that tests are quick.
pub(crate) const STACK_BYTES: usize = 256 << 10;

pub(crate) struct House {
    pub(crate) wasi: Context,
    pub(crate) watched: Watched,
}

/// What is known of the guest from its calls of the host.
pub(crate) struct Watched {
    setting: Setting,
    pub(crate) calls: u32,
    /// What executed the caller, the first time and the last.
    pub(crate) seen: Option<(Executes, Executes)>,
    /// Whether it ever was executed as it will be in the end.
    pub(crate) has_settled: bool,
    /// Whom to tell then.
    pub(crate) settled: Option<Sender<()>>,
}

impl Watched {
    fn note(&mut self, is_in_machine_code: bool) {
        let now = if is_in_machine_code { Executes::MachineCode } else { Executes::Interpreter };
        self.calls += 1;
        self.seen = Some((self.seen.map_or(now, |(first, _)| first), now));
        if self.calls > 3 && self.seen == Some(self.setting.expected()) {
            self.has_settled = true;
            let _ = self.settled.take().map(|settled| settled.send(()));
        }
    }
}

/// A configuration with small stacks.
pub(crate) fn config() -> Config {
    let mut config = Config::default();
    config.limits.guest_stack_bytes = STACK_BYTES;
    config.limits.native_stack_bytes = STACK_BYTES;
    config
}

/// A store of an engine that was made for `setting`. Its guest's waits end when the stopper says so.
pub(crate) fn store(engine: &Engine, setting: Setting, keys: &Keys) -> (Store<House>, Stopper) {
    let wasi = Context::new(keys).unwrap();
    let stopper = Stopper::new().unwrap();
    wasi.host().set_interrupt(stopper.interrupt());
    let watched = Watched { setting, calls: 0, seen: None, has_settled: false, settled: None };
    let store = Store::new(engine, House { wasi, watched }).unwrap();
    stopper.add_store(store.interrupt_handle());
    (store, stopper)
}

/// What guests of these tests import: WASI, `here`, which notes the caller and says whether it is settled, `work`, which needs stack, and `call`, which calls
/// the caller's export `called`.
pub(crate) fn linker(engine: &Engine) -> Linker<House> {
    let mut linker = Linker::new(engine);
    p1::add_to_linker(&mut linker, |house: &mut House| &mut house.wasi).unwrap();
    linker
        .func_wrap("host", "here", |mut caller: Caller<'_, House>| -> i32 {
            let is_in_machine_code = caller.is_in_machine_code();
            let watched = &mut caller.data_mut().watched;
            watched.note(is_in_machine_code);
            watched.has_settled.into()
        })
        .unwrap();
    linker
        .func_wrap("host", "work", || {
            // A frame of more than a page is touched page by page, whatever is in it.
            std::hint::black_box(&MaybeUninit::<[u8; HOST_FRAME_BYTES]>::uninit());
        })
        .unwrap();
    linker
        .func_wrap("host", "call", |mut caller: Caller<'_, House>| -> Result<(), Error> {
            let called = caller.get_export("called").unwrap().into_func().unwrap();
            called.call(&mut caller, &[], &mut [])
        })
        .unwrap();
    linker
}

/// The file that says what the current thread does.
pub(crate) fn stat_of_this_thread() -> PathBuf {
    PathBuf::from("/proc").join(std::fs::read_link("/proc/thread-self").unwrap()).join("stat")
}

/// Whether a thread of this process waits for something.
pub(crate) fn is_asleep(stat: &PathBuf) -> bool {
    let stat = std::fs::read_to_string(stat).unwrap();
    // Its name, which is in parentheses, may have anything in it.
    stat.rsplit_once(") ").unwrap().1.starts_with('S')
}

pub(crate) fn binary(text: &str) -> Vec<u8> {
    innkeeper::to_binary(text.as_bytes()).unwrap().into_owned()
}
