//! The client: a cheap handle on a session. The order of operations is that of the calls, not of
//! the awaits.

mod answer;
mod builder;
mod reads;
mod writes;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use conclave_protocol::{
    event::WatchEvent,
    multi,
    request::{Create, Request},
    response::Response,
    text::Text,
};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use self::answer::Answered;
pub use self::{answer::Answer, builder::ClientBuilder, writes::CreateMode};
use crate::{
    driver::Call,
    error::ClientError,
    session::{SessionState, WatchRequest, over},
    watch::{EVENTS_MAX, WatchId, WatchKind, Watcher},
};

/// Operations under way at most, sent or waiting for a connection; beyond, a call fails with
/// [`ClientError::Overloaded`].
pub const REQUESTS_MAX: usize = 65_536;

/// Places kept beyond [`REQUESTS_MAX`], so that a client can be closed when there is no other.
const CLOSES_MAX: usize = 16;

/// A handle on a session; clones share it. The session ends by [`Client::close`], or when every
/// handle is dropped and its timeout passes.
#[derive(Clone, Debug)]
pub struct Client {
    calls: mpsc::Sender<Call>,
    states: watch::Receiver<SessionState>,
    permits: Arc<Semaphore>,
    next_watch: Arc<AtomicU64>,
    request_len_bytes_max: usize,
}

type PendingWatch = (WatchRequest, mpsc::Sender<WatchEvent>);

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

    /// Returns where the session stands now.
    pub fn state(&self) -> SessionState {
        *self.states.borrow()
    }

    /// Returns the session's states as they come; a slow reader sees the newest.
    pub fn states(&self) -> watch::Receiver<SessionState> {
        self.states.clone()
    }

    /// Waits until the session has a connection.
    ///
    /// # Errors
    ///
    /// How the session ended before.
    pub async fn connected(&self) -> Result<(), ClientError> {
        let mut states = self.states.clone();
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
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let id = WatchId(self.next_watch.fetch_add(1, Ordering::Relaxed));
        ((WatchRequest { id, kind, path: path.to_owned() }, sender), Watcher { events })
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
        Answer::new(self.send(request, watch), self.states.clone(), read)
    }

    fn send(
        &self,
        request: Request,
        watch: Option<PendingWatch>,
    ) -> Result<oneshot::Receiver<Answered>, ClientError> {
        let len_bytes = data_len_bytes(&request);
        if len_bytes > self.request_len_bytes_max {
            return Err(ClientError::TooLong(len_bytes));
        }
        let permit = match request {
            Request::CloseSession => None,
            _ => Some(
                Arc::clone(&self.permits)
                    .try_acquire_owned()
                    .map_err(|_| ClientError::Overloaded)?,
            ),
        };
        let (done, answer) = oneshot::channel();
        match self.calls.try_send(Call { request, watch, done, permit }) {
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
