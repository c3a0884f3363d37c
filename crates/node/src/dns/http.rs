//! `/health`, `/ready` and `/metrics`, each at an address of its own, as CoreDNS has them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dns::Server;
use dns::config::Config;
use futures::FutureExt;
use hyper::StatusCode;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::contact::Contact;
use super::{DnsError, metrics};
use crate::http::{self, Answer};

const PLAIN: &str = "text/plain; charset=utf-8";
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is told to whoever asks.
#[derive(Debug)]
pub(super) struct Status {
    server: Arc<Server>,
    contact: Arc<Contact>,
    ending: AtomicBool,
    failed_reloads: AtomicU64,
}

impl Status {
    pub(super) fn new(server: Arc<Server>, contact: Arc<Contact>) -> Self {
        Self { server, contact, ending: AtomicBool::new(false), failed_reloads: AtomicU64::new(0) }
    }

    /// From now on the service is neither healthy nor ready.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::Release);
    }

    /// A Corefile that has changed could not be followed.
    pub(super) fn count_failed_reload(&self) {
        self.failed_reloads.fetch_add(1, Ordering::Relaxed);
    }

    fn metrics(&self, label: &str) -> String {
        metrics::text(label, &self.server, &self.contact, self.failed_reloads.load(Ordering::Relaxed))
    }

    fn health(&self) -> Answer {
        if self.ending.load(Ordering::Acquire) { unavailable("shutting down") } else { fine() }
    }

    fn ready(&self) -> Answer {
        let unsynced = self.server.sources().index.as_ref().is_some_and(|index| !index.is_synced());
        match (self.ending.load(Ordering::Acquire), unsynced) {
            (true, _) => unavailable("shutting down"),
            // CoreDNS names the plugin that is not ready.
            (_, true) => unavailable("kubernetes"),
            _ => fine(),
        }
    }
}

fn fine() -> Answer {
    http::answer(StatusCode::OK, PLAIN, "OK")
}

fn unavailable(why: &'static str) -> Answer {
    http::answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, why)
}

/// Opens the ports that are wanted and answers there until told to stop.
///
/// # Errors
/// A port that cannot be opened.
pub(super) async fn serve(
    config: &Config,
    status: &Arc<Status>,
    parts: &mut JoinSet<&'static str>,
    stop: &CancellationToken,
) -> Result<(), DnsError> {
    let label = metrics::server_label(&config.server.listen);
    for (what, path, address) in [
        ("health", "/health", config.health),
        ("readiness", "/ready", config.ready),
        ("metrics", "/metrics", config.metrics),
    ] {
        let Some(address) = address else { continue };
        let listener = listen(address).await.map_err(|source| DnsError::Http { what, address, source })?;
        let (status, label) = (status.clone(), label.clone());
        let responder: http::Responder = Arc::new(move |request| {
            let answer = match (request.uri.path() == path, path) {
                (false, _) => http::not_found(),
                (_, "/health") => status.health(),
                (_, "/ready") => status.ready(),
                _ => http::answer(StatusCode::OK, PROMETHEUS, status.metrics(&label)),
            };
            std::future::ready(answer).boxed()
        });
        let stop = stop.clone();
        parts.spawn(async move {
            http::serve(listener, responder, stop).await;
            what
        });
    }
    Ok(())
}

/// Opens a port. Every address of both families is asked for where the kernel has both, else every IPv4 one.
async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Err(error) if address.ip().is_unspecified() && address.is_ipv6() => {
            let v4 = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port());
            if error.kind() == std::io::ErrorKind::AddrInUse { Err(error) } else { TcpListener::bind(v4).await }
        }
        bound => bound,
    }
}
