//! A load generator for etcd 3: gRPC by hand over HTTP/2 (crate `h2`), so that it costs little itself. The options
//! and the results are those of `conclave bench`, as far as they go.
//!
//! A create is a put of a new key, a read a serializable range of one key (what a member answers by itself, as
//! ZooKeeper's reads are), a session a connection with a lease and its keep-alive stream, a watch a stream of its
//! own on a connection of its own, a bulk load a txn of many puts.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use clap::Parser;
use h2::{RecvStream, SendStream, client::SendRequest};
use hdrhistogram::Histogram;
use http::{HeaderMap, Request};
use serde_json::{Value, json};
use tokio::{net::TcpStream, task::LocalSet};

#[derive(Debug, Parser)]
struct Arguments {
    #[arg(long, short)]
    server: String,
    #[arg(long, short)]
    workload: String,
    #[arg(long, short, default_value_t = 16)]
    connections: usize,
    #[arg(long, default_value_t = 1)]
    in_flight: usize,
    #[arg(long, default_value_t = 100)]
    value_bytes: usize,
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    #[arg(long)]
    count: Option<u64>,
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    #[arg(long, default_value_t = 1000)]
    keys: u64,
    #[arg(long, default_value_t = 90)]
    read_percent: u64,
    #[arg(long, default_value_t = 100)]
    multi: u64,
    #[arg(long, default_value_t = 0.0)]
    hold: f64,
}

type Failure = Box<dyn std::error::Error>;

const PUT: &str = "/etcdserverpb.KV/Put";
const RANGE: &str = "/etcdserverpb.KV/Range";
const TXN: &str = "/etcdserverpb.KV/Txn";
const GRANT: &str = "/etcdserverpb.Lease/LeaseGrant";
const KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";
const WATCH: &str = "/etcdserverpb.Watch/Watch";
const LEASE_S: u64 = 30;

fn put_varint(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

fn put_bytes(out: &mut BytesMut, field: u64, bytes: &[u8]) {
    put_varint(out, field << 3 | 2);
    put_varint(out, bytes.len() as u64);
    out.put_slice(bytes);
}

fn put_number(out: &mut BytesMut, field: u64, value: u64) {
    put_varint(out, field << 3);
    put_varint(out, value);
}

fn put_message(key: &[u8], value: &[u8]) -> BytesMut {
    let mut out = BytesMut::with_capacity(key.len() + value.len() + 16);
    put_bytes(&mut out, 1, key);
    put_bytes(&mut out, 2, value);
    out
}

/// A serializable range of one key.
fn range_message(key: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    put_bytes(&mut out, 1, key);
    put_number(&mut out, 7, 1);
    out
}

fn framed(message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(message.len() + 5);
    out.put_u8(0);
    out.put_u32(message.len() as u32);
    out.put_slice(message);
    out.freeze()
}

/// One HTTP/2 connection.
struct Link {
    sender: SendRequest<Bytes>,
    authority: String,
}

impl Link {
    async fn open(host: &str) -> Result<Self, Failure> {
        let socket = TcpStream::connect(host).await?;
        socket.set_nodelay(true)?;
        let (sender, connection) = h2::client::Builder::new()
            .initial_window_size(1 << 20)
            .initial_connection_window_size(4 << 20)
            .handshake(socket)
            .await?;
        tokio::task::spawn_local(async move {
            // Its end shows in what is asked on it.
            drop(connection.await);
        });
        Ok(Self { sender: sender.ready().await?, authority: host.to_owned() })
    }

    async fn begin(&self, path: &str) -> Result<(h2::client::ResponseFuture, SendStream<Bytes>), Failure> {
        let request = Request::post(format!("http://{}{path}", self.authority))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        let mut sender = self.sender.clone().ready().await?;
        Ok(sender.send_request(request, false)?)
    }

    /// Asks one request and waits for its answer.
    async fn ask(&self, path: &str, message: &[u8]) -> Result<(), Failure> {
        let (response, mut stream) = self.begin(path).await?;
        stream.send_data(framed(message), true)?;
        let response = response.await?;
        check(response.headers())?;
        let mut body = response.into_body();
        while let Some(data) = body.data().await {
            body.flow_control().release_capacity(data?.len())?;
        }
        if let Some(trailers) = body.trailers().await? {
            check(&trailers)?;
        }
        Ok(())
    }

    /// Opens a stream with a first message and waits for the first one that comes back.
    async fn stream(&self, path: &str, message: &[u8]) -> Result<Stream, Failure> {
        let (response, mut sender) = self.begin(path).await?;
        sender.send_data(framed(message), false)?;
        let mut stream = Stream { _sender: sender, body: response.await?.into_body(), input: BytesMut::new() };
        stream.message().await?;
        Ok(stream)
    }
}

struct Stream {
    _sender: SendStream<Bytes>,
    body: RecvStream,
    input: BytesMut,
}

impl Stream {
    /// Waits for the next message.
    async fn message(&mut self) -> Result<(), Failure> {
        loop {
            if self.input.len() >= 5 {
                let len = u32::from_be_bytes(self.input[1..5].try_into()?) as usize;
                if self.input.len() >= 5 + len {
                    self.input.advance(5 + len);
                    return Ok(());
                }
            }
            let data = self.body.data().await.ok_or("the stream has ended")??;
            self.body.flow_control().release_capacity(data.len())?;
            self.input.extend_from_slice(&data);
        }
    }
}

fn check(headers: &HeaderMap) -> Result<(), Failure> {
    match headers.get("grpc-status") {
        Some(status) if status != "0" => Err(format!("refused: {headers:?}").into()),
        _ => Ok(()),
    }
}

/// What all connections share.
struct Run {
    arguments: Arguments,
    value: Vec<u8>,
    is_measuring: Cell<bool>,
    is_over: Cell<bool>,
    left: Cell<Option<u64>>,
    latency_ns: RefCell<Histogram<u64>>,
    errors: Cell<u64>,
    random: Cell<u64>,
}

impl Run {
    fn has_more(&self) -> bool {
        !self.is_over.get() && self.left.get() != Some(0)
    }

    fn draw(&self, bound: u64) -> u64 {
        let mut random = self.random.get();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        self.random.set(random);
        (random >> 16) % bound
    }

    fn note(&self, from: Instant) {
        if self.is_measuring.get() {
            self.latency_ns.borrow_mut().saturating_record(from.elapsed().as_nanos() as u64);
        }
    }

    fn request(&self, worker: usize, made: u64) -> (&'static str, BytesMut) {
        let arguments = &self.arguments;
        let is_read = match arguments.workload.as_str() {
            "get" => true,
            "mixed" => self.draw(100) < arguments.read_percent,
            _ => false,
        };
        let name = match arguments.workload.as_str() {
            "create" | "load" => format!("/bench/c{worker}-{made}"),
            _ => format!("/bench/k{}", self.draw(arguments.keys)),
        };
        if is_read {
            return (RANGE, range_message(name.as_bytes()));
        }
        if arguments.workload != "load" {
            return (PUT, put_message(name.as_bytes(), &self.value));
        }
        let mut out = BytesMut::new();
        for index in 0..arguments.multi {
            let put = put_message(format!("{name}/n{index}").as_bytes(), &self.value);
            let mut op = BytesMut::new();
            put_bytes(&mut op, 2, &put);
            put_bytes(&mut out, 2, &op);
        }
        (TXN, out)
    }
}

async fn work(run: Rc<Run>, link: Rc<Link>, worker: usize) {
    let mut made = 0;
    while run.has_more() {
        run.left.set(run.left.get().map(|left| left - 1));
        let (path, message) = run.request(worker, made);
        made += 1;
        let from = Instant::now();
        if let Err(error) = link.ask(path, &message).await {
            if run.errors.replace(run.errors.get() + 1) == 0 {
                eprintln!("etcd_load: {error}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        run.note(from);
    }
}

/// Measures requests; returns the seconds and the processor's.
async fn load(run: &Rc<Run>, hosts: &[&str]) -> Result<(f64, f64), Failure> {
    let arguments = &run.arguments;
    let first = Rc::new(Link::open(hosts[0]).await?);
    if matches!(arguments.workload.as_str(), "set" | "get" | "mixed") {
        for key in 0..arguments.keys {
            first.ask(PUT, &put_message(format!("/bench/k{key}").as_bytes(), &run.value)).await?;
        }
    }
    let mut tasks = Vec::new();
    for connection in 0..arguments.connections {
        let link = Rc::new(Link::open(hosts[connection % hosts.len()]).await?);
        for lane in 0..arguments.in_flight {
            let worker = connection * arguments.in_flight + lane;
            tasks.push(tokio::task::spawn_local(work(run.clone(), link.clone(), worker)));
        }
    }
    let all = async {
        for task in tasks {
            drop(task.await);
        }
    };
    let mut began = (Instant::now(), cpu_s());
    if arguments.count.is_some() {
        run.is_measuring.set(true);
        all.await;
        return Ok((began.0.elapsed().as_secs_f64(), cpu_s() - began.1));
    }
    let timed = async {
        tokio::time::sleep(Duration::from_secs_f64(arguments.warm_up)).await;
        run.is_measuring.set(true);
        began = (Instant::now(), cpu_s());
        tokio::time::sleep(Duration::from_secs_f64(arguments.seconds)).await;
        run.is_measuring.set(false);
        run.is_over.set(true);
        (began.0.elapsed().as_secs_f64(), cpu_s() - began.1)
    };
    Ok(tokio::join!(timed, all).0)
}

/// Opens sessions, some at a time; returns them with the seconds and the processor's.
async fn sessions(run: &Rc<Run>, hosts: &[&str], count: u64) -> Result<(f64, f64, Vec<(Rc<Link>, Stream)>), Failure> {
    let (began, cpu) = (Instant::now(), cpu_s());
    run.is_measuring.set(true);
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let next = Rc::new(RefCell::new(0..count));
    let tasks: Vec<_> = (0..run.arguments.connections)
        .map(|_| {
            let (run, next, hosts) = (run.clone(), next.clone(), hosts.clone());
            tokio::task::spawn_local(async move {
                let mut opened = Vec::new();
                loop {
                    let index = next.borrow_mut().next();
                    let Some(index) = index else { break };
                    let from = Instant::now();
                    match session(&hosts[index as usize % hosts.len()], index).await {
                        Ok(session) => opened.push(session),
                        Err(error) => {
                            if run.errors.replace(run.errors.get() + 1) == 0 {
                                eprintln!("etcd_load: {error}");
                            }
                        }
                    }
                    run.note(from);
                }
                opened
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await?);
    }
    Ok((began.elapsed().as_secs_f64(), cpu_s() - cpu, all))
}

async fn session(host: &str, index: u64) -> Result<(Rc<Link>, Stream), Failure> {
    let link = Rc::new(Link::open(host).await?);
    let id = index + 1 + (u64::from(std::process::id()) << 24);
    let mut grant = BytesMut::new();
    put_number(&mut grant, 1, LEASE_S);
    put_number(&mut grant, 2, id);
    link.ask(GRANT, &grant).await?;
    let mut keep_alive = BytesMut::new();
    put_number(&mut keep_alive, 1, id);
    let stream = link.stream(KEEP_ALIVE, &keep_alive).await?;
    Ok((link, stream))
}

/// Measures from a put to the last event of all who watch its key.
async fn fan_out(run: &Rc<Run>, hosts: &[&str], rounds: u64) -> Result<(f64, f64), Failure> {
    let key = b"/bench/watched";
    let writer = Link::open(hosts[0]).await?;
    let mut create = BytesMut::new();
    put_bytes(&mut create, 1, key);
    let mut message = BytesMut::new();
    put_bytes(&mut message, 1, &create);
    let heard = Rc::new(Cell::new(0));
    let all_heard = Rc::new(tokio::sync::Notify::new());
    let count = run.arguments.connections;
    for index in 0..count {
        let link = Link::open(hosts[index % hosts.len()]).await?;
        let mut stream = link.stream(WATCH, &message).await?;
        let (heard, all_heard) = (heard.clone(), all_heard.clone());
        tokio::task::spawn_local(async move {
            let _link = link;
            while stream.message().await.is_ok() {
                heard.set(heard.get() + 1);
                if heard.get() == count {
                    all_heard.notify_one();
                }
            }
        });
    }
    let (began, cpu) = (Instant::now(), cpu_s());
    run.is_measuring.set(true);
    for _ in 0..rounds {
        heard.set(0);
        let from = Instant::now();
        writer.ask(PUT, &put_message(key, &run.value)).await?;
        tokio::time::timeout(Duration::from_secs(30), all_heard.notified()).await?;
        run.note(from);
    }
    Ok((began.elapsed().as_secs_f64(), cpu_s() - cpu))
}

fn cpu_s() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn results(run: &Run, seconds: f64, client_cpu_s: f64) -> Value {
    let latency = run.latency_ns.borrow();
    let at = |quantile| latency.value_at_quantile(quantile) as f64 / 1000.0;
    let ops = latency.len() * if run.arguments.workload == "load" { run.arguments.multi } else { 1 };
    let errors = match run.errors.get() {
        0 => json!({}),
        count => json!({ "refused or lost": count }),
    };
    json!({
        "workload": run.arguments.workload, "connections": run.arguments.connections,
        "in_flight": run.arguments.in_flight, "value_bytes": run.arguments.value_bytes,
        "seconds": seconds, "ops": ops, "ops_per_s": ops as f64 / seconds,
        "latency": { "mean_us": latency.mean() / 1000.0, "p50_us": at(0.5), "p90_us": at(0.9), "p99_us": at(0.99),
                     "p999_us": at(0.999), "max_us": latency.max() as f64 / 1000.0 },
        "errors": errors, "client_cpu_s": client_cpu_s,
    })
}

async fn bench(arguments: Arguments) -> Result<(), Failure> {
    let server = arguments.server.clone();
    let hosts: Vec<&str> = server.split(',').collect();
    let (hold, workload) = (arguments.hold, arguments.workload.clone());
    let count = arguments.count;
    let per_request = if workload == "load" { arguments.multi } else { 1 };
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let value = (0..arguments.value_bytes).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as u8
    });
    let run = Rc::new(Run {
        value: value.collect(),
        is_measuring: Cell::new(false),
        is_over: Cell::new(false),
        left: Cell::new(count.map(|count| count.div_ceil(per_request))),
        latency_ns: RefCell::new(Histogram::new_with_bounds(1, 600_000_000_000, 3)?),
        errors: Cell::new(0),
        random: Cell::new(0x9e37_79b9_7f4a_7c15),
        arguments,
    });
    let mut kept = Vec::new();
    let (seconds, client_cpu_s) = match workload.as_str() {
        "sessions" => {
            let (seconds, cpu, opened) = sessions(&run, &hosts, count.unwrap_or(5000)).await?;
            kept = opened;
            (seconds, cpu)
        }
        "watch" => fan_out(&run, &hosts, count.unwrap_or(20)).await?,
        "create" | "set" | "get" | "mixed" | "load" => load(&run, &hosts).await?,
        other => return Err(format!("{other} is no workload").into()),
    };
    println!("{}", results(&run, seconds, client_cpu_s));
    tokio::time::sleep(Duration::from_secs_f64(hold)).await;
    drop(kept);
    Ok(())
}

fn main() -> Result<(), Failure> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).map_err(io::Error::from)?;
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, bench(arguments))
}
