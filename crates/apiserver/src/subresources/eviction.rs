//! `/eviction`: a Pod is deleted by somebody who asks first. Nothing objects: there are no disruption budgets.

use http::{Response, StatusCode};
use serde_json::json;

use crate::node_restriction::{self, Act};
use crate::response::{self, Body};
use crate::status::Status;
use crate::verbs::call::Call;
use crate::verbs::decode;
use crate::verbs::delete::{self, DeleteOptions};

/// Answers a POST.
pub(crate) async fn create(call: &Call) -> Result<Response<Body>, Status> {
    if call.info.verb != "create" {
        return Err(Status::method_not_allowed());
    }
    let options = call.write_options("CreateOptions")?;
    let (eviction, _) = decode::other(call, "io.k8s.api.policy.v1.Eviction", &options)?;
    let named = kinds::document::text(kinds::document::at(&eviction, "metadata"), "name");
    if !named.is_empty() && named != call.info.name {
        let why = format!("name in URL does not match name in Eviction object: {named:?}");
        return Err(Status::bad_request(why));
    }
    let mut deletion = match eviction.get("deleteOptions") {
        Some(options) => DeleteOptions::of_document(&call.query, options)?,
        None => DeleteOptions::default(),
    };
    deletion.dry_run |= options.dry_run;
    let pod = call.api.cache.get(call.kind, &call.info.namespace, &call.info.name);
    let pod = pod.ok_or_else(|| Status::not_found(call.kind, &call.info.name))?.document();
    node_restriction::check(&call.api, &call.user, call.kind, "eviction", Act::Evict(&pod))
        .map_err(|why| Status::forbidden("", call.kind.plural, &call.info.name, &why))?;
    delete::delete(&call.api, call.kind, &call.info.namespace, &call.info.name, &deletion).await?;
    let body = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201 });
    response::encoded(call.accepted.encoding, StatusCode::CREATED, body.to_string().into())
}
