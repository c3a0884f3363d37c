//! A rolling update of the backends under load: how many requests fail.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::{TcpServer, wait_until};

use crate::flow::Requests;
use crate::table::Table;
use crate::world::{SOON, World, name};

/// Replacements of an endpoint by another.
const STEPS: usize = 12;
/// How long a Pod that ends goes on, as its grace lets it.
const GRACE: Duration = Duration::from_secs(2);
/// How long a Pod lives until the next is replaced.
const LIVES: Duration = Duration::from_millis(1500);

/// Servers on the nodes, of which two are replaced one after the other: a new one is ready, then an old one ends.
pub fn rolling(table: &mut Table, policy: &str) {
    let Some(world) = World::new() else { return };
    let servers: Vec<TcpServer> = (0..STEPS + 2)
        .map(|n| {
            let at = format!("192.0.2.{}:{}", 10 + n % 3, 8080 + n).parse().unwrap();
            TcpServer::start(&world.nodes[n % 3], at, &format!("pod-{n}")).unwrap()
        })
        .collect();
    let mut servers: Vec<Option<TcpServer>> = servers.into_iter().map(Some).collect();
    world.create("web", &json!({"externalTrafficPolicy": policy}));
    // Each server has a port of its own, so each is a slice of its own.
    let say = |n: usize, ready: bool, serving: bool| {
        let address = format!("192.0.2.{}", 10 + n % 3);
        let conditions = json!({"ready": ready, "serving": serving, "terminating": !ready});
        let endpoints: Value = json!([{"addresses": [address], "nodeName": name(n % 3), "conditions": conditions}]);
        world.slice(&format!("web-{n}"), "web", &endpoints, u16::try_from(8080 + n).unwrap());
    };
    say(0, true, true);
    say(1, true, true);
    world.wait_ready("web");
    let address = world.address("web");
    wait_until(SOON, "the client reaches it", || world.reaches_any(address)).unwrap();
    // A port of the client is taken for a minute by a connection that is over: 1,000 a second need more than it has.
    world.client.set_sysctl("net.ipv4.ip_local_port_range", "1024 65535").unwrap();
    let requests = Requests::start(&world.client, (address, 80).into());
    for n in 2..STEPS + 2 {
        say(n, true, true);
        // The new one is ready on all nodes long before.
        std::thread::sleep(LIVES);
        say(n - 2, false, true);
        std::thread::sleep(GRACE);
        servers[n - 2] = None;
        world.unslice(&format!("web-{}", n - 2));
    }
    let before = requests.done();
    wait_until(SOON, "more requests", || requests.done() > before + 500).unwrap();
    let (done, failed, why) = requests.end();
    let why = if why.is_empty() { String::new() } else { format!(" ({})", why.join("; ")) };
    table.row(
        &format!("rolling update of {STEPS} Pods under load, {policy}: requests; failed"),
        format!("{done}; {failed}{why}"),
        "0 failed",
    );
}
