//! A bar on the terminal while work takes long.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often it is drawn.
const TICK: Duration = Duration::from_millis(120);

/// Shows how far work is; gone when dropped.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Begins, on standard error, where somebody looks.
    pub(super) fn begin(what: &'static str, is_attended: bool) -> Self {
        if !is_attended {
            return Self { bar: ProgressBar::hidden() };
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if let Ok(style) =
            ProgressStyle::with_template("{spinner} {msg}: {human_pos} znodes ({elapsed})")
        {
            bar.set_style(style);
        }
        bar.set_message(what);
        bar.enable_steady_tick(TICK);
        Self { bar }
    }

    /// Tells how many there will be.
    pub(super) fn expect(&self, count: u64) {
        self.bar.set_length(count);
        if let Ok(style) = ProgressStyle::with_template(
            "{msg} [{bar:32}] {human_pos}/{human_len} znodes ({eta} left)",
        ) {
            self.bar.set_style(style.progress_chars("=> "));
        }
    }

    /// So many more are done.
    pub(super) fn add(&self, count: u64) {
        self.bar.inc(count);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
