//! The bundle of one start of a container. Pure: what it needs has been fetched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{Container, ContainerPort, Pod, VolumeMount};

use super::identity;
use super::specification::SpecificationError;
use super::stop::signal_number;
use crate::bundle::{Bundle, Cgroup, LogFile, Mount, Process, Root};
use crate::config::Limits;
use crate::environment::expansion::expand;
use crate::images::{Image, Store, builtin};
use crate::layout::{ContainerDir, PodDir};
use crate::sandbox::{Sandbox, Sandboxes};
use crate::volumes::Ready;

/// Where a container finds programs when neither its image nor its specification says so.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a bundle is made of.
pub struct Parts<'a> {
    /// The Pod.
    pub pod: &'a Pod,
    /// The container, which is one of the Pod's.
    pub container: &'a Container,
    /// Its image.
    pub image: &'a Image,
    /// Where the image is.
    pub store: &'a Store,
    /// The Pod's directories.
    pub pod_dir: &'a PodDir,
    /// The start's directories.
    pub dir: &'a ContainerDir,
    /// A fresh id.
    pub container_id: String,
    /// What the Pod's containers share.
    pub sandbox: &'a Sandbox,
    /// The Pod's volumes.
    pub volumes: &'a BTreeMap<String, Ready>,
    /// Variables of the specification and of Services.
    pub environment: Vec<(String, String)>,
    /// The start's control groups.
    pub cgroups: Vec<Cgroup>,
    /// Bounds of growth.
    pub limits: &'a Limits,
    /// This program.
    pub program: &'a Path,
    /// Of its first process.
    pub oom_score_adj: i32,
}

/// Makes the bundle.
///
/// # Errors
/// The specification asks for what cannot be.
pub fn bundle(parts: Parts<'_>) -> Result<Bundle, SpecificationError> {
    if let Some(feature) = unsupported(parts.pod, parts.container) {
        return Err(SpecificationError::Unsupported(feature));
    }
    let config = &parts.image.config;
    let rights = identity::rights(parts.pod, parts.container, config.user.as_deref().unwrap_or_default())?;
    let env = environment(&parts);
    let process = Process {
        args: command(parts.container, &parts, &env),
        cwd: working_dir(&parts),
        user: rights.user,
        capabilities: rights.capabilities,
        no_new_privileges: rights.no_new_privileges,
        confined: !rights.privileged && seccomp(parts.pod, parts.container) == Some("RuntimeDefault"),
        terminal: parts.container.tty.unwrap_or(false),
        stdin: parts.container.stdin.unwrap_or(false),
        oom_score_adj: Some(parts.oom_score_adj),
        env,
    };
    let built_in = parts.image.layers.is_empty();
    Ok(Bundle {
        namespaces: Sandboxes::namespaces(parts.pod_dir, parts.sandbox),
        root: Root {
            store: parts.store.layers(),
            layers: parts.image.layers.iter().rev().map(|l| format!("{l}/fs")).collect(),
            in_use: (!built_in).then(|| parts.store.in_use(parts.image)),
            upper: parts.dir.state.join("upper"),
            work: parts.dir.state.join("work"),
            target: parts.dir.state.join("root"),
            read_only: rights.read_only_root,
        },
        mounts: mounts(&parts, rights.read_only_root, rights.privileged, &process.env)?,
        process,
        privileged: rights.privileged,
        log: LogFile { path: parts.dir.log(), max_bytes: parts.limits.log_bytes, max_files: parts.limits.log_files },
        record: parts.dir.record(),
        image: parts.container.image.clone().unwrap_or_default(),
        image_id: parts.image.id.clone(),
        stop_signal: stop_signal(parts.container, parts.image)?,
        container_id: parts.container_id,
        cgroups: parts.cgroups,
    })
}

/// What would have to be done and is not: said, rather than left out in silence.
fn unsupported(pod: &Pod, container: &Container) -> Option<&'static str> {
    let spec = pod.spec.as_ref()?;
    let own = container.security_context.as_ref();
    let asked = [
        ("hostPID", spec.host_pid == Some(true)),
        ("shareProcessNamespace", spec.share_process_namespace == Some(true)),
        ("hostUsers: false", spec.host_users == Some(false)),
        ("runtimeClassName", spec.runtime_class_name.is_some()),
        ("hostPort", spec.host_network != Some(true) && container.ports.iter().flatten().any(has_host_port)),
        ("volumeDevices", container.volume_devices.as_ref().is_some_and(|d| !d.is_empty())),
        ("procMount: Unmasked", own.is_some_and(|s| s.proc_mount.as_deref() == Some("Unmasked"))),
        ("a seccompProfile of the type Localhost", seccomp(pod, container) == Some("Localhost")),
    ];
    asked.into_iter().find(|(_, is)| *is).map(|(name, _)| name)
}

fn has_host_port(port: &ContainerPort) -> bool {
    port.host_port.is_some_and(|number| number != 0)
}

/// The container's own choice before the image's; SIGTERM where neither says one.
fn stop_signal(container: &Container, image: &Image) -> Result<i32, SpecificationError> {
    let own = container.lifecycle.as_ref().and_then(|l| l.stop_signal.as_deref());
    let name = own.or(image.config.stop_signal.as_deref()).filter(|name| !name.is_empty());
    let Some(name) = name else { return Ok(libc::SIGTERM) };
    signal_number(name).ok_or_else(|| SpecificationError::UnknownSignal(name.to_owned()))
}

/// The type of the container's seccomp profile, its own before the Pod's.
fn seccomp<'a>(pod: &'a Pod, container: &'a Container) -> Option<&'a str> {
    let own = container.security_context.as_ref().and_then(|s| s.seccomp_profile.as_ref());
    let of_pod = || pod.spec.as_ref()?.security_context.as_ref()?.seccomp_profile.as_ref();
    own.or_else(of_pod).map(|profile| profile.type_.as_str())
}

fn environment(parts: &Parts<'_>) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = vec![("PATH".into(), PATH.into())];
    all.push(("HOSTNAME".into(), parts.sandbox.hostname.clone()));
    let of_image = parts.image.config.env.iter().flatten();
    let of_image = of_image.filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned()));
    for (name, value) in of_image.chain(parts.environment.iter().cloned()) {
        match all.iter_mut().find(|(known, _)| *known == name) {
            Some(place) => place.1 = value,
            None => all.push((name, value)),
        }
    }
    all
}

/// `command` takes the place of the image's entrypoint and of its arguments; `args` of the arguments alone.
fn command(container: &Container, parts: &Parts<'_>, env: &[(String, String)]) -> Vec<String> {
    let set = |list: &Option<Vec<String>>| list.clone().filter(|l| !l.is_empty());
    let known = |name: &str| env.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str());
    let expanded = |list: Vec<String>| list.iter().map(|word| expand(word, known)).collect::<Vec<_>>();
    let config = &parts.image.config;
    let (own, args) = (set(&container.command).map(expanded), set(&container.args).map(expanded));
    let has_command = own.is_some();
    let mut all = own.or_else(|| config.entrypoint.clone()).unwrap_or_default();
    match args {
        Some(args) => all.extend(args),
        None if !has_command => all.extend(config.cmd.clone().unwrap_or_default()),
        None => {}
    }
    all
}

fn working_dir(parts: &Parts<'_>) -> PathBuf {
    let own = parts.container.working_dir.as_ref().filter(|d| !d.is_empty());
    let chosen = own.or_else(|| parts.image.config.working_dir.as_ref().filter(|d| !d.is_empty()));
    Path::new("/").join(chosen.map_or("/", String::as_str))
}

/// What is mounted into the root, those first that others lie in.
fn mounts(
    parts: &Parts<'_>,
    read_only: bool,
    privileged: bool,
    env: &[(String, String)],
) -> Result<Vec<Mount>, SpecificationError> {
    let plain = |source: PathBuf, target: &str, read_only| Mount {
        source,
        sub_path: None,
        target: target.into(),
        read_only,
        recursive: false,
        devices: false,
    };
    let mut all = vec![plain(parts.pod_dir.shm(), "/dev/shm", false)];
    for name in ["hosts", "hostname", "resolv.conf"] {
        all.push(plain(parts.pod_dir.etc(name), &format!("/etc/{name}"), read_only));
    }
    let message = parts.container.termination_message_path.as_deref().unwrap_or("/dev/termination-log");
    all.push(plain(parts.dir.termination_log(), message, false));
    if parts.image.layers.is_empty() {
        all.push(plain(parts.program.to_owned(), builtin::PROGRAM, true));
        let shown = builtin::libraries().into_iter();
        all.extend(shown.map(|path| plain(path.clone(), &path.to_string_lossy(), true)));
    }
    for wanted in parts.container.volume_mounts.iter().flatten() {
        let mount = of_volume(wanted, parts, privileged, env)?;
        // What the Pod itself mounts goes before what every container has.
        all.retain(|other| other.target != mount.target);
        all.push(mount);
    }
    all.sort_by_key(|mount| mount.target.components().count());
    Ok(all)
}

fn of_volume(
    wanted: &VolumeMount,
    parts: &Parts<'_>,
    privileged: bool,
    env: &[(String, String)],
) -> Result<Mount, SpecificationError> {
    let no_volume = || SpecificationError::NoSuchVolume(wanted.name.clone());
    let volume = parts.volumes.get(&wanted.name).ok_or_else(no_volume)?;
    let propagation = wanted.mount_propagation.as_deref().unwrap_or("None");
    if propagation != "None" {
        return Err(SpecificationError::Unsupported("mountPropagation other than None"));
    }
    let known = |name: &str| env.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str());
    let written = wanted.sub_path.clone().filter(|p| !p.is_empty());
    let sub_path = written.or_else(|| wanted.sub_path_expr.as_ref().map(|expr| expand(expr, known)));
    let sub_path = sub_path.filter(|p| !p.is_empty());
    if let Some(path) = sub_path.as_ref().filter(|p| !is_within(p)) {
        return Err(SpecificationError::BadSubPath(path.clone()));
    }
    Ok(Mount {
        source: volume.path.clone(),
        sub_path: sub_path.map(PathBuf::from),
        target: Path::new("/").join(&wanted.mount_path),
        read_only: volume.read_only || wanted.read_only.unwrap_or(false),
        recursive: volume.of_node,
        devices: volume.of_node && privileged,
    })
}

fn is_within(path: &str) -> bool {
    Path::new(path).components().all(|c| matches!(c, std::path::Component::Normal(_)))
}

#[cfg(test)]
mod tests;
