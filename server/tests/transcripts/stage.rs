//! The servers of a recording: members of ours in this process.

use std::{net::SocketAddr, path::Path, sync::atomic::Ordering, time::Duration};

use conclave_protocol::{acl::Acl, txn::Owner, zxid::Zxid};
use conclave_server::{
    boot::Loss,
    config::{self, Config},
    driver::Member,
    state::State,
    tree::Walk,
};
use conclave_snapshots::{
    fs::RealFs,
    image::{ImageRecord, ImageWriter, NodeRecord},
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{ports::free_port, recording::Recording};

/// How long members may take to serve, in milliseconds.
const START_MS: u64 = 20_000;

/// Time between two looks at whether they do, in milliseconds.
const LOOK_MS: u64 = 5;

/// The members, in the order of the recording's servers. They end with the stage.
#[derive(Debug)]
pub(crate) struct Stage {
    runtime: Runtime,
    servers: Vec<Server>,
}

#[derive(Debug)]
struct Server {
    config: Config,
    member: Option<Member>,
    folder: TempDir,
}

impl Stage {
    /// Starts the servers of a recording and waits until they serve.
    pub(crate) fn set(recording: &Recording) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let servers = configurations(recording)
            .into_iter()
            .map(|(folder, config)| Server { config, member: None, folder })
            .collect();
        let mut stage = Self { runtime, servers };
        let has_precondition = recording.lines.iter().any(|line| line.text("op") == "precondition");
        if has_precondition {
            stage.prepare_counter();
        }
        for index in 0..stage.servers.len() {
            stage.start(index);
        }
        (0..stage.servers.len()).for_each(|index| stage.wait_serving(index));
        // In the recordings of an ensemble the last one leads.
        stage.servers.sort_by_key(|server| {
            let figures = &server.member.as_ref().unwrap().shared().figures;
            figures.role.load(Ordering::Relaxed) == 1
        });
        stage
    }

    /// Returns where clients of a server connect.
    pub(crate) fn address(&self, server: usize) -> SocketAddr {
        self.servers[server].member.as_ref().expect("it runs").client_address()
    }

    /// Does to a server what the recorder did.
    pub(crate) fn change(&mut self, op: &str, server: usize) -> Result<(), String> {
        match op {
            "stop_server" => self.stop(server),
            "kill_server" => self.kill(server),
            "start_server" => {
                self.start(server);
                self.wait_serving(server);
            }
            // Done before the start.
            "precondition" | "note" => {}
            op => return Err(format!("no such step: {op}")),
        }
        Ok(())
    }

    fn start(&mut self, index: usize) {
        let server = &mut self.servers[index];
        let started = Member::start(server.config.settings());
        server.member = Some(self.runtime.block_on(started).unwrap());
    }

    fn wait_serving(&self, index: usize) {
        let shared = self.servers[index].member.as_ref().unwrap().shared();
        for _ in 0..START_MS / LOOK_MS {
            if shared.is_serving() {
                return;
            }
            std::thread::sleep(Duration::from_millis(LOOK_MS));
        }
        panic!("member {index} does not serve in time");
    }

    fn stop(&mut self, index: usize) {
        if let Some(member) = self.servers[index].member.take() {
            self.runtime.block_on(member.stop());
        }
    }

    /// As a kill leaves it: what is in its files now, and nothing that an orderly stop would add.
    fn kill(&mut self, index: usize) {
        let left = tempfile::tempdir().unwrap();
        let server = &mut self.servers[index];
        for entry in std::fs::read_dir(server.folder.path()).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                std::fs::copy(entry.path(), left.path().join(entry.file_name())).unwrap();
            }
        }
        let dir = left.path().display().to_string();
        (server.config.data_dir, server.config.log_dir) = (dir.clone(), dir);
        let before = std::mem::replace(&mut server.folder, left);
        self.stop(index);
        drop(before);
    }

    /// Lets the first server begin with `/wrap`, whose counter is near its end: a snapshot says so, and
    /// there is no log to add to it.
    fn prepare_counter(&mut self) {
        const AT: Zxid = Zxid(2);
        let mut tree = State::new(0).tree;
        let mut walk = Walk::begin(&mut tree);
        let mut records = walk.slice(&tree, usize::MAX).unwrap();
        let nodes = records.iter().filter_map(|record| match record {
            ImageRecord::Node(node) => Some(node.number),
            _ => None,
        });
        let (root, number) = (nodes.clone().min().unwrap(), nodes.max().unwrap() + 1);
        let lists = records.iter().filter_map(|record| match record {
            ImageRecord::Acl { number, list } if *list == [Acl::open()] => Some(*number),
            _ => None,
        });
        let acl = lists.min().unwrap();
        records.push(ImageRecord::Node(NodeRecord {
            number,
            parent: root,
            name: "wrap".to_owned(),
            data: Some("".into()),
            acl,
            owner: Owner::Persistent,
            czxid: AT,
            mzxid: AT,
            pzxid: AT,
            ctime_ms: 1,
            mtime_ms: 1,
            version: 0,
            aversion: 0,
            created: 2_147_483_644,
        }));
        let Config { data_dir, loss, .. } = &mut self.servers[0].config;
        let mut writer = ImageWriter::create(&RealFs, data_dir, AT).unwrap();
        records.iter().for_each(|record| writer.put(record).unwrap());
        writer.finish(AT).unwrap();
        *loss = Loss::Accepted;
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        (0..self.servers.len()).for_each(|index| self.stop(index));
    }
}

/// Returns the servers' configurations, and the folders they live in.
fn configurations(recording: &Recording) -> Vec<(TempDir, Config)> {
    let count = recording.server_count();
    let mut others = String::new();
    let client_ports: Vec<u16> = (1..=count)
        .map(|id| {
            let [client, quorum, election] = [free_port(), free_port(), free_port()];
            if count > 1 {
                others.push_str(&format!(
                    "server.{id}=127.0.0.1:{quorum}:{election}:participant;127.0.0.1:{client}\n"
                ));
            }
            client
        })
        .collect();
    (1..=count)
        .zip(client_ports)
        .map(|(id, port)| {
            let folder = tempfile::tempdir().unwrap();
            let dir = folder.path().display();
            let text = format!(
                "dataDir={dir}\nclientPort={port}\nclientPortAddress=127.0.0.1\npreAllocSize=64\n\
                 initLimit=10\nsyncLimit=5\n{others}{}",
                recording.settings()
            );
            let config = load(folder.path(), &text, id);
            (folder, config)
        })
        .collect()
}

fn load(folder: &Path, text: &str, id: u8) -> Config {
    let path = folder.join("zoo.cfg");
    std::fs::write(&path, text).unwrap();
    config::load(path.to_str().unwrap(), Some(id)).unwrap().0
}
