//! Goal: a member answers other people's clients as the real server does, to the byte.
//! Method: the recordings are replayed against a member of our own, frame by frame; what differs
//! from run to run is masked as the recordings say. Every scenario is either replayed or named
//! below with the reason why not, so that none is forgotten.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic")]
#![expect(clippy::disallowed_methods, reason = "recordings are files, and clients are sockets")]

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use conclave_server::{config, driver::Member};
use serde_json::Value;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

include!("transcripts/left_out.rs");

struct Replay<'a> {
    address: SocketAddr,
    place: String,
    connections: BTreeMap<u64, TcpStream>,
    given: BTreeMap<u64, ([u8; 8], [u8; 16])>,
    /// Header zxids: the recorded one, and ours.
    zxids: Vec<(i64, i64)>,
    /// Bytes to be put before the next write of a connection.
    held: BTreeMap<u64, Vec<u8>>,
    lines: &'a [Value],
}

fn bytes(line: &Value) -> Option<Vec<u8>> {
    let hex = line["hex"].as_str()?;
    let mut bytes: Vec<u8> = (0..hex.len() / 2)
        .map(|index| u8::from_str_radix(&hex[index * 2..index * 2 + 2], 16).unwrap())
        .collect();
    if let Some(fill) = line.get("fill") {
        let byte = u8::from_str_radix(fill["byte"].as_str().unwrap(), 16).unwrap();
        let count = fill["count"].as_u64().unwrap() as usize;
        bytes.extend(std::iter::repeat_n(byte, count));
    }
    Some(bytes)
}

fn masks(line: &Value) -> Vec<(usize, usize, String, u64)> {
    let masks = line["masks"].as_array().cloned().unwrap_or_default();
    masks
        .iter()
        .map(|mask| {
            let number = |index: usize| mask[index].as_u64().unwrap_or(0);
            let kind = mask[2].as_str().unwrap().to_owned();
            (number(0) as usize, number(1) as usize, kind, number(3))
        })
        .collect()
}

impl Replay<'_> {
    fn run(&mut self) -> Result<(), String> {
        let lines = in_our_order(self.lines);
        for (index, line) in lines.iter().enumerate().skip(1) {
            self.place = format!("line {}: {}", index + 1, line["note"].as_str().unwrap_or(""));
            let connection = line["conn"].as_u64().unwrap_or(0);
            let done = match line["dir"].as_str().unwrap() {
                "ctl" => self.control(line, connection),
                "c2s" => self.send(line, connection),
                _ => self.expect(line, connection),
            };
            done.map_err(|error| format!("{}: {error}", self.place))?;
        }
        Ok(())
    }

    fn control(&mut self, line: &Value, connection: u64) -> Result<(), String> {
        match line["op"].as_str().unwrap() {
            "open" => {
                let socket = TcpStream::connect(self.address).unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                socket.set_nodelay(true).unwrap();
                self.connections.insert(connection, socket);
            }
            "close" => {
                self.connections.remove(&connection);
            }
            "eof" => {
                let mut byte = [0];
                match (&self.connections[&connection]).read(&mut byte) {
                    Ok(0) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
                    other => return Err(format!("expected the end, got {other:?} {byte:?}")),
                }
            }
            "silence" => {
                let time = Duration::from_millis(line["ms"].as_u64().unwrap());
                let mut socket = &self.connections[&connection];
                socket.set_read_timeout(Some(time)).unwrap();
                let mut byte = [0];
                let read = socket.read(&mut byte);
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                if read.is_ok() {
                    return Err(format!("expected silence, got {read:?}"));
                }
            }
            "sleep" => {
                std::thread::sleep(Duration::from_millis(line["ms"].as_u64().unwrap()));
            }
            _ => {}
        }
        Ok(())
    }

    fn send(&mut self, line: &Value, connection: u64) -> Result<(), String> {
        let mut bytes = bytes(line).unwrap();
        for (offset, len, kind, of) in masks(line) {
            let place = &mut bytes[offset..offset + len];
            match kind.as_str() {
                "session_id" => place.copy_from_slice(&self.given[&of].0),
                "password" => place.copy_from_slice(&self.given[&of].1),
                "zxid" => {
                    let recorded = i64::from_be_bytes((&*place).try_into().unwrap());
                    let ours = self.zxids.iter().rfind(|(golden, _)| *golden <= recorded);
                    let ours = ours.map_or(0, |(_, ours)| *ours);
                    // One ahead of the server stays ahead.
                    let is_ahead = self.zxids.iter().all(|(golden, _)| *golden < recorded);
                    let ours = if is_ahead && recorded > 1 << 32 { recorded } else { ours };
                    place.copy_from_slice(&ours.to_be_bytes());
                }
                _ => {}
            }
        }
        let mut all = self.held.remove(&connection).unwrap_or_default();
        all.extend(bytes);
        if line["more"] == true {
            self.held.insert(connection, all);
            return Ok(());
        }
        let mut socket = self.connections.get(&connection).ok_or("no connection")?;
        // A server that has closed the connection shows at the next read.
        drop(socket.write_all(&all));
        Ok(())
    }

    fn expect(&mut self, line: &Value, connection: u64) -> Result<(), String> {
        let Some(golden) = bytes(line) else {
            let mut text = String::new();
            (&self.connections[&connection])
                .read_to_string(&mut text)
                .map_err(|e| e.to_string())?;
            return Ok(());
        };
        let mut socket = self.connections.get(&connection).ok_or("no connection")?;
        let mut ours = vec![0; 4];
        socket.read_exact(&mut ours).map_err(|error| format!("no frame: {error}"))?;
        let len = u32::from_be_bytes(ours[..4].try_into().unwrap()) as usize;
        ours.resize(4 + len, 0);
        socket.read_exact(&mut ours[4..]).map_err(|error| format!("half a frame: {error}"))?;
        let show = |bytes: &[u8]| {
            let hex: String = bytes.iter().take(120).map(|b| format!("{b:02x}")).collect();
            hex
        };
        let differs = || Err(format!("\n  recorded {}\n  ours     {}", show(&golden), show(&ours)));
        if ours.len() != golden.len() {
            return differs();
        }
        let mut compared = vec![true; golden.len()];
        for (offset, len, kind, _) in masks(line) {
            compared[offset..offset + len].fill(false);
            match kind.as_str() {
                "session_id" if offset == 12 => {
                    self.given.entry(connection).or_default().0.copy_from_slice(&ours[12..20]);
                }
                "password" => {
                    let password = &ours[offset..offset + 16];
                    self.given.entry(connection).or_default().1.copy_from_slice(password);
                }
                "hzxid" => {
                    let zxid = |bytes: &[u8]| i64::from_be_bytes(bytes[8..16].try_into().unwrap());
                    self.zxids.push((zxid(&golden), zxid(&ours)));
                    self.zxids.sort_unstable();
                }
                _ => {}
            }
        }
        let is_same = (0..golden.len()).all(|at| !compared[at] || golden[at] == ours[at]);
        if is_same { Ok(()) } else { differs() }
    }
}

/// Frames of a group may come in any order; ours is by path, so the recorded ones are put in it.
fn in_our_order(lines: &[Value]) -> Vec<Value> {
    let mut ordered = lines.to_vec();
    let is_group =
        |a: &Value, b: &Value| !a["any_order"].is_null() && a["any_order"] == b["any_order"];
    for group in ordered.chunk_by_mut(is_group) {
        if group[0]["any_order"].is_null() {
            continue;
        }
        // A deletion and its parent's change stay together.
        let is_deletion = |line: &Value| bytes(line).is_some_and(|frame| frame[23] == 2);
        let mut pairs: Vec<Vec<Value>> =
            group.chunk_by(|_, next| !is_deletion(next)).map(<[Value]>::to_vec).collect();
        let path = |pair: &Vec<Value>| bytes(&pair[0]).map(|frame| frame[32..].to_vec());
        pairs.sort_by_key(path);
        group.clone_from_slice(&pairs.concat());
    }
    ordered
}

/// Starts a member as the scenario says, replays it, and stops the member.
fn replay(name: &str, text: &str) -> Result<(), String> {
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let folder = tempfile::tempdir().unwrap();
    let mut file = format!("dataDir={}\nclientPort=0\n", folder.path().display());
    file.push_str("clientPortAddress=127.0.0.1\npreAllocSize=64\n4lw.commands.whitelist=*\n");
    for settings in [&lines[0]["config"], &lines[0]["flags"]] {
        for (key, value) in settings.as_object().into_iter().flatten() {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            file.push_str(&format!("{key}={value}\n"));
        }
    }
    let path = folder.path().join("zoo.cfg");
    std::fs::write(&path, file).unwrap();
    let (config, _) = config::load(path.to_str().unwrap(), None).unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let member = runtime.block_on(async {
        let member = Member::start(config.settings()).await.unwrap();
        while !member.shared().is_serving() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        member
    });
    let mut replay = Replay {
        address: member.client_address(),
        place: String::new(),
        connections: BTreeMap::new(),
        given: BTreeMap::new(),
        zxids: Vec::new(),
        held: BTreeMap::new(),
        lines: &lines,
    };
    let result = replay.run();
    drop(replay);
    runtime.block_on(member.stop());
    result.map_err(|error| format!("{name}: {error}"))
}

#[test]
fn a_member_answers_as_the_real_server_did() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/testdata/transcripts");
    let mut scenarios = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            scenarios.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
    scenarios.sort();
    for (name, reason) in LEFT_OUT {
        assert!(scenarios.iter().any(|(known, _)| known == name), "{name} ({reason}) is none");
    }
    let only = option_env!("CONCLAVE_TRANSCRIPT");
    let queue = std::sync::Mutex::new(scenarios.iter());
    let differing = std::sync::Mutex::new(Vec::new());
    let replayed = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let Some((name, text)) = queue.lock().unwrap().next() else { return };
                    let is_left_out = LEFT_OUT.iter().any(|(known, _)| known == name);
                    if only.map_or(is_left_out, |only| only != name) {
                        continue;
                    }
                    replayed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if let Err(error) = replay(name, text) {
                        differing.lock().unwrap().push(error);
                    }
                }
            });
        }
    });
    let mut differing = differing.into_inner().unwrap();
    differing.sort();
    println!("{} scenarios replayed, {} left out", replayed.into_inner(), LEFT_OUT.len());
    assert!(differing.is_empty(), "{} differ:\n{}", differing.len(), differing.join("\n"));
}
