//! `server.N` lines: `host:port[:port][:role][;[host:]clientport]`.

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
    /// ZooKeeper's port for elections: the second of the two. Nothing listens there.
    pub election_port: Option<u16>,
    /// Whether it votes.
    pub role: Role,
    /// Host name or address where its clients connect, if the line says so.
    pub client_host: Option<String>,
    /// Where its clients connect, if the line says so.
    pub client_port: Option<u16>,
}

/// What is accepted, for error messages.
pub(super) const ACCEPTED: &str =
    "expected host:port[:port][:participant|observer][;[host:]clientport]";

/// Returns whether a line gives several addresses, of which only the first is used.
pub(super) fn has_several_addresses(value: &str) -> bool {
    value.contains('|')
}

/// Reads the value of a `server.N` line. Of several addresses the first is used; the role may stand
/// behind any of them, as in ZooKeeper: overlooked, it would make an observer vote.
pub(super) fn parse(value: &str) -> Option<Server> {
    let (addresses, client) = match value.split_once(';') {
        Some((addresses, client)) => (addresses, Some(client)),
        None => (value, None),
    };
    let addresses: Option<Vec<Address>> = addresses.split('|').map(parse_address).collect();
    let addresses = addresses?;
    let role = addresses.iter().find_map(|address| address.role).unwrap_or(Role::Participant);
    let Address { host, port, election_port, .. } = addresses.into_iter().next()?;
    let (client_host, client_port) = match client {
        None => (None, None),
        Some(client) => parse_client(client.trim())?,
    };
    Some(Server { host, port, election_port, role, client_host, client_port })
}

/// One of the addresses of a `server.N` line.
struct Address {
    host: String,
    port: u16,
    election_port: Option<u16>,
    role: Option<Role>,
}

fn parse_address(text: &str) -> Option<Address> {
    let (host, rest) = split_host(text.trim())?;
    let mut parts = rest.split(':');
    let port = parts.next()?.trim().parse().ok().filter(|port| *port != 0)?;
    let (mut election_port, mut role) = (None, None);
    for part in parts {
        match part.trim() {
            // ZooKeeper takes roles in any case, and nothing behind them.
            _ if role.is_some() => return None,
            part if part.eq_ignore_ascii_case("participant") => role = Some(Role::Participant),
            part if part.eq_ignore_ascii_case("observer") => role = Some(Role::Observer),
            number if election_port.is_none() => election_port = Some(number.parse().ok()?),
            _ => return None,
        }
    }
    Some(Address { host, port, election_port, role })
}

fn parse_client(client: &str) -> Option<(Option<String>, Option<u16>)> {
    if let Ok(port) = client.parse::<u16>() {
        return Some((None, Some(port)));
    }
    let (host, port) = split_host(client)?;
    Some((Some(host), Some(port.trim().parse().ok()?)))
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
        assert_eq!(six.client_host.as_deref(), Some("::1"));
        let named = parse("zoo1:2888:3888;zoo1:2181").unwrap();
        assert_eq!((named.client_host.as_deref(), named.client_port), (Some("zoo1"), Some(2181)));
        let client = parse("10.0.0.1:2888:3888;2181").unwrap();
        assert_eq!((client.client_host, client.client_port), (None, Some(2181)));
        let many = parse("a:1:2|b:3:4;2181").unwrap();
        assert_eq!((many.host.as_str(), many.client_port), ("a", Some(2181)));
        assert_eq!((plain.election_port, many.election_port), (Some(3888), Some(2)));
    }

    #[test]
    fn an_observer_with_several_addresses_does_not_vote() {
        for line in ["a:1:2|b:3:4:observer", "a:1:2:observer|b:3:4;2181", "a:1:2:OBSERVER"] {
            assert_eq!(parse(line).unwrap().role, Role::Observer, "{line}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for line in ["", "host", "host:", ":2888", "host:0", "host:99999", "host:1:x", "host:1;y"] {
            assert_eq!(parse(line), None, "{line:?}");
        }
        for line in ["a:1:2:3", "a:1:observer:participant", "a:1:2|", "[::1", "[::1]2888", ";2181"]
        {
            assert_eq!(parse(line), None, "{line:?}");
        }
    }
}
