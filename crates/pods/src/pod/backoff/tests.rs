use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

#[test]
fn ten_seconds_doubled_to_five_minutes() {
    let timing = Timing::default();
    let (mut backoff, mut now, mut waits) = (BackOff::default(), at(1000), Vec::new());
    for _ in 0..8 {
        let ended = now;
        now = backoff.due(ended, &timing);
        waits.push(now.duration_since(ended).as_secs());
        backoff = backoff.restarted(ended, now, &timing);
    }
    assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
}

#[test]
fn a_container_that_ran_well_begins_anew() {
    let timing = Timing::default();
    let mut backoff = BackOff::default();
    for n in 0..5 {
        backoff = backoff.restarted(at(n), at(n), &timing);
    }
    assert_eq!(backoff.wait(at(500), &timing).as_secs(), 160);
    assert_eq!(backoff.wait(at(605), &timing).as_secs(), 0);
    assert_eq!(backoff.restarted(at(605), at(605), &timing).wait(at(606), &timing).as_secs(), 10);
}
