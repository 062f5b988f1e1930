//! `top`: what goes on in the ensemble, by the four-letter words of its members.

use std::{collections::HashMap, time::Duration};

use clap::Args;

use super::Context;
use crate::{
    clock::Clock,
    hosts::ConnectString,
    shell::{error::ShellError, four_letters, outcome::Outcome, render::Format},
};

/// Clears a terminal, and goes to its first place.
const CLEAR: &[u8] = b"\x1b[2J\x1b[H";

/// Shows members, latencies, sessions and the busiest connections, again and again until Ctrl-C.
#[derive(Args, Clone, Debug)]
pub(in crate::shell) struct Top {
    /// Looks once; so it is too where nobody looks.
    #[arg(short = '1', long)]
    once: bool,
    /// Time between two looks.
    #[arg(short, long, default_value = "2s", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// So many connections at most.
    #[arg(short, long, default_value_t = 10)]
    connections: usize,
}

/// One look at the ensemble.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::shell) struct Frame {
    pub(in crate::shell) members: Vec<Member>,
    /// The busiest first.
    pub(in crate::shell) connections: Vec<Connection>,
}

/// A member, as it tells of itself.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::shell) struct Member {
    pub(in crate::shell) address: String,
    pub(in crate::shell) figures: Result<HashMap<String, String>, String>,
    /// Why some of its figures, or its connections, are not known.
    pub(in crate::shell) silences: Vec<String>,
    /// Requests in a second since the look before.
    pub(in crate::shell) requests_per_s: Option<f64>,
}

/// A client's connection, as its member tells of it.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::shell) struct Connection {
    pub(in crate::shell) member: String,
    pub(in crate::shell) address: String,
    pub(in crate::shell) figures: HashMap<String, String>,
    /// Requests since the look before, or since it was made.
    pub(in crate::shell) requests: u64,
}

impl Top {
    pub(in crate::shell) async fn run(self, context: Context<'_>) -> Result<Outcome, ShellError> {
        let servers = &context.connection.servers;
        let parsed = ConnectString::parse(servers);
        let hosts = parsed.map_err(|error| ShellError::Usage(error.to_string()))?.hosts;
        let is_looked_at =
            context.printer.style().is_terminal && context.printer.format() == Format::Text;
        let mut looks = Looks::new(hosts, self.connections);
        let mut frame = looks.look().await;
        if self.once || !is_looked_at {
            if frame.members.iter().all(|member| member.figures.is_err()) {
                context.printer.outcome(&Outcome::Top(frame))?;
                return Err(ShellError::Refused("no member tells of itself".to_owned()));
            }
            return Ok(Outcome::Top(frame));
        }
        loop {
            context.printer.bytes(CLEAR);
            context.printer.outcome(&Outcome::Top(frame))?;
            context.printer.flush()?;
            tokio::time::sleep(self.interval).await;
            frame = looks.look().await;
        }
    }
}

/// Looks, and remembers the look before.
struct Looks {
    hosts: Vec<(String, u16)>,
    connections_max: usize,
    clock: Clock,
    looked_ms: u64,
    /// Requests by member, and by member and client.
    before: HashMap<(String, String), u64>,
}

impl Looks {
    fn new(hosts: Vec<(String, u16)>, connections_max: usize) -> Self {
        let clock = Clock::start();
        Self { hosts, connections_max, clock, looked_ms: 0, before: HashMap::new() }
    }

    async fn look(&mut self) -> Frame {
        let mut asked = tokio::task::JoinSet::new();
        for (index, (host, port)) in self.hosts.iter().cloned().enumerate() {
            asked.spawn(async move {
                let mntr = four_letters::ask(&host, port, "mntr").await;
                let (figures, silence) = match mntr {
                    Ok(text) => (Ok(text), None),
                    // The one word that every server answers.
                    Err(why) => match four_letters::ask(&host, port, "srvr").await {
                        Ok(text) => (Ok(text), Some(why)),
                        Err(_) => (Err(why), None),
                    },
                };
                (index, figures, silence, four_letters::ask(&host, port, "cons").await)
            });
        }
        let mut answers = asked.join_all().await;
        answers.sort_by_key(|(index, ..)| *index);
        let elapsed_s = (self.clock.now_ms() - self.looked_ms) as f64 / 1000.0;
        let is_first = self.before.is_empty();
        let mut now = HashMap::new();
        let mut frame = Frame { members: Vec::new(), connections: Vec::new() };
        for (index, figures, silence, cons) in answers {
            let (host, port) = &self.hosts[index];
            let address = format!("{host}:{port}");
            let figures = figures.map(|text| parse_figures(&text));
            let received = figures.as_ref().ok().and_then(received);
            let key = (address.clone(), String::new());
            let requests_per_s = received.and_then(|received| {
                let before = self.before.get(&key).copied().filter(|_| !is_first)?;
                Some(received.saturating_sub(before) as f64 / elapsed_s)
            });
            now.extend(received.map(|received| (key, received)));
            for mut connection in cons.iter().flat_map(|text| connections(&address, text)) {
                let key = (address.clone(), connection.address.clone());
                let before = self.before.get(&key).copied().unwrap_or(0);
                now.insert(key, connection.requests);
                connection.requests = connection.requests.saturating_sub(before);
                frame.connections.push(connection);
            }
            // A member that tells nothing has said why already.
            let silences = silence.into_iter().chain(cons.err().filter(|_| figures.is_ok()));
            let silences = silences.collect();
            frame.members.push(Member { address, figures, silences, requests_per_s });
        }
        frame
            .connections
            .sort_by(|a, b| b.requests.cmp(&a.requests).then(a.address.cmp(&b.address)));
        frame.connections.truncate(self.connections_max);
        (self.before, self.looked_ms) = (now, self.clock.now_ms());
        frame
    }
}

/// Reads `key<TAB>value` of mntr, or `Key: value` of srvr under the keys of mntr.
fn parse_figures(text: &str) -> HashMap<String, String> {
    let mut figures = HashMap::new();
    let mut note = |key: &str, value: &str| drop(figures.insert(key.to_owned(), value.to_owned()));
    for line in text.lines() {
        if let Some((key, value)) = line.split_once('\t') {
            note(key, value);
            continue;
        }
        match line.split_once(": ") {
            Some(("Mode", mode)) => note("zk_server_state", mode),
            Some(("Connections", count)) => note("zk_num_alive_connections", count),
            Some(("Outstanding", count)) => note("zk_outstanding_requests", count),
            Some(("Node count", count)) => note("zk_znode_count", count),
            Some(("Received", count)) => note("zk_packets_received", count),
            Some(("Latency min/avg/max", latencies)) => {
                let mut latencies = latencies.split('/').skip(1);
                for key in ["zk_avg_latency", "zk_max_latency"] {
                    note(key, latencies.next().unwrap_or("?"));
                }
            }
            _ => {}
        }
    }
    figures
}

fn received(figures: &HashMap<String, String>) -> Option<u64> {
    figures.get("zk_packets_received")?.parse().ok()
}

/// Reads the lines of cons: `/ADDRESS[N](key=value,...)`. Who asks for it is left out.
fn connections<'a>(member: &'a str, text: &'a str) -> impl Iterator<Item = Connection> + 'a {
    text.lines().filter_map(move |line| {
        let (address, rest) = line.trim().strip_prefix('/')?.split_once('[')?;
        let pairs = rest.split_once('(')?.1.strip_suffix(')')?.split(',');
        let figures = pairs.filter_map(|pair| pair.split_once('='));
        let figures: HashMap<String, String> =
            figures.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        figures.contains_key("sid").then_some(())?;
        let requests = figures.get("recved")?.parse().ok()?;
        let (member, address) = (member.to_owned(), address.to_owned());
        Some(Connection { member, address, figures, requests })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_either_word() {
        let mntr = parse_figures("zk_version\t3.9\nzk_server_state\tleader\nzk_avg_latency\t0.5\n");
        assert_eq!(mntr["zk_server_state"], "leader");
        let srvr = parse_figures("Latency min/avg/max: 0/0.25/7\nReceived: 12\nMode: follower\n");
        assert_eq!((srvr["zk_max_latency"].as_str(), received(&srvr)), ("7", Some(12)));
        assert_eq!(srvr["zk_server_state"], "follower");
    }

    #[test]
    fn connections_are_read_and_the_one_that_asks_is_left_out() {
        let text = " /127.0.0.1:4[1](queued=0,recved=7,sent=7,sid=0x1,lop=GETD,avglat=0)\n \
                    /127.0.0.1:5[0](queued=0,recved=1,sent=0)\n\njunk\n";
        let found: Vec<_> = connections("m", text).collect();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].requests, found[0].figures["lop"].as_str()), (7, "GETD"));
    }
}
