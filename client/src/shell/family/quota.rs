//! `setquota listquota delquota`: what a subtree may hold.

use bytes::Bytes;
use clap::Args;
use conclave_protocol::quota::{
    Bounds, Limits, QUOTA_ROOT, Usage, can_cover, limits_path, stats_path,
};

use super::{Context, data::create_parents, znode_path};
use crate::{
    client::{Client, CreateMode},
    error::ClientError,
    shell::{
        error::{Doing, ShellError, at, doing},
        outcome::{Outcome, Quota},
        printer::remark,
        walk::{Walk, Want},
    },
};

/// Bounds what a subtree may hold.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct SetQuota {
    #[command(flatten)]
    bound: Bound,
    #[arg(value_parser = znode_path)]
    path: String,
}

/// One bound.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
struct Bound {
    /// Znodes: more are reported by the server, and allowed.
    #[arg(short = 'n', value_name = "COUNT")]
    count: Option<i64>,
    /// Bytes of data: more are reported by the server, and allowed.
    #[arg(short = 'b', value_name = "BYTES")]
    bytes: Option<i64>,
    /// Znodes: more are refused.
    #[arg(short = 'N', value_name = "COUNT")]
    count_hard: Option<i64>,
    /// Bytes of data: more are refused.
    #[arg(short = 'B', value_name = "BYTES")]
    bytes_hard: Option<i64>,
}

impl SetQuota {
    pub(in crate::shell) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        let place = Place::new(context, &self.path)?;
        place
            .client
            .exists(&place.covered)
            .await
            .map_err(at(&self.path))?
            .ok_or_else(|| at(&self.path)(ClientError::NoNode))?;
        place.check_no_other().await?;
        let quota = place.read().await?;
        let mut limits = quota.as_ref().map_or_else(Limits::default, |quota| quota.limits);
        for (given, bound) in [
            (self.bound.count, &mut limits.count.soft),
            (self.bound.bytes, &mut limits.bytes.soft),
            (self.bound.count_hard, &mut limits.count.hard),
            (self.bound.bytes_hard, &mut limits.bytes.hard),
        ] {
            if given.is_some() {
                *bound = given;
            }
        }
        place.write(&limits, quota.is_some()).await?;
        let quota = place.read().await?;
        if let Some(quota) = &quota {
            warn(&self.path, &quota.usage, &limits);
        }
        Ok(Outcome::Done("setquota"))
    }
}

fn warn(path: &str, usage: &Usage, limits: &Limits) {
    let bounds = [("znodes", usage.count, limits.count), ("bytes", usage.bytes, limits.bytes)];
    for (what, used, Bounds { soft, hard }) in bounds {
        if let Some(bound) = [soft, hard].into_iter().flatten().min().filter(|bound| used > *bound)
        {
            remark(&format!("conclave: {path} has {used} {what} already, more than {bound}"));
        }
    }
}

/// Shows what a subtree may hold, and what it holds.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct ListQuota {
    #[arg(value_parser = znode_path)]
    path: String,
}

impl ListQuota {
    pub(in crate::shell) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        let place = Place::new(context, &self.path)?;
        let quota = place.read().await?;
        Ok(Outcome::Quota { path: place.covered, quota })
    }
}

/// Takes a bound away, or the whole quota.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct DelQuota {
    #[command(flatten)]
    bound: Taken,
    #[arg(value_parser = znode_path)]
    path: String,
}

/// The bound that is taken away.
#[derive(Args, Clone, Debug)]
#[group(multiple = false)]
struct Taken {
    /// That of znodes.
    #[arg(short = 'n')]
    count: bool,
    /// That of bytes.
    #[arg(short = 'b')]
    bytes: bool,
    /// The hard one of znodes.
    #[arg(short = 'N')]
    count_hard: bool,
    /// The hard one of bytes.
    #[arg(short = 'B')]
    bytes_hard: bool,
}

impl DelQuota {
    pub(in crate::shell) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        let place = Place::new(context, &self.path)?;
        let Some(quota) = place.read().await? else {
            return Err(ShellError::Refused(format!("{} has no quota", self.path)));
        };
        let mut limits = quota.limits;
        let mut is_whole = true;
        for (taken, bound) in [
            (self.bound.count, &mut limits.count.soft),
            (self.bound.bytes, &mut limits.bytes.soft),
            (self.bound.count_hard, &mut limits.count.hard),
            (self.bound.bytes_hard, &mut limits.bytes.hard),
        ] {
            if taken {
                *bound = None;
                is_whole = false;
            }
        }
        if is_whole {
            place.remove().await?;
        } else {
            place.write(&limits, true).await?;
        }
        Ok(Outcome::Done("delquota"))
    }
}

/// Where a quota is kept: outside of any chroot.
struct Place {
    client: Client,
    /// The path as the server knows it.
    covered: String,
    limits_path: String,
    stats_path: String,
}

impl Place {
    fn new(context: Context<'_>, path: &str) -> Result<Self, ShellError> {
        let root = context.client().root();
        let covered = match (root.as_str(), path) {
            ("/", path) => path.to_owned(),
            (root, "/") => root.to_owned(),
            (root, path) => format!("{root}{path}"),
        };
        if !can_cover(&covered) {
            return Err(ShellError::Refused(format!("{path} can have no quota")));
        }
        let client = context.connection.whole.clone();
        let (limits_path, stats_path) = (limits_path(&covered), stats_path(&covered));
        Ok(Self { client, covered, limits_path, stats_path })
    }

    async fn read(&self) -> Result<Option<Quota>, ShellError> {
        let (limits, stats) =
            (self.client.get_data(&self.limits_path), self.client.get_data(&self.stats_path));
        let limits = match limits.await {
            Ok((limits, _)) => limits,
            Err(ClientError::NoNode) => return Ok(None),
            Err(error) => return Err(at(&self.limits_path)(error)),
        };
        let stats = match stats.await {
            Ok((stats, _)) => stats,
            Err(ClientError::NoNode) => Bytes::new(),
            Err(error) => return Err(at(&self.stats_path)(error)),
        };
        let text = |data: &Bytes| String::from_utf8_lossy(data).into_owned();
        Ok(Some(Quota {
            limits_text: text(&limits),
            limits: Limits::parse(&limits),
            usage_text: text(&stats),
            usage: Usage::parse(&stats),
        }))
    }

    /// Servers count every znode in one quota only.
    async fn check_no_other(&self) -> Result<(), ShellError> {
        let mut above = conclave_protocol::path::parent(&self.covered);
        while let Some(path) = above.filter(|path| *path != "/") {
            let found = self.client.exists(&limits_path(path)).await.map_err(at(path))?;
            if found.is_some() {
                let text = format!("{} is below {path}, which has a quota", self.covered);
                return Err(ShellError::Refused(text));
            }
            above = conclave_protocol::path::parent(path);
        }
        let folder = format!("{QUOTA_ROOT}{}", self.covered);
        let mut walk = Walk::new(&self.client, &folder, Want::Stat, usize::MAX);
        loop {
            match walk.next().await {
                Ok(Some(visit))
                    if visit.depth < 2 || !visit.path.ends_with("/zookeeper_limits") => {}
                Ok(Some(visit)) => {
                    let below = visit.path.trim_start_matches(QUOTA_ROOT);
                    let below = below.trim_end_matches("/zookeeper_limits");
                    let text = format!("{below}, below {}, has a quota", self.covered);
                    return Err(ShellError::Refused(text));
                }
                Ok(None) | Err(ShellError::Znode { error: ClientError::NoNode, .. }) => {
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The server begins to count when the stats are created behind the limits.
    async fn write(&self, limits: &Limits, is_there: bool) -> Result<(), ShellError> {
        let text = limits_text(limits);
        if is_there {
            let changed = self.client.set_data(&self.limits_path, text, None).await;
            return changed.map(|_| ()).map_err(doing(&self.limits_path, Doing::Change(None)));
        }
        create_parents(&self.client, &self.limits_path).await?;
        for (path, text) in
            [(&self.limits_path, text), (&self.stats_path, Usage::default().to_string())]
        {
            match self.client.create(path, text, CreateMode::Persistent).await {
                Ok(_) | Err(ClientError::NodeExists) => {}
                Err(error) => return Err(doing(path, Doing::Create)(error)),
            }
        }
        Ok(())
    }

    /// Deletes both, and the folders above that hold no other quota.
    async fn remove(&self) -> Result<(), ShellError> {
        let folder = format!("{QUOTA_ROOT}{}", self.covered);
        let mut folders = Some(folder.as_str());
        let limits = self.client.delete(&self.limits_path, None);
        let stats = self.client.delete(&self.stats_path, None);
        for (path, answer) in [(&self.limits_path, limits), (&self.stats_path, stats)] {
            match answer.await {
                Ok(()) | Err(ClientError::NoNode) => {}
                Err(error) => return Err(doing(path, Doing::Delete(None))(error)),
            }
        }
        while let Some(path) = folders.filter(|path| *path != QUOTA_ROOT) {
            if self.client.delete(path, None).await.is_err() {
                return Ok(());
            }
            folders = conclave_protocol::path::parent(path);
        }
        Ok(())
    }
}

/// Writes limits as ZooKeeper's shell does, so that both read each other's.
fn limits_text(limits: &Limits) -> String {
    let number = |bound: Option<i64>| bound.unwrap_or(-1);
    format!(
        "count={},bytes={}=;byteHardLimit={};countHardLimit={}",
        number(limits.count.soft),
        number(limits.bytes.soft),
        number(limits.bytes.hard),
        number(limits.count.hard)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_written_as_they_are_read() {
        let bounds = |soft, hard| Bounds { soft, hard };
        let limits = Limits { count: bounds(Some(5), None), bytes: bounds(None, Some(7)) };
        let text = limits_text(&limits);
        assert_eq!(text, "count=5,bytes=-1=;byteHardLimit=7;countHardLimit=-1");
        assert_eq!(Limits::parse(text.as_bytes()), limits);
    }
}
