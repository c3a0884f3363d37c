//! A server in memory, for tests: objects as documents, changed by [`Change`]s as the API server changes them, without
//! defaults, validation or a network. Steps of kubelets are made by the tests themselves.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cache::{Cached, Key};
use crate::change::{Act, Change, Deletion, Part, Resource};
use crate::write::{WriteError, Written};

/// All objects, and a clock that the test moves.
pub(crate) struct World {
    objects: BTreeMap<(&'static str, Key), Value>,
    pub(crate) revision: u64,
    pub(crate) now: Timestamp,
    /// How many changes were applied.
    pub(crate) writes: usize,
}

impl Default for World {
    fn default() -> Self {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        Self { objects: BTreeMap::new(), revision: 0, now, writes: 0 }
    }
}

impl World {
    pub(crate) fn pass(&mut self, seconds: i64) {
        self.now += SignedDuration::from_secs(seconds);
    }

    /// All objects of a kind, as the controllers' caches have them.
    pub(crate) fn all<K: Cached>(&self) -> Vec<Arc<K>> {
        let plural = K::plural(&());
        self.objects
            .iter()
            .filter(|((p, _), _)| *p == plural)
            .map(|(_, value)| {
                let mut object: K = serde_json::from_value(value.clone()).unwrap();
                object.slim();
                Arc::new(object)
            })
            .collect()
    }

    pub(crate) fn get<K: DeserializeOwned + Cached>(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.all::<K>().into_iter().find(|o| {
            let meta = o.meta();
            meta.namespace.as_deref().unwrap_or_default() == namespace && meta.name.as_deref() == Some(name)
        })
    }

    pub(crate) fn document(&self, resource: Resource, namespace: &str, name: &str) -> Option<&Value> {
        self.objects.get(&(resource.plural, Key::new(namespace, name)))
    }

    /// Creates or overwrites an object, as a user or a kubelet would.
    pub(crate) fn put(&mut self, resource: Resource, mut object: Value) -> Key {
        let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let key = Key::new(&text("namespace"), &text("name"));
        let old = self.objects.get(&(resource.plural, key.clone()));
        if object["metadata"]["uid"].is_null() {
            let uid = old.map(|old| old["metadata"]["uid"].clone());
            object["metadata"]["uid"] = uid.unwrap_or_else(|| json!(format!("uid-{}", self.revision + 1)));
        }
        if object["metadata"]["creationTimestamp"].is_null() {
            object["metadata"]["creationTimestamp"] = json!(self.now.to_string());
        }
        self.store(resource, key.clone(), object);
        key
    }

    /// Changes an object in place, as a user or a kubelet would.
    pub(crate) fn edit(&mut self, resource: Resource, key: &Key, edit: impl FnOnce(&mut Value)) {
        let mut object = self.objects[&(resource.plural, key.clone())].clone();
        let spec = object["spec"].clone();
        let before = object.clone();
        edit(&mut object);
        if object == before {
            return;
        }
        if object["spec"] != spec {
            let generation = object["metadata"]["generation"].as_i64().unwrap_or(1);
            object["metadata"]["generation"] = json!(generation + 1);
        }
        self.store(resource, key.clone(), object);
    }

    /// Takes an object away at once, whatever its finalizers.
    pub(crate) fn remove(&mut self, resource: Resource, key: &Key) {
        self.revision += 1;
        self.objects.remove(&(resource.plural, key.clone()));
    }

    pub(crate) fn apply_all(&mut self, changes: &[Change]) {
        for change in changes {
            self.apply(change).unwrap_or_else(|error| panic!("{change:?}: {error}"));
        }
    }

    pub(crate) fn apply(&mut self, change: &Change) -> Result<Written, WriteError> {
        self.writes += 1;
        let key = Key::new(&change.namespace, &change.name);
        match &change.act {
            Act::Create(object) => self.create(change.resource, object.clone()),
            Act::Replace(object) => {
                self.check(change.resource, &key, &object["metadata"]["resourceVersion"])?;
                Ok(self.store(change.resource, key, object.clone()))
            }
            Act::Merge(part, patch) | Act::Strategic(part, patch) => {
                let mut object = self.check(change.resource, &key, &patch["metadata"]["resourceVersion"])?;
                let by_key = matches!(change.act, Act::Strategic(..));
                let generation = object["spec"].clone();
                merge(&mut object, patch, by_key);
                if *part == Part::Main && object["spec"] != generation {
                    let generation = object["metadata"]["generation"].as_i64().unwrap_or(1);
                    object["metadata"]["generation"] = json!(generation + 1);
                }
                Ok(self.store(change.resource, key, object))
            }
            Act::Delete(deletion) => self.delete(change.resource, &key, deletion),
            Act::Post("binding", binding) => {
                let mut object = self.check(change.resource, &key, &Value::Null)?;
                object["spec"]["nodeName"] = binding["target"]["name"].clone();
                Ok(self.store(change.resource, key, object))
            }
            Act::Put(_, object) => Ok(self.store(change.resource, key, object.clone())),
            Act::Post(what, _) => panic!("the world knows nothing of {what}"),
        }
    }

    fn create(&mut self, resource: Resource, mut object: Value) -> Result<Written, WriteError> {
        let text = |object: &Value, field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        if text(&object, "name").is_empty() {
            let base = text(&object, "generateName");
            assert!(!base.is_empty(), "neither name nor generateName: {object}");
            object["metadata"]["name"] = json!(format!("{base}{:05}", self.revision + 1));
        }
        let key = Key::new(&text(&object, "namespace"), &text(&object, "name"));
        if self.objects.contains_key(&(resource.plural, key.clone())) {
            return Err(WriteError::AlreadyExists(format!("{} {key} already exists", resource.plural)));
        }
        object["metadata"]["generation"] = json!(1);
        self.put(resource, object);
        Ok(self.written(resource, &key))
    }

    fn check(&self, resource: Resource, key: &Key, version: &Value) -> Result<Value, WriteError> {
        let Some(object) = self.objects.get(&(resource.plural, key.clone())) else {
            return Err(WriteError::NotFound(format!("{} {key} not found", resource.plural)));
        };
        if !version.is_null() && *version != object["metadata"]["resourceVersion"] {
            return Err(WriteError::Conflict(format!("{} {key} has been modified", resource.plural)));
        }
        Ok(object.clone())
    }

    fn delete(&mut self, resource: Resource, key: &Key, deletion: &Deletion) -> Result<Written, WriteError> {
        let version = deletion.resource_version.as_ref().map_or(Value::Null, |v| json!(v));
        let mut object = self.check(resource, key, &version)?;
        if deletion.uid.as_deref().is_some_and(|uid| object["metadata"]["uid"] != uid) {
            return Err(WriteError::Conflict(format!("the uid of {key} is another")));
        }
        let bound = !object["spec"]["nodeName"].as_str().unwrap_or_default().is_empty();
        let graceful = resource.plural == "pods" && bound && deletion.grace != Some(0);
        let finalizers = object["metadata"]["finalizers"].as_array().is_some_and(|all| !all.is_empty());
        if graceful || finalizers {
            if object["metadata"]["deletionTimestamp"].is_null() {
                object["metadata"]["deletionTimestamp"] = json!(self.now.to_string());
            }
            return Ok(self.store(resource, key.clone(), object));
        }
        self.remove(resource, key);
        Ok(Written::default())
    }

    fn store(&mut self, resource: Resource, key: Key, mut object: Value) -> Written {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        let finalizers = object["metadata"]["finalizers"].as_array().is_some_and(|all| !all.is_empty());
        let ended = !object["metadata"]["deletionTimestamp"].is_null() && !finalizers && resource.plural != "pods";
        if ended {
            self.objects.remove(&(resource.plural, key));
            return Written::default();
        }
        self.objects.insert((resource.plural, key.clone()), object);
        self.written(resource, &key)
    }

    fn written(&self, resource: Resource, key: &Key) -> Written {
        serde_json::from_value(self.objects[&(resource.plural, key.clone())]["metadata"].clone()).unwrap()
    }
}

/// RFC 7386, and by merge keys for the few lists that the controllers patch.
fn merge(object: &mut Value, patch: &Value, by_key: bool) {
    let Some(fields) = patch.as_object() else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (key, value) in fields {
        let merge_key = match key.as_str() {
            "conditions" => "type",
            "ownerReferences" => "uid",
            _ => "",
        };
        if value.is_null() {
            object.as_object_mut().unwrap().remove(key);
        } else if by_key && !merge_key.is_empty() {
            merge_list(&mut object[key], value, merge_key);
        } else {
            merge(&mut object[key], value, by_key);
        }
    }
}

fn merge_list(list: &mut Value, patch: &Value, merge_key: &str) {
    let mut items = list.as_array().cloned().unwrap_or_default();
    for item in patch.as_array().unwrap() {
        let found = items.iter().position(|old| old[merge_key] == item[merge_key]);
        match found {
            Some(at) if item["$patch"] == "delete" => {
                items.remove(at);
            }
            Some(at) => merge(&mut items[at], item, true),
            None if item["$patch"] == "delete" => {}
            None => items.push(item.clone()),
        }
    }
    *list = Value::Array(items);
}
