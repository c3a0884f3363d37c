//! Answers.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use tokio::sync::mpsc;

/// The body of an answer.
pub type Body = BoxBody<Bytes, Infallible>;

/// A refusal in words.
pub fn refuse(status: StatusCode, message: String) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(message)).boxed());
    *response.status_mut() = status;
    plain(response)
}

/// What comes over a channel, until it is closed.
pub fn stream(from: mpsc::Receiver<Vec<u8>>) -> Response<Body> {
    let frames = futures::stream::unfold(from, |mut from| async move {
        let bytes = from.recv().await?;
        Some((Ok(Frame::data(Bytes::from(bytes))), from))
    });
    plain(Response::new(BodyExt::boxed(StreamBody::new(frames))))
}

/// An answer without a body.
pub fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::new()).boxed());
    *response.status_mut() = status;
    response
}

fn plain(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}
