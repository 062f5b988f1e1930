//! Who may do what, written down anew: users, what lists grant them, which lists are valid.

use std::sync::Arc;

use bytes::Bytes;
use conclave_protocol::{
    acl::{Acl, Identity, Perms},
    code::ErrorCode,
    request::Request,
    response::ClientInfo,
    text::Text,
};

use crate::random::Random;

/// A list of a znode.
pub(crate) type List = Arc<[Acl]>;

/// Somebody whom a client can prove to be.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct User {
    name: &'static str,
    credentials: &'static str,
    /// The name and the hash of the credentials: base64 of SHA-1.
    digest: &'static str,
}

/// All of them; `digest` is what `openssl sha1 -binary | base64` makes of the credentials.
static USERS: [User; 2] = [
    User { name: "ann", credentials: "ann:apple", digest: "ann:6q+u+bEVJTdGGyG40XXuyaDlxCA=" },
    User { name: "bob", credentials: "bob:berry", digest: "bob:mrR6qjBZtUx4tq2fut24AGeVGbI=" },
];

/// Who a connection has proved to be.
pub(crate) type Who = Option<&'static User>;

/// Returns who the connection of a number proves to be; every third is nobody.
pub(crate) fn user_of(number: u64) -> Who {
    USERS.get(number as usize % 3)
}

impl User {
    /// Returns the request that proves it.
    pub(crate) fn auth(&self) -> Request {
        let data = Some(Bytes::from_static(self.credentials.as_bytes()));
        Request::Auth { kind: 0, scheme: "digest".into(), data }
    }

    fn identity(&self) -> Identity {
        Identity { scheme: "digest".into(), id: self.digest.into() }
    }
}

/// Returns what whoAmI tells.
pub(crate) fn told(who: Who) -> Vec<ClientInfo> {
    who.iter().map(|user| ClientInfo { scheme: "digest".into(), user: user.name.into() }).collect()
}

/// Returns whether a list grants any of `wanted`. What has no list is open.
pub(crate) fn allows(list: Option<&List>, who: Who, wanted: Perms) -> bool {
    let Some(list) = list else { return true };
    list.iter().any(|Acl { perms, identity }| {
        let is_meant = match identity.scheme.as_str() {
            Some("world") => true,
            Some("digest") => who.is_some_and(|user| identity.id == user.digest.into()),
            _ => false,
        };
        is_meant && perms.0 & wanted.0 != 0
    })
}

/// Returns the list that is stored for one that is asked for.
pub(crate) fn stored(asked: Option<&Vec<Acl>>, who: Who) -> Result<Vec<Acl>, ErrorCode> {
    let mut list = Vec::new();
    for Acl { perms, identity } in asked.into_iter().flatten() {
        let identity = match (identity.scheme.as_str(), who) {
            (Some("world" | "digest"), _) => identity.clone(),
            (Some("auth"), Some(user)) => user.identity(),
            _ => return Err(ErrorCode::InvalidAcl),
        };
        list.push(Acl { perms: *perms, identity });
    }
    if list.is_empty() { Err(ErrorCode::InvalidAcl) } else { Ok(list) }
}

/// Returns a list as it is told: hashes are for those alone who may change it.
pub(crate) fn shown(list: Option<&List>, who: Who) -> Vec<Acl> {
    let mut shown = list.map_or_else(|| vec![Acl::open()], |list| list.to_vec());
    if !allows(list, who, Perms::ADMIN) {
        for Acl { identity, .. } in &mut shown {
            let user = USERS.iter().find(|user| identity.id == user.digest.into());
            if let Some(user) = user {
                identity.id = Text::from(format!("{}:x", user.name));
            }
        }
    }
    shown
}

/// Draws a list to ask for: mostly open, sometimes one that keeps others out, and some that are none.
pub(crate) fn draw_list(random: &mut Random) -> Option<Vec<Acl>> {
    let user = random.pick(&USERS);
    let own = |perms| Acl { perms, identity: user.identity() };
    let auth = Identity { scheme: "auth".into(), id: "".into() };
    Some(match random.below(40) {
        0 => vec![own(Perms::ALL)],
        1 => vec![Acl::world(Perms::READ), own(Perms::ALL)],
        2 => vec![Acl::world(Perms(Perms::ALL.0 & !Perms::WRITE.0))],
        3 => vec![Acl::world(Perms(Perms::ALL.0 & !Perms::READ.0)), own(Perms::READ)],
        4 => vec![Acl { perms: Perms::ALL, identity: auth }],
        5 if random.below(4) == 0 => Vec::new(),
        6 if random.below(4) == 0 => {
            let identity = Identity { scheme: "magic".into(), id: "x".into() };
            vec![Acl { perms: Perms::ALL, identity }]
        }
        _ => vec![Acl::open()],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_grants_what_it_says_to_whom_it_says() {
        let (ann, bob) = (user_of(0), user_of(1));
        let own = ann.map(User::identity).into_iter();
        let list: List = own.map(|identity| Acl { perms: Perms::READ, identity }).collect();
        assert!(allows(Some(&list), ann, Perms::READ) && !allows(Some(&list), ann, Perms::WRITE));
        assert!(!allows(Some(&list), bob, Perms::READ) && !allows(Some(&list), None, Perms::READ));
        assert!(allows(None, None, Perms::ADMIN));
        assert_eq!(shown(Some(&list), bob)[0].identity.id, "ann:x".into());
    }

    #[test]
    fn auth_stands_for_who_asks_and_is_invalid_for_nobody() {
        let identity = Identity { scheme: "auth".into(), id: "".into() };
        let asked = vec![Acl { perms: Perms::ALL, identity }];
        let ann = user_of(0);
        let stored_id = stored(Some(&asked), ann).map(|list| list[0].identity.clone());
        assert_eq!(stored_id.ok(), ann.map(User::identity));
        assert_eq!(stored(Some(&asked), None), Err(ErrorCode::InvalidAcl));
        assert_eq!(stored(Some(&Vec::new()), ann), Err(ErrorCode::InvalidAcl));
    }
}
