//! The ReplicaSets of a Deployment while a plan is made, and the writes that make them so.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::bounds::Bounds;
use crate::change::{Act, Change, DEPLOYMENTS, Deletion, Note, Part, REPLICA_SETS, Reference, controller_reference};
use crate::objects::workload::{POD_TEMPLATE_HASH, ReplicaSetStatus};
use crate::objects::{Deployment, LAST_APPLIED, Meta, ReplicaSet};

/// Which rollout of its Deployment a ReplicaSet is, counted from 1; on the Deployment, the present one.
pub const REVISION: &str = "deployment.kubernetes.io/revision";
/// Which rollouts it was before it was rolled back to.
pub const REVISION_HISTORY: &str = "deployment.kubernetes.io/revision-history";
/// The size of its Deployment when it was scaled last.
pub const DESIRED_REPLICAS: &str = "deployment.kubernetes.io/desired-replicas";
/// The most Pods that its Deployment could have then.
pub const MAX_REPLICAS: &str = "deployment.kubernetes.io/max-replicas";
const ROLLBACK_TO: &str = "deprecated.deployment.rollback.rollback-to";

/// The longest history of revisions that is kept, in characters.
const LONGEST_HISTORY: usize = 2000;

/// A ReplicaSet as it should be.
#[derive(Debug)]
pub struct Set<'a> {
    /// The ReplicaSet that there is; `None`: it is to be made.
    pub held: Option<&'a ReplicaSet>,
    /// Its name.
    pub name: String,
    /// Its size.
    pub replicas: i32,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its `minReadySeconds`.
    pub min_ready_seconds: i32,
    /// Whether it is to be deleted.
    pub discarded: bool,
}

static NO_STATUS: ReplicaSetStatus = ReplicaSetStatus {
    replicas: 0,
    fully_labeled_replicas: 0,
    ready_replicas: 0,
    available_replicas: 0,
    terminating_replicas: None,
    observed_generation: 0,
    conditions: Vec::new(),
};

impl<'a> Set<'a> {
    /// A ReplicaSet that there is, as it is.
    pub fn held(set: &'a ReplicaSet) -> Self {
        Self {
            held: Some(set),
            name: set.name().to_owned(),
            replicas: set.replicas(),
            annotations: set.metadata.annotations.clone().unwrap_or_default(),
            min_ready_seconds: set.spec.min_ready_seconds.unwrap_or(0),
            discarded: false,
        }
    }

    /// What it says of its Pods.
    pub fn status(&self) -> &'a ReplicaSetStatus {
        self.held.map_or(&NO_STATUS, |set| &set.status)
    }

    /// When it was made; a new one is younger than all.
    pub fn created(&self) -> Option<Timestamp> {
        match self.held {
            Some(set) => set.metadata.creation_timestamp.as_ref().map(|time| time.0),
            None => Some(Timestamp::MAX),
        }
    }

    /// How many of its Pods can be counted on: those that it has too many are on their way out.
    pub fn available(&self) -> i32 {
        self.status().available_replicas.min(self.replicas)
    }

    /// Its revision, 0 when it has none.
    pub fn revision(&self) -> i64 {
        self.annotations.get(REVISION).and_then(|revision| revision.parse().ok()).unwrap_or(0)
    }

    /// Gives it another size, and notes for which size of the Deployment. Tells whether the size changed.
    pub fn scale(&mut self, replicas: i32, bounds: Bounds) -> bool {
        let changed = self.replicas != replicas;
        self.replicas = replicas;
        self.note_size(bounds);
        changed
    }

    fn note_size(&mut self, bounds: Bounds) {
        self.annotations.insert(DESIRED_REPLICAS.to_owned(), bounds.replicas.to_string());
        self.annotations.insert(MAX_REPLICAS.to_owned(), bounds.most().to_string());
    }

    /// Makes it the present one: its revision is above all others', and the Deployment's annotations and
    /// `minReadySeconds` are its own.
    pub fn make_current(&mut self, deployment: &Deployment, newest_old: i64) {
        const OWN: [&str; 6] = [LAST_APPLIED, REVISION, REVISION_HISTORY, DESIRED_REPLICAS, MAX_REPLICAS, ROLLBACK_TO];
        for (key, value) in deployment.metadata.annotations.iter().flatten() {
            if !OWN.contains(&key.as_str()) {
                self.annotations.insert(key.clone(), value.clone());
            }
        }
        self.min_ready_seconds = deployment.spec.min_ready_seconds.unwrap_or(0);
        let (before, revision) = (self.annotations.get(REVISION).cloned(), newest_old.saturating_add(1));
        if self.revision() >= revision {
            return;
        }
        if let Some(before) = before {
            let history = self.annotations.get(REVISION_HISTORY).map(String::as_str).unwrap_or_default();
            self.annotations.insert(REVISION_HISTORY.to_owned(), appended(history, &before));
        }
        self.annotations.insert(REVISION.to_owned(), revision.to_string());
    }

    /// The change that makes it so, if any is needed, and what to say of it.
    pub fn change(&self, deployment: &Deployment) -> Option<(Change, Option<Note>)> {
        let about = || Reference::to(DEPLOYMENTS, deployment);
        let scaled = |word: &str, from: i32| {
            let message = format!("Scaled {word} replica set {} from {from} to {}", self.name, self.replicas);
            Note::normal(about(), "ScalingReplicaSet", message)
        };
        let Some(set) = self.held else {
            return Some((self.creation(deployment), (self.replicas > 0).then(|| scaled("up", 0))));
        };
        if self.discarded {
            // Only if nobody has scaled it up meanwhile.
            let resource_version = Some(set.resource_version().to_owned());
            let deletion = Deletion { uid: Some(set.uid().to_owned()), resource_version, ..Deletion::default() };
            return Some((Change::on(REPLICA_SETS, set, Act::Delete(deletion)), None));
        }
        let mut patch = json!({});
        if self.replicas != set.replicas() {
            patch["spec"]["replicas"] = json!(self.replicas);
        }
        if self.min_ready_seconds != set.spec.min_ready_seconds.unwrap_or(0) {
            patch["spec"]["minReadySeconds"] = json!(self.min_ready_seconds);
        }
        for (key, value) in &self.annotations {
            if set.annotation(key) != Some(value) {
                patch["metadata"]["annotations"][key] = json!(value);
            }
        }
        if patch == json!({}) {
            return None;
        }
        // What is decided here is decided from its status: if that is another by now, it is decided again.
        patch["metadata"]["resourceVersion"] = json!(set.resource_version());
        let note = match self.replicas - set.replicas() {
            0 => None,
            more if more > 0 => Some(scaled("up", set.replicas())),
            _ => Some(scaled("down", set.replicas())),
        };
        Some((Change::merge(REPLICA_SETS, set, Part::Main, patch), note))
    }

    fn creation(&self, deployment: &Deployment) -> Change {
        let hash = self.name.rsplit('-').next().unwrap_or_default();
        let mut template = deployment.spec.template.document.value();
        template["metadata"]["labels"][POD_TEMPLATE_HASH] = json!(hash);
        let mut selector = crate::change::document(&deployment.spec.selector);
        selector["matchLabels"][POD_TEMPLATE_HASH] = json!(hash);
        let set: Value = json!({
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": self.name,
                "namespace": deployment.namespace(),
                "labels": template["metadata"]["labels"],
                "annotations": self.annotations,
                "ownerReferences": [controller_reference(DEPLOYMENTS, deployment)],
            },
            "spec": {
                "replicas": self.replicas,
                "minReadySeconds": self.min_ready_seconds,
                "selector": selector,
                "template": template,
            },
        });
        Change::create(REPLICA_SETS, &set)
    }

    /// The ReplicaSet of the present template, of size 0.
    pub fn new(deployment: &Deployment, bounds: Bounds) -> Self {
        let mut set = Self {
            held: None,
            name: new_name(deployment),
            replicas: 0,
            annotations: BTreeMap::new(),
            min_ready_seconds: 0,
            discarded: false,
        };
        set.note_size(bounds);
        set
    }
}

/// A history with one revision more; the oldest go when it becomes too long.
fn appended(history: &str, revision: &str) -> String {
    let mut history = if history.is_empty() { revision.to_owned() } else { format!("{history},{revision}") };
    while history.len() > LONGEST_HISTORY {
        match history.split_once(',') {
            Some((_, rest)) => history = rest.to_owned(),
            None => break,
        }
    }
    history
}

/// The name of the ReplicaSet of a Deployment's present template.
pub fn new_name(deployment: &Deployment) -> String {
    const LONGEST: usize = 253;
    let hash = template_hash(deployment.spec.template.document.text(), deployment.status.collision_count);
    // Names are ASCII, so that every index is between two characters.
    let name = deployment.name();
    let name = name.get(..name.len().min(LONGEST - 1 - hash.len())).unwrap_or(name);
    format!("{name}-{hash}")
}

/// A name for a template: the same for equal templates, another after each collision. Without vowels, so that it spells
/// nothing, and without digits that look like letters.
fn template_hash(template: &str, collisions: Option<i32>) -> String {
    const SAFE: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut hasher = Sha256::new();
    hasher.update(template.as_bytes());
    if let Some(collisions) = collisions {
        hasher.update(collisions.to_le_bytes());
    }
    hasher.finalize().iter().take(10).map(|byte| char::from(SAFE[usize::from(*byte) % SAFE.len()])).collect()
}
