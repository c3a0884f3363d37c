//! When a container is asked, and after how many answers it counts as well or not.

use std::ops::ControlFlow;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Probe;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::check::{Check, Target};
use super::outcome::Outcome;
use crate::spec;

/// The first question of the rhythm comes so long after the start: as late as kubelet's, which learns of the start late.
const FIRST: Duration = Duration::from_secs(1);
/// Earlier ones, in milliseconds after the start.
const EARLY: [u64; 6] = [0, 25, 75, 150, 300, 600];

/// What a probe is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Whether it has come up; the others wait for that.
    Startup,
    /// Whether it takes traffic.
    Readiness,
    /// Whether it has to be started again.
    Liveness,
}

impl Kind {
    /// As messages name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Startup => "Startup",
            Self::Readiness => "Readiness",
            Self::Liveness => "Liveness",
        }
    }
}

/// What a probe has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The container's name.
    pub container: String,
    /// Which start of it.
    pub attempt: u32,
    /// Which probe.
    pub kind: Kind,
    /// What is new.
    pub news: News,
}

/// What is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// From now on it counts as well, or not.
    Turned(bool),
    /// One answer was bad.
    Bad(String),
}

/// Numbers of a probe, with their defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rhythm {
    /// After the start.
    pub initial: Duration,
    /// From one question to the next.
    pub period: Duration,
    /// For one answer.
    pub patience: Duration,
    /// Good answers in a row that count.
    pub successes: u32,
    /// Bad answers in a row that count.
    pub failures: u32,
}

impl Rhythm {
    /// That of a probe.
    #[must_use]
    pub fn of(probe: &Probe) -> Self {
        let positive =
            |n: Option<i32>, default: u32| n.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0).unwrap_or(default);
        Self {
            initial: spec::seconds(i64::from(probe.initial_delay_seconds.unwrap_or(0))),
            period: Duration::from_secs(u64::from(positive(probe.period_seconds, 10))),
            patience: Duration::from_secs(u64::from(positive(probe.timeout_seconds, 1))),
            successes: positive(probe.success_threshold, 1),
            failures: positive(probe.failure_threshold, 3),
        }
    }
}

/// The answers so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// What it counts as; none while nothing was decided.
    counts: Option<bool>,
    last: Option<bool>,
    length: u32,
}

impl Run {
    /// Of a probe of this kind that was not asked yet: what is alive is well until it is not, what may take traffic is
    /// not until it is.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        let counts = match kind {
            Kind::Startup => None,
            Kind::Readiness => Some(false),
            Kind::Liveness => Some(true),
        };
        Self { counts, last: None, length: 0 }
    }

    /// Takes one answer. Gives what it counts as from now on, when that is new.
    pub fn answer(&mut self, well: bool, rhythm: &Rhythm) -> Option<bool> {
        self.length = if self.last == Some(well) { self.length.saturating_add(1) } else { 1 };
        self.last = Some(well);
        let enough = if well { rhythm.successes } else { rhythm.failures };
        if self.length < enough || self.counts == Some(well) {
            return None;
        }
        self.counts = Some(well);
        Some(well)
    }
}

/// A probe at work.
pub struct Probing {
    /// The container's name.
    pub container: String,
    /// Which start of it.
    pub attempt: u32,
    /// What it is for.
    pub kind: Kind,
    /// What is asked.
    pub check: Check,
    /// Of whom.
    pub target: Target,
    /// When.
    pub rhythm: Rhythm,
    /// When the container was started.
    pub started_at: Timestamp,
    /// Whether it counts as ready already: a node that was started again does not take a Pod out of rotation.
    pub ready: bool,
    /// Whether the container has come up.
    pub started: watch::Receiver<bool>,
    /// Who is told.
    pub tell: mpsc::Sender<Said>,
}

impl Probing {
    /// Asks until nobody listens any more, or it has nothing more to find out: a startup probe that was decided, or a
    /// liveness probe whose container will be started again.
    pub async fn run(mut self) {
        let mut run = Run::new(self.kind);
        if self.kind == Kind::Readiness && self.ready {
            run.counts = Some(true);
        }
        if self.kind != Kind::Startup && self.started.wait_for(|started| *started).await.is_err() {
            return;
        }
        let age = Timestamp::now().duration_since(self.started_at);
        let age = Duration::try_from(age).unwrap_or(Duration::ZERO);
        let begin = Instant::now() + self.rhythm.initial.saturating_sub(age);
        tokio::time::sleep_until(begin).await;
        if run.counts != Some(true) && self.early(&mut run, begin).await.is_break() {
            return;
        }
        let mut ticks = tokio::time::interval_at(begin + FIRST.min(self.rhythm.period), self.rhythm.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let well = match self.check.ask(&self.target, self.rhythm.patience).await {
                Outcome::Well => true,
                Outcome::Ill(why) => {
                    if self.say(News::Bad(why)).await.is_err() {
                        return;
                    }
                    false
                }
                // It says nothing of the container. The next question is another try.
                Outcome::Unknown(why) => {
                    tracing::debug!(container = self.container, probe = self.kind.name(), why, "a probe could not ask");
                    continue;
                }
            };
            let Some(now) = run.answer(well, &self.rhythm) else { continue };
            let over = self.kind == Kind::Startup || (self.kind == Kind::Liveness && !now);
            if self.say(News::Turned(now)).await.is_err() || over {
                return;
            }
        }
    }

    /// A program needs a moment to come up, and a period may be long: until the first question of the rhythm, what is
    /// waited for is asked for a few times more. Only good answers count. Breaks when there is nothing more to find out.
    async fn early(&mut self, run: &mut Run, begin: Instant) -> ControlFlow<()> {
        for after in EARLY.map(Duration::from_millis).into_iter().take_while(|after| *after < self.rhythm.period) {
            tokio::time::sleep_until(begin + after).await;
            if self.check.ask(&self.target, self.rhythm.patience).await != Outcome::Well {
                continue;
            }
            let Some(now) = run.answer(true, &self.rhythm) else { continue };
            let over = self.say(News::Turned(now)).await.is_err() || self.kind == Kind::Startup;
            return if over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        }
        ControlFlow::Continue(())
    }

    async fn say(&self, news: News) -> Result<(), mpsc::error::SendError<Said>> {
        let said = Said { container: self.container.clone(), attempt: self.attempt, kind: self.kind, news };
        self.tell.send(said).await
    }
}

#[cfg(test)]
mod tests;
