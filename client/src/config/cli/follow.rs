//! `watch`, and what `render` and `exec` share: waiting for changes that count.

use std::time::Duration;

use serde_json::json;

use super::{Context, Result, following};
use crate::{
    clock::Clock,
    config::{
        diff,
        follow::{Following, Version},
        mask::Mask,
        rollout::Consumer,
    },
};

/// Follows one configuration as its arguments say.
pub(super) struct Changes<'a> {
    context: &'a Context,
    following: Following,
    quiet: (Duration, Duration),
    splay_ms: u64,
    is_away: bool,
}

impl<'a> Changes<'a> {
    pub(super) fn new(
        context: &'a Context,
        path: &str,
        arguments: &following::Following,
    ) -> Result<Self> {
        let consumer = Consumer {
            name: arguments.consumer.clone().unwrap_or_default(),
            labels: arguments.label.clone(),
        };
        let connection = context.connection();
        let base = context.common.store.clone();
        context.check_path(path)?;
        let following = Following::new(connection, path.to_owned(), base, consumer);
        let quiet = (arguments.quiet_min, arguments.quiet_max);
        let quiet = (Duration::from_millis(quiet.0), Duration::from_millis(quiet.1));
        Ok(Self { context, following, quiet, splay_ms: arguments.splay, is_away: false })
    }

    /// Returns the configuration as it is, once it can be read.
    pub(super) async fn now(&mut self) -> Result<Version> {
        self.following.read().await
    }

    /// Returns the configuration when it has changed, and nothing has for a while. While no member can be reached, what was
    /// read last stands, and this waits.
    pub(super) async fn next(&mut self, before: Option<&Version>) -> Version {
        let mut is_first = before.is_none();
        loop {
            if !is_first {
                self.settled().await;
            }
            is_first = false;
            match self.following.read().await {
                Ok(version) => {
                    if std::mem::take(&mut self.is_away) {
                        self.context.printer.say("a member can be reached again");
                    }
                    if before.is_none_or(|before| *before != version) {
                        return version;
                    }
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.is_away, true) {
                        self.context.printer.say(&format!("{error}; what was there stays"));
                    }
                }
            }
        }
    }

    /// Waits for a change, and until none has followed for the shorter time, or the longer one is over.
    async fn settled(&mut self) {
        self.following.changed().await;
        let clock = Clock::start();
        loop {
            let left = self.quiet.1.saturating_sub(Duration::from_millis(clock.now_ms()));
            let patience = self.quiet.0.min(left);
            if patience.is_zero()
                || tokio::time::timeout(patience, self.following.changed()).await.is_err()
            {
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(drawn(self.splay_ms))).await;
    }

    /// Reports what runs here; that it cannot be told is no reason not to run it.
    pub(super) async fn report(&self, version: &Version) {
        if let Err(error) = self.following.report(version).await {
            self.context.printer.say(&format!("not reported: {error}"));
        }
    }

    pub(super) async fn close(&self) {
        self.following.close().await;
    }
}

/// Returns a number up to `bound`, another each time.
fn drawn(bound: u64) -> u64 {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).expect("the system has random bytes");
    u64::from_ne_bytes(bytes) % bound.saturating_add(1).max(1)
}

pub(super) async fn watch(
    context: &Context,
    path: &str,
    count: Option<usize>,
    show_secrets: bool,
    arguments: &following::Following,
) -> Result<u8> {
    let mask = if show_secrets { Mask::none() } else { Mask::new([])? };
    let mut changes = Changes::new(context, path, arguments)?;
    let mut before = changes.now().await?;
    changes.report(&before).await;
    let release = |version: &Version| {
        version
            .release
            .map_or_else(|| "no release".to_owned(), |release| format!("release {release}"))
    };
    let keys = before.tree.len();
    context.printer.say(&format!("{path}: {keys} keys, {}; waiting for changes", release(&before)));
    let mut told = 0;
    while count.is_none_or(|count| told < count) {
        let version = changes.next(Some(&before)).await;
        changes.report(&version).await;
        let plan = diff::between(&before.tree, &version.tree);
        if !plan.changes.is_empty() {
            let text = format!(
                "{path} at zxid 0x{:x}, {}\n{}",
                version.zxid,
                release(&version),
                diff::text(&plan, &mask)
            );
            let value = json!({
                "zxid": version.zxid,
                "release": version.release,
                "cohort": version.cohort,
                "changes": diff::json(&plan, &mask)["changes"],
            });
            if context.printer.is_json {
                // One line each, so that a reader knows where one ends.
                context.printer.bytes(format!("{value}\n").as_bytes());
            } else {
                context.printer.bytes(text.as_bytes());
            }
            told += 1;
        }
        before = version;
    }
    changes.close().await;
    Ok(0)
}
