//! Who may do what, besides the lists of the znodes: the super user, no checks at all, and the schemes
//! of which a client has to prove one.

use conclave_protocol::acl::Identity;

use super::digest;

/// The scheme of an identity that every list grants everything.
const SUPER: &str = "super";

/// As [`SUPER`], of clients of a member that checks no lists. No client can prove it, and none is
/// told of it.
const UNCHECKED: &str = "unchecked";

/// Schemes that a client can prove an identity of, or has one of by itself.
pub const SCHEMES: [&str; 2] = ["digest", "ip"];

/// What the configuration says of access.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Access {
    /// The digest identity of the super user, if there is one
    /// (`DigestAuthenticationProvider.superDigest`).
    pub super_digest: Option<String>,
    /// No lists are checked (`skipACL`).
    pub is_unchecked: bool,
    /// Schemes of which a client has to prove one before it is answered anything; empty for none
    /// (`enforce.auth.enabled`, `enforce.auth.schemes`).
    pub enforced_schemes: Vec<String>,
    /// Whether a change of the members is refused as switched off (`reconfigEnabled`), or as not
    /// possible.
    pub is_reconfig_enabled: bool,
}

impl Access {
    /// Returns the identities of a client from this address.
    pub fn identities_of(&self, address: std::net::IpAddr) -> Vec<Identity> {
        let ip = identity("ip", &address.to_canonical().to_string());
        let unchecked = self.is_unchecked.then(|| identity(UNCHECKED, ""));
        [ip].into_iter().chain(unchecked).collect()
    }

    /// Returns the identities that digest credentials prove.
    pub fn prove(&self, credentials: &[u8]) -> Vec<Identity> {
        let proved = digest::identity(credentials);
        let is_super = self.super_digest.as_deref().is_some_and(|it| proved.id == it.into());
        [proved].into_iter().chain(is_super.then(|| identity(SUPER, ""))).collect()
    }

    /// Returns whether a client that is all of `identities` has proved enough to be answered.
    pub fn admits(&self, identities: &[Identity]) -> bool {
        let is_enforced = |identity: &Identity| {
            self.enforced_schemes.iter().any(|scheme| identity.scheme == scheme.as_str().into())
        };
        self.enforced_schemes.is_empty() || identities.iter().any(is_enforced)
    }
}

/// Returns whether every list grants a client that is all of `identities` everything.
pub(super) fn is_super(identities: &[Identity]) -> bool {
    identities.iter().any(|it| matches!(it.scheme.as_str(), Some(SUPER | UNCHECKED)))
}

/// Returns whether a client is told that it has this identity.
pub fn is_told(identity: &Identity) -> bool {
    identity.scheme.as_str() != Some(UNCHECKED)
}

fn identity(scheme: &str, id: &str) -> Identity {
    Identity { scheme: scheme.into(), id: id.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_password_makes_the_super_user() {
        let access = Access {
            super_digest: Some("super:g9oN2HttPfn8MMWJZ2r45Np/LIA=".to_owned()),
            ..Access::default()
        };
        assert!(is_super(&access.prove(b"super:superpw")));
        assert!(!is_super(&access.prove(b"super:wrong")));
        assert!(!is_super(&Access::default().prove(b"super:superpw")));
    }

    #[test]
    fn a_client_has_to_prove_one_of_the_enforced_schemes() {
        let access = Access { enforced_schemes: vec!["digest".to_owned()], ..Access::default() };
        let home = std::net::Ipv4Addr::LOCALHOST.into();
        assert!(!access.admits(&access.identities_of(home)));
        assert!(access.admits(&access.prove(b"me:secret")));
        assert!(Access::default().admits(&[]));
    }
}
