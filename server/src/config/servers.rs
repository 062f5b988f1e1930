//! `server.N` lines: `host:port[:port][:role][;[host:]clientport]`.

use std::net::IpAddr;

/// Whether a member votes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// It votes.
    Participant,
    /// It does not.
    Observer,
}

/// One member of the ensemble.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Server {
    /// Host name or address, resolved at each call.
    pub host: String,
    /// Peer port: the first of the two; one carries everything.
    pub port: u16,
    /// Whether it votes.
    pub role: Role,
    /// Where its clients connect, if the line says so.
    pub client_address: Option<IpAddr>,
    /// Where its clients connect, if the line says so.
    pub client_port: Option<u16>,
}

/// What is accepted, for error messages.
pub(super) const ACCEPTED: &str =
    "expected host:port[:port][:participant|observer][;[address:]clientport]";

/// Reads the value of a `server.N` line. Of several addresses the first is taken.
pub(super) fn parse(value: &str) -> Option<Server> {
    let first = value.split('|').next()?;
    // The client part stands behind the last address.
    let (peer, client) = match (first.split_once(';'), value.split_once(';')) {
        (Some((peer, client)), _) => (peer, Some(client)),
        (None, Some((_, client))) => (first, Some(client)),
        (None, None) => (first, None),
    };
    let (host, rest) = split_host(peer.trim())?;
    let mut parts = rest.split(':');
    let port = parts.next()?.trim().parse().ok().filter(|port| *port != 0)?;
    let mut role = Role::Participant;
    for part in parts {
        match part.trim() {
            "participant" => role = Role::Participant,
            "observer" => role = Role::Observer,
            // The election port, or a role in ZooKeeper's other places: taken and not used.
            number if number.parse::<u16>().is_ok() => {}
            _ => return None,
        }
    }
    let (client_address, client_port) = match client {
        None => (None, None),
        Some(client) => parse_client(client.trim())?,
    };
    Some(Server { host, port, role, client_address, client_port })
}

fn parse_client(client: &str) -> Option<(Option<IpAddr>, Option<u16>)> {
    if let Ok(port) = client.parse::<u16>() {
        return Some((None, Some(port)));
    }
    let (host, port) = split_host(client)?;
    Some((Some(host.parse().ok()?), Some(port.parse().ok()?)))
}

/// Splits `host:rest`, where an IPv6 address stands in brackets.
fn split_host(text: &str) -> Option<(String, &str)> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (host, rest) = bracketed.split_once(']')?;
            (host, rest.strip_prefix(':')?)
        }
        None => text.split_once(':')?,
    };
    (!host.is_empty()).then(|| (host.to_owned(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_line_is_read() {
        let plain = parse("zoo1:2888:3888").unwrap();
        assert_eq!((plain.host.as_str(), plain.port, plain.client_port), ("zoo1", 2888, None));
        assert_eq!(parse("zoo1:2888").unwrap().port, 2888);
        assert_eq!(parse("zoo1:2888:3888:observer").unwrap().role, Role::Observer);
        let six = parse("[::1]:2888:3888:participant;[::1]:2181").unwrap();
        assert_eq!((six.host.as_str(), six.client_port), ("::1", Some(2181)));
        assert_eq!(six.client_address, Some("::1".parse().unwrap()));
        let client = parse("10.0.0.1:2888:3888;2181").unwrap();
        assert_eq!((client.client_address, client.client_port), (None, Some(2181)));
        let many = parse("a:1:2|b:3:4;2181").unwrap();
        assert_eq!((many.host.as_str(), many.client_port), ("a", Some(2181)));
    }

    #[test]
    fn anything_else_is_refused() {
        for line in ["", "host", "host:", ":2888", "host:0", "host:99999", "host:1:x", "host:1;y"] {
            assert_eq!(parse(line), None, "{line:?}");
        }
    }
}
