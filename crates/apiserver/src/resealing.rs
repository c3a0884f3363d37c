//! Secrets that are stored in clear or sealed with an older key are sealed anew with the newest: at the start, when the
//! keys are rotated, and after a restore.

use std::sync::Arc;

use store::{Expect, Record, Transaction};

use crate::api::{Api, Uncommitted};
use crate::keys;
use crate::status::Status;

/// Seals what is not sealed with the newest key; how many Secrets that were.
///
/// # Errors
/// When the store cannot be read or written, or a Secret cannot be opened.
pub(crate) async fn run(api: &Arc<Api>) -> Result<usize, Status> {
    let kind = &kinds::secret::KIND;
    let reading = api.clone();
    let stale = tokio::task::spawn_blocking(move || stale(&reading)).await;
    let stale = stale.map_err(|error| Status::internal(error.to_string()))??;
    let secret_keys = api.config.authority.secret_keys();
    let mut sealed = 0;
    for record in stale {
        let failed = |why: String| Status::internal(format!("{}: {why}", record.key));
        let opened = secret_keys.open(&record.key, &record.value).map_err(|error| failed(error.to_string()))?;
        let opened = opened.into_owned().into();
        let value = secret_keys.seal(kind, &record.key, opened).map_err(|error| failed(error.to_string()))?;
        let expect = Expect::Revision(record.mod_revision);
        let transaction = Transaction::new().expect(record.key.as_str(), expect).put(record.key.as_str(), value);
        match api.commit(transaction).await {
            Ok(_) => sealed += 1,
            // Who wrote it meanwhile has sealed it with the newest key, or removed it.
            Err(Uncommitted::Conflict { .. }) => {}
            Err(Uncommitted::Failed(status)) => return Err(status),
        }
    }
    Ok(sealed)
}

/// The Secrets that are not sealed with the newest key. Blocks on the disk.
fn stale(api: &Api) -> Result<Vec<Record>, Status> {
    let (folder, secret_keys) = (keys::folder(&kinds::secret::KIND), api.config.authority.secret_keys());
    let mut stale = Vec::new();
    let read = api.store.load(|record| {
        if record.key.starts_with(&folder) && !secret_keys.is_newest(&record.value) {
            stale.push(record);
        }
    });
    read.map_err(|error| Status::internal(error.to_string()))?;
    Ok(stale)
}

/// Does it once, beside the server's other work; what fails is told.
pub(crate) async fn begin(api: Arc<Api>) {
    match run(&api).await {
        Ok(0) => {}
        Ok(sealed) => tracing::info!(sealed, "Secrets were sealed with the newest key"),
        Err(status) => tracing::error!(why = status.message, "Secrets cannot be sealed with the newest key"),
    }
}
