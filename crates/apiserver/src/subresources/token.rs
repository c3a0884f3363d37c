//! `/token` of a service account: a token that is signed for it, bound to a Pod, a Secret, a Node or nothing
//! (`TokenRequest`).

use http::{Response, StatusCode};
use kinds::Kind;
use kinds::document::{at, given, integer, set, text, texts};
use kinds::field::{self, Path};
use serde_json::{Value, json};

use crate::authn::service_accounts::{Bound, Grant, ISSUER, ServiceAccountTokens};
use crate::clock;
use crate::node_restriction;
use crate::response::{self, Body};
use crate::show;
use crate::status::Status;
use crate::verbs::call::Call;
use crate::verbs::decode;

/// How long a token is good that does not say so, and at least and at most, in seconds.
const GOOD_FOR: i64 = 3600;
const AT_LEAST: i64 = 600;
const AT_MOST: i64 = 1 << 32;

/// The group and kind of what is asked and answered.
const GROUP: &str = "authentication.k8s.io";
const KIND: &str = "TokenRequest";

/// Answers a POST.
pub(crate) fn create(call: &Call, tokens: &ServiceAccountTokens) -> Result<Response<Body>, Status> {
    if call.info.verb != "create" {
        return Err(Status::method_not_allowed());
    }
    let options = call.write_options("CreateOptions")?;
    let (mut request, warnings) = decode::other(call, "io.k8s.api.authentication.v1.TokenRequest", &options)?;
    let (namespace, name) = (&call.info.namespace, &call.info.name);
    check_names(call, at(&request, "metadata"))?;
    let account = call.api.cache.get(call.kind, namespace, name);
    let account = account.ok_or_else(|| Status::not_found(call.kind, name))?.document();
    let uid = text(at(&account, "metadata"), "uid").to_owned();
    let asked = text(at(&request, "metadata"), "uid");
    if !asked.is_empty() && asked != uid {
        let why =
            format!("the UID in the token request ({asked}) does not match the UID of the service account ({uid})");
        return Err(Status::conflict(GROUP, KIND, name, &why));
    }
    let spec = at(&request, "spec");
    let seconds = given(spec, "expirationSeconds").map_or(GOOD_FOR, |_| integer(spec, "expirationSeconds"));
    check_duration(seconds)?;
    node_restriction::check_token(&call.api, &call.user, namespace, spec)
        .map_err(|why| Status::forbidden("", call.kind.plural, name, &why))?;
    let mut audiences: Vec<String> = texts(spec, "audiences").into_iter().map(ToOwned::to_owned).collect();
    if audiences.is_empty() {
        audiences.push(ISSUER.to_owned());
    }
    let now = clock::now_seconds();
    let bound = Bound { name: name.clone(), uid: uid.clone() };
    let mut grant = Grant::of_account(namespace.as_str(), bound, audiences.clone());
    bind(call, spec, &mut grant)?;
    let token = tokens.issue(grant, now, seconds).map_err(|error| Status::internal(error.to_string()))?;
    set(&mut request["spec"], "audiences", audiences);
    set(&mut request["spec"], "expirationSeconds", seconds);
    request["metadata"] =
        json!({ "name": name, "namespace": namespace, "uid": uid, "creationTimestamp": clock::now() });
    request["status"] = json!({ "token": token, "expirationTimestamp": clock::at(now + seconds) });
    let mut response = show::encoded(call.accepted.encoding, StatusCode::CREATED, request.to_string().into())?;
    response::add_warnings(&mut response, &warnings);
    Ok(response)
}

/// The name and the namespace that the body gives must be those of the account.
fn check_names(call: &Call, metadata: &Value) -> Result<(), Status> {
    let (name, namespace) = (text(metadata, "name"), text(metadata, "namespace"));
    for (field, given, wanted) in [("name", name, &call.info.name), ("namespace", namespace, &call.info.namespace)] {
        if !given.is_empty() && given != wanted {
            let why = format!("must match the service account {field} if specified");
            let fault = field::Error::invalid(&Path::new("metadata").child(field), given, why);
            return Err(Status::invalid(GROUP, KIND, &call.info.name, &[fault]));
        }
    }
    Ok(())
}

fn check_duration(seconds: i64) -> Result<(), Status> {
    let why = match seconds {
        ..AT_LEAST => "may not specify a duration less than 10 minutes",
        AT_LEAST..=AT_MOST => return Ok(()),
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    let fault = field::Error::invalid(&Path::new("spec").child("expirationSeconds"), seconds, why);
    Err(Status::invalid(GROUP, KIND, "", &[fault]))
}

/// Binds the token to the object that it is asked for, which must be there.
fn bind(call: &Call, spec: &Value, grant: &mut Grant) -> Result<(), Status> {
    let Some(reference) = given(spec, "boundObjectRef") else { return Ok(()) };
    let (version, kind, name) = (text(reference, "apiVersion"), text(reference, "kind"), text(reference, "name"));
    let (of, namespace): (&'static Kind, &str) = match (version.split_once('/').map_or("", |(group, _)| group), kind) {
        ("", "Pod") => (&kinds::pod::KIND, &call.info.namespace),
        ("", "Secret") => (&kinds::secret::KIND, &call.info.namespace),
        ("", "Node") => (&kinds::node::KIND, ""),
        _ => {
            let (group, version) = version.split_once('/').unwrap_or(("", version));
            let why = format!("cannot bind token to object of type {group}/{version}, Kind={kind}");
            return Err(Status::bad_request(why));
        }
    };
    let found = call.api.cache.get(of, namespace, name).ok_or_else(|| Status::not_found(of, name))?.document();
    let runs_as = text(at(&found, "spec"), "serviceAccountName");
    if kind == "Pod" && runs_as != call.info.name {
        return Err(Status::bad_request(format!(
            "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
            call.info.name
        )));
    }
    let (uid, wanted) = (text(at(&found, "metadata"), "uid"), text(reference, "uid"));
    if !wanted.is_empty() && wanted != uid {
        let why = format!(
            "the UID in the bound object reference ({wanted}) does not match the UID in record. The object might have \
             been deleted and then recreated"
        );
        return Err(Status::conflict("", kind, name, &why));
    }
    let bound = Some(Bound { name: name.to_owned(), uid: uid.to_owned() });
    match kind {
        "Pod" => (grant.pod, grant.node) = (bound, node_of(call, &found)),
        "Secret" => grant.secret = bound,
        _ => grant.node = bound,
    }
    Ok(())
}

/// The node that a Pod is on; without a uid when it is not known.
fn node_of(call: &Call, pod: &Value) -> Option<Bound> {
    let name = text(at(pod, "spec"), "nodeName");
    let node = call.api.cache.get(&kinds::node::KIND, "", name).map(|node| node.document());
    let uid = node.map(|node| text(at(&node, "metadata"), "uid").to_owned()).unwrap_or_default();
    (!name.is_empty()).then(|| Bound { name: name.to_owned(), uid })
}
