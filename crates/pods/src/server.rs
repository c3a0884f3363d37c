//! The node's HTTP interface, as far as it is about Pods: kubelet's own paths, which an API server passes on.
//!
//! ```text
//! GET  /containerLogs/NAMESPACE/POD/CONTAINER?follow&tailLines=N&sinceSeconds=N&sinceTime=T&timestamps&limitBytes=N&previous
//! GET  /exec/NAMESPACE/POD[/UID]/CONTAINER?command=A&command=B&stdin&stdout&stderr&tty     a WebSocket
//! ```
//! Who may ask is decided by whoever listens: [`Handler`] answers everybody.

mod exec;
mod frames;
mod logs;
mod reply;
mod route;
mod session;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;

pub use self::reply::Body;
use self::reply::refuse;
use self::route::Route;
use crate::runtime::PodRuntime;

/// Answers requests. Cheap to clone.
#[derive(Clone)]
pub struct Handler {
    runtime: PodRuntime,
}

impl Handler {
    /// For the Pods of a runtime.
    #[must_use]
    pub fn new(runtime: PodRuntime) -> Self {
        Self { runtime }
    }

    /// Answers one request. A connection that is to carry `exec` has to be served with upgrades
    /// (`hyper::server::conn::http1::Builder::serve_connection(..).with_upgrades()`).
    pub async fn handle(&self, request: Request<Incoming>) -> Response<Body> {
        let route = route::parse(request.uri());
        match (route, request.method()) {
            (Ok(Route::Logs(asked)), &Method::GET) => logs::answer(&self.runtime, &asked),
            (Ok(Route::Exec(asked)), &Method::GET | &Method::POST) => exec::answer(&self.runtime, &asked, request),
            (Ok(Route::Later(what)), _) => {
                refuse(StatusCode::NOT_IMPLEMENTED, format!("{what} is not served by this node"))
            }
            (Ok(_), method) => refuse(StatusCode::METHOD_NOT_ALLOWED, format!("{method} is not served here")),
            (Err(route::BadRoute::Unknown), _) => refuse(StatusCode::NOT_FOUND, "404 page not found".to_owned()),
            (Err(error @ route::BadRoute::Parameter(..)), _) => refuse(StatusCode::BAD_REQUEST, error.to_string()),
        }
    }
}
