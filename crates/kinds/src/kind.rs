//! What the server needs to know of one kind.

use std::sync::LazyLock;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde_json::Value;

use crate::{documentation, field, names};

/// Where objects of a kind live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// In the cluster, beside the namespaces.
    Cluster,
}

/// A part of an object with a path of its own that is served by the generic verbs.
/// (`/log` and `/exec` are not parts of the object: the API server knows them.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subresource {
    /// `/status`
    Status,
    /// `/scale`
    Scale,
}

/// A column of the table that kubectl prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// The heading, as Kubernetes spells it (`Cluster-IP`).
    pub name: &'static str,
    /// `string`, `integer`, …
    pub kind: &'static str,
    /// `name` for the name, else mostly empty.
    pub format: &'static str,
    /// What the column shows.
    pub description: &'static str,
    /// 0 is shown always, more with `-o wide`.
    pub priority: i32,
}

impl Column {
    /// `Name`, which every table has.
    pub(crate) fn name() -> Self {
        Self { format: "name", ..Self::field::<ObjectMeta>("Name", "name") }
    }

    /// `Age`, which nearly every table has.
    pub(crate) fn age() -> Self {
        Self::field::<ObjectMeta>("Age", "creationTimestamp")
    }

    /// A column of texts that shows a field, described as the field is.
    pub(crate) fn field<T: JsonSchema>(name: &'static str, field: &str) -> Self {
        Self::text(name, documentation::of::<T>(field))
    }

    /// A column of texts.
    pub(crate) fn text(name: &'static str, description: &'static str) -> Self {
        Self { name, kind: "string", format: "", description, priority: 0 }
    }

    /// The same column, of whole numbers.
    pub(crate) fn integer(self) -> Self {
        Self { kind: "integer", ..self }
    }

    /// The same column, shown with `-o wide` only.
    pub(crate) fn wide(self) -> Self {
        Self { priority: 1, ..self }
    }
}

/// One kind of resource.
pub struct Kind {
    /// API group; empty for core.
    pub group: &'static str,
    /// The one version that is served.
    pub version: &'static str,
    /// `Service`
    pub kind: &'static str,
    /// `services`
    pub plural: &'static str,
    /// `service`
    pub singular: &'static str,
    /// `svc`
    pub short_names: &'static [&'static str],
    /// `all`
    pub categories: &'static [&'static str],
    /// Namespaced or not.
    pub scope: Scope,
    /// `/status`, `/scale`
    pub subresources: &'static [Subresource],
    /// Its type in the schema table: `io.k8s.api.core.v1.Service`.
    pub schema: &'static str,
    /// Its behaviour.
    pub strategy: &'static dyn Strategy,
}

impl Kind {
    /// `v1` or `apps/v1`, as `apiVersion` says it.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Whether it has this subresource.
    pub fn has(&self, subresource: Subresource) -> bool {
        self.subresources.contains(&subresource)
    }
}

/// What a kind does with its objects on their way in and out. Every method works on whole documents and does no IO;
/// metadata that all kinds share (names, labels, annotations, finalizers, owner references, uid, timestamps,
/// generation) is the API server's own work and is checked there once for all.
pub trait Strategy: Sync + Send {
    /// Fills in the defaults of the version, as decoding does in Kubernetes. Idempotent. A document with values of
    /// a wrong type never gets here.
    fn default(&self, object: &mut Value) {
        let _ = object;
    }

    /// What Kubernetes' default admission adds to a new object without asking for others, after defaulting. An error
    /// is a refusal: the words after `pods "p" is forbidden: `.
    fn admit(&self, object: &mut Value) -> Result<(), String> {
        let _ = object;
        Ok(())
    }

    /// What the creator may not say is removed (status, most of all).
    fn prepare_for_create(&self, object: &mut Value) {
        let _ = object;
    }

    /// The faults of a name, in Kubernetes' words; none when it is good. `prefix`: it is one from which names are
    /// generated. A DNS-1123 subdomain unless a kind says otherwise.
    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        if prefix {
            return names::dns1123_subdomain(&names::without_trailing_dash(name));
        }
        names::dns1123_subdomain(name)
    }

    /// All faults of a new object, in Kubernetes' order.
    fn validate(&self, object: &Value) -> Vec<field::Error> {
        let _ = object;
        Vec::new()
    }

    /// The last touch, after validation and before the object is stored.
    fn canonicalize(&self, object: &mut Value) {
        let _ = object;
    }

    /// What an update of the main resource may not change is put back (status, most of all).
    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        let _ = (new, old);
    }

    /// All faults of an update of the main resource, in Kubernetes' order.
    fn validate_update(&self, new: &Value, old: &Value) -> Vec<field::Error> {
        let _ = old;
        self.validate(new)
    }

    /// What an update of `/status` may not change is put back: by default all but `status` and, of the metadata, what the API server lets through.
    fn prepare_for_status_update(&self, new: &mut Value, old: &Value) {
        let status = new.get_mut("status").map(Value::take);
        let metadata = new.get_mut("metadata").map(Value::take);
        *new = old.clone();
        if let (Some(object), Some(metadata)) = (new.as_object_mut(), metadata) {
            object.insert("metadata".to_owned(), metadata);
            match status {
                Some(status) if !status.is_null() => object.insert("status".to_owned(), status),
                _ => object.remove("status"),
            };
        }
    }

    /// All faults of an update of `/status`.
    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<field::Error> {
        let _ = (new, old);
        Vec::new()
    }

    /// `Warning:` headers for an update of `/status`.
    fn status_warnings(&self, new: &Value, old: &Value) -> Vec<String> {
        let _ = (new, old);
        Vec::new()
    }

    /// Whether a PUT to a name that does not exist creates the object.
    fn allows_create_on_update(&self) -> bool {
        false
    }

    /// Whether an update may leave `metadata.resourceVersion` out.
    fn allows_unconditional_update(&self) -> bool {
        true
    }

    /// Whether DELETE answers with the object that was deleted, and not with a `Status`.
    fn returns_deleted_object(&self) -> bool {
        false
    }

    /// A `Warning:` header for every request, before all others, of a kind that is on its way out.
    fn deprecation(&self) -> Option<&'static str> {
        None
    }

    /// `Warning:` headers for a create or an update.
    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let _ = (new, old);
        Vec::new()
    }

    /// Whether a change from `old` to `new` counts as a new `metadata.generation`. `None`: the kind has no generation.
    fn generation_changes(&self, new: &Value, old: &Value) -> Option<bool> {
        let _ = (new, old);
        None
    }

    /// The fields that a field selector may name beside `metadata.name` and `metadata.namespace`, with their values.
    fn fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        let _ = object;
        Vec::new()
    }

    /// The names of [`Strategy::fields`], for refusing others.
    fn field_names(&self) -> &'static [&'static str] {
        &[]
    }

    /// The table's columns, `Name` first.
    fn columns(&self) -> &'static [Column] {
        &NAME_AND_AGE
    }

    /// The cells of one object, one a column. `now` is in seconds since the epoch.
    fn row(&self, object: &Value, now: i64) -> Vec<Value> {
        vec![object["metadata"]["name"].clone(), Value::String(age(object, now))]
    }

    /// The `conditions` of one object's row: what sets finished Pods apart in a table. Mostly none.
    fn row_conditions(&self, object: &Value) -> Vec<Value> {
        let _ = object;
        Vec::new()
    }
}

/// The columns of a kind without any of its own.
pub static NAME_AND_AGE: LazyLock<Vec<Column>> = LazyLock::new(|| vec![Column::name(), Column::age()]);

/// The age of an object as kubectl prints it: `5s`, `2m3s`, `4h`, `12d`.
pub fn age(object: &Value, now: i64) -> String {
    since(&object["metadata"]["creationTimestamp"], now)
}

/// How long ago a time was, as kubectl prints it; `<unknown>` when it is none.
pub fn since(time: &Value, now: i64) -> String {
    match time.as_str().and_then(|time| time.parse::<jiff::Timestamp>().ok()) {
        Some(time) => human_duration(now - time.as_second()),
        None => "<unknown>".to_owned(),
    }
}

/// Seconds as Kubernetes' `duration.HumanDuration` prints them.
pub fn human_duration(seconds: i64) -> String {
    let (s, m, h, d) = (seconds, seconds / 60, seconds / 3600, seconds / 86400);
    let with = |big: i64, unit: &str, small: i64, small_unit: &str| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{small_unit}") }
    };
    match s {
        i64::MIN..=-2 => "<invalid>".to_owned(),
        -1..=0 => "0s".to_owned(),
        1..120 => format!("{s}s"),
        120..600 => with(m, "m", s % 60, "s"),
        600..10_800 => format!("{m}m"),
        10_800..28_800 => with(h, "h", m % 60, "m"),
        28_800..172_800 => format!("{h}h"),
        172_800..691_200 => with(d, "d", h % 24, "h"),
        691_200..63_072_000 => format!("{d}d"),
        63_072_000..252_288_000 => with(d / 365, "y", d % 365, "d"),
        _ => format!("{}y", d / 365),
    }
}
