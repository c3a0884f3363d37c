//! Sessions with BIRD, a real router, in namespaces.

#![allow(clippy::unwrap_used, reason = "what fails in a test's helper fails the test")]

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ipnet::IpNet;
use loadbalancer::bfd::{Hub, State, Timers};
use loadbalancer::bgp::door::Door;
use loadbalancer::bgp::{PORT, Peer, Phase, Shared, Speaker};
use testbed::{Lab, Namespace, skip_unless_root, wait_until};
use tokio::runtime::Runtime;

const SOON: Duration = Duration::from_secs(30);

/// A router and two nodes on one network.
struct World {
    router: Namespace,
    nodes: Vec<(Namespace, Runtime)>,
    _switch: Namespace,
    folder: PathBuf,
    bird: Option<Child>,
    shared: RefCell<Vec<Shared>>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop();
        // A folder of this process alone, in the temporary folder.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A runtime whose threads are all in a namespace.
fn inside(namespace: &Namespace) -> Runtime {
    let make = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    namespace.run(make).unwrap()
}

impl World {
    /// `None` where it cannot be, which has been said.
    fn new(test: &str) -> Option<Self> {
        if skip_unless_root().is_some() {
            return None;
        }
        if Command::new("bird").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            testbed::privilege::skip("bird is not installed");
            return None;
        }
        let lab = Lab::new(test);
        let [router, a, b] = ["router", "a", "b"].map(|place| lab.namespace(place).unwrap());
        let switch = lab.segment("switch", "eth0", &[&router, &a, &b]).unwrap();
        for (n, namespace) in [&router, &a, &b].into_iter().enumerate() {
            namespace.add_address("eth0", format!("10.0.0.{}/24", n + 1).parse().unwrap()).unwrap();
            namespace.add_address("eth0", format!("fd00::{}/64", n + 1).parse().unwrap()).unwrap();
        }
        let folder = std::env::temp_dir().join(format!("portolan-bird-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let nodes = [a, b].map(|node| {
            let runtime = inside(&node);
            (node, runtime)
        });
        Some(Self { router, nodes: nodes.into(), _switch: switch, folder, bird: None, shared: RefCell::default() })
    }

    /// Starts BIRD with a session to each node; `more` are further lines of each.
    fn start(&mut self, local_as: u32, peer_as: u32, more: &str) {
        let sessions: String = (0..self.nodes.len())
            .map(|n| {
                let address = n + 2;
                format!(
                    "protocol bgp node{n} {{ local 10.0.0.1 as {local_as}; neighbor 10.0.0.{address} as {peer_as}; passive on; {more}
                       ipv4 {{ import all; export none; }}; ipv6 {{ import all; export none; }}; }}\n"
                )
            })
            .collect();
        let config = format!(
            "router id 10.0.0.1;
             protocol device {{}}
             protocol bfd {{
               interface \"*\" {{ interval 100 ms; idle tx interval 1 s; multiplier 3; }};
               multihop {{ interval 100 ms; idle tx interval 1 s; multiplier 3; }};
             }}
             protocol kernel {{ ipv4 {{ export all; }}; merge paths on; }}
             protocol kernel {{ ipv6 {{ export all; }}; merge paths on; }}
             {sessions}"
        );
        let path = self.folder.join("bird.conf");
        std::fs::write(&path, config).unwrap();
        let mut command = self.router.command("bird");
        command.arg("-f").arg("-c").arg(&path).arg("-s").arg(self.folder.join("socket"));
        self.bird = Some(command.stdin(Stdio::null()).spawn().unwrap());
        wait_until(SOON, "BIRD answers", || self.asked("show status").contains("up and running")).unwrap();
    }

    fn stop(&mut self) {
        if let Some(mut bird) = self.bird.take() {
            // One that has ended already is no error.
            let _ = bird.kill();
            let _ = bird.wait();
        }
    }

    /// What BIRD says.
    fn asked(&self, question: &str) -> String {
        let mut command = Command::new("birdc");
        command.arg("-s").arg(self.folder.join("socket")).args(question.split(' '));
        String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
    }

    fn peer(&self, node: usize) -> Peer {
        Peer {
            address: (Ipv4Addr::new(10, 0, 0, 1), PORT).into(),
            peer_as: 64_512,
            local_as: 4_200_000_001,
            router: format!("10.0.0.{}", node + 2).parse().unwrap(),
            source: None,
            other_next_hop: Some(format!("fd00::{}", node + 2).parse().unwrap()),
            hold: Duration::from_secs(9),
            passive: false,
            hops: 1,
            password: None,
            restart: None,
            preference: None,
            communities: vec![0xfc00_0064],
            bfd: None,
        }
    }

    fn speak(&self, node: usize, peer: Peer, prefixes: &[&str]) -> Speaker {
        let (namespace, runtime) = &self.nodes[node];
        let shared = || {
            let _runtime = runtime.enter();
            Shared { bfd: peer.bfd.map(|_| Hub::start().unwrap()), door: peer.passive.then(|| Door::open().unwrap()) }
        };
        let shared = namespace.run(shared).unwrap();
        let _runtime = runtime.enter();
        let speaker = Speaker::start(peer, &shared);
        self.shared.borrow_mut().push(shared);
        speaker.announce(prefixes.iter().map(|prefix| prefix.parse::<IpNet>().unwrap()).collect());
        speaker
    }

    fn wait(&self, question: &str, what: &str, condition: impl Fn(&str) -> bool) {
        let mut said = String::new();
        let waited = wait_until(SOON, what, || {
            said = self.asked(question);
            condition(&said)
        });
        assert!(waited.is_ok(), "{what}: {said}");
    }

    /// The routes in the router's kernel.
    fn kernel(&self, arguments: &[&str]) -> String {
        let output = self.router.command("ip").args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

#[test]
fn a_router_spreads_connections_over_the_nodes_that_announce() {
    let Some(mut world) = World::new("ecmp") else { return };
    world.start(64_512, 4_200_000_001, "");
    let prefixes = ["192.0.2.200/32", "2001:db8::c8/128"];
    let [a, b] = [0, 1].map(|node| world.speak(node, world.peer(node), &prefixes));
    world.wait("show route all 192.0.2.200/32", "both are there", |said| {
        let words = ["BGP.next_hop: 10.0.0.2", "BGP.next_hop: 10.0.0.3", "BGP.as_path: 4200000001", "(64512,100)"];
        words.iter().all(|word| said.contains(word))
    });
    world.wait("show route all 2001:db8::c8/128", "of IPv6 too", |said| {
        said.contains("BGP.next_hop: fd00::2") && said.contains("BGP.next_hop: fd00::3")
    });
    assert_eq!((a.phase(), b.phase()), (Phase::Established, Phase::Established));
    wait_until(SOON, "the kernel has both ways", || {
        let routes = world.kernel(&["route", "show", "192.0.2.200"]);
        routes.contains("via 10.0.0.2") && routes.contains("via 10.0.0.3")
    })
    .unwrap();

    // One takes its address back, and announces another.
    a.announce(BTreeSet::from(["192.0.2.201/32".parse().unwrap()]));
    world.wait("show route 192.0.2.200/32", "one is left", |said| {
        said.contains("10.0.0.3") && !said.contains("10.0.0.2")
    });
    world.wait("show route", "the other is there", |said| said.contains("192.0.2.201/32"));
    // One says that it ends: its routes are gone at once.
    world.nodes[1].1.block_on(b.end());
    world.wait("show route", "it is gone", |said| !said.contains("192.0.2.200/32") && said.contains("192.0.2.201/32"));
}

#[test]
fn inside_an_as_there_is_a_preference_and_a_broken_session_is_made_again() {
    let Some(mut world) = World::new("inside") else { return };
    world.start(64_512, 64_512, "");
    let peer = |node| Peer { local_as: 64_512, preference: Some(200), ..world.peer(node) };
    let (one, other) = (peer(0), peer(1));
    let speaker = world.speak(0, one, &["192.0.2.200/32"]);
    let _other = world.speak(1, Peer { preference: Some(50), ..other }, &["192.0.2.200/32"]);
    let both = |said: &str| said.contains("BGP.local_pref: 200") && said.contains("BGP.local_pref: 50");
    world.wait("show route all 192.0.2.200/32", "both are there", both);
    world.stop();
    wait_until(SOON, "it is noticed", || matches!(speaker.phase(), Phase::Idle(Some(_)) | Phase::Connect)).unwrap();
    world.start(64_512, 64_512, "");
    world.wait("show route all 192.0.2.200/32", "both are there again", both);
}

#[test]
fn a_password_and_the_right_as_are_needed() {
    let Some(mut world) = World::new("password") else { return };
    world.start(64_512, 4_200_000_001, "password \"portolan\";");
    let secret = Peer { password: Some("portolan".to_owned()), ..world.peer(0) };
    let right = world.speak(0, secret.clone(), &["192.0.2.200/32"]);
    let wait =
        wait_until(SOON, "a session or a reason", || !matches!(right.phase(), Phase::Connect | Phase::Idle(None)));
    wait.unwrap();
    if let Phase::Idle(Some(why)) = right.phase()
        && (why.contains("os error 92") || why.contains("os error 2)"))
    {
        testbed::privilege::skip("this kernel signs no TCP segments (CONFIG_TCP_MD5SIG)");
        return;
    }
    world.wait("show route", "the route is there", |said| said.contains("192.0.2.200/32"));
    let wrong = world.speak(1, Peer { peer_as: 64_999, password: Some("portolan".to_owned()), ..world.peer(1) }, &[]);
    wait_until(
        SOON,
        "it is said",
        || matches!(wrong.phase(), Phase::Idle(Some(why)) if why == "the router is of AS 64512, and not of 64999"),
    )
    .unwrap();
}

#[test]
fn a_restart_without_a_word_keeps_the_routes_for_a_while() {
    let Some(mut world) = World::new("restart") else { return };
    world.start(64_512, 4_200_000_001, "graceful restart on;");
    let peer = Peer { restart: Some(60), ..world.peer(0) };
    let speaker = world.speak(0, peer.clone(), &["192.0.2.200/32", "192.0.2.201/32"]);
    world.wait("show route", "the routes are there", |said| said.contains("192.0.2.201/32"));
    // As a process that is killed: the connection is closed, and nothing is said.
    drop(speaker);
    world.wait("show protocols node0", "the session is gone", |said| !said.contains("Established"));
    assert!(world.asked("show route").contains("192.0.2.200/32"), "the router keeps the route");
    let _again = world.speak(0, peer, &["192.0.2.200/32"]);
    world.wait("show route", "what is not announced again is gone", |said| {
        said.contains("192.0.2.200/32") && !said.contains("192.0.2.201/32")
    });
}

#[test]
fn a_router_and_a_node_miss_each_other_by_bfd_long_before_the_hold_time() {
    // On the same network, and over several hops.
    for (hops, multihop) in [(1, ""), (2, "multihop 2;")] {
        let Some(mut world) = World::new(if hops == 1 { "bfd" } else { "bfd-multihop" }) else { return };
        // By itself BIRD takes no connection for a minute after it missed somebody.
        world.start(64_512, 4_200_000_001, &format!("hold time 240; error wait time 1, 1; bfd on; {multihop}"));
        let often = Duration::from_millis(100);
        let bfd = Some(Timers { transmit: often, receive: often, multiplier: 3 });
        let peer = |node| Peer { bfd, hops, hold: Duration::from_secs(240), ..world.peer(node) };
        let [a, b] = [0, 1].map(|node| world.speak(node, peer(node), &["192.0.2.200/32"]));
        let up = |speaker: &Speaker| speaker.bfd() == Some(State::Up) && speaker.phase() == Phase::Established;
        wait_until(SOON, "both are up", || up(&a) && up(&b)).unwrap();
        world.wait("show bfd sessions", "the router says so", |said| said.matches(" Up ").count() == 2);
        world.wait("show route 192.0.2.200/32", "both ways are there", |said| said.matches("[node").count() == 2);

        // The node's cable is out: neither hears anything, and neither connection ends by itself.
        world.nodes[0].0.set_down("eth0").unwrap();
        world.wait("show route 192.0.2.200/32", "the router leaves one way", |said| said.matches("[node").count() == 1);
        let lost = || a.bfd() != Some(State::Up) && a.phase() != Phase::Established;
        wait_until(SOON, "the node says so", lost).unwrap();
        assert!(up(&b));
        world.nodes[0].0.set_up("eth0").unwrap();
        wait_until(SOON, "all is as it was", || up(&a)).unwrap();
        world.wait("show route 192.0.2.200/32", "both ways are there", |said| said.matches("[node").count() == 2);
    }
}

#[test]
fn a_router_begins_the_session_itself() {
    for password in [None, Some("portolan".to_owned())] {
        let Some(mut world) = World::new("passive") else { return };
        let signed = if password.is_some() { "password \"portolan\";" } else { "" };
        let peer = Peer { passive: true, password, ..world.peer(0) };
        let speaker = world.speak(0, peer, &["192.0.2.200/32"]);
        // The other node expects nobody, and its port is closed.
        world.start(
            64_512,
            4_200_000_001,
            &format!("passive off; connect delay time 1; connect retry time 1; {signed}"),
        );
        world.wait("show route", "the route is there", |said| said.contains("192.0.2.200/32"));
        assert_eq!(speaker.phase(), Phase::Established);
        // It begins anew when the router does.
        world.asked("restart node0");
        world.wait("show protocols node0", "the session is new", |said| said.contains("Established"));
        world.wait("show route", "the route is there", |said| said.contains("192.0.2.200/32"));
    }
}
