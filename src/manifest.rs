//! Manifests given to `up -f`: each object is created, or patched into the shape that the file says.

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use kinds::Scope;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::Value;

use crate::refusal::Refusal;

/// The largest manifest that is read.
const LARGEST: u64 = 64 * 1024 * 1024;

/// Reads the objects of manifests, so that a mistake is found before anything is made.
///
/// # Errors
/// When a file cannot be read, is no YAML, or holds something that is no object of a kind that is served.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Value>> {
    let mut objects = Vec::new();
    for path in paths {
        let text = text(path)?;
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).map_err(|e| {
            Refusal::new(format!("-f {}: no YAML: {}", path.display(), e.to_string().replace('\n', " ")))
        })?;
        for document in documents.into_iter().filter(|d| !d.is_null()) {
            match document["items"].as_array() {
                Some(items) if document["kind"].as_str().is_some_and(|k| k.ends_with("List")) => {
                    objects.extend(items.iter().cloned())
                }
                _ => objects.push(document),
            }
        }
        for object in &objects {
            kind(object).with_context(|| format!("-f {}", path.display()))?;
        }
    }
    Ok(objects)
}

fn text(path: &Path) -> Result<String> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().take(LARGEST).read_to_string(&mut text).context("cannot read standard input")?;
    } else {
        let file = std::fs::File::open(path).map_err(|e| Refusal::new(format!("-f {}: {e}", path.display())))?;
        file.take(LARGEST)
            .read_to_string(&mut text)
            .map_err(|e| Refusal::new(format!("-f {}: {e}", path.display())))?;
    }
    Ok(text)
}

fn kind(object: &Value) -> Result<&'static kinds::Kind, Refusal> {
    let (version, kind) =
        (object["apiVersion"].as_str().unwrap_or_default(), object["kind"].as_str().unwrap_or_default());
    kinds::registry::by_kind(version, kind).ok_or_else(|| {
        Refusal::new(format!("no kind {kind:?} of apiVersion {version:?} is served; see `kubectl api-resources`"))
    })
}

/// Brings the objects into the cluster, in the order of the files. Says of each what was done: `service/web created`.
///
/// # Errors
/// When the server refuses one; those before it stay.
pub async fn apply(client: &Client, objects: &[Value]) -> Result<Vec<String>> {
    let mut done = Vec::with_capacity(objects.len());
    for object in objects {
        let kind = kind(object)?;
        let resource = ApiResource {
            group: kind.group.to_owned(),
            version: kind.version.to_owned(),
            api_version: kind.api_version(),
            kind: kind.kind.to_owned(),
            plural: kind.plural.to_owned(),
        };
        let api: Api<DynamicObject> = match kind.scope {
            Scope::Cluster => Api::all_with(client.clone(), &resource),
            Scope::Namespaced => {
                let namespace = object["metadata"]["namespace"].as_str().unwrap_or("default");
                Api::namespaced_with(client.clone(), namespace, &resource)
            }
        };
        let Some(name) = object["metadata"]["name"].as_str() else {
            bail!(Refusal::new(format!("a {} in the manifests has no metadata.name", kind.kind)));
        };
        let what = format!("{}/{name}", kind.singular);
        let said = match api.get_opt(name).await.with_context(|| what.clone())? {
            Some(_) => {
                api.patch(name, &PatchParams::default(), &Patch::Merge(object)).await.with_context(|| what.clone())?;
                "configured"
            }
            None => {
                let new: DynamicObject = serde_json::from_value(object.clone()).with_context(|| what.clone())?;
                api.create(&PostParams::default(), &new).await.with_context(|| what.clone())?;
                "created"
            }
        };
        done.push(format!("{what} {said}"));
    }
    Ok(done)
}
