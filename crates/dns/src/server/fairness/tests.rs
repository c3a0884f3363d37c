use super::*;

fn address(last: u8) -> IpAddr {
    [10, 0, 0, last].into()
}

/// An address that does not share the place of another.
fn elsewhere(fairness: &Fairness, than: IpAddr) -> IpAddr {
    (0..=255).map(address).find(|other| fairness.place(*other) != fairness.place(than)).unwrap()
}

#[test]
fn one_address_cannot_make_everybody_wait() {
    let fairness = Arc::new(Fairness::new(2));
    let (one, other) = (address(1), elsewhere(&fairness, address(1)));
    let first = fairness.wait(one).unwrap();
    let _second = fairness.wait(one).unwrap();
    assert!(fairness.wait(one).is_none());
    assert!(fairness.wait("::ffff:10.0.0.1".parse().unwrap()).is_none(), "the same address in another form");
    assert!(fairness.wait(other).is_some());
    drop(first);
    assert!(fairness.wait(one).is_some());
}

#[test]
fn errors_are_answered_so_many_times_a_second() {
    let fairness = Fairness::new(1);
    let (one, other) = (address(1), elsewhere(&fairness, address(1)));
    let answered = |client, second| (0..1000).filter(|_| fairness.may_err_at(client, second)).count();
    assert_eq!(answered(one, 7), 100);
    assert_eq!(answered(other, 7), 100);
    assert_eq!(answered(one, 8), 100);
    assert!(Fairness::new(1).may_err(one));
}
