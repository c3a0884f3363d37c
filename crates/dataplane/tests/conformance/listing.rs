//! People look at rules with `nft list`. nft 1.0.6 aborts on some rules that the kernel takes; not on ours.

use std::process::Command;

use crate::scene::{cluster, set};

#[test]
fn nft_lists_every_chain_that_there_can_be() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    if Command::new("nft").arg("--version").output().is_err() {
        testbed::privilege::skip("there is no nft on this machine");
        return Ok(());
    }
    let (cluster, mut kernel) = cluster("listing")?;
    let model = kernel.model_mut();
    let pod_interfaces = ["cni0", "veth*"].map(crate::world::pods_interfaces).into();
    let takers = [("there".into(), vec![crate::world::ip("172.30.0.2")])].into();
    model.set_node(dataplane::Node { pod_interfaces, takers, ..crate::world::node() });
    set(model, "plain", 1, "np", "a b c");
    set(model, "udp", 2, "udp itp=local", "a c");
    set(model, "sticky", 3, "affinity=10800", "a b");
    set(model, "balanced", 4, "lb etp=local ranges=192.0.2.0/28", "a c");
    set(model, "balanced-sticky", 5, "sctp lb np affinity=60 etp=local", "a c");
    set(model, "nobody", 6, "", "");
    set(model, "elsewhere", 7, "itp=local", "c");
    set(model, "same", 8, "lb2 maglev", "a c");
    kernel.sync()?;
    let output = cluster.node.command("nft").args(["list", "table", "ip", "portolan"]).output()?;
    let listed = String::from_utf8(output.stdout)?;
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    let chains = cluster.node.run(|| {
        let table = nft::TableId::new(nft::Family::Ip, "portolan");
        anyhow::Ok(nft::Socket::in_current_netns()?.chains(&table)?)
    })??;
    assert!(chains.len() > 15, "{} chains", chains.len());
    for chain in &chains {
        assert!(chain.object.comment.is_some(), "{} does not say what it does", chain.object.name);
    }
    for chain in chains.into_iter().map(|listed| listed.object.name) {
        assert!(listed.contains(&format!("chain {chain} {{")), "{chain} is not listed");
    }
    for text in [
        "meta priority set ip daddr . meta l4proto . th dport map @services meta priority vmap @classes",
        "ip daddr . meta l4proto . th dport . numgen random mod 3 map @endpoints",
        "ip daddr @cluster-ips goto reject",
        "ip saddr != @pod-cidrs iifname != @pod-interfaces meta mark set",
        "meta priority set jhash ip saddr . th sport mod 1021 seed 0x706f7274 offset 33554432",
        "dup to meta priority map @takers",
        "elements = { \"cni0\",",
        "\"veth*\" }",
        "10.96.0.1 . tcp . 80 : 0x0",
        "update @affinity { ip saddr . meta priority & ffff:f000 timeout 3h : meta priority }",
        "add @connections { ip daddr . meta l4proto . th dport counter }",
        "ip saddr . ip daddr @hairpins ct status dnat goto masquerade",
        "comment \"ports of Services: the number of how each is served\"",
        "comment \"one of 3 endpoints: a port's\"",
        "comment \"one of 2 endpoints: a port's; a client stays for 10800 s\"",
    ] {
        assert!(listed.contains(text), "not listed: {text}\n{listed}");
    }
    if std::env::var_os("SHOW_LISTING").is_some() {
        println!("{listed}");
    }
    Ok(())
}
