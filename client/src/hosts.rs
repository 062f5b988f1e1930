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
            let (host, rest) = bracketed.split_once(']')?;
            (host, rest.strip_prefix(':'))
        }
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = port.map_or(Some(PORT_DEFAULT), |port| port.parse().ok())?;
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

/// Hosts in a shuffled order, tried in turn.
#[derive(Clone, Debug)]
pub struct Hosts {
    hosts: Vec<(String, u16)>,
    next: usize,
}

impl Hosts {
    /// Shuffles the hosts by `seed`, so that many clients spread over the servers.
    pub fn new(mut hosts: Vec<(String, u16)>, seed: u64) -> Self {
        assert!(!hosts.is_empty(), "a connect string names a host");
        let mut state = seed | 1;
        for index in (1..hosts.len()).rev() {
            // xorshift: any spread will do.
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            hosts.swap(index, (state % (index as u64 + 1)) as usize);
        }
        Self { hosts, next: 0 }
    }

    /// Returns the host to try next, and whether all have been tried since the first.
    pub fn next_host(&mut self) -> (&(String, u16), bool) {
        let index = self.next;
        self.next = (index + 1) % self.hosts.len();
        (&self.hosts[index], self.next == 0)
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
        for text in ["", ",", "a:x", "a:99999", ":1", "a,,b", "a/./b", "[::1"] {
            assert!(ConnectString::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn every_host_is_tried_before_one_is_tried_again() {
        let all = ConnectString::parse("a,b,c").unwrap().hosts;
        let mut hosts = Hosts::new(all.clone(), 42);
        let mut tried: Vec<_> = (0..3).map(|_| hosts.next_host().0.clone()).collect();
        tried.sort();
        assert_eq!(tried, all);
    }
}
