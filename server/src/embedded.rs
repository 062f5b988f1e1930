//! An ensemble inside a process, for the tests of its users: on free ports, in a temporary folder, gone
//! with the test.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::Ordering,
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    config::Config,
    driver::{Member, Settings, StartError},
};

/// Ports that are looked at for members that must know each other's, at most: below those that systems
/// give to clients, which would take them away between the look and the start.
const PEER_PORTS: std::ops::Range<u16> = 21_000..31_000;

/// How long the ensemble may take until it serves.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// How often it is looked at until then.
const READY_POLL: Duration = Duration::from_millis(5);

/// KiB by which a log grows: a test writes little.
const PRE_ALLOC_KIB: u32 = 256;

/// Makes an [`Embedded`].
#[derive(Clone, Debug)]
pub struct EmbeddedBuilder {
    members: u8,
    data_dir: Option<String>,
    tick_time_ms: u32,
    session_timeout_ms_min: u32,
}

/// A running ensemble of one member or several. Call [`Self::stop`] at the end of the test; dropped
/// without it, its threads end with the process.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> Result<(), conclave_server::driver::StartError> {
/// use conclave_server::embedded::Embedded;
///
/// let ensemble = Embedded::start().await?;
/// println!("any ZooKeeper client can connect to {}", ensemble.connect_string());
/// ensemble.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Embedded {
    members: Vec<Slot>,
    /// Removed when dropped; none where the caller has named a folder.
    _folder: Option<TempDir>,
}

#[derive(Debug)]
struct Slot {
    settings: Settings,
    member: Option<Member>,
}

impl Default for EmbeddedBuilder {
    fn default() -> Self {
        Self { members: 1, data_dir: None, tick_time_ms: 500, session_timeout_ms_min: 100 }
    }
}

impl EmbeddedBuilder {
    /// Sets how many members there are, at least one.
    #[must_use]
    pub const fn members(mut self, count: u8) -> Self {
        self.members = count;
        self
    }

    /// Sets the folder of the data, which then stays; otherwise it is a temporary one.
    #[must_use]
    pub fn data_dir(mut self, dir: impl Into<String>) -> Self {
        self.data_dir = Some(dir.into());
        self
    }

    /// Sets the length of a tick, in milliseconds (500): the unit in which members wait for each other.
    #[must_use]
    pub const fn tick_time_ms(mut self, tick_time_ms: u32) -> Self {
        self.tick_time_ms = tick_time_ms;
        self
    }

    /// Sets the least session timeout that is granted, in milliseconds (100): tests of expiry are short
    /// of time.
    #[must_use]
    pub const fn session_timeout_ms_min(mut self, timeout_ms: u32) -> Self {
        self.session_timeout_ms_min = timeout_ms;
        self
    }

    /// Starts it in the current tokio runtime and waits until every member serves.
    ///
    /// # Errors
    ///
    /// [`StartError`]; what had been started is stopped.
    pub async fn start(self) -> Result<Embedded, StartError> {
        let folder = match self.data_dir {
            Some(_) => None,
            None => Some(tempfile::tempdir().map_err(|error| system(&error))?),
        };
        let dir = match (&self.data_dir, &folder) {
            (Some(dir), _) => dir.clone(),
            (None, Some(folder)) => folder.path().to_string_lossy().into_owned(),
            (None, None) => unreachable!("one of both is there"),
        };
        let mut ports = free_ports();
        let mut template = Config::dev(1, self.members.max(1), 0, 0, &dir);
        for server in template.servers.values_mut() {
            server.port = ports.next().ok_or_else(|| system(&"no port is free"))?;
            server.client_port = None;
        }
        let mut members = Vec::new();
        for id in 1..=self.members.max(1) {
            let mut config = Config::dev(id, self.members.max(1), 0, 0, &dir);
            config.servers = template.servers.clone();
            config.client_port = 0;
            config.tick_time_ms = self.tick_time_ms;
            config.session_timeout_ms_min = self.session_timeout_ms_min;
            config.pre_alloc_kib = PRE_ALLOC_KIB;
            members.push(Slot { settings: config.settings(), member: None });
        }
        let mut ensemble = Embedded { members, _folder: folder };
        for id in 1..=self.members.max(1) {
            if let Err(error) = ensemble.start_member(id).await {
                ensemble.stop().await;
                return Err(error);
            }
        }
        if tokio::time::timeout(READY_TIMEOUT, ensemble.serving()).await.is_err() {
            ensemble.stop().await;
            return Err(system(&"the ensemble is not ready in time"));
        }
        Ok(ensemble)
    }
}

impl Embedded {
    /// Starts an ensemble of one member.
    ///
    /// # Errors
    ///
    /// As [`EmbeddedBuilder::start`].
    pub async fn start() -> Result<Self, StartError> {
        Self::builder().start().await
    }

    /// Begins to describe another one.
    pub fn builder() -> EmbeddedBuilder {
        EmbeddedBuilder::default()
    }

    /// Returns how clients connect: the address of every member.
    pub fn connect_string(&self) -> String {
        let addresses = self.members.iter().map(|slot| slot.settings.client_address.to_string());
        addresses.collect::<Vec<_>>().join(",")
    }

    /// Returns where one member is, numbered from 1.
    ///
    /// # Panics
    ///
    /// When there is no such member.
    pub fn address(&self, id: u8) -> SocketAddr {
        self.members[index(id)].settings.client_address
    }

    /// Returns the number of the member that leads; a member without others does. `None` while there is
    /// none that is established.
    pub fn leader(&self) -> Option<u8> {
        let leads = |slot: &Slot| {
            let shared = slot.member.as_ref()?.shared();
            let is_leading = shared.figures.role.load(Ordering::Relaxed) == 1;
            (is_leading && shared.is_serving()).then_some(shared.me.0)
        };
        self.members.iter().find_map(leads)
    }

    /// Waits until every member that runs serves.
    pub async fn serving(&self) {
        let is_serving =
            |slot: &Slot| slot.member.as_ref().is_none_or(|member| member.shared().is_serving());
        while !self.members.iter().all(is_serving) {
            tokio::time::sleep(READY_POLL).await;
        }
    }

    /// Returns how many watches the members that run hold, and how many sessions are open.
    pub fn watches_and_sessions(&self) -> (usize, usize) {
        let running = self.members.iter().filter_map(|slot| slot.member.as_ref());
        running.fold((0, 0), |(watches, sessions), member| {
            let shared = member.shared();
            (watches + shared.watches.count(), sessions.max(shared.state.read().sessions.count()))
        })
    }

    /// Ends one member, numbered from 1, as a crash would for its clients: their connections break and
    /// their sessions stay. Its data stays, too.
    ///
    /// # Panics
    ///
    /// When there is no such member.
    pub async fn stop_member(&mut self, id: u8) {
        if let Some(member) = self.members[index(id)].member.take() {
            member.stop().await;
        }
    }

    /// Starts one member that was stopped, at the address that it had; it serves some time later.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    ///
    /// # Panics
    ///
    /// When there is no such member.
    pub async fn start_member(&mut self, id: u8) -> Result<(), StartError> {
        let slot = &mut self.members[index(id)];
        if slot.member.is_none() {
            let member = Member::start(slot.settings.clone()).await?;
            slot.settings.client_address = member.client_address();
            slot.member = Some(member);
        }
        Ok(())
    }

    /// Ends every member, and removes the data if its folder is a temporary one.
    pub async fn stop(mut self) {
        for slot in &mut self.members {
            if let Some(member) = slot.member.take() {
                member.stop().await;
            }
        }
    }
}

fn index(id: u8) -> usize {
    usize::from(id).checked_sub(1).expect("members are numbered from 1")
}

fn system(error: &impl ToString) -> StartError {
    StartError::System(error.to_string())
}

/// Returns ports on which nobody listens now, beginning where other processes hardly do.
#[expect(clippy::disallowed_methods, reason = "only to see whether somebody listens already")]
fn free_ports() -> impl Iterator<Item = u16> {
    let start = getrandom::u32().unwrap_or_default() as usize % PEER_PORTS.len();
    let ports = PEER_PORTS.cycle().skip(start).take(PEER_PORTS.len());
    ports.filter(|port| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
}
