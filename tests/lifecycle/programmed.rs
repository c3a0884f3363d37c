//! A Service says whether every node has put it into its kernel.

use nix::sys::signal::{Signal, kill};

use crate::host::{Host, SOON};

fn condition(host: &Host, service: &str) -> String {
    let path =
        "jsonpath={range .status.conditions[?(@.type=='portolan.dev/Programmed')]}{.status} {.reason}: {.message}{end}";
    host.kubectl(&["get", "service", service, "-o", path])
}

fn wait_for_programmed(host: &Host, service: &str) {
    let wait = "--for=condition=portolan.dev/Programmed";
    host.kubectl(&["wait", wait, &format!("service/{service}"), "--timeout=60s"]);
}

#[test]
fn a_service_is_programmed_when_every_node_has_it() {
    let Some(host) = Host::isolated() else { return };
    let up = host.up(&[]).ready(&host);
    host.kubectl(&["create", "service", "clusterip", "one", "--tcp=80"]);
    wait_for_programmed(&host, "one");
    assert_eq!(condition(&host, "one"), "True Programmed: the kernel of every node has the newest version");
    let kernels = ["node-1", "node-2", "node-3"];
    let address = host.kubectl(&["get", "service", "one", "-o", "jsonpath={.spec.clusterIP}"]);
    for node in kernels {
        assert!(host.rules(node).contains(&address), "{node} has no rule for {address}");
    }

    // A node that stands still is named, as long as it is not known to be down, and waited for.
    let (name, process) = host.node_processes("portolan").remove(1);
    assert_eq!(name, "node-2");
    kill(process, Signal::SIGSTOP).unwrap();
    host.kubectl(&["patch", "service", "one", "-p", r#"{"spec":{"internalTrafficPolicy":"Local"}}"#]);
    let lags = "False NodesLag: the newest version is not yet on node-2";
    let seen = testbed::wait_until(SOON, "it lags", || condition(&host, "one") == lags);
    kill(process, Signal::SIGCONT).unwrap();
    assert!(seen.is_ok(), "{}", condition(&host, "one"));
    wait_for_programmed(&host, "one");

    // One that is gone is not waited for.
    host.succeeds(&["stop-node", "node-3"]);
    host.kubectl(&["create", "service", "clusterip", "two", "--tcp=80"]);
    wait_for_programmed(&host, "two");
    host.succeeds(&["down"]);
    assert!(up.ended().0.success());
}
