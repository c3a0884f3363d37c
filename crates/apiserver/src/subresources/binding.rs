//! `/binding`: a Pod is given its node.

use http::{Response, StatusCode};
use kinds::document::{at, given, list, set, text};
use kinds::field::{self, Path};
use serde_json::{Value, json};

use crate::clock;
use crate::response::{self, Body};
use crate::status::Status;
use crate::verbs::call::Call;
use crate::verbs::decode;
use crate::verbs::write::{self, Commit, Place};

/// How often a binding is tried while others write the same Pod.
const ATTEMPTS: usize = 200;

/// Answers a POST.
pub(crate) async fn create(call: &Call) -> Result<Response<Body>, Status> {
    if call.info.verb != "create" {
        return Err(Status::method_not_allowed());
    }
    let options = call.write_options("CreateOptions")?;
    let (binding, warnings) = decode::other(call, "io.k8s.api.core.v1.Binding", &options)?;
    check(&call.info.name, &binding)?;
    if !options.dry_run {
        bind(call, &binding).await?;
    }
    let body = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 });
    let mut response = response::encoded(call.accepted.encoding, StatusCode::CREATED, body.to_string().into())?;
    response::add_warnings(&mut response, &warnings);
    Ok(response)
}

fn check(pod: &str, binding: &Value) -> Result<(), Status> {
    let target = at(binding, "target");
    let path = Path::new("target");
    let mut faults = Vec::new();
    let kind = text(target, "kind");
    if !matches!(kind, "" | "Node") {
        faults.push(field::Error::not_supported(&path.child("kind"), kind, &["Node", "<empty>"]));
    }
    if text(target, "name").is_empty() {
        faults.push(field::Error::required(&path.child("name"), ""));
    }
    if faults.is_empty() { Ok(()) } else { Err(Status::invalid("", "Binding", pod, &faults)) }
}

async fn bind(call: &Call, binding: &Value) -> Result<(), Status> {
    let (kind, info) = (call.kind, &call.info);
    let place = Place { kind, namespace: &info.namespace, name: &info.name };
    for _ in 0..ATTEMPTS {
        let existing = call.api.cache.get(kind, &info.namespace, &info.name);
        let existing = existing.ok_or_else(|| Status::not_found(kind, &info.name))?;
        let mut pod = existing.document();
        assign(&mut pod, &info.name, binding)?;
        if let Commit::Done(_) =
            write::commit(&call.api, place, &pod, Some(existing.revision), &Default::default()).await?
        {
            return Ok(());
        }
    }
    Err(Status::too_many_requests("too many requests change the same object, try again", 1))
}

/// Writes the node into the Pod, which must have none.
fn assign(pod: &mut Value, name: &str, binding: &Value) -> Result<(), Status> {
    let refuse = |why: String| Err(Status::conflict("", "pods/binding", name, &why));
    let metadata = at(pod, "metadata");
    let (uid, wanted) = (text(metadata, "uid"), text(at(binding, "metadata"), "uid"));
    if !wanted.is_empty() && wanted != uid {
        return refuse(format!("Precondition failed: UID in precondition: {wanted}, UID in object meta: {uid}"));
    }
    if given(metadata, "deletionTimestamp").is_some() {
        return refuse(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    let node = text(at(pod, "spec"), "nodeName");
    if !node.is_empty() {
        return refuse(format!("pod {name} is already assigned to node {}", kinds::schema::quoted(node)));
    }
    set(&mut pod["spec"], "nodeName", text(at(binding, "target"), "name"));
    if let Some(annotations) = at(binding, "metadata").get("annotations").and_then(Value::as_object) {
        for (key, value) in annotations {
            pod["metadata"]["annotations"][key] = value.clone();
        }
    }
    let scheduled = json!({ "type": "PodScheduled", "status": "True", "lastTransitionTime": clock::now() });
    let mut conditions: Vec<Value> =
        list(at(pod, "status"), "conditions").iter().filter(|c| text(c, "type") != "PodScheduled").cloned().collect();
    conditions.push(scheduled);
    pod["status"]["conditions"] = conditions.into();
    Ok(())
}
