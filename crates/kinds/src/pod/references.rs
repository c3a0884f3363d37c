//! Which Secrets and ConfigMaps a Pod names.

use serde_json::Value;

use crate::document::{at, list, text};

/// What a Pod names, in its own namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// Secrets: in the environment, in volumes, for registries.
    pub secrets: Vec<String>,
    /// ConfigMaps: in the environment and in volumes.
    pub config_maps: Vec<String>,
}

/// All that a Pod names.
pub fn references(pod: &Value) -> References {
    let spec = at(pod, "spec");
    let mut found = References::default();
    found.secrets.extend(list(spec, "imagePullSecrets").iter().map(|secret| text(secret, "name").to_owned()));
    for containers in ["initContainers", "containers", "ephemeralContainers"] {
        for container in list(spec, containers) {
            for source in list(container, "envFrom") {
                found.add(source, "secretRef", "configMapRef");
            }
            for variable in list(container, "env") {
                found.add(at(variable, "valueFrom"), "secretKeyRef", "configMapKeyRef");
            }
        }
    }
    for volume in list(spec, "volumes") {
        found.add_volume(volume);
    }
    for names in [&mut found.secrets, &mut found.config_maps] {
        names.retain(|name| !name.is_empty());
        names.sort_unstable();
        names.dedup();
    }
    found
}

impl References {
    fn add(&mut self, source: &Value, secret: &str, config_map: &str) {
        self.secrets.push(text(at(source, secret), "name").to_owned());
        self.config_maps.push(text(at(source, config_map), "name").to_owned());
    }

    fn add_volume(&mut self, volume: &Value) {
        self.secrets.push(text(at(volume, "secret"), "secretName").to_owned());
        self.secrets.push(text(at(volume, "azureFile"), "secretName").to_owned());
        self.config_maps.push(text(at(volume, "configMap"), "name").to_owned());
        for source in list(at(volume, "projected"), "sources") {
            self.add(source, "secret", "configMap");
        }
        // All other kinds of volumes name the Secret that opens them in the same way.
        for source in volume.as_object().into_iter().flat_map(|sources| sources.values()) {
            self.secrets.push(text(at(source, "secretRef"), "name").to_owned());
            self.secrets.push(text(at(source, "nodePublishSecretRef"), "name").to_owned());
        }
    }
}
