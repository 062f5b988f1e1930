//! The server under test, and a proxy before it whose connections can be cut.
//!
//! `CONCLAVE_TEST_HOSTS` names the server; without it a ZooKeeper of Debian's package is started.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![expect(clippy::disallowed_methods, reason = "tests read the environment and open sockets")]

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener as StdListener},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use conclave_client::{Client, ClientBuilder, CreateMode};
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// Where Debian's package has its parts.
const ZOOKEEPER_FOLDER: &str = "/usr/share/zookeeper";
const JARS: &str = "/usr/share/java/slf4j-simple.jar:/usr/share/java/zookeeper.jar";

/// Patience with anything that has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A server that tests share while any of them runs; the last one stops it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) hosts: String,
    /// None for one that somebody else has started.
    process: Option<Child>,
    _folder: Option<TempDir>,
}

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

/// Returns the server under test; none when there is no ZooKeeper here, which is said, and is a
/// failure where `CI=true`.
pub(crate) fn server() -> Option<Arc<Server>> {
    let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return Some(server);
    }
    let server = Arc::new(match std::env::var("CONCLAVE_TEST_HOSTS") {
        Ok(hosts) => Server { hosts, process: None, _folder: None },
        Err(_) if Path::new(ZOOKEEPER_FOLDER).exists() => Server::start(),
        Err(_) => {
            let is_ci = std::env::var("CI").is_ok_and(|value| value == "true");
            assert!(!is_ci, "{ZOOKEEPER_FOLDER} is missing: install Debian's package zookeeper");
            eprintln!("SKIPPED: no {ZOOKEEPER_FOLDER}, and CONCLAVE_TEST_HOSTS is not set");
            return None;
        }
    });
    *shared = Arc::downgrade(&server);
    Some(server)
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let config = folder.path().join("zoo.cfg");
        let data = folder.path().join("data");
        let lines = format!(
            "tickTime=500\ndataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\n\
             admin.enableServer=false\nmaxClientCnxns=0\nextendedTypesEnabled=true\n",
            data.display()
        );
        std::fs::write(&config, lines).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new("java")
            .args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", JARS])
            .arg("-Dzookeeper.extendedTypesEnabled=true")
            .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("java is installed with ZooKeeper");
        let hosts = format!("127.0.0.1:{port}");
        Self { hosts, process: Some(process), _folder: Some(folder) }
    }

    /// Returns whether this is the real ZooKeeper, which has every operation.
    pub(crate) fn is_reference(&self) -> bool {
        self.process.is_some()
    }

    /// Returns the address of the first host.
    pub(crate) fn first_host(&self) -> String {
        self.hosts.split(['/', ',']).next().unwrap().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

/// Returns a port of the loopback on which nobody listens.
pub(crate) fn free_port() -> u16 {
    StdListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A test's own corner of the server: a znode that its clients have for root.
pub(crate) struct Fixture {
    pub(crate) server: Arc<Server>,
    pub(crate) root: String,
}

impl Fixture {
    /// Makes the corner of the test of this name; none where there is no server.
    pub(crate) async fn new(name: &str) -> Option<Self> {
        let server = server()?;
        let client = ClientBuilder::new(&server.hosts).start().unwrap();
        within("the server serves", client.connected()).await.unwrap();
        let root = format!("/client-{name}-{}", std::process::id());
        client.create(&root, "", CreateMode::Persistent).await.unwrap();
        client.close().await.unwrap();
        Some(Self { server, root })
    }

    /// Returns the connect string of the corner.
    pub(crate) fn hosts(&self) -> String {
        format!("{}{}", self.server.hosts, self.root)
    }

    /// Returns a connected client whose root is the corner.
    pub(crate) async fn client(&self) -> Client {
        Client::connect(&self.hosts()).await.unwrap()
    }

    /// Returns a proxy before the server, and a connected client that goes through it.
    pub(crate) async fn client_by_proxy(&self) -> (Proxy, Client) {
        let proxy = Proxy::start(self.server.first_host()).await;
        let hosts = format!("{}{}", proxy.address, self.root);
        let client = ClientBuilder::new(hosts).session_timeout_ms(4000).start().unwrap();
        within("the client is connected", client.connected()).await.unwrap();
        (proxy, client)
    }
}

/// Waits for something that must happen.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {PATIENCE:?}: {what}"),
    }
}

/// What the proxy does with connections.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Flow {
    Open,
    /// Keeps them and passes nothing on.
    Stalled,
    /// Passes on what clients say, and nothing of what they are answered.
    Mute,
    /// Cuts them, and new ones as soon as they come.
    Cut,
}

/// Stands between a client and its server.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    flow: watch::Sender<Flow>,
}

impl Proxy {
    pub(crate) async fn start(target: String) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (flow, flows) = watch::channel(Flow::Open);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, target.clone(), flows.clone()));
            }
        });
        Self { address, flow }
    }

    pub(crate) fn set(&self, flow: Flow) {
        self.flow.send_replace(flow);
    }

    /// Cuts what is there, until [`Flow::Open`] is set, and waits until the client knows.
    pub(crate) async fn cut(&self, client: &Client) {
        self.set(Flow::Cut);
        let mut states = client.states();
        within("the client sees the cut", states.wait_for(|state| !state.is_connected()))
            .await
            .unwrap();
    }
}

async fn pass(mut client: TcpStream, target: String, mut flows: watch::Receiver<Flow>) {
    if *flows.borrow() == Flow::Cut {
        return;
    }
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    loop {
        let flow = *flows.borrow_and_update();
        match flow {
            Flow::Cut => return,
            Flow::Stalled => drop(flows.changed().await),
            Flow::Mute => tokio::select! {
                _ = tokio::io::copy(&mut client, &mut server) => return,
                _ = flows.changed() => {}
            },
            Flow::Open => tokio::select! {
                _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
                _ = flows.changed() => {}
            },
        }
    }
}
