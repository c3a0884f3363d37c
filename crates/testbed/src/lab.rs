//! A laboratory: namespaces with names of their own, and the links between them.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;

use crate::namespace::{Namespace, add_veth};

/// So that two laboratories of one process never share a name.
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Names namespaces after the test, the process and the place. Holds nothing that would have to be cleaned away.
pub struct Lab {
    prefix: String,
    pin: bool,
}

impl Lab {
    /// A laboratory of a test. With `TESTBED_PIN=1` in the environment its namespaces are pinned in `/run/netns`.
    pub fn new(test: &str) -> Lab {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let pin = std::env::var_os("TESTBED_PIN").is_some_and(|value| value == "1");
        Lab { prefix: format!("{test}-{}-{number}", std::process::id()), pin }
    }

    /// A laboratory whose namespaces are all pinned.
    pub fn pinned(test: &str) -> Lab {
        Lab { pin: true, ..Lab::new(test) }
    }

    /// A fresh namespace, loopback up. Prints how to look inside while the test runs.
    pub fn namespace(&self, place: &str) -> Result<Namespace> {
        let mut namespace = Namespace::new(&format!("{}-{place}", self.prefix))?;
        if self.pin {
            namespace.pin()?;
        }
        println!("{place}: nsenter --net={}", namespace.path().display());
        Ok(namespace)
    }

    /// A pair of interfaces, one end in each namespace, both up.
    pub fn veth(&self, one: (&Namespace, &str), other: (&Namespace, &str)) -> Result<()> {
        add_veth(one, other)
    }

    /// Namespaces on one Ethernet segment: a bridge in a namespace of its own, returned, and in each of the others an
    /// interface of the given name, up, without address.
    pub fn segment(&self, name: &str, interface: &str, members: &[&Namespace]) -> Result<Namespace> {
        let switch = self.namespace(name)?;
        switch.add_bridge("bridge")?;
        for (n, member) in members.iter().enumerate() {
            let port = format!("port{n}");
            add_veth((&switch, &port), (member, interface))?;
            switch.attach(&port, "bridge")?;
        }
        Ok(switch)
    }
}
