use super::*;

#[test]
fn ranges_are_one_or_one_of_each_family() {
    let good = |text: &str| text.parse::<ServiceRanges>().unwrap();
    assert_eq!(good("10.96.0.0/16").families(), [Family::V4]);
    assert_eq!(good("fd00:96::/112,10.96.0.0/16").families(), [Family::V6, Family::V4]);
    assert_eq!(good("10.96.0.7/16, fd00:96::/112").to_string(), "10.96.0.0/16,fd00:96::/112");
    let bad = |text: &str| text.parse::<ServiceRanges>().unwrap_err();
    assert_eq!(bad("10.96.0.0"), RangesError::Unreadable("10.96.0.0".to_owned()));
    assert!(matches!(bad("10.96.0.0/16,10.97.0.0/16"), RangesError::TooMany(_)));
    assert!(matches!(bad("10.96.0.0/16,fd00::/112,fd01::/112"), RangesError::TooMany(_)));
    assert!(matches!(bad("fd00::/56"), RangesError::TooLarge(_)));
}

#[test]
fn the_first_address_is_the_servers_own() {
    let own = |text: &str| text.parse::<ServiceRanges>().unwrap().own_cluster_ip().unwrap().to_string();
    assert_eq!(own("10.96.0.0/16,fd00:96::/112"), "10.96.0.1");
    assert_eq!(own("fd00:96::/112"), "fd00:96::1");
}
