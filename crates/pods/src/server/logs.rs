//! `/containerLogs`.

use std::sync::Arc;

use http::{Response, StatusCode};
use tokio::sync::mpsc;

use super::reply::{Body, refuse, stream};
use super::route;
use crate::bundle::Record;
use crate::durable;
use crate::logs::{Read, Streaming};
use crate::runtime::PodRuntime;

/// Pieces of output that wait for a slow reader.
const WAITING: usize = 4;

/// Answers with the output, as it is or as it comes.
pub fn answer(runtime: &PodRuntime, asked: &route::Logs) -> Response<Body> {
    let place = &asked.place;
    let found = match runtime.find(&place.namespace, &place.pod, place.uid.as_deref(), &place.container) {
        Ok(found) => found,
        Err(error) => return refuse(StatusCode::NOT_FOUND, error.to_string()),
    };
    let (container, pod) = (&place.container, &place.pod);
    let attempt = match (asked.previous, found.attempt) {
        (false, Some(attempt)) => attempt,
        (false, None) => {
            let message = format!("container {container:?} in pod {pod:?} is waiting to start: ContainerCreating");
            return refuse(StatusCode::BAD_REQUEST, message);
        }
        (true, _) => match found.previous {
            Some(previous) => previous,
            None => {
                let message = format!("previous terminated container {container:?} in pod {pod:?} not found");
                return refuse(StatusCode::BAD_REQUEST, message);
            }
        },
    };
    let Ok(dir) = found.dir.container(&found.container, attempt) else {
        return refuse(StatusCode::NOT_FOUND, "404 page not found".to_owned());
    };
    let Ok(permit) = Arc::clone(runtime.log_streams()).try_acquire_owned() else {
        return refuse(StatusCode::TOO_MANY_REQUESTS, "too many log streams are open on this node".to_owned());
    };
    let (to, from) = mpsc::channel(WAITING);
    let read = Read::new(&dir.log(), asked.options.clone());
    tokio::task::spawn_blocking(move || {
        let record = dir.record();
        let has_ended = || match durable::read_json::<Record>(&record) {
            Ok(Some(record)) => record.exit.is_some() || !record.parent.is_alive(),
            // Not there any more: the Pod was removed.
            _ => true,
        };
        if let Err(error) = read.stream(Streaming { to, ended: has_ended }) {
            tracing::warn!(log = %dir.log().display(), %error, "a log cannot be read");
        }
        drop(permit);
    });
    stream(from)
}
