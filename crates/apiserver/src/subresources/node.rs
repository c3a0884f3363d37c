//! `/log`, `/exec`, `/attach` and `/portforward`: what a Pod's node answers, passed through.
//!
//! The node is called ([`crate::nodes`]) at its address and port, by kubelet's paths. An upgrade (a WebSocket, SPDY) is passed on as it is asked for, and then byte by byte.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, HeaderMap};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::upgrade::OnUpgrade;
use kinds::document::{at, integer, list, text};
use kinds::field::{self, Path};
use serde_json::Value;

use crate::api::Api;
use crate::nodes::{NodeAddress, Nodes};
use crate::query::Query;
use crate::relay;
use crate::request::RequestInfo;
use crate::resources;
use crate::response::Body;
use crate::status::Status;

/// How long a node has to say why it refuses.
const ANSWER: Duration = Duration::from_secs(30);
/// What is asked of a Pod's node.
pub(crate) struct NodeCall<'a> {
    pub api: &'a Api,
    pub nodes: &'a Nodes,
    pub info: &'a RequestInfo,
    pub query: &'a Query,
}

impl NodeCall<'_> {
    fn pod(&self) -> Result<Value, Status> {
        let kind = resources::kind("", "pods").ok_or_else(Status::no_such_resource)?;
        let pod = self.api.cache.get(kind, &self.info.namespace, &self.info.name);
        pod.map(|pod| pod.document()).ok_or_else(|| Status::not_found(kind, &self.info.name))
    }

    fn address(&self, pod: &Value) -> Result<Option<NodeAddress>, Status> {
        let name = text(at(pod, "spec"), "nodeName");
        if name.is_empty() { Ok(None) } else { address(self.api, name).map(Some) }
    }

    /// `/log`
    pub async fn log(&self) -> Result<Response<Body>, Status> {
        if self.info.verb != "get" {
            return Err(Status::method_not_allowed());
        }
        check_log_options(&self.info.name, self.query)?;
        let pod = self.pod()?;
        let container = container(&pod, self.query.get("container").unwrap_or_default())?;
        let Some(node) = self.address(&pod)? else {
            // A Pod without a node has said nothing yet.
            return Ok(crate::response::text(StatusCode::OK, ""));
        };
        let options =
            ["follow", "previous", "sinceSeconds", "sinceTime", "timestamps", "tailLines", "limitBytes", "stream"];
        let pairs = options.iter().filter_map(|name| self.query.get(name).map(|value| (*name, value)));
        let path = self.path("containerLogs", &pod, &container, pairs);
        let request = request(Method::GET, &node, &path, &HeaderMap::new());
        let answer =
            self.nodes.call(&node, request?).await.map_err(|error| {
                Status::plain(format!("Get \"https://{}:{}{path}\": {error}", node.host, node.port))
            })?;
        let (head, body) = answer.into_parts();
        if !head.status.is_success() {
            return Err(refused(head.status, body).await);
        }
        let mut response = crate::response::text(StatusCode::OK, "");
        *response.body_mut() = relay::stream(body);
        Ok(response)
    }

    /// `/exec`
    pub async fn exec(&self, parts: &mut Parts) -> Result<Response<Body>, Status> {
        check_command(self.query)?;
        check_streams(self.query)?;
        let pod = self.pod()?;
        let container = container(&pod, self.query.get("container").unwrap_or_default())?;
        let commands = self.query.all("command").into_iter().map(|command| ("command", command));
        let path = self.path("exec", &pod, &container, commands.chain(streams(self.query)));
        self.connect(&pod, &path, parts).await
    }

    /// `/attach`
    pub async fn attach(&self, parts: &mut Parts) -> Result<Response<Body>, Status> {
        check_streams(self.query)?;
        let pod = self.pod()?;
        let container = container(&pod, self.query.get("container").unwrap_or_default())?;
        let path = self.path("attach", &pod, &container, streams(self.query));
        self.connect(&pod, &path, parts).await
    }

    /// `/portforward`
    pub async fn port_forward(&self, parts: &mut Parts) -> Result<Response<Body>, Status> {
        let pod = self.pod()?;
        let ports = self.query.all("ports").into_iter().flat_map(|ports| ports.split(',')).map(|port| ("port", port));
        let path = self.path("portForward", &pod, "", ports);
        self.connect(&pod, &path, parts).await
    }

    /// Asks the Pod's node for another protocol than HTTP, and passes on what is said in it.
    async fn connect(&self, pod: &Value, path: &str, parts: &mut Parts) -> Result<Response<Body>, Status> {
        if !matches!(self.info.verb, "get" | "create") {
            return Err(Status::method_not_allowed());
        }
        let node = self.address(pod)?;
        let node =
            node.ok_or_else(|| Status::bad_request(format!("pod {} does not have a host assigned", self.info.name)))?;
        let is_upgrade = relay::is_upgrade(&parts.headers);
        let Some(client) = parts.extensions.remove::<OnUpgrade>().filter(|_| is_upgrade) else {
            return Err(Status::bad_request("Upgrade request required"));
        };
        let request = request(parts.method.clone(), &node, path, &parts.headers)?;
        let answer = self.nodes.call(&node, request).await;
        let answer = answer.map_err(|error| Status::internal(format!("error dialing backend: {error}")))?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            let (head, body) = answer.into_parts();
            return Err(refused(head.status, body).await);
        }
        Ok(relay::switch(client, answer, self.api.stopping.clone()))
    }

    /// kubelet's path for the Pod, or a container of it.
    fn path<'p>(
        &self,
        what: &str,
        pod: &Value,
        container: &str,
        pairs: impl Iterator<Item = (&'p str, &'p str)>,
    ) -> String {
        let metadata = at(pod, "metadata");
        let mut path = format!("/{what}");
        let parts = [text(metadata, "namespace"), text(metadata, "name"), container];
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            // Names of objects and containers are DNS names, but that is for validation to know.
            let part = percent_encoding::utf8_percent_encode(part, percent_encoding::NON_ALPHANUMERIC).to_string();
            // Writing to a String does not fail.
            let _ = write!(path, "/{}", part.replace("%2D", "-").replace("%2E", "."));
        }
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        if query.is_empty() { path } else { format!("{path}?{query}") }
    }
}

/// Where a node's kubelet is called.
pub(crate) fn address(api: &Api, name: &str) -> Result<NodeAddress, Status> {
    let kind = resources::kind("", "nodes").ok_or_else(Status::no_such_resource)?;
    let node = api.cache.get(kind, "", name).ok_or_else(|| Status::not_found(kind, name))?.document();
    let status = at(&node, "status");
    let internal = list(status, "addresses").iter().find(|a| text(a, "type") == "InternalIP");
    let host = internal.map(|a| text(a, "address").to_owned()).filter(|a| !a.is_empty());
    let host = host.ok_or_else(|| Status::internal("no preferred addresses found; known addresses: []"))?;
    let port = integer(at(at(status, "daemonEndpoints"), "kubeletEndpoint"), "Port");
    let port = u16::try_from(port).ok().filter(|p| *p != 0).unwrap_or(10_250);
    Ok(NodeAddress { host, port })
}

fn request(
    method: Method,
    node: &NodeAddress,
    path: &str,
    headers: &HeaderMap,
) -> Result<Request<Empty<Bytes>>, Status> {
    let host = if node.host.contains(':') { format!("[{}]", node.host) } else { node.host.clone() };
    let mut request = Request::builder().method(method).uri(path).header(HOST, format!("{host}:{}", node.port));
    let passed = headers.iter().filter(|(name, _)| relay::passes(name) && *name != CONTENT_LENGTH);
    for (name, value) in passed {
        request = request.header(name, value);
    }
    for (name, value) in relay::upgrade_headers(headers) {
        request = request.header(name, value);
    }
    request.body(Empty::new()).map_err(|error| Status::bad_request(error.to_string()))
}

/// The container that is asked for, which the Pod must have; without a name, the only one.
fn container(pod: &Value, asked: &str) -> Result<String, Status> {
    let spec = at(pod, "spec");
    let name = text(at(pod, "metadata"), "name");
    let names = |field: &str| -> Vec<String> { list(spec, field).iter().map(|c| text(c, "name").to_owned()).collect() };
    let (containers, init) = (names("containers"), names("initContainers"));
    if !asked.is_empty() {
        let known = containers.iter().chain(&init).chain(&names("ephemeralContainers")).any(|c| c == asked);
        let refused = || Status::bad_request(format!("container {asked} is not valid for pod {name}"));
        return known.then(|| asked.to_owned()).ok_or_else(refused);
    }
    match containers.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(Status::bad_request(format!("a container name must be specified for pod {name}"))),
        many => {
            let mut why =
                format!("a container name must be specified for pod {name}, choose one of: [{}]", many.join(" "));
            if !init.is_empty() {
                let _ = write!(why, " or one of the init containers: [{}]", init.join(" "));
            }
            Err(Status::bad_request(why))
        }
    }
}

fn check_log_options(pod: &str, query: &Query) -> Result<(), Status> {
    let mut faults = Vec::new();
    let (tail, limit, since) =
        (query.integer("tailLines")?, query.integer("limitBytes")?, query.integer("sinceSeconds")?);
    if let Some(tail) = tail.filter(|n| *n < 0) {
        faults.push(field::Error::invalid(&Path::new("tailLines"), tail, "must be greater than or equal to 0"));
    }
    if let Some(limit) = limit.filter(|n| *n < 1) {
        faults.push(field::Error::invalid(&Path::new("limitBytes"), limit, "must be greater than 0"));
    }
    if since.is_some() && query.get("sinceTime").is_some() {
        let why = "at most one of `sinceTime` or `sinceSeconds` may be specified";
        faults.push(field::Error::forbidden(&Path::new(""), why));
    }
    if let Some(since) = since.filter(|n| *n < 1) {
        faults.push(field::Error::invalid(&Path::new("sinceSeconds"), since, "must be greater than 0"));
    }
    if faults.is_empty() { Ok(()) } else { Err(Status::invalid("", "PodLogOptions", pod, &faults)) }
}

/// What kubelet calls the streams that are asked for.
fn streams(query: &Query) -> impl Iterator<Item = (&str, &str)> {
    let streams = [("stdin", "input"), ("stdout", "output"), ("stderr", "error"), ("tty", "tty")];
    streams.into_iter().filter(|(asked, _)| query.flag(asked) == Some(true)).map(|(_, sent)| (sent, "1"))
}

fn check_command(query: &Query) -> Result<(), Status> {
    if query.all("command").is_empty() {
        return Err(Status::bad_request("you must specify at least one command for the container"));
    }
    Ok(())
}

fn check_streams(query: &Query) -> Result<(), Status> {
    let asked = |name: &str| query.flag(name) == Some(true);
    if !asked("stdin") && !asked("stdout") && !asked("stderr") {
        return Err(Status::bad_request("you must specify at least one of stdin, stdout, stderr"));
    }
    if asked("tty") && asked("stderr") {
        return Err(Status::bad_request("tty and stderr cannot both be true"));
    }
    Ok(())
}

/// What a node says when it does not do it.
async fn refused(code: StatusCode, body: hyper::body::Incoming) -> Status {
    const LIMIT: usize = 64 << 10;
    let read = tokio::time::timeout(ANSWER, http_body_util::Limited::new(body, LIMIT).collect()).await;
    let message = match read {
        Ok(Ok(body)) => String::from_utf8_lossy(&body.to_bytes()).trim().to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the node did not say why".to_owned(),
    };
    match code {
        StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST => Status::bad_request(message),
        _ => Status::internal(message),
    }
}
