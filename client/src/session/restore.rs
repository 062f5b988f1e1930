//! After a new connection: identities are proved again, and watches armed again relative to what
//! the client has seen, so that nothing that happened meanwhile is missed.

use conclave_protocol::{ids::Xid, request::Request, text::Text};

use super::{Output, Session};
use crate::watch::WatchKind;

/// Bytes of paths that one setWatches carries at most, far below every server's limit; a path that is
/// longer by itself goes alone.
pub const SET_WATCHES_LEN_BYTES_MAX: usize = 127 << 10;

/// The paths of one setWatches.
#[derive(Default)]
struct Chunk {
    data: Vec<Text>,
    exist: Vec<Text>,
    child: Vec<Text>,
    persistent: Vec<Text>,
    recursive: Vec<Text>,
}

impl Session {
    /// Tells a new connection what the old one knew.
    pub(super) fn restore(&mut self) {
        for (scheme, data) in self.auths.clone() {
            let is_queued = self.queued.iter().any(|queued| {
                matches!(&queued.request, Request::Auth { scheme: other, data: bytes, .. }
                    if other.as_str() == Some(&scheme) && bytes.as_ref() == Some(&data))
            });
            if !is_queued {
                let request =
                    Request::Auth { kind: 0, scheme: scheme.as_str().into(), data: Some(data) };
                self.send(Xid::AUTH, &request, None, None);
            }
        }
        for chunk in self.chunks() {
            let relative_zxid = self.last_zxid;
            let Chunk { data, exist, child, persistent, recursive } = chunk;
            // The older form where it will do: servers before 3.6 know no other.
            let request = if persistent.is_empty() && recursive.is_empty() {
                Request::SetWatches { relative_zxid, data, exist, child }
            } else {
                Request::SetWatches2 { relative_zxid, data, exist, child, persistent, recursive }
            };
            self.send(Xid::SET_WATCHES, &request, None, None);
        }
        // What the callers read from now on is read behind the watches.
        let persistent = self.watches.reconnected();
        self.outputs.extend(persistent.into_iter().map(Output::Gap));
    }

    fn chunks(&self) -> Vec<Chunk> {
        let (mut chunks, mut chunk, mut len_bytes) = (Vec::new(), Chunk::default(), 0);
        for (kind, path) in self.watches.iter() {
            let path_len_bytes = path.len() + 4;
            if len_bytes > 0 && len_bytes + path_len_bytes > SET_WATCHES_LEN_BYTES_MAX {
                chunks.push(std::mem::take(&mut chunk));
                len_bytes = 0;
            }
            len_bytes += path_len_bytes;
            let list = match kind {
                WatchKind::Data => &mut chunk.data,
                WatchKind::Exist => &mut chunk.exist,
                WatchKind::Child => &mut chunk.child,
                WatchKind::Persistent => &mut chunk.persistent,
                WatchKind::Recursive => &mut chunk.recursive,
            };
            list.push(path.into());
        }
        if len_bytes > 0 {
            chunks.push(chunk);
        }
        chunks
    }
}
