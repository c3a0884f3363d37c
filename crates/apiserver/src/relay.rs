//! Between a client and whom it is passed on to: which headers go on, bodies as they come, and connections that became
//! something else than HTTP.

use http::header::{CONNECTION, HeaderMap, HeaderName, UPGRADE};
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;

use crate::response::{Body, BodyError};

/// Headers of one connection only, which are not passed on; `Connection` and `Upgrade` are, with an upgrade.
/// `Authorization` is for us alone.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "upgrade",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "authorization",
    "host",
];

/// Whether a header is passed on.
pub(crate) fn passes(name: &HeaderName) -> bool {
    !HOP_BY_HOP.contains(&name.as_str()) && !name.as_str().starts_with("impersonate-")
}

/// Whether the client asks for another protocol.
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(UPGRADE)
}

/// The headers that ask for the protocol that the client asks for.
pub(crate) fn upgrade_headers(headers: &HeaderMap) -> impl Iterator<Item = (HeaderName, http::HeaderValue)> {
    let upgrade = headers.get(UPGRADE).cloned();
    let connection = upgrade.is_some().then(|| (CONNECTION, http::HeaderValue::from_static("Upgrade")));
    connection.into_iter().chain(upgrade.map(|upgrade| (UPGRADE, upgrade)))
}

/// A body as it comes.
pub(crate) fn stream(body: Incoming) -> Body {
    let data = futures::stream::unfold(body, |mut body| async move {
        loop {
            let frame = body.frame().await?;
            match frame.map(http_body::Frame::into_data) {
                Ok(Ok(data)) => return Some((Ok::<_, BodyError>(data), body)),
                // Trailers say nothing here.
                Ok(Err(_)) => {}
                Err(error) => return Some((Err(error.into()), body)),
            }
        }
    });
    Body::stream(data)
}

/// Answers the client as the other side did, which takes the other protocol, and passes bytes both ways until one side
/// ends, or the server stops.
pub(crate) fn switch(client: OnUpgrade, mut answer: Response<Incoming>, stopping: CancellationToken) -> Response<Body> {
    let server = hyper::upgrade::on(&mut answer);
    tokio::spawn(async move {
        tokio::select! {
            () = stopping.cancelled() => {}
            () = tunnel(client, server) => {}
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = answer.headers().clone();
    response
}

async fn tunnel(client: OnUpgrade, server: OnUpgrade) {
    let (client, server) = match tokio::try_join!(client, server) {
        Ok(both) => both,
        Err(error) => {
            tracing::debug!(%error, "an upgrade did not happen");
            return;
        }
    };
    let copied = tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(server)).await;
    if let Err(error) = copied {
        tracing::debug!(%error, "a stream to a node broke");
    }
}
