//! The right to change a configuration: one at a time, and who has lost it changes nothing.
//!
//! The lock is an ephemeral, so that it goes with who held it. Taking it raises the version of the store's
//! znode, and every multi of the holder checks that version: a holder who was held up, and replaced, is
//! refused. So it is safe to take the lock of a process that is known to be dead at once.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::{disk, error::ConfigError, store::Store};
use crate::{client::CreateMode, clock::Clock, error::ClientError, ops::Op};

/// What the store's znode says while somebody changes something, or died doing so.
const EDITING: &str = "editing\n";

/// What it says otherwise.
const IDLE: &str = "idle\n";

/// How often the lock is looked at, besides when its watch fires.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Who holds the lock: its data.
#[derive(Debug, Deserialize, Serialize)]
struct Holder {
    author: String,
    host: String,
    machine: String,
    pid: u32,
    token: String,
}

/// The right to change a configuration.
#[derive(Debug)]
pub struct Editor {
    fence: Op,
    version: i32,
    was_cut_short: bool,
}

impl Editor {
    /// Takes the lock, or waits for it as long as `patience`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Conflict`] names who holds it.
    pub async fn begin(
        store: &Store,
        author: &str,
        host: &str,
        patience: Duration,
    ) -> Result<Self, ConfigError> {
        store.establish().await?;
        let (clock, token, machine) = (Clock::start(), token(), disk::machine());
        let pid = std::process::id();
        let me = Holder {
            author: author.to_owned(),
            host: host.to_owned(),
            machine: machine.clone(),
            pid,
            token: token.clone(),
        };
        let data = serde_json::to_vec(&me).expect("it is plain data");
        let lock = store.at("lock/holder");
        loop {
            let (said, stat) =
                store.ensemble().ask(store.path(), |client| client.get_data(store.path())).await?;
            let was_cut_short = said == EDITING;
            let mut ops = vec![
                Op::create(&lock, data.clone(), CreateMode::Ephemeral),
                Op::set_data(store.path(), EDITING, Some(stat.version)),
            ];
            let taken = |version, was_cut_short| {
                let fence = Op::check(store.path(), version);
                Ok(Self { fence, version, was_cut_short })
            };
            match store.multi(ops.clone()).await? {
                Ok(()) => return taken(stat.version + 1, was_cut_short),
                Err(error) if error.error == ClientError::ConnectionLoss => {
                    store.ensemble().connected().await?;
                }
                Err(error) if error.error == ClientError::BadVersion => continue,
                Err(error) if error.error == ClientError::NodeExists => {}
                Err(error) => return Err(error.into()),
            }
            let found = store.ensemble().try_ask(|client| client.get_data_and_watch(&lock)).await?;
            let Ok(((data, lock_stat), mut watcher)) = found else { continue };
            let holder: Option<Holder> = serde_json::from_slice(&data).ok();
            if holder.as_ref().is_some_and(|holder| holder.token == token) {
                // Taken by a multi whose answer was lost; what was there before is not known.
                let at = store.path();
                let (_, stat) = store.ensemble().ask(at, |client| client.get_data(at)).await?;
                return taken(stat.version, true);
            }
            let is_dead = holder
                .as_ref()
                .is_some_and(|holder| holder.machine == machine && !disk::is_running(holder.pid));
            if is_dead {
                ops.insert(0, Op::delete(&lock, Some(lock_stat.version)));
                if store.multi(ops).await? == Ok(()) {
                    return taken(stat.version + 1, true);
                }
                continue;
            }
            if clock.now_ms() >= patience.as_millis() as u64 {
                let who = holder.map_or_else(String::new, |holder| {
                    format!(" by {} on {} (process {})", holder.author, holder.host, holder.pid)
                });
                let text = format!("{} is being changed{who}", store.root());
                return Err(ConfigError::Conflict(text));
            }
            drop(tokio::time::timeout(LOOK_AGAIN, watcher.event()).await);
        }
    }

    /// Returns the operation that every multi of this editor begins with.
    pub const fn fence(&self) -> &Op {
        &self.fence
    }

    /// Returns whether the editor before did not come to its end, so that leftovers may be there.
    pub const fn was_cut_short(&self) -> bool {
        self.was_cut_short
    }

    /// Gives the right back.
    pub async fn end(self, store: &Store) {
        let ops = vec![
            Op::set_data(store.path(), IDLE, Some(self.version)),
            Op::delete(store.at("lock/holder"), None),
        ];
        // The lock goes with the session in any case, and the next editor looks for leftovers.
        drop(store.multi(ops).await);
    }
}

/// Returns a text that nobody else has.
pub fn token() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the system has random bytes");
    URL_SAFE_NO_PAD.encode(bytes)
}
