//! Questions that are answered at once and stored nowhere: may I, may they, what may I, who am I.

use http::{Response, StatusCode};
use kinds::document::{at, given, text, texts};
use kinds::field::{self, Path};
use kinds::schema;
use serde_json::{Value, json};

use crate::authz::{Attributes, Authorizer, Rule};
use crate::body::{self, Expected};
use crate::front::Asked;
use crate::identity::{MASTERS, User};
use crate::negotiate;
use crate::response::Body;
use crate::show;
use crate::status::Status;
use crate::verbs::decode;

/// Makes the status of a review.
type Judge = fn(&Authorizer, &Asked, &Value) -> Result<Value, Status>;

/// Answers a request for a review; `None` when the resource is none.
pub(crate) fn answer(authorizer: &Authorizer, asked: &Asked) -> Option<Result<Response<Body>, Status>> {
    let info = &asked.info;
    let (kind, judge): (_, Judge) = match (info.group.as_str(), info.version.as_str(), info.resource.as_str()) {
        ("authorization.k8s.io", "v1", "selfsubjectaccessreviews") => ("SelfSubjectAccessReview", own_access),
        ("authorization.k8s.io", "v1", "subjectaccessreviews") => ("SubjectAccessReview", access),
        ("authorization.k8s.io", "v1", "selfsubjectrulesreviews") => ("SelfSubjectRulesReview", rules),
        ("authentication.k8s.io", "v1", "selfsubjectreviews") => ("SelfSubjectReview", whoami),
        _ => return None,
    };
    Some(create(authorizer, asked, kind, judge))
}

fn create(authorizer: &Authorizer, asked: &Asked, kind: &'static str, judge: Judge) -> Result<Response<Body>, Status> {
    let info = &asked.info;
    if !info.name.is_empty() {
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
    review["status"] = judge(authorizer, asked, &review)?;
    show::encoded(accepted.encoding, StatusCode::CREATED, review.to_string().into())
}

fn own_access(authorizer: &Authorizer, asked: &Asked, review: &Value) -> Result<Value, Status> {
    let spec = at(review, "spec");
    decide(authorizer, "SelfSubjectAccessReview", &asked.user, spec, Vec::new())
}

fn access(authorizer: &Authorizer, _asked: &Asked, review: &Value) -> Result<Value, Status> {
    let spec = at(review, "spec");
    let (name, groups) = (text(spec, "user"), texts(spec, "groups"));
    let mut faults = Vec::new();
    if name.is_empty() && groups.is_empty() {
        let why = "at least one of user or group must be specified";
        faults.push(field::Error::invalid(&Path::new("spec").child("user"), name, why));
    }
    // As it stands there: who asks says which groups the user has.
    let mut user = User::anonymous();
    user.name = name.to_owned();
    user.groups = groups.into_iter().map(ToOwned::to_owned).collect();
    decide(authorizer, "SubjectAccessReview", &user, spec, faults)
}

fn decide(
    authorizer: &Authorizer,
    kind: &str,
    user: &User,
    spec: &Value,
    mut faults: Vec<field::Error>,
) -> Result<Value, Status> {
    let (resource, path) = (given(spec, "resourceAttributes"), given(spec, "nonResourceAttributes"));
    let wanted = match (resource, path) {
        (Some(r), None) => Attributes {
            verb: text(r, "verb"),
            group: text(r, "group"),
            resource: text(r, "resource"),
            subresource: text(r, "subresource"),
            namespace: text(r, "namespace"),
            name: text(r, "name"),
            path: "",
        },
        (None, Some(p)) => Attributes { verb: text(p, "verb"), path: text(p, "path"), ..Attributes::default() },
        (both, _) => {
            let at = if both.is_some() { "nonResourceAttributes" } else { "resourceAttributes" };
            let value = if both.is_some() { path.cloned().unwrap_or_default() } else { Value::Null };
            let why = if both.is_some() {
                "cannot be specified in combination with resourceAttributes"
            } else {
                "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            };
            faults.push(field::Error::invalid(&Path::new("spec").child(at), value, why));
            Attributes::default()
        }
    };
    if !faults.is_empty() {
        return Err(Status::invalid("authorization.k8s.io", kind, "", &faults));
    }
    Ok(json!({ "allowed": authorizer.allows(user, &wanted) }))
}

fn rules(authorizer: &Authorizer, asked: &Asked, review: &Value) -> Result<Value, Status> {
    let namespace = text(at(review, "spec"), "namespace");
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let everything = Rule { verbs: &["*"], groups: &["*"], resources: &["*"], paths: &[] };
    let every_path = Rule { verbs: &["*"], groups: &[], resources: &[], paths: &["*"] };
    let mut found: Vec<&Rule> = authorizer.rules(&asked.user, namespace).collect();
    if asked.user.is_in(MASTERS) {
        found = vec![&everything, &every_path];
    }
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    for rule in found {
        if rule.paths.is_empty() {
            resources.push(json!({ "verbs": rule.verbs, "apiGroups": rule.groups, "resources": rule.resources }));
        } else {
            paths.push(json!({ "verbs": rule.verbs, "nonResourceURLs": rule.paths }));
        }
    }
    Ok(json!({ "resourceRules": resources, "nonResourceRules": paths, "incomplete": false }))
}

fn whoami(_: &Authorizer, asked: &Asked, _: &Value) -> Result<Value, Status> {
    let user = &asked.user;
    let mut info = json!({ "username": user.name, "groups": user.groups });
    if !user.uid.is_empty() {
        info["uid"] = user.uid.as_str().into();
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    Ok(json!({ "userInfo": info }))
}
