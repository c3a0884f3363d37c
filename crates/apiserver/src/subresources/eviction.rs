//! `/eviction`: a Pod is deleted by somebody who asks first, and the PodDisruptionBudget that it has may say no.

use http::{Response, StatusCode};
use kinds::document::{at, given, integer, list, set, text};
use kinds::labels;
use kinds::pod_disruption_budget as budgets;
use serde_json::{Value, json};

use crate::cache::object::Object;
use crate::clock;
use crate::node_restriction::{self, Act};
use crate::ownership;
use crate::query::WriteOptions;
use crate::response::{self, Body};
use crate::status::{Cause, Status};
use crate::verbs::call::Call;
use crate::verbs::decode;
use crate::verbs::delete::{self, DeleteOptions};
use crate::verbs::update::{Part, Update};

/// How many Pods a budget waits for at most that were evicted and are not gone.
const DISRUPTED: usize = 2000;
/// When to ask again while a budget is not counted yet, in seconds.
const SOON: u32 = 10;

/// Answers a POST.
pub(crate) async fn create(call: &Call) -> Result<Response<Body>, Status> {
    if call.info.verb != "create" {
        return Err(Status::method_not_allowed());
    }
    let options = call.write_options("CreateOptions")?;
    let (eviction, _) = decode::other(call, "io.k8s.api.policy.v1.Eviction", &options)?;
    let named = text(at(&eviction, "metadata"), "name");
    if !named.is_empty() && named != call.info.name {
        let why = format!("name in URL does not match name in Eviction object: {named:?}");
        return Err(Status::bad_request(why));
    }
    let mut deletion = match eviction.get("deleteOptions") {
        Some(options) => DeleteOptions::of_document(&call.query, options)?,
        None => DeleteOptions::default(),
    };
    deletion.dry_run |= options.dry_run;
    let object = call.api.cache.get(call.kind, &call.info.namespace, &call.info.name);
    let object = object.ok_or_else(|| Status::not_found(call.kind, &call.info.name))?;
    let pod = object.document();
    node_restriction::check(&call.api, &call.user, call.kind, "eviction", Act::Evict(&pod))
        .map_err(|why| Status::forbidden("", call.kind.plural, &call.info.name, &why))?;
    if let Allowed::IfUnchanged = ask(call, &pod, &deletion).await? {
        // It must not have become ready since: then it would have counted.
        deletion.resource_version.get_or_insert_with(|| object.revision.to_string());
    }
    if !deletion.dry_run {
        let marked = mark(call, &object, &deletion).await?;
        if deletion.resource_version.is_some() {
            deletion.resource_version = Some(marked);
        }
    }
    delete::delete(&call.api, call.kind, &call.info.namespace, &call.info.name, &deletion).await?;
    let body = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 });
    Ok(response::json(StatusCode::CREATED, Body::whole(body.to_string())))
}

enum Allowed {
    /// Whatever becomes of the Pod meanwhile.
    Yes,
    /// As long as the Pod is as it was.
    IfUnchanged,
}

/// Whether the Pod may go: asks its budget, if it has one and runs.
async fn ask(call: &Call, pod: &Value, deletion: &DeleteOptions) -> Result<Allowed, Status> {
    let phase = text(at(pod, "status"), "phase");
    if given(at(pod, "metadata"), "deletionTimestamp").is_some() || matches!(phase, "Succeeded" | "Failed") {
        return Ok(Allowed::Yes);
    }
    if phase == "Pending" {
        return Ok(Allowed::IfUnchanged);
    }
    let of_pod = at(at(pod, "metadata"), "labels");
    let all = call.api.cache.list(&budgets::KIND, &call.info.namespace).objects;
    let found: Vec<Value> = all.iter().map(|budget| budget.document()).collect();
    let mut found = found.into_iter().filter(|budget| labels::matches(at(at(budget, "spec"), "selector"), of_pod));
    let Some(budget) = found.next() else { return Ok(Allowed::Yes) };
    if found.next().is_some() {
        let words = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
        return Err(Status::plain(words));
    }
    let ready =
        list(at(pod, "status"), "conditions").iter().any(|c| (text(c, "type"), text(c, "status")) == ("Ready", "True"));
    if !ready && does_not_count(&budget) {
        return Ok(Allowed::IfUnchanged);
    }
    let name = text(at(&budget, "metadata"), "name");
    let part = Part::Status;
    let update = Update { kind: &budgets::KIND, namespace: &call.info.namespace, name, part };
    let options =
        WriteOptions { manager: ownership::SERVER.to_owned(), dry_run: deletion.dry_run, ..WriteOptions::default() };
    update.run(&call.api, &options, |budget| take(budget, &call.info.name)).await?;
    Ok(Allowed::Yes)
}

/// Whether a Pod that is not ready may go without being counted.
fn does_not_count(budget: &Value) -> bool {
    let status = at(budget, "status");
    let (healthy, desired) = (integer(status, "currentHealthy"), integer(status, "desiredHealthy"));
    text(at(budget, "spec"), "unhealthyPodEvictionPolicy") == "AlwaysAllow" || (healthy >= desired && desired > 0)
}

/// The budget with one disruption less, and the Pod among those that it waits for.
fn take(budget: &Value, pod: &str) -> Result<Value, Status> {
    let (metadata, status) = (at(budget, "metadata"), at(budget, "status"));
    let name = text(metadata, "name");
    let refuse = |seconds: u32, message: String| {
        let words = "Cannot evict pod as it would violate the pod's disruption budget.";
        let cause = Cause { reason: "DisruptionBudget", message, field: String::new() };
        Err(Status::too_many_requests(words, seconds).caused_by(cause))
    };
    if integer(status, "observedGeneration") < integer(metadata, "generation") {
        return refuse(SOON, format!("The disruption budget {name} is still being processed by the server."));
    }
    let forbidden = |why: &str| Err(Status::forbidden("policy", "poddisruptionbudget", name, why));
    let allowed = integer(status, "disruptionsAllowed");
    if allowed < 0 {
        return forbidden("pdb disruptions allowed is negative");
    }
    if at(status, "disruptedPods").as_object().map_or(0, serde_json::Map::len) > DISRUPTED {
        return forbidden("DisruptedPods map too big - too many evictions not confirmed by PDB controller");
    }
    if allowed == 0 {
        return refuse(0, why_not(name, status));
    }
    let mut new = budget.clone();
    set(&mut new["status"], "disruptionsAllowed", allowed - 1);
    new["status"]["disruptedPods"][pod] = clock::now().into();
    Ok(new)
}

fn why_not(name: &str, status: &Value) -> String {
    let conditions = list(status, "conditions");
    let condition = conditions.iter().find(|c| text(c, "type") == "DisruptionAllowed" && text(c, "status") == "False");
    let condition = condition.filter(|c| !text(c, "message").is_empty());
    let (healthy, desired) = (integer(status, "currentHealthy"), integer(status, "desiredHealthy"));
    let head = format!("The disruption budget {name}");
    match condition {
        Some(c) if text(c, "reason") == "SyncFailed" => {
            format!("{head} does not allow evicting pods currently because it failed sync: {}", text(c, "message"))
        }
        _ if healthy <= desired => format!("{head} needs {desired} healthy pods and has {healthy} currently"),
        Some(c) => {
            format!("{head} does not allow evicting pods currently ({}): {}", text(c, "reason"), text(c, "message"))
        }
        None => format!("{head} does not allow evicting pods currently"),
    }
}

/// Says in the Pod's status why it goes. Answers its version after that.
async fn mark(call: &Call, object: &Object, deletion: &DeleteOptions) -> Result<String, Status> {
    let update = Update { kind: call.kind, namespace: &call.info.namespace, name: &call.info.name, part: Part::Status };
    let options = WriteOptions { manager: ownership::SERVER.to_owned(), ..WriteOptions::default() };
    let condition = json!({
        "type": "DisruptionTarget", "status": "True", "lastTransitionTime": clock::now(),
        "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting",
    });
    let written = update
        .run(&call.api, &options, |pod| {
            if let Some(wanted) = &deletion.resource_version
                && text(at(pod, "metadata"), "resourceVersion") != wanted
            {
                return Err(Status::modified(call.kind, &object.name));
            }
            let mut new = pod.clone();
            let others = list(at(pod, "status"), "conditions").iter().filter(|c| text(c, "type") != "DisruptionTarget");
            let conditions: Vec<Value> = others.cloned().chain([condition.clone()]).collect();
            new["status"]["conditions"] = conditions.into();
            Ok(new)
        })
        .await?;
    let written = written.ok_or_else(|| Status::not_found(call.kind, &object.name))?;
    Ok(written.object.revision.to_string())
}
