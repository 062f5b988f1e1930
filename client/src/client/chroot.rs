//! The path that stands for the root: put before every path that goes out, taken off every path
//! that comes in.

use conclave_protocol::{
    multi::{Op, OpResult, ReadOp},
    request::{Create, Request},
    response::Response,
    text::Text,
};

use crate::error::ClientError;

/// A prefix of paths; empty for none.
#[derive(Clone, Debug)]
pub(crate) struct Chroot {
    prefix: String,
}

impl Chroot {
    pub(crate) const fn new(prefix: String) -> Self {
        Self { prefix }
    }

    /// Returns whether paths are the server's own.
    pub(crate) const fn is_none(&self) -> bool {
        self.prefix.is_empty()
    }

    /// Returns the path as the server knows it.
    pub(crate) fn path_inward(&self, path: &str) -> String {
        match (self.prefix.as_str(), path) {
            ("", path) => path.to_owned(),
            (prefix, "/") => prefix.to_owned(),
            (prefix, path) => format!("{prefix}{path}"),
        }
    }

    /// Returns the path as the caller knows it; one that is not below the chroot as it is.
    pub(crate) fn path_outward(&self, path: &str) -> String {
        match path.strip_prefix(self.prefix.as_str()) {
            Some("") if !self.prefix.is_empty() => "/".to_owned(),
            // Not `/apple` for the chroot `/app`.
            Some(rest) if rest.starts_with('/') => rest.to_owned(),
            _ => path.to_owned(),
        }
    }

    /// A path that is not absolute would name something beside the chroot: `le` is `/apple` behind
    /// `/app`.
    fn text_inward(&self, text: &mut Text) -> Result<(), ClientError> {
        let path = text.as_str().filter(|path| path.starts_with('/'));
        *text = self.path_inward(path.ok_or(ClientError::BadArguments)?).into();
        Ok(())
    }

    /// The number of a sequential znode is appended to the path as it stands: `/` must stay a slash.
    fn create_inward(&self, create: &mut Create) -> Result<(), ClientError> {
        let is_numbered_root = create.path.as_str() == Some("/") && is_sequential(create.flags);
        if is_numbered_root {
            create.path = format!("{}/", self.prefix).into();
            return Ok(());
        }
        self.text_inward(&mut create.path)
    }

    fn text_outward(&self, text: &mut Text) {
        if let Some(path) = text.as_str() {
            *text = self.path_outward(path).into();
        }
    }

    fn is_below(&self, text: &Text) -> bool {
        let rest = text.as_str().and_then(|path| path.strip_prefix(self.prefix.as_str()));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Puts the chroot before every path of a request.
    pub(crate) fn inward(&self, mut request: Request) -> Result<Request, ClientError> {
        if self.is_none() {
            return Ok(request);
        }
        match &mut request {
            Request::Create(create)
            | Request::Create2(create)
            | Request::CreateContainer(create)
            | Request::CreateTtl { create, .. } => self.create_inward(create)?,
            Request::Delete { path, .. }
            | Request::Exists { path, .. }
            | Request::GetData { path, .. }
            | Request::SetData { path, .. }
            | Request::GetAcl { path }
            | Request::SetAcl { path, .. }
            | Request::GetChildren { path, .. }
            | Request::Sync { path }
            | Request::GetChildren2 { path, .. }
            | Request::Check { path, .. }
            | Request::CheckWatches { path, .. }
            | Request::RemoveWatches { path, .. }
            | Request::GetEphemerals { prefix: path }
            | Request::GetAllChildrenNumber { path }
            | Request::AddWatch { path, .. } => self.text_inward(path)?,
            Request::Multi(ops) => ops.iter_mut().try_for_each(|op| self.op_inward(op))?,
            Request::MultiRead(ops) => ops.iter_mut().try_for_each(|op| {
                let (ReadOp::GetData { path, .. } | ReadOp::GetChildren { path, .. }) = op;
                self.text_inward(path)
            })?,
            Request::Ping
            | Request::Reconfig { .. }
            | Request::Auth { .. }
            | Request::SetWatches { .. }
            | Request::SetWatches2 { .. }
            | Request::Sasl { .. }
            | Request::WhoAmI
            | Request::CloseSession => {}
        }
        Ok(request)
    }

    fn op_inward(&self, op: &mut Op) -> Result<(), ClientError> {
        match op {
            Op::Create(create)
            | Op::Create2(create)
            | Op::CreateContainer(create)
            | Op::CreateTtl { create, .. } => self.create_inward(create),
            Op::Delete { path, .. } | Op::SetData { path, .. } | Op::Check { path, .. } => {
                self.text_inward(path)
            }
        }
    }

    /// Takes the chroot off every path of a response.
    pub(crate) fn outward(&self, mut response: Response) -> Response {
        if self.is_none() {
            return response;
        }
        match &mut response {
            Response::Path(path) | Response::PathStat { path, .. } | Response::Sync(path) => {
                self.text_outward(path);
            }
            Response::Ephemerals(paths) => {
                // The server compares text: `/app` finds `/apple` too.
                paths.retain(|path| self.is_below(path));
                for path in paths {
                    self.text_outward(path);
                }
            }
            Response::Multi(results) => {
                for result in results {
                    if let OpResult::Create { path } | OpResult::Create2 { path, .. } = result {
                        self.text_outward(path);
                    }
                }
            }
            _ => {}
        }
        response
    }
}

/// Whether the server appends a number to the path.
const fn is_sequential(flags: i32) -> bool {
    matches!(flags, 2 | 3 | 6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_below_the_chroot_is_stripped() {
        let chroot = Chroot::new("/app".to_owned());
        assert_eq!(chroot.path_outward("/apple"), "/apple");
        let paths = vec!["/app/x".into(), "/apple/y".into(), "/app".into()];
        let stripped = Response::Ephemerals(vec!["/x".into(), "/".into()]);
        assert_eq!(chroot.outward(Response::Ephemerals(paths)), stripped);
    }

    #[test]
    fn a_relative_path_cannot_leave_the_chroot() {
        let chroot = Chroot::new("/app".to_owned());
        let request = Request::Delete { path: "le".into(), version: -1 };
        assert_eq!(chroot.inward(request.clone()), Err(ClientError::BadArguments));
        let op = Op::Delete { path: "le".into(), version: -1 };
        assert_eq!(chroot.inward(Request::Multi(vec![op])), Err(ClientError::BadArguments));
        // Without a chroot it is for the server to judge.
        assert_eq!(Chroot::new(String::new()).inward(request.clone()), Ok(request));
    }

    #[test]
    fn a_sequential_znode_of_the_root_stays_below_the_chroot() {
        let chroot = Chroot::new("/app".to_owned());
        for (flags, path) in [(0, "/app"), (2, "/app/"), (3, "/app/"), (6, "/app/")] {
            let create = |path: &str| Create { path: path.into(), data: None, acl: None, flags };
            let inward = chroot.inward(Request::Create(create("/")));
            assert_eq!(inward, Ok(Request::Create(create(path))));
        }
    }

    #[test]
    fn the_root_of_a_chroot_is_the_chroot() {
        let chroot = Chroot::new("/app".to_owned());
        assert_eq!(chroot.path_inward("/"), "/app");
        assert_eq!(chroot.path_inward("/a"), "/app/a");
        assert_eq!(chroot.path_outward("/app"), "/");
        assert_eq!(chroot.path_outward("/app/a"), "/a");
    }

    #[test]
    fn without_a_chroot_paths_stay_as_they_are() {
        let none = Chroot::new(String::new());
        assert_eq!(none.path_inward("/"), "/");
        assert_eq!(none.path_outward("/a"), "/a");
    }
}
