//! Authentication: who asks, by a client certificate or a bearer token.
//!
//! Credentials that are wrong are refused with 401 even where anonymous requests would be let through: who shows a
//! credential wants it to count.

mod bootstrap_tokens;
pub(crate) mod certificates;
pub mod service_accounts;
pub mod tokens;

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::cache::Cache;
use crate::clock;
use crate::identity::User;
use certificates::Peer;
use service_accounts::{ISSUER, Invalid, ServiceAccountTokens};
use tokens::StaticToken;

/// The credentials are wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused;

/// Knows who is who.
pub(crate) struct Authenticator {
    pub tokens: Vec<StaticToken>,
    pub service_accounts: ServiceAccountTokens,
    pub cache: Arc<Cache>,
}

impl Authenticator {
    /// Who sends a request with these headers over a connection of this peer.
    pub fn authenticate(&self, peer: &Peer, headers: &HeaderMap) -> Result<User, Refused> {
        match (bearer(headers), peer) {
            (Some(token), _) => self.token(token?),
            (None, Peer::Known(user)) => Ok(user.clone()),
            (None, Peer::Refused) => Err(Refused),
            (None, Peer::Unknown) => Ok(User::anonymous()),
        }
    }

    fn token(&self, token: &str) -> Result<User, Refused> {
        let known = self.known(token).map_err(|why| {
            tracing::debug!(%why, "a bearer token is not good");
            Refused
        })?;
        Ok(known.0)
    }

    /// Whose token it is, and for which of the audiences (the API server when there are none) it is good.
    pub fn review(&self, token: &str, audiences: &[&str]) -> Result<(User, Vec<String>), Invalid> {
        match audiences {
            [] => self.known(token),
            // Tokens that are no service account's are for the API server alone.
            audiences if !audiences.contains(&ISSUER) => self.service_accounts.verify(token, audiences, &self.cache),
            audiences => match self.of_server(token) {
                Some(user) => Ok((user, vec![ISSUER.to_owned()])),
                None => self.service_accounts.verify(token, audiences, &self.cache),
            },
        }
    }

    fn known(&self, token: &str) -> Result<(User, Vec<String>), Invalid> {
        self.review(token, &[ISSUER])
    }

    fn of_server(&self, token: &str) -> Option<User> {
        let of_start = StaticToken::find(&self.tokens, token).cloned();
        of_start.or_else(|| bootstrap_tokens::find(&self.cache, token, clock::now_seconds()))
    }
}

/// The bearer token of a request: `None` without an `Authorization` header or with one of another scheme.
fn bearer(headers: &HeaderMap) -> Option<Result<&str, Refused>> {
    let header = headers.get(AUTHORIZATION)?;
    let Ok(header) = header.to_str() else { return Some(Err(Refused)) };
    let (scheme, token) = header.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(Ok(token))
}
