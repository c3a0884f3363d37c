//! The faults of what a Pod and its containers may do on their node.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{all_containers, paths, printed};
use crate::document::{at, flag, given, list, text, texts};
use crate::field::{Error, Path};
use crate::names;

/// Types of profiles, of seccomp and of AppArmor.
const PROFILES: &[&str] = &["Localhost", "RuntimeDefault", "Unconfined"];
const LONGEST_SYSCTL: usize = 253;
const SYSCTL: &str = "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
/// As long as a path can be.
const LONGEST_PROFILE: usize = 4095;

/// The faults of a Pod's `securityContext`.
pub(super) fn validate_of_pod(path: &Path, spec: &Value) -> Vec<Error> {
    let Some(context) = given(spec, "securityContext") else { return Vec::new() };
    let mut faults = Vec::new();
    for field in ["fsGroup", "runAsUser", "runAsGroup"] {
        faults.extend(validate_id(&path.child(field), at(context, field)));
    }
    for (i, group) in list(context, "supplementalGroups").iter().enumerate() {
        faults.extend(validate_id(&path.child("supplementalGroups").index(i), group));
    }
    if flag(spec, "shareProcessNamespace") && flag(spec, "hostPID") {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        faults.push(Error::invalid(&path.child("shareProcessNamespace"), true, detail));
    }
    faults.extend(validate_sysctls(&path.child("sysctls"), spec, list(context, "sysctls")));
    faults.extend(validate_choice(path, context, "fsGroupChangePolicy", &["Always", "OnRootMismatch"]));
    faults.extend(validate_seccomp(&path.child("seccompProfile"), context));
    faults.extend(validate_app_armor(&path.child("appArmorProfile"), context));
    faults.extend(validate_choice(path, context, "supplementalGroupsPolicy", &["Merge", "Strict"]));
    faults.extend(validate_choice(path, context, "seLinuxChangePolicy", &["Recursive"]));
    faults
}

/// The faults of a container's `securityContext`.
pub(super) fn validate_of_container(path: &Path, context: &Value, host_users: bool) -> Vec<Error> {
    let mut faults = Vec::new();
    for field in ["runAsUser", "runAsGroup"] {
        faults.extend(validate_id(&path.child(field), at(context, field)));
    }
    faults.extend(validate_choice(path, context, "procMount", &["Default", "Unmasked"]));
    if host_users && text(context, "procMount") == "Unmasked" {
        let detail = "`hostUsers` must be false to use `Unmasked`";
        faults.push(Error::invalid(&path.child("procMount"), "Unmasked", detail));
    }
    faults.extend(validate_seccomp(&path.child("seccompProfile"), context));
    if at(context, "allowPrivilegeEscalation") == &Value::Bool(false) {
        let mut refuse = |what: &str| {
            let detail = format!("cannot set `allowPrivilegeEscalation` to false and {what}");
            faults.push(
                Error::invalid(path, context.clone(), detail).printed_as(printed::compact("SecurityContext", context)),
            );
        };
        if flag(context, "privileged") {
            refuse("`privileged` to true");
        }
        for capability in texts(at(context, "capabilities"), "add") {
            if capability == "CAP_SYS_ADMIN" {
                refuse("`capabilities.Add` CAP_SYS_ADMIN");
            }
        }
    }
    faults.extend(validate_app_armor(&path.child("appArmorProfile"), context));
    faults
}

/// A number of a user or a group.
pub(super) fn validate_id(path: &Path, id: &Value) -> Option<Error> {
    let id = id.as_i64()?;
    let highest = i64::from(i32::MAX);
    (!(0..=highest).contains(&id)).then(|| Error::invalid(path, id, names::inclusive_range(0, highest)))
}

fn validate_choice(path: &Path, context: &Value, field: &str, supported: &[&str]) -> Option<Error> {
    let choice = given(context, field)?.as_str()?;
    (!supported.contains(&choice)).then(|| Error::not_supported(&path.child(field), choice, supported))
}

fn validate_sysctls(path: &Path, spec: &Value, sysctls: &[Value]) -> Vec<Error> {
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for (i, sysctl) in sysctls.iter().enumerate() {
        let path = path.index(i).child("name");
        let name = text(sysctl, "name");
        if name.is_empty() {
            faults.push(Error::required(&path, ""));
        } else if !is_sysctl(name) {
            let detail = format!("must have at most {LONGEST_SYSCTL} characters and match regex {SYSCTL}");
            faults.push(Error::invalid(&path, name, detail));
        } else if seen.contains(name) {
            faults.push(Error::duplicate(&path, name));
        }
        // Written with slashes it is the same name.
        let dotted = if name.contains('.') { name.to_owned() } else { name.replace('/', ".") };
        let shares = if dotted.starts_with("net.") { "hostNetwork" } else { "hostIPC" };
        if flag(spec, shares) && (shares == "hostNetwork" || is_of_ipc(&dotted)) {
            faults.push(Error::invalid(&path, name, format!("may not be specified when '{shares}' is true")));
        }
        seen.insert(name);
    }
    faults
}

fn is_sysctl(name: &str) -> bool {
    let is_end = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.len() <= LONGEST_SYSCTL
        && name.split(['.', '/']).all(|segment| {
            let bytes = segment.as_bytes();
            bytes.first().is_some_and(is_end)
                && bytes.last().is_some_and(is_end)
                && bytes.iter().all(|b| is_end(b) || matches!(b, b'-' | b'_'))
        })
}

/// Whether a kernel parameter belongs to a namespace of inter-process communication.
fn is_of_ipc(name: &str) -> bool {
    name.starts_with("fs.mqueue.")
        || matches!(
            name,
            "kernel.sem"
                | "kernel.shmall"
                | "kernel.shmmax"
                | "kernel.shmmni"
                | "kernel.shm_rmid_forced"
                | "kernel.shm"
                | "kernel.msgmax"
                | "kernel.msgmnb"
                | "kernel.msgmni"
                | "kernel.msg"
        )
}

fn validate_seccomp(path: &Path, context: &Value) -> Vec<Error> {
    let Some(profile) = given(context, "seccompProfile") else { return Vec::new() };
    let mut faults = Vec::new();
    let kind = text(profile, "type");
    if kind.is_empty() {
        faults.push(Error::required(&path.child("type"), "type is required when seccompProfile is set"));
    } else if !PROFILES.contains(&kind) {
        faults.push(Error::not_supported(&path.child("type"), kind, PROFILES));
    }
    let at_profile = path.child("localhostProfile");
    match given(profile, "localhostProfile").and_then(Value::as_str) {
        None if kind == "Localhost" => {
            faults.push(Error::required(&at_profile, "must be set when seccomp type is Localhost"));
        }
        None => {}
        Some(file) if kind == "Localhost" => faults.extend(paths::descending(&at_profile, file)),
        Some(_) => {
            let detail = "can only be set when seccomp type is Localhost";
            faults.push(
                Error::invalid(&at_profile, Value::Null, detail)
                    .printed_as(printed::compact("SeccompProfile", profile)),
            );
        }
    }
    faults
}

fn validate_app_armor(path: &Path, context: &Value) -> Vec<Error> {
    const NEEDED: &str = "must be set when AppArmor type is Localhost";
    let Some(profile) = given(context, "appArmorProfile") else { return Vec::new() };
    let name = given(profile, "localhostProfile").and_then(Value::as_str);
    let at_profile = path.child("localhostProfile");
    let mut faults = Vec::new();
    match (text(profile, "type"), name) {
        ("Localhost", None) => faults.push(Error::required(&at_profile, NEEDED)),
        ("Localhost", Some(name)) => {
            if name.trim() != name {
                faults.push(Error::invalid(&at_profile, name, "must not be padded with whitespace"));
            } else if name.is_empty() {
                faults.push(Error::required(&at_profile, NEEDED));
            }
            if name.len() > LONGEST_PROFILE {
                faults.push(Error::too_long(&at_profile, LONGEST_PROFILE));
            }
        }
        ("RuntimeDefault" | "Unconfined", Some(name)) => {
            faults.push(Error::invalid(&at_profile, name, "can only be set when AppArmor type is Localhost"));
        }
        ("RuntimeDefault" | "Unconfined", None) => {}
        ("", _) => faults.push(Error::required(&path.child("type"), "type is required when appArmorProfile is set")),
        (other, _) => faults.push(Error::not_supported(&path.child("type"), other, PROFILES)),
    }
    faults
}

/// The faults of a Pod with users of its own that shares more with its node than that allows.
pub(super) fn validate_host_users(path: &Path, spec: &Value) -> Vec<Error> {
    const DETAIL: &str = "when `hostUsers` is false";
    if at(spec, "hostUsers") != &Value::Bool(false) {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for (field, named) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if flag(spec, field) {
            faults.push(Error::forbidden(&path.child(named), DETAIL));
        }
    }
    for (container, path) in all_containers(spec, path) {
        if !list(container, "volumeDevices").is_empty() {
            faults.push(Error::forbidden(&path.child("volumeDevices"), DETAIL));
        }
    }
    faults
}
