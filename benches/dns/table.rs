//! The table.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::server::Kind;

/// What is measured, in the order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Row {
    Top,
    Cpu,
    Half50,
    Half99,
    Memory,
    Headless,
    Resolves50,
    Resolves99,
    Watched50,
    Watched99,
    Forwarded,
    ForwardedCpu,
    Scaling,
    ScalingCpu,
}

impl Row {
    /// What it is, with its unit.
    fn label(self) -> &'static str {
        match self {
            Row::Top => "queries/s on one core, mix",
            Row::Cpu => "  us of CPU a query",
            Row::Half50 => "latency at half of CoreDNS' top rate, p50, us",
            Row::Half99 => "  p99, us",
            Row::Memory => "memory after the mix, VmRSS, MB",
            Row::Headless => "  with the headless endpoints too, MB",
            Row::Resolves50 => "POST answered to name answered, 100/s, p50, ms",
            Row::Resolves99 => "  p99, ms",
            Row::Watched50 => "  of which until a watch of the measurer's was told, p50",
            Row::Watched99 => "  p99",
            Row::Forwarded => "queries/s on one core, names from outside, warm",
            Row::ForwardedCpu => "  us of CPU a query",
            Row::Scaling => "a share of two cores to the same of one",
            Row::ScalingCpu => "  by the server's CPU a query",
        }
    }

    /// What is aimed at.
    fn target(self) -> &'static str {
        match self {
            Row::Top => "x 5",
            Row::Cpu => "4",
            Row::Half99 => "x 0.1",
            Row::Memory => "25",
            Row::Headless => "80",
            Row::Resolves99 => "5",
            Row::Forwarded => "x 4",
            Row::Scaling => "1.8",
            Row::Half50 | Row::Resolves50 | Row::Watched50 | Row::Watched99 | Row::ForwardedCpu | Row::ScalingCpu => "",
        }
    }
}

/// The figures of all servers.
#[derive(Debug, Default)]
pub struct Table {
    rows: BTreeMap<Row, BTreeMap<Kind, f64>>,
    echo: Option<[Duration; 2]>,
}

impl Table {
    /// Takes a figure.
    pub fn put(&mut self, row: Row, kind: Kind, figure: f64) {
        self.rows.entry(row).or_default().insert(kind, figure);
    }

    /// Takes what an echo takes at half of CoreDNS' top rate, at the 50th and the 99th percentile.
    pub fn echo(&mut self, p50: Duration, p99: Duration) {
        self.echo = Some([p50, p99]);
    }

    /// Prints the table: how many times CoreDNS' figure Portolan's is stands behind it, by the better of CoreDNS' two.
    pub fn print(&self, services: u32) {
        let kinds = [Kind::CoreDns, Kind::Multisocket, Kind::Portolan];
        print!("\n{:<56}", format!("{services} Services"));
        for kind in kinds {
            print!(" {kind:>20}");
        }
        println!(" {:>9}   wanted", "ratio");
        for (row, figures) in &self.rows {
            print!("{:<56}", row.label());
            for kind in kinds {
                print!(" {:>20}", figures.get(&kind).map_or_else(|| "-".to_owned(), |figure| shown(*figure)));
            }
            let more_is_better = matches!(row, Row::Top | Row::Forwarded | Row::Scaling | Row::ScalingCpu);
            let theirs = [Kind::CoreDns, Kind::Multisocket].iter().filter_map(|kind| figures.get(kind)).copied();
            let best = theirs.reduce(if more_is_better { f64::max } else { f64::min });
            let ratio = figures.get(&Kind::Portolan).zip(best).map(|(own, best)| format!("x {}", shown(own / best)));
            println!(" {:>9}   {}", ratio.unwrap_or_default(), row.target());
        }
        if let Some([p50, p99]) = self.echo {
            println!("latency of an echo at half of CoreDNS' top rate: p50 {p50:?}, p99 {p99:?}");
        }
        println!();
    }
}

fn shown(value: f64) -> String {
    let digits = if value.abs() < 10.0 { 2 } else { usize::from(value.abs() < 1000.0) };
    format!("{value:.digits$}")
}
