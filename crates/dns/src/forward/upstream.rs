//! One upstream server: asked, and probed when it was of no help.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::protocol::{rcode, rtype};

use super::counts::{UpstreamCounts, UpstreamTally};
use super::exchange::{Carrier, ExchangeError, Reach};
use super::keep::Keep;
use super::settings::{Probe, Route, Upstream as Settings};
use super::stored::Stored;
use super::stream::Streams;
use super::tls::{Connector, TlsError};
use super::wanted::Wanted;

/// How long a probe may take.
const PROBE_PATIENCE: Duration = Duration::from_secs(1);

/// An upstream server.
pub(super) struct Upstream {
    pub(super) reach: Reach,
    protocol: &'static str,
    max_fails: u32,
    probe: Probe,
    /// Probes that failed in a row.
    fails: AtomicU32,
    /// It was of no help and has not answered a probe since.
    suspect: AtomicBool,
    pub(super) tally: UpstreamTally,
}

impl Upstream {
    pub(super) fn new(settings: &Settings, route: &Route) -> Result<Self, TlsError> {
        let tls = settings.tls.as_ref().map(|tls| Connector::new(tls, settings.address)).transpose()?;
        let protocol = match (&tls, route.force_tcp) {
            (Some(_), _) => "tcp-tls",
            (None, true) => "tcp",
            (None, false) => "udp",
        };
        let (address, source) = (settings.address, route.source);
        Ok(Self {
            reach: Reach {
                address,
                source,
                streams_only: tls.is_some() || route.force_tcp,
                streams: Streams::new(address, source, tls, route.idle, route.idle_most),
            },
            protocol,
            max_fails: route.max_fails,
            probe: route.probe.clone(),
            fails: AtomicU32::new(0),
            suspect: AtomicBool::new(false),
            tally: UpstreamTally::default(),
        })
    }

    /// Whether so many probes failed that asking it is of no use.
    pub(super) fn is_down(&self) -> bool {
        self.max_fails > 0 && self.fails.load(Ordering::Relaxed) > self.max_fails
    }

    /// Whether it was of no help just now, and others had better be asked first.
    pub(super) fn is_suspect(&self) -> bool {
        self.suspect.load(Ordering::Relaxed)
    }

    pub(super) fn counts(&self) -> UpstreamCounts {
        self.tally.read(self.reach.address, self.protocol, self.is_down())
    }

    /// Asks, and once more without EDNS where the server does not know that (RFC 6891 section 7).
    pub(super) async fn ask(&self, wanted: &Wanted, keep: &Keep, patience: Duration) -> Result<Stored, ExchangeError> {
        let start = Instant::now();
        let mut message = self.exchange(wanted, true, patience).await?;
        if matches!(u16::from(message.metadata.response_code), rcode::FORMERR | rcode::NOTIMP) {
            message = self.exchange(wanted, false, patience.saturating_sub(start.elapsed())).await?;
        }
        if message.queries.is_empty() {
            return Ok(Stored::failure(wanted, keep, Instant::now()));
        }
        Stored::new(message, wanted, keep, Instant::now())
            .ok_or(ExchangeError::Unreadable { upstream: self.reach.address })
    }

    async fn exchange(
        &self,
        wanted: &Wanted,
        edns: bool,
        patience: Duration,
    ) -> Result<hickory_proto::op::Message, ExchangeError> {
        let start = Instant::now();
        self.tally.asked.fetch_add(1, Ordering::Relaxed);
        let (message, carrier) = self.reach.ask(wanted, edns, patience).await?;
        if let Carrier::Stream { reused } = carrier {
            let counter = if reused { &self.tally.reused } else { &self.tally.connected };
            counter.fetch_add(1, Ordering::Relaxed);
        }
        self.tally.answer(message.metadata.response_code.into(), start.elapsed());
        Ok(message)
    }

    /// It answered: it is well.
    pub(super) fn was_well(&self) {
        if self.is_suspect() {
            self.fails.store(0, Ordering::Relaxed);
            self.suspect.store(false, Ordering::Relaxed);
        }
    }

    /// It was of no help: it is asked last until it answers, and probed until then.
    pub(super) fn was_unwell(self: &Arc<Self>, stop: &CancellationToken) {
        self.tally.failed.fetch_add(1, Ordering::Relaxed);
        if self.max_fails == 0 || self.suspect.swap(true, Ordering::Relaxed) {
            return;
        }
        let (upstream, stop) = (Arc::clone(self), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = upstream.probe_until_well() => {}
            }
        });
    }

    async fn probe_until_well(&self) {
        // Answers to questions end this too.
        while self.is_suspect() {
            match self.reach.ask_message(&self.probe_message(), PROBE_PATIENCE).await {
                Ok(_) => {
                    if self.is_down() {
                        tracing::info!(upstream = %self.reach.address, "an upstream server answers again");
                    }
                    self.was_well();
                }
                Err(error) => {
                    self.tally.probes_failed.fetch_add(1, Ordering::Relaxed);
                    let fails = self.fails.fetch_add(1, Ordering::Relaxed).saturating_add(1);
                    if fails == self.max_fails.saturating_add(1) {
                        tracing::warn!(upstream = %self.reach.address, %error, "an upstream server is down");
                    }
                    tokio::time::sleep(self.probe.interval).await;
                }
            }
        }
    }

    fn probe_message(&self) -> Vec<u8> {
        let name = self.probe.name.clone();
        let wanted = Wanted { name, qtype: rtype::NS, dnssec_ok: false, checking_disabled: false };
        let mut message = wanted.message(rand::random(), false);
        if !self.probe.recursion {
            message[2] = 0;
        }
        message
    }
}
