//! The table.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::peer::Kind;

/// What is measured, in the order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Row {
    FirstSync,
    SyncItself,
    Rss,
    Pss,
    ConnectDirect,
    ConnectVip,
    ConnectRatio,
    ConnectRatioP01,
    Latency50,
    Latency99,
    LatencyMax,
    Written50,
    Written99,
    Churn50,
    Churn99,
    ChurnMax,
    ChurnWritten99,
    ChurnCpu,
    RestartTransactions,
    Restart,
    RestartLost,
    Quiet,
    Large,
    LargeMore,
    LargeRss,
}

impl Row {
    /// What it is, with its unit.
    pub fn label(self) -> &'static str {
        match self {
            Row::FirstSync => "process start to all Services answering, ms",
            Row::SyncItself => "  its syncs until at rest, by its own metric, ms",
            Row::Rss => "memory, VmRSS, MB",
            Row::Pss => "memory, PSS, MB",
            Row::ConnectDirect => "connect to an endpoint, p50, us",
            Row::ConnectVip => "connect through the VIP, p50, us",
            Row::ConnectRatio => "  ratio of the medians",
            Row::ConnectRatioP01 => "  ratio of the first percentiles",
            Row::Latency50 => "slice sent to first connection, p50, ms",
            Row::Latency99 => "  p99, ms",
            Row::LatencyMax => "  greatest, ms",
            Row::Written50 => "  of it, the API server's answer, p50, ms",
            Row::Written99 => "  of it, the API server's answer, p99, ms",
            Row::Churn50 => "the same while 200 slices/s change, p50, ms",
            Row::Churn99 => "  p99, ms",
            Row::ChurnMax => "  greatest, ms",
            Row::ChurnWritten99 => "  of it, the API server's answer, p99, ms",
            Row::ChurnCpu => "  CPU meanwhile, % of one",
            Row::RestartTransactions => "restart, nothing changed: kernel transactions",
            Row::Restart => "restart to a missed slice answering, ms",
            Row::RestartLost => "  held connections lost",
            Row::Quiet => "CPU while nothing changes, ms a minute",
            Row::Large => "10,000 endpoints sent to last slice serving, ms",
            Row::LargeMore => "  100 endpoints more, ms",
            Row::LargeRss => "  memory then, VmRSS, MB",
        }
    }

    /// What is aimed at with so many Services.
    fn target(self, services: u32) -> &'static str {
        match (self, services) {
            (Row::FirstSync | Row::SyncItself, 10_000) => "ratio 40",
            (Row::FirstSync | Row::SyncItself, 30_000) => "800",
            (Row::FirstSync | Row::SyncItself, 100_000) => "3,000",
            (Row::Rss, ..=10_000) => "40",
            (Row::ConnectRatio, _) => "1.35",
            (Row::Latency99, _) => "8",
            (Row::Churn99, _) => "50",
            (Row::RestartTransactions | Row::RestartLost, _) => "0",
            (Row::Restart, ..=10_000) => "1,000",
            (Row::Quiet, _) => "none",
            _ => "",
        }
    }
}

/// One figure.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Figure {
    /// Measured.
    Value(f64),
    /// Given up after that.
    MoreThan(f64),
}

impl Figure {
    fn number(self) -> f64 {
        match self {
            Figure::Value(value) | Figure::MoreThan(value) => value,
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, value) = match self {
            Figure::Value(value) => ("", *value),
            Figure::MoreThan(value) => (">", *value),
        };
        let digits = if value.abs() < 10.0 { 2 } else { usize::from(value.abs() < 1000.0) };
        f.pad(&format!("{sign}{value:.digits$}"))
    }
}

/// The figures of all peers at one number of Services.
pub struct Report {
    services: u32,
    about: String,
    peers: BTreeMap<Kind, BTreeMap<Row, Figure>>,
}

impl Report {
    /// Without figures yet.
    pub fn new(services: u32, about: String) -> Report {
        Report { services, about, peers: BTreeMap::new() }
    }

    /// Takes a peer's figures.
    pub fn add(&mut self, kind: Kind, figures: BTreeMap<Row, Figure>) {
        self.peers.insert(kind, figures);
    }

    /// Prints the table: how many times as much the others need stands behind their figures.
    pub fn print(&self) {
        println!("\n{} Services of 3 endpoints ({})", self.services, self.about);
        print!("{:<48}", "");
        for kind in self.peers.keys() {
            print!(" {:>20}", kind.to_string());
        }
        println!("   target");
        let mut rows: Vec<Row> = self.peers.values().flat_map(|figures| figures.keys().copied()).collect();
        rows.sort();
        rows.dedup();
        for row in rows {
            print!("{:<48}", row.label());
            let own = self.peers.get(&Kind::Portolan).and_then(|figures| figures.get(&row)).map(|f| f.number());
            for (kind, figures) in &self.peers {
                let Some(figure) = figures.get(&row) else {
                    print!(" {:>20}", "-");
                    continue;
                };
                let ratio = own.filter(|own| *kind != Kind::Portolan && *own > 0.0).map(|own| figure.number() / own);
                let ratio = ratio.map_or_else(String::new, |ratio| format!(" (x {})", Figure::Value(ratio)));
                print!(" {:>20}", format!("{figure}{ratio}"));
            }
            println!("   {}", row.target(self.services));
        }
        println!();
    }
}
