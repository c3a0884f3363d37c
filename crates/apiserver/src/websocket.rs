//! Watches over a WebSocket (RFC 6455): each event is a message, text in JSON and bytes in protobuf, as in Kubernetes. It is
//! what programs in browsers follow objects with, which see no answer before its end.

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes};
use futures::{SinkExt, StreamExt};
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use http::request::Parts;
use http::{Response, StatusCode};
use http_body_util::BodyExt;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_util::sync::CancellationToken;

use crate::protobuf;
use crate::relay;
use crate::response::{Body, BodyError};

#[cfg(test)]
mod tests;

/// How long a client may take to read a message.
const PATIENCE: Duration = Duration::from_secs(30);
/// The largest message that a client may send; what it says is not looked at.
const LARGEST: usize = 64 << 10;

/// A client that wants the answer over a WebSocket.
pub(crate) struct Asked {
    client: OnUpgrade,
    accept: HeaderValue,
}

/// Why a watch over a WebSocket ended early.
#[derive(Debug, thiserror::Error)]
enum BrokenOff {
    #[error("the client")]
    Client(#[from] tungstenite::Error),
    #[error("the watch")]
    Watch(#[source] BodyError),
    #[error("a client reads too slowly")]
    Slow,
    #[error("an event that is no text")]
    Text(#[from] std::str::Utf8Error),
}

impl Asked {
    /// Takes it from a request that asks for it, over a connection that can be had (HTTP/1.1).
    pub fn take(parts: &mut Parts) -> Option<Self> {
        let protocol = parts.headers.get(UPGRADE)?;
        if !relay::is_upgrade(&parts.headers) || !protocol.as_bytes().eq_ignore_ascii_case(b"websocket") {
            return None;
        }
        let key = parts.headers.get(SEC_WEBSOCKET_KEY)?;
        let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).ok()?;
        Some(Self { client: parts.extensions.remove::<OnUpgrade>()?, accept })
    }

    /// Answers with what a watch tells, message by message; with what was answered if that is no watch.
    pub fn tell(self, answered: Response<Body>, stopping: CancellationToken) -> Response<Body> {
        if answered.status() != StatusCode::OK {
            return answered;
        }
        let is_text = answered.headers().get(CONTENT_TYPE).is_none_or(|kind| kind != protobuf::WATCH_MEDIA_TYPE);
        let (client, events) = (self.client, answered.into_body());
        tokio::spawn(async move {
            let told = async {
                match client.await {
                    Ok(upgraded) => tell(TokioIo::new(upgraded), events, is_text).await,
                    Err(error) => Err(tungstenite::Error::Io(io::Error::other(error)).into()),
                }
            };
            tokio::select! {
                // The watch ends by itself then, and is waited for here only if the client does not read.
                () = async { stopping.cancelled().await; tokio::time::sleep(PATIENCE).await } => {}
                told = told => {
                    if let Err(error) = told {
                        tracing::debug!(error = &error as &dyn std::error::Error, "a watch over a WebSocket broke off");
                    }
                }
            }
        });
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, self.accept);
        response
    }
}

/// Sends events until there are no more, or the client goes.
async fn tell(stream: impl AsyncRead + AsyncWrite + Unpin, events: Body, is_text: bool) -> Result<(), BrokenOff> {
    let config = WebSocketConfig::default().max_message_size(Some(LARGEST)).max_frame_size(Some(LARGEST));
    let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    let (mut to_client, mut from_client) = socket.split();
    let mut events = events;
    loop {
        tokio::select! {
            said = from_client.next() => match said {
                None | Some(Ok(Message::Close(_))) => break,
                Some(Err(error)) => return Err(error.into()),
                // Pings are answered when something is sent, which this does.
                Some(Ok(Message::Ping(_))) => within(to_client.flush()).await?,
                Some(Ok(_)) => {}
            },
            frame = events.frame() => {
                let Some(frame) = frame else { break };
                let Ok(mut chunk) = frame.map_err(BrokenOff::Watch)?.into_data() else { continue };
                while let Some(event) = next_event(&mut chunk, is_text) {
                    let message = match is_text {
                        true => Message::text(std::str::from_utf8(&event)?),
                        false => Message::binary(event),
                    };
                    within(to_client.send(message)).await?;
                }
            }
        }
    }
    // They are two halves of one.
    let Ok(mut socket) = to_client.reunite(from_client) else { return Ok(()) };
    within(async {
        SinkExt::close(&mut socket).await?;
        // The client closes too; TLS says goodbye after that.
        while let Some(Ok(_)) = socket.next().await {}
        Ok(socket.get_mut().shutdown().await?)
    })
    .await
}

async fn within(sending: impl Future<Output = Result<(), tungstenite::Error>>) -> Result<(), BrokenOff> {
    Ok(tokio::time::timeout(PATIENCE, sending).await.map_err(|_| BrokenOff::Slow)??)
}

/// Takes the next event from what a watch has put together, which is whole events: a line of JSON, or a message in protobuf
/// after its length, which is left out.
fn next_event(chunk: &mut Bytes, is_text: bool) -> Option<Bytes> {
    if is_text {
        let end = chunk.iter().position(|byte| *byte == b'\n')?;
        return Some(chunk.split_to(end + 1));
    }
    let length = chunk.try_get_u32().ok()? as usize;
    (length <= chunk.len()).then(|| chunk.split_to(length))
}
