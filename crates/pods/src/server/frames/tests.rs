use super::*;

#[test]
fn protocols() {
    let choose = |offers: &[&'static str]| Protocol::choose(offers.iter().copied());
    assert_eq!(choose(&["v4.channel.k8s.io", "v5.channel.k8s.io"]), Some(Protocol::V5));
    assert_eq!(choose(&["base64.channel.k8s.io", "v4.channel.k8s.io"]), Some(Protocol::V4));
    assert_eq!(choose(&["SPDY/3.1+portforward.k8s.io"]), None);
}

#[test]
fn messages() {
    let said = |bytes: &'static [u8]| read(Protocol::V5, Bytes::from_static(bytes));
    assert_eq!(said(b"\0abc"), Said::Input(Bytes::from_static(b"abc")));
    assert_eq!(said(b"\x04{\"Width\":80,\"Height\":24}"), Said::Size(80, 24));
    assert_eq!(said(b"\xff\0"), Said::EndOfInput);
    assert_eq!(read(Protocol::V4, Bytes::from_static(b"\xff\0")), Said::Nothing);
    for nothing in [&b""[..], b"\x04{", b"\x04{\"Width\":-1,\"Height\":70000}", b"\x09x", b"\xff\x01"] {
        assert_eq!(read(Protocol::V5, Bytes::copy_from_slice(nothing)), Said::Nothing);
    }
    assert_eq!(write(STDERR, b"x").as_ref(), b"\x02x");
    let failure: serde_json::Value = serde_json::from_slice(&status(&Ok(3))[1..]).unwrap();
    assert_eq!(failure["details"]["causes"][0], json!({"reason": "ExitCode", "message": "3"}));
}
