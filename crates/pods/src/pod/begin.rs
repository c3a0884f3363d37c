//! Starting one container of a Pod, from its image to its record.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use rand::RngCore;

use super::state::Ended;
use crate::bundle::{Bundle, FaultKind, Record};
use crate::cgroups::limits::{Limits, oom_score_adj};
use crate::container::build::{Parts, bundle};
use crate::container::{attempts, image, start};
use crate::environment;
use crate::environment::objects::References;
use crate::host::Host;
use crate::images::Image;
use crate::layout::{ContainerDir, PodDir};
use crate::sandbox::Sandbox;
use crate::volumes::Ready;

/// What a start needs.
pub struct Start {
    /// The node.
    pub host: Arc<Host>,
    /// The Pod's directories.
    pub dir: PodDir,
    /// The Pod.
    pub pod: Arc<Pod>,
    /// The container.
    pub container: Container,
    /// Which start, from 0.
    pub attempt: u32,
    /// What the containers share.
    pub sandbox: Sandbox,
    /// The Pod's volumes.
    pub volumes: BTreeMap<String, Ready>,
}

/// Why a container does not run.
#[derive(Clone, Debug, PartialEq)]
pub enum NotStarted {
    /// It waits, and is tried again: reason and message.
    Waits {
        /// Such as `CreateContainerConfigError`.
        reason: &'static str,
        /// In words.
        message: String,
        /// Whether it is for want of an image: that is looked for again soon.
        image: bool,
    },
    /// Its program could not be executed, which counts as an end.
    Ended(Box<Ended>),
}

impl NotStarted {
    fn config(message: impl ToString) -> Self {
        Self::Waits { reason: "CreateContainerConfigError", message: message.to_string(), image: false }
    }

    fn machine(message: impl ToString) -> Self {
        Self::Waits { reason: "CreateContainerError", message: message.to_string(), image: false }
    }
}

/// Starts it.
///
/// # Errors
/// It does not run; nothing of it does then.
pub async fn begin(start: Start) -> Result<Record, NotStarted> {
    let dir = start.dir.container(&start.container.name, start.attempt).map_err(NotStarted::config)?;
    let variables = environment_of(&start).await?;
    let host = Arc::clone(&start.host);
    let Ok(_room) = host.starting.acquire().await else {
        return Err(NotStarted::machine("the node is ending"));
    };
    let prepared = tokio::task::spawn_blocking({
        let dir = dir.clone();
        move || prepare(&start, &dir, variables)
    });
    let bundle = prepared.await.map_err(NotStarted::machine)??;
    match start::run(&host.config.program, &dir, host.config.timing.start_deadline).await {
        Ok(record) => Ok(record),
        Err(error) => Err(match error.kind() {
            FaultKind::Specification => NotStarted::config(error),
            FaultKind::Machine => NotStarted::machine(error),
            FaultKind::Program => NotStarted::Ended(Box::new(not_executed(&bundle, &error.to_string()))),
        }),
    }
}

async fn environment_of(start: &Start) -> Result<Vec<(String, String)>, NotStarted> {
    let namespace = start.pod.metadata.namespace.clone().unwrap_or_default();
    let references = References::of_container(&start.container);
    let objects = references.fetch(&namespace, start.host.sources.as_ref()).await.map_err(NotStarted::config)?;
    let services = start.host.sources.services(&namespace);
    let facts = start.host.facts(start.sandbox.address.map(Into::into));
    environment::of(&start.container, &start.pod, &facts, &objects, &services).map_err(NotStarted::config)
}

fn prepare(start: &Start, dir: &ContainerDir, variables: Vec<(String, String)>) -> Result<Bundle, NotStarted> {
    let (host, pod, container) = (&start.host, &start.pod, &start.container);
    let image = find_image(start)?;
    // The start before this one is kept for `kubectl logs --previous`; one of this number was in vain.
    attempts::remove_before(&start.dir, &container.name, start.attempt.saturating_sub(1))
        .map_err(NotStarted::machine)?;
    crate::mounts::remove_tree(&dir.state).map_err(NotStarted::machine)?;
    let uid = pod.metadata.uid.as_deref().unwrap_or_default();
    let group = format!("{}-{}", container.name, start.attempt);
    let (of_pod, own) = (Limits::of_pod(pod), Limits::of_container(container));
    let cgroups = host.cgroups.create(uid, &group, &of_pod, &own).map_err(NotStarted::machine)?;
    let bundle = bundle(Parts {
        pod,
        container,
        image: &image,
        store: &host.images,
        pod_dir: &start.dir,
        dir,
        container_id: fresh_id(),
        sandbox: &start.sandbox,
        volumes: &start.volumes,
        environment: variables,
        cgroups,
        limits: &host.config.limits,
        program: &host.config.program,
        oom_score_adj: oom_score_adj(pod, container, host.memory()),
    })
    .map_err(NotStarted::config)?;
    start::lay_out(dir, &bundle).map_err(NotStarted::machine)?;
    Ok(bundle)
}

fn find_image(start: &Start) -> Result<Image, NotStarted> {
    let found = image::find(&start.host.images, &start.container);
    found.map_err(|missing| NotStarted::Waits { reason: missing.reason, message: missing.message, image: true })
}

fn not_executed(bundle: &Bundle, message: &str) -> Ended {
    Ended {
        id: bundle.container_id.clone(),
        image: bundle.image.clone(),
        image_id: bundle.image_id.clone(),
        code: 128,
        signal: None,
        reason: "StartError",
        message: message.to_owned(),
        started_at: None,
        finished_at: Timestamp::now(),
    }
}

/// 64 hexadecimal digits.
fn fresh_id() -> String {
    let mut bytes = [0; 32];
    rand::rng().fill_bytes(&mut bytes);
    crate::images::archive::hex(&bytes)
}
