//! The client: a cheap handle on a session. The order of operations is that of the calls, not of
//! the awaits.

mod answer;
mod builder;
pub(crate) mod chroot;
pub(crate) mod create;
pub(crate) mod permit;
mod reads;
pub(crate) mod status;
mod writes;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use conclave_protocol::{
    ids::SessionId,
    multi,
    path::{self, ZnodePath},
    request::{Create, Request},
    response::Response,
    text::Text,
};
use tokio::sync::{mpsc, oneshot, watch};

pub(crate) use self::reads::sorted;
pub use self::{
    answer::Answer,
    builder::ClientBuilder,
    create::{CreateOptions, Created},
    writes::CreateMode,
};
use self::{answer::Answered, chroot::Chroot, permit::Permits, status::Status};
use crate::{
    driver::{Ask, Call},
    error::ClientError,
    session::{SessionState, WatchRequest, over},
    watch::{WatchId, WatchKind, Watcher, mailbox},
};

/// Operations under way at most, sent or waiting for a connection; beyond, a call fails with
/// [`ClientError::Overloaded`].
pub const REQUESTS_MAX: usize = 65_536;

/// Places kept beyond [`REQUESTS_MAX`], so that a client can be closed, and watches can be dropped,
/// when there is no other.
const PLACES_KEPT: usize = 1024;

/// A handle on a session; clones share it. The session ends by [`Client::close`], or when every
/// handle is dropped and its timeout passes.
#[derive(Clone, Debug)]
pub struct Client {
    core: Arc<Core>,
    /// Where this handle's paths begin.
    chroot: Arc<Chroot>,
}

/// What all handles share.
#[derive(Debug)]
struct Core {
    calls: mpsc::Sender<Call>,
    status: Arc<Status>,
    permits: Permits,
    next_watch: AtomicU64,
    request_len_bytes_max: usize,
}

type PendingWatch = (WatchRequest, mailbox::Sender);

impl Client {
    /// Starts a client with the defaults of [`ClientBuilder`] and waits until it is connected.
    ///
    /// # Errors
    ///
    /// [`ClientError::ConnectString`], or how the session ended before it was connected.
    pub async fn connect(connect_string: &str) -> Result<Self, ClientError> {
        let client = ClientBuilder::new(connect_string).start()?;
        client.connected().await?;
        Ok(client)
    }

    /// Returns a handle on the same session whose paths begin at `path`, as this handle names it; the
    /// znode need not be there. It costs no request.
    ///
    /// # Errors
    ///
    /// [`ClientError::BadArguments`] when `path` is none.
    pub fn chroot(&self, path: &str) -> Result<Self, ClientError> {
        path::validate(path).map_err(|_| ClientError::BadArguments)?;
        let prefix = match self.chroot.path_inward(path) {
            root if root == "/" => String::new(),
            prefix => prefix,
        };
        Ok(Self { core: self.core.clone(), chroot: Arc::new(Chroot::new(prefix)) })
    }

    /// Returns where this handle's paths begin, as the ensemble names it.
    pub fn root(&self) -> ZnodePath {
        let root = self.chroot.path_inward("/");
        ZnodePath::try_from(root.as_str()).expect("a chroot is checked when it is made")
    }

    /// Returns where the session stands now.
    pub fn state(&self) -> SessionState {
        self.core.status.state()
    }

    /// Returns the session's states as they come; a slow reader sees the newest.
    pub fn states(&self) -> watch::Receiver<SessionState> {
        self.core.status.states()
    }

    /// Returns the session's id; [`SessionId::NONE`] before the first connection. It changes only
    /// with [`ClientBuilder::renew_expired`].
    pub fn session_id(&self) -> SessionId {
        self.core.status.session()
    }

    /// Returns the session's timeout as the server has granted it, in milliseconds; 0 before the first
    /// connection.
    pub fn session_timeout_ms(&self) -> u64 {
        self.core.status.timeout_ms()
    }

    /// Waits until the session has a connection.
    ///
    /// # Errors
    ///
    /// How the session ended before.
    pub async fn connected(&self) -> Result<(), ClientError> {
        let mut states = self.states();
        let is_settled = |state: &SessionState| state.is_connected() || state.is_over();
        match states.wait_for(is_settled).await.map(|state| *state) {
            Ok(state) if state.is_connected() => Ok(()),
            Ok(state) => Err(over(state)),
            Err(_) => Err(over(self.state())),
        }
    }

    /// Ends the session: its ephemerals go at once, or after its timeout when there is no connection.
    ///
    /// # Errors
    ///
    /// Those of the session, when it is over already.
    pub fn close(&self) -> Answer<()> {
        self.call(Request::CloseSession, |_| Ok(()))
    }

    fn watch(&self, path: &str, kind: WatchKind) -> (PendingWatch, Watcher) {
        let id = WatchId(self.core.next_watch.fetch_add(1, Ordering::Relaxed));
        let watch = WatchRequest { id, kind, path: self.chroot.path_inward(path) };
        let calls = self.core.calls.downgrade();
        let (sender, watcher) = Watcher::new(watch.clone(), self.chroot.clone(), calls);
        ((watch, sender), watcher)
    }

    /// Sends a request now; the future is what `read` makes of a response.
    fn call<T>(
        &self,
        request: Request,
        read: impl FnOnce(Response) -> Result<T, ClientError> + Send + 'static,
    ) -> Answer<T> {
        self.call_and_watch(request, None, |answered| read(answered?))
    }

    /// Sends a request now; the future is what `read` makes of its answer.
    fn call_and_watch<T, E>(
        &self,
        request: Request,
        watch: Option<PendingWatch>,
        read: impl FnOnce(Answered) -> Result<T, E> + Send + 'static,
    ) -> Answer<T, E> {
        let sent = self.send(request, watch);
        Answer::new(sent, self.chroot.clone(), self.core.status.clone(), read)
    }

    /// Returns the answer of a call that is not sent.
    fn refused<T>(&self, error: ClientError) -> Answer<T> {
        let (chroot, status) = (self.chroot.clone(), self.core.status.clone());
        Answer::new(Err(error.clone()), chroot, status, |_| Err(error))
    }

    fn send(
        &self,
        request: Request,
        watch: Option<PendingWatch>,
    ) -> Result<oneshot::Receiver<Answered>, ClientError> {
        let Core { calls, permits, request_len_bytes_max, .. } = &*self.core;
        let len_bytes = data_len_bytes(&request);
        if len_bytes > *request_len_bytes_max {
            return Err(ClientError::TooLong(len_bytes));
        }
        let request = self.chroot.inward(request)?;
        let permit = match request {
            Request::CloseSession => None,
            _ => Some(permits.take().ok_or(ClientError::Overloaded)?),
        };
        let (done, answer) = oneshot::channel();
        match calls.try_send(Call::Ask(Ask { request, watch: watch.map(Box::new), done, permit })) {
            Ok(()) => Ok(answer),
            Err(mpsc::error::TrySendError::Full(_)) => Err(ClientError::Overloaded),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(over(self.state())),
        }
    }
}

/// Returns the bytes of data that a request carries: those that may be too many to encode at all.
fn data_len_bytes(request: &Request) -> usize {
    let len = |data: &Option<bytes::Bytes>| data.as_ref().map_or(0, bytes::Bytes::len);
    match request {
        Request::Create(Create { data, .. })
        | Request::Create2(Create { data, .. })
        | Request::CreateContainer(Create { data, .. })
        | Request::CreateTtl { create: Create { data, .. }, .. }
        | Request::SetData { data, .. }
        | Request::Auth { data, .. } => len(data),
        Request::Multi(ops) => ops.iter().fold(0, |sum, op| {
            sum + match op {
                multi::Op::Create(Create { data, .. })
                | multi::Op::Create2(Create { data, .. })
                | multi::Op::CreateContainer(Create { data, .. })
                | multi::Op::CreateTtl { create: Create { data, .. }, .. }
                | multi::Op::SetData { data, .. } => len(data),
                multi::Op::Delete { .. } | multi::Op::Check { .. } => 0,
            }
        }),
        _ => 0,
    }
}

/// Returns a text of the protocol that has to be one.
pub(crate) fn text(text: &Text) -> Result<String, ClientError> {
    text.as_str().map(str::to_owned).ok_or(ClientError::Malformed)
}
