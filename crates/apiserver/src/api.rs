//! What all requests share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use store::{Commit, CommitError, Store, Transaction};
use tokio_util::sync::CancellationToken;

use crate::authz::Authorizer;
use crate::cache::Cache;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::status::Status;
use crate::turns::Turns;

/// How long a request waits for what is written to be seen.
const CATCH_UP: Duration = Duration::from_secs(10);
/// How long a write may wait for the disk.
const COMMIT: Duration = Duration::from_secs(30);

/// The server, as its verbs see it.
pub(crate) struct Api {
    pub store: Store,
    pub cache: Arc<Cache>,
    /// Decides who may do what.
    pub authorizer: Authorizer,
    /// Whose turn it is to take of a namespace's quotas.
    pub quota_turns: Turns,
    pub config: Config,
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    /// Ends watches and what else waits.
    pub stopping: CancellationToken,
    /// Whether everything that is made at the start is there.
    pub ready: AtomicBool,
    /// What is counted.
    pub metrics: Metrics,
}

/// Why a transaction was not committed.
pub(crate) enum Uncommitted {
    /// A record is not as expected; the cache now sees what is there instead.
    Conflict {
        key: String,
    },
    Failed(Status),
}

impl Api {
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Commits, and waits until every reader sees it.
    pub async fn commit(&self, transaction: Transaction) -> Result<Commit, Uncommitted> {
        let committed = tokio::time::timeout(COMMIT, self.store.commit(transaction)).await;
        let late = |what: &str| Uncommitted::Failed(Status::timeout(what, Vec::new(), 1));
        match committed {
            Err(_) => Err(late("the request could not be written in time, it may or may not have succeeded")),
            Ok(Ok(commit)) => {
                if !self.cache.reach(commit.revision, CATCH_UP).await {
                    return Err(late("the request was written but cannot be read yet"));
                }
                Ok(commit)
            }
            Ok(Err(CommitError::Conflict { key, .. })) => {
                self.cache.reach(self.store.revision(), CATCH_UP).await;
                Err(Uncommitted::Conflict { key })
            }
            Ok(Err(CommitError::Closed)) => {
                Err(Uncommitted::Failed(Status::unavailable("the server is shutting down")))
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "a request could not be written");
                Err(Uncommitted::Failed(Status::internal(error.to_string())))
            }
        }
    }

    /// Waits until readers see everything that was written before now.
    pub async fn catch_up(&self) -> Result<(), Status> {
        let revision = self.store.revision();
        if self.cache.revision() >= revision || self.cache.reach(revision, CATCH_UP).await {
            return Ok(());
        }
        Err(Status::timeout("the server is behind its store", Vec::new(), 1))
    }
}
