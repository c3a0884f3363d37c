//! Questions to the loop that keeps Services, which alone knows the kernel's rules.

use std::time::Duration;

use dataplane::counters::ServiceCounters;
use dataplane::{Backend, Dataplane};
use tokio::sync::{mpsc, oneshot};

/// How many questions may wait.
const WAITING: usize = 4;
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// A question.
#[derive(Debug)]
pub(super) enum Question {
    /// How many connections each Service has had.
    Counters(oneshot::Sender<Vec<ServiceCounters>>),
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Asker(mpsc::Sender<Question>);

/// Who is asked.
#[derive(Debug)]
pub struct Asked(mpsc::Receiver<Question>);

/// Both ends.
pub fn questions() -> (Asker, Asked) {
    let (ask, asked) = mpsc::channel(WAITING);
    (Asker(ask), Asked(asked))
}

impl Asker {
    /// How many connections each port of each Service has had, counted by the kernel. `None`: it cannot be had now.
    pub async fn counters(&self) -> Option<Vec<ServiceCounters>> {
        let (answer, answered) = oneshot::channel();
        let asking = async {
            self.0.send(Question::Counters(answer)).await.ok()?;
            answered.await.ok()
        };
        tokio::time::timeout(PATIENCE, asking).await.ok()?
    }
}

impl Asked {
    /// The next question; never ends when nobody asks any more.
    pub(super) async fn next(&mut self) -> Question {
        match self.0.recv().await {
            Some(question) => question,
            None => std::future::pending().await,
        }
    }
}

impl Question {
    /// Answers. Blocks while the kernel does.
    pub(super) fn answer<B: Backend>(self, dataplane: &mut Dataplane<B>) {
        match self {
            Question::Counters(answer) => match dataplane.counters() {
                // Who asked may have gone meanwhile.
                Ok(counters) => drop(answer.send(counters)),
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "connections cannot be counted");
                }
            },
        }
    }
}
