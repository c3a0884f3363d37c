//! This server and Kubernetes' own are asked the same, request by request, and must answer the same: code, message,
//! warnings and object. What may differ (times, random addresses) is made alike by [`compare`].
//!
//! Kubernetes' programs are looked for in the folder that `PORTOLAN_PEERS` names.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../cluster/mod.rs"]
mod cluster;

mod addresses;
mod case;
mod compare;
mod families;
mod peer;
mod services;
mod slices;

use std::collections::BTreeMap;

use case::{Case, Step};
use cluster::{Answer, Cluster};
use compare::Given;
use peer::Peer;
use testbed::Namespace;

/// How many differences are shown.
const SHOWN: usize = 400;
/// As whom both are asked: the name of the field manager.
const AGENT: &str = "side-by-side/1";

struct Both {
    ours: Cluster,
    theirs: Peer,
}

/// A difference, by what it is, with the first case that showed it and how many did.
type Found = BTreeMap<String, (String, usize)>;

impl Both {
    /// Both answers. Kubernetes breaks a connection off over which it was asked something that it does not survive: then
    /// there is nothing to be like.
    async fn ask(&self, step: &Step) -> (Answer, Option<Answer>) {
        let headers = [("content-type", step.media), ("user-agent", AGENT), ("accept", "application/json")];
        let ours = self.ours.send(step.method, &step.path, &headers, step.body.clone()).await;
        let theirs = self.theirs.ask(step.method, &step.path, &headers, step.body.clone()).await;
        (ours, theirs)
    }

    async fn check(&self, case: &Case, found: &mut Found) {
        let (mut given, mut given_there) = (Given::default(), Given::default());
        for (i, step) in case.steps.iter().enumerate() {
            let (ours, Some(theirs)) = self.ask(step).await else {
                println!("Kubernetes has no answer: {} [{i}: {} {}]", case.name, step.method, step.path);
                break;
            };
            let (ours, theirs) = (given.alike(&ours), given_there.alike(&theirs));
            let differences = compare::differences(&ours, &theirs);
            for (path, ours, theirs) in &differences {
                let what = format!("{path}: {ours}, there {theirs}");
                let first = || (format!("{} [{i}: {} {}]", case.name, step.method, step.path), 0);
                found.entry(what).or_insert_with(first).1 += 1;
            }
            if !differences.is_empty() {
                break;
            }
        }
        for path in case.made() {
            let delete = Step { method: "DELETE", path, media: "application/json", body: String::new() };
            let (ours, theirs) = self.ask(&delete).await;
            if [Some(ours), theirs].into_iter().flatten().any(|answer| answer.body["metadata"]["finalizers"].is_array())
            {
                let free = r#"{"metadata":{"finalizers":null}}"#.to_owned();
                let media = "application/merge-patch+json";
                self.ask(&Step { method: "PATCH", path: delete.path, media, body: free }).await;
            }
        }
    }
}

/// Asks both everything, in a network of its own.
fn alike(ranges: &str, cases: impl FnOnce() -> Vec<Case> + Send) {
    if testbed::skip_unless_root().is_some() {
        return;
    }
    let Some(programs) = peer::programs() else { return };
    let namespace = Namespace::new("alike").unwrap();
    let (found, asked) = namespace
        .run(|| {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let dir = tempfile::tempdir().unwrap();
                let theirs = Peer::start(&programs, dir.path(), ranges).await;
                let own = tempfile::tempdir().unwrap();
                let ours = Cluster::start_with(own, |config| {
                    config.service_cidr = ranges.parse().unwrap();
                    config.advertise = peer::advertised(ranges).parse().unwrap();
                })
                .await;
                let both = Both { ours, theirs };
                let mut found = Found::new();
                let cases = cases();
                for case in &cases {
                    both.check(case, &mut found).await;
                }
                let asked = cases.iter().map(|case| case.steps.len()).sum::<usize>();
                let ready = both.theirs.ask("GET", "/readyz", &[], String::new()).await;
                assert!(ready.is_some_and(|answer| answer.code == 200), "Kubernetes' server does not answer any more");
                both.ours.stop().await;
                (found, asked)
            })
        })
        .unwrap();
    let shown = found.iter().take(SHOWN).map(|(what, (case, times))| format!("{times}x {what}\n    {case}\n"));
    let shown: String = shown.collect();
    assert!(found.is_empty(), "of {asked} requests, {} kinds of differences:\n{shown}", found.len());
    assert!(asked > 0, "nothing was asked");
}

#[test]
fn families_of_new_services() {
    alike("10.96.0.0/16,fd00:96::/112", families::creates);
}

#[test]
fn families_of_new_services_in_a_cluster_of_one_family() {
    alike("10.96.0.0/16", || families::creates().into_iter().step_by(3).collect());
}

#[test]
fn families_of_new_services_where_ipv6_is_first() {
    alike("fd00:96::/112,10.96.0.0/16", || families::creates().into_iter().step_by(5).collect());
}

#[test]
fn families_of_changed_services() {
    alike("10.96.0.0/16,fd00:96::/112", families::updates);
}

#[test]
fn families_of_changed_services_in_a_cluster_of_one_family() {
    alike("10.96.0.0/16", || families::updates().into_iter().step_by(2).collect());
}

#[test]
fn rules_of_new_services() {
    alike("10.96.0.0/16", services::creates);
}

#[test]
fn rules_of_changed_services() {
    alike("10.96.0.0/16", || services::updates().into_iter().chain(services::taken()).collect());
}

#[test]
fn endpoints_and_slices() {
    alike("10.96.0.0/16,fd00:96::/112", slices::all);
}

#[test]
fn ranges_and_addresses() {
    alike("10.96.0.0/16,fd00:96::/112", addresses::all);
}
