//! `/scale`: the number of replicas of a Deployment or ReplicaSet, as `autoscaling/v1` `Scale`.

use http::Response;
use kinds::document::{at, integer, remove, set, text};
use kinds::field::{self, Path};
use kinds::labels;
use kinds::scale;
use serde_json::{Value, json};

use crate::body::Expected;
use crate::query::WriteOptions;
use crate::response::{self, Body};
use crate::status::Status;
use crate::verbs::call::Call;
use crate::verbs::decode;
use crate::verbs::patch::Change;
use crate::verbs::update::{Part, Update};

/// Answers GET, PUT and PATCH.
pub(crate) async fn answer(call: &Call) -> Result<Response<Body>, Status> {
    let info = &call.info;
    match info.verb {
        "get" => {
            let object = call.api.cache.get(call.kind, &info.namespace, &info.name);
            let object = object.ok_or_else(|| Status::not_found(call.kind, &info.name))?;
            show_scale(call, of_object(&object.document()))
        }
        "update" => {
            let options = call.write_options("UpdateOptions")?;
            let (scale, warnings) = decode::other(call, SCALE, &options)?;
            with_warnings(change(call, &options, |_| Ok(scale.clone())).await, &warnings)
        }
        "patch" => {
            let of_type = decode::named(SCALE)?;
            let expected = Expected { group: "autoscaling", version: "v1", kind: "Scale", of_type };
            let patch = Change::read(call, expected)?;
            let response = change(call, &patch.options, |scale| patch.apply(scale)).await;
            with_warnings(response, &patch.warnings())
        }
        _ => Err(Status::method_not_allowed()),
    }
}

/// The type of what is shown and written.
const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";

async fn change(
    call: &Call,
    options: &WriteOptions,
    make: impl Fn(&Value) -> Result<Value, Status>,
) -> Result<Response<Body>, Status> {
    let info = &call.info;
    let update = Update { kind: call.kind, namespace: &info.namespace, name: &info.name, part: Part::Scale };
    let written = update
        .run(&call.api, options, |old| {
            let scale = make(&of_object(old))?;
            check(&info.name, &scale)?;
            let mut new = old.clone();
            let version = text(at(&scale, "metadata"), "resourceVersion");
            if version.is_empty() {
                remove(&mut new["metadata"], "resourceVersion");
            } else {
                set(&mut new["metadata"], "resourceVersion", version);
            }
            set(&mut new["spec"], "replicas", integer(at(&scale, "spec"), "replicas"));
            Ok(new)
        })
        .await?;
    let written = written.ok_or_else(|| Status::not_found(call.kind, &info.name))?;
    show_scale(call, of_object(&written.object.document()))
}

fn check(name: &str, scale: &Value) -> Result<(), Status> {
    let named = text(at(scale, "metadata"), "name");
    if named != name {
        let why = format!("the name of the object ({named}) does not match the name on the URL ({name})");
        return Err(Status::bad_request(why));
    }
    let replicas = integer(at(scale, "spec"), "replicas");
    if replicas < 0 {
        let path = Path::new("spec").child("replicas");
        let fault = field::Error::invalid(&path, replicas, "must be greater than or equal to 0");
        return Err(Status::invalid("autoscaling", "Scale", name, &[fault]));
    }
    Ok(())
}

/// The `Scale` of an object.
fn of_object(object: &Value) -> Value {
    let (metadata, spec, status) = (at(object, "metadata"), at(object, "spec"), at(object, "status"));
    let mut scale = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {},
        "spec": {},
        "status": { "replicas": integer(status, "replicas") },
    });
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = metadata.get(field) {
            set(&mut scale["metadata"], field, value.clone());
        }
    }
    let replicas = integer(spec, "replicas");
    if replicas != 0 {
        set(&mut scale["spec"], "replicas", replicas);
    }
    if let Some(selector) = labels::print_selector(at(spec, "selector")).filter(|s| !s.is_empty()) {
        set(&mut scale["status"], "selector", selector);
    }
    scale
}

fn show_scale(call: &Call, scale: Value) -> Result<Response<Body>, Status> {
    let view = call.view()?;
    let cells = scale::row(&scale, view.now);
    view.other(scale, scale::columns(), cells)
}

fn with_warnings(response: Result<Response<Body>, Status>, warnings: &[String]) -> Result<Response<Body>, Status> {
    let mut response = response?;
    response::add_warnings(&mut response, warnings);
    Ok(response)
}
