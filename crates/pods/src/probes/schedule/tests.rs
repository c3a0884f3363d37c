use super::*;

fn rhythm(successes: u32, failures: u32) -> Rhythm {
    let second = Duration::from_secs(1);
    Rhythm { initial: Duration::ZERO, period: second, patience: second, successes, failures }
}

#[test]
fn answers_in_a_row() {
    type Case = (Kind, Rhythm, &'static [bool], &'static [Option<bool>]);
    let cases: [Case; 4] = [
        (
            Kind::Readiness,
            rhythm(1, 3),
            &[true, false, false, false, true],
            &[Some(true), None, None, Some(false), Some(true)],
        ),
        (Kind::Readiness, rhythm(2, 1), &[false, true, false, true, true], &[None, None, None, None, Some(true)]),
        (Kind::Liveness, rhythm(1, 2), &[true, false, true, false, false], &[None, None, None, None, Some(false)]),
        (Kind::Startup, rhythm(1, 2), &[false, false], &[None, Some(false)]),
    ];
    for (kind, rhythm, answers, want) in cases {
        let mut run = Run::new(kind);
        let got: Vec<_> = answers.iter().map(|well| run.answer(*well, &rhythm)).collect();
        assert_eq!(got, want, "{kind:?} {answers:?}");
    }
}

#[test]
fn defaults() {
    let rhythm = Rhythm::of(&Probe { period_seconds: Some(0), failure_threshold: Some(-1), ..Probe::default() });
    assert_eq!((rhythm.period, rhythm.patience), (Duration::from_secs(10), Duration::from_secs(1)));
    assert_eq!((rhythm.successes, rhythm.failures, rhythm.initial), (1, 3, Duration::ZERO));
}
