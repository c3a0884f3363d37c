//! A container's environment, and everything else that a specification fills in from elsewhere: `$(VAR)`, fields of the
//! Pod, ConfigMaps and Secrets, Services.

pub mod error;
pub mod expansion;
pub mod fields;
pub mod objects;
pub mod services;
pub mod tokens;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, Pod};

use self::error::EnvironmentError;
use self::fields::Facts;
use self::objects::Objects;
use crate::sources::ServiceAddress;

/// The variables of a container, each once: `envFrom`, then `env` in order, then those of Services that were not set.
///
/// # Errors
/// Something that has to be there is not.
pub fn of(
    container: &Container,
    pod: &Pod,
    facts: &Facts,
    objects: &Objects,
    services: &[ServiceAddress],
) -> Result<Vec<(String, String)>, EnvironmentError> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let links = pod.spec.as_ref().and_then(|s| s.enable_service_links).unwrap_or(true);
    let of_services = services::variables(services, namespace, links);
    let mut variables = Variables::default();
    for source in container.env_from.iter().flatten() {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let values = if let Some(reference) = &source.config_map_ref {
            objects.whole_config_map(&reference.name, reference.optional.unwrap_or(false))?
        } else if let Some(reference) = &source.secret_ref {
            objects.whole_secret(&reference.name, reference.optional.unwrap_or(false))?
        } else {
            BTreeMap::new()
        };
        for (key, value) in values {
            let name = format!("{prefix}{key}");
            // What cannot be a variable's name is left out, as kubelet does.
            if !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0') {
                variables.set(name, value);
            }
        }
    }
    for variable in container.env.iter().flatten() {
        let known = |name: &str| variables.get(name).or_else(|| of_services.get(name).map(String::as_str));
        let value = match (&variable.value, &variable.value_from) {
            (Some(value), _) if !value.is_empty() => Some(expansion::expand(value, known)),
            (_, Some(source)) => from_source(variable, source, container, pod, facts, objects)?,
            _ => Some(String::new()),
        };
        if let Some(value) = value {
            variables.set(variable.name.clone(), value);
        }
    }
    for (name, value) in of_services {
        if variables.get(&name).is_none() {
            variables.set(name, value);
        }
    }
    Ok(variables.list)
}

/// `None` for an optional reference to what is not there.
fn from_source(
    variable: &EnvVar,
    source: &EnvVarSource,
    container: &Container,
    pod: &Pod,
    facts: &Facts,
    objects: &Objects,
) -> Result<Option<String>, EnvironmentError> {
    if let Some(field) = &source.field_ref {
        return fields::of_pod(pod, facts, &field.field_path)
            .map(Some)
            .ok_or_else(|| EnvironmentError::UnknownField(field.field_path.clone()));
    }
    if let Some(resource) = &source.resource_field_ref {
        let owner = fields::container_of(pod, resource.container_name.as_deref()).unwrap_or(container);
        return fields::of_resources(owner, facts, &resource.resource, resource.divisor.as_ref())
            .map(|value| Some(value.to_string()))
            .ok_or_else(|| EnvironmentError::UnknownField(resource.resource.clone()));
    }
    if let Some(key) = &source.config_map_key_ref {
        return objects.config_map_key(&key.name, &key.key, key.optional.unwrap_or(false));
    }
    if let Some(key) = &source.secret_key_ref {
        return objects.secret_key(&key.name, &key.key, key.optional.unwrap_or(false));
    }
    Err(EnvironmentError::UnknownSource(variable.name.clone()))
}

/// Variables in the order in which they were first set, each with the value that it was given last.
#[derive(Default)]
struct Variables {
    list: Vec<(String, String)>,
    places: BTreeMap<String, usize>,
}

impl Variables {
    fn get(&self, name: &str) -> Option<&str> {
        self.places.get(name).and_then(|n| self.list.get(*n)).map(|(_, value)| value.as_str())
    }

    fn set(&mut self, name: String, value: String) {
        match self.places.get(&name).and_then(|n| self.list.get_mut(*n)) {
            Some(place) => place.1 = value,
            None => {
                self.places.insert(name.clone(), self.list.len());
                self.list.push((name, value));
            }
        }
    }
}

#[cfg(test)]
mod tests;
