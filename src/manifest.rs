//! Manifests given to `up -f`: each object is created, or patched into the shape that the file says.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, bail};
use kinds::{Kind, Scope};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use node::follow::reason;
use serde_json::Value;

use crate::refusal::{Refusal, joined};

/// The largest manifest that is read.
const LARGEST: u64 = 64 * 1024 * 1024;
/// How long the server may take for one object.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads the objects of manifests, so that a mistake is found before anything is made.
///
/// # Errors
/// When a file cannot be read, is no YAML, or holds something that is no object of a kind that is served.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Value>, Refusal> {
    let mut objects = Vec::new();
    for path in paths {
        let refused = |why: &str| Refusal::new(format!("-f {}: {}", path.display(), joined(why)));
        let text = text(path).map_err(|e| refused(&format!("{e}; give a file, or - for standard input")))?;
        let found = parse(&text).map_err(|why| refused(&why))?;
        if found.is_empty() {
            return Err(refused("there is no object in it; give YAML or JSON with apiVersion, kind and metadata"));
        }
        objects.extend(found);
    }
    Ok(objects)
}

fn text(path: &Path) -> io::Result<String> {
    let source: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    let mut text = String::new();
    source.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(io::Error::other(format!("larger than {} MB", LARGEST >> 20)));
    }
    Ok(text)
}

fn parse(text: &str) -> Result<Vec<Value>, String> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|e| format!("no YAML: {e}"))?;
    let mut objects = Vec::new();
    for document in documents.into_iter().filter(|d| !d.is_null()) {
        match document["items"].as_array() {
            Some(items) if document["kind"].as_str().is_some_and(|k| k.ends_with("List")) => {
                objects.extend(items.iter().cloned());
            }
            _ => objects.push(document),
        }
    }
    for object in &objects {
        let kind = kind(object)?;
        if object["metadata"]["name"].as_str().is_none_or(str::is_empty) {
            return Err(format!("a {} has no metadata.name; give it one", kind.kind));
        }
    }
    Ok(objects)
}

fn kind(object: &Value) -> Result<&'static kinds::Kind, String> {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    let (version, kind) = (text("apiVersion"), text("kind"));
    kinds::registry::by_kind(version, kind).ok_or_else(|| {
        format!("no kind {kind:?} of apiVersion {version:?} is served; `kubectl api-resources` shows which are")
    })
}

/// Brings an object into the cluster, and says what was done: `service/web created`.
///
/// # Errors
/// When the server refuses it, or does not answer.
pub async fn apply(client: &Client, object: &Value) -> Result<String> {
    let kind = kind(object).map_err(Refusal::new)?;
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let what = format!("{}/{name}", kind.singular);
    let done = tokio::time::timeout(PATIENCE, write(client, kind, name, object));
    match done.await {
        Ok(Ok(done)) => Ok(format!("{what} {done}")),
        Ok(Err(error)) => bail!("{what}: {}", joined(&reason(&error))),
        Err(_) => bail!("{what}: no answer from the server within {} s", PATIENCE.as_secs()),
    }
}

/// What of an object its owner writes: a controller may write its status between two looks.
fn wanted(mut object: DynamicObject) -> DynamicObject {
    object.metadata.resource_version = None;
    object.metadata.managed_fields = None;
    if let Some(fields) = object.data.as_object_mut() {
        fields.remove("status");
    }
    object
}

async fn write(client: &Client, kind: &Kind, name: &str, object: &Value) -> Result<&'static str, kube::Error> {
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
    let Some(before) = api.get_opt(name).await? else {
        let new: DynamicObject = serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError)?;
        return api.create(&PostParams::default(), &new).await.map(|_| "created");
    };
    let after = api.patch(name, &PatchParams::default(), &Patch::Merge(object)).await?;
    Ok(if wanted(before) == wanted(after) { "unchanged" } else { "configured" })
}

#[cfg(test)]
mod tests;
