//! Bearer tokens that are given at start.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::identity::User;

/// A bearer token that is given at start, and whose it is. Only its hash is kept.
#[derive(Clone)]
pub struct StaticToken {
    /// SHA-256 of the token.
    hash: [u8; 32],
    /// Who presents it.
    user: User,
}

impl StaticToken {
    /// A token and its user.
    pub fn new(token: &str, user: User) -> Self {
        Self { hash: hash(token), user }
    }

    /// Whose token this is. All that are known are compared, each in constant time, so that nothing is learnt from how
    /// long it takes.
    pub(crate) fn find<'t>(known: &'t [Self], token: &str) -> Option<&'t User> {
        let hash = hash(token);
        let mut found = None;
        for one in known {
            if bool::from(one.hash.ct_eq(&hash)) {
                found = Some(&one.user);
            }
        }
        found
    }
}

fn hash(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

impl std::fmt::Debug for StaticToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StaticToken").field("user", &self.user.name).finish_non_exhaustive()
    }
}
