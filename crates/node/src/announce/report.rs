//! The node's report, written when it changes.

use std::collections::BTreeMap;
use std::time::Duration;

use loadbalancer::report::{ANNOTATION, REPORT, Report};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::writes::Writer;
use crate::follow::reason;

/// Reports are not written more often.
const PACE: Duration = Duration::from_millis(250);
/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Writes the newest report until told to stop, again when that fails.
pub(super) async fn keep(writer: Writer, mut reports: watch::Receiver<Report>, stop: CancellationToken) {
    let mut said = String::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = reports.changed() => if changed.is_err() { return },
        }
        let report = reports.borrow_and_update().clone();
        // Strings, numbers and maps by text alone: it always can be written.
        let text = serde_json::to_string(&report).unwrap_or_default();
        let written = writer.report(REPORT, BTreeMap::from([(ANNOTATION.to_owned(), text)]));
        let failed = match tokio::time::timeout(PATIENCE, written).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(reason(&error)),
            Err(_) => Some("the server does not answer".to_owned()),
        };
        match failed {
            None => said.clear(),
            Some(error) => {
                if error != said {
                    tracing::warn!(error, "what this node announces cannot be reported; it is tried again");
                    said = error;
                }
                reports.mark_changed();
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PACE) => {}
        }
    }
}
