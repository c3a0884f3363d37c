//! Backups, bringing them back, new keys for Secrets: asked of a server that runs, as its administrator.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::Value;

use crate::agent;
use crate::cli::{Operation, Reach};
use crate::stdio::say;

/// How long the server may take for an answer, and for each part of it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Does it.
///
/// # Errors
/// When the server is not reached or refuses, or a file cannot be read or written.
pub async fn run(operation: Operation) -> Result<()> {
    match operation {
        Operation::Backup { file, reach } => {
            backup(&file, &reach).await?;
            say(format_args!("all objects are in {}", file.display()));
        }
        Operation::Restore { file, reach } => {
            let archive = tokio::fs::read(&file).await.with_context(|| format!("cannot read {}", file.display()))?;
            let answer = ask(&reach, Method::PUT, "/portolan.dev/restore", archive).await?;
            let count = |name: &str| answer[name].as_u64().unwrap_or_default();
            let (written, removed, unchanged) = (count("written"), count("removed"), count("unchanged"));
            say(format_args!("{written} records written, {removed} removed, {unchanged} were as they were"));
        }
        Operation::RotateSecretsKey { reach } => {
            let answer = ask(&reach, Method::POST, "/portolan.dev/rotate-secrets-key", Vec::new()).await?;
            say(format_args!("{} Secrets are sealed with a new key", answer["sealed"]));
        }
    }
    Ok(())
}

/// Writes a backup to a file that only its owner can read, whole or not at all.
async fn backup(file: &Path, reach: &Reach) -> Result<()> {
    let mut response = send(reach, Method::GET, "/portolan.dev/backup", Vec::new()).await?;
    let temporary = file.with_added_extension("new");
    let written = async {
        let options =
            || std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary);
        let mut out = options()?;
        while let Some(frame) = tokio::time::timeout(PATIENCE, response.body_mut().frame()).await? {
            out.write_all(frame?.data_ref().map_or(&[], |bytes| bytes))?;
        }
        out.sync_all()?;
        std::fs::rename(&temporary, file)?;
        Ok::<(), anyhow::Error>(())
    };
    let written = written.await;
    if written.is_err() {
        // It may never have been made; the reason is told below.
        _ = std::fs::remove_file(&temporary);
    }
    written.with_context(|| format!("cannot write the backup {}", file.display()))
}

async fn ask(reach: &Reach, method: Method, path: &str, body: Vec<u8>) -> Result<Value> {
    let response = send(reach, method, path, body).await?;
    let body =
        tokio::time::timeout(PATIENCE, response.into_body().collect()).await.context("the server is silent")??;
    serde_json::from_slice(&body.to_bytes()).context("the server's answer is not understood")
}

async fn send(reach: &Reach, method: Method, path: &str, body: Vec<u8>) -> Result<Response<Body>> {
    let client = agent::client(reach.kubeconfig.as_deref().map(|path| ("--kubeconfig", path))).await?;
    let request = Request::builder().method(method).uri(path).body(Body::from(body))?;
    let answered = tokio::time::timeout(PATIENCE, client.send(request)).await.context("the server is silent")?;
    let response = answered.context("the server is not reached")?;
    if response.status().is_success() {
        return Ok(response);
    }
    let code = response.status();
    let body =
        tokio::time::timeout(PATIENCE, response.into_body().collect()).await.context("the server is silent")??;
    let status: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    bail!("the server refuses: {} ({code})", status["message"].as_str().unwrap_or("it does not say why"))
}
