//! The floor: what one thread can do that answers clients of ZooKeeper's protocol and does no more for it than it
//! must. Reads get a constant answer; writes get theirs after one write and one fdatasync for all that have come
//! since the last. It replicates nothing and keeps no tree; of watches it knows who has one.
//!
//!     floor PORT FILE

use std::{
    collections::HashSet,
    fs::File,
    io::{self, Read, Write},
    os::unix::fs::FileExt,
    time::Duration,
};

use bytes::{Buf, BufMut, BytesMut};
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};

const LISTENER: Token = Token(0);
/// The file is written round about in zeroes that are there before, as a log with preallocated segments would be.
const FILE_LEN_BYTES: usize = 64 << 20;
const READ_LEN_BYTES: usize = 64 << 10;
const VALUE_LEN_BYTES: usize = 100;
const STAT_LEN_BYTES: usize = 68;
const CREATE: i32 = 1;
const GET_DATA: i32 = 4;
const SET_DATA: i32 = 5;
const SYNC: i32 = 9;
const PING: i32 = 11;
const CLOSE: i32 = -11;

struct Client {
    socket: TcpStream,
    input: BytesMut,
    out: BytesMut,
    is_connected: bool,
}

struct Floor {
    poll: Poll,
    clients: Vec<Option<Client>>,
    free: Vec<usize>,
    watchers: HashSet<usize>,
    log: BytesMut,
    file: File,
    at: usize,
    read: Vec<u8>,
    /// Who has something to be written.
    dirty: Vec<usize>,
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(port), Some(file)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: floor PORT FILE");
        std::process::exit(2);
    };
    let address = format!("127.0.0.1:{port}").parse().map_err(io::Error::other)?;
    let mut listener = TcpListener::bind(address)?;
    let poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let file = File::options().create(true).truncate(true).read(true).write(true).open(file)?;
    file.write_all_at(&vec![0; FILE_LEN_BYTES], 0)?;
    file.sync_all()?;
    let mut floor = Floor {
        poll,
        clients: Vec::new(),
        free: Vec::new(),
        watchers: HashSet::new(),
        log: BytesMut::new(),
        file,
        at: 0,
        read: vec![0; READ_LEN_BYTES],
        dirty: Vec::new(),
    };
    let mut events = Events::with_capacity(4096);
    loop {
        floor.poll.poll(&mut events, Some(Duration::from_secs(60)))?;
        for event in &events {
            match event.token() {
                LISTENER => floor.accept(&listener)?,
                Token(token) => floor.turn(token - 1),
            }
        }
        floor.sync()?;
        floor.flush();
    }
}

impl Floor {
    fn accept(&mut self, listener: &TcpListener) -> io::Result<()> {
        while let Ok((mut socket, _)) = listener.accept() {
            socket.set_nodelay(true)?;
            let index = self.free.pop().unwrap_or_else(|| {
                self.clients.push(None);
                self.clients.len() - 1
            });
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut socket, Token(index + 1), both)?;
            let (input, out) = (BytesMut::new(), BytesMut::new());
            self.clients[index] = Some(Client { socket, input, out, is_connected: false });
        }
        Ok(())
    }

    /// Reads all that has come on a connection and answers it, writes in the log.
    fn turn(&mut self, index: usize) {
        let Some(mut client) = self.clients[index].take() else { return };
        let is_open = loop {
            match client.socket.read(&mut self.read) {
                Ok(0) => break false,
                Ok(count) => client.input.extend_from_slice(&self.read[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break true,
                Err(_) => break false,
            }
        };
        while let Some(frame) = frame(&mut client.input) {
            self.answer(&mut client, index, frame);
        }
        if is_open {
            self.clients[index] = Some(client);
            self.dirty.push(index);
        } else {
            self.watchers.remove(&index);
            self.free.push(index);
        }
    }

    fn answer(&mut self, client: &mut Client, index: usize, mut frame: BytesMut) {
        if !client.is_connected {
            client.is_connected = true;
            put_frame(&mut client.out, |out| {
                out.put_i32(0);
                out.put_i32(30_000);
                out.put_i64(index as i64 + 1);
                out.put_i32(16);
                out.put_bytes(0, 16);
                out.put_u8(0);
            });
            return;
        }
        if frame.len() < 8 {
            return;
        }
        let (xid, opcode) = (frame.get_i32(), frame.get_i32());
        let is_read = matches!(opcode, GET_DATA | PING | SYNC | CLOSE);
        if opcode == GET_DATA && frame.last() == Some(&1) {
            self.watchers.insert(index);
        }
        if !is_read {
            self.log.extend_from_slice(&frame);
        }
        if opcode == SET_DATA {
            self.fire();
            self.clients_fire_self(client, index);
        }
        put_frame(&mut client.out, |out| {
            out.put_i32(xid);
            out.put_i64(1);
            out.put_i32(0);
            match opcode {
                GET_DATA => {
                    out.put_i32(VALUE_LEN_BYTES as i32);
                    out.put_bytes(b'x', VALUE_LEN_BYTES + STAT_LEN_BYTES);
                }
                SET_DATA => out.put_bytes(0, STAT_LEN_BYTES),
                CREATE => {
                    // The path, which is the first field of the request.
                    let len = frame.clone().get_i32() as usize;
                    out.put_slice(&frame[..(4 + len).min(frame.len())]);
                }
                _ => {}
            }
        });
    }

    /// Queues an event for all who watch.
    fn fire(&mut self) {
        for index in std::mem::take(&mut self.watchers) {
            if let Some(client) = &mut self.clients[index] {
                put_event(&mut client.out);
                self.dirty.push(index);
            } else {
                // It is the one that writes.
                self.watchers.insert(index);
            }
        }
    }

    fn clients_fire_self(&mut self, client: &mut Client, index: usize) {
        if self.watchers.remove(&index) {
            put_event(&mut client.out);
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.log.is_empty() {
            return Ok(());
        }
        if self.at + self.log.len() > FILE_LEN_BYTES {
            self.at = 0;
        }
        self.file.write_all_at(&self.log, self.at as u64)?;
        self.file.sync_data()?;
        self.at += self.log.len();
        self.log.clear();
        Ok(())
    }

    fn flush(&mut self) {
        for index in std::mem::take(&mut self.dirty) {
            let Some(client) = &mut self.clients[index] else { continue };
            while !client.out.is_empty() {
                match client.socket.write(&client.out) {
                    Ok(count) => client.out.advance(count),
                    // It is told when there is room, which brings it back here.
                    Err(_) => break,
                }
            }
        }
    }
}

fn frame(input: &mut BytesMut) -> Option<BytesMut> {
    let len = u32::from_be_bytes(input.get(..4)?.try_into().ok()?) as usize;
    if input.len() < 4 + len {
        return None;
    }
    input.advance(4);
    Some(input.split_to(len))
}

fn put_event(out: &mut BytesMut) {
    put_frame(out, |out| {
        out.put_i32(-1);
        out.put_i64(-1);
        out.put_i32(0);
        out.put_i32(3);
        out.put_i32(3);
        out.put_i32(8);
        out.put_slice(b"/watched");
    });
}

fn put_frame(out: &mut BytesMut, body: impl FnOnce(&mut BytesMut)) {
    let start = out.len();
    out.put_i32(0);
    body(out);
    let len = (out.len() - start - 4) as i32;
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
}
