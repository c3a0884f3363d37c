use serde_json::json;

use super::last_seen;

#[test]
fn the_latest_time_counts() {
    let event = json!({
        "metadata": { "creationTimestamp": "1970-01-01T00:00:10Z" }, "eventTime": null,
        "lastTimestamp": "1970-01-01T00:00:30Z", "series": { "lastObservedTime": "1970-01-01T00:00:20.000000Z" },
    });
    assert_eq!(last_seen(&event), Some(30));
    assert_eq!(last_seen(&json!({})), None);
}
