//! A kernel that refuses some Services. No object is known of which the rules would be refused by a kernel, so one is
//! made to refuse: whatever says anything of some address comes with an operation that no kernel carries out.

use std::net::IpAddr;

use dataplane::backend::{Backend, CommitError, FlowsError, ReadError, nftables};
use dataplane::flows::StaleFlows;
use dataplane::ruleset::TableContent;
use dataplane::{Config, Dataplane};
use nft::{Batch, Element, Family, ObjectId, Operation, TableId};

use crate::packets::Met;
use crate::scene::{self, remove, server, set, vip};
use crate::world;

const TCP: u8 = 6;

struct Picky {
    kernel: nftables::Backend,
    refuses: Option<IpAddr>,
}

impl Picky {
    fn is_refused(&self, operation: &Operation) -> bool {
        let Some(IpAddr::V4(address)) = self.refuses else { return false };
        let holds = |value: &nft::Value| value.as_slice().chunks(4).any(|field| field == address.octets());
        let element = |element: &Element| {
            holds(&element.key) || matches!(&element.data, Some(nft::Data::Value(value)) if holds(value))
        };
        match operation {
            Operation::AddElements { elements, .. } | Operation::DeleteElements { elements, .. } => {
                elements.iter().any(element)
            }
            _ => false,
        }
    }
}

impl Backend for Picky {
    fn config(&self) -> &Config {
        self.kernel.config()
    }

    fn read(&mut self, table: &TableId) -> Result<Option<TableContent>, ReadError> {
        self.kernel.read(table)
    }

    fn counts(&mut self, table: &TableId) -> Result<dataplane::counters::Counts, ReadError> {
        self.kernel.counts(table)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        let mut batch = batch.clone();
        if batch.operations.iter().any(|operation| self.is_refused(operation)) {
            batch.delete(ObjectId::Chain(TableId::new(Family::Ip, "portolan"), "never there".into()));
        }
        self.kernel.commit(&batch)
    }

    fn end_flows(&mut self, stale: &StaleFlows) -> Result<usize, FlowsError> {
        self.kernel.end_flows(stale)
    }
}

#[test]
fn a_refused_service_keeps_what_it_had_and_all_others_are_served() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let (cluster, _) = scene::cluster("refused")?;
    let kernel = cluster.node.run(|| nftables::Backend::new(Config::default()))??;
    let bad = Some(world::ip(world::host("d").address));
    let mut picky = Dataplane::new(Picky { kernel, refuses: None }, world::node());
    (1..=8).for_each(|last| set(picky.model_mut(), &format!("s{last}"), last, "", "a"));
    picky.sync()?;

    // New ones, a change, a removal: of each one that is refused and one that is not.
    picky.backend_mut().refuses = bad;
    set(picky.model_mut(), "s9", 9, "", "d");
    set(picky.model_mut(), "s10", 10, "", "b");
    set(picky.model_mut(), "s2", 2, "", "d b");
    set(picky.model_mut(), "s3", 3, "", "b");
    remove(picky.model_mut(), "s4");
    let report = picky.sync()?;
    let mut refused: Vec<String> =
        report.refused.iter().filter_map(|refusal| Some(refusal.service.as_ref()?.to_string())).collect();
    refused.sort_unstable();
    assert_eq!(refused, ["default/s2", "default/s9"]);
    let error = report.refused[0].error.to_string();
    assert!(error.contains("never there") && error.contains("No such file"), "not the kernel's words: {error}");
    for (last, expected) in [(1, "a"), (2, "a"), (3, "b"), (8, "a"), (10, "b")] {
        assert_eq!(server(&cluster, "p", TCP, vip(last))?, expected, "s{last}");
    }
    assert_eq!(cluster.ask("p", TCP, vip(9))?, Met::Silence);
    assert_eq!(cluster.ask("p", TCP, vip(4))?, Met::Silence);

    // What it had cannot be taken away: it stays, and others go.
    picky.backend_mut().refuses = Some(world::ip("10.96.0.5"));
    remove(picky.model_mut(), "s5");
    remove(picky.model_mut(), "s6");
    let report = picky.sync()?;
    assert_eq!(report.refused.len(), 1);
    assert_eq!(server(&cluster, "p", TCP, vip(5))?, "a");
    assert_eq!(cluster.ask("p", TCP, vip(6))?, Met::Silence);

    // The kernel is itself again: each is tried when its time comes.
    picky.backend_mut().refuses = None;
    while let Some(due) = picky.due() {
        assert!(picky.sync_at(due)?.refused.is_empty());
    }
    assert_eq!(server(&cluster, "p", TCP, vip(9))?, "d");
    assert_eq!(cluster.ask("p", TCP, vip(5))?, Met::Silence);
    picky.forget();
    assert_eq!(picky.sync()?.changes, 0);
    Ok(())
}
