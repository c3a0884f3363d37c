//! Small answers over plain HTTP: health checks and metrics. What is asked is not much: few connections at once, none of
//! which may linger.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Connections at once; more wait to be accepted.
const CONNECTIONS: usize = 64;
/// How long a client may take for a request's headers, and be silent between requests.
const HEADERS: Duration = Duration::from_secs(10);
/// How long one connection may go on.
const LONGEST: Duration = Duration::from_secs(300);
/// How long to wait when no connection can be taken, as when there are too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// What is answered.
pub type Answer = Response<Full<Bytes>>;
/// Who answers. Bodies of requests are not read.
pub type Responder = Arc<dyn Fn(Parts) -> BoxFuture<'static, Answer> + Send + Sync>;

/// An answer with a body of a kind, which browsers are told not to guess, as Go's servers say it.
pub fn answer(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// The answer to a path that there is not.
pub fn not_found() -> Answer {
    answer(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "404 page not found\n")
}

/// Answers until told to stop; then the port is free again, and no connection goes on.
pub async fn serve(listener: TcpListener, responder: Responder, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let taken = tokio::select! {
            () = stop.cancelled() => return,
            taken = async {
                let permit = room.clone().acquire_owned().await;
                (listener.accept().await, permit)
            } => taken,
        };
        match taken {
            (Ok((stream, _)), Ok(permit)) => {
                let (responder, stop) = (responder.clone(), stop.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(LONGEST) => {}
                        () = connection(stream, responder) => {}
                    }
                    drop(permit);
                });
            }
            (Err(error), _) => {
                tracing::warn!(%error, "cannot take a connection");
                tokio::time::sleep(PAUSE).await;
            }
            // The semaphore is never closed.
            (Ok(_), Err(_)) => return,
        }
    }
}

async fn connection(stream: TcpStream, responder: Responder) {
    let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let answer = responder(request.into_parts().0);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADERS).title_case_headers(true);
    if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(%error, "a connection broke");
    }
}
