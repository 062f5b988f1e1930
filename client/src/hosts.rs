//! Where the servers are: the connect string, and the order in which they are tried.

use crate::error::ClientError;

/// Port of a host that names none.
const PORT_DEFAULT: u16 = 2181;

/// A connect string, taken apart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConnectString {
    /// Hosts and ports, in the order written.
    pub hosts: Vec<(String, u16)>,
    /// The path that stands for the root; empty for none.
    pub chroot: String,
}

impl ConnectString {
    /// Reads `host:port[,host:port...][/chroot]`; IPv6 addresses stand in brackets.
    ///
    /// # Errors
    ///
    /// [`ClientError::ConnectString`].
    pub fn parse(text: &str) -> Result<Self, ClientError> {
        let wrong = || ClientError::ConnectString(text.to_owned());
        let (list, chroot) = match text.find('/') {
            Some(slash) => text.split_at(slash),
            None => (text, ""),
        };
        let chroot = chroot.trim_end_matches('/');
        if !chroot.is_empty() {
            conclave_protocol::path::validate(chroot).map_err(|_| wrong())?;
        }
        let hosts: Option<Vec<_>> = list.split(',').map(|host| parse_host(host.trim())).collect();
        let hosts = hosts.filter(|hosts| !hosts.is_empty()).ok_or_else(wrong)?;
        Ok(Self { hosts, chroot: chroot.to_owned() })
    }
}

fn parse_host(text: &str) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (host, rest) = bracketed.split_once(']').filter(|(host, _)| host.contains(':'))?;
            let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
            (host, port)
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = port.map_or(Some(PORT_DEFAULT), |port| port.parse().ok())?;
    (!host.is_empty() && !host.contains(['[', ']'])).then(|| (host.to_owned(), port))
}

/// Rest after all hosts were tried in vain, in milliseconds: first and longest.
const REST_MS: (u64, u64) = (50, 1000);

/// Hosts in a shuffled order, tried in turn, with a rest after each round in which none served.
#[derive(Clone, Debug)]
pub struct Hosts {
    hosts: Vec<(String, u16)>,
    next: usize,
    /// Hosts tried since one has served.
    tried: usize,
    rest_ms: u64,
    random: u64,
}

/// What to do for the next connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attempt {
    /// Time to rest before, in milliseconds.
    pub rest_ms: u64,
    /// The host to connect to.
    pub host: String,
    /// Its port.
    pub port: u16,
}

impl Hosts {
    /// Shuffles the hosts by `seed`, so that many clients spread over the servers.
    pub fn new(hosts: Vec<(String, u16)>, seed: u64) -> Self {
        assert!(!hosts.is_empty(), "a connect string names a host");
        // Spread, for seeds are often neighbours; odd, for xorshift never leaves 0.
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut all = Self { hosts, next: 0, tried: 0, rest_ms: REST_MS.0, random };
        for index in (1..all.hosts.len()).rev() {
            let other = all.draw(index as u64 + 1) as usize;
            all.hosts.swap(index, other);
        }
        all
    }

    /// Returns how many hosts there are.
    pub fn count(&self) -> usize {
        self.hosts.len()
    }

    /// Returns the host to try next. The rest before it grows with each round, and differs from
    /// client to client, so that they do not all come back at once.
    pub fn next_attempt(&mut self) -> Attempt {
        let (host, port) = self.hosts[self.next].clone();
        self.next = (self.next + 1) % self.hosts.len();
        let is_round = self.tried > 0 && self.tried.is_multiple_of(self.hosts.len());
        let rest_ms = if is_round {
            let half_ms = self.rest_ms / 2;
            let rest_ms = half_ms + self.draw(half_ms + 1);
            self.rest_ms = (self.rest_ms * 2).min(REST_MS.1);
            rest_ms
        } else {
            0
        };
        self.tried += 1;
        Attempt { rest_ms, host, port }
    }

    /// Makes a host the next to be tried, without a rest.
    pub fn prefer(&mut self, host: &str, port: u16) {
        let position = self.hosts.iter().position(|(name, at)| name == host && *at == port);
        self.next = position.unwrap_or(self.next);
        self.served();
    }

    /// A host has served: the next ones are tried without a rest.
    pub const fn served(&mut self) {
        self.tried = 0;
        self.rest_ms = REST_MS.0;
    }

    /// Returns a number below `bound`; xorshift, for any spread will do.
    const fn draw(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 16) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_connect_string_is_read() {
        let parsed = ConnectString::parse("a:1,b,[::1]:3/app/x/").unwrap();
        let hosts = [("a".to_owned(), 1), ("b".to_owned(), 2181), ("::1".to_owned(), 3)];
        assert_eq!((parsed.hosts, parsed.chroot.as_str()), (hosts.to_vec(), "/app/x"));
        assert_eq!(ConnectString::parse("a/").unwrap().chroot, "");
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "", ",", "a:x", "a:99999", ":1", "a,,b", "a/./b", "[::1", "[[]]", "[::1]x", "[::1]80",
            "[a]:1", "a]:1",
        ] {
            assert!(ConnectString::parse(text).is_err(), "{text:?}");
        }
    }

    fn hosts(seed: u64) -> Hosts {
        Hosts::new(ConnectString::parse("a,b,c").unwrap().hosts, seed)
    }

    #[test]
    fn every_host_is_tried_before_one_is_tried_again() {
        let mut hosts = hosts(42);
        let mut tried: Vec<_> = (0..3).map(|_| hosts.next_attempt().host).collect();
        tried.sort();
        assert_eq!(tried, ["a", "b", "c"]);
    }

    #[test]
    fn seeds_spread_clients_over_all_hosts() {
        let mut firsts: Vec<_> = (0..20).map(|seed| hosts(seed).next_attempt().host).collect();
        firsts.sort();
        firsts.dedup();
        assert_eq!(firsts, ["a", "b", "c"]);
        assert_eq!(hosts(7).next_attempt(), hosts(7).next_attempt());
    }

    #[test]
    fn the_rest_grows_with_each_round_in_vain_and_ends_when_a_host_serves() {
        let mut hosts = hosts(1);
        let mut rests = Vec::new();
        for _ in 0..8 {
            let round: Vec<_> = (0..3).map(|_| hosts.next_attempt().rest_ms).collect();
            assert_eq!(round[1..], [0, 0]);
            rests.push(round[0]);
        }
        assert_eq!(rests[0], 0);
        for (rest_ms, most_ms) in rests[1..].iter().zip([50, 100, 200, 400, 800, 1000, 1000]) {
            assert!((most_ms / 2..=most_ms).contains(rest_ms), "{rests:?}");
        }
        hosts.served();
        assert_eq!(hosts.next_attempt().rest_ms, 0);
    }
}
