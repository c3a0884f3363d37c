use super::*;

fn start() -> Moment {
    Moment { steady: Instant::now(), wall: "2026-07-01T12:00:00.5Z".parse().unwrap() }
}

fn after(moment: Moment, seconds: u64) -> Moment {
    let passed = Duration::from_secs(seconds);
    Moment { steady: moment.steady + passed, wall: moment.wall + passed }
}

#[test]
fn the_bodies_are_kube_proxys() {
    let (health, start) = (Health::default(), start());
    health.set_eligible(true);
    assert_eq!(
        health.healthz(start),
        (
            true,
            r#"{"lastUpdated":"2026-07-01T12:00:00.5Z","currentTime":"2026-07-01T12:00:00.5Z","nodeEligible":true,"healthy":true}"#
                .to_owned()
        ),
        "starting is healthy"
    );
    health.updated(&[Family::V4, Family::V6], start);
    health.queued(|| start.steady);
    assert_eq!(
        health.livez(after(start, 60)),
        (
            false,
            concat!(
                r#"{"lastUpdated":"2026-07-01T12:00:00.5Z","currentTime":"2026-07-01T12:01:00.5Z","healthy":false,"#,
                r#""status":{"IPv4":{"lastUpdated":"2026-07-01T12:00:00.5Z","healthy":false},"#,
                r#""IPv6":{"lastUpdated":"2026-07-01T12:00:00.5Z","healthy":false}}}"#
            )
            .to_owned()
        )
    );
}

#[test]
fn a_change_that_waits_for_a_minute_is_too_late_and_the_next_does_not_make_it_younger() {
    let (health, start) = (Health::default(), start());
    health.queued(|| start.steady);
    assert!(health.is_healthy(after(start, 600)), "it is still starting");
    health.updated(&[Family::V4], after(start, 600));
    health.queued(|| after(start, 700).steady);
    health.queued(|| after(start, 750).steady);
    assert!(health.is_healthy(after(start, 759)));
    assert!(!health.is_healthy(after(start, 760)));
    health.updated(&[Family::V4], after(start, 761));
    assert!(health.is_healthy(after(start, 9000)), "nothing waits");
}

#[test]
fn a_node_that_goes_or_is_not_known_is_alive_but_not_healthy() {
    let (health, start) = (Health::default(), start());
    assert!(!health.healthz(start).0, "its object was not seen yet");
    health.set_eligible(true);
    assert!(health.healthz(start).0);
    health.set_eligible(false);
    let (good, body) = health.healthz(start);
    assert!(!good);
    assert!(body.contains(r#""lastUpdated":"0001-01-01T00:00:00Z""#), "{body}");
    assert!(body.contains(r#""nodeEligible":false,"healthy":true"#), "{body}");
    assert!(health.livez(start).0);
}

#[test]
fn ready_is_who_has_told_the_kernel_everything_once() {
    let (health, start) = (Health::default(), start());
    assert!(health.livez(start).0);
    assert!(!health.readyz(start).0, "it is still starting");
    health.updated(&[Family::V4], start);
    assert!(health.readyz(start).0);
    health.queued(|| start.steady);
    assert!(!health.readyz(after(start, 60)).0, "something hangs");
}
