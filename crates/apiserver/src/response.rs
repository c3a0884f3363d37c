//! Answers: bodies that are sent as they come, and the headers that go with them.

use std::collections::{HashSet, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures::Stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body::{Frame, SizeHint};
use serde_json::Value;

use crate::cache::object::Object;
use crate::negotiate::Encoding;
use crate::protobuf::{self, WriteError};
use crate::status::Status;
use zipped::Zipped;

pub(crate) mod pretty;
pub(crate) mod zipped;

/// Why a body breaks off.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// How much of a list is put together at a time, in bytes.
const CHUNK: usize = 64 << 10;

/// The body of an answer.
pub struct Body(Inner);

enum Inner {
    Whole(Option<Bytes>),
    List(ListBody),
    Pieces(VecDeque<Bytes>),
    Zipped(Box<Zipped>),
    Stream(Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>),
}

impl Body {
    /// A body without bytes.
    pub fn empty() -> Self {
        Self(Inner::Whole(None))
    }

    /// A body that is there at once.
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self(Inner::Whole(if bytes.is_empty() { None } else { Some(bytes) }))
    }

    /// A body that comes bit by bit.
    pub fn stream(stream: impl Stream<Item = Result<Bytes, BodyError>> + Send + 'static) -> Self {
        Self(Inner::Stream(Box::pin(stream)))
    }

    /// Whether it comes bit by bit.
    pub(crate) fn is_stream(&self) -> bool {
        matches!(self.0, Inner::Zipped(_) | Inner::Stream(_))
    }

    /// All of a body that is not a stream.
    pub(crate) fn into_whole(self) -> Bytes {
        match self.0 {
            Inner::Whole(bytes) => bytes.unwrap_or_default(),
            Inner::List(mut list) => {
                let mut out = BytesMut::new();
                while let Some(chunk) = list.chunk() {
                    out.extend_from_slice(&chunk);
                }
                out.freeze()
            }
            Inner::Pieces(pieces) => pieces.into_iter().flatten().collect(),
            Inner::Zipped(_) | Inner::Stream(_) => Bytes::new(),
        }
    }

    /// A body that is there at once, in pieces.
    pub(crate) fn pieces(pieces: Vec<Bytes>) -> Self {
        Self(Inner::Pieces(pieces.into_iter().filter(|piece| !piece.is_empty()).collect()))
    }

    /// The same, compressed as it is read.
    pub(crate) fn zipped(self) -> Self {
        Self(Inner::Zipped(Box::new(Zipped::new(self))))
    }

    /// The objects of a list, between `head` and `tail`, each after what `item` makes of it.
    pub(crate) fn list(head: Bytes, objects: Vec<Arc<Object>>, tail: Bytes, item: ItemForm) -> Self {
        let commas = objects.len().saturating_sub(1);
        let items: usize = objects.iter().map(|o| item.length(o)).sum();
        let left = (head.len() + items + commas + tail.len()) as u64;
        Self(Inner::List(ListBody { head, objects: objects.into(), tail, item, left, first: true }))
    }
}

/// What a list shows of each object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ItemForm {
    /// All but kind and version.
    Object,
    /// The metadata, as a `PartialObjectMetadata`.
    Metadata,
}

/// What comes before an object's metadata when only that is shown.
pub(crate) const METADATA_HEAD: &str =
    "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/v1\",\"metadata\":";

impl ItemForm {
    fn length(self, object: &Object) -> usize {
        match self {
            Self::Object => 1 + object.item().len(),
            Self::Metadata => METADATA_HEAD.len() + object.metadata().len() + 1,
        }
    }

    fn write(self, object: &Object, out: &mut BytesMut) {
        match self {
            Self::Object => {
                out.extend_from_slice(b"{");
                out.extend_from_slice(object.item());
            }
            Self::Metadata => {
                out.extend_from_slice(METADATA_HEAD.as_bytes());
                out.extend_from_slice(object.metadata());
                out.extend_from_slice(b"}");
            }
        }
    }
}

/// Puts a list together as it is read: at no time is there more of it than a chunk.
struct ListBody {
    head: Bytes,
    objects: VecDeque<Arc<Object>>,
    tail: Bytes,
    item: ItemForm,
    /// Bytes that have not been read.
    left: u64,
    first: bool,
}

impl ListBody {
    fn chunk(&mut self) -> Option<Bytes> {
        if self.left == 0 {
            return None;
        }
        let mut out = BytesMut::with_capacity(CHUNK.min(usize::try_from(self.left).unwrap_or(CHUNK)));
        out.extend_from_slice(&std::mem::take(&mut self.head));
        while out.len() < CHUNK {
            let Some(object) = self.objects.pop_front() else {
                out.extend_from_slice(&std::mem::take(&mut self.tail));
                break;
            };
            if !std::mem::take(&mut self.first) {
                out.extend_from_slice(b",");
            }
            self.item.write(&object, &mut out);
        }
        self.left = self.left.saturating_sub(out.len() as u64);
        Some(out.freeze())
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Inner::Whole(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Inner::List(list) => Poll::Ready(list.chunk().map(|b| Ok(Frame::data(b)))),
            Inner::Pieces(pieces) => Poll::Ready(pieces.pop_front().map(|b| Ok(Frame::data(b)))),
            Inner::Zipped(zipped) => zipped.poll(context).map(|n| n.map(|r| r.map(Frame::data))),
            Inner::Stream(stream) => stream.as_mut().poll_next(context).map(|n| n.map(|r| r.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Whole(bytes) => bytes.is_none(),
            Inner::List(list) => list.left == 0,
            Inner::Pieces(pieces) => pieces.is_empty(),
            Inner::Zipped(zipped) => zipped.is_ended(),
            Inner::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Inner::List(list) => SizeHint::with_exact(list.left),
            Inner::Pieces(pieces) => SizeHint::with_exact(pieces.iter().map(|b| b.len() as u64).sum()),
            Inner::Zipped(_) | Inner::Stream(_) => SizeHint::default(),
        }
    }
}

/// JSON with this status.
pub(crate) fn json(code: StatusCode, body: Body) -> Response<Body> {
    typed(code, "application/json", body)
}

/// Text with this status.
pub(crate) fn text(code: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    typed(code, "text/plain; charset=utf-8", Body::whole(body))
}

/// Anything.
pub(crate) fn typed(code: StatusCode, media_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

/// A `Status` with this code.
pub(crate) fn status(code: StatusCode, status: &Status, encoding: Encoding) -> Response<Body> {
    let json = status.encode();
    // What cannot be written as it is wanted is JSON, which clients find out from its type.
    encoded(encoding, code, json.clone().into()).unwrap_or_else(|_| self::json(code, Body::whole(json)))
}

/// Bytes of JSON, or what they are in another encoding.
pub(crate) fn encoded(encoding: Encoding, code: StatusCode, json: Bytes) -> Result<Response<Body>, Status> {
    match encoding {
        Encoding::Json => Ok(self::json(code, Body::whole(json))),
        Encoding::Yaml => {
            let document: Value = serde_json::from_slice(&json).map_err(|e| Status::internal(e.to_string()))?;
            let yaml = serde_saphyr::to_string(&document).map_err(|e| Status::internal(e.to_string()))?;
            Ok(typed(code, "application/yaml", Body::whole(yaml)))
        }
        Encoding::Protobuf => {
            let body = protobuf::write_named(&json)?;
            Ok(typed(code, protobuf::MEDIA_TYPE, Body::whole(body)))
        }
    }
}

impl From<WriteError> for Status {
    fn from(error: WriteError) -> Self {
        tracing::error!(error = &error as &dyn std::error::Error, "an object cannot be written in protobuf");
        Self::internal(error.to_string())
    }
}

/// A refusal.
pub(crate) fn refusal(status: &Status, encoding: Encoding) -> Response<Body> {
    let mut response = self::status(status.code, status, encoding);
    let seconds = status.details.as_ref().map_or(0, |d| d.retry_after_seconds);
    if seconds > 0 {
        response.headers_mut().insert(http::header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    add_warnings(&mut response, &status.warnings);
    response
}

/// How many characters of warnings there may be until each is cut, and how many are left of each then: Kubernetes' own.
const WARNINGS: usize = 4096;
const OF_EACH: usize = 256;

/// Adds a `Warning: 299 - "…"` for each text, once.
pub(crate) fn add_warnings(response: &mut Response<Body>, warnings: &[String]) {
    const WARNING: HeaderName = http::header::WARNING;
    let mut seen = HashSet::new();
    let told: Vec<&String> = warnings.iter().filter(|warning| seen.insert(warning.as_str())).collect();
    let all: usize = told.iter().map(|warning| warning.chars().count()).sum();
    let most = if all > WARNINGS { OF_EACH } else { WARNINGS };
    let mut written = 0;
    for warning in told {
        if written >= WARNINGS {
            return;
        }
        let warning: String = warning.chars().take(most).collect();
        written += warning.chars().count();
        response.headers_mut().extend(warning_value(&warning).map(|value| (WARNING, value)));
    }
}

/// Adds a warning before those that are there.
pub(crate) fn add_first_warning(response: &mut Response<Body>, warning: &str) {
    let headers = response.headers_mut();
    let others: Vec<HeaderValue> = headers.get_all(http::header::WARNING).iter().cloned().collect();
    let first = warning_value(warning).filter(|first| !others.contains(first));
    headers.remove(http::header::WARNING);
    for value in first.into_iter().chain(others) {
        headers.append(http::header::WARNING, value);
    }
}

fn warning_value(warning: &str) -> Option<HeaderValue> {
    let quoted: String = warning.chars().filter(|c| !c.is_control()).flat_map(escape).collect();
    // Only control characters cannot be in a header, and there are none left.
    HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()).ok()
}

fn escape(c: char) -> impl Iterator<Item = char> {
    let backslash = matches!(c, '"' | '\\').then_some('\\');
    backslash.into_iter().chain(std::iter::once(c))
}
