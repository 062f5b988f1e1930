//! From what is on a disk to a member ready to run. A damaged file is set aside, and the member then
//! counts to no quorum until a leader has repaired it.

use conclave_protocol::{
    ids::ServerId,
    peer::zab::{Epochs, Standing},
    zxid::{Epoch, Zxid},
};
use conclave_snapshots::{
    StorageError, epochs,
    fs::Fs,
    log::LogOptions,
    owner::{self, OwnerError, Whose},
    recover::{self, NoLog, RecoverError},
};
use conclave_zab::{Config, Recovered};
use thiserror::Error;

use crate::{
    load::{LoadError, Loader},
    metric::MemberMetrics,
    replica,
    shared::{Shared, Terms},
    store::{Dirs, Store},
};

/// Length of an engine tick, in milliseconds: the grain of elections and timeouts.
pub const ENGINE_TICK_MS: u64 = 25;

/// What a member is made of, as far as the disk and the engine are concerned.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The member.
    pub me: ServerId,
    /// Folder of snapshots and epochs.
    pub data_dir: String,
    /// Folder of the log.
    pub log_dir: String,
    /// Snapshots kept; at least 1.
    pub retain: usize,
    /// How the log is written.
    pub log: LogOptions,
    /// What is done about acknowledged writes that the disk has lost.
    pub loss: Loss,
    /// The ensemble and its limits in engine ticks.
    pub engine: Config,
    /// When snapshots are taken.
    pub replica: replica::Settings,
    /// What clients are granted.
    pub terms: Terms,
}

/// What is done about acknowledged writes that a member's disk has lost.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Loss {
    /// A damaged file is set aside and a leader repairs the member; a log that is missing as a whole
    /// ends the start, as the folder may be the wrong one.
    #[default]
    Repaired,
    /// A missing log too is repaired by a leader (`--repair`).
    RepairedWhole,
    /// What is left counts as all there ever was (`--accept-loss`): for a member without others, or
    /// when a majority has lost its data.
    Accepted,
}

/// A member ready to run.
#[derive(Debug)]
pub struct Booted<F: Fs> {
    /// Its tables, the state of the newest good snapshot in them.
    pub shared: Shared,
    /// What its engine starts from.
    pub recovered: Recovered,
    /// Its durable half.
    pub store: Store<F>,
    /// Its newest snapshot; [`Zxid::ZERO`] when there is none.
    pub newest_snapshot: Zxid,
}

/// Why a member's disk does not let it start.
#[derive(Debug, Error)]
pub enum BootError {
    /// The folder is another member's.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// The disk fails, is of another version, or is damaged beyond what can be set aside.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// A snapshot verifies and yet makes no state.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Recovers a member; `seed` keys its hash tables, `wall_ms` starts its numbers.
///
/// # Errors
///
/// [`BootError`] says what an operator has to do.
pub fn boot<F: Fs>(fs: F, plan: &Plan, seed: u64, wall_ms: i64) -> Result<Booted<F>, BootError> {
    let metrics = MemberMetrics::new(plan.me);
    let is_alone = plan.engine.voters.len() == 1 && plan.engine.observers.is_empty();
    let shared = Shared::new(plan.me, is_alone, plan.terms.clone(), metrics, wall_ms, seed);
    let mut loader = Loader::new(seed);
    let (data, log) = (&plan.data_dir, &plan.log_dir);
    let owner = owner::check(&fs, data, plan.me)?;
    let no_log = if plan.loss == Loss::Repaired { NoLog::Refused } else { NoLog::Lost };
    let found = recover::recover_or_set_aside(&fs, data, log, plan.log, no_log, &mut loader)?;
    for note in &found.notes {
        tracing::warn!(member = plan.me.0, "{note}");
    }
    let base = found.snapshot.unwrap_or(Zxid::ZERO);
    shared.state.write().install(loader.finish(base)?);
    let last = found.entries.last().map_or(base, |entry| entry.zxid);
    let mut epochs = known_epochs(found.epochs, last);
    let member = plan.me.0;
    if epochs.standing == Standing::Repairing && plan.loss == Loss::Accepted {
        tracing::warn!(member, "what this member's disk has lost is given up, as it was told to");
        epochs.standing = Standing::Whole;
        epochs::write(&fs, data, epochs).map_err(RecoverError::from)?;
    } else if epochs.standing == Standing::Repairing && is_alone {
        tracing::error!(
            member,
            "this member's disk lost acknowledged writes and there is no other to repair it: \
             start it with --accept-loss to go on with what is left"
        );
    } else if epochs.standing == Standing::Repairing {
        tracing::warn!(
            member,
            "this member's disk lost what it had acked: it has no vote until a leader repairs it; \
             if a majority has, --accept-loss lets them go on with what is left"
        );
    }
    if owner == Whose::Unknown {
        claim(&fs, data, plan.me)?;
    }
    let dirs = Dirs { data: data.clone(), log: log.clone(), retain: plan.retain, seed };
    Ok(Booted {
        shared,
        recovered: Recovered { epochs, base, entries: found.entries },
        store: Store::new(fs, dirs, found.log),
        newest_snapshot: base,
    })
}

/// Writes whose data it is. On a disk that is full to the last byte the next start does that.
fn claim<F: Fs>(fs: &F, data: &str, me: ServerId) -> Result<(), OwnerError> {
    match owner::claim(fs, data, me) {
        Err(StorageError::NoSpace { .. }) => Ok(()),
        result => Ok(result?),
    }
}

/// Nothing is logged of an epoch that was not promised: what the log shows, the file may lack only
/// after damage.
fn known_epochs(found: Option<Epochs>, last: Zxid) -> Epochs {
    let Epochs { accepted, current, standing } = found.unwrap_or(Epochs {
        accepted: Epoch(0),
        current: Epoch(0),
        standing: Standing::Whole,
    });
    Epochs { accepted: accepted.max(last.epoch()), current, standing }
}
