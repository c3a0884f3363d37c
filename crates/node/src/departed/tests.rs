use testbed::Lab;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn set(texts: &[&str]) -> BTreeSet<IpAddr> {
    texts.iter().map(|text| ip(text)).collect()
}

/// In the order in which they left, none before its grace is over; a crowd becomes one look at all.
#[tokio::test]
async fn who_left_is_looked_at_after_the_grace() {
    let counters = Arc::<Counters>::default();
    let mut departed = Departed::new(counters.clone());
    let begin = Instant::now();
    departed.note(BTreeSet::new());
    departed.note(set(&["10.244.1.1"]));
    departed.note(set(&["10.244.1.2", "10.244.1.1"]));
    departed.anybody();
    departed.anybody();
    assert_eq!(departed.due().await, Due(Step::Look(Left::Addresses(set(&["10.244.1.1"])))));
    assert!(begin.elapsed() >= GRACE);
    assert_eq!(departed.due().await, Due(Step::Look(Left::Addresses(set(&["10.244.1.1", "10.244.1.2"])))));
    assert_eq!(departed.due().await, Due(Step::Look(Left::Anybody)));
    assert!(departed.waiting.is_empty());

    let crowd = (0..=MOST_ADDRESSES as u32).map(|n| IpAddr::from(std::net::Ipv4Addr::from(n))).collect();
    departed.note(crowd);
    assert_eq!(departed.waiting.iter().map(|(_, left)| left).collect::<Vec<_>>(), [&Left::Anybody]);
    assert_eq!(counters.departed_overlooked.get(), MOST_ADDRESSES as u64 + 1);
}

/// Somebody who listens, somebody who refuses, an address that nobody has, and no way at all.
#[test]
fn an_answer_of_any_kind_is_a_sign_of_life() {
    if testbed::skip_unless_root().is_some() {
        return;
    }
    let lab = Lab::new("probe");
    let (node, pod) = (lab.namespace("node").unwrap(), lab.namespace("pod").unwrap());
    lab.veth((&node, "pod"), (&pod, "eth0")).unwrap();
    for (place, link, address) in [
        (&node, "pod", "10.244.1.254/24"),
        (&node, "pod", "fd00::fe/64"),
        (&pod, "eth0", "10.244.1.1/24"),
        (&pod, "eth0", "fd00::1/64"),
    ] {
        place.add_address(link, address.parse().unwrap()).unwrap();
    }
    let _servers = ["10.244.1.1:8080", "[fd00::1]:8080"]
        .map(|at| testbed::TcpServer::start(&pod, at.parse().unwrap(), "pod").unwrap());
    let expected = [
        ("10.244.1.1:8080", Life::Answers),
        ("[fd00::1]:8080", Life::Answers),
        ("10.244.1.1:9", Life::Answers),
        ("[fd00::1]:9", Life::Answers),
        ("10.244.1.9:8080", Life::Silent),
        ("[fd00::9]:8080", Life::Silent),
        ("192.0.2.1:8080", Life::Silent),
        ("[2001:db8::1]:8080", Life::Silent),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let probes = futures::future::join_all(expected.map(|(at, _)| probe(at.parse().unwrap())));
    let found = node.run(|| runtime.block_on(probes)).unwrap();
    assert_eq!(found, expected.map(|(_, life)| life));
}
