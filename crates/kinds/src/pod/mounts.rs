//! The faults of how a container uses volumes: as directories, or as devices.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::paths::{descending, no_steps_back};
use super::volumes::{Volumes, is_claim};
use crate::document::{at, flag, given, list, text};
use crate::field::{Error, Path};

const PROPAGATIONS: &[&str] = &["Bidirectional", "HostToContainer", "None"];
const RECURSIVE_READ_ONLY: &[&str] = &["Disabled", "Enabled", "IfPossible"];

/// The faults of `volumeMounts` and `volumeDevices`.
pub(super) fn validate(path: &Path, container: &Value, volumes: &Volumes<'_>) -> Vec<Error> {
    let mut faults = validate_mounts(&path.child("volumeMounts"), container, volumes);
    faults.extend(validate_devices(&path.child("volumeDevices"), container, volumes));
    faults
}

/// Where each volume is used; of several places, the last.
fn by_name<'a>(container: &'a Value, field: &str, target: &str) -> BTreeMap<&'a str, &'a str> {
    list(container, field).iter().map(|used| (text(used, "name"), text(used, target))).collect()
}

fn validate_mounts(path: &Path, container: &Value, volumes: &Volumes<'_>) -> Vec<Error> {
    let devices = by_name(container, "volumeDevices", "devicePath");
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for (i, mount) in list(container, "volumeMounts").iter().enumerate() {
        let at = path.index(i);
        let (name, target) = (text(mount, "name"), text(mount, "mountPath"));
        if name.is_empty() {
            faults.push(Error::required(&at.child("name"), ""));
        }
        if !volumes.contains_key(name) {
            faults.push(Error::not_found(&at.child("name"), name));
        }
        if target.is_empty() {
            faults.push(Error::required(&at.child("mountPath"), ""));
        }
        if !seen.insert(target) {
            faults.push(Error::invalid(&at.child("mountPath"), target, "must be unique"));
        }
        if devices.contains_key(name) {
            faults.push(Error::invalid(&at.child("name"), name, "must not already exist in volumeDevices"));
        }
        if devices.values().any(|other| *other == target) {
            let detail = "must not already exist as a path in volumeDevices";
            faults.push(Error::invalid(&at.child("mountPath"), target, detail));
        }
        faults.extend(validate_part(path, &at, mount));
        faults.extend(validate_propagation(path, mount, container));
        faults.extend(validate_read_only(&path.child("recursiveReadOnly"), mount));
    }
    faults
}

/// The faults of a part of a volume; some paths are those of the list, as in Kubernetes.
fn validate_part(of_list: &Path, path: &Path, mount: &Value) -> Vec<Error> {
    let (part, pattern) = (text(mount, "subPath"), text(mount, "subPathExpr"));
    let mut faults = Vec::new();
    if !part.is_empty() {
        faults.extend(descending(&of_list.child("subPath"), part));
    }
    if !pattern.is_empty() {
        if !part.is_empty() {
            let detail = "subPathExpr and subPath are mutually exclusive";
            faults.push(Error::invalid(&path.child("subPathExpr"), pattern, detail));
        }
        faults.extend(descending(&of_list.child("subPathExpr"), pattern));
    }
    faults
}

fn validate_propagation(of_list: &Path, mount: &Value, container: &Value) -> Vec<Error> {
    let Some(propagation) = given(mount, "mountPropagation").and_then(Value::as_str) else { return Vec::new() };
    let path = of_list.child("mountPropagation");
    let mut faults = Vec::new();
    if !PROPAGATIONS.contains(&propagation) {
        faults.push(Error::not_supported(&path, propagation, PROPAGATIONS));
    }
    if propagation == "Bidirectional" && !flag(at(container, "securityContext"), "privileged") {
        let detail = "Bidirectional mount propagation is available only to privileged containers";
        faults.push(Error::forbidden(&path, detail));
    }
    faults
}

fn validate_read_only(path: &Path, mount: &Value) -> Vec<Error> {
    let mut faults = Vec::new();
    match given(mount, "recursiveReadOnly").and_then(Value::as_str) {
        None | Some("Disabled") => {}
        Some("Enabled" | "IfPossible") => {
            if !flag(mount, "readOnly") {
                faults.push(Error::forbidden(path, "may only be specified when readOnly is true"));
            }
            if !matches!(text(mount, "mountPropagation"), "" | "None") {
                let detail = "may only be specified when mountPropagation is None or not specified";
                faults.push(Error::forbidden(path, detail));
            }
        }
        Some(other) => faults.push(Error::not_supported(path, other, RECURSIVE_READ_ONLY)),
    }
    faults
}

fn validate_devices(path: &Path, container: &Value, volumes: &Volumes<'_>) -> Vec<Error> {
    let mounts = by_name(container, "volumeMounts", "mountPath");
    let mut faults = Vec::new();
    let (mut names, mut targets) = (BTreeSet::new(), BTreeSet::new());
    for (i, device) in list(container, "volumeDevices").iter().enumerate() {
        let path = path.index(i);
        let (name, target) = (text(device, "name"), text(device, "devicePath"));
        let of_name = path.child("name");
        let of_target = path.child("devicePath");
        if name.is_empty() {
            faults.push(Error::required(&of_name, ""));
        }
        if names.contains(name) {
            faults.push(Error::invalid(&of_name, name, "must be unique"));
        }
        match volumes.get(name) {
            None => faults.push(Error::not_found(&of_name, name)),
            Some(volume) if !is_claim(volume) => {
                let detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                faults.push(Error::invalid(&of_name, name, detail));
            }
            Some(_) => {}
        }
        if target.is_empty() {
            faults.push(Error::required(&of_target, ""));
        }
        if targets.contains(target) {
            faults.push(Error::invalid(&of_target, target, "must be unique"));
        }
        if !target.is_empty() && !no_steps_back(&of_target, target).is_empty() {
            faults.push(Error::invalid(&of_target, target, "can not contain backsteps ('..')"));
        } else {
            targets.insert(target);
        }
        if mounts.contains_key(name) {
            faults.push(Error::invalid(&of_name, name, "must not already exist in volumeMounts"));
        }
        if mounts.values().any(|other| *other == target) {
            let detail = "must not already exist as a path in volumeMounts";
            faults.push(Error::invalid(&of_target, target, detail));
        }
        if !name.is_empty() {
            names.insert(name);
        }
    }
    faults
}
