//! Network namespaces.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use anyhow::{Context as _, Result, anyhow};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use crate::netlink::{Request, find_attribute, number};
use crate::network::Network;

/// Where `ip netns` looks for names.
const NAMES: &str = "/run/netns";

/// A network namespace with its loopback up. Gone when it is dropped and no process is left in it.
pub struct Namespace {
    name: String,
    file: OwnedFd,
    pinned: Option<PathBuf>,
}

/// What is known of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its index in its namespace.
    pub index: u32,
    /// Its Ethernet address.
    pub mac: [u8; 6],
}

impl Namespace {
    /// A fresh one. The name is for messages, and for [`Namespace::pin`].
    pub fn new(name: &str) -> Result<Namespace> {
        let made = thread::scope(|scope| {
            scope
                .spawn(|| -> Result<OwnedFd> {
                    unshare(CloneFlags::CLONE_NEWNET).context("unsharing the network namespace")?;
                    set_up(1)?;
                    spare_duplicate_detection()?;
                    Ok(OwnedFd::from(File::open("/proc/thread-self/ns/net")?))
                })
                .join()
        });
        let file = made.map_err(|_| anyhow!("the thread that makes {name} panicked"))??;
        Ok(Namespace { name: name.to_owned(), file, pinned: None })
    }

    /// The one that the calling thread is in.
    pub fn current() -> Result<Namespace> {
        let file = OwnedFd::from(File::open("/proc/thread-self/ns/net")?);
        Ok(Namespace { name: "current".to_owned(), file, pinned: None })
    }

    /// Gives it a name in `/run/netns`, for `ip netns exec`; taken away when it is dropped.
    pub fn pin(&mut self) -> Result<()> {
        fs::create_dir_all(NAMES)?;
        let path = Path::new(NAMES).join(&self.name);
        File::create(&path).with_context(|| format!("making {}", path.display()))?;
        self.pinned = Some(path.clone());
        mount(Some(&self.path()), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .with_context(|| format!("pinning {}", path.display()))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A path that leads to it as long as this value lives: `/proc/PID/fd/N`.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd()).into()
    }

    /// Runs a closure on a thread of its own inside the namespace. Sockets that it makes stay there wherever they go.
    /// Threads that it starts are inside too. A panic inside goes on outside.
    pub fn run<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> Result<T> {
        let thread = thread::current();
        let name = format!("{}@{}", thread.name().unwrap_or("test"), self.name);
        thread::scope(|scope| {
            let entered = thread::Builder::new().name(name).spawn_scoped(scope, || -> Result<T> {
                self.enter()?;
                Ok(inside())
            })?;
            entered.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Moves the calling thread into the namespace for good.
    pub fn enter(&self) -> Result<()> {
        setns(&self.file, CloneFlags::CLONE_NEWNET).with_context(|| format!("entering {}", self.name))
    }

    /// A command that will run inside the namespace. It sees the machine's files, `/sys` included; see
    /// [`crate::isolation`] for a `/sys` that shows the namespace.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let file = self.file.as_raw_fd();
        // SAFETY: setns is a plain system call, safe between fork and exec; the descriptor is open in the child, as
        // the command is spawned while `self` lives, or setns fails and so does the spawn.
        unsafe {
            command.pre_exec(move || {
                let file = BorrowedFd::borrow_raw(file);
                setns(file, CloneFlags::CLONE_NEWNET).map_err(std::io::Error::from)
            });
        }
        command
    }

    /// Sets a sysctl of the namespace, such as `net.ipv4.ip_forward`. A dot in an interface's name is written `/`.
    pub fn set_sysctl(&self, key: &str, value: &str) -> Result<()> {
        let path: String = key
            .chars()
            .map(|c| {
                if c == '.' {
                    '/'
                } else if c == '/' {
                    '.'
                } else {
                    c
                }
            })
            .collect();
        let path = Path::new("/proc/sys").join(path);
        self.run(|| fs::write(&path, value))?.with_context(|| format!("{key} = {value} in {}", self.name))
    }

    /// Index and Ethernet address of an interface.
    pub fn link(&self, interface: &str) -> Result<Link> {
        self.run(|| link(interface))?.with_context(|| format!("{interface} in {}", self.name))
    }

    /// Sets an interface up.
    pub fn set_up(&self, interface: &str) -> Result<()> {
        self.change_link(interface, true, |request| request)
    }

    /// Sets an interface down.
    pub fn set_down(&self, interface: &str) -> Result<()> {
        self.change_link(interface, false, |request| request)
    }

    /// Makes a bridge, up.
    pub fn add_bridge(&self, bridge: &str) -> Result<()> {
        let make = || {
            let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
            Request::new(libc::RTM_NEWLINK, flags, &link_info(0, true, true))
                .text(libc::IFLA_IFNAME, bridge)
                .nested(libc::IFLA_LINKINFO, |info| info.text(libc::IFLA_INFO_KIND, "bridge"))
                .send()
        };
        self.run(make)?.with_context(|| format!("bridge {bridge} in {}", self.name)).map(drop)
    }

    /// Makes an interface a port of a bridge.
    pub fn attach(&self, interface: &str, bridge: &str) -> Result<()> {
        let master = self.link(bridge)?.index;
        self.change_link(interface, true, |request| request.number(libc::IFLA_MASTER, master))
    }

    /// Takes an interface away; a veth's other end goes with it.
    pub fn delete_link(&self, interface: &str) -> Result<()> {
        let index = self.link(interface)?.index;
        let delete = || Request::new(libc::RTM_DELLINK, 0, &link_info(index, false, false)).send();
        self.run(delete)?.with_context(|| format!("deleting {interface} in {}", self.name)).map(drop)
    }

    /// Gives an interface an address, and sets it up.
    pub fn add_address(&self, interface: &str, network: Network) -> Result<()> {
        self.set_up(interface)?;
        self.change_address(libc::RTM_NEWADDR, libc::NLM_F_CREATE | libc::NLM_F_EXCL, interface, network)
    }

    /// Takes an address from an interface.
    pub fn delete_address(&self, interface: &str, network: Network) -> Result<()> {
        self.change_address(libc::RTM_DELADDR, 0, interface, network)
    }

    /// A route through a gateway; `0.0.0.0/0` is the default.
    pub fn add_route(&self, network: Network, gateway: IpAddr) -> Result<()> {
        let add = || route(network).address(libc::RTA_GATEWAY, gateway).send();
        self.run(add)?.with_context(|| format!("route {network} via {gateway} in {}", self.name)).map(drop)
    }

    /// A route straight out of an interface.
    pub fn add_link_route(&self, network: Network, interface: &str) -> Result<()> {
        let index = self.link(interface)?.index;
        let add = || route(network).number(libc::RTA_OIF, index).send();
        self.run(add)?.with_context(|| format!("route {network} dev {interface} in {}", self.name)).map(drop)
    }

    /// The Ethernet address that the namespace has learnt for an IPv4 address; `None` if there is none or it failed.
    pub fn neighbour(&self, address: Ipv4Addr) -> Result<Option<[u8; 6]>> {
        let table = self.run(|| fs::read_to_string("/proc/thread-self/net/arp"))?.context("reading the ARP table")?;
        let wanted = address.to_string();
        let line = table.lines().find(|line| line.split_whitespace().next() == Some(&wanted));
        let mac = line.and_then(|line| line.split_whitespace().nth(3)).and_then(parse_mac);
        Ok(mac.filter(|mac| *mac != [0; 6]))
    }

    fn change_link(&self, interface: &str, up: bool, more: impl FnOnce(Request) -> Request + Send) -> Result<()> {
        let index = self.link(interface)?.index;
        let change = || more(Request::new(libc::RTM_NEWLINK, 0, &link_info(index, true, up))).send();
        self.run(change)?.with_context(|| format!("changing {interface} in {}", self.name)).map(drop)
    }

    fn change_address(&self, kind: u16, flags: i32, interface: &str, network: Network) -> Result<()> {
        let index = self.link(interface)?.index;
        let Network { address, prefix } = network;
        // struct ifaddrmsg; without duplicate address detection, so that an IPv6 address serves at once.
        let mut fixed = vec![family(address), prefix, libc::IFA_F_NODAD as u8, 0];
        fixed.extend_from_slice(&index.to_ne_bytes());
        let change = || {
            let request = Request::new(kind, flags, &fixed);
            request.address(libc::IFA_LOCAL, address).address(libc::IFA_ADDRESS, address).send()
        };
        self.run(change)?.with_context(|| format!("address {network} of {interface} in {}", self.name)).map(drop)
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Some(path) = self.pinned.take() {
            // What is left over when this fails is a name; the next run uses another one.
            _ = umount2(&path, MntFlags::MNT_DETACH);
            _ = fs::remove_file(&path);
        }
    }
}

/// IPv6 addresses, link-local ones too, serve at once: there are no duplicates in a laboratory, and a router that waits
/// for its link-local address to be found unique (about a second) forwards nothing.
fn spare_duplicate_detection() -> Result<()> {
    for scope in ["all", "default"] {
        match fs::write(format!("/proc/sys/net/ipv6/conf/{scope}/accept_dad"), "0") {
            // A kernel without IPv6.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            done => done.context("switching duplicate address detection off")?,
        }
    }
    Ok(())
}

/// Makes a pair of interfaces, one end in each namespace, both up.
pub(crate) fn add_veth(one: (&Namespace, &str), other: (&Namespace, &str)) -> Result<()> {
    let ((near, near_name), (far, far_name)) = (one, other);
    let file = far.file.as_raw_fd() as u32;
    let make = || {
        let flags = libc::NLM_F_CREATE | libc::NLM_F_EXCL;
        Request::new(libc::RTM_NEWLINK, flags, &link_info(0, false, false))
            .text(libc::IFLA_IFNAME, near_name)
            .nested(libc::IFLA_LINKINFO, |info| {
                info.text(libc::IFLA_INFO_KIND, "veth").nested(libc::IFLA_INFO_DATA, |data| {
                    data.nested(VETH_INFO_PEER, |peer| {
                        peer.raw(&link_info(0, false, false))
                            .text(libc::IFLA_IFNAME, far_name)
                            .number(libc::IFLA_NET_NS_FD, file)
                    })
                })
            })
            .send()
    };
    let place = || format!("veth {near_name} in {} to {far_name} in {}", near.name, far.name);
    near.run(make)?.with_context(place)?;
    // Neither end can be up before the other exists.
    near.set_up(near_name)?;
    far.set_up(far_name)
}

/// `VETH_INFO_PEER` of linux/veth.h.
const VETH_INFO_PEER: u16 = 1;

/// Sets up the interface with an index in the calling thread's namespace.
pub(crate) fn set_up(index: u32) -> Result<()> {
    Request::new(libc::RTM_NEWLINK, 0, &link_info(index, true, true))
        .send()
        .context("setting an interface up")
        .map(drop)
}

/// `struct ifinfomsg`, with `IFF_UP` changed or not.
fn link_info(index: u32, change: bool, up: bool) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[4..8].copy_from_slice(&index.to_ne_bytes());
    let flag = libc::IFF_UP as u32;
    bytes[8..12].copy_from_slice(&(if up { flag } else { 0 }).to_ne_bytes());
    bytes[12..16].copy_from_slice(&(if change { flag } else { 0 }).to_ne_bytes());
    bytes
}

fn link(interface: &str) -> Result<Link> {
    let request = Request::new(libc::RTM_GETLINK, 0, &link_info(0, false, false)).text(libc::IFLA_IFNAME, interface);
    let bodies = request.send()?;
    let body = bodies.first().context("no such interface")?;
    let index = number(body, 4)?;
    let attributes = body.get(16..).context("a message cut short")?;
    let mac = find_attribute(attributes, libc::IFLA_ADDRESS).and_then(|mac| <[u8; 6]>::try_from(mac).ok());
    Ok(Link { index, mac: mac.unwrap_or_default() })
}

/// A request for a new route to a network, the rest to be filled in.
fn route(network: Network) -> Request {
    let Network { address, prefix } = network;
    // struct rtmsg: family, lengths of destination and source, tos, table, protocol, scope, type, flags.
    let scope = libc::RT_SCOPE_UNIVERSE;
    let mut fixed =
        vec![family(address), prefix, 0, 0, libc::RT_TABLE_MAIN, libc::RTPROT_STATIC, scope, libc::RTN_UNICAST];
    fixed.extend_from_slice(&[0; 4]);
    Request::new(libc::RTM_NEWROUTE, libc::NLM_F_CREATE | libc::NLM_F_REPLACE, &fixed).address(libc::RTA_DST, address)
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { libc::AF_INET as u8 } else { libc::AF_INET6 as u8 }
}

fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Vec<u8> = text.split(':').map(|part| u8::from_str_radix(part, 16)).collect::<Result<_, _>>().ok()?;
    bytes.try_into().ok()
}
