//! One recording, replayed.

use std::{
    collections::BTreeMap,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    time::Duration,
};

use super::{
    compare::{self, Known},
    deviations::{Deviation, Ours},
    pattern,
    recording::{Line, Recording},
    stage::Stage,
};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long nothing comes where nothing is to come.
const QUIET: Duration = Duration::from_millis(500);

/// A recording under way.
#[derive(Debug)]
pub(crate) struct Replay {
    stage: Stage,
    connections: BTreeMap<u64, Connection>,
    /// The sessions and passwords that connections were given, also those that are closed.
    given: BTreeMap<u64, ([u8; 8], [u8; 16])>,
    known: Known,
}

#[derive(Debug)]
struct Connection {
    socket: TcpStream,
    /// Bytes to be put before the next write.
    held: Vec<u8>,
    /// The four-letter word that was asked, if it is one.
    asked: String,
}

/// Replays a recording against members of our own; the answer says where they differ.
pub(crate) fn replay(recording: &Recording, deviations: &[&Deviation]) -> Result<(), String> {
    let mut replay = Replay {
        stage: Stage::set(recording),
        connections: BTreeMap::new(),
        given: BTreeMap::new(),
        known: Known::default(),
    };
    for line in &recording.lines {
        let deviation = deviations.iter().find(|deviation| deviation.line == line.number);
        let done = match deviation {
            Some(deviation) => replay.deviate(line, deviation),
            None => replay.step(line),
        };
        let (name, number) = (&recording.name, line.number);
        done.map_err(|error| format!("{name}, line {number}: {}: {error}", line.text("note")))?;
    }
    Ok(())
}

impl Replay {
    fn step(&mut self, line: &Line) -> Result<(), String> {
        match (line.text("dir"), line.text("op")) {
            ("c2s", _) => self.send(line),
            ("s2c", _) if line.value["hex"].is_null() => self.expect_text(line),
            ("s2c", _) => {
                let frame = self.frame(line)?;
                self.compare(line, &frame)
            }
            (_, "open") => {
                let address = self.stage.address(line.number_of("server") as usize);
                let socket = TcpStream::connect(address).unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                socket.set_nodelay(true).unwrap();
                let connection = Connection { socket, held: Vec::new(), asked: String::new() };
                self.connections.insert(line.number_of("conn"), connection);
                Ok(())
            }
            (_, "close") => {
                self.connections.remove(&line.number_of("conn"));
                Ok(())
            }
            (_, "eof") => self.expect_end(line),
            (_, "silence") => match self.await_byte(line, duration(line))? {
                None => Ok(()),
                Some(byte) => Err(format!("expected silence, got {byte:?}")),
            },
            (_, "sleep") => {
                std::thread::sleep(duration(line));
                Ok(())
            }
            (_, "end") => self.expect_nothing_left(),
            (_, op) => self.stage.change(op, line.number_of("server") as usize),
        }
    }

    /// Expects what the table says in place of what was recorded.
    fn deviate(&mut self, line: &Line, deviation: &Deviation) -> Result<(), String> {
        let as_recorded = || Err("it deviates no more".to_owned());
        let time = match (line.text("op"), deviation.ours) {
            ("silence", _) => duration(line),
            (_, Ours::Silence) => QUIET,
            _ => PATIENCE,
        };
        let came = self.await_byte(line, time)?;
        match (line.text("op"), came) {
            ("silence", None) | ("eof", Some(0)) => return as_recorded(),
            _ => {}
        }
        let Ours::Frame(ours) = deviation.ours else {
            return came.map_or(Ok(()), |_| Err("expected silence".to_owned()));
        };
        let frame = self.frame(line)?;
        if line.text("dir") == "s2c" && self.compare(line, &frame).is_ok() {
            return as_recorded();
        }
        if compare::fits(ours, &frame) {
            return Ok(());
        }
        Err(format!("\n  ours     {}\n  expected {ours}", hex(&frame)))
    }

    fn connection(&mut self, line: &Line) -> Result<&mut Connection, String> {
        self.connections.get_mut(&line.number_of("conn")).ok_or("no connection".to_owned())
    }

    fn send(&mut self, line: &Line) -> Result<(), String> {
        let mut bytes = line.bytes().unwrap();
        for mask in line.masks() {
            let place = &mut bytes[mask.offset..mask.offset + mask.len];
            match mask.kind.as_str() {
                "session_id" => place.copy_from_slice(&self.given_to(mask.of)?.0),
                "password" => place.copy_from_slice(&self.given_to(mask.of)?.1),
                "zxid" => {
                    let recorded = i64::from_be_bytes((&*place).try_into().unwrap());
                    place.copy_from_slice(&self.known.seen(recorded).to_be_bytes());
                }
                kind => return Err(format!("no such mask: {kind}")),
            }
        }
        let is_last = line.value["more"] != true;
        let connection = self.connection(line)?;
        if let Some(word) = line.text("note").strip_prefix("4lw ") {
            connection.asked = word.to_owned();
        }
        connection.held.extend(bytes);
        if is_last {
            // A server that has closed the connection shows at the next read.
            drop(connection.socket.write_all(&std::mem::take(&mut connection.held)));
        }
        Ok(())
    }

    fn given_to(&self, of: u64) -> Result<([u8; 8], [u8; 16]), String> {
        self.given.get(&of).copied().ok_or(format!("connection {of} was given nothing"))
    }

    fn frame(&mut self, line: &Line) -> Result<Vec<u8>, String> {
        let socket = &mut self.connection(line)?.socket;
        let mut frame = vec![0; 4];
        socket.read_exact(&mut frame).map_err(|error| format!("no frame: {error}"))?;
        let len = u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize;
        frame.resize(4 + len, 0);
        socket.read_exact(&mut frame[4..]).map_err(|error| format!("half a frame: {error}"))?;
        Ok(frame)
    }

    fn compare(&mut self, line: &Line, frame: &[u8]) -> Result<(), String> {
        self.known.frame(line, line.number_of("conn"), frame).map_err(|error| {
            let golden = line.bytes().unwrap();
            format!("{error}\n  ours     {}\n  recorded {}", hex(frame), hex(&golden))
        })?;
        // The answer to a connect request has both.
        if line.masks().iter().any(|mask| mask.kind == "password") {
            let session = frame[12..20].try_into().unwrap();
            let password = frame[24..40].try_into().unwrap();
            self.given.insert(line.number_of("conn"), (session, password));
        }
        Ok(())
    }

    fn expect_text(&mut self, line: &Line) -> Result<(), String> {
        let connection = self.connection(line)?;
        let mut text = String::new();
        connection.socket.read_to_string(&mut text).map_err(|error| error.to_string())?;
        pattern::compare(&connection.asked, &line.value, &text)
    }

    fn expect_end(&mut self, line: &Line) -> Result<(), String> {
        match self.connection(line)?.socket.read(&mut [0]) {
            Ok(0) => Ok(()),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
            other => Err(format!("expected the end, got {other:?}")),
        }
    }

    /// Waits for a byte or the end, and leaves it there; `None` when neither comes.
    fn await_byte(&mut self, line: &Line, time: Duration) -> Result<Option<usize>, String> {
        let socket = &self.connection(line)?.socket;
        socket.set_read_timeout(Some(time)).unwrap();
        let peeked = socket.peek(&mut [0]);
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        match peeked {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    fn expect_nothing_left(&mut self) -> Result<(), String> {
        for (number, connection) in &self.connections {
            connection.socket.set_nonblocking(true).unwrap();
            if connection.socket.peek(&mut [0]).is_ok_and(|count| count > 0) {
                return Err(format!("a frame is left on connection {number}"));
            }
        }
        Ok(())
    }
}

fn duration(line: &Line) -> Duration {
    Duration::from_millis(line.number_of("ms"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(200).map(|byte| format!("{byte:02x}")).collect()
}
