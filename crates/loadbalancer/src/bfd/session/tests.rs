use super::*;

const TIMERS: Timers =
    Timers { transmit: Duration::from_millis(100), receive: Duration::from_millis(100), multiplier: 3 };
const TICK: Duration = Duration::from_millis(5);

/// Two sessions and the wire between them.
struct World {
    now: Instant,
    ends: [Session; 2],
    /// What is sent by each is lost.
    lost: [bool; 2],
    sent: [usize; 2],
    chance: u64,
}

impl World {
    fn new(timers: [Timers; 2]) -> Self {
        let now = Instant::now();
        let ends = [Session::new(11, timers[0], now), Session::new(22, timers[1], now)];
        Self { now, ends, lost: [false; 2], sent: [0; 2], chance: 7 }
    }

    fn send(&mut self, from: usize, packet: Packet) {
        self.sent[from] += 1;
        // As it is read from the wire.
        let packet = Packet::from_bytes(&packet.to_bytes()).unwrap();
        if !self.lost[from] {
            let answer = self.ends[1 - from].hear(&packet, self.now, self.chance);
            if let Some(answer) = answer {
                assert!(answer.is_final && !answer.poll);
                self.send(1 - from, answer);
            }
        }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += TICK;
            for from in 0..2 {
                self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if self.ends[from].due() <= self.now
                    && let Some(packet) = self.ends[from].tick(self.now, self.chance >> 33)
                {
                    self.send(from, packet);
                }
            }
        }
    }

    fn states(&self) -> [State; 2] {
        [self.ends[0].state(), self.ends[1].state()]
    }
}

#[test]
fn two_that_hear_each_other_are_up_and_send_as_often_as_both_want() {
    let slower = Timers { receive: Duration::from_millis(300), ..TIMERS };
    let mut world = World::new([TIMERS, slower]);
    world.run(Duration::from_secs(4));
    assert_eq!(world.states(), [State::Up, State::Up]);
    world.sent = [0; 2];
    world.run(Duration::from_secs(6));
    // 20 and 60 at the longest intervals, a third more at the shortest.
    assert!((19..=28).contains(&world.sent[0]), "{:?}", world.sent);
    assert!((58..=84).contains(&world.sent[1]), "{:?}", world.sent);
    assert!(!world.ends[0].polling && !world.ends[1].polling);
}

#[test]
fn silence_is_noticed_after_the_detection_time_and_told() {
    let mut world = World::new([TIMERS; 2]);
    world.run(Duration::from_secs(4));
    world.lost[0] = true;
    let cut = world.now;
    while world.ends[1].state() == State::Up {
        world.run(TICK);
    }
    let after = world.now - cut;
    assert!(after > Duration::from_millis(190) && after <= Duration::from_millis(300) + TICK, "{after:?}");
    assert_eq!(world.ends[1].diagnostic, Diagnostic::Expired);
    // The one that still hears is told; it hears one that begins, and waits for it to hear.
    world.run(Duration::from_millis(1100));
    assert_eq!(world.states(), [State::Init, State::Down]);
    assert_eq!(world.ends[0].diagnostic, Diagnostic::NeighbourDown);
    // Until it is up again it sends slowly; and it comes up again.
    world.sent = [0; 2];
    world.run(Duration::from_secs(3));
    assert!(world.sent[0] <= 5, "{:?}", world.sent);
    world.lost[0] = false;
    world.run(Duration::from_secs(4));
    assert_eq!(world.states(), [State::Up, State::Up]);
}

#[test]
fn who_ends_on_purpose_says_so() {
    let mut world = World::new([TIMERS; 2]);
    world.run(Duration::from_secs(4));
    let last = world.ends[0].end(world.now);
    assert_eq!((last.state, last.diagnostic), (State::AdminDown, Diagnostic::AdminDown));
    assert_eq!(world.ends[1].hear(&last, world.now, 0), None);
    assert_eq!(world.states(), [State::AdminDown, State::Down]);
}

#[test]
fn what_is_for_another_session_or_wants_nothing_is_respected() {
    let mut world = World::new([TIMERS; 2]);
    world.run(Duration::from_secs(4));
    let stray = Packet { yours: 99, state: State::Down, ..world.ends[1].packet() };
    assert_eq!(world.ends[0].hear(&stray, world.now, 0), None);
    assert_eq!(world.ends[0].state(), State::Up);
    let quiet = Packet { receive: Duration::ZERO, ..world.ends[1].packet() };
    world.ends[0].hear(&quiet, world.now, 0);
    world.lost = [true, true];
    world.sent = [0; 2];
    world.run(Duration::from_millis(250));
    assert_eq!(world.sent[0], 0);
}
