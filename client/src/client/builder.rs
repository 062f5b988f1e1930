//! How a client is made.

use std::sync::{Arc, atomic::AtomicU64};

use conclave_protocol::frame::FRAME_LEN_BYTES_MAX_DEFAULT;
use tokio::sync::mpsc;

use super::{
    Client, Core, PLACES_KEPT, REQUESTS_MAX, chroot::Chroot, permit::Permits, status::Status,
};
use crate::{
    clock::{self, Clock},
    driver::{Driver, Renewal, Waiters},
    error::ClientError,
    hosts::{ConnectString, Hosts},
    net::{Tcp, Transport},
    session::{Session, Settings},
};

/// Replies may be longer than requests: a list of many children is one reply.
const REPLY_LEN_BYTES_MAX_DEFAULT: usize = 256 * FRAME_LEN_BYTES_MAX_DEFAULT;

/// Makes a client.
#[derive(Clone, Debug)]
pub struct ClientBuilder {
    connect_string: String,
    session_timeout_ms: u32,
    reply_len_bytes_max: usize,
    request_len_bytes_max: usize,
    read_only: bool,
    renewal: Renewal,
    host_seed: Option<u64>,
    transport: Arc<dyn Transport>,
}

impl ClientBuilder {
    /// Starts from defaults that suit a local network: a session of 10 000 ms, requests as long as
    /// a server accepts that is not configured otherwise.
    pub fn new(connect_string: impl Into<String>) -> Self {
        Self {
            connect_string: connect_string.into(),
            session_timeout_ms: 10_000,
            reply_len_bytes_max: REPLY_LEN_BYTES_MAX_DEFAULT,
            request_len_bytes_max: FRAME_LEN_BYTES_MAX_DEFAULT,
            read_only: false,
            renewal: Renewal::Never,
            host_seed: None,
            transport: Arc::new(Tcp),
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

    /// Sets the longest request, in bytes, as the servers' `jute.maxbuffer` allows; a longer one
    /// fails with [`ClientError::TooLong`] and is not sent.
    #[must_use]
    pub const fn request_len_bytes_max(mut self, len_bytes: usize) -> Self {
        self.request_len_bytes_max = len_bytes;
        self
    }

    /// Accepts a server that has lost its ensemble and serves reads only, and leaves it for one that
    /// serves all as soon as there is one.
    #[must_use]
    pub const fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Begins a new session when one has expired, with the same identities. Its ephemerals and watches
    /// are gone all the same: watchers end, calls that were under way fail with
    /// [`ClientError::SessionExpired`], and [`Client::session_id`] is another. Without this the client
    /// is over, which nobody can overlook.
    #[must_use]
    pub const fn renew_expired(mut self) -> Self {
        self.renewal = Renewal::WhenExpired;
        self
    }

    /// Reaches servers another way than by plain TCP: through TLS, for example.
    #[must_use]
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Arc::new(transport);
        self
    }

    /// Fixes the order in which hosts are tried, which otherwise differs from run to run.
    #[must_use]
    pub const fn host_seed(mut self, seed: u64) -> Self {
        self.host_seed = Some(seed);
        self
    }

    /// Starts the session's task in the current tokio runtime and returns at once; operations wait
    /// for the first connection.
    ///
    /// # Errors
    ///
    /// [`ClientError::ConnectString`].
    pub fn start(self) -> Result<Client, ClientError> {
        let ConnectString { hosts, chroot } = ConnectString::parse(&self.connect_string)?;
        let hosts = Hosts::new(hosts, self.host_seed.unwrap_or_else(clock::seed));
        let session = Session::new(Settings {
            session_timeout_ms: self.session_timeout_ms,
            frame_len_bytes_max: self.reply_len_bytes_max,
            // The protocol cannot say more.
            request_len_bytes_max: self.request_len_bytes_max.min(i32::MAX as usize),
            read_only: self.read_only,
            host_count: hosts.count(),
        });
        let (calls, receiver) = mpsc::channel(REQUESTS_MAX + PLACES_KEPT);
        let status = Arc::new(Status::new());
        let driver = Driver {
            session,
            hosts,
            clock: Clock::start(),
            calls: receiver,
            status: status.clone(),
            waiters: Waiters::default(),
            transport: self.transport,
            renewal: self.renewal,
        };
        tokio::spawn(driver.run());
        let core = Core {
            calls,
            status,
            permits: Permits::default(),
            next_watch: AtomicU64::new(1),
            request_len_bytes_max: self.request_len_bytes_max,
        };
        Ok(Client { core: Arc::new(core), chroot: Arc::new(Chroot::new(chroot)) })
    }
}
