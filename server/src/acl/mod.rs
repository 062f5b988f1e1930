//! Who may do what: checks of a list against a client's identities, and which lists are valid.

mod access;
pub mod digest;

use conclave_protocol::{
    acl::{Acl, Identity, Perms},
    code::ErrorCode,
};

pub use access::{Access, SCHEMES, is_told};

/// Entries of one list at most; a longer one is refused as invalid.
pub const ACL_ENTRIES_MAX: usize = 1024;

/// Returns whether `list` grants any of `perms` to a client that is all of `identities`.
pub fn allows(list: &[Acl], identities: &[Identity], perms: Perms) -> bool {
    access::is_super(identities)
        || list
            .iter()
            .filter(|entry| entry.perms.intersects(perms))
            .any(|entry| matches_client(&entry.identity, identities))
}

fn matches_client(granted: &Identity, identities: &[Identity]) -> bool {
    let scheme = granted.scheme.as_str();
    if scheme == Some("world") {
        return granted.id.as_str() == Some("anyone");
    }
    if scheme == Some("ip") {
        return identities
            .iter()
            .filter(|identity| identity.scheme.as_str() == Some("ip"))
            .any(|identity| granted.id.as_str().zip(identity.id.as_str()).is_some_and(in_network));
    }
    identities.contains(granted)
}

fn in_network((network, address): (&str, &str)) -> bool {
    let Some((prefix, address)) = parse_network(network).zip(address.parse().ok().map(to_bits))
    else {
        return false;
    };
    prefix.bits.1 == address.1
        && (prefix.len == 0 || {
            let shift = u32::from(address.1 - prefix.len);
            prefix.bits.0.checked_shr(shift) == address.0.checked_shr(shift)
        })
}

struct Network {
    /// The address, and how many of its bits there are.
    bits: (u128, u8),
    len: u8,
}

fn to_bits(address: std::net::IpAddr) -> (u128, u8) {
    match address {
        std::net::IpAddr::V4(v4) => (u32::from(v4).into(), 32),
        std::net::IpAddr::V6(v6) => (v6.into(), 128),
    }
}

/// Reads `address` or `address/prefix`.
fn parse_network(text: &str) -> Option<Network> {
    let (address, len) = match text.split_once('/') {
        Some((address, len)) => (address, Some(len.parse::<u8>().ok()?)),
        None => (text, None),
    };
    let bits = to_bits(address.parse().ok()?);
    let len = len.unwrap_or(bits.1);
    (len <= bits.1).then_some(Network { bits, len })
}

/// Resolves the list a client sent into the one that is stored: duplicates folded, `auth` replaced
/// by the client's own identities.
///
/// # Errors
///
/// [`ErrorCode::InvalidAcl`] for an empty list, an unknown scheme or a malformed identity,
/// [`ErrorCode::MarshallingError`] for a null one.
pub fn resolve(list: Option<&[Acl]>, identities: &[Identity]) -> Result<Vec<Acl>, ErrorCode> {
    let list = list.unwrap_or_default();
    if list.is_empty() || list.len() > ACL_ENTRIES_MAX {
        return Err(ErrorCode::InvalidAcl);
    }
    if let [entry] = list
        && matches!(entry.identity.scheme.as_str(), Some("world" | "digest" | "ip"))
    {
        // Nearly all are such: nothing to fold, nothing to replace.
        check_identity(&entry.identity)?;
        return Ok(list.to_vec());
    }
    let mut unique: Vec<&Acl> = Vec::with_capacity(list.len());
    for entry in list {
        if !is_among(entry, &unique)? {
            unique.push(entry);
        }
    }
    let mut resolved = Vec::with_capacity(unique.len());
    for entry in unique {
        if entry.identity.scheme.as_str() == Some("auth") {
            let own: Vec<Acl> = identities
                .iter()
                .filter(|identity| identity.scheme.as_str() == Some("digest"))
                .map(|identity| Acl { perms: entry.perms, identity: identity.clone() })
                .collect();
            if own.is_empty() {
                return Err(ErrorCode::InvalidAcl);
            }
            resolved.extend(own);
        } else {
            check_identity(&entry.identity)?;
            resolved.push(entry.clone());
        }
        // Each `auth` stands for all identities of the client.
        if resolved.len() > ACL_ENTRIES_MAX {
            return Err(ErrorCode::InvalidAcl);
        }
    }
    Ok(resolved)
}

/// Compares part by part, as ZooKeeper does: a null is malformed where it is looked at.
fn is_among(entry: &Acl, unique: &[&Acl]) -> Result<bool, ErrorCode> {
    let Identity { scheme, id } = &entry.identity;
    for kept in unique.iter().filter(|kept| kept.perms == entry.perms) {
        let is_same_scheme = *scheme == kept.identity.scheme;
        if scheme.is_null() || is_same_scheme && id.is_null() {
            return Err(ErrorCode::MarshallingError);
        }
        if is_same_scheme && *id == kept.identity.id {
            return Ok(true);
        }
    }
    Ok(false)
}

fn check_identity(identity: &Identity) -> Result<(), ErrorCode> {
    let scheme = identity.scheme.as_str();
    if matches!(scheme, Some("world" | "digest" | "ip")) && identity.id.is_null() {
        return Err(ErrorCode::MarshallingError);
    }
    let is_valid = scheme.zip(identity.id.as_str()).is_some_and(|(scheme, id)| match scheme {
        "world" => id == "anyone",
        "digest" => id.split(':').count() == 2,
        "ip" => parse_network(id).is_some(),
        _ => false,
    });
    if is_valid { Ok(()) } else { Err(ErrorCode::InvalidAcl) }
}

/// Returns the list as a client without ADMIN may see it: digests hidden.
pub fn masked(list: &[Acl]) -> Vec<Acl> {
    list.iter()
        .map(|entry| {
            let digest_user = (entry.identity.scheme.as_str() == Some("digest"))
                .then(|| entry.identity.id.as_str()?.split_once(':'))
                .flatten();
            match digest_user {
                None => entry.clone(),
                Some((user, _)) => Acl {
                    perms: entry.perms,
                    identity: Identity {
                        scheme: entry.identity.scheme.clone(),
                        id: format!("{user}:x").into(),
                    },
                },
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use conclave_protocol::text::Text;

    use super::*;

    fn entry(perms: Perms, scheme: &str, id: &str) -> Acl {
        Acl { perms, identity: Identity { scheme: scheme.into(), id: id.into() } }
    }

    fn client(scheme: &str, id: &str) -> Vec<Identity> {
        vec![Identity { scheme: scheme.into(), id: id.into() }]
    }

    #[test]
    fn world_grants_only_what_it_lists() {
        let list = [Acl::world(Perms::READ)];
        assert!(allows(&list, &[], Perms::READ));
        assert!(!allows(&list, &[], Perms::WRITE));
    }

    #[test]
    fn an_address_matches_exactly_or_by_prefix() {
        let local = client("ip", "127.0.0.1");
        assert!(allows(&[entry(Perms::ALL, "ip", "127.0.0.1")], &local, Perms::READ));
        assert!(allows(&[entry(Perms::ALL, "ip", "127.255.0.0/8")], &local, Perms::READ));
        assert!(allows(&[entry(Perms::ALL, "ip", "10.0.0.0/0")], &local, Perms::READ));
        assert!(!allows(&[entry(Perms::ALL, "ip", "127.0.0.2")], &local, Perms::READ));
        assert!(!allows(&[entry(Perms::ALL, "ip", "::1/0")], &local, Perms::READ));
    }

    #[test]
    fn empty_and_malformed_lists_are_invalid() {
        for list in [
            vec![],
            vec![entry(Perms::ALL, "world", "someone")],
            vec![entry(Perms::ALL, "digest", "no-colon")],
            vec![entry(Perms::ALL, "ip", "127.0.0.1/33")],
            vec![entry(Perms::ALL, "magic", "x")],
            vec![entry(Perms::ALL, "auth", "")],
        ] {
            assert_eq!(resolve(Some(&list), &[]), Err(ErrorCode::InvalidAcl), "{list:?}");
        }
        assert_eq!(resolve(None, &[]), Err(ErrorCode::InvalidAcl));
    }

    #[test]
    fn a_null_identity_is_malformed_where_it_is_looked_at() {
        let null = |perms, scheme: &str| Acl {
            perms,
            identity: Identity { scheme: scheme.into(), id: Text::NULL },
        };
        let ip = entry(Perms::ALL, "ip", "127.0.0.1");
        let own = entry(Perms::ALL, "auth", "");
        for (list, expected) in [
            (vec![null(Perms::ALL, "ip")], ErrorCode::MarshallingError),
            (vec![null(Perms::ALL, "magic")], ErrorCode::InvalidAcl),
            // Compared with the first entry before the second is found to be nobody's.
            (vec![ip.clone(), own.clone(), null(Perms::ALL, "ip")], ErrorCode::MarshallingError),
            (vec![ip, own, null(Perms::READ, "ip")], ErrorCode::InvalidAcl),
        ] {
            assert_eq!(resolve(Some(&list), &[]), Err(expected), "{list:?}");
        }
    }

    #[test]
    fn auth_becomes_the_clients_own_identities() {
        let me = client("digest", "me:hash");
        let got = resolve(Some(&[entry(Perms::READ, "auth", "ignored")]), &me);
        assert_eq!(got, Ok(vec![entry(Perms::READ, "digest", "me:hash")]));
    }

    #[test]
    fn a_list_is_bounded_also_after_auth_was_replaced() {
        let me: Vec<Identity> =
            (0..100).flat_map(|number| client("digest", &format!("me{number}:hash"))).collect();
        let list = |count: usize| -> Vec<Acl> {
            (0..count).map(|number| entry(Perms::ALL, "auth", &number.to_string())).collect()
        };
        assert_eq!(resolve(Some(&list(10)), &me).map(|list| list.len()), Ok(1000));
        assert_eq!(resolve(Some(&list(11)), &me), Err(ErrorCode::InvalidAcl));
    }

    #[test]
    fn duplicates_are_folded_where_they_first_stood() {
        let list = [Acl::open(), Acl::world(Perms::READ), Acl::open()];
        assert_eq!(resolve(Some(&list), &[]), Ok(vec![Acl::open(), Acl::world(Perms::READ)]));
    }

    #[test]
    fn digests_are_hidden_by_their_user_alone() {
        assert_eq!(
            masked(&[entry(Perms::ALL, "digest", "me:hash")]),
            [entry(Perms::ALL, "digest", "me:x")]
        );
    }
}
