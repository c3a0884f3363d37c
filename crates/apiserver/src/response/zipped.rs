//! Answers that are compressed, for clients that take them so: those larger than Kubernetes compresses from on.

use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::Response;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, HeaderValue, VARY};
use http_body::Body as _;

use super::{Body, BodyError};

/// From how many bytes on an answer is compressed.
const LARGE: u64 = 128 << 10;
/// How many compressed bytes are gathered before they are sent.
const CHUNK: usize = 16 << 10;

/// Whether the client takes gzip.
pub(crate) fn is_wanted(headers: &HeaderMap) -> bool {
    let value = headers.get(ACCEPT_ENCODING).and_then(|v| v.to_str().ok()).unwrap_or_default();
    value.split(',').any(|token| token.trim() == "gzip")
}

/// The same answer, compressed if it is large and its end is known.
pub(crate) fn large(response: Response<Body>) -> Response<Body> {
    if response.body().size_hint().exact().is_none_or(|length| length <= LARGE)
        || response.headers().contains_key(CONTENT_ENCODING)
    {
        return response;
    }
    let mut response = response.map(Body::zipped);
    let headers = response.headers_mut();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    response
}

/// A body that is compressed as it is read.
pub(super) struct Zipped {
    body: Body,
    /// `None` when all has been read.
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl Zipped {
    pub fn new(body: Body) -> Self {
        // The fastest: what others save in bytes costs more in time.
        Self { body, encoder: Some(GzEncoder::new(Vec::new(), Compression::fast())) }
    }

    pub fn is_ended(&self) -> bool {
        self.encoder.is_none()
    }

    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            let Some(encoder) = &mut self.encoder else { return Poll::Ready(None) };
            match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Err(error))) => {
                    self.encoder = None;
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data()
                        && let Err(error) = encoder.write_all(&data)
                    {
                        return Poll::Ready(Some(Err(error.into())));
                    }
                    if encoder.get_ref().len() >= CHUNK {
                        return Poll::Ready(Some(Ok(std::mem::take(encoder.get_mut()).into())));
                    }
                }
                Poll::Ready(None) => {
                    let rest = self.encoder.take().map(GzEncoder::finish);
                    return Poll::Ready(rest.map(|rest| rest.map(Bytes::from).map_err(Into::into)));
                }
            }
        }
    }
}
