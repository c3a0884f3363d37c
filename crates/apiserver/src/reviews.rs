//! Questions that are answered at once and stored nowhere: may I, may they, what may I, who am I, whose token is it.

use http::{Response, StatusCode};
use kinds::document::{at, given, list, text, texts};
use kinds::field::{self, Path};
use kinds::schema;
use serde_json::{Value, json};

use crate::authz::{Attributes, node};
use crate::body::{self, Expected};
use crate::front::{Asked, Front};
use crate::identity::User;
use crate::negotiate;
use crate::response::Body;
use crate::show;
use crate::status::Status;
use crate::verbs::decode;

/// Makes the status of a review.
type Judge = fn(&Front, &Asked, &Value) -> Result<Value, Status>;

/// The group of the reviews of rights.
const AUTHORIZATION: &str = "authorization.k8s.io";

/// Answers a request for a review; `None` when the resource is none.
pub(crate) fn answer(front: &Front, asked: &Asked) -> Option<Result<Response<Body>, Status>> {
    let info = &asked.info;
    let (kind, judge): (_, Judge) = match (info.group.as_str(), info.version.as_str(), info.resource.as_str()) {
        (AUTHORIZATION, "v1", "selfsubjectaccessreviews") => ("SelfSubjectAccessReview", own_access),
        (AUTHORIZATION, "v1", "subjectaccessreviews") => ("SubjectAccessReview", access),
        (AUTHORIZATION, "v1", "localsubjectaccessreviews") => ("LocalSubjectAccessReview", local_access),
        (AUTHORIZATION, "v1", "selfsubjectrulesreviews") => ("SelfSubjectRulesReview", rules),
        ("authentication.k8s.io", "v1", "selfsubjectreviews") => ("SelfSubjectReview", whoami),
        ("authentication.k8s.io", "v1", "tokenreviews") => ("TokenReview", token),
        _ => return None,
    };
    Some(create(front, asked, kind, judge))
}

fn create(front: &Front, asked: &Asked, kind: &'static str, judge: Judge) -> Result<Response<Body>, Status> {
    let info = &asked.info;
    let local = kind == "LocalSubjectAccessReview";
    if !info.name.is_empty() || info.namespace.is_empty() == local {
        return Err(Status::no_such_resource());
    }
    if info.verb != "create" {
        return Err(Status::method_not_allowed());
    }
    let of_type = schema::by_kind(&info.group, "v1", kind);
    let of_type = of_type.ok_or_else(|| Status::internal(format!("no schema of {kind}")))?;
    let group = of_type.gvk().map_or("", |gvk| gvk.group);
    let expected = Expected { group, version: "v1", kind, of_type };
    let accepted = negotiate::object(&asked.parts.headers)?;
    let header = asked.parts.headers.get(http::header::CONTENT_TYPE);
    let content_type = header.and_then(|v| v.to_str().ok()).unwrap_or_default();
    let json = decode::json(&asked.body, content_type, of_type)?;
    let content_type = if json.len() == asked.body.len() { content_type } else { "application/json" };
    let mut review = body::object(&json, content_type, &expected)?.document;
    if local && text(at(&review, "metadata"), "namespace").is_empty() {
        review["metadata"]["namespace"] = info.namespace.as_str().into();
    }
    review["status"] = judge(front, asked, &review)?;
    show::encoded(accepted.encoding, StatusCode::CREATED, review.to_string().into())
}

fn own_access(front: &Front, asked: &Asked, review: &Value) -> Result<Value, Status> {
    let kind = "SelfSubjectAccessReview";
    let mut faults = attribute_faults(at(review, "spec"));
    faults.extend(metadata_fault(review, ""));
    decide(front, kind, &asked.user, at(review, "spec"), &faults)
}

fn access(front: &Front, _: &Asked, review: &Value) -> Result<Value, Status> {
    let spec = at(review, "spec");
    let mut faults = attribute_faults(spec);
    faults.extend(subject_fault(spec));
    faults.extend(metadata_fault(review, ""));
    decide(front, "SubjectAccessReview", &subject(spec), spec, &faults)
}

fn local_access(front: &Front, asked: &Asked, review: &Value) -> Result<Value, Status> {
    let (spec, namespace) = (at(review, "spec"), text(at(review, "metadata"), "namespace"));
    let mut faults = attribute_faults(spec);
    faults.extend(subject_fault(spec));
    faults.extend(metadata_fault(review, namespace));
    let wanted = given(spec, "resourceAttributes").map(|attributes| text(attributes, "namespace"));
    if let Some(wanted) = wanted.filter(|wanted| *wanted != namespace) {
        let path = Path::new("spec.resourceAttributes.namespace");
        faults.push(field::Error::invalid(&path, wanted, "must match metadata.namespace"));
    }
    if let Some(path) = given(spec, "nonResourceAttributes") {
        let at = Path::new("spec.nonResourceAttributes");
        let fault = field::Error::invalid(&at, Value::Null, "disallowed on this kind of request");
        faults.push(fault.printed_as(print_path_attributes(path)));
    }
    if faults.is_empty() && namespace != asked.info.namespace {
        let why = format!("spec.resourceAttributes.namespace must match namespace: {}", asked.info.namespace);
        return Err(Status::bad_request(why));
    }
    decide(front, "LocalSubjectAccessReview", &subject(spec), spec, &faults)
}

/// The user of a review, who is in the groups that the review says.
fn subject(spec: &Value) -> User {
    let mut user = User::anonymous();
    user.name = text(spec, "user").to_owned();
    user.uid = text(spec, "uid").to_owned();
    user.groups = texts(spec, "groups").into_iter().map(ToOwned::to_owned).collect();
    user
}

fn subject_fault(spec: &Value) -> Option<field::Error> {
    let name = text(spec, "user");
    let why = "at least one of user or group must be specified";
    let nobody = name.is_empty() && texts(spec, "groups").is_empty();
    nobody.then(|| field::Error::invalid(&Path::new("spec").child("user"), name, why))
}

/// The faults of what is asked: exactly one of the two kinds of attributes.
fn attribute_faults(spec: &Value) -> Vec<field::Error> {
    let (resource, path) = (given(spec, "resourceAttributes"), given(spec, "nonResourceAttributes"));
    let fault = |at: &str, printed: String, why: &str| {
        field::Error::invalid(&Path::new("spec").child(at), Value::Null, why).printed_as(printed)
    };
    match (resource, path) {
        (Some(_), Some(path)) => {
            let why = "cannot be specified in combination with resourceAttributes";
            vec![fault("nonResourceAttributes", print_path_attributes(path), why)]
        }
        (None, None) => {
            let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
            vec![fault("resourceAttributes", "null".to_owned(), why)]
        }
        (Some(resource), None) => {
            let path = Path::new("spec.resourceAttributes");
            ["fieldSelector", "labelSelector"]
                .into_iter()
                .filter_map(|selector| selector_fault(&path.child(selector), given(resource, selector)?))
                .collect()
        }
        (None, Some(_)) => Vec::new(),
    }
}

fn selector_fault(path: &Path, selector: &Value) -> Option<field::Error> {
    let (raw, requirements) = (text(selector, "rawSelector"), list(selector, "requirements"));
    match (raw.is_empty(), requirements.is_empty()) {
        (false, false) => {
            let why = "may not specified at the same time as requirements";
            Some(field::Error::invalid(&path.child("rawSelector"), raw, why))
        }
        (true, true) => {
            let why = format!("when {path} is specified, requirements or rawSelector is required");
            Some(field::Error::required(&path.child("requirements"), why))
        }
        _ => None,
    }
}

/// The fault of metadata in a review, which is no object and has none, but perhaps a namespace.
fn metadata_fault(review: &Value, namespace: &str) -> Option<field::Error> {
    let metadata = review.get("metadata").and_then(Value::as_object)?;
    let ignored = |name: &str| name == "managedFields" || (name == "namespace" && !namespace.is_empty());
    let said = metadata.iter().any(|(name, value)| !ignored(name) && !kinds::document::is_zero(value));
    let why = if namespace.is_empty() { "must be empty" } else { "must be empty except for namespace" };
    said.then(|| field::Error::invalid(&Path::new("metadata"), review["metadata"].clone(), why))
}

fn print_path_attributes(attributes: &Value) -> String {
    let part = |name: &str| field::marshal(&json!(text(attributes, name)));
    format!("{{\"Path\":{},\"Verb\":{}}}", part("path"), part("verb"))
}

fn decide(front: &Front, kind: &str, user: &User, spec: &Value, faults: &[field::Error]) -> Result<Value, Status> {
    if !faults.is_empty() {
        return Err(Status::invalid(AUTHORIZATION, kind, "", faults));
    }
    let fields = given(spec, "resourceAttributes").map(selected_fields).unwrap_or_default();
    let wanted = match given(spec, "resourceAttributes") {
        Some(r) => Attributes {
            verb: text(r, "verb"),
            group: text(r, "group"),
            resource: text(r, "resource"),
            subresource: text(r, "subresource"),
            namespace: text(r, "namespace"),
            name: text(r, "name"),
            path: "",
            field_selector: &fields,
        },
        None => {
            let p = at(spec, "nonResourceAttributes");
            Attributes { verb: text(p, "verb"), path: text(p, "path"), ..Attributes::default() }
        }
    };
    let decision = front.api.authorizer.decide(user, &wanted);
    let mut status = json!({ "allowed": decision.allowed });
    if !decision.reason.is_empty() {
        status["reason"] = decision.reason.into();
    }
    Ok(status)
}

/// The field selector that a review speaks of, as a query says it.
fn selected_fields(attributes: &Value) -> String {
    let selector = at(attributes, "fieldSelector");
    let raw = text(selector, "rawSelector");
    if !raw.is_empty() {
        return raw.to_owned();
    }
    let one = |requirement: &Value| match (text(requirement, "operator"), texts(requirement, "values").as_slice()) {
        ("In", [value]) => Some(format!("{}={value}", text(requirement, "key"))),
        _ => None,
    };
    list(selector, "requirements").iter().filter_map(one).collect::<Vec<_>>().join(",")
}

fn rules(front: &Front, asked: &Asked, review: &Value) -> Result<Value, Status> {
    let namespace = text(at(review, "spec"), "namespace");
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let (found, mut error) = front.api.authorizer.rules(&asked.user, namespace);
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    for rule in found {
        if !rule.resources.is_empty() {
            let mut shown = json!({ "verbs": rule.verbs, "apiGroups": rule.groups, "resources": rule.resources });
            if !rule.names.is_empty() {
                shown["resourceNames"] = rule.names.into();
            }
            resources.push(shown);
        }
        if !rule.paths.is_empty() {
            paths.push(json!({ "verbs": rule.verbs, "nonResourceURLs": rule.paths }));
        }
    }
    let is_node = node::name_of(&asked.user).is_some();
    if is_node {
        let of_node = "node authorizer does not support user rule resolution";
        error = Some(error.map_or_else(|| of_node.to_owned(), |error| format!("[{of_node}, {error}]")));
    }
    let mut status = json!({ "resourceRules": resources, "nonResourceRules": paths, "incomplete": is_node });
    if let Some(error) = error {
        status["evaluationError"] = error.into();
    }
    Ok(status)
}

fn whoami(_: &Front, asked: &Asked, _: &Value) -> Result<Value, Status> {
    Ok(json!({ "userInfo": user_info(&asked.user) }))
}

fn token(front: &Front, _: &Asked, review: &Value) -> Result<Value, Status> {
    let spec = at(review, "spec");
    let token = text(spec, "token");
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    Ok(match front.authenticator.review(token, &texts(spec, "audiences")) {
        Ok((user, audiences)) => {
            json!({ "authenticated": true, "user": user_info(&user), "audiences": audiences })
        }
        Err(why) => json!({ "user": {}, "error": why.to_string() }),
    })
}

/// A user as reviews show them.
fn user_info(user: &User) -> Value {
    let mut info = json!({ "username": user.name, "groups": user.groups });
    if !user.uid.is_empty() {
        info["uid"] = user.uid.as_str().into();
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}
