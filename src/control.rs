//! The door of a running `up`: a socket in its run folder, by which other commands ask it for something.
//!
//! One JSON line is asked, one is answered. Only root can reach it: the folder is 0700.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};

use crate::refusal::{Refusal, one_line};
use crate::run_dir::{Doing, Holder, RunDir};

/// The longest question or answer.
const LONGEST: u64 = 64 * 1024;
/// How long an answer may take: stopping a node waits for its Pods to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a command that connected may take to ask.
const QUESTION_PATIENCE: Duration = Duration::from_secs(5);

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// End a node without a word.
    StopNode {
        /// Which.
        node: String,
    },
    /// Start a stopped node.
    StartNode {
        /// Which.
        node: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Answer {
    /// What was done, or why not.
    said: String,
    /// How it went.
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Outcome {
    /// It was done.
    Done,
    /// It was refused: who asked can mend it.
    Refused,
    /// It failed.
    Failed,
}

/// A question on its way to `up`, with the way back: what was done, or why not.
pub type Question = (Request, oneshot::Sender<Result<String>>);

/// Opens the door; questions come out of the channel, one at a time.
///
/// # Errors
/// When the socket cannot be made.
pub fn listen(path: &Path) -> Result<mpsc::Receiver<Question>> {
    // A socket that a killed `up` left; the lock says that nobody listens on it.
    match std::fs::remove_file(path) {
        Ok(()) => {}
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(e).with_context(|| format!("cannot remove {}", path.display())),
    }
    let listener = UnixListener::bind(path).with_context(|| format!("cannot listen at {}", path.display()))?;
    let (ask, asked) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if ask.is_closed() {
                return;
            }
            let ask = ask.clone();
            tokio::spawn(async move {
                if let Err(error) = serve(stream, ask).await {
                    tracing::warn!(error = one_line(&error), "a command broke off");
                }
            });
        }
    });
    Ok(asked)
}

async fn serve(stream: UnixStream, ask: mpsc::Sender<Question>) -> Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(read).take(LONGEST);
    tokio::time::timeout(QUESTION_PATIENCE, reader.read_line(&mut line)).await.context("it asked nothing")??;
    let answer = match serde_json::from_str(&line) {
        Ok(request) => {
            let (tell, told) = oneshot::channel();
            ask.send((request, tell)).await.context("the cluster is going down")?;
            answer(told.await.context("the cluster is going down")?)
        }
        Err(e) => Answer { said: format!("not understood: {e}"), outcome: Outcome::Failed },
    };
    write.write_all(format!("{}\n", serde_json::to_string(&answer)?).as_bytes()).await?;
    Ok(())
}

fn answer(done: Result<String>) -> Answer {
    match done {
        Ok(said) => Answer { said, outcome: Outcome::Done },
        Err(error) => {
            let outcome = if error.is::<Refusal>() { Outcome::Refused } else { Outcome::Failed };
            Answer { said: one_line(&error), outcome }
        }
    }
}

/// Asks a running `up` for something, and says what it did.
///
/// # Errors
/// When none runs, or it could not do it.
pub async fn ask(cluster: &str, run_dir: &RunDir, request: &Request) -> Result<String> {
    let Ok(stream) = UnixStream::connect(run_dir.control()).await else {
        return Err(nobody_there(cluster, run_dir.holder()).into());
    };
    let (read, mut write) = stream.into_split();
    write.write_all(format!("{}\n", serde_json::to_string(request)?).as_bytes()).await?;
    let mut line = String::new();
    let mut reader = BufReader::new(read).take(LONGEST);
    tokio::time::timeout(PATIENCE, reader.read_line(&mut line)).await.context("the cluster does not answer")??;
    let answer: Answer = serde_json::from_str(&line).context("the cluster went away before it answered")?;
    match answer.outcome {
        Outcome::Done => Ok(answer.said),
        Outcome::Refused => bail!(Refusal::new(answer.said)),
        Outcome::Failed => bail!(answer.said),
    }
}

fn nobody_there(cluster: &str, holder: Option<Holder>) -> Refusal {
    Refusal::new(match holder.map(|h| h.doing) {
        Some(Doing::Up) => format!("the cluster {cluster} is starting; try again when it is ready"),
        Some(Doing::Down) => {
            format!("the cluster {cluster} is being taken down; start it with `portolan up --name {cluster}`")
        }
        None => format!("no cluster {cluster} runs here; start it with `portolan up --name {cluster}`"),
    })
}
