//! What all connections share, and a request as it goes through.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use parking_lot::Mutex;

use crate::api::Api;
use crate::authn::Authenticator;
use crate::fairness::Fairness;
use crate::identity::User;
use crate::nodes::Nodes;
use crate::proxy::Sent;
use crate::query::Query;
use crate::request::RequestInfo;

/// How many requests are worked on at a time.
const IN_FLIGHT: usize = 600;

/// What every connection shares.
pub(crate) struct Front {
    pub api: Arc<Api>,
    pub authenticator: Authenticator,
    pub nodes: Nodes,
    pub fairness: Fairness,
}

impl Front {
    pub fn new(api: Arc<Api>, authenticator: Authenticator, nodes: Nodes) -> Self {
        Self { api, authenticator, nodes, fairness: Fairness::new(IN_FLIGHT) }
    }
}

/// A request as the verbs see it.
pub(crate) struct Asked {
    pub info: RequestInfo,
    pub user: User,
    pub query: Query,
    pub parts: Parts,
    pub body: Bytes,
    /// The body as it comes, of a request that may last; `body` is empty then.
    pub sent: Mutex<Option<Sent>>,
}
