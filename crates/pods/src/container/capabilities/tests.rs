use super::*;

fn set(add: &[&str], drop: &[&str]) -> Result<u64, UnknownCapability> {
    let list = |names: &[&str]| Some(names.iter().map(ToString::to_string).collect());
    resolve(Some(&Capabilities { add: list(add), drop: list(drop) }))
}

#[test]
fn sets() {
    // As every container runtime has it: 0xa80425fb.
    assert_eq!(resolve(None), Ok(0xa804_25fb));
    assert_eq!(set(&[], &["ALL"]), Ok(0));
    assert_eq!(set(&["NET_BIND_SERVICE"], &["ALL"]), Ok(1 << 10));
    assert_eq!(set(&["cap_net_admin"], &[]), Ok(0xa804_25fb | 1 << 12));
    assert_eq!(set(&[], &["CHOWN"]), Ok(0xa804_25fa));
    assert_eq!(set(&["ALL"], &[]), Ok(ALL));
    assert_eq!(set(&["ALL"], &["SYS_ADMIN"]), Ok(ALL & !SYS_ADMIN));
    assert_eq!(set(&["ALL"], &["ALL"]), Ok(ALL));
    assert_eq!(set(&["FLY"], &[]), Err(UnknownCapability("FLY".into())));
}
