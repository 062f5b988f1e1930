//! The client: a cheap handle on a session. The order of operations is that of the calls, not of
//! the awaits.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use conclave_protocol::{
    acl::Acl,
    frame::FRAME_LEN_BYTES_MAX_DEFAULT,
    request::{Create, Request},
    response::{ClientInfo, Response},
    stat::Stat,
    text::Text,
};
use tokio::sync::{mpsc, oneshot, watch};

use crate::{
    clock::{self, Clock},
    driver::{Call, Driver, Waiters},
    error::ClientError,
    hosts::{ConnectString, Hosts},
    ops::{self, Op, OpOutcome},
    session::{Session, SessionState, Settings, WatchRequest},
    watch::{EVENTS_MAX, WatchId, WatchKind, Watcher},
};

/// Operations that wait to be taken by the session's task at most; beyond, a call fails with
/// [`ClientError::Overloaded`].
pub const REQUESTS_MAX: usize = 65_536;

/// Longest request, in bytes: what the protocol's length can say, less its headers.
const REQUEST_LEN_BYTES_MAX: usize = i32::MAX as usize - 1024;

/// Replies may be longer than requests: a list of many children is one reply.
const REPLY_LEN_BYTES_MAX_DEFAULT: usize = 256 * FRAME_LEN_BYTES_MAX_DEFAULT;

/// What kind of znode a create makes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CreateMode {
    /// Stays until it is deleted.
    Persistent,
    /// Goes with the session.
    Ephemeral,
    /// Stays; its name gets a number.
    PersistentSequential,
    /// Goes with the session; its name gets a number.
    EphemeralSequential,
    /// Goes some time after its last child.
    Container,
    /// Goes when childless and unchanged for so many milliseconds.
    Ttl(i64),
}

impl CreateMode {
    pub(crate) const fn flags(self) -> i32 {
        match self {
            Self::Persistent => 0,
            Self::Ephemeral => 1,
            Self::PersistentSequential => 2,
            Self::EphemeralSequential => 3,
            Self::Container => 4,
            Self::Ttl(_) => 5,
        }
    }
}

/// Makes a client.
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    connect_string: String,
    session_timeout_ms: u32,
    reply_len_bytes_max: usize,
    read_only: bool,
}

impl ClientBuilder {
    /// Starts from defaults that suit a local network: a session of 10 000 ms.
    pub fn new(connect_string: impl Into<String>) -> Self {
        Self {
            connect_string: connect_string.into(),
            session_timeout_ms: 10_000,
            reply_len_bytes_max: REPLY_LEN_BYTES_MAX_DEFAULT,
            read_only: false,
        }
    }

    /// Asks for a session timeout, in milliseconds; the server may grant another.
    #[must_use]
    pub const fn session_timeout_ms(mut self, timeout_ms: u32) -> Self {
        self.session_timeout_ms = timeout_ms;
        self
    }

    /// Sets the longest reply accepted, in bytes; a longer one breaks the connection.
    #[must_use]
    pub const fn reply_len_bytes_max(mut self, len_bytes: usize) -> Self {
        self.reply_len_bytes_max = len_bytes;
        self
    }

    /// Accepts a server that has lost its ensemble and serves reads only.
    #[must_use]
    pub const fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Starts the session's task on the current runtime. Connecting goes on in the background;
    /// operations wait for it.
    ///
    /// # Errors
    ///
    /// [`ClientError::ConnectString`].
    pub fn start(self) -> Result<Client, ClientError> {
        let ConnectString { hosts, chroot } = ConnectString::parse(&self.connect_string)?;
        let session = Session::new(Settings {
            session_timeout_ms: self.session_timeout_ms,
            chroot,
            frame_len_bytes_max: self.reply_len_bytes_max,
            read_only: self.read_only,
        });
        let (calls, receiver) = mpsc::channel(REQUESTS_MAX);
        let (state, states) = watch::channel(SessionState::Connecting);
        let driver = Driver {
            session,
            hosts: Hosts::new(hosts, clock::seed()),
            clock: Clock::start(),
            calls: receiver,
            state,
            waiters: Waiters::default(),
            rest_ms: 50,
        };
        tokio::spawn(driver.run());
        Ok(Client { calls, states, next_watch: Arc::new(AtomicU64::new(1)) })
    }
}

/// A handle on a session; clones share it. The session ends by [`Client::close`], or when every
/// handle is dropped and its timeout passes.
#[derive(Clone, Debug)]
pub struct Client {
    calls: mpsc::Sender<Call>,
    states: watch::Receiver<SessionState>,
    next_watch: Arc<AtomicU64>,
}

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

    /// Returns the session's states as they come.
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
        let is_settled = |state: &SessionState| *state != SessionState::Connecting;
        match states.wait_for(is_settled).await.map(|state| *state) {
            Ok(SessionState::Connected | SessionState::ConnectedReadOnly) => Ok(()),
            Ok(SessionState::Expired) => Err(ClientError::SessionExpired),
            Ok(SessionState::AuthFailed) => Err(ClientError::AuthFailed),
            Ok(_) | Err(_) => Err(ClientError::Closed),
        }
    }

    /// Creates a znode open to anyone, and returns its final path.
    ///
    /// # Errors
    ///
    /// [`ClientError::NodeExists`], [`ClientError::NoNode`] when the parent is missing, and others.
    pub fn create(
        &self,
        path: &str,
        data: impl Into<Bytes>,
        mode: CreateMode,
    ) -> impl Future<Output = Result<String, ClientError>> {
        self.create_with_acl(path, data, mode, vec![Acl::open()])
    }

    /// Creates a znode with an ACL, and returns its final path.
    ///
    /// # Errors
    ///
    /// As [`Self::create`], and [`ClientError::InvalidAcl`].
    pub fn create_with_acl(
        &self,
        path: &str,
        data: impl Into<Bytes>,
        mode: CreateMode,
        acl: Vec<Acl>,
    ) -> impl Future<Output = Result<String, ClientError>> {
        let create = Create {
            path: path.into(),
            data: Some(data.into()),
            acl: Some(acl),
            flags: mode.flags(),
        };
        let request = match mode {
            CreateMode::Container => Request::CreateContainer(create),
            CreateMode::Ttl(ttl_ms) => Request::CreateTtl { create, ttl_ms },
            _ => Request::Create(create),
        };
        self.call(request, None, |response| match response {
            Response::Path(path) | Response::PathStat { path, .. } => text(&path),
            _ => Err(ClientError::Malformed),
        })
    }

    /// Deletes a znode of a version, `None` for any.
    ///
    /// # Errors
    ///
    /// [`ClientError::NoNode`], [`ClientError::BadVersion`], [`ClientError::NotEmpty`], and others.
    pub fn delete(
        &self,
        path: &str,
        version: Option<i32>,
    ) -> impl Future<Output = Result<(), ClientError>> {
        let request = Request::Delete { path: path.into(), version: version.unwrap_or(-1) };
        self.call(request, None, |_| Ok(()))
    }

    /// Returns a znode's stat, or `None` when there is none.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub fn exists(&self, path: &str) -> impl Future<Output = Result<Option<Stat>, ClientError>> {
        let found = self.call(Request::Exists { path: path.into(), watch: false }, None, stat);
        async { absent(found.await) }
    }

    /// Returns a znode's stat, or `None`, and a watcher of its creation, change or deletion.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub fn exists_and_watch(
        &self,
        path: &str,
    ) -> impl Future<Output = Result<(Option<Stat>, Watcher), ClientError>> {
        let (watch, watcher) = self.watch(path, WatchKind::Exist);
        let request = Request::Exists { path: path.into(), watch: true };
        let found = self.call(request, Some(watch), stat);
        async { Ok((absent(found.await)?, watcher)) }
    }

    /// Returns a znode's data and stat.
    ///
    /// # Errors
    ///
    /// [`ClientError::NoNode`], [`ClientError::NoAuth`], and others.
    pub fn get_data(&self, path: &str) -> impl Future<Output = Result<(Bytes, Stat), ClientError>> {
        self.call(Request::GetData { path: path.into(), watch: false }, None, data)
    }

    /// Returns a znode's data and stat, and a watcher of its change or deletion.
    ///
    /// # Errors
    ///
    /// As [`Self::get_data`]; then nothing is watched.
    pub fn get_data_and_watch(
        &self,
        path: &str,
    ) -> impl Future<Output = Result<((Bytes, Stat), Watcher), ClientError>> {
        let (watch, watcher) = self.watch(path, WatchKind::Data);
        let request = Request::GetData { path: path.into(), watch: true };
        let found = self.call(request, Some(watch), data);
        async { Ok((found.await?, watcher)) }
    }

    /// Replaces a znode's data at a version, `None` for any, and returns its new stat.
    ///
    /// # Errors
    ///
    /// [`ClientError::NoNode`], [`ClientError::BadVersion`], and others.
    pub fn set_data(
        &self,
        path: &str,
        data: impl Into<Bytes>,
        version: Option<i32>,
    ) -> impl Future<Output = Result<Stat, ClientError>> {
        let request = Request::SetData {
            path: path.into(),
            data: Some(data.into()),
            version: version.unwrap_or(-1),
        };
        self.call(request, None, stat)
    }

    /// Returns the names of a znode's children, in order, and its stat.
    ///
    /// # Errors
    ///
    /// [`ClientError::NoNode`], [`ClientError::NoAuth`], and others.
    pub fn get_children(
        &self,
        path: &str,
    ) -> impl Future<Output = Result<(Vec<String>, Stat), ClientError>> {
        self.call(Request::GetChildren2 { path: path.into(), watch: false }, None, children)
    }

    /// Returns a znode's children and stat, and a watcher of the list.
    ///
    /// # Errors
    ///
    /// As [`Self::get_children`]; then nothing is watched.
    pub fn get_children_and_watch(
        &self,
        path: &str,
    ) -> impl Future<Output = Result<((Vec<String>, Stat), Watcher), ClientError>> {
        let (watch, watcher) = self.watch(path, WatchKind::Child);
        let request = Request::GetChildren2 { path: path.into(), watch: true };
        let found = self.call(request, Some(watch), children);
        async { Ok((found.await?, watcher)) }
    }

    /// Watches a znode, and with [`WatchKind::Recursive`] all below it, until the session ends.
    ///
    /// # Errors
    ///
    /// Those of the session; [`ClientError::BadArguments`] for a one-shot kind.
    pub fn add_watch(
        &self,
        path: &str,
        kind: WatchKind,
    ) -> impl Future<Output = Result<Watcher, ClientError>> {
        let mode = match kind {
            WatchKind::Persistent => Ok(0),
            WatchKind::Recursive => Ok(1),
            _ => Err(ClientError::BadArguments),
        };
        let started = mode.map(|mode| {
            let (watch, watcher) = self.watch(path, kind);
            let request = Request::AddWatch { path: path.into(), mode };
            (self.call(request, Some(watch), |_| Ok(())), watcher)
        });
        async {
            let (armed, watcher) = started?;
            armed.await.map(|()| watcher)
        }
    }

    /// Returns a znode's ACL and stat.
    ///
    /// # Errors
    ///
    /// [`ClientError::NoNode`], [`ClientError::NoAuth`], and others.
    pub fn get_acl(
        &self,
        path: &str,
    ) -> impl Future<Output = Result<(Vec<Acl>, Stat), ClientError>> {
        self.call(Request::GetAcl { path: path.into() }, None, |response| match response {
            Response::Acl { acl, stat } => Ok((acl, stat)),
            _ => Err(ClientError::Malformed),
        })
    }

    /// Replaces a znode's ACL at an ACL version, `None` for any, and returns its new stat.
    ///
    /// # Errors
    ///
    /// [`ClientError::InvalidAcl`], [`ClientError::BadVersion`], and others.
    pub fn set_acl(
        &self,
        path: &str,
        acl: Vec<Acl>,
        aversion: Option<i32>,
    ) -> impl Future<Output = Result<Stat, ClientError>> {
        let version = aversion.unwrap_or(-1);
        self.call(Request::SetAcl { path: path.into(), acl: Some(acl), version }, None, stat)
    }

    /// Waits until this session's server has all that was committed when the call was made.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub fn sync(&self, path: &str) -> impl Future<Output = Result<(), ClientError>> {
        self.call(Request::Sync { path: path.into() }, None, |_| Ok(()))
    }

    /// Proves an identity to the server, on this and every later connection of the session.
    ///
    /// # Errors
    ///
    /// [`ClientError::AuthFailed`], and the session is over.
    pub fn add_auth(
        &self,
        scheme: &str,
        data: impl Into<Bytes>,
    ) -> impl Future<Output = Result<(), ClientError>> {
        let request = Request::Auth { kind: 0, scheme: scheme.into(), data: Some(data.into()) };
        self.call(request, None, |_| Ok(()))
    }

    /// Returns who the server takes this session for.
    ///
    /// # Errors
    ///
    /// Those of the session.
    pub fn who_am_i(&self) -> impl Future<Output = Result<Vec<ClientInfo>, ClientError>> {
        self.call(Request::WhoAmI, None, |response| match response {
            Response::WhoAmI(infos) => Ok(infos),
            _ => Err(ClientError::Malformed),
        })
    }

    /// Does all of several operations, or none.
    ///
    /// # Errors
    ///
    /// The index of the operation that was refused and why, or `None` and an error of the session.
    pub fn multi(
        &self,
        ops: Vec<Op>,
    ) -> impl Future<Output = Result<Vec<OpOutcome>, (Option<usize>, ClientError)>> {
        let ops = ops.into_iter().map(ops::encode).collect();
        let answered = self.call(Request::Multi(ops), None, |response| match response {
            Response::Multi(results) => Ok(results),
            _ => Err(ClientError::Malformed),
        });
        async { ops::outcomes(answered.await.map_err(|error| (None, error))?) }
    }

    /// Ends the session: its ephemerals go at once.
    ///
    /// # Errors
    ///
    /// Those of the session, when it is over already.
    pub fn close(&self) -> impl Future<Output = Result<(), ClientError>> {
        self.call(Request::CloseSession, None, |_| Ok(()))
    }

    fn watch(&self, path: &str, kind: WatchKind) -> (PendingWatch, Watcher) {
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let id = WatchId(self.next_watch.fetch_add(1, Ordering::Relaxed));
        ((WatchRequest { id, kind, path: path.to_owned() }, sender), Watcher { events })
    }

    /// Sends a request now; the future is its answer.
    fn call<T>(
        &self,
        request: Request,
        watch: Option<PendingWatch>,
        read: impl FnOnce(Response) -> Result<T, ClientError>,
    ) -> impl Future<Output = Result<T, ClientError>> {
        let sent = self.send(request, watch);
        let states = self.states.clone();
        async move {
            let response = match sent?.await {
                Ok(result) => result?,
                Err(_) => return Err(over(*states.borrow())),
            };
            read(response)
        }
    }

    fn send(
        &self,
        request: Request,
        watch: Option<PendingWatch>,
    ) -> Result<oneshot::Receiver<Result<Response, ClientError>>, ClientError> {
        if let Request::Create(Create { data: Some(data), .. })
        | Request::SetData { data: Some(data), .. } = &request
            && data.len() > REQUEST_LEN_BYTES_MAX
        {
            return Err(ClientError::TooLong(data.len()));
        }
        let (done, answer) = oneshot::channel();
        match self.calls.try_send(Call { request, watch, done }) {
            Ok(()) => Ok(answer),
            Err(mpsc::error::TrySendError::Full(_)) => Err(ClientError::Overloaded),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(over(self.state())),
        }
    }
}

type PendingWatch = (WatchRequest, mpsc::Sender<conclave_protocol::event::WatchEvent>);

const fn over(state: SessionState) -> ClientError {
    match state {
        SessionState::Expired => ClientError::SessionExpired,
        SessionState::AuthFailed => ClientError::AuthFailed,
        _ => ClientError::Closed,
    }
}

fn absent(found: Result<Stat, ClientError>) -> Result<Option<Stat>, ClientError> {
    match found {
        Ok(stat) => Ok(Some(stat)),
        Err(ClientError::NoNode) => Ok(None),
        Err(error) => Err(error),
    }
}

pub(crate) fn text(text: &Text) -> Result<String, ClientError> {
    text.as_str().map(str::to_owned).ok_or(ClientError::Malformed)
}

fn stat(response: Response) -> Result<Stat, ClientError> {
    match response {
        Response::Stat(stat) => Ok(stat),
        _ => Err(ClientError::Malformed),
    }
}

fn data(response: Response) -> Result<(Bytes, Stat), ClientError> {
    match response {
        Response::Data { data, stat } => Ok((data.unwrap_or_default(), stat)),
        _ => Err(ClientError::Malformed),
    }
}

fn children(response: Response) -> Result<(Vec<String>, Stat), ClientError> {
    let Response::Children2 { children, stat } = response else {
        return Err(ClientError::Malformed);
    };
    let mut names: Vec<String> = children.iter().map(text).collect::<Result<_, _>>()?;
    names.sort_unstable();
    Ok((names, stat))
}
