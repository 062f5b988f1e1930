//! `getAcl setAcl addauth whoami`: who may do what, and who this is.

use std::{ffi::OsString, os::unix::ffi::OsStringExt, sync::Arc};

use clap::Args;
use conclave_protocol::acl::{Acl, Identity, Perms};

use super::{Context, data::AclList, znode_path};
use crate::{
    error::ClientError,
    shell::{
        error::{Doing, ShellError, at, doing},
        outcome::Outcome,
        walk::{Flight, Walk, Want},
    },
};

/// Requests of `setAcl -R` under way at once.
const SETS_MAX: usize = 128;

/// Shows who may do what with a znode.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct GetAcl {
    /// Shows the stat too.
    #[arg(short)]
    stat: bool,
    #[arg(value_parser = znode_path)]
    path: String,
}

impl GetAcl {
    pub(in crate::shell) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        let path = self.path;
        let (acl, stat) = context.client().get_acl(&path).await.map_err(at(&path))?;
        Ok(Outcome::Acl { path, acl, stat: self.stat.then_some(stat) })
    }
}

/// Says who may do what with a znode.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct SetAcl {
    /// Shows the new stat.
    #[arg(short)]
    stat: bool,
    /// Only if this is the version of its ACL.
    #[arg(short, allow_negative_numbers = true, conflicts_with = "recursive")]
    version: Option<i32>,
    /// Sets it on all that is below too.
    #[arg(short = 'R')]
    recursive: bool,
    #[arg(value_parser = znode_path)]
    path: String,
    /// scheme:id:perms[,...] with the perms crwda: world:anyone:r, digest:user:hash:crwda, auth::crwda.
    #[arg(value_parser = parse_acl)]
    acl: AclList,
}

impl SetAcl {
    pub(in crate::shell) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        if self.recursive {
            return self.run_recursive(context).await;
        }
        let Self { stat: shows_stat, version, path, acl, .. } = self;
        let set = context.client().set_acl(&path, acl.to_vec(), version).await;
        let stat = set.map_err(doing(&path, Doing::ChangeAcl(version)))?;
        Ok(Outcome::Changed { path, stat: shows_stat.then_some(stat), version: stat.version })
    }

    async fn run_recursive(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        let client = context.client();
        // Children are read before their parent is closed to reading.
        let mut walk = Walk::new(client, &self.path, Want::Stat, usize::MAX);
        let mut paths = Vec::new();
        while let Some(visit) = walk.next().await? {
            paths.push(visit.path);
        }
        let progress = context.progress("set");
        progress.expect(paths.len() as u64);
        let mut flight = Flight::new(SETS_MAX);
        for path in paths.iter().rev() {
            let landed = flight.add(client.set_acl(path, self.acl.to_vec(), None)).await;
            landed.map_or(Ok(()), check).map_err(at(&self.path))?;
            progress.add(1);
        }
        while let Some(landed) = flight.land().await {
            check(landed).map_err(at(&self.path))?;
        }
        Ok(Outcome::AclsSet { path: self.path, znodes: paths.len() as u64 })
    }
}

/// What others delete meanwhile needs no ACL.
fn check<T>(landed: Result<T, ClientError>) -> Result<(), ClientError> {
    match landed {
        Ok(_) | Err(ClientError::NoNode) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Reads `scheme:id:perms[,...]`: the scheme ends at the first colon, the perms begin after the last.
pub(super) fn parse_acl(text: &str) -> Result<AclList, String> {
    let entries: Result<Vec<Acl>, String> = text.split(',').map(entry).collect();
    entries.map(Arc::new)
}

fn entry(text: &str) -> Result<Acl, String> {
    let parts = text.split_once(':').and_then(|(scheme, rest)| {
        let (id, perms) = rest.rsplit_once(':')?;
        Some((scheme, id, perms))
    });
    let Some((scheme, id, letters)) = parts else {
        return Err(format!("{text:?} is not scheme:id:perms"));
    };
    let mut perms = 0;
    for letter in letters.chars() {
        perms |= match letter {
            'r' => Perms::READ,
            'w' => Perms::WRITE,
            'c' => Perms::CREATE,
            'd' => Perms::DELETE,
            'a' => Perms::ADMIN,
            other => return Err(format!("{other:?} is not one of the perms crwda")),
        }
        .0;
    }
    Ok(Acl { perms: Perms(perms), identity: Identity { scheme: scheme.into(), id: id.into() } })
}

/// Proves an identity, for as long as the session lasts.
#[derive(Args, Clone, Debug)]
#[command(name = "addauth")]
pub(in crate::shell) struct AddAuth {
    /// How: digest, for one.
    scheme: String,
    /// What proves it: user:password for digest.
    auth: Option<OsString>,
}

impl AddAuth {
    pub(in crate::shell) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        let data = self.auth.unwrap_or_default().into_vec();
        let added = context.client().add_auth(&self.scheme, data).await;
        added.map_err(|error| ShellError::Refused(format!("{}: {error}", self.scheme)))?;
        Ok(Outcome::Done("addauth"))
    }
}

/// Shows who the server takes this session for.
#[derive(Args, Clone, Copy, Debug)]
pub(in crate::shell) struct WhoAmI {}

impl WhoAmI {
    pub(in crate::shell) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        let infos = context.client().who_am_i().await.map_err(at("whoami"))?;
        let text = |text: conclave_protocol::text::Text| text.as_str().unwrap_or("?").to_owned();
        let identities = infos.into_iter().map(|info| (text(info.scheme), text(info.user)));
        Ok(Outcome::Identities(identities.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acls_are_read_as_zookeepers_shell_reads_them() {
        let acl = parse_acl("world:anyone:r,digest:user:hash=:cdrwa,auth::w").unwrap();
        let ids: Vec<_> = acl.iter().map(|acl| acl.identity.id.as_str().unwrap()).collect();
        assert_eq!(ids, ["anyone", "user:hash=", ""]);
        assert_eq!(acl.iter().map(|acl| acl.perms.0).collect::<Vec<_>>(), [1, 31, 2]);
        for wrong in ["", "world", "world:anyone", "world:anyone:x", "world:anyone:r,"] {
            assert!(parse_acl(wrong).is_err(), "{wrong}");
        }
    }
}
