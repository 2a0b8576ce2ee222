//! Tasks by the million, started, cancelled, woken and forgotten at random: what the store holds of them, and the process, stays as it is.

use super::guest::{Guest, Tasks};
use super::model::{Behaviour, CALLEE, CALLER};
use crate::Random;
use innkeeper::component::Val;

/// Tasks that are under way at a time.
const MOST_UNDER_WAY: usize = 200;

/// What is held at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Tasks that were started until then.
    pub tasks: u64,
    /// What the store's budget has given out.
    pub budget_bytes: u64,
    /// What of the process is resident; 0 where the system does not tell.
    pub resident_bytes: u64,
}

/// One that is under way: its handle, where it has one, and the set that it waits at.
struct UnderWay {
    handle: Option<u32>,
    set: u32,
}

impl Tasks {
    /// Starts so many tasks in one store of each tier, and tells from time to time what is held.
    ///
    /// # Errors
    /// Where a call traps.
    pub fn soak(&self, tasks: u64, seed: u64, mut tell: impl FnMut(usize, Held)) -> Result<(), String> {
        for (tier, (engine, component)) in self.ready().iter().enumerate() {
            let mut soak = Soak {
                guest: Guest::new(engine, component),
                random: Random::new(seed),
                under_way: Vec::new(),
                sets: Vec::new(),
            };
            soak.run(tasks, |held| tell(tier, held)).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

struct Soak {
    guest: Guest,
    random: Random,
    under_way: Vec<UnderWay>,
    /// Sets of the callee's that nobody waits at.
    sets: Vec<u32>,
}

impl Soak {
    fn run(&mut self, tasks: u64, mut tell: impl FnMut(Held)) -> Result<(), innkeeper::Error> {
        let every = (tasks / 8).max(1);
        for started in 0..tasks {
            if started % every == 0 {
                tell(self.held(started));
            }
            self.start()?;
            match self.random.draw() % 8 {
                0..=2 => self.cancel()?,
                3..=4 => self.wake()?,
                _ => {}
            }
            if self.random.draw().is_multiple_of(16) || self.under_way.len() >= MOST_UNDER_WAY {
                self.guest.turn()?;
            }
            while self.under_way.len() >= MOST_UNDER_WAY {
                self.wake()?;
            }
        }
        while !self.under_way.is_empty() {
            self.wake()?;
        }
        tell(self.held(tasks));
        Ok(())
    }

    fn held(&self, tasks: u64) -> Held {
        let pages = std::fs::read_to_string("/proc/self/statm").ok();
        let pages = pages.and_then(|text| text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()));
        Held {
            tasks,
            budget_bytes: self.guest.store.budget().used_bytes(),
            resident_bytes: pages.unwrap_or(0) * 4096,
        }
    }

    fn start(&mut self) -> Result<(), innkeeper::Error> {
        let set = match self.sets.pop() {
            Some(set) => set,
            None => self.guest.call(CALLEE, "set-new", &[])? as u32,
        };
        let turns = self.random.draw() % 3;
        let behaviour = self.random.pick(&[
            Behaviour::Returns,
            Behaviour::Obeys,
            Behaviour::ReturnsAnyway,
            Behaviour::Ignores,
            Behaviour::Yields(turns as u32),
            Behaviour::GoesOn,
        ]);
        let status = self.guest.start(behaviour, set)?;
        let handle = (status >> 4 != 0).then_some((status >> 4) as u32);
        match (handle, behaviour) {
            (None, Behaviour::Returns) => self.sets.push(set),
            _ => self.under_way.push(UnderWay { handle, set }),
        }
        Ok(())
    }

    /// Cancels one that can be.
    fn cancel(&mut self) -> Result<(), innkeeper::Error> {
        if self.under_way.is_empty() {
            return Ok(());
        }
        let index = self.random.draw() as usize % self.under_way.len();
        let Some(handle) = self.under_way[index].handle else { return Ok(()) };
        let status = self.guest.call(CALLER, "subtask-cancel", &[Val::U32(handle)])?;
        if status == u64::from(u32::MAX) {
            // It goes on: it is woken, and its end is told at a set.
            self.end(index)?;
            self.guest.turn()?;
            return self.forget(handle);
        }
        let ended = self.under_way.swap_remove(index);
        self.sets.push(ended.set);
        self.guest.call(CALLER, "subtask-drop", &[Val::U32(handle)]).map(drop)
    }

    /// Wakes one, which ends.
    fn wake(&mut self) -> Result<(), innkeeper::Error> {
        if self.under_way.is_empty() {
            return Ok(());
        }
        let index = self.random.draw() as usize % self.under_way.len();
        let handle = self.under_way[index].handle;
        self.end(index)?;
        self.guest.turn()?;
        handle.map_or(Ok(()), |handle| self.forget(handle))
    }

    /// Puts an event into the set that one waits at, has it run, and takes what has brought the event away.
    fn end(&mut self, index: usize) -> Result<(), innkeeper::Error> {
        let ended = self.under_way.swap_remove(index);
        let both = self.guest.call(CALLEE, "s-new", &[])?;
        let (readable, writable) = (both as u32, (both >> 32) as u32);
        let read = [Val::U32(readable), Val::U32(64), Val::U32(1)];
        self.guest.call(CALLEE, "s-read", &read)?;
        self.guest.call(CALLEE, "join", &[Val::U32(readable), Val::U32(ended.set)])?;
        self.guest.call(CALLEE, "s-drop-writable", &[Val::U32(writable)])?;
        self.guest.turn()?;
        // One that has only let others have turns has not looked.
        self.guest.call(CALLEE, "set-poll", &[Val::U32(ended.set)])?;
        self.guest.call(CALLEE, "s-drop-readable", &[Val::U32(readable)])?;
        self.sets.push(ended.set);
        Ok(())
    }

    /// Takes the news that a call has ended, and drops its handle.
    fn forget(&mut self, handle: u32) -> Result<(), innkeeper::Error> {
        let set = self.guest.call(CALLER, "set-new", &[])? as u32;
        self.guest.call(CALLER, "join", &[Val::U32(handle), Val::U32(set)])?;
        self.guest.call(CALLER, "set-poll", &[Val::U32(set)])?;
        self.guest.call(CALLER, "subtask-drop", &[Val::U32(handle)])?;
        self.guest.call(CALLER, "set-drop", &[Val::U32(set)]).map(drop)
    }
}
