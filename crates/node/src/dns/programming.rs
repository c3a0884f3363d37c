//! How long it takes until a change of endpoints is a change of names, as CoreDNS counts it: from the time that the
//! controller writes into the slice (`endpoints.kubernetes.io/last-change-trigger-time`), of headless Services.

use std::sync::atomic::{AtomicU64, Ordering};

use dns::server::counters::Histogram;
use jiff::Timestamp;

use crate::views::EndpointSlice;

const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";
/// How many bounds there are.
const BOUNDS: usize = 20;
/// Upper bounds in nanoseconds, as CoreDNS' histogram has them: a millisecond, doubled.
pub const DURATIONS: [u64; BOUNDS] = {
    let mut bounds = [1_000_000; BOUNDS];
    let mut at = 1;
    while at < bounds.len() {
        bounds[at] = bounds[at - 1] * 2;
        at += 1;
    }
    bounds
};

/// The times that were counted.
#[derive(Debug, Default)]
pub struct Programming {
    /// Up to each bound, and above.
    counts: [AtomicU64; BOUNDS + 1],
    sum: AtomicU64,
}

impl Programming {
    /// A slice of a headless Service is in the index now. `begun` is when this process began: what was triggered earlier
    /// was not waited for here.
    pub fn count(&self, slice: &EndpointSlice, begun: Timestamp) {
        let annotations = slice.metadata.annotations.as_ref();
        let Some(trigger) = annotations.and_then(|a| a.get(TRIGGER_TIME)?.parse::<Timestamp>().ok()) else { return };
        if trigger >= begun {
            self.add(u64::try_from(Timestamp::now().duration_since(trigger).as_nanos()).unwrap_or(0));
        }
    }

    fn add(&self, nanoseconds: u64) {
        let place = DURATIONS.partition_point(|bound| *bound < nanoseconds);
        self.counts[place].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// What was counted so far; bounds are [`DURATIONS`].
    #[must_use]
    pub fn histogram(&self) -> Histogram {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        Histogram { counts, sum: self.sum.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_triggered_since_the_start_is_counted_once_it_is_there() {
        let begun = Timestamp::now();
        let slice = |trigger: Timestamp| -> EndpointSlice {
            serde_json::from_value(serde_json::json!({
                "metadata": { "name": "web-1", "namespace": "shop", "annotations": { TRIGGER_TIME: trigger.to_string() } },
                "addressType": "IPv4", "endpoints": [] }))
            .unwrap()
        };
        let programming = Programming::default();
        programming.count(&slice(begun - std::time::Duration::from_secs(1)), begun);
        programming.count(&EndpointSlice::default(), begun);
        assert_eq!(programming.histogram().counts.iter().sum::<u64>(), 0);
        programming.count(&slice(begun), begun);
        assert_eq!(programming.histogram().counts.iter().sum::<u64>(), 1);
        programming.add(1_500_000);
        programming.add(u64::MAX / 2);
        let counts = programming.histogram().counts;
        assert!(counts[1] >= 1 && counts[BOUNDS] == 1, "{counts:?}");
    }
}
