//! The files of a volume that comes from the cluster. Pure.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use k8s_openapi::api::core::v1::{ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, Secret, Volume, VolumeProjection};

use super::cause::Cause;
use crate::environment::error::EnvironmentError;
use crate::environment::fields::{self, Facts};
use crate::environment::objects::{Objects, TokenKey};

/// Paths within the volume, each with its bytes and rights.
pub type Content = BTreeMap<String, File>;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its permission bits.
    pub mode: u32,
}

/// Rights of files for which nothing else is said.
const DEFAULT_MODE: i32 = 0o644;

/// The files of a volume; `None` for a kind whose content does not come from the cluster.
pub fn of(volume: &Volume, pod: &Pod, facts: &Facts, objects: &Objects) -> Result<Option<Content>, Cause> {
    if let Some(source) = &volume.config_map {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        let found = objects.config_map(&source.name);
        return config_map(&source.name, found, source.items.as_deref(), mode, source.optional).map(Some);
    }
    if let Some(source) = &volume.secret {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        let name = source.secret_name.clone().unwrap_or_default();
        return secret(&name, objects.secret(&name), source.items.as_deref(), mode, source.optional).map(Some);
    }
    if let Some(source) = &volume.downward_api {
        let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
        return downward(source.items.as_deref(), pod, facts, mode).map(Some);
    }
    let Some(source) = &volume.projected else { return Ok(None) };
    let mode = source.default_mode.unwrap_or(DEFAULT_MODE);
    let mut all = Content::new();
    for projection in source.sources.iter().flatten() {
        all.extend(projected(projection, pod, facts, objects, mode)?);
    }
    Ok(Some(all))
}

fn projected(
    projection: &VolumeProjection,
    pod: &Pod,
    facts: &Facts,
    objects: &Objects,
    mode: i32,
) -> Result<Content, Cause> {
    if let Some(source) = &projection.config_map {
        let found = objects.config_map(&source.name);
        return config_map(&source.name, found, source.items.as_deref(), mode, source.optional);
    }
    if let Some(source) = &projection.secret {
        return secret(&source.name, objects.secret(&source.name), source.items.as_deref(), mode, source.optional);
    }
    if let Some(source) = &projection.downward_api {
        return downward(source.items.as_deref(), pod, facts, mode);
    }
    if let Some(source) = &projection.service_account_token {
        let missing = || Cause::MissingKey(source.path.clone());
        let token = objects.token(&TokenKey::of(source)).ok_or_else(missing)?;
        let file = File { bytes: token.as_bytes().to_vec(), mode: bits(mode) };
        return Ok(Content::from([(plain(&source.path)?, file)]));
    }
    Err(Cause::Unsupported("projected with such a source"))
}

fn config_map(
    name: &str,
    found: Option<&ConfigMap>,
    items: Option<&[KeyToPath]>,
    mode: i32,
    optional: Option<bool>,
) -> Result<Content, Cause> {
    let optional = optional.unwrap_or(false);
    if found.is_none() && !optional {
        return Err(EnvironmentError::Missing { kind: "configmap", name: name.to_owned() }.into());
    }
    let texts = found.iter().flat_map(|c| c.data.iter().flatten()).map(|(k, v)| (k.clone(), v.clone().into_bytes()));
    let binary = found.iter().flat_map(|c| c.binary_data.iter().flatten()).map(|(k, v)| (k.clone(), v.0.clone()));
    chosen(texts.chain(binary).collect(), items, mode, optional)
}

fn secret(
    name: &str,
    found: Option<&Secret>,
    items: Option<&[KeyToPath]>,
    mode: i32,
    optional: Option<bool>,
) -> Result<Content, Cause> {
    let optional = optional.unwrap_or(false);
    if found.is_none() && !optional {
        return Err(EnvironmentError::Missing { kind: "secret", name: name.to_owned() }.into());
    }
    let values = found.iter().flat_map(|s| s.data.iter().flatten()).map(|(k, v)| (k.clone(), v.0.clone()));
    chosen(values.collect(), items, mode, optional)
}

/// All keys under their own names, or the chosen ones under theirs.
fn chosen(
    mut values: BTreeMap<String, Vec<u8>>,
    items: Option<&[KeyToPath]>,
    mode: i32,
    optional: bool,
) -> Result<Content, Cause> {
    let Some(items) = items.filter(|i| !i.is_empty()) else {
        let named = |(key, bytes): (String, Vec<u8>)| Ok((plain(&key)?, File { bytes, mode: bits(mode) }));
        return values.into_iter().map(named).collect();
    };
    let mut all = Content::new();
    for item in items {
        // The same key may be shown twice, so it is taken out just for the last time.
        let bytes = if items.iter().filter(|i| i.key == item.key).count() > 1 {
            values.get(&item.key).cloned()
        } else {
            values.remove(&item.key)
        };
        match bytes {
            Some(bytes) => {
                all.insert(plain(&item.path)?, File { bytes, mode: bits(item.mode.unwrap_or(mode)) });
            }
            None if optional => {}
            None => return Err(Cause::MissingKey(item.key.clone())),
        }
    }
    Ok(all)
}

fn downward(items: Option<&[DownwardAPIVolumeFile]>, pod: &Pod, facts: &Facts, mode: i32) -> Result<Content, Cause> {
    let mut all = Content::new();
    for item in items.into_iter().flatten() {
        let value = if let Some(field) = &item.field_ref {
            let unknown = || EnvironmentError::UnknownField(field.field_path.clone());
            fields::of_pod(pod, facts, &field.field_path).ok_or_else(unknown)?
        } else if let Some(resource) = &item.resource_field_ref {
            let unknown = || EnvironmentError::UnknownField(resource.resource.clone());
            let owner = fields::container_of(pod, resource.container_name.as_deref()).ok_or_else(unknown)?;
            let divisor = resource.divisor.as_ref();
            fields::of_resources(owner, facts, &resource.resource, divisor).ok_or_else(unknown)?.to_string()
        } else {
            return Err(EnvironmentError::UnknownSource(item.path.clone()).into());
        };
        let mode = bits(item.mode.unwrap_or(mode));
        all.insert(plain(&item.path)?, File { bytes: value.into_bytes(), mode });
    }
    Ok(all)
}

fn bits(mode: i32) -> u32 {
    u32::try_from(mode).unwrap_or(0o644) & 0o777
}

/// A relative path that does not lead out, nor into what the runtime itself keeps there (`..data`).
fn plain(path: &str) -> Result<String, Cause> {
    let normal = |c: Component<'_>| matches!(c, Component::Normal(_));
    let fits = !path.is_empty() && !path.starts_with("..") && Path::new(path).components().all(normal);
    if fits { Ok(path.to_owned()) } else { Err(Cause::BadPath(path.to_owned())) }
}
