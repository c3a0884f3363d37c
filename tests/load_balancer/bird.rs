//! BIRD, a real router, on the switch: it speaks to the three nodes and leads packets to them.

use std::net::IpAddr;
use std::process::{Child, Command, Stdio};

use testbed::wait_until;

use crate::world::SOON;

const SOCKET: &str = "/run/bird.socket";

/// Ended when dropped.
pub struct Bird(Child);

impl Drop for Bird {
    fn drop(&mut self) {
        // One that has ended already is no error.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

impl Bird {
    /// With a session to each of the three nodes; `None` where it is not installed, which has been said.
    pub fn start() -> Option<Self> {
        // By itself BIRD takes no connection for a minute after it missed somebody.
        let session = |n: u8| {
            format!(
                "protocol bgp node{n} {{ local 192.0.2.1 as 64500; neighbor 192.0.2.1{n} as 64512; passive on; bfd on;
                   hold time 240; error wait time 1, 1; ipv4 {{ import all; export none; }}; }}\n"
            )
        };
        let config = format!(
            "router id 192.0.2.1; protocol device {{}}
             protocol bfd {{ interface \"*\" {{ interval 100 ms; multiplier 3; }}; }}
             protocol kernel {{ ipv4 {{ export all; }}; merge paths on; }}\n{}",
            (0..3).map(session).collect::<String>()
        );
        std::fs::write("/run/bird.conf", config).unwrap();
        let mut command = Command::new("bird");
        command.args(["-f", "-c", "/run/bird.conf", "-s", SOCKET]).stdin(Stdio::null());
        let Ok(child) = command.spawn() else {
            testbed::privilege::skip("bird is not installed");
            return None;
        };
        Some(Self(child))
    }

    /// What it says.
    fn asked(&self, question: &str) -> String {
        let output = Command::new("birdc").args(["-s", SOCKET]).args(question.split(' ')).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The nodes to which it leads packets for an address.
    pub fn ways(&self, address: IpAddr) -> Vec<usize> {
        let said = self.asked(&format!("show route {address}/32"));
        (0..3).filter(|n| said.contains(&format!("via 192.0.2.1{n} "))).collect()
    }

    /// Waits until all three sessions are established, and BFD would miss each of the nodes.
    pub fn wait_up(&self) {
        let up = || {
            self.asked("show protocols").matches("Established").count() == 3
                && self.asked("show bfd sessions").matches(" Up ").count() == 3
        };
        wait_until(SOON, "three sessions with BFD", up).unwrap();
    }
}
