//! `/exec`: the handshake of a WebSocket, and a session over it.

use std::sync::Arc;

use http::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::frames::Protocol;
use super::reply::{Body, empty, refuse};
use super::route;
use super::session;
use crate::bundle::ExecRequest;
use crate::runtime::PodRuntime;

/// A client's message longer than this, in bytes, ends the session.
const MESSAGE: usize = 4 << 20;

/// Answers with a change of protocols, and runs the program over what comes of it.
pub fn answer(runtime: &PodRuntime, asked: &route::Exec, mut request: Request<Incoming>) -> Response<Body> {
    let place = &asked.place;
    let found = match runtime.find(&place.namespace, &place.pod, place.uid.as_deref(), &place.container) {
        Ok(found) => found,
        Err(error) => return refuse(StatusCode::NOT_FOUND, error.to_string()),
    };
    if asked.command.is_empty() {
        return refuse(StatusCode::BAD_REQUEST, "you must specify at least one command for the container".to_owned());
    }
    let (Some(process), Some(attempt)) = (found.process, found.attempt) else {
        let message = format!("container {:?} of pod {:?} does not run", place.container, place.pod);
        return refuse(StatusCode::BAD_REQUEST, message);
    };
    let Some((accept, protocol)) = handshake(&request) else {
        let message = "a WebSocket with the protocol v5.channel.k8s.io or v4.channel.k8s.io is needed".to_owned();
        return refuse(StatusCode::BAD_REQUEST, message);
    };
    let Ok(dir) = found.dir.container(&found.container, attempt) else {
        return refuse(StatusCode::NOT_FOUND, "404 page not found".to_owned());
    };
    let Ok(permit) = Arc::clone(runtime.execs()).try_acquire_owned() else {
        return refuse(StatusCode::TOO_MANY_REQUESTS, "too many programs run by exec on this node".to_owned());
    };
    let host = Arc::clone(runtime.host());
    let exec = session::Exec {
        program: host.config.program.clone(),
        request: ExecRequest { bundle: dir.bundle, process, args: asked.command.clone(), terminal: asked.terminal },
        streams: asked.streams,
        protocol,
    };
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => {
                let config = WebSocketConfig::default()
                    .read_buffer_size(16 << 10)
                    .write_buffer_size(0)
                    .max_message_size(Some(MESSAGE))
                    .max_frame_size(Some(MESSAGE));
                let io = TokioIo::new(upgraded);
                session::run(WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await, exec).await;
            }
            Err(error) => tracing::debug!(%error, "a client asked for exec and went away"),
        }
        drop(permit);
    });
    switching(&accept, protocol)
}

/// The key's answer and the protocol, where the request is the beginning of a WebSocket (RFC 6455, section 4.2.1).
fn handshake(request: &Request<Incoming>) -> Option<(String, Protocol)> {
    let headers = request.headers();
    let upgrade = headers.get(UPGRADE)?.to_str().ok()?;
    if !upgrade.eq_ignore_ascii_case("websocket") {
        return None;
    }
    let key = headers.get(SEC_WEBSOCKET_KEY)?;
    let offers = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|v| v.to_str().ok());
    let protocol = Protocol::choose(offers.flat_map(|v| v.split(',')).map(str::trim))?;
    Some((derive_accept_key(key.as_bytes()), protocol))
}

fn switching(accept: &str, protocol: Protocol) -> Response<Body> {
    let mut response = empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol.name()));
    if let Ok(accept) = HeaderValue::from_str(accept) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    }
    response
}
