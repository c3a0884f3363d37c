//! How many Pods a rolling update may have too many or too few.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::objects::Deployment;

/// The bounds of a Deployment at its present size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How many Pods are wanted.
    pub replicas: i32,
    /// How many there may be more.
    pub surge: i32,
    /// How many may be missing.
    pub unavailable: i32,
}

impl Bounds {
    /// The bounds that a Deployment asks for. One that does not roll is available only when all of its Pods are.
    pub fn of(deployment: &Deployment) -> Self {
        let replicas = deployment.replicas();
        if !rolls(deployment) {
            return Self { replicas, surge: 0, unavailable: 0 };
        }
        let strategy = deployment.spec.strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
        let surge = scaled(strategy.and_then(|s| s.max_surge.as_ref()), replicas, true);
        let mut unavailable = scaled(strategy.and_then(|s| s.max_unavailable.as_ref()), replicas, false);
        if surge == 0 && unavailable == 0 {
            // Percentages of few Pods may both come to nothing, and then nothing could ever be replaced.
            unavailable = 1;
        }
        Self { replicas, surge, unavailable: unavailable.min(replicas) }
    }

    /// How many Pods there may be at most.
    pub fn most(&self) -> i32 {
        self.replicas.saturating_add(self.surge)
    }

    /// How many Pods must be available.
    pub fn least(&self) -> i32 {
        self.replicas - self.unavailable
    }
}

/// Whether old Pods are replaced bit by bit.
pub fn rolls(deployment: &Deployment) -> bool {
    let kind = deployment.spec.strategy.as_ref().and_then(|strategy| strategy.kind.as_deref());
    kind != Some("Recreate")
}

/// A number, or a percentage of `total`.
fn scaled(value: Option<&IntOrString>, total: i32, up: bool) -> i32 {
    match value {
        None => 0,
        Some(IntOrString::Int(number)) => (*number).max(0),
        Some(IntOrString::String(text)) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            let share = percent.max(0) * i64::from(total);
            i32::try_from(if up { (share + 99) / 100 } else { share / 100 }).unwrap_or(i32::MAX)
        }
    }
}
