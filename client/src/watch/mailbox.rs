//! What is between the session's task and a caller that watches: a bounded queue that never loses
//! anything in silence.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use conclave_protocol::event::WatchEvent;

use super::{EVENTS_MAX, GapCause, Notice};

#[derive(Debug, Default)]
struct Queue {
    notices: VecDeque<Notice>,
    waker: Option<Waker>,
    /// Nothing will be added.
    is_over: bool,
}

/// The task's end.
#[derive(Debug)]
pub(crate) struct Sender(Arc<Mutex<Queue>>);

/// The caller's end.
#[derive(Debug)]
pub(super) struct Receiver(Arc<Mutex<Queue>>);

/// Makes a queue.
pub(super) fn mailbox() -> (Sender, Receiver) {
    let queue = Arc::new(Mutex::new(Queue::default()));
    (Sender(queue.clone()), Receiver(queue))
}

/// A queue whose other end has panicked is still a queue.
fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sender {
    /// Adds an event. A caller that is [`EVENTS_MAX`] behind finds a gap in the place of what it has
    /// not taken.
    pub(crate) fn tell(&self, event: WatchEvent) {
        let mut queue = lock(&self.0);
        if queue.notices.len() == EVENTS_MAX {
            queue.notices.clear();
            queue.notices.push_back(Notice::Gap(GapCause::Behind));
        }
        queue.notices.push_back(Notice::Event(event));
        wake(queue);
    }

    /// Adds a gap. What was not taken before it goes: all is to be read anyway.
    pub(crate) fn gap(&self, cause: GapCause) {
        let mut queue = lock(&self.0);
        queue.notices.clear();
        queue.notices.push_back(Notice::Gap(cause));
        wake(queue);
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let mut queue = lock(&self.0);
        queue.is_over = true;
        wake(queue);
    }
}

fn wake(mut queue: MutexGuard<'_, Queue>) {
    let waker = queue.waker.take();
    drop(queue);
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Receiver {
    /// Takes the next notice; `None` when there will be none.
    pub(super) fn poll_next(&self, context: &mut Context<'_>) -> Poll<Option<Notice>> {
        let mut queue = lock(&self.0);
        if let Some(notice) = queue.notices.pop_front() {
            return Poll::Ready(Some(notice));
        }
        if queue.is_over {
            return Poll::Ready(None);
        }
        queue.waker = Some(context.waker().clone());
        Poll::Pending
    }

    /// Returns whether the task has left.
    pub(super) fn is_over(&self) -> bool {
        lock(&self.0).is_over
    }
}
