//! Removing what nobody holds any more, in the background and until it is done.

use bytes::Bytes;
use conclave_protocol::stat::Stat;
use tokio::runtime::Handle;

use super::{REST, patient};
use crate::{
    client::{Answer, Client, CreateMode, CreateOptions, Created},
    error::{ClientError, ErrorKind},
};

/// Deletes a znode. The request is sent before this returns; the rest goes on in the background.
pub(super) fn delete(client: &Client, path: &str) {
    let first = client.delete(path, None);
    // Without a runtime nobody waits for the answer, and the session's end has to do.
    if let Ok(runtime) = Handle::try_current() {
        let (client, path) = (client.clone(), path.to_owned());
        runtime.spawn(async move { drop(finish(&client, &path, first).await) });
    }
}

/// Deletes a znode and waits until it is gone.
pub(super) async fn delete_and_wait(client: &Client, path: &str) -> Result<(), ClientError> {
    finish(client, path, client.delete(path, None)).await
}

async fn finish(client: &Client, path: &str, first: Answer<()>) -> Result<(), ClientError> {
    let mut answer = first.await;
    loop {
        match answer {
            Ok(()) | Err(ClientError::NoNode) => return Ok(()),
            Err(error) => match error.kind() {
                ErrorKind::OutcomeUnknown => {}
                ErrorKind::NotDone => tokio::time::sleep(REST).await,
                // Its ephemerals are gone with it, or go by themselves.
                ErrorKind::SessionGone | ErrorKind::Refused => return Err(error),
            },
        }
        answer = client.delete(path, None).await;
    }
}

/// Deletes a znode when dropped, unless told otherwise: also one whose creation is still under way, as
/// the deletion is sent behind it.
#[derive(Debug)]
pub(super) struct Begun<'a> {
    pub(super) client: &'a Client,
    pub(super) path: &'a str,
    pub(super) is_kept: bool,
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            delete(self.client, self.path);
        }
    }
}

/// Creates an ephemeral znode whose name is its creator's own, with missing parents. Dropping the future
/// leaves nothing behind; a lost answer changes nothing.
pub(super) async fn create_own(
    client: &Client,
    path: &str,
    data: &Bytes,
) -> Result<Created, ClientError> {
    let options = CreateOptions::new(CreateMode::Ephemeral).parents();
    let mut begun = Begun { client, path, is_kept: false };
    loop {
        let found = match client.create_as(path, data.clone(), &options).await {
            Err(ClientError::NodeExists) => patient(|| client.exists(path)).await?,
            Err(error) if error.kind() == ErrorKind::OutcomeUnknown => None,
            created => {
                begun.is_kept = true;
                return created;
            }
        };
        let is_own = |stat: &Stat| stat.ephemeral_owner == client.session_id().0;
        if let Some(stat) = found {
            begun.is_kept = true;
            return match is_own(&stat) {
                true => Ok(Created { path: path.to_owned(), stat }),
                false => Err(ClientError::NodeExists),
            };
        }
    }
}

/// Deletes the children of `dir` that a create under way may make, known by how their names begin.
pub(super) fn delete_begun(client: &Client, dir: &str, prefix: String) {
    let Ok(runtime) = Handle::try_current() else { return };
    let (client, dir) = (client.clone(), dir.to_owned());
    runtime.spawn(async move {
        // Behind a sync nothing that an earlier connection has sent can still take effect, and on the
        // same connection the create comes first.
        let synced = patient(|| client.sync(&dir)).await;
        let listed = patient(|| client.get_children(&dir)).await;
        let (Ok(()), Ok((names, _))) = (synced, listed) else { return };
        for name in names.iter().filter(|name| name.starts_with(&prefix)) {
            drop(delete_and_wait(&client, &format!("{dir}/{name}")).await);
        }
    });
}
