//! Creating with options: parents, protection against lost answers, kinds.

use bytes::Bytes;
use conclave_protocol::{acl::Acl, path, stat::Stat};

use super::{Client, CreateMode};
use crate::error::{ClientError, ErrorKind};

/// Begins the name of a protected znode, as Curator has it.
const PROTECTION_PREFIX: &str = "_c_";

/// Parents that are made for one create at most: one that is deleted again and again by others ends
/// the create.
const PARENTS_ROUNDS_MAX: usize = 16;

/// How a znode is created. The default is a persistent one, open to anyone, whose parent is there.
///
/// ```
/// # async fn example(client: conclave_client::Client) -> Result<(), conclave_client::ClientError> {
/// use conclave_client::{CreateMode, CreateOptions};
///
/// let options = CreateOptions::new(CreateMode::EphemeralSequential).parents().protected();
/// let created = client.create_as("/jobs/job-", "work", &options).await?;
/// println!("{} since zxid {:?}", created.path, created.stat.czxid);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CreateOptions {
    mode: CreateMode,
    acl: Vec<Acl>,
    parents: Option<CreateMode>,
    protection: Option<String>,
}

/// A znode that was created.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Created {
    /// Its final path: with its number, and with its protection.
    pub path: String,
    /// Its stat right after the creation, or when it was found after a lost answer.
    pub stat: Stat,
}

impl Default for CreateOptions {
    fn default() -> Self {
        Self::new(CreateMode::Persistent)
    }
}

impl From<CreateMode> for CreateOptions {
    fn from(mode: CreateMode) -> Self {
        Self::new(mode)
    }
}

impl CreateOptions {
    /// Starts from a kind of znode, open to anyone.
    pub fn new(mode: CreateMode) -> Self {
        Self { mode, acl: vec![Acl::open()], parents: None, protection: None }
    }

    /// Sets who may do what with it.
    #[must_use]
    pub fn acl(mut self, acl: Vec<Acl>) -> Self {
        self.acl = acl;
        self
    }

    /// Creates missing parents, also those of a chroot: persistent ones, with the same ACL.
    #[must_use]
    pub fn parents(mut self) -> Self {
        self.parents = Some(CreateMode::Persistent);
        self
    }

    /// Creates missing parents as containers, which go after their last child; as persistent ones on
    /// servers that have none.
    #[must_use]
    pub fn container_parents(mut self) -> Self {
        self.parents = Some(CreateMode::Container);
        self
    }

    /// Puts a unique text before the last name: when the answer is lost with the connection, the
    /// znode is found again by it instead of created a second time. The name becomes
    /// `_c_GUID-name`, as with Curator, whose recipes know it.
    #[must_use]
    pub fn protected(self) -> Self {
        let guid = guid();
        self.protected_by(&guid)
    }

    /// As [`Self::protected`], by a text of the caller's; with the same text a later call finds what an
    /// earlier one has created.
    #[must_use]
    pub fn protected_by(mut self, guid: &str) -> Self {
        self.protection = Some(format!("{PROTECTION_PREFIX}{guid}-"));
        self
    }
}

/// Returns a random text that is unique for all practical purposes: a UUID of version 4.
pub(crate) fn guid() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system has entropy");
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

impl Client {
    /// Creates a znode as told, and returns its final path and its stat. The first request is sent
    /// when the future is first polled.
    ///
    /// With [`CreateOptions::protected`] a lost connection is no error: the create is looked for and
    /// repeated until its outcome is known, and only the end of the session stops it.
    ///
    /// # Errors
    ///
    /// [`ClientError::NodeExists`], [`ClientError::NoNode`] when the parent is missing,
    /// [`ClientError::InvalidAcl`], and others.
    pub async fn create_as(
        &self,
        path: &str,
        data: impl Into<Bytes>,
        options: &CreateOptions,
    ) -> Result<Created, ClientError> {
        let data = data.into();
        let Some(protection) = &options.protection else {
            return self.create_below_parents(path, &data, options).await;
        };
        let (parent, name) = path.rsplit_once('/').ok_or(ClientError::BadArguments)?;
        let path = format!("{parent}/{protection}{name}");
        let parent = if parent.is_empty() { "/" } else { parent };
        loop {
            match self.create_below_parents(&path, &data, options).await {
                Err(error) if error.kind() == ErrorKind::OutcomeUnknown => {}
                answer => return answer,
            }
            if let Some(found) = self.find_protected(parent, protection).await? {
                return Ok(found);
            }
        }
    }

    async fn create_below_parents(
        &self,
        path: &str,
        data: &Bytes,
        options: &CreateOptions,
    ) -> Result<Created, ClientError> {
        for _ in 0..PARENTS_ROUNDS_MAX {
            let acl = options.acl.clone();
            let answer = self.create_with_stat(path, data.clone(), options.mode, acl).await;
            match (answer, options.parents) {
                (Ok((path, stat)), _) => return Ok(Created { path, stat }),
                (Err(ClientError::NoNode), Some(kind)) => {
                    let path = self.chroot.path_inward(path);
                    self.whole().create_parents(&path, kind, &options.acl).await?;
                }
                (Err(error), _) => return Err(error),
            }
        }
        Err(ClientError::NoNode)
    }

    /// Creates what is missing above a path; what others create meanwhile is as good.
    async fn create_parents(
        &self,
        path: &str,
        kind: CreateMode,
        acl: &[Acl],
    ) -> Result<(), ClientError> {
        // Several at once: the answers come in the order of the calls.
        let mut parents: Vec<&str> =
            std::iter::successors(path::parent(path), |path| path::parent(path))
                .filter(|parent| *parent != "/")
                .collect();
        parents.reverse();
        let mut kind = kind;
        loop {
            let create = |parent: &&str| self.create_with_acl(parent, "", kind, acl.to_vec());
            let answers: Vec<_> = parents.iter().map(create).collect();
            let mut is_unknown_kind = false;
            for answer in answers {
                match answer.await {
                    // Who may create nothing at the top is told so, whether it is there or not.
                    Ok(_) | Err(ClientError::NodeExists | ClientError::NoAuth) => {}
                    Err(ClientError::Unimplemented) if kind != CreateMode::Persistent => {
                        is_unknown_kind = true;
                    }
                    // One above it could not be made, and has said why.
                    Err(ClientError::NoNode) if is_unknown_kind => {}
                    Err(error) => return Err(error),
                }
            }
            if !is_unknown_kind {
                return Ok(());
            }
            kind = CreateMode::Persistent;
        }
    }

    /// Looks for a protected znode whose answer was lost. Behind a sync of the new connection nothing
    /// that the old one has sent can still take effect.
    async fn find_protected(
        &self,
        parent: &str,
        protection: &str,
    ) -> Result<Option<Created>, ClientError> {
        loop {
            let (synced, listed) = (self.sync(parent), self.get_children(parent));
            let answers = (synced.await, listed.await);
            let names = match answers {
                (Ok(()), Ok((names, _))) => names,
                (_, Err(ClientError::NoNode)) => return Ok(None),
                (Err(error), _) | (_, Err(error)) => {
                    if error.kind() == ErrorKind::OutcomeUnknown {
                        continue;
                    }
                    return Err(error);
                }
            };
            let Some(name) = names.into_iter().find(|name| name.starts_with(protection)) else {
                return Ok(None);
            };
            let slash = if parent == "/" { "" } else { "/" };
            let path = format!("{parent}{slash}{name}");
            match self.exists(&path).await {
                Ok(Some(stat)) => return Ok(Some(Created { path, stat })),
                Ok(None) => return Ok(None),
                Err(error) if error.kind() == ErrorKind::OutcomeUnknown => {}
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_has_the_form_that_curator_looks_for() {
        let (one, other) = (guid(), guid());
        assert_ne!(one, other);
        let lens: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(lens, [8, 4, 4, 4, 12]);
        assert!(one.chars().all(|c| c == '-' || c.is_ascii_hexdigit() && !c.is_uppercase()));
    }
}
