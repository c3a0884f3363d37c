//! Which address families a Service has, in a cluster that has one or two.

use serde_json::{Value, json};

use super::{cluster_ips, is_external_name};
use crate::addresses::{self, Family};
use crate::document::{at, entries, given, list, object_mut, same_field, set, text, texts};
use crate::field::{Error, Path};

/// Fills in `ipFamilyPolicy` and `ipFamilies` of a Service before its addresses are given, or says why that cannot be.
/// `old` is the stored Service on update; `configured` are the cluster's families, its first one first.
pub fn choose_families(new: &mut Value, old: Option<&Value>, configured: &[Family]) -> Result<(), Vec<Error>> {
    if is_external_name(new) || keeps_dual_stack(new, old) {
        return Ok(());
    }
    infer_policy(new, old);
    fail_on(cluster_ips::validate(new, old))?;
    let mut faults = old.map(|old| release_second(new, old)).unwrap_or_default();
    faults.extend(validate_single_stack(at(new, "spec")));
    faults.extend(infer_from_addresses(new, configured));
    fail_on(faults)?;
    if is_headless_without_selector(new) {
        complete_headless(new, configured);
        return Ok(());
    }
    fail_on(validate_configured(at(new, "spec"), configured))?;
    complete(new, configured);
    Ok(())
}

fn fail_on(faults: Vec<Error>) -> Result<(), Vec<Error>> {
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// A Service that prefers two families keeps what it has when the cluster's families change, until it says otherwise.
fn keeps_dual_stack(new: &Value, old: Option<&Value>) -> bool {
    let Some(old) = old else { return false };
    let (spec, old_spec) = (at(new, "spec"), at(old, "spec"));
    let prefers = |spec: &Value| matches!(text(spec, "ipFamilyPolicy"), "PreferDualStack");
    prefers(spec)
        && (prefers(old_spec) || given(old_spec, "ipFamilyPolicy").is_none())
        && text(spec, "type") == text(old_spec, "type")
        && matches!(text(spec, "type"), "ClusterIP" | "NodePort" | "LoadBalancer")
        && same_field(spec, old_spec, "clusterIPs")
        && same_field(spec, old_spec, "ipFamilies")
}

fn is_headless_without_selector(service: &Value) -> bool {
    let spec = at(service, "spec");
    text(spec, "clusterIP") == "None" && entries(spec, "selector").is_empty()
}

fn infer_policy(new: &mut Value, old: Option<&Value>) {
    let selectorless = is_headless_without_selector(new);
    let Some(spec) = object_mut(new, "spec") else { return };
    if given(spec, "ipFamilyPolicy").is_some() {
        return;
    }
    let before = old.and_then(|old| given(at(old, "spec"), "ipFamilyPolicy"));
    let policy = match before {
        Some(policy) => policy.clone(),
        None if selectorless => json!("RequireDualStack"),
        None => json!("SingleStack"),
    };
    set(spec, "ipFamilyPolicy", policy);
}

/// On update: `SingleStack` lets go of the second address and family; otherwise they must stay.
fn release_second(new: &mut Value, old: &Value) -> Vec<Error> {
    let Some(spec) = object_mut(new, "spec") else { return Vec::new() };
    let old_spec = at(old, "spec");
    let mut faults = Vec::new();
    if text(spec, "ipFamilyPolicy") == "SingleStack" {
        for field in ["clusterIPs", "ipFamilies"] {
            if same_field(spec, old_spec, field) && list(spec, field).len() > 1 {
                let first = list(spec, field)[..1].to_vec();
                set(spec, field, first);
            }
        }
        return faults;
    }
    for (field, what) in [("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")] {
        let (after, before) = (list(spec, field).len(), list(old_spec, field).len());
        if after != 0 && after < before {
            faults.push(policy_fault(spec, &format!("must be 'SingleStack' to release the secondary {what}")));
        }
    }
    faults
}

fn policy_fault(spec: &Value, detail: &str) -> Error {
    Error::invalid(&Path::new("spec").child("ipFamilyPolicy"), at(spec, "ipFamilyPolicy").clone(), detail)
}

fn validate_single_stack(spec: &Value) -> Vec<Error> {
    if text(spec, "ipFamilyPolicy") != "SingleStack" {
        return Vec::new();
    }
    let several = [("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")];
    several
        .into_iter()
        .filter(|(field, _)| list(spec, field).len() == 2)
        .map(|(_, what)| {
            let detail = format!("must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified");
            policy_fault(spec, &detail)
        })
        .collect()
}

/// An address without a family brings its own, if the cluster has it.
fn infer_from_addresses(new: &mut Value, configured: &[Family]) -> Vec<Error> {
    let Some(spec) = object_mut(new, "spec") else { return Vec::new() };
    let mut faults = Vec::new();
    let mut families: Vec<String> = texts(spec, "ipFamilies").into_iter().map(str::to_owned).collect();
    let stated = families.len();
    for (i, address) in texts(spec, "clusterIPs").into_iter().enumerate() {
        if address == "None" {
            break;
        }
        let Some(family) = addresses::family(address) else { continue };
        if i < families.len() {
            continue;
        }
        if configured.contains(&family) {
            families.push(family.name().to_owned());
        } else {
            let path = Path::new("spec").child("clusterIPs").index(i);
            let detail = format!("{} is not configured on this cluster", family.name());
            faults.push(Error::invalid(&path, at(spec, "clusterIPs").clone(), detail));
        }
    }
    if families.len() > stated {
        set(spec, "ipFamilies", families);
    }
    faults
}

/// The endpoints of a headless Service without a selector are anyone's, of any family.
fn complete_headless(new: &mut Value, configured: &[Family]) {
    let Some(spec) = object_mut(new, "spec") else { return };
    let mut families = stated_or_first(spec, configured);
    if let [only] = families[..]
        && text(spec, "ipFamilyPolicy") != "SingleStack"
    {
        families.push(only.other());
    }
    set_families(spec, &families);
}

fn validate_configured(spec: &Value, configured: &[Family]) -> Vec<Error> {
    let mut faults = Vec::new();
    if text(spec, "ipFamilyPolicy") == "RequireDualStack" && configured.len() < 2 {
        faults.push(policy_fault(spec, "this cluster is not configured for dual-stack services"));
    }
    for (i, family) in texts(spec, "ipFamilies").into_iter().enumerate() {
        if !Family::named(family).is_some_and(|family| configured.contains(&family)) {
            let path = Path::new("spec").child("ipFamilies").index(i);
            faults.push(Error::invalid(&path, family, "not configured on this cluster"));
        }
    }
    faults
}

fn complete(new: &mut Value, configured: &[Family]) {
    let Some(spec) = object_mut(new, "spec") else { return };
    let mut families = stated_or_first(spec, configured);
    if let [only] = families[..]
        && text(spec, "ipFamilyPolicy") != "SingleStack"
        && configured.len() == 2
    {
        families.push(only.other());
    }
    set_families(spec, &families);
}

fn stated_or_first(spec: &Value, configured: &[Family]) -> Vec<Family> {
    let stated: Vec<_> = texts(spec, "ipFamilies").into_iter().filter_map(Family::named).collect();
    if stated.is_empty() { configured.iter().take(1).copied().collect() } else { stated }
}

fn set_families(spec: &mut Value, families: &[Family]) {
    set(spec, "ipFamilies", families.iter().map(|family| family.name()).collect::<Vec<_>>());
}
