use super::*;

fn addresses(list: &[&str]) -> Vec<IpAddr> {
    list.iter().map(|address| address.parse().unwrap()).collect()
}

#[test]
fn questions_and_answers_are_left_untracked_in_tables_of_the_process() {
    let text = here(&addresses(&["10.96.0.10", "fd00:96::a"])).to_string();
    for wanted in [
        "add table ip portolan-dns { flags owner; }",
        "add table ip6 portolan-dns { flags owner; }",
        "hook prerouting priority -300",
        "hook output priority -300",
    ] {
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
    // To and from each address over both protocols, in both chains.
    assert_eq!(text.matches("notrack").count(), 2 * 2 * 2 * 2, "{text}");
    assert!(here(&[]).is_empty());
}

#[test]
fn others_take_over_in_equal_shares_and_in_their_own_family() {
    let text = elsewhere(&addresses(&["10.96.0.10"]), &addresses(&["172.30.0.3", "fd00::3", "172.30.0.4"])).to_string();
    assert!(!text.contains("fd00::3"), "{text}");
    // Two chains, two protocols: half by chance, the rest always.
    assert_eq!(text.matches("dnat ip to 172.30.0.3").count(), 4, "{text}");
    assert_eq!(text.matches("dnat ip to 172.30.0.4").count(), 4, "{text}");
    assert_eq!(text.matches("numgen random mod 2").count(), 4, "{text}");
    assert_eq!(text.matches("masquerade").count(), 1, "{text}");
    let many: Vec<IpAddr> = (1..40).map(|last| [172, 30, 0, last].into()).collect();
    let bounded = elsewhere(&addresses(&["10.96.0.10"]), &many).to_string();
    assert_eq!(bounded.matches("dnat ip to").count(), 8 * 4);
}

#[test]
fn without_others_nothing_is_left() {
    let address = addresses(&["10.96.0.10"]);
    assert_eq!(elsewhere(&address, &[]).to_string(), forget().to_string());
    assert_eq!(elsewhere(&address, &addresses(&["fd00::3"])).to_string(), forget().to_string());
}
