//! GET with `watch`: what happens to objects, as it happens.
//!
//! A watch is a place in its kind's run of events ([`crate::cache`]). It sends, in this order: the objects that are
//! there, when it starts at no particular version; a bookmark that says that these are all, when it asked for one; and
//! then events, with a bookmark now and then. When it falls so far behind that its place is gone, it sends an error
//! event `410 Expired` and ends; so it does at its time, and when the server stops.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::Response;
use http::StatusCode;
use prometheus_client::metrics::counter::Counter;
use rand::Rng;
use serde_json::json;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::call::Call;
use super::list::too_large;
use crate::api::Api;
use crate::cache::Next;
use crate::cache::object::Object;
use crate::cache::selection::Selection;
use crate::cache::table::Event;
use crate::metrics::Counting;
use crate::negotiate::{self, Encoding, Form};
use crate::protobuf;
use crate::query::ListOptions;
use crate::response::{self, Body, BodyError};
use crate::show::View;
use crate::status::Status;

/// How many events are taken at a time.
const BATCH: usize = 256;
/// How many bytes are put together before they are sent.
const CHUNK: usize = 32 << 10;
/// How often a watch that wants bookmarks gets one.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// How long a watch lasts that does not say so, at least; Kubernetes' `--min-request-timeout`. At most twice that.
const LASTS: Duration = Duration::from_secs(1800);
/// How long a watch waits for a version that the server has not seen yet.
const PATIENCE: Duration = Duration::from_secs(3);

/// Answers with a stream of events.
pub(crate) async fn watch(call: &Call) -> Result<Response<Body>, Status> {
    let options = ListOptions::read(&call.query, true)?;
    let selection = call.selection(&options)?;
    let view = call.view()?;
    if view.accepted.encoding == Encoding::Yaml || view.accepted.form == Form::MetadataList {
        return Err(negotiate::not_acceptable(negotiate::OBJECTS));
    }
    let lasts = options.timeout.unwrap_or_else(|| LASTS.mul_f64(rand::rng().random_range(1.0..2.0)));
    let changed = call.api.cache.subscribe(call.kind);
    // What is wrong with where it begins is told as an event, as in Kubernetes.
    let (start, refused) = match start(call, &options, &selection).await {
        Ok(start) => (start, None),
        Err(status) => (Start::default(), Some(status)),
    };
    let now = Instant::now();
    let ends = now + lasts;
    let stream = Stream {
        alarm: Box::pin(sleep_until(if options.allow_bookmarks { ends.min(now + BOOKMARK_EVERY) } else { ends })),
        stopping: Box::pin(call.api.stopping.clone().cancelled_owned()),
        api: call.api.clone(),
        view,
        selection,
        changed,
        initial: start.initial,
        initial_end: start.initial_end,
        after: start.after,
        place: start.place,
        refused,
        bookmarks: options.allow_bookmarks,
        next_bookmark: now + BOOKMARK_EVERY,
        ends,
        first: true,
        counting: call.api.metrics.watching(call.kind),
    };
    let body = futures::stream::unfold(stream, |mut stream| async move {
        let chunk = stream.chunk().await?;
        Some((Ok::<_, BodyError>(chunk), stream))
    });
    // In JSON it is told apart from a list by what follows, not by its type, as in Kubernetes.
    let media_type = match view.accepted.encoding {
        Encoding::Protobuf => protobuf::WATCH_MEDIA_TYPE,
        Encoding::Json | Encoding::Yaml => "application/json",
    };
    Ok(response::typed(StatusCode::OK, media_type, Body::stream(body)))
}

/// Where a watch begins.
#[derive(Default)]
struct Start {
    /// The objects to send first.
    initial: VecDeque<Arc<Object>>,
    /// The revision of the bookmark after them, if one is wanted.
    initial_end: Option<u64>,
    /// The place to go on from.
    place: Option<u64>,
    /// The revision whose successors are told.
    after: u64,
}

async fn start(call: &Call, options: &ListOptions, selection: &Selection) -> Result<Start, Status> {
    let cache = &call.api.cache;
    let asked = options.resource_version;
    if asked.is_none() {
        call.api.catch_up().await?;
    }
    if options.send_initial_events == Some(true) {
        if let Some(version) = asked
            && !cache.reach(version, PATIENCE).await
        {
            return Err(too_large(version, cache.revision()));
        }
        let (listed, place) = cache.select_and_place(call.kind, selection);
        let initial_end = options.allow_bookmarks.then_some(listed.revision);
        return Ok(Start { initial: listed.objects.into(), initial_end, place: Some(place), after: 0 });
    }
    // A version that is not there yet is no fault: what happens up to it is not told.
    let after = asked.filter(|v| *v > 0).unwrap_or_else(|| cache.revision());
    let place = cache.place_after(call.kind, after);
    let place = place.map_err(|oldest| Status::expired(format!("too old resource version: {after} ({oldest})")))?;
    Ok(Start { place: Some(place), after, ..Start::default() })
}

struct Stream {
    api: Arc<Api>,
    view: View,
    selection: Selection,
    changed: Receiver<u64>,
    initial: VecDeque<Arc<Object>>,
    initial_end: Option<u64>,
    /// Why there is nothing to tell.
    refused: Option<Status>,
    /// The revision whose successors are told.
    after: u64,
    /// `None` when the last event has been sent.
    place: Option<u64>,
    bookmarks: bool,
    next_bookmark: Instant,
    ends: Instant,
    /// When it is time for a bookmark, or to end. Held, as is the next: to begin to wait for them costs more than the
    /// event that is waited for.
    alarm: Pin<Box<Sleep>>,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Whether nothing has been sent yet.
    first: bool,
    /// This watch, as one that is open, and the number of its kind's events that were sent.
    counting: (Counting, Counter),
}

impl Stream {
    /// What to send next, waiting for it; `None` at the end.
    async fn chunk(&mut self) -> Option<Bytes> {
        let mut out = BytesMut::new();
        if let Some(status) = self.refused.take() {
            self.write_error(&status, &mut out);
        }
        while out.len() < CHUNK {
            let Some(object) = self.initial.pop_front() else { break };
            self.write("ADDED", &object, None, &mut out);
        }
        if self.initial.is_empty()
            && let Some(revision) = self.initial_end.take()
        {
            self.write_bookmark(revision, true, &mut out);
        }
        loop {
            if !out.is_empty() {
                return Some(out.freeze());
            }
            self.changed.borrow_and_update();
            match self.api.cache.next(self.view.kind, self.place?, BATCH) {
                Next::Expired => {
                    self.place = None;
                    self.write_error(
                        &Status::expired("The resourceVersion for the provided watch is too old."),
                        &mut out,
                    );
                }
                Next::Events { events, .. } if events.is_empty() => self.wait(&mut out).await?,
                Next::Events { events, place, .. } => {
                    self.place = Some(place);
                    let after = self.after;
                    for event in events.iter().filter(|event| event.revision > after) {
                        self.tell(event, &mut out);
                    }
                }
            }
        }
    }

    /// Waits until something happens, or it is time for a bookmark; `None` when it is time to end.
    async fn wait(&mut self, out: &mut BytesMut) -> Option<()> {
        tokio::select! {

            changed = self.changed.changed() => return changed.ok(),
            () = &mut self.stopping => return None,
            () = &mut self.alarm => {}
        }
        let over = Instant::now() >= self.ends;
        if !self.bookmarks {
            return (!over).then_some(());
        }
        self.next_bookmark = Instant::now() + BOOKMARK_EVERY;
        self.alarm.as_mut().reset(self.ends.min(self.next_bookmark));
        // The last one lets the client come back to where it was.
        self.bookmark(out);
        if over {
            self.place = None;
        }
        Some(())
    }

    /// A bookmark at the newest revision, if nothing has happened up to it.
    fn bookmark(&mut self, out: &mut BytesMut) {
        let next = self.place.map(|place| self.api.cache.next(self.view.kind, place, 1));
        if let Some(Next::Events { events, revision, .. }) = next
            && events.is_empty()
            && revision >= self.after
        {
            self.write_bookmark(revision, false, out);
        }
    }

    /// An event as this watch sees it: an object comes into its selection, changes in it, or leaves it.
    fn tell(&mut self, event: &Event, out: &mut BytesMut) {
        let wanted = |object: &Option<Arc<Object>>| object.as_ref().filter(|o| self.selection.matches(o)).cloned();
        match (wanted(&event.previous), wanted(&event.current)) {
            (None, Some(object)) => self.write("ADDED", &object, Some(event), out),
            (Some(_), Some(object)) => self.write("MODIFIED", &object, Some(event), out),
            (Some(previous), None) => match (&event.gone, &event.current) {
                (Some(gone), _) => self.write("DELETED", gone, Some(event), out),
                (None, Some(current)) => {
                    // It is there, but not for this watch: its last state here, at the revision of its leaving.
                    let left = Object::new(self.view.kind, &previous.document(), current.revision);
                    self.write("DELETED", &left, None, out);
                }
                (None, None) => {}
            },
            (None, None) => {}
        }
    }

    /// Sends an object, which is that of `event` if there is one.
    fn write(&mut self, kind: &str, object: &Object, event: Option<&Event>, out: &mut BytesMut) {
        let first = std::mem::take(&mut self.first);
        self.counting.1.inc();
        if self.view.accepted.encoding != Encoding::Protobuf {
            return write_json(kind, &self.view.json(object, first), out);
        }
        let shared = event.filter(|_| self.view.accepted.form == Form::Whole).map(|event| &event.protobuf);
        // Encoded by the first watch that sends it.
        let encoded = match shared.and_then(|shared| shared.get()) {
            Some(encoded) => Ok(encoded.clone()),
            None => self.view.protobuf(object),
        };
        match encoded {
            Ok(encoded) => {
                protobuf::frame(kind, &encoded, out);
                // Another watch may have been faster; what it has put there is the same.
                let _ = shared.map(|shared| shared.set(encoded));
            }
            Err(status) => {
                self.place = None;
                self.write_error(&status, out);
            }
        }
    }

    fn write_error(&self, status: &Status, out: &mut BytesMut) {
        let json = status.encode();
        match self.view.accepted.encoding {
            Encoding::Protobuf => match protobuf::write_named(&json) {
                Ok(body) => protobuf::frame("ERROR", &body, out),
                Err(error) => tracing::error!(%error, status.message, "a watch ends without saying why"),
            },
            Encoding::Json | Encoding::Yaml => write_json("ERROR", &json, out),
        }
    }

    fn write_bookmark(&mut self, revision: u64, initial_end: bool, out: &mut BytesMut) {
        let kind = self.view.kind;
        let mut metadata = json!({ "resourceVersion": revision.to_string(), "creationTimestamp": null });
        if initial_end {
            metadata["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        let object = match self.view.accepted.form {
            Form::Table => json!({
                "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": { "resourceVersion": revision.to_string() },
                "columnDefinitions": null,
                "rows": [{ "cells": [], "object": {
                    "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
                } }],
            }),
            Form::Metadata => {
                json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata })
            }
            _ => json!({ "kind": kind.kind, "apiVersion": kind.api_version(), "metadata": metadata }),
        };
        let json = object.to_string();
        if self.view.accepted.encoding != Encoding::Protobuf {
            return write_json("BOOKMARK", json.as_bytes(), out);
        }
        match protobuf::write_named(json.as_bytes()) {
            Ok(body) => protobuf::frame("BOOKMARK", &body, out),
            Err(error) => {
                self.place = None;
                self.write_error(&error.into(), out);
            }
        }
    }
}

fn write_json(kind: &str, object: &[u8], out: &mut BytesMut) {
    out.reserve(object.len() + 48);
    out.put_slice(b"{\"type\":\"");
    out.put_slice(kind.as_bytes());
    out.put_slice(b"\",\"object\":");
    out.put_slice(object);
    out.put_slice(b"}\n");
}
