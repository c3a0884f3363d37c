//! `events.k8s.io/v1`: requests become requests for core events, answers are shown with the names that this group has.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Response};
use http_body_util::BodyExt;
use kinds::event::view;
use serde_json::Value;

use crate::front::{Asked, Front};
use crate::negotiate::{self, Accepted, Encoding, Form};
use crate::protobuf;
use crate::query::Query;
use crate::request::RequestInfo;
use crate::resources;
use crate::response::{self, Body, BodyError};
use crate::status::Status;
use crate::verbs::call::Call;
use crate::verbs::{self, decode};

/// Whether a request is for these events.
pub(crate) fn is_for(info: &RequestInfo) -> bool {
    (info.group.as_str(), info.version.as_str(), info.resource.as_str()) == ("events.k8s.io", "v1", "events")
}

/// Answers a request for them.
pub(crate) async fn answer(front: &Front, asked: Asked) -> Result<Response<Body>, Status> {
    let accepted = negotiate::object(&asked.parts.headers)?;
    if !asked.info.subresource.is_empty() {
        return Err(Status::no_such_resource());
    }
    let mut call = Call {
        api: front.api.clone(),
        kind: resources::kind("", "events").ok_or_else(Status::no_such_resource)?,
        accepted,
        info: asked.info,
        query: core_selectors(&asked.query),
        headers: asked.parts.headers,
        body: asked.body,
        user: asked.user.into(),
    };
    let warnings = match call.info.verb {
        "create" | "update" => object_to_core(&mut call)?,
        "patch" => patch_to_core(&mut call).map(|()| Vec::new())?,
        _ => Vec::new(),
    };
    // Neither tables nor metadata show any of the fields that have two names.
    let is_whole = accepted.form == Form::Whole;
    if is_whole {
        call.accepted = Accepted::default();
    }
    let is_watch = call.info.verb == "watch";
    let mut answered = verbs::answer(call).await?;
    if is_whole {
        answered =
            if is_watch { shown_events(answered, accepted.encoding) } else { shown(answered, accepted.encoding)? };
    }
    response::add_warnings(&mut answered, &warnings);
    Ok(answered)
}

/// Field selectors with core names.
fn core_selectors(query: &Query) -> Query {
    query.map("fieldSelector", |selector| {
        selector.replace("regarding.", "involvedObject.").replace("reportingController", "reportingComponent")
    })
}

/// Reads the event in the body and puts the core one there: what the client is warned of.
fn object_to_core(call: &mut Call) -> Result<Vec<String>, Status> {
    let options = if call.info.verb == "create" { "CreateOptions" } else { "UpdateOptions" };
    let options = call.write_options(options)?;
    let (event, warnings) = decode::other(call, view::KIND.schema, &options)?;
    if call.info.verb == "create" {
        let faults = view::validate_new(&event);
        if !faults.is_empty() {
            let name = event["metadata"]["name"].as_str().unwrap_or_default();
            return Err(Status::invalid(view::KIND.group, view::KIND.kind, name, &faults));
        }
    }
    put(call, "application/json", &view::to_core(event));
    Ok(warnings)
}

/// Gives a patch core names: those of fields at the top, which is where they differ.
fn patch_to_core(call: &mut Call) -> Result<(), Status> {
    let content_type = call.header(CONTENT_TYPE).to_owned();
    let patch: Value = match content_type.contains("yaml") {
        true => serde_saphyr::from_slice(&call.body).map_err(|error| Status::bad_request(error.to_string()))?,
        false => serde_json::from_slice(&call.body).map_err(|error| Status::bad_request(error.to_string()))?,
    };
    let patch = match patch {
        Value::Array(mut operations) => {
            for path in operations.iter_mut().flat_map(|o| o.as_object_mut()).flatten() {
                if let ("path" | "from", Value::String(at)) = (path.0.as_str(), path.1) {
                    let (first, rest) =
                        at.trim_start_matches('/').split_once('/').unwrap_or((at.trim_start_matches('/'), ""));
                    let rest = if rest.is_empty() { String::new() } else { format!("/{rest}") };
                    *at = format!("/{}{rest}", view::core_name(first));
                }
            }
            Value::Array(operations)
        }
        patch => view::to_core(patch),
    };
    put(call, &content_type, &patch);
    Ok(())
}

fn put(call: &mut Call, content_type: &str, body: &Value) {
    call.body = body.to_string().into();
    if let Ok(content_type) = HeaderValue::from_str(content_type) {
        call.headers.insert(CONTENT_TYPE, content_type);
    }
}

/// An answer with the names that this group has, in the encoding that is wanted.
fn shown(answered: Response<Body>, encoding: Encoding) -> Result<Response<Body>, Status> {
    let (head, body) = answered.into_parts();
    let document: Value = serde_json::from_slice(&body.into_whole()).map_err(|e| Status::internal(e.to_string()))?;
    let mut shown = response::encoded(encoding, head.status, shown_document(document).to_string().into())?;
    let others = head.headers.into_iter().filter_map(|(name, value)| Some((name?, value)));
    let others = others.filter(|(name, _)| *name != CONTENT_TYPE && *name != CONTENT_LENGTH);
    shown.headers_mut().extend(others);
    Ok(shown)
}

fn shown_document(mut document: Value) -> Value {
    match document["kind"].as_str() {
        Some("Event") => view::from_core(document),
        Some("EventList") => {
            if let Some(items) = document["items"].as_array_mut() {
                for item in items {
                    *item = view::from_core(item.take());
                }
            }
            document["apiVersion"] = "events.k8s.io/v1".into();
            document
        }
        _ => document,
    }
}

/// A watch whose events have the names that this group has.
fn shown_events(answered: Response<Body>, encoding: Encoding) -> Response<Body> {
    let (head, body) = answered.into_parts();
    let stream = futures::stream::unfold((body, BytesMut::new()), move |(mut body, mut read)| async move {
        loop {
            let frame = body.frame().await?;
            match frame.map(http_body::Frame::into_data) {
                Ok(Ok(data)) => read.extend_from_slice(&data),
                Ok(Err(_)) => continue,
                Err(error) => return Some((Err(error), (body, read))),
            }
            let mut out = BytesMut::new();
            while let Some(end) = read.iter().position(|byte| *byte == b'\n') {
                let line = read.split_to(end + 1);
                if let Err(error) = tell(&line, encoding, &mut out) {
                    return Some((Err(error), (body, read)));
                }
            }
            if !out.is_empty() {
                return Some((Ok::<Bytes, BodyError>(out.freeze()), (body, read)));
            }
        }
    });
    let media_type = match encoding {
        Encoding::Protobuf => protobuf::WATCH_MEDIA_TYPE,
        Encoding::Json | Encoding::Yaml => "application/json",
    };
    response::typed(head.status, media_type, Body::stream(stream))
}

fn tell(line: &[u8], encoding: Encoding, out: &mut BytesMut) -> Result<(), BodyError> {
    let mut event: Value = serde_json::from_slice(line)?;
    let object = shown_document(event["object"].take()).to_string();
    let kind = event["type"].as_str().unwrap_or_default();
    match encoding {
        Encoding::Protobuf => protobuf::frame(kind, &protobuf::write_named(object.as_bytes())?, out),
        Encoding::Json | Encoding::Yaml => {
            out.extend_from_slice(format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n").as_bytes());
        }
    }
    Ok(())
}
