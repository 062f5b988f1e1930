//! The path that stands for the root: put before every path that goes out, taken off every path
//! that comes in.

use conclave_protocol::{
    multi::{Op, OpResult, ReadOp},
    request::{Create, Request},
    response::Response,
    text::Text,
};

#[derive(Clone, Debug)]
pub(super) struct Chroot {
    prefix: String,
}

impl Chroot {
    pub(super) const fn new(prefix: String) -> Self {
        Self { prefix }
    }

    /// Returns the path as the server knows it.
    pub(super) fn path_inward(&self, path: &str) -> String {
        match (self.prefix.as_str(), path) {
            ("", path) => path.to_owned(),
            (prefix, "/") => prefix.to_owned(),
            (prefix, path) => format!("{prefix}{path}"),
        }
    }

    /// Returns the path as the caller knows it.
    pub(super) fn path_outward(&self, path: &str) -> String {
        match path.strip_prefix(self.prefix.as_str()) {
            Some("") if !self.prefix.is_empty() => "/".to_owned(),
            Some(rest) => rest.to_owned(),
            None => path.to_owned(),
        }
    }

    fn text_inward(&self, text: &mut Text) {
        if !self.prefix.is_empty()
            && let Some(path) = text.as_str()
        {
            *text = self.path_inward(path).into();
        }
    }

    fn text_outward(&self, text: &mut Text) {
        if !self.prefix.is_empty()
            && let Some(path) = text.as_str()
        {
            *text = self.path_outward(path).into();
        }
    }

    pub(super) fn inward(&self, mut request: Request) -> Request {
        match &mut request {
            Request::Create(Create { path, .. })
            | Request::Create2(Create { path, .. })
            | Request::CreateContainer(Create { path, .. })
            | Request::CreateTtl { create: Create { path, .. }, .. }
            | Request::Delete { path, .. }
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
            | Request::AddWatch { path, .. } => self.text_inward(path),
            Request::Multi(ops) => {
                for op in ops {
                    match op {
                        Op::Create(Create { path, .. })
                        | Op::Create2(Create { path, .. })
                        | Op::CreateContainer(Create { path, .. })
                        | Op::CreateTtl { create: Create { path, .. }, .. }
                        | Op::Delete { path, .. }
                        | Op::SetData { path, .. }
                        | Op::Check { path, .. } => self.text_inward(path),
                    }
                }
            }
            Request::MultiRead(ops) => {
                for op in ops {
                    let (ReadOp::GetData { path, .. } | ReadOp::GetChildren { path, .. }) = op;
                    self.text_inward(path);
                }
            }
            Request::Ping
            | Request::Reconfig { .. }
            | Request::Auth { .. }
            | Request::SetWatches { .. }
            | Request::SetWatches2 { .. }
            | Request::Sasl { .. }
            | Request::WhoAmI
            | Request::CloseSession => {}
        }
        request
    }

    pub(super) fn outward(&self, mut response: Response) -> Response {
        match &mut response {
            Response::Path(path) | Response::PathStat { path, .. } | Response::Sync(path) => {
                self.text_outward(path);
            }
            Response::Ephemerals(paths) => {
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

#[cfg(test)]
mod tests {
    use super::*;

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
