//! Tasks and subtasks (`Task`, `Subtask`, `canon_lift`, `canon_lower`, `canon_subtask_cancel`).

use super::{
    BLOCKED, Behaviour, CALLEE, CALLER, CANCELLED_BEFORE_RETURNED, CANCELLED_BEFORE_STARTED, Event, Model,
    Of, Outcome, RETURNED, STARTED, STARTING, Subtask, Task, TaskState, Trapped,
};

impl Model {
    pub(super) fn look_again(&mut self, task: usize) {
        let there = &mut self.tasks[task];
        if !there.is_queued && there.state != TaskState::Over {
            there.is_queued = true;
            self.ready.push_back(task);
        }
    }

    pub(super) fn subtask(&mut self, handle: u32) -> Result<(usize, &mut Subtask), Trapped> {
        let waitable = self.waitable(CALLER, handle)?;
        match &mut self.there(waitable).of {
            Of::Subtask(_) => {}
            Of::End(_) => return Err("WrongHandleKind"),
        }
        let Of::Subtask(subtask) = &mut self.there(waitable).of else { unreachable!() };
        Ok((waitable, subtask))
    }

    pub(super) fn start(&mut self, behaviour: Behaviour, set: u32) -> Outcome {
        let task = self.tasks.len();
        let subtask = Subtask { status: STARTING, task, is_cancel_requested: false, is_delivered: false };
        let subtask = self.add_waitable(CALLER, Of::Subtask(subtask));
        let turns = if let Behaviour::Yields(turns) = behaviour { turns } else { 0 };
        self.tasks.push(Task {
            behaviour,
            set,
            subtask,
            state: TaskState::ToEnter,
            has_returned: false,
            turns,
            is_queued: false,
            is_held: false,
        });
        if self.backpressure > 0 || self.waiting_to_enter > 0 {
            self.waiting_to_enter += 1;
            match self.backpressure > 0 {
                true => self.hold(task),
                false => self.look_again(task),
            }
        } else {
            self.enter(task)?;
        }
        let Of::Subtask(there) = &mut self.there(subtask).of else { unreachable!() };
        if there.status > STARTED {
            there.is_delivered = true;
            let status = there.status;
            self.remove_waitable(subtask);
            return Ok(status);
        }
        let status = there.status;
        Ok(status | u64::from(self.name_waitable(subtask)) << 4)
    }

    pub(super) fn hold(&mut self, task: usize) {
        if !std::mem::replace(&mut self.tasks[task].is_held, true) {
            self.held.push(task);
        }
    }

    pub(super) fn tell(&mut self, task: usize, status: u64) {
        let subtask = self.tasks[task].subtask;
        // Once that is resolved, nobody is told of anything more.
        let Some(Of::Subtask(there)) = self.waitables[subtask].as_mut().map(|there| &mut there.of) else {
            return;
        };
        there.status = status;
        if self.there(subtask).handle != 0 {
            self.set_event(subtask, Event::Subtask);
        }
    }

    pub(super) fn enter(&mut self, task: usize) -> Result<(), Trapped> {
        self.tell(task, STARTED);
        match self.tasks[task].behaviour {
            Behaviour::Returns => {
                self.returns(task);
                self.tasks[task].state = TaskState::Over;
                Ok(())
            }
            Behaviour::Yields(_) => {
                self.tasks[task].state = TaskState::Yields;
                self.look_again(task);
                Ok(())
            }
            Behaviour::GoesOn => {
                self.returns(task);
                self.waits(task)
            }
            Behaviour::Obeys | Behaviour::ReturnsAnyway | Behaviour::Ignores => self.waits(task),
        }
    }

    pub(super) fn returns(&mut self, task: usize) {
        if !std::mem::replace(&mut self.tasks[task].has_returned, true) {
            self.tell(task, RETURNED);
        }
    }

    pub(super) fn waits(&mut self, task: usize) -> Result<(), Trapped> {
        let set = self.set(CALLEE, self.tasks[task].set)?;
        self.sets[set].waiter = Some(task);
        self.tasks[task].state = TaskState::Waits;
        self.look_again(task);
        Ok(())
    }

    pub(super) fn no_longer_waits(&mut self, task: usize) {
        self.sets.iter_mut().filter(|set| set.waiter == Some(task)).for_each(|set| set.waiter = None);
    }

    pub(super) fn cancel_subtask(&mut self, handle: u32) -> Outcome {
        let (waitable, subtask) = self.subtask(handle)?;
        if subtask.is_delivered {
            return Err("SubtaskEnded");
        }
        if subtask.is_cancel_requested {
            return Err("SubtaskCancelledTwice");
        }
        if subtask.status <= STARTED {
            subtask.is_cancel_requested = true;
            let (status, task) = (subtask.status, subtask.task);
            if status == STARTING {
                self.waiting_to_enter -= 1;
                self.tasks[task].state = TaskState::Over;
                self.tell(task, CANCELLED_BEFORE_STARTED);
            } else {
                self.is_cancelled(task)?;
            }
            let Of::Subtask(subtask) = &self.there(waitable).of else { unreachable!() };
            if subtask.status <= STARTED {
                return Ok(BLOCKED);
            }
        }
        Ok(self.take_event(waitable).2)
    }

    pub(super) fn is_cancelled(&mut self, task: usize) -> Result<(), Trapped> {
        self.no_longer_waits(task);
        match self.tasks[task].behaviour {
            Behaviour::Ignores => return self.waits(task),
            Behaviour::ReturnsAnyway => self.returns(task),
            _ => self.tell(task, CANCELLED_BEFORE_RETURNED),
        }
        self.tasks[task].state = TaskState::Over;
        Ok(())
    }

    /// All go on that can, first in, first out, until nobody can.
    pub(super) fn turn(&mut self) -> Result<(), Trapped> {
        while let Some(task) = self.ready.pop_front() {
            self.tasks[task].is_queued = false;
            match self.tasks[task].state {
                TaskState::Over => {}
                TaskState::ToEnter if self.backpressure > 0 => self.hold(task),
                TaskState::ToEnter => {
                    self.waiting_to_enter -= 1;
                    self.enter(task)?;
                }
                TaskState::Yields if self.tasks[task].turns > 0 => {
                    self.tasks[task].turns -= 1;
                    self.look_again(task);
                }
                TaskState::Yields => {
                    self.returns(task);
                    self.tasks[task].state = TaskState::Over;
                }
                TaskState::Waits => {
                    let waits_at = self.sets.iter().position(|set| set.waiter == Some(task));
                    if let Some(set) = waits_at
                        && self.take_event_of_set(set).is_some()
                    {
                        self.no_longer_waits(task);
                        self.returns(task);
                        self.tasks[task].state = TaskState::Over;
                    }
                }
            }
        }
        Ok(())
    }
}
