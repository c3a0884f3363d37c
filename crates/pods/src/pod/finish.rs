//! The end of one container: how it is asked for, and what is known of it afterwards.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container;
use tokio::sync::watch;
use tokio::time::Instant;

use super::state::{Ended, Running};
use crate::bundle::Record;
use crate::container::stop;
use crate::layout::ContainerDir;
use crate::logs;
use crate::probes::{Check, Outcome, Target};

/// What a hook leaves to its container.
const LEAST: Duration = Duration::from_secs(2);
/// As much of its last words is kept, in bytes.
const MESSAGE: usize = 4096;
/// Of its log, where that stands in for them.
const LOG_LINES: usize = 80;
const LOG_BYTES: usize = 2048;

/// Runs the preStop hook, asks the container to end and, at the deadline, ends it. Gives what went wrong with the hook.
///
/// # Errors
/// It could not be ended.
pub async fn stop(
    running: &Running,
    hook: Option<Check>,
    target: Target,
    mut deadline: watch::Receiver<Instant>,
) -> std::io::Result<Option<String>> {
    let until = *deadline.borrow_and_update();
    let mut trouble = None;
    // Without time there is none for the hook either.
    let hook = hook.filter(|_| until > Instant::now());
    let hooked = hook.is_some();
    if let Some(hook) = hook {
        let patience = until - Instant::now();
        tokio::select! {
            outcome = hook.ask(&target, patience) => match outcome {
                Outcome::Well => {}
                Outcome::Ill(why) | Outcome::Unknown(why) => trouble = Some(why),
            },
            () = tokio::time::sleep_until(until) => trouble = Some("the hook did not end in time".into()),
            () = drawn_in(&mut deadline) => {}
            ended = stop::ended(&running.process) => return ended.map(|()| None),
        }
    }
    let now = Instant::now();
    let drawn_in = *deadline.borrow() < until;
    let spent = hooked && !drawn_in && until < now + LEAST;
    // A hook that used all its time leaves two seconds to the container itself, as kubelet has it.
    let deadline = if spent { watch::channel(now + LEAST).1 } else { deadline };
    stop::stop(&running.process, running.stop_signal, deadline).await?;
    Ok(trouble)
}

/// Waits until less time is given than before.
async fn drawn_in(deadline: &mut watch::Receiver<Instant>) {
    if deadline.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// What is known of a container that has ended: its record, and its last words.
pub fn ended(container: &Container, dir: &ContainerDir, running: &Running, record: Option<&Record>) -> Ended {
    let exit = record.and_then(|r| r.exit.as_ref());
    let (code, signal, reason) = match exit {
        Some(exit) if exit.out_of_memory => (exit.code, exit.signal, "OOMKilled"),
        Some(exit) if exit.code == 0 => (0, exit.signal, "Completed"),
        Some(exit) => (exit.code, exit.signal, "Error"),
        // Its parent was killed, and took it along.
        None => (137, Some(libc::SIGKILL), "ContainerStatusUnknown"),
    };
    Ended {
        id: running.id.clone(),
        image: running.image.clone(),
        image_id: running.image_id.clone(),
        code,
        signal,
        reason,
        message: last_words(container, dir, code),
        started_at: Some(running.started_at),
        finished_at: exit.map_or_else(Timestamp::now, |exit| exit.at),
    }
}

/// What the container wrote to its termination message path, or the end of its log where it asks for that.
pub fn last_words(container: &Container, dir: &ContainerDir, code: i32) -> String {
    use std::io::Read;
    let mut text = Vec::new();
    let read =
        std::fs::File::open(dir.termination_log()).and_then(|file| file.take(MESSAGE as u64).read_to_end(&mut text));
    if let Err(error) = read {
        tracing::warn!(container = container.name, %error, "the termination message cannot be read");
    }
    let falls_back = container.termination_message_policy.as_deref() == Some("FallbackToLogsOnError");
    if text.is_empty() && falls_back && code != 0 {
        return match logs::tail(&dir.log(), LOG_LINES, LOG_BYTES) {
            Ok(tail) => tail,
            Err(error) => format!("the log cannot be read: {error}"),
        };
    }
    String::from_utf8_lossy(&text).into_owned()
}
