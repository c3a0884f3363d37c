//! The two servers that kube-proxy has: health for everybody (`/healthz`, `/livez`, and `/readyz` of our own), and
//! metrics for the machine itself (`/metrics`, `/proxyMode`, `/healthz`), with `/metrics/services` and `/metrics/dns` of our own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dataplane::counters::ServiceCounters;
use futures::FutureExt;
use hyper::StatusCode;
use hyper::header::ACCEPT;
use hyper::http::request::Parts;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::metrics::{self, Metrics, PerCode};
use crate::health::{Health, Moment};
use crate::http::{self, Answer};
use crate::node_local_dns::Shown;
use crate::services::Asker;

/// How long to wait before a port that is taken is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(5);
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text";

/// Answers at an address until told to stop. A port that is taken is told once and tried again: an agent that takes
/// kube-proxy's place may start before kube-proxy has ended.
pub(super) async fn serve(
    what: &'static str,
    address: SocketAddr,
    responder: http::Responder,
    stop: CancellationToken,
) {
    let mut said = false;
    let listener = loop {
        match listen(address).await {
            Ok(listener) => break listener,
            Err(error) if !said => {
                said = true;
                tracing::error!(%address, what, %error, "the port cannot be opened; it is tried again");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RETRY_AFTER) => {}
        }
    };
    tracing::info!(%address, what, "listening");
    http::serve(listener, responder, stop).await;
}

/// Opens a port now.
///
/// # Errors
/// As the kernel gives them.
pub(super) async fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Who answers of health.
pub(super) fn health(health: Arc<Health>, metrics: Metrics) -> http::Responder {
    Arc::new(move |request| {
        let now = Moment::now();
        let answer = match request.uri.path() {
            "/healthz" => report(health.healthz(now), |code| metrics.healthz.get_or_create(&code).inc()),
            "/livez" => report(health.livez(now), |code| metrics.livez.get_or_create(&code).inc()),
            "/readyz" => verdict(health.readyz(now)),
            _ => http::not_found(),
        };
        std::future::ready(answer).boxed()
    })
}

fn report(said: (bool, String), count: impl FnOnce(PerCode) -> u64) -> Answer {
    let answer = verdict(said);
    count(PerCode { code: answer.status().as_u16() });
    answer
}

fn verdict((good, body): (bool, String)) -> Answer {
    let status = if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    http::answer(status, "application/json", body)
}

/// Who answers of metrics.
pub(super) fn metrics(metrics: Metrics, asker: Asker, dns: Shown) -> http::Responder {
    Arc::new(move |request| {
        if request.uri.path() == "/metrics/services" {
            let asker = asker.clone();
            return async move { services(asker.counters().await) }.boxed();
        }
        let answer = match request.uri.path() {
            "/healthz" => http::answer(StatusCode::OK, PLAIN, "ok"),
            "/metrics/dns" => http::answer(StatusCode::OK, PROMETHEUS, dns.metrics()),
            "/proxyMode" => http::answer(StatusCode::OK, PLAIN, "nftables"),
            "/metrics" if wants_open_metrics(&request) => {
                let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                http::answer(StatusCode::OK, kind, metrics.open_metrics())
            }
            "/metrics" => {
                http::answer(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics.plain_text())
            }
            _ => http::not_found(),
        };
        std::future::ready(answer).boxed()
    })
}

/// The kernel's counters: a path of its own, as they are as many as there are Services.
fn services(counters: Option<Vec<ServiceCounters>>) -> Answer {
    match counters {
        Some(counters) => http::answer(StatusCode::OK, PROMETHEUS, metrics::of_services(&counters)),
        None => http::answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "the kernel's rules are not known yet\n"),
    }
}

fn wants_open_metrics(request: &Parts) -> bool {
    request.headers.get_all(ACCEPT).iter().any(|value| value.to_str().is_ok_and(|text| text.contains(OPEN_METRICS)))
}
