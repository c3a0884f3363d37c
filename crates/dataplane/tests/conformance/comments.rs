//! Elements that bear the names of their Services.

use std::process::Command;

use dataplane::Config;

use crate::packets::Cluster;
use crate::scene::{Kernel, Stream, server, set, vip};

fn named() -> Config {
    Config { comments: true, ..Config::default() }
}

fn fill(kernel: &mut Kernel) {
    let model = kernel.model_mut();
    set(model, "web", 1, "np", "a b c");
    set(model, "sticky", 2, "affinity=10800 lb ranges=192.0.2.0/28", "a b");
    set(model, "nobody", 3, "udp", "");
}

fn listed(cluster: &Cluster) -> anyhow::Result<String> {
    let output = cluster.node.command("nft").args(["list", "table", "ip", "portolan"]).output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn names_come_and_go_in_one_transaction_that_cuts_nothing() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let nft = Command::new("nft").arg("--version").output().is_ok();
    let cluster = Cluster::new("comments")?;
    let mut plain = cluster.dataplane(Config::default())?;
    fill(&mut plain);
    plain.sync()?;
    let stream = Stream::open(&cluster, "p", vip(1))?;
    let stuck = server(&cluster, "p", 6, vip(2))?;
    for config in [named(), Config::default(), named()] {
        let comments = config.comments;
        let mut kernel = cluster.dataplane(config.clone())?;
        fill(&mut kernel);
        assert!(kernel.sync()?.changes > 10, "elements are made anew");
        stream.echo()?;
        assert_eq!(server(&cluster, "p", 6, vip(2))?, stuck, "clients are remembered");
        // From then on there is nothing to do, also after a restart.
        kernel.forget();
        assert_eq!(kernel.sync()?.changes, 0);
        let mut restarted = cluster.dataplane(config)?;
        fill(&mut restarted);
        assert_eq!(restarted.sync()?.changes, 0);
        if !nft {
            continue;
        }
        let text = listed(&cluster)?;
        for line in [
            "10.96.0.1 . tcp . 80 comment \"default/web:80\" : 0x",
            "10.96.0.1 . tcp . 80 . 0x00000002 comment \"default/web:80\" : 10.244.",
            "tcp . 30080 comment \"default/web:80\" : 0x",
            "198.51.100.1 . tcp . 80 . 192.0.2.0 . 0x0000001c comment \"default/sticky:80\"",
            "10.96.0.3 . udp . 80 comment \"default/nobody:80\" : 0x",
        ] {
            assert_eq!(text.contains(line), comments, "{line}:\n{text}");
        }
    }
    if !nft {
        testbed::privilege::skip("there is no nft on this machine: comments were not listed");
    }
    Ok(())
}

/// A change of one Service says its name on what it adds, and touches nothing else.
#[test]
fn a_change_of_one_service_costs_no_more() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let cluster = Cluster::new("comments-change")?;
    let mut changes = Vec::new();
    for config in [Config::default(), named()] {
        let mut kernel = cluster.dataplane(config)?;
        kernel.backend_mut().cleanup()?;
        fill(&mut kernel);
        let first = kernel.sync()?.changes;
        set(kernel.model_mut(), "web", 1, "np", "a b c d");
        changes.push((first, kernel.sync()?.changes));
    }
    assert_eq!(changes[0], changes[1]);
    Ok(())
}
