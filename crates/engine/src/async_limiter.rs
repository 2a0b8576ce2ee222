//! A limiter whose answers have to be waited for.
//!
//! What grows asks for an answer that has been given before; where there is none, it does not grow, and whoever can wait has the limiter asked and tries again
//! (`runtime/growth.rs`). What a module's instance will have is asked about before there is anything of it.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;

use crate::error::Error;
use crate::limiter::{Growing, Limiter, Question};
use crate::store::StoreCore;
use crate::tier::ModuleParts;

/// A [`crate::ResourceLimiter`] whose answers take time: a guest that was called with [`crate::Func::call_async`] waits for them, and holds no thread; see
/// [`crate::StoreBuilder::limiter_async`].
///
/// Memories and tables of a module that is instantiated with [`crate::Linker::instantiate_async`] and its like are asked about before there is an instance. Where nobody can wait for an answer, whatever would grow
/// is an error: in calls that cannot wait, where a module is instantiated otherwise, and where the embedder makes or grows a memory or a table itself with other functions than
/// [`crate::Memory::new_async`], [`crate::Memory::grow_async`], [`crate::Table::new_async`] and [`crate::Table::grow_async`].
///
/// A call that is given up while it waits drops the future, and nothing has grown. A panic of one ends the guest, and goes on in whoever has called.
pub trait ResourceLimiterAsync: Send + Sync {
    /// As [`crate::ResourceLimiter::memory_growing`].
    fn memory_growing(
        &mut self,
        current: u64,
        desired: u64,
        maximum: Option<u64>,
    ) -> Box<dyn Future<Output = bool> + Send + '_>;

    /// As [`crate::ResourceLimiter::table_growing`].
    fn table_growing(
        &mut self,
        current: u64,
        desired: u64,
        maximum: Option<u64>,
    ) -> Box<dyn Future<Output = bool> + Send + '_>;

    /// As [`crate::ResourceLimiter::memory_grow_failed`].
    fn memory_grow_failed(&mut self) {}

    /// As [`crate::ResourceLimiter::table_grow_failed`].
    fn table_grow_failed(&mut self) {}
}

/// What a limiter has said that has to be waited for, and what it has yet to say.
///
/// Must stay true: an answer is of use only to the operation that it was asked for. Whoever asks ends with [`Answers::end`], however that goes.
#[derive(Default)]
pub(crate) struct Answers {
    given: Vec<(Question, bool)>,
    /// What something did not grow for.
    wanted: Option<Question>,
}

impl Question {
    /// As [`Question::put_to`], to a limiter that is waited for.
    pub(crate) fn put_to_async(
        self,
        limiter: &mut dyn ResourceLimiterAsync,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        let Question { what, current, desired, maximum } = self;
        Box::into_pin(match what {
            Growing::Memory => limiter.memory_growing(current, desired, maximum),
            Growing::Table => limiter.table_growing(current, desired, maximum),
        })
    }
}

impl Answers {
    pub(crate) fn give(&mut self, question: Question, answer: bool) {
        self.given.push((question, answer));
    }

    /// The answer to a question, which is then forgotten; false where there is none, and then it is wanted. What was said of another size than there is now is of no use.
    pub(crate) fn take(&mut self, question: Question) -> bool {
        if let Some(at) = self.given.iter().position(|(asked, _)| *asked == question) {
            return self.given.swap_remove(at).1;
        }
        self.wanted = Some(question);
        false
    }

    /// Forgets all answers, since what they were asked for has come to an end, and tells what it did not grow for.
    pub(crate) fn end(&mut self) -> Option<Question> {
        self.given.clear();
        self.wanted.take()
    }
}

impl StoreCore {
    /// Asks a limiter that has to be waited for about the memories and tables that a module's instance will have, as far as the store's limits allow for them. The
    /// answers are there once all are given.
    ///
    /// # Errors
    /// Where somebody asks the store's guests to stop meanwhile.
    pub(crate) async fn ask_ahead(&mut self, module: &ModuleParts) -> Result<(), Error> {
        if !matches!(self.limiter, Some(Limiter::Async(_))) {
            return Ok(());
        }
        let tables = module.tables[module.imported_tables as usize..]
            .iter()
            .map(|table| Question::of_new_table(&table.ty));
        let memories =
            module.memories[module.imported_memories as usize..].iter().map(Question::of_new_memory);
        let mut given = Vec::new();
        for question in tables.chain(memories) {
            given.push((question, self.wait_for_answer(question).await?));
        }
        self.answers = Answers { given, wanted: None };
        Ok(())
    }

    /// What a limiter that has to be waited for says to a question; yes where there is none.
    ///
    /// # Errors
    /// Where somebody asks the store's guests to stop meanwhile.
    pub(crate) async fn wait_for_answer(&mut self, question: Question) -> Result<bool, Error> {
        loop {
            let handle = self.record.interrupt_handle().clone();
            let Some(Limiter::Async(limiter)) = &mut self.limiter else { return Ok(true) };
            let mut asked = question.put_to_async(&mut **limiter);
            // Whoever asks for a stop wakes who polls.
            let mut _woken = None;
            let answer = poll_fn(|context| {
                _woken = Some(handle.wake_on_stop(context.waker().clone()));
                if handle.is_stop_asked() {
                    return Poll::Ready(None);
                }
                asked.as_mut().poll(context).map(Some)
            });
            let answer = answer.await;
            drop(asked);
            match answer {
                Some(answer) => return Ok(answer),
                // It may have been taken back.
                None => self.stop_if_asked()?,
            }
        }
    }
}
