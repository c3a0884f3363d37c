use testbed::Lab;

use super::*;

#[test]
fn a_node_forwards_and_is_liberal() {
    if testbed::skip_unless_root().is_some() {
        return;
    }
    let node = Lab::new("sysctls").namespace("node").unwrap();
    let read = |name: &str| node.run(|| fs::read_to_string(format!("/proc/sys/{name}"))).unwrap().unwrap();
    let liberal = "net/netfilter/nf_conntrack_tcp_be_liberal";
    node.set_sysctl("net.ipv4.ip_forward", "0").unwrap();
    node.run(set).unwrap().unwrap();
    assert_eq!(read("net/ipv4/ip_forward"), "1\n");
    for (wanted, held) in [(true, "1\n"), (true, "1\n"), (false, "0\n")] {
        node.run(|| set_tcp_be_liberal(wanted)).unwrap().unwrap();
        assert_eq!(read(liberal), held);
    }
}
