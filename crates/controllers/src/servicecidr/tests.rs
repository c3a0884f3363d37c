use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use serde_json::{Value, json};

use super::plan::{FINALIZER, Next, Plan, Snapshot, is_inside_others, plan};
use crate::change::{Act, Part};

fn range(name: &str, cidrs: &[&str], ended: Option<&str>) -> Arc<ServiceCIDR> {
    let mut document = json!({ "metadata": { "name": name }, "spec": { "cidrs": cidrs } });
    if let Some(ended) = ended {
        document["metadata"]["deletionTimestamp"] = ended.into();
        document["metadata"]["finalizers"] = json!([FINALIZER]);
    }
    Arc::new(serde_json::from_value(document).unwrap())
}

fn planned(all: &[Arc<ServiceCIDR>], addresses: &[&str]) -> Plan {
    let addresses: Vec<IpAddr> = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
    let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
    plan(&Snapshot { range: &all[0], all, addresses: &addresses, now })
}

fn patches(plan: &Plan) -> Vec<(Part, &Value)> {
    let mut all = Vec::new();
    for change in &plan.changes {
        match &change.act {
            Act::Strategic(part, patch) => all.push((*part, patch)),
            other => panic!("{other:?}"),
        }
    }
    all
}

#[test]
fn a_new_range_is_held_and_ready() {
    let plan = planned(&[range("r", &["10.97.0.0/24"], None)], &[]);
    let all = patches(&plan);
    assert_eq!(all[0], (Part::Main, &json!({"metadata": {"finalizers": [FINALIZER]}})));
    let condition = &all[1].1["status"]["conditions"][0];
    assert_eq!((all[1].0, &condition["status"]), (Part::Status, &json!("True")));
    assert_eq!(condition["message"], "Kubernetes Service CIDR is ready");

    let mut done = (*range("r", &["10.97.0.0/24"], None)).clone();
    done.metadata.finalizers = Some(vec![FINALIZER.to_owned()]);
    done.status = serde_json::from_value(all[1].1["status"].clone()).unwrap();
    assert_eq!(planned(&[Arc::new(done)], &[]), Plan { changes: Vec::new(), next: Next::Nothing });
}

#[test]
fn a_range_stays_while_somebody_has_an_address_that_no_other_has() {
    let ending = range("r", &["10.97.0.0/24"], Some("2026-01-01T00:00:30Z"));
    let held = planned(std::slice::from_ref(&ending), &["10.96.0.1", "10.97.0.7"]);
    assert_eq!(held.next, Next::AddressesGo);
    assert_eq!(patches(&held)[0].1["status"]["conditions"][0]["reason"], "Terminating");
    let free = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}});
    for (others, addresses) in [
        (vec![], vec!["10.96.0.1"]),
        (vec![range("larger", &["10.96.0.0/15"], None)], vec!["10.97.0.7"]),
        (vec![range("part", &["10.97.0.0/28"], None)], vec!["10.97.0.7"]),
    ] {
        let all: Vec<_> = [ending.clone()].into_iter().chain(others).collect();
        let plan = planned(&all, &addresses);
        assert_eq!((plan.next, patches(&plan)), (Next::Nothing, vec![(Part::Main, &free)]));
    }
}

#[test]
fn a_range_that_ends_waits_until_all_servers_have_heard_of_it() {
    let plan = planned(&[range("r", &["10.97.0.0/24"], Some("2026-01-01T00:00:56Z"))], &[]);
    assert_eq!(plan, Plan { changes: Vec::new(), next: Next::At(Duration::from_secs(6)) });
}

#[test]
fn both_parts_must_be_inside_of_others() {
    let both = range("r", &["10.97.0.0/24", "fd00:97::/112"], None);
    let larger = range("a", &["10.96.0.0/15"], None);
    assert!(!is_inside_others(&both, &[both.clone(), larger.clone()]));
    assert!(is_inside_others(&both, &[both.clone(), larger, range("b", &["fd00:97::/64"], None)]));
}
