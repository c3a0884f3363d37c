//! Which form of an answer the client takes: its `Accept` header.

use http::HeaderMap;
use http::header::ACCEPT;

use crate::protobuf;
use crate::status::Status;

#[cfg(test)]
mod tests;

/// How an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Encoding {
    #[default]
    Json,
    Yaml,
    /// Kubernetes' protobuf.
    Protobuf,
}

/// What of an object is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Form {
    /// All of it.
    #[default]
    Whole,
    /// `meta.k8s.io/v1` `Table`
    Table,
    /// `meta.k8s.io/v1` `PartialObjectMetadata`
    Metadata,
    /// `meta.k8s.io/v1` `PartialObjectMetadataList`
    MetadataList,
    /// `apidiscovery.k8s.io/v2` `APIGroupDiscoveryList`
    AggregatedDiscovery,
}

/// What the client takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Accepted {
    pub encoding: Encoding,
    pub form: Form,
}

/// What objects can be had as.
pub(crate) const OBJECTS: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf, \
     application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";

/// Chooses the best of what the client accepts for an object, a list or a watch.
pub(crate) fn object(headers: &HeaderMap) -> Result<Accepted, Status> {
    choose(headers, |form| form != Form::AggregatedDiscovery).ok_or_else(|| not_acceptable(OBJECTS))
}

/// Chooses the best of what the client accepts for `/api` and `/apis`.
pub(crate) fn discovery(headers: &HeaderMap) -> Result<Accepted, Status> {
    choose(headers, |form| matches!(form, Form::Whole | Form::AggregatedDiscovery))
        .ok_or_else(|| not_acceptable("application/json, application/yaml, application/vnd.kubernetes.protobuf"))
}

/// Chooses how a refusal is written: as the client likes best, and as JSON where it likes nothing that there is.
pub(crate) fn refusal(headers: &HeaderMap) -> Encoding {
    choose(headers, |form| form == Form::Whole).map_or(Encoding::Json, |accepted| accepted.encoding)
}

/// 406, with what there is.
pub(crate) fn not_acceptable(available: &str) -> Status {
    let mut status = Status::not_acceptable(format!("406: Not Acceptable\n\nAvailable representations: {available}"));
    status.details = Some(Box::default());
    status
}

fn choose(headers: &HeaderMap, offered: impl Fn(Form) -> bool) -> Option<Accepted> {
    let values: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok()).collect();
    let header = values.join(",");
    if header.trim().is_empty() {
        return Some(Accepted::default());
    }
    let mut clauses: Vec<Clause> = header.split(',').filter_map(Clause::parse).collect();
    // Stable: of two that are liked alike, the first.
    clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    clauses.iter().filter(|c| c.quality > 0.0).filter_map(Clause::accepted).find(|a| offered(a.form))
}

/// One media type of the header.
struct Clause<'h> {
    media_type: &'h str,
    quality: f32,
    kind: &'h str,
    group: &'h str,
    version: &'h str,
    stream: &'h str,
}

impl<'h> Clause<'h> {
    fn parse(clause: &'h str) -> Option<Self> {
        let mut parts = clause.split(';').map(str::trim);
        let media_type = parts.next().filter(|m| !m.is_empty())?;
        let mut parsed = Self { media_type, quality: 1.0, kind: "", group: "", version: "", stream: "" };
        for (name, value) in parts.filter_map(|p| p.split_once('=')) {
            match name {
                "q" => parsed.quality = value.parse().unwrap_or(1.0),
                "as" => parsed.kind = value,
                "g" => parsed.group = value,
                "v" => parsed.version = value,
                "stream" => parsed.stream = value,
                _ => {}
            }
        }
        Some(parsed)
    }

    fn accepted(&self) -> Option<Accepted> {
        let encoding = match self.media_type {
            "application/json" | "*/*" | "application/*" => Encoding::Json,
            "application/yaml" => Encoding::Yaml,
            protobuf::MEDIA_TYPE => Encoding::Protobuf,
            _ => return None,
        };
        // There are no streams of YAML.
        if !matches!((self.stream, encoding), ("", _) | ("watch", Encoding::Json | Encoding::Protobuf)) {
            return None;
        }
        let form = match (self.kind, self.group, self.version) {
            ("", _, _) => Form::Whole,
            ("Table", "meta.k8s.io", "v1") => Form::Table,
            ("PartialObjectMetadata", "meta.k8s.io", "v1") => Form::Metadata,
            ("PartialObjectMetadataList", "meta.k8s.io", "v1") => Form::MetadataList,
            ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2") => Form::AggregatedDiscovery,
            _ => return None,
        };
        // Neither have messages in protobuf here; tables have none in Kubernetes.
        if encoding == Encoding::Protobuf && matches!(form, Form::Table | Form::AggregatedDiscovery) {
            return None;
        }
        Some(Accepted { encoding, form })
    }
}
