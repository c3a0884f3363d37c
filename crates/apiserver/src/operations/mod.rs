//! What only an administrator does, below `/portolan.dev/`: take a backup of all objects, bring one back, seal Secrets
//! with a new key. All of it while the server runs.
//!
//! | | |
//! |---|---|
//! | `GET /portolan.dev/backup` | every record at one revision, as [`archive`] writes it |
//! | `PUT /portolan.dev/restore` | such an archive: afterwards there is what was there then |
//! | `POST /portolan.dev/rotate-secrets-key` | a new key, and every Secret sealed with it |
//!
//! Leases and Events are in a backup and are not brought back: nodes that live renew their leases, and would seem dead
//! with old ones. A restore is one transaction: who watches sees it as one change, and nobody sees half of it. Secrets
//! stay sealed in a backup, so the keys beside the store are needed to bring them back.

pub(crate) mod archive;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, Collected, LengthLimitError, Limited};
use kinds::registry;
use serde_json::json;
use store::{Record, Transaction};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::api::{Api, Uncommitted};
use crate::cache::object::Object;
use crate::front::{Asked, Front};
use crate::keys::{self, Folders};
use crate::resealing;
use crate::response::{self, Body, BodyError};
use crate::status::Status;
use archive::{Archive, Writer};

/// Where a backup is brought back.
pub(crate) const RESTORE: &str = "/portolan.dev/restore";
const BACKUP: &str = "/portolan.dev/backup";
const ROTATE: &str = "/portolan.dev/rotate-secrets-key";
/// The largest backup that is taken back, in bytes.
const LARGEST: usize = 1 << 30;
/// How much of a backup is put together before it is sent.
const CHUNK: usize = 64 << 10;
/// How many chunks wait to be sent, and for how long the next one waits for room.
const WAITING: usize = 8;
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a restore is planned anew because something was written meanwhile.
const TRIES: usize = 64;

/// Answers a request below `/portolan.dev/`; `None` for all others.
pub(crate) async fn answer(front: &Front, asked: &Asked) -> Option<Result<Response<Body>, Status>> {
    let api = &front.api;
    Some(match (&asked.parts.method, asked.info.path.as_str()) {
        (&Method::GET, BACKUP) => Ok(backup(api)),
        (&Method::PUT, RESTORE) => restore(api, asked).await,
        (&Method::POST, ROTATE) => rotate(api).await,
        (_, BACKUP | RESTORE | ROTATE) => Err(Status::method_not_allowed()),
        _ => return None,
    })
}

async fn rotate(api: &Arc<Api>) -> Result<Response<Body>, Status> {
    let authority = api.config.authority.clone();
    let rotated = tokio::task::spawn_blocking(move || authority.secret_keys().rotate()).await;
    let rotated = rotated.map_err(|error| Status::internal(error.to_string()))?;
    rotated.map_err(|error| Status::internal(error.to_string()))?;
    let sealed = resealing::run(api).await?;
    tracing::info!(sealed, "Secrets are sealed with a new key");
    Ok(response::json(StatusCode::OK, Body::whole(json!({ "sealed": sealed }).to_string())))
}

fn backup(api: &Arc<Api>) -> Response<Body> {
    let (send, receive) = mpsc::channel(WAITING);
    let (api, runtime) = (api.clone(), Handle::current());
    tokio::task::spawn_blocking(move || {
        if let Err(error) = write(&api, &runtime, &send) {
            tracing::warn!(error, "a backup breaks off");
            // The reader may be gone; else it learns from this that the backup is not whole.
            _ = send.blocking_send(Err(error.into()));
        }
    });
    let stream = futures::stream::unfold(receive, |mut receive| async move {
        let chunk: Result<Bytes, BodyError> = receive.recv().await?;
        Some((chunk, receive))
    });
    response::typed(StatusCode::OK, "application/octet-stream", Body::stream(stream))
}

/// Writes all records. Blocks on the disk and on the reader, but not for longer than [`PATIENCE`] at a time.
fn write(api: &Api, runtime: &Handle, send: &mpsc::Sender<Result<Bytes, BodyError>>) -> Result<(), String> {
    let mut writer = Writer::new();
    let mut fault = None;
    let pass_on = |bytes: &mut BytesMut, most: usize| {
        if bytes.len() <= most {
            return Ok(());
        }
        let chunk = bytes.split().freeze();
        let sent = runtime.block_on(async { tokio::time::timeout(PATIENCE, send.send(Ok(chunk))).await });
        sent.map_err(|_| "the reader is too slow".to_owned())?.map_err(|_| "the reader is gone".to_owned())
    };
    let revision = api.store.load(|record| {
        if fault.is_none() {
            writer.record(&record.key, &record.value);
            fault = pass_on(&mut writer.bytes, CHUNK).err();
        }
    });
    let revision = revision.map_err(|error| error.to_string())?;
    if let Some(fault) = fault {
        return Err(fault);
    }
    writer.finish(revision);
    pass_on(&mut writer.bytes, 0)
}

async fn restore(api: &Arc<Api>, asked: &Asked) -> Result<Response<Body>, Status> {
    let sent = asked.sent.lock().take().ok_or_else(|| Status::bad_request("there is no backup"))?;
    let reading: BoxFuture<'static, Result<Collected<Bytes>, BodyError>> =
        Box::pin(Limited::new(sent, LARGEST).collect());
    let bytes = reading.await.map_err(|error| match error.is::<LengthLimitError>() {
        true => Status::too_large(format!("Request entity too large: limit is {LARGEST}")),
        false => Status::bad_request(format!("unable to read the body: {error}")),
    })?;
    let (bytes, checking) = (bytes.to_bytes(), api.clone());
    let archive = tokio::task::spawn_blocking(move || {
        let archive = Archive::read(bytes).map_err(|error| Status::bad_request(error.to_string()))?;
        check(&checking, &archive)?;
        Ok::<_, Status>(Arc::new(archive))
    });
    let archive = archive.await.map_err(|error| Status::internal(error.to_string()))??;
    for _ in 0..TRIES {
        let (planning, wanted) = (api.clone(), archive.clone());
        let plan = tokio::task::spawn_blocking(move || plan(&planning, &wanted)).await;
        let plan = plan.map_err(|error| Status::internal(error.to_string()))??;
        let summary = json!({
            "written": plan.written, "removed": plan.removed, "unchanged": plan.unchanged,
            "backupRevision": archive.revision,
        });
        match api.commit(plan.transaction).await {
            Ok(commit) => {
                tracing::warn!(%summary, revision = commit.revision, "a backup was brought back");
                resealing::run(api).await?;
                return Ok(response::json(StatusCode::OK, Body::whole(summary.to_string())));
            }
            Err(Uncommitted::Conflict { .. }) => {}
            Err(Uncommitted::Failed(status)) => return Err(status),
        }
    }
    Err(Status::too_many_requests("too much is written at the same time, try again", 1))
}

/// Whether every record can be read by this server: nothing is brought back otherwise.
fn check(api: &Api, archive: &Archive) -> Result<(), Status> {
    let folders = Folders::of_registry();
    for (key, value) in &archive.records {
        let refused = |why: String| Status::bad_request(format!("the backup cannot be brought back: {key}: {why}"));
        let Some((kind, _, _)) = folders.locate(key) else { continue };
        let opened = api.config.authority.secret_keys().open(key, value).map_err(|error| refused(error.to_string()))?;
        Object::from_stored(registry::all()[kind], &opened, 0).map_err(|error| refused(error.to_string()))?;
    }
    Ok(())
}

struct Plan {
    transaction: Transaction,
    written: usize,
    removed: usize,
    unchanged: usize,
}

/// What makes the store what the archive says, if it is still what it is now. Blocks on the disk.
fn plan(api: &Api, archive: &Archive) -> Result<Plan, Status> {
    let wanted: HashMap<&str, &Bytes> = archive.records.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let kept = [&kinds::lease::KIND, &kinds::event::KIND].map(keys::folder);
    let is_kept = |key: &str| kept.iter().any(|folder| key.starts_with(folder.as_str()));
    let mut plan = Plan { transaction: Transaction::new(), written: 0, removed: 0, unchanged: 0 };
    let mut same: HashSet<String> = HashSet::new();
    let mut gone = Vec::new();
    let revision = api.store.load(|Record { key, value, .. }| match wanted.get(key.as_str()) {
        _ if is_kept(&key) => {}
        Some(then) if **then == value => _ = same.insert(key),
        Some(_) => {}
        None => gone.push(key),
    });
    let revision = revision.map_err(|error| Status::internal(error.to_string()))?;
    plan.removed = gone.len();
    plan.unchanged = same.len();
    let mut transaction = Transaction::new().at(revision);
    for key in gone {
        transaction = transaction.delete(key);
    }
    for (key, value) in &archive.records {
        if !is_kept(key) && !same.contains(key) {
            transaction = transaction.put(key.as_str(), value.clone());
            plan.written += 1;
        }
    }
    plan.transaction = transaction;
    Ok(plan)
}
