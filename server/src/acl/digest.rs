//! The `digest` scheme: an identity is a user's name and a hash of name and password.

use base64::{Engine, engine::general_purpose::STANDARD};
use conclave_protocol::acl::Identity;
use sha1::{Digest, Sha1};

/// Returns the identity that `user:password` proves: `user:base64(sha1(user:password))`, as
/// ZooKeeper makes it. Text without a colon is a user without a password.
pub fn identity(credentials: &[u8]) -> Identity {
    let credentials = String::from_utf8_lossy(credentials);
    let hash = STANDARD.encode(Sha1::digest(credentials.as_bytes()));
    let user = credentials.split(':').next().unwrap_or_default();
    Identity { scheme: "digest".into(), id: format!("{user}:{hash}").into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_zookeeper_makes() {
        let super_user = identity(b"super:superpw");
        assert_eq!(super_user.id, "super:g9oN2HttPfn8MMWJZ2r45Np/LIA=".into());
    }
}
