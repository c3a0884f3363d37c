//! What the node's DNS is told, by flags or by a Corefile, and that Corefile's changes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dns::config::{Cluster, Config};
use dns::corefile::Corefile;
use dns::index::PodNames;
use dns::service::{CorefileError, CorefileOnDisk, Pieces, ServiceError};
use dns::{Index, Sources};
use ipnet::IpNet;
use rand::Rng as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How long an upstream server may take for the question that must not come back.
const LOOP_PATIENCE: Duration = Duration::from_secs(2);

/// What the node's DNS is told. Where it listens, and where its health and metrics are, means nothing here.
#[derive(Clone, Debug)]
pub struct Told {
    /// What it is told first.
    pub whole: Corefile,
    /// Where that comes from, if from a file.
    pub file: Option<PathBuf>,
    /// Whose questions are answered, whatever the file says.
    pub clients: Option<Vec<IpNet>>,
}

/// Why a Corefile cannot be followed on a node.
#[derive(Debug, thiserror::Error)]
pub enum ToldError {
    /// It has no names of the cluster.
    #[error("kubernetes is missing; a node answers for the cluster's names")]
    NoCluster,
    /// It wants a part of the cluster's names.
    #[error("kubernetes: {0} is not possible on a node, which knows all names of its cluster; leave it out")]
    Option(&'static str),
    /// It has changed what the cluster's names are.
    #[error("it changes kubernetes or autopath: start the agent again")]
    OtherNames,
    /// It cannot be read.
    #[error(transparent)]
    Corefile(#[from] CorefileError),
    /// A zone is none.
    #[error(transparent)]
    Index(#[from] dns::IndexError),
    /// What it wants cannot be had.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl Told {
    /// By flags alone.
    #[must_use]
    pub fn by_flags(config: Config) -> Self {
        let clients = config.clients.clone();
        Self { whole: crate::dns::Told::from(config).whole, file: None, clients }
    }

    /// By a Corefile.
    ///
    /// # Errors
    /// It cannot be read, or says what is wrong or not possible on a node.
    pub fn by_file(path: PathBuf, clients: Option<Vec<IpNet>>) -> Result<Self, ToldError> {
        let (_, whole) = CorefileOnDisk::open(&path)?;
        cluster(&whole)?;
        Ok(Self { whole, file: Some(path), clients })
    }
}

/// What a Corefile says of the cluster's names, where a node can do that.
fn cluster(whole: &Corefile) -> Result<&Cluster, ToldError> {
    let cluster = whole.config.cluster.as_ref().ok_or(ToldError::NoCluster)?;
    let unable = [
        ("pods verified", cluster.index.pods == PodNames::Verified),
        ("namespaces", !cluster.namespaces.is_empty()),
        ("labels", !cluster.labels.is_empty()),
        ("noendpoints", cluster.no_endpoints),
        ("kubeconfig", cluster.kubeconfig.is_some()),
    ];
    match unable.into_iter().find(|(_, wanted)| *wanted) {
        Some((option, _)) => Err(ToldError::Option(option)),
        None => Ok(cluster),
    }
}

/// What the node answers from, now and after each change of the file.
pub struct Following {
    told: Told,
    pieces: Pieces,
    index: Arc<Index>,
    tell: watch::Sender<Sources>,
}

impl Following {
    /// What is told first; the index knows nothing yet.
    ///
    /// # Errors
    /// What is told cannot be had.
    pub fn start(told: Told) -> Result<(Self, watch::Receiver<Sources>), ToldError> {
        let index = crate::dns::index(cluster(&told.whole)?)?;
        let pieces = Pieces::default().after(&told.whole)?;
        let (tell, sources) = watch::channel(made(&told, &told.whole, &pieces, &index));
        Ok((Self { told, pieces, index, tell }, sources))
    }

    /// The cluster's names.
    #[must_use]
    pub fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// Follows the file until told to stop; without one, there is nothing to follow.
    pub async fn keep(mut self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.follow() => {}
        }
    }

    async fn follow(&mut self) {
        if let Some(forwarder) = self.pieces.forwarder().filter(|_| self.told.whole.find_loops)
            && let Err(found) = forwarder.find_loop(LOOP_PATIENCE).await
        {
            tracing::error!(error = &found as &dyn std::error::Error, "names from outside are asked for in circles");
        }
        let mut file = None;
        loop {
            let (Some(reload), Some(path)) = (self.told.whole.reload, &self.told.file) else {
                return std::future::pending().await;
            };
            let jitter = reload.jitter.mul_f64(rand::rng().random_range(0.0..=1.0));
            tokio::time::sleep(reload.interval + jitter).await;
            let changed = match &mut file {
                None => CorefileOnDisk::open(path).map(|(opened, whole)| {
                    file = Some(opened);
                    Some(whole)
                }),
                Some(file) => file.changed(),
            };
            let taken = match changed {
                Ok(None) => continue,
                Ok(Some(whole)) => self.take(whole),
                Err(error) => Err(error.into()),
            };
            if let Err(error) = taken {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "the Corefile has changed and cannot be followed: all stays as it was");
            }
        }
    }

    fn take(&mut self, whole: Corefile) -> Result<(), ToldError> {
        if cluster(&whole)? != cluster(&self.told.whole)? {
            return Err(ToldError::OtherNames);
        }
        let pieces = self.pieces.after(&whole)?;
        self.tell.send_replace(made(&self.told, &whole, &pieces, &self.index));
        (self.told.whole, self.pieces) = (whole, pieces);
        Ok(())
    }
}

fn made(told: &Told, whole: &Corefile, pieces: &Pieces, index: &Arc<Index>) -> Sources {
    Sources { clients: told.clients.clone(), ..pieces.sources(whole, Some(index.clone())) }
}
