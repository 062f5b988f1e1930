//! Starting and stopping a member: recover from the disk, repair what can be, start the threads, open
//! the ports.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, atomic::Ordering, mpsc as std_mpsc},
    thread::JoinHandle,
    time::Duration,
};

use conclave_protocol::ids::ServerId;
use conclave_snapshots::fs::{DirLock, RealFs};
use conclave_zab::{Engine, Role};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    handle::{DriverEvent, EVENTS_MAX, Handle},
    owner::Owner,
    store::{RoomWatch, StoreThread, Work},
};
use crate::{
    boot::{self, BootError, Plan},
    clock::Clock,
    limit::RequestLimits,
    net::{self, Facts, listener, listener::ConnectionLimits, peers, peers::Peer},
    replica::{Event, Replica},
    shared::Shared,
};

/// Length of an engine tick, in milliseconds.
const ENGINE_TICK_MS: u64 = boot::ENGINE_TICK_MS;

/// Everything that makes a member, from the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What is on disk and how the ensemble looks.
    pub plan: Plan,
    /// Where clients connect; port 0 lets the system choose.
    pub client_address: SocketAddr,
    /// Where other members connect; `None` when there are none.
    pub peer_address: Option<SocketAddr>,
    /// All members.
    pub peers: Vec<Peer>,
    /// Silence after which a link to another member is given up, in milliseconds.
    pub link_silence_ms: u64,
    /// How many clients there may be.
    pub limits: ConnectionLimits,
    /// How much they may ask at a time.
    pub request_limits: RequestLimits,
    /// What the four-letter words tell that never changes.
    pub facts: Facts,
}

/// Why a member could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// Its disk does not let it.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// A port cannot be opened.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Another process uses its data.
    #[error("{0} is in use by another process")]
    InUse(String),
    /// Its data cannot be locked.
    #[error("cannot lock {dir}: {source}")]
    Lock {
        /// Which folder.
        dir: String,
        /// Why.
        source: std::io::Error,
    },
    /// The system has no entropy or no threads to give.
    #[error("cannot start: {0}")]
    System(String),
}

/// A running member.
#[derive(Debug)]
pub struct Member {
    handle: Handle,
    client_address: SocketAddr,
    work: std_mpsc::Sender<Work>,
    stop: CancellationToken,
    failed: CancellationToken,
    threads: Vec<JoinHandle<()>>,
    /// Each ends once its port is closed.
    listeners: Vec<tokio::task::JoinHandle<()>>,
    _locks: Vec<DirLock>,
}

impl Member {
    /// Starts a member on the current runtime.
    ///
    /// # Errors
    ///
    /// [`StartError`]; nothing keeps running.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let clock = Clock::start();
        let seed = draw_seed()?;
        let me = settings.plan.me;
        let locks = lock(&settings.plan)?;
        let client_listener = listen(settings.client_address)?;
        let peer_listener = settings.peer_address.map(listen).transpose()?;
        let client_address = client_listener
            .local_addr()
            .map_err(|source| StartError::Listen { address: settings.client_address, source })?;

        // Loading is work for the processor and the disk; other members may share the runtime.
        let plan = settings.plan.clone();
        let wall_ms = clock.wall_ms();
        let booted = tokio::task::spawn_blocking(move || boot::boot(RealFs, &plan, seed, wall_ms))
            .await
            .map_err(|error| StartError::System(error.to_string()))??;

        let (stop, failed) = (CancellationToken::new(), CancellationToken::new());
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        let (work, work_receiver) = std_mpsc::channel();
        let shared = Arc::new(booted.shared.limited(settings.request_limits));
        let handle = Handle {
            shared: shared.clone(),
            clock,
            facts: Arc::new(settings.facts),
            events: events.clone(),
        };
        let engine = Engine::new(settings.plan.engine.clone(), booted.recovered);
        let replica =
            Replica::new(shared.clone(), settings.plan.replica, engine, booted.newest_snapshot);
        let store = StoreThread {
            store: booted.store,
            shared: shared.clone(),
            clock,
            events: events.clone(),
            work: work.clone(),
            failed: failed.clone(),
            stop: stop.clone(),
            room: RoomWatch::default(),
        };
        let owner = Owner {
            clock,
            time_us: shared.time_us.clone(),
            replica,
            events: receiver,
            store: work.clone(),
            links: BTreeMap::new(),
            figures: Published::new(shared.clone()),
            failed: failed.clone(),
        };
        let threads = vec![
            spawn(format!("store-{me}"), move || store.run(&work_receiver))?,
            spawn(format!("owner-{me}"), move || owner.run())?,
        ];
        tokio::spawn(tick(handle.clone(), stop.clone()));
        let mut listeners = Vec::new();
        if let Some(peer_listener) = peer_listener {
            let ensemble =
                ensemble_digest(&settings.plan.engine.voters, &settings.plan.engine.observers);
            listeners.push(peers::serve(
                peer_listener,
                &settings.peers,
                ensemble,
                settings.link_silence_ms,
                &handle,
                &stop,
            ));
        }
        listeners.push(tokio::spawn(listener::serve(
            client_listener,
            settings.limits,
            handle.clone(),
            stop.clone(),
        )));
        tracing::info!(member = me.0, %client_address, "member started");
        Ok(Self { handle, client_address, work, stop, failed, threads, listeners, _locks: locks })
    }

    /// Returns where clients connect.
    pub const fn client_address(&self) -> SocketAddr {
        self.client_address
    }

    /// Returns the member's shared tables.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.handle.shared
    }

    /// Waits until the member has failed by itself: its storage did, or it met a txn that it does not know.
    pub async fn failed(&self) {
        self.failed.cancelled().await;
    }

    /// Ends the member: no more clients, then what is on its way to the disk is finished. Its ports are free then.
    pub async fn stop(self) {
        self.stop.cancel();
        for listener in self.listeners {
            drop(listener.await);
        }
        self.handle.shared.drop_all_connections();
        self.handle.send(DriverEvent::Stop).await;
        let (work, threads) = (self.work, self.threads);
        let joined = tokio::task::spawn_blocking(move || {
            // The owner ends first, so that nothing comes behind the stop.
            for thread in threads.into_iter().rev() {
                drop(work.send(Work::Stop));
                drop(thread.join());
            }
        });
        drop(joined.await);
        tracing::info!(member = self.handle.shared.me.0, "member stopped");
    }
}

/// Locks the folders of a member's data: two that write to one log would ruin it.
fn lock(plan: &Plan) -> Result<Vec<DirLock>, StartError> {
    let dirs: BTreeSet<&String> = [&plan.data_dir, &plan.log_dir].into();
    let lock = |dir: &String| match DirLock::acquire(dir) {
        Ok(Some(lock)) => Ok(lock),
        Ok(None) => Err(StartError::InUse(dir.clone())),
        Err(source) => Err(StartError::Lock { dir: dir.clone(), source }),
    };
    dirs.into_iter().map(lock).collect()
}

fn listen(address: SocketAddr) -> Result<tokio::net::TcpListener, StartError> {
    net::listen(address).map_err(|source| StartError::Listen { address, source })
}

fn spawn(name: String, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StartError> {
    std::thread::Builder::new()
        .name(name)
        .spawn(run)
        .map_err(|error| StartError::System(error.to_string()))
}

fn draw_seed() -> Result<u64, StartError> {
    getrandom::u64().map_err(|error| StartError::System(error.to_string()))
}

async fn tick(handle: Handle, stop: CancellationToken) {
    let mut interval = tokio::time::interval(Duration::from_millis(ENGINE_TICK_MS));
    // Ticks that were missed were a pause; what matters is how late it is now.
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = interval.tick() => {}
        }
        let event = Event::Tick { now_ms: handle.clock.now_ms(), wall_ms: handle.clock.wall_ms() };
        if !handle.send(DriverEvent::Replica(event)).await {
            return;
        }
    }
}

/// Tells ensembles apart: FNV-1a over who votes and who observes.
fn ensemble_digest(voters: &BTreeSet<ServerId>, observers: &BTreeSet<ServerId>) -> u64 {
    let bytes = voters.iter().map(|id| id.0).chain([0]).chain(observers.iter().map(|id| id.0));
    bytes.fold(0xcbf2_9ce4_8422_2325, |digest, byte| {
        (digest ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// What the owner lets others see of the replica.
#[derive(Debug)]
pub(super) struct Published {
    shared: Arc<Shared>,
}

impl Published {
    const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    pub(super) fn publish(&self, replica: &Replica, links: usize) {
        let figures = &self.shared.figures;
        let role = match replica.role() {
            Role::Looking => 0,
            Role::Leading { .. } => 1,
            Role::Following { .. } => 2,
            Role::Observing { .. } => 3,
        };
        figures.role.store(role, Ordering::Relaxed);
        figures.outstanding.store(replica.outstanding(), Ordering::Relaxed);
        *figures.leading.lock() = replica.leader_report();
        figures.links.store(links, Ordering::Relaxed);
    }
}
