//! HTTP/1.1 over TCP, connections kept alive.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::{Answer, Asked, Health};

/// Connections at one time.
const CONNECTIONS: usize = 4096;
/// A body longer than this, in bytes, is refused.
const BODY: usize = 1 << 20;
/// Time for a request's head.
const HEAD: Duration = Duration::from_secs(60);

/// Takes connections until told to stop, then waits for those that are open.
pub async fn serve(listener: TcpListener, health: Health, accepting: CancellationToken, ending: CancellationToken) {
    let (room, connections) = (Arc::new(Semaphore::new(CONNECTIONS)), TaskTracker::new());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = accepting.cancelled() => break,
        };
        match accepted {
            Ok((stream, client)) => {
                let Ok(permit) = Arc::clone(&room).try_acquire_owned() else { continue };
                let (health, ending) = (health.clone(), ending.clone());
                connections.spawn(async move {
                    converse(stream, client, health, ending).await;
                    drop(permit);
                });
            }
            // Out of descriptors, say: better soon than never.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn converse(stream: TcpStream, client: SocketAddr, health: Health, ending: CancellationToken) {
    // Answers are short: sent at once. A socket that is gone fails at the next read.
    let _gone = stream.set_nodelay(true);
    let service = service_fn(move |request| respond(request, client, health.clone()));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // A client that went away or spoke no HTTP has nobody to be told.
        _ended = connection.as_mut() => return,
        () = ending.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    let _ended = connection.await;
}

async fn respond(
    request: Request<Incoming>,
    client: SocketAddr,
    health: Health,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, BODY).collect().await {
        Ok(body) => body.to_bytes().to_vec(),
        Err(_) => return Ok(response(Answer { status: 413, content_type: "text/plain", body: "too long\n".into() })),
    };
    let headers = head.headers.iter();
    let headers = headers.map(|(k, v)| (k.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned())).collect();
    let asked = Asked {
        client,
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        version: format!("{:?}", head.version),
        headers,
        body,
    };
    tokio::time::sleep(health.delay(&asked.query)).await;
    Ok(response(health.answer(&asked)))
}

fn response(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() = http::StatusCode::from_u16(answer.status).unwrap_or_default();
    let content_type = http::HeaderValue::from_static(answer.content_type);
    response.headers_mut().insert(http::header::CONTENT_TYPE, content_type);
    response
}
