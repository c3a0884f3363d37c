//! `/token` of a service account: a token that is signed for it, bound to a Pod or not (`TokenRequest`).

use http::{Response, StatusCode};
use kinds::document::{at, given, integer, set, text, texts};
use kinds::field::{self, Path};
use serde_json::{Value, json};

use crate::authn::service_accounts::{Bound, Grant, ISSUER, ServiceAccountTokens};
use crate::clock;
use crate::resources;
use crate::response::{self, Body};
use crate::show;
use crate::status::Status;
use crate::verbs::call::Call;
use crate::verbs::decode;

/// How long a token is good that does not say so, and at least and at most, in seconds.
const GOOD_FOR: i64 = 3600;
const AT_LEAST: i64 = 600;
const AT_MOST: i64 = 1 << 32;

/// Answers a POST.
pub(crate) fn create(call: &Call, tokens: &ServiceAccountTokens) -> Result<Response<Body>, Status> {
    if call.info.verb != "create" {
        return Err(Status::method_not_allowed());
    }
    let options = call.write_options("CreateOptions")?;
    let (mut request, warnings) = decode::other(call, "io.k8s.api.authentication.v1.TokenRequest", &options)?;
    let (namespace, name) = (&call.info.namespace, &call.info.name);
    let account = call.api.cache.get(call.kind, namespace, name);
    let account = account.ok_or_else(|| Status::not_found(call.kind, name))?.document();
    let spec = at(&request, "spec");
    let seconds = given(spec, "expirationSeconds").map_or(GOOD_FOR, |_| integer(spec, "expirationSeconds"));
    check_duration(seconds)?;
    let pod = bound_pod(call, spec)?;
    let mut audiences: Vec<String> = texts(spec, "audiences").into_iter().map(ToOwned::to_owned).collect();
    if audiences.is_empty() {
        audiences.push(ISSUER.to_owned());
    }
    let uid = text(at(&account, "metadata"), "uid").to_owned();
    let now = clock::now_seconds();
    let grant = Grant {
        namespace: namespace.clone(),
        account: Bound { name: name.clone(), uid },
        pod,
        audiences: audiences.clone(),
    };
    let token = tokens.issue(grant, now, seconds).map_err(|error| Status::internal(error.to_string()))?;
    set(&mut request["spec"], "audiences", audiences);
    set(&mut request["spec"], "expirationSeconds", seconds);
    request["metadata"] = json!({ "name": name, "namespace": namespace, "creationTimestamp": clock::now() });
    request["status"] = json!({ "token": token, "expirationTimestamp": clock::at(now + seconds) });
    let mut response = show::encoded(call.accepted.encoding, StatusCode::CREATED, request.to_string().into())?;
    response::add_warnings(&mut response, &warnings);
    Ok(response)
}

fn check_duration(seconds: i64) -> Result<(), Status> {
    let why = match seconds {
        ..AT_LEAST => "may not specify a duration less than 10 minutes",
        AT_LEAST..=AT_MOST => return Ok(()),
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    let fault = field::Error::invalid(&Path::new("spec").child("expirationSeconds"), seconds, why);
    Err(Status::invalid("authentication.k8s.io", "TokenRequest", "", &[fault]))
}

/// The Pod that the token is to be bound to, which must run as the account.
fn bound_pod(call: &Call, spec: &Value) -> Result<Option<Bound>, Status> {
    let Some(reference) = given(spec, "boundObjectRef") else { return Ok(None) };
    let (kind, name, uid) = (text(reference, "kind"), text(reference, "name"), text(reference, "uid"));
    let Some(pods) = resources::kind("", "pods").filter(|_| kind == "Pod" && text(reference, "apiVersion") == "v1")
    else {
        return Err(Status::bad_request(format!(
            "cannot bind token to object of type {}, Kind={kind}",
            text(reference, "apiVersion")
        )));
    };
    let pod = call.api.cache.get(pods, &call.info.namespace, name);
    let pod = pod.ok_or_else(|| Status::not_found(pods, name))?.document();
    let found = text(at(&pod, "metadata"), "uid");
    if !uid.is_empty() && uid != found {
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been \
             deleted and then recreated"
        );
        return Err(Status::conflict("", "Pod", name, &why));
    }
    let runs_as = text(at(&pod, "spec"), "serviceAccountName");
    if runs_as != call.info.name {
        return Err(Status::bad_request(format!(
            "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
            call.info.name
        )));
    }
    Ok(Some(Bound { name: name.to_owned(), uid: found.to_owned() }))
}
