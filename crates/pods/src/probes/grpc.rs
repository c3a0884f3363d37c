//! A question in gRPC's health protocol, over HTTP/2 without TLS. Its two messages have one field each, so they are read
//! and written here.

use bytes::{BufMut, Bytes, BytesMut};
use http::header::{CONTENT_TYPE, HeaderValue, TE, USER_AGENT};
use http::{Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::connect;
use super::outcome::Outcome;

/// `HealthCheckResponse.ServingStatus.SERVING`.
const SERVING: u64 = 1;
/// As much of an answer is read, in bytes.
const BODY: usize = 4096;

/// Asks whether a service is served; the empty name is the whole server.
pub async fn ask(host: &str, port: u16, service: &str) -> Outcome {
    match call(host, port, service).await {
        Ok(SERVING) => Outcome::Well,
        Ok(status) => Outcome::Ill(format!("service unhealthy (responded with status {status})")),
        Err(why) => Outcome::Ill(why),
    }
}

async fn call(host: &str, port: u16, service: &str) -> Result<u64, String> {
    let refused = |e: std::io::Error| format!("failed to connect to {host}:{port}: {e}");
    let stream = connect::tcp(host, port).await.map_err(refused)?;
    let broken = |e: hyper::Error| format!("health rpc failed: {e}");
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.map_err(broken)?;
    let driver = tokio::spawn(connection);
    let authority = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(format!("http://{authority}/grpc.health.v1.Health/Check"))
        .body(Full::new(question(service)))
        .map_err(|e| format!("health rpc failed: {e}"))?;
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    headers.insert(USER_AGENT, HeaderValue::from_static("kube-probe/1.36"));
    let response = sender.send_request(request).await.map_err(broken)?;
    let in_head = response.headers().get("grpc-status").cloned();
    let body = Limited::new(response.into_body(), BODY).collect().await;
    let body = body.map_err(|e| format!("health rpc failed: {e}"))?;
    driver.abort();
    let in_tail = body.trailers().and_then(|t| t.get("grpc-status").cloned());
    match in_head.or(in_tail).as_ref().and_then(|status| status.to_str().ok()) {
        Some("0") => answer(&body.to_bytes()).ok_or_else(|| "health rpc failed: the answer is none".to_owned()),
        Some("12") => Err("the server does not have gRPC's health service".to_owned()),
        Some(status) => Err(format!("health rpc failed: status {status}")),
        None => Err("health rpc failed: an answer without a status".to_owned()),
    }
}

/// Not compressed, length, and `HealthCheckRequest{service = 1}`.
fn question(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0x0a);
        put_varint(&mut message, service.len() as u64);
        message.put_slice(service.as_bytes());
    }
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap_or(0));
    framed.put_slice(&message);
    framed.freeze()
}

fn put_varint(into: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        into.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    into.put_u8((value & 0x7f) as u8);
}

/// The status of `HealthCheckResponse{status = 1}`, 0 when it is left out.
fn answer(framed: &[u8]) -> Option<u64> {
    let (head, message) = framed.split_at_checked(5)?;
    let length = u32::from_be_bytes(head.get(1..5)?.try_into().ok()?);
    if head.first() != Some(&0) || usize::try_from(length).ok()? != message.len() {
        return None;
    }
    let mut rest = message;
    let mut status = 0;
    while !rest.is_empty() {
        match varint(&mut rest)? {
            0x08 => status = varint(&mut rest)?,
            key if key & 7 == 0 => drop(varint(&mut rest)?),
            key if key & 7 == 2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                rest = rest.get(length..)?;
            }
            _ => return None,
        }
    }
    Some(status)
}

fn varint(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests;
