//! What both servers are asked: some requests in turn.

use serde_json::{Value, json};

pub const SERVICES: &str = "/api/v1/namespaces/default/services";
const JSON: &str = "application/json";

/// A request.
pub struct Step {
    pub method: &'static str,
    pub path: String,
    pub media: &'static str,
    pub body: String,
}

/// Requests that make a story; what it made is deleted after it.
pub struct Case {
    pub name: String,
    pub steps: Vec<Step>,
}

impl Case {
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), steps: Vec::new() }
    }

    fn step(mut self, method: &'static str, path: impl Into<String>, media: &'static str, body: &Value) -> Self {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.steps.push(Step { method, path: path.into(), media, body });
        self
    }

    pub fn post(self, path: impl Into<String>, body: &Value) -> Self {
        self.step("POST", path, JSON, body)
    }

    pub fn put(self, path: impl Into<String>, body: &Value) -> Self {
        self.step("PUT", path, JSON, body)
    }

    pub fn get(self, path: impl Into<String>) -> Self {
        self.step("GET", path, JSON, &Value::Null)
    }

    pub fn delete(self, path: impl Into<String>) -> Self {
        self.step("DELETE", path, JSON, &Value::Null)
    }

    pub fn merge(self, path: impl Into<String>, body: &Value) -> Self {
        self.step("PATCH", path, "application/merge-patch+json", body)
    }

    pub fn strategic(self, path: impl Into<String>, body: &Value) -> Self {
        self.step("PATCH", path, "application/strategic-merge-patch+json", body)
    }

    pub fn json_patch(self, path: impl Into<String>, body: &Value) -> Self {
        self.step("PATCH", path, "application/json-patch+json", body)
    }

    /// `path` has the field manager in its query.
    pub fn apply(self, path: impl Into<String>, body: &Value) -> Self {
        self.step("PATCH", path, "application/apply-patch+yaml", body)
    }

    /// What it may have made, by paths.
    pub fn made(&self) -> Vec<String> {
        let made = self.steps.iter().filter_map(|step| {
            let body: Value = serde_json::from_str(&step.body).ok()?;
            let path = step.path.split('?').next()?;
            match step.method {
                "POST" => {
                    Some(format!("{path}/{}", body["metadata"]["name"].as_str().filter(|name| !name.is_empty())?))
                }
                "PUT" | "PATCH" => Some(path.trim_end_matches("/status").to_owned()),
                _ => None,
            }
        });
        let is_path = |path: &String| path.chars().all(|c| c.is_ascii_alphanumeric() || "/.:-".contains(c));
        let mut made: Vec<_> = made.filter(is_path).collect();
        made.sort();
        made.dedup();
        made
    }
}

/// A Service with a port, if the specification names none.
pub fn service(spec: &Value) -> Value {
    let mut spec = spec.clone();
    if spec.get("ports").is_none() {
        spec["ports"] = json!([{ "port": 80 }]);
    }
    json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "s" }, "spec": spec })
}

/// The path of that Service.
pub fn path() -> String {
    format!("{SERVICES}/s")
}

/// A document with the fields of several.
pub fn merged<'a>(parts: impl IntoIterator<Item = &'a Value>) -> Value {
    let mut out = serde_json::Map::new();
    for part in parts {
        out.extend(part.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
    }
    out.into()
}
