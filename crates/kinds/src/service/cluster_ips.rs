//! `clusterIP`, `clusterIPs`, `ipFamilies` and `ipFamilyPolicy`: kept in step, and judged together.

use serde_json::{Value, json};

use super::{is_external_name, is_headless};
use crate::addresses::{self, Family};
use crate::document::{at, given, list, object_mut, remove, set, text, texts};
use crate::field::{Error, Path};

/// The families that may be asked for.
const FAMILIES: &[&str] = &["IPv4", "IPv6"];
/// The policies that may be asked for.
const POLICIES: &[&str] = &["PreferDualStack", "RequireDualStack", "SingleStack"];

/// Brings `clusterIPs` in step with `clusterIP` where a client that knows only one of them changed it. `old` is the
/// stored Service on update. Nothing is judged: validation does that.
pub fn sync_cluster_ips(new: &mut Value, old: Option<&Value>) {
    let Some(spec) = object_mut(new, "spec") else { return };
    let one = text(spec, "clusterIP").to_owned();
    let Some(old) = old else {
        if !one.is_empty() && list(spec, "clusterIPs").is_empty() {
            set(spec, "clusterIPs", json!([one]));
        }
        return;
    };
    let old_spec = at(old, "spec");
    let (old_one, old_all) = (text(old_spec, "clusterIP"), list(old_spec, "clusterIPs"));
    if !old_all.is_empty() && list(spec, "clusterIPs").is_empty() && old_one == one {
        set(spec, "clusterIPs", old_all);
    }
    if old_one != one && list(spec, "clusterIPs") == old_all {
        if !old_one.is_empty() && one.is_empty() {
            remove(spec, "clusterIPs");
        } else {
            set(spec, "clusterIPs", json!([one]));
        }
    }
}

/// The faults of the four fields, before addresses are given and after.
pub(super) fn validate(service: &Value, old: Option<&Value>) -> Vec<Error> {
    if is_external_name(service) {
        return Vec::new();
    }
    let spec = at(service, "spec");
    let path = Path::new("spec").child("clusterIPs");
    let mut faults: Vec<_> = match_first(spec, &path).into_iter().collect();
    faults.extend(validate_families(spec));
    let stored = old.map(|old| texts(at(old, "spec"), "clusterIPs")).unwrap_or_default();
    let addresses = texts(spec, "clusterIPs");
    let all = || at(spec, "clusterIPs").clone();
    let mut unreadable = false;
    for (i, address) in addresses.iter().enumerate() {
        if i == 0 && *address == "None" {
            if addresses.len() > 1 {
                unreadable = true;
                faults.push(Error::invalid(&path, all(), "'None' must be the first and only value"));
            }
            continue;
        }
        let found = addresses::validate_legacy(&path.index(i), address, &stored);
        unreadable |= !found.is_empty();
        faults.extend(found);
    }
    if addresses.len() > 2 {
        faults.push(Error::invalid(&path, all(), "may only hold up to 2 values"));
    }
    if unreadable {
        return faults;
    }
    if addresses.len() > 1 && !is_dual_stack(&addresses) {
        faults.push(Error::invalid(&path, all(), "may specify no more than one IP for each IP family"));
    }
    if !is_headless(service) {
        faults.extend(match_families(&addresses, &texts(spec, "ipFamilies"), &path));
    }
    faults
}

/// `clusterIP` is the first of `clusterIPs`, or both are absent.
fn match_first(spec: &Value, path: &Path) -> Option<Error> {
    let (one, all) = (text(spec, "clusterIP"), at(spec, "clusterIPs"));
    match list(spec, "clusterIPs").first() {
        None if one.is_empty() => None,
        None => Some(Error::required(path, "")),
        Some(_) if one.is_empty() => {
            Some(Error::invalid(path, all.clone(), "must be empty when `clusterIP` is not specified"))
        }
        Some(first) if first != one => Some(Error::invalid(path, all.clone(), "first value must match `clusterIP`")),
        Some(_) => None,
    }
}

fn validate_families(spec: &Value) -> Vec<Error> {
    let path = Path::new("spec");
    let mut faults = Vec::new();
    let families = texts(spec, "ipFamilies");
    for (i, family) in families.iter().enumerate() {
        let path = path.child("ipFamilies").index(i);
        if !FAMILIES.contains(family) {
            faults.push(Error::not_supported(&path, *family, FAMILIES));
        }
        if families[..i].contains(family) {
            faults.push(Error::duplicate(&path, *family));
        }
    }
    if let Some(policy) = given(spec, "ipFamilyPolicy").and_then(Value::as_str)
        && !POLICIES.contains(&policy)
    {
        faults.push(Error::not_supported(&path.child("ipFamilyPolicy"), policy, POLICIES));
    }
    faults
}

/// Whether both families are among the addresses.
fn is_dual_stack(addresses: &[&str]) -> bool {
    let has = |family| addresses.iter().any(|address| addresses::family(address) == Some(family));
    has(Family::V4) && has(Family::V6)
}

fn match_families(addresses: &[&str], families: &[&str], path: &Path) -> Vec<Error> {
    let mut faults = Vec::new();
    for (i, (address, family)) in addresses.iter().zip(families).enumerate() {
        let is_v6 = addresses::family(address) == Some(Family::V6);
        if (*family == "IPv4" && is_v6) || (*family == "IPv6" && !is_v6) {
            let detail = format!("expected an {family} value as indicated by `ipFamilies[{i}]`");
            faults.push(Error::invalid(&path.index(i), *address, detail));
        }
    }
    faults
}

/// The faults of a change of addresses: the first stays, a second comes and goes.
pub(super) fn validate_address_change(new: &Value, old: &Value) -> Vec<Error> {
    if is_external_name(new) || is_external_name(old) || (is_headless(new) && is_headless(old)) {
        return Vec::new();
    }
    let spec = at(new, "spec");
    let path = Path::new("spec").child("clusterIPs");
    let (before, after) = (texts(at(old, "spec"), "clusterIPs"), texts(spec, "clusterIPs"));
    let fault = |i: usize, detail: &str| Error::invalid(&path.index(i), at(spec, "clusterIPs").clone(), detail);
    if before.len() == after.len() {
        let changed = (0..before.len()).filter(|i| before[*i] != after[*i]);
        return changed.map(|i| fault(i, "may not change once set")).collect();
    }
    let mut faults = Vec::new();
    if after.is_empty() {
        faults.push(fault(0, "primary clusterIP can not be unset"));
    }
    if let (Some(first), Some(old_first)) = (after.first(), before.first())
        && first != old_first
    {
        faults.push(fault(0, "may not change once set"));
    }
    if before.len() > 1 && after.len() == 1 && text(spec, "ipFamilyPolicy") != "SingleStack" {
        faults.push(released_without_policy(spec, "clusterIP"));
    }
    faults
}

/// The faults of a change of families: the first stays, a second comes and goes.
pub(super) fn validate_family_change(new: &Value, old: &Value) -> Vec<Error> {
    if is_external_name(new) || is_external_name(old) || is_headless(new) || is_headless(old) {
        return Vec::new();
    }
    let spec = at(new, "spec");
    let path = Path::new("spec").child("ipFamilies").index(0);
    let (before, after) = (texts(at(old, "spec"), "ipFamilies"), texts(spec, "ipFamilies"));
    // Of a change in number, Kubernetes prints the addresses, not the families.
    let fault = |field: &str, detail: &str| Error::invalid(&path, at(spec, field).clone(), detail);
    if before.len() == after.len() {
        let changed = before.iter().zip(&after).filter(|(before, after)| before != after);
        return changed.map(|_| fault("ipFamilies", "may not change once set")).collect();
    }
    let mut faults = Vec::new();
    if before.len() > after.len() && list(spec, "clusterIPs").is_empty() {
        faults.push(fault("ipFamilies", "primary ipFamily can not be unset"));
    }
    if let (Some(first), Some(old_first)) = (after.first(), before.first())
        && first != old_first
    {
        faults.push(fault("clusterIPs", "may not change once set"));
    }
    if before.len() > 1 && after.len() == 1 && text(spec, "ipFamilyPolicy") != "SingleStack" {
        faults.push(released_without_policy(spec, "ipFamily"));
    }
    faults
}

fn released_without_policy(spec: &Value, what: &str) -> Error {
    let detail = format!("must be set to 'SingleStack' when releasing the secondary {what}");
    Error::invalid(&Path::new("spec").child("ipFamilyPolicy"), at(spec, "ipFamilyPolicy").clone(), detail)
}
