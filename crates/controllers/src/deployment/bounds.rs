//! How many Pods a rolling update may have too many or too few, and how a change of size is shared out among
//! ReplicaSets.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::sets::{MAX_REPLICAS, Set};
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

/// Shares a change of size out among the active ReplicaSets in the middle of a rollout, in proportion to their sizes;
/// what rounding leaves over goes to the largest.
pub fn share_out(sets: &mut [&mut Set<'_>], deployment: &Deployment, bounds: Bounds) {
    let allowed = if bounds.replicas > 0 { bounds.most() } else { 0 };
    let total: i32 = sets.iter().map(|set| set.replicas).sum();
    let change = allowed - total;
    // Growing goes first to the largest and then the newest, shrinking to the largest and then the oldest.
    sets.sort_by(|a, b| {
        let age = if change > 0 { b.created().cmp(&a.created()) } else { a.created().cmp(&b.created()) };
        b.replicas.cmp(&a.replicas).then(age).then_with(|| a.name.cmp(&b.name))
    });
    let mut shared = 0;
    let mut sizes: Vec<i32> = Vec::with_capacity(sets.len());
    for set in sets.iter() {
        let part = proportion(set, deployment, bounds, change, shared);
        shared += part;
        sizes.push(set.replicas + part);
    }
    if let Some(first) = sizes.first_mut() {
        *first = (*first + change - shared).max(0);
    }
    for (set, size) in sets.iter_mut().zip(sizes) {
        set.scale(size, bounds);
    }
}

/// What falls to one ReplicaSet, without going beyond what is left.
fn proportion(set: &Set<'_>, deployment: &Deployment, bounds: Bounds, change: i32, shared: i32) -> i32 {
    if set.replicas == 0 || change == 0 || change == shared {
        return 0;
    }
    let fraction = if bounds.replicas == 0 {
        -set.replicas
    } else {
        // Against the size for which the ReplicaSet had its number of Pods.
        let before: Option<i32> = set.annotations.get(MAX_REPLICAS).and_then(|text| text.parse().ok());
        let before = before.filter(|most| *most > 0).unwrap_or(deployment.status.replicas);
        if before == 0 {
            return 0;
        }
        let size = f64::from(set.replicas) * f64::from(bounds.most()) / f64::from(before);
        // A cast of a float saturates.
        size.round() as i32 - set.replicas
    };
    let left = change - shared;
    if change > 0 { fraction.min(left) } else { fraction.max(left) }
}
