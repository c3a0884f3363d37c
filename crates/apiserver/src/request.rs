//! From a path and a method to what is asked: verb, group, version, resource, namespace, name, subresource.

use http::Method;

#[cfg(test)]
mod tests;

/// What is asked, in the words of authorization.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// Whether it is about a resource; otherwise only `path` and `verb` say something.
    pub is_resource: bool,
    /// The path as it was sent, without the query.
    pub path: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`; for a path that is no
    /// resource the method in lower case.
    pub verb: &'static str,
    /// API group; empty for core.
    pub group: String,
    /// `v1`
    pub version: String,
    /// The namespace; empty for none (and for all).
    pub namespace: String,
    /// `services`
    pub resource: String,
    /// `status`; empty for the object itself.
    pub subresource: String,
    /// The object's name; empty for all.
    pub name: String,
    /// The field selector of a list, a watch or a deletecollection.
    pub field_selector: String,
    /// What follows the subresource, for those that have paths of their own below them.
    pub rest: Vec<String>,
}

/// Subresources of a namespace itself, as opposed to resources that live in it.
const NAMESPACE_SUBRESOURCES: &[&str] = &["status", "finalize"];

impl RequestInfo {
    /// Reads a request. `watch` says whether the query asks for a watch, `one` is the name that its field selector
    /// asks for, if it does.
    pub fn parse(method: &Method, path: &str, watch: bool, one: Option<&str>) -> Self {
        let parts: Vec<String> = path.split('/').filter(|p| !p.is_empty()).map(decode).collect();
        let other = || Self { path: path.to_owned(), verb: lower_case(method), ..Self::default() };
        let (group, version, mut parts) = match parts.first().map(String::as_str) {
            Some("api") if parts.len() > 2 => (String::new(), parts[1].clone(), &parts[2..]),
            Some("apis") if parts.len() > 3 => (parts[1].clone(), parts[2].clone(), &parts[3..]),
            _ => return other(),
        };
        let mut watch_path = false;
        if parts.first().is_some_and(|p| p == "watch") && parts.len() > 1 {
            (watch_path, parts) = (true, &parts[1..]);
        }
        let mut info = Self { is_resource: true, path: path.to_owned(), group, version, ..Self::default() };
        if parts[0] == "namespaces" && parts.len() > 1 {
            info.namespace.clone_from(&parts[1]);
            let of_namespace = parts.get(2).is_none_or(|p| NAMESPACE_SUBRESOURCES.contains(&p.as_str()));
            if !of_namespace {
                parts = &parts[2..];
            }
        }
        let mut rest = parts.iter().cloned();
        info.resource = rest.next().unwrap_or_default();
        info.name = rest.next().unwrap_or_default();
        info.subresource = rest.next().unwrap_or_default();
        info.rest = rest.collect();
        info.verb = match *method {
            Method::POST => "create",
            Method::PUT => "update",
            Method::PATCH => "patch",
            Method::DELETE if info.name.is_empty() => "deletecollection",
            Method::DELETE => "delete",
            Method::GET | Method::HEAD if watch_path => "watch",
            Method::GET | Method::HEAD if info.name.is_empty() && watch => "watch",
            Method::GET | Method::HEAD if info.name.is_empty() => "list",
            Method::GET | Method::HEAD => "get",
            _ => "",
        };
        if let ("list" | "watch" | "deletecollection", true, Some(one)) = (info.verb, info.name.is_empty(), one) {
            one.clone_into(&mut info.name);
        }
        info
    }
}

fn decode(part: &str) -> String {
    percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned()
}

fn lower_case(method: &Method) -> &'static str {
    match *method {
        Method::GET => "get",
        Method::HEAD => "head",
        Method::POST => "post",
        Method::PUT => "put",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        Method::OPTIONS => "options",
        _ => "",
    }
}
