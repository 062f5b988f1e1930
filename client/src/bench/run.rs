//! A run under way: its time, its count, its progress.

use std::{
    cell::{Cell, RefCell},
    io::{IsTerminal, Write},
    time::Duration,
};

use tokio::sync::watch;

use super::plan::Plan;
use crate::clock::{Clock, process_cpu_s};

/// How often the progress is told on a terminal.
const PROGRESS: Duration = Duration::from_millis(500);

/// What all connections of a run share.
pub(super) struct Run {
    pub(super) plan: Plan,
    pub(super) clock: Clock,
    /// Requests still to be made, where not the time ends the run.
    left: Cell<Option<u64>>,
    phase: Cell<Phase>,
    answers: Cell<u64>,
    began: Cell<Moment>,
    ended: Cell<Moment>,
    interrupted: watch::Receiver<bool>,
    has_progress: RefCell<bool>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    WarmUp,
    Measuring,
    Over,
}

#[derive(Clone, Copy, Debug, Default)]
struct Moment {
    ns: u64,
    cpu_s: f64,
}

impl Run {
    /// Makes a run that `interrupted` ends early.
    pub(super) fn new(plan: Plan, interrupted: watch::Receiver<bool>) -> Self {
        Self {
            left: Cell::new(plan.count),
            clock: Clock::start(),
            phase: Cell::new(if plan.count.is_some() { Phase::Measuring } else { Phase::WarmUp }),
            plan,
            answers: Cell::default(),
            began: Cell::default(),
            ended: Cell::default(),
            interrupted,
            has_progress: RefCell::new(std::io::stderr().is_terminal()),
        }
    }

    /// Lets the time of the run begin, and returns when it is over: for a run of a count, when it is interrupted.
    pub(super) async fn time(&self) {
        self.begin();
        let (warm_up, measured) = (self.plan.warm_up, self.plan.seconds);
        if self.plan.count.is_some() {
            self.tell_until(f64::INFINITY).await;
        } else {
            self.tell_until(warm_up).await;
            self.phase.set(Phase::Measuring);
            self.begin();
            self.tell_until(measured).await;
        }
        self.finish();
    }

    /// Notes that what is measured begins now.
    pub(super) fn begin(&self) {
        self.began.set(self.moment());
    }

    /// Notes that what is measured is over.
    pub(super) fn finish(&self) {
        if self.phase.replace(Phase::Over) != Phase::Over {
            self.ended.set(self.moment());
            self.wipe();
        }
    }

    fn moment(&self) -> Moment {
        Moment { ns: self.clock.now_ns(), cpu_s: process_cpu_s() }
    }

    /// Returns the seconds that were measured, and the processor's.
    pub(super) fn measured(&self) -> (f64, f64) {
        let (began, ended) = (self.began.get(), self.ended.get());
        ((ended.ns - began.ns) as f64 / 1e9, ended.cpu_s - began.cpu_s)
    }

    /// Whether answers count.
    pub(super) fn is_measuring(&self) -> bool {
        self.phase.get() == Phase::Measuring
    }

    /// Whether nothing more is asked.
    pub(super) fn is_over(&self) -> bool {
        !self.has_more()
    }

    /// Whether there is one more request to make.
    pub(super) fn has_more(&self) -> bool {
        self.phase.get() != Phase::Over && self.left.get() != Some(0)
    }

    /// Takes one of the requests to make.
    pub(super) fn take_one(&self) {
        self.left.set(self.left.get().map(|left| left - 1));
    }

    /// Counts an answer, for the progress.
    pub(super) fn note_answer(&self) {
        self.answers.set(self.answers.get() + 1);
    }

    /// Whether the user wants no more.
    pub(super) fn is_interrupted(&self) -> bool {
        *self.interrupted.borrow()
    }

    async fn tell_until(&self, seconds: f64) {
        let mut interrupted = self.interrupted.clone();
        let until_ns = self.clock.now_ns() as f64 + seconds * 1e9;
        loop {
            let now_ns = self.clock.now_ns() as f64;
            if now_ns >= until_ns {
                return;
            }
            let rest =
                Duration::from_secs_f64(((until_ns - now_ns) / 1e9).min(PROGRESS.as_secs_f64()));
            let before = self.answers.get();
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                // The sender lives as long as the process.
                _ = interrupted.wait_for(|is_interrupted| *is_interrupted) => return,
            }
            self.tell(self.answers.get() - before, rest.as_secs_f64());
        }
    }

    fn tell(&self, answers: u64, seconds: f64) {
        if *self.has_progress.borrow() && self.is_measuring() {
            let elapsed_s = (self.clock.now_ns() - self.began.get().ns) as f64 / 1e9;
            let ops = answers * self.plan.shape.ops_per_request();
            eprint!("\r{elapsed_s:6.1} s  {:>10.0} ops/s ", ops as f64 / seconds);
            drop(std::io::stderr().flush());
        }
    }

    /// Wipes the line of the progress.
    fn wipe(&self) {
        if self.has_progress.replace(false) {
            eprint!("\r{:40}\r", "");
        }
    }
}
