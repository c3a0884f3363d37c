//! The faults of volumes. Of the kinds of volumes, those are looked into that this cluster has, and claims; of the
//! others it is only known that a volume has one kind.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::paths::{inside, no_steps_back};
use super::{PULL_POLICIES, environment, one_of};
use crate::document::{at, given, integer, list, text};
use crate::field::{Error, Path};
use crate::names;
use crate::quantity::Quantity;

const HOST_PATH_TYPES: &[&str] =
    &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
/// The kinds of volumes in the order in which Kubernetes looks for them, with the field that it names when there is
/// one too many.
const KINDS: &[(&str, &str)] = &[
    ("emptyDir", "emptyDir"),
    ("hostPath", "hostPath"),
    ("gitRepo", "gitRepo"),
    ("gcePersistentDisk", "gcePersistentDisk"),
    ("awsElasticBlockStore", "awsElasticBlockStore"),
    ("secret", "secret"),
    ("nfs", "nfs"),
    ("iscsi", "iscsi"),
    ("glusterfs", "glusterfs"),
    ("flocker", "flocker"),
    ("persistentVolumeClaim", "persistentVolumeClaim"),
    ("rbd", "rbd"),
    ("cinder", "cinder"),
    ("cephfs", "cephFS"),
    ("quobyte", "quobyte"),
    ("downwardAPI", "downwarAPI"),
    ("fc", "fc"),
    ("flexVolume", "flexVolume"),
    ("configMap", "configMap"),
    ("azureFile", "azureFile"),
    ("vsphereVolume", "vsphereVolume"),
    ("photonPersistentDisk", "photonPersistentDisk"),
    ("portworxVolume", "portworxVolume"),
    ("azureDisk", "azureDisk"),
    ("storageos", "storageos"),
    ("projected", "projected"),
    ("scaleIO", "scaleIO"),
    ("csi", "csi"),
    ("ephemeral", "ephemeral"),
    ("image", "image"),
];
const FILE_MODE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
/// How long a token may be good, in seconds.
const SHORTEST_TOKEN: i64 = 600;
const LONGEST_TOKEN: i64 = 1 << 32;

/// The volumes without faults, by name.
pub(super) type Volumes<'a> = BTreeMap<&'a str, &'a Value>;

/// The faults of `volumes`, and those without. `pod` is the name of the Pod that has them, if it is not a template.
pub(super) fn validate<'a>(path: &Path, volumes: &'a [Value], pod: Option<&str>) -> (Volumes<'a>, Vec<Error>) {
    let mut good = Volumes::new();
    let mut faults = Vec::new();
    for (i, volume) in volumes.iter().enumerate() {
        let path = path.index(i);
        let name = text(volume, "name");
        let mut found = validate_source(&path, volume, pod);
        match name {
            "" => found.push(Error::required(&path.child("name"), "")),
            name => found.extend(names::label_field(&path.child("name"), name)),
        }
        if good.contains_key(name) {
            found.push(Error::duplicate(&path.child("name"), name));
        }
        if found.is_empty() {
            good.insert(name, volume);
        }
        faults.extend(found);
    }
    (good, faults)
}

fn validate_source(path: &Path, volume: &Value, pod: Option<&str>) -> Vec<Error> {
    let mut stated = KINDS.iter().filter_map(|(kind, name)| given(volume, kind).map(|source| (*kind, *name, source)));
    let Some((kind, _, source)) = stated.next() else {
        return vec![Error::required(path, "must specify a volume type")];
    };
    let mut faults = validate_kind(&path.child(kind), kind, source, pod);
    if let (Some(pod), "ephemeral", name) = (pod, kind, text(volume, "name"))
        && !name.is_empty()
        && !pod.is_empty()
    {
        let claim = format!("{pod}-{name}");
        for message in names::dns1123_subdomain(&claim) {
            let detail = format!("PVC name {}: {message}", crate::schema::quoted(&claim));
            faults.push(Error::invalid(&path.child("name"), name, detail));
        }
    }
    let more =
        stated.map(|(_, name, _)| Error::forbidden(&path.child(name), "may not specify more than 1 volume type"));
    faults.extend(more);
    faults
}

fn validate_kind(path: &Path, kind: &str, source: &Value, pod: Option<&str>) -> Vec<Error> {
    let required = |field: &str| match text(source, field) {
        "" => vec![Error::required(&path.child(field), "")],
        _ => Vec::new(),
    };
    match kind {
        "emptyDir" => validate_empty_dir(path, source),
        "hostPath" => validate_host_path(path, source),
        "secret" => validate_keys(path, source, "secretName"),
        "configMap" => validate_keys(path, source, "name"),
        "downwardAPI" => {
            let mut faults: Vec<_> =
                validate_mode(&path.child("defaultMode"), source, "defaultMode").into_iter().collect();
            faults.extend(list(source, "items").iter().flat_map(|file| validate_file(path, file)));
            faults
        }
        "projected" => validate_projected(path, source),
        "persistentVolumeClaim" => required("claimName"),
        "nfs" => {
            let mut faults = required("server");
            faults.extend(required("path"));
            if !text(source, "path").starts_with('/') {
                let detail = "must be an absolute path";
                faults.push(Error::invalid(&path.child("path"), text(source, "path"), detail));
            }
            faults
        }
        "csi" => validate_csi(path, source),
        "ephemeral" if given(source, "volumeClaimTemplate").is_none() => {
            vec![Error::required(&path.child("volumeClaimTemplate"), "")]
        }
        "image" => {
            let mut faults = if pod.is_some() { required("reference") } else { Vec::new() };
            faults.extend(one_of(&path.child("pullPolicy"), text(source, "pullPolicy"), PULL_POLICIES));
            faults
        }
        _ => Vec::new(),
    }
}

fn validate_empty_dir(path: &Path, source: &Value) -> Vec<Error> {
    let limit = given(source, "sizeLimit").and_then(|limit| Quantity::from_value(limit).ok());
    if limit.is_some_and(|limit| limit.nanos() < 0) {
        return vec![Error::forbidden(&path.child("sizeLimit"), "SizeLimit field must be a valid resource quantity")];
    }
    Vec::new()
}

fn validate_host_path(path: &Path, source: &Value) -> Vec<Error> {
    let target = text(source, "path");
    if target.is_empty() {
        return vec![Error::required(&path.child("path"), "")];
    }
    let mut faults = no_steps_back(&path.child("path"), target);
    let kind = text(source, "type");
    if !HOST_PATH_TYPES.contains(&kind) {
        faults.push(Error::not_supported(&path.child("type"), kind, HOST_PATH_TYPES));
    }
    faults
}

/// The faults of a volume whose files are keys of an object that `name` names.
fn validate_keys(path: &Path, source: &Value, name: &str) -> Vec<Error> {
    let mut faults = Vec::new();
    if text(source, name).is_empty() {
        faults.push(Error::required(&path.child(name), ""));
    }
    faults.extend(validate_mode(&path.child("defaultMode"), source, "defaultMode"));
    for (i, item) in list(source, "items").iter().enumerate() {
        faults.extend(validate_key(&path.child("items").index(i), item));
    }
    faults
}

fn validate_key(path: &Path, item: &Value) -> Vec<Error> {
    let mut faults = Vec::new();
    for field in ["key", "path"] {
        if text(item, field).is_empty() {
            faults.push(Error::required(&path.child(field), ""));
        }
    }
    faults.extend(inside(&path.child("path"), text(item, "path")));
    faults.extend(validate_mode(&path.child("mode"), item, "mode"));
    faults
}

fn validate_mode(path: &Path, source: &Value, field: &str) -> Option<Error> {
    let mode = given(source, field)?.as_i64()?;
    (!(0..=0o777).contains(&mode)).then(|| Error::invalid(path, mode, FILE_MODE))
}

/// The faults of a file that shows a field or an amount. The path is that of the list, as in Kubernetes.
fn validate_file(path: &Path, file: &Value) -> Vec<Error> {
    let mut faults = Vec::new();
    if text(file, "path").is_empty() {
        faults.push(Error::required(&path.child("path"), ""));
    }
    faults.extend(inside(&path.child("path"), text(file, "path")));
    match (given(file, "fieldRef"), given(file, "resourceFieldRef")) {
        (Some(field), other) => {
            faults.extend(environment::validate_field(&path.child("fieldRef"), field, environment::FILE_FIELDS));
            if other.is_some() {
                let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                faults.push(Error::invalid(path, "resource", detail));
            }
        }
        (None, Some(resource)) => {
            faults.extend(environment::validate_amount(&path.child("resourceFieldRef"), resource, true));
        }
        (None, None) => faults.push(Error::required(path, "one of fieldRef and resourceFieldRef is required")),
    }
    faults.extend(validate_mode(&path.child("mode"), file, "mode"));
    faults
}

fn validate_projected(path: &Path, projected: &Value) -> Vec<Error> {
    let mut faults: Vec<_> = validate_mode(&path.child("defaultMode"), projected, "defaultMode").into_iter().collect();
    let mut taken = BTreeSet::new();
    let mut take = |target: &'_ str, named: &str| {
        let is_new = target.is_empty() || taken.insert(target.to_owned());
        (!is_new).then(|| Error::invalid(path, named, "conflicting duplicate paths"))
    };
    for (i, source) in list(projected, "sources").iter().enumerate() {
        let at_source = path.child("sources").index(i);
        let mut count = 0;
        for field in ["secret", "configMap"] {
            let Some(keys) = given(source, field) else { continue };
            count += 1;
            let path = at_source.child(field);
            let name = text(keys, "name");
            if name.is_empty() {
                faults.push(Error::required(&path.child("name"), ""));
            }
            for (j, item) in list(keys, "items").iter().enumerate() {
                faults.extend(validate_key(&path.child("items").index(j), item));
                faults.extend(take(text(item, "path"), name));
            }
        }
        if let Some(downward) = given(source, "downwardAPI") {
            count += 1;
            for file in list(downward, "items") {
                faults.extend(validate_file(&at_source.child("downwardAPI"), file));
                faults.extend(take(text(file, "path"), text(file, "path")));
            }
        }
        if let Some(token) = given(source, "serviceAccountToken") {
            count += 1;
            faults.extend(validate_token(path, &at_source.child("serviceAccountToken"), token));
        }
        if count > 1 {
            faults.push(Error::forbidden(&at_source, "may not specify more than 1 volume type per source"));
        }
    }
    faults
}

fn validate_token(of_volume: &Path, path: &Path, token: &Value) -> Vec<Error> {
    let mut faults = Vec::new();
    let seconds = integer(token, "expirationSeconds");
    let path = path.child("expirationSeconds");
    if seconds < SHORTEST_TOKEN {
        faults.push(Error::invalid(&path, seconds, "may not specify a duration less than 10 minutes"));
    }
    if seconds > LONGEST_TOKEN {
        faults.push(Error::invalid(&path, seconds, "may not specify a duration larger than 2^32 seconds"));
    }
    // The path of this one is Kubernetes' too.
    let path = of_volume.child("path");
    match text(token, "path") {
        "" => faults.push(Error::required(&path, "")),
        target => faults.extend(inside(&path, target)),
    }
    faults
}

fn validate_csi(path: &Path, source: &Value) -> Vec<Error> {
    let mut faults = Vec::new();
    let driver = text(source, "driver");
    if driver.is_empty() {
        faults.push(Error::required(&path.child("driver"), ""));
    } else {
        if driver.len() > 63 {
            faults.push(Error::too_long(&path.child("driver"), 63));
        }
        let messages = names::dns1123_subdomain(&driver.to_lowercase());
        faults.extend(Error::invalid_each(&path.child("driver"), driver, messages));
    }
    if let Some(secret) = given(source, "nodePublishSecretRef") {
        match text(secret, "name") {
            "" => faults.push(Error::required(&path.child("nodePublishSecretRef").child("name"), "")),
            name => faults.extend(names::subdomain_field(&path.child("name"), name)),
        }
    }
    faults
}

/// Whether a volume is a claim, which can be used as a device.
pub(super) fn is_claim(volume: &Value) -> bool {
    !at(volume, "persistentVolumeClaim").is_null() || !at(volume, "ephemeral").is_null()
}
