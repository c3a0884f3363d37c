//! How a change of size in the middle of a rollout falls to the ReplicaSets.

use super::bounds::Bounds;
use super::sets::{MAX_REPLICAS, Set};
use crate::objects::Deployment;

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
