//! What cannot work is refused with one line that names the cure and exit code 2, before anything is made: each row here
//! leaves a machine as it found it.
#![expect(clippy::unwrap_used, reason = "a test says by a panic what it could not do")]

#[allow(dead_code, reason = "the life of a cluster needs more of a machine than these tests do")]
#[path = "lifecycle/host.rs"]
mod host;

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::sys::signal::Signal;
use testbed::Namespace;

use crate::host::{Host, SOON, finish, finish_given, refusal};

/// Asserts that a machine has nothing of any cluster, objects on disk included.
fn assert_untouched(host: &Host, after: &str) {
    host.assert_clean(after);
    for path in ["/run/portolan", "/run/netns", "/var/lib/portolan"] {
        assert!(!Path::new(path).exists(), "after {after} there is {path}");
    }
}

#[test]
fn flags_that_are_none_are_refused() {
    let Some(host) = Host::isolated() else { return };
    let rows: &[(&[&str], &str)] = &[
        (
            &["up", "--nods", "3"],
            "unexpected argument '--nods' found; tip: a similar argument exists: '--nodes'; see `portolan up --help`",
        ),
        (&["upp"], "unrecognized subcommand 'upp'; tip: a similar subcommand exists: 'up'; see `portolan --help`"),
        (&["up", "--nodes", "-1"], "unexpected argument '-1' found"),
        (&["up", "--nodes", "0"], "--nodes 0: give a number from 1 to 100"),
        (&["up", "--nodes", "101"], "--nodes 101: give a number from 1 to 100"),
        (&["up", "--name", "A_b"], "--name \"A_b\": give at most 40 of a-z, 0-9 and '-'"),
        (&["up", "--name", "../etc"], "--name \"../etc\": give at most 40"),
        (&["down", "--name", "../etc", "--purge"], "--name \"../etc\": give at most 40"),
        (&["stop-node", "node-1", "--name", "/"], "--name \"/\": give at most 40"),
        (&["image", "--name", "..", "list"], "--name \"..\": give at most 40"),
        (
            &["up", "--service-cidr", "10.96.0.0"],
            "invalid value '10.96.0.0' for '--service-cidr <CIDR>': give a range, such as 10.96.0.0/16; see `portolan up --help`",
        ),
        (&["up", "--service-cidr", "10.96.0.0/33"], "invalid value '10.96.0.0/33'"),
        (&["up", "--service-cidr", "fd00::/64"], "invalid value 'fd00::/64'"),
        (&["up", "--service-cidr", "10.96.0.1/16"], "--service-cidr 10.96.0.1/16: has host bits set; say 10.96.0.0/16"),
        (&["up", "--service-cidr", "10.96.0.0/30"], "--service-cidr 10.96.0.0/30: too small; a /28 is the least"),
        (
            &["up", "--service-cidr-ipv6", "fd00:96::1/112"],
            "--service-cidr-ipv6 fd00:96::1/112: has host bits set; say fd00:96::/112",
        ),
        (&["up", "--service-cidr-ipv6", "fd00::/48"], "--service-cidr-ipv6 fd00::/48: give a prefix from /64 to /120"),
        (
            &["up", "--pod-cidr", "10.96.0.0/14"],
            "--service-cidr 10.96.0.0/16 overlaps --pod-cidr 10.96.0.0/14; choose ranges",
        ),
        (
            &["up", "--pod-cidr", "10.244.0.0/25"],
            "--pod-cidr 10.244.0.0/25: too small; each of the 3 nodes needs a /24 of it",
        ),
        (&["up", "--node-cidr", "10.244.3.0/24"], "--pod-cidr 10.244.0.0/16 overlaps --node-cidr 10.244.3.0/24"),
        (
            &["up", "--node-cidr", "172.30.0.0/30"],
            "--node-cidr 172.30.0.0/30: too small for 3 nodes and the bridge; give a larger range",
        ),
        (&["up", "--node-cidr", "224.0.0.0/24"], "--node-cidr 224.0.0.0/24: hosts cannot have these addresses"),
        (
            &["up", "--node-port-range", "30000"],
            "invalid value '30000' for '--node-port-range <FIRST-LAST>': give FIRST-LAST, such as 30000-32767",
        ),
        (&["up", "--node-port-range", "400-300"], "--node-port-range 400-300: give FIRST-LAST"),
        (&["up", "--load-balancer-pool", "many"], "--load-balancer-pool many: \"many\" is no address"),
        (
            &["up", "--load-balancer-pool", "172.30.0.2-172.30.0.9"],
            "--load-balancer-pool 172.30.0.2-172.30.0.9: holds 172.30.0.2, which is the address of node-1",
        ),
        (
            &["up", "--load-balancer-pool", "10.244.9.0/24"],
            "--load-balancer-pool 10.244.9.0/24 overlaps --pod-cidr 10.244.0.0/16",
        ),
        (
            &["up", "--api-address", "6443"],
            "invalid value '6443' for '--api-address <IP:PORT>': give IP:PORT, such as 127.0.0.1:6443",
        ),
        (&["up", "--api-address", "127.0.0.1:0"], "invalid value '127.0.0.1:0'"),
        (
            &["up", "--upstream-dns", "dns.example"],
            "invalid value 'dns.example' for '--upstream-dns <IP[:PORT]>': \"dns.example\" is no address",
        ),
        (&["up", "--zones", "a,,b"], "--zones: \"\" names no zone; give names such as a,b,c"),
        (&["up", "--data-dir", "/tmp/a,b"], "--data-dir /tmp/a,b: has a ':'"),
        (&["up", "--log", "a=b=c"], "--log a=b=c: "),
        (
            &["node"],
            "the following required arguments were not provided: --kubeconfig <FILE>; --address <IP>; see `portolan node --help`",
        ),
        (
            &["node", "--kubeconfig", "x", "--address", "here"],
            "invalid value 'here' for '--address <IP>': give an IPv4 address",
        ),
        (&["server"], "--advertise-address: give the address at which nodes reach this server"),
        (
            &["server", "--admit", "node-1"],
            "invalid value 'node-1' for '--admit <NAME=IP>': give NAME=IP, such as node-1=192.168.1.11",
        ),
        (
            &["server", "--admit", "../x=10.0.0.1"],
            "invalid value '../x=10.0.0.1' for '--admit <NAME=IP>': \"../x\" names no node",
        ),
        (
            &["server", "--advertise-address", "127.0.0.1", "--pod-cidr", "10.96.0.0/16"],
            "--service-cidr 10.96.0.0/16 overlaps --pod-cidr 10.96.0.0/16",
        ),
        (&["server", "--advertise-address", "127.0.0.1", "--load-balancer-pool", "x"], "--load-balancer-pool x: "),
        (&["completion", "cmd"], "invalid value 'cmd' for '<SHELL>'; [possible values: bash,"),
        (&["image", "list", "--yaml"], "unexpected argument '--yaml' found"),
        (&["down", "--name", "nobody"], "no cluster nobody here; `portolan up --name nobody` starts one"),
        (&["down", "--name", "nobody", "--purge"], "no cluster nobody here; "),
        (&["stop-node", "node-1"], "no cluster portolan runs here; start it with `portolan up --name portolan`"),
        (&["start-node", "node-1", "--name", "x"], "no cluster x runs here; start it with `portolan up --name x`"),
    ];
    for (arguments, want) in rows {
        let line = host.refused(arguments);
        assert!(line.starts_with(want), "{arguments:?}\n got: {line}\nwant: {want}");
        assert_untouched(&host, &format!("{arguments:?}"));
    }
    // Without a subcommand one is taught.
    let output = host.run(&[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("Begin with:"));
}

#[test]
fn a_machine_that_has_the_ranges_or_the_port_already_is_told_by_the_flag() {
    let Some(host) = Host::isolated() else { return };
    let here = Namespace::current().unwrap();
    here.add_bridge("office").unwrap();
    let rows = [
        (
            "172.30.0.9/16",
            "--node-cidr 172.30.0.0/24 overlaps 172.30.0.0/16 of the interface office; choose another range",
        ),
        ("10.244.7.1/24", "--pod-cidr 10.244.0.0/16 overlaps 10.244.7.0/24 of the interface office"),
        ("10.0.0.1/8", "--pod-cidr 10.244.0.0/16 overlaps 10.0.0.0/8 of the interface office"),
        ("10.96.1.1/32", "--service-cidr 10.96.0.0/16 overlaps 10.96.1.1/32 of the interface office"),
    ];
    for (address, want) in rows {
        here.add_address("office", address.parse().unwrap()).unwrap();
        let line = host.refused(&["up"]);
        assert!(line.starts_with(want), "{address}: {line}");
        here.delete_address("office", address.parse().unwrap()).unwrap();
    }
    here.add_address("office", "78.11.24.1/28".parse().unwrap()).unwrap();
    let line = host.refused(&["up", "--load-balancer-pool", "78.11.24.0/24"]);
    assert!(
        line.starts_with("--load-balancer-pool 78.11.24.0/24 overlaps 78.11.24.0/28 of the interface office"),
        "{line}"
    );
    here.delete_link("office").unwrap();

    let line = host.refused(&["up", "--service-cidr", "127.0.0.0/16"]);
    assert!(line.starts_with("--service-cidr 127.0.0.0/16: hosts cannot have these addresses"), "{line}");
    let line = host.refused(&["up", "--api-address", "192.0.2.7:6443"]);
    assert!(
        line.starts_with("--api-address 192.0.2.7:6443: ") && line.ends_with("give an address of this machine"),
        "{line}"
    );
    for (theirs, flags) in [
        ("127.0.0.1:6443", &["up"][..]),
        ("0.0.0.0:6443", &["up"]),
        ("0.0.0.0:7000", &["up", "--api-address", "[::1]:7000"]),
    ] {
        let _listener = TcpListener::bind(theirs).unwrap();
        let line = host.refused(flags);
        assert!(line.contains(": the port is in use; choose another, or end what uses it"), "{theirs}: {line}");
    }
    let _listener = TcpListener::bind("127.0.0.1:6443").unwrap();
    let line = host.refused(&["server", "--api-address", "127.0.0.1:6443"]);
    assert!(line.starts_with("--api-address 127.0.0.1:6443: the port is in use"), "{line}");
    assert_untouched(&host, "ranges and ports that are taken");
}

#[test]
fn a_name_server_of_the_machine_is_no_hindrance() {
    let Some(host) = Host::isolated() else { return };
    // As dnsmasq has it: every address.
    let (_udp, _tcp) = (UdpSocket::bind("0.0.0.0:53").unwrap(), TcpListener::bind("0.0.0.0:53").unwrap());
    host.succeeds(&["up", "--detach"]);
    host.note_groups();
    host.succeeds(&["down", "--purge"]);
    host.assert_clean("up beside a name server");
}

#[test]
fn who_may_not_is_told_so() {
    let Some(host) = Host::isolated() else { return };
    // A copy that anybody can run.
    let program = "/tmp/portolan";
    fs::copy(env!("CARGO_BIN_EXE_portolan"), program).unwrap();
    fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    let as_nobody = |arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).uid(65534).gid(65534).current_dir("/tmp");
        refusal(&arguments.join(" "), &finish(command, "portolan as nobody"))
    };
    for arguments in [
        &["up"][..],
        &["up", "--detach"],
        &["down"],
        &["stop-node", "node-1"],
        &["image", "list"],
        &["node", "--address", "127.0.0.1", "--kubeconfig", "x"],
    ] {
        assert_eq!(
            as_nobody(arguments),
            "root is needed to make namespaces, links and rules; run it again with sudo",
            "{arguments:?}"
        );
    }
    // Who runs a control plane alone needs no root, but a folder.
    let line = as_nobody(&["server", "--api-address", "127.0.0.1:6443"]);
    assert!(line.starts_with("--data-dir /var/lib/portolan/server: cannot be written (Permission denied"), "{line}");

    // The root of a container, who may not change the network.
    let mut command = host.command(&["up"]);
    // SAFETY: one system call, which is safe between fork and exec.
    unsafe {
        command.pre_exec(|| {
            const CAP_NET_ADMIN: libc::c_ulong = 12;
            match libc::prctl(libc::PR_CAPBSET_DROP, CAP_NET_ADMIN, 0, 0, 0) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
    }
    let line = refusal("up without CAP_NET_ADMIN", &finish(command, "up without CAP_NET_ADMIN"));
    assert!(line.starts_with("this root may not change the network (Operation not permitted"), "{line}");
    assert!(line.ends_with("in a container, run it privileged"), "{line}");
    assert_untouched(&host, "commands of people who may not");
}

#[test]
fn a_kernel_without_nf_tables_is_told_so() {
    let Some(host) = Host::isolated() else { return };
    for arguments in [&["up"][..], &["node", "--address", "127.0.0.1", "--kubeconfig", "x"]] {
        let mut command = host.command(arguments);
        // SAFETY: two system calls, safe between fork and exec, on memory of the closure's own.
        unsafe {
            command.pre_exec(without_netfilter_sockets);
        }
        let line = refusal(&arguments.join(" "), &finish(command, "a kernel without nf_tables"));
        assert_eq!(
            line,
            "the kernel has no nf_tables here (Protocol not supported (os error 93)): try `modprobe nf_tables`, or a kernel with CONFIG_NF_TABLES"
        );
    }
    assert_untouched(&host, "a kernel without nf_tables");
}

/// From here on the kernel answers as one without `CONFIG_NETFILTER_NETLINK` does: there is no such protocol.
fn without_netfilter_sockets() -> std::io::Result<()> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const IS: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    // Offsets in struct seccomp_data: the call's number, and the low halves of its arguments.
    const NUMBER: u32 = 0;
    const FAMILY: u32 = 16;
    const PROTOCOL: u32 = 32;
    let step = |code, k, jt, jf| libc::sock_filter { code, jt, jf, k };
    let refused = libc::SECCOMP_RET_ERRNO | libc::EPROTONOSUPPORT as u32;
    let mut filter = [
        step(LOAD, NUMBER, 0, 0),
        step(IS, libc::SYS_socket as u32, 0, 5),
        step(LOAD, FAMILY, 0, 0),
        step(IS, libc::AF_NETLINK as u32, 0, 3),
        step(LOAD, PROTOCOL, 0, 0),
        step(IS, libc::NETLINK_NETFILTER as u32, 0, 1),
        step(RETURN, refused, 0, 0),
        step(RETURN, libc::SECCOMP_RET_ALLOW, 0, 0),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: the program and its filter outlive the calls, which copy them.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
    };
    if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

#[test]
fn folders_and_files_that_cannot_be_used_are_refused() {
    let Some(host) = Host::isolated() else { return };
    fs::create_dir_all("/tmp/mine").unwrap();
    fs::write("/tmp/mine/thesis.txt", "important").unwrap();
    fs::write("/tmp/file", "").unwrap();
    fs::write("/tmp/config", "apiVersion: v1\nkind: Config\n").unwrap();
    for (folder, options) in [("/tmp/full", "size=1m"), ("/tmp/readonly", "mode=0755")] {
        fs::create_dir(folder).unwrap();
        mount(Some("tmpfs"), folder, Some("tmpfs"), MsFlags::empty(), Some(options)).unwrap();
    }
    let readonly = MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(None::<&str>, "/tmp/readonly", None::<&str>, readonly, None::<&str>).unwrap();
    let rows: &[(&[&str], &str)] = &[
        (
            &["up", "--data-dir", "/tmp/mine"],
            "--data-dir /tmp/mine: it holds files of somebody else; give an empty folder, or a new one",
        ),
        (&["up", "--data-dir", "/tmp/file"], "--data-dir /tmp/file: Not a directory (os error 20); give a folder"),
        (&["up", "--data-dir", "/tmp/file/x"], "--data-dir /tmp/file/x: Not a directory (os error 20); give a folder"),
        (
            &["up", "--data-dir", "/tmp/full"],
            "--data-dir /tmp/full: the disk is full (1024 kB are free, 8192 kB are needed); make room",
        ),
        (&["up", "--data-dir", "/tmp/full/a/b"], "--data-dir /tmp/full/a/b: the disk is full"),
        (
            &["up", "--data-dir", "/tmp/readonly/a"],
            "--data-dir /tmp/readonly/a: cannot be written (Read-only file system (os error 30)); give a folder that can",
        ),
        (&["up", "--data-dir", "/proc/portolan"], "--data-dir /proc/portolan: cannot be written"),
        (
            &["up", "--kubeconfig", "/tmp/config"],
            "--kubeconfig /tmp/config: it is there already and not the cluster portolan's; give another file",
        ),
        (
            &["up", "--kubeconfig", "/tmp/mine"],
            "--kubeconfig /tmp/mine: Is a directory (os error 21); give another file",
        ),
        (
            &["server", "--advertise-address", "127.0.0.1", "--data-dir", "/tmp/mine"],
            "--data-dir /tmp/mine: it holds files of somebody else",
        ),
        (
            &["server", "--advertise-address", "127.0.0.1", "--data-dir", "/tmp/full"],
            "--data-dir /tmp/full: the disk is full",
        ),
        (
            &["server", "--advertise-address", "127.0.0.1", "--kubeconfig", "/tmp/config"],
            "--kubeconfig /tmp/config: it is there already",
        ),
        (
            &["node", "--address", "127.0.0.1", "--kubeconfig", "/tmp/nothing"],
            "--kubeconfig /tmp/nothing: it cannot be read: ",
        ),
        (&["node", "--address", "127.0.0.1", "--kubeconfig", "/tmp/file"], "--kubeconfig /tmp/file: "),
        (&["node", "--address", "127.0.0.1", "--kubeconfig", "/tmp/config"], "--kubeconfig /tmp/config: "),
        (
            &["node", "--address", "192.0.2.1", "--kubeconfig", "/tmp/config"],
            "--address 192.0.2.1: Cannot assign requested address (os error 99); give the address of one of this machine's interfaces",
        ),
    ];
    for (arguments, want) in rows {
        let line = host.refused(arguments);
        assert!(line.starts_with(want), "{arguments:?}\n got: {line}\nwant: {want}");
    }
    assert_eq!(fs::read_to_string("/tmp/mine/thesis.txt").unwrap(), "important");
    assert_eq!(fs::read_dir("/tmp/mine").unwrap().count(), 1);
    assert_eq!(fs::read_dir("/tmp/full").unwrap().count(), 0);
    assert_eq!(fs::read_to_string("/tmp/config").unwrap(), "apiVersion: v1\nkind: Config\n");
    assert!(!Path::new("/run/portolan").exists() && !Path::new("/var/lib/portolan").exists());

    for folder in ["/tmp/full", "/tmp/readonly"] {
        nix::mount::umount(folder).unwrap();
    }

    // One that another cluster owns; and objects that are damaged.
    host.succeeds(&["up", "--detach", "--data-dir", "/tmp/data"]);
    host.note_groups();
    host.succeeds(&["down"]);
    let line = host.refused(&["up", "--name", "other", "--data-dir", "/tmp/data"]);
    assert_eq!(line, "--data-dir /tmp/data: it is the cluster portolan's; give another folder");
    let line = host.refused(&["server", "--api-address", "127.0.0.1:6443", "--data-dir", "/tmp/data"]);
    assert_eq!(line, "--data-dir /tmp/data: it is the cluster portolan's; give another folder");
    fs::write("/tmp/data/objects.redb", "these are no objects").unwrap();
    let output = host.run(&["up", "--data-dir", "/tmp/data"]);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), complaint.lines().count()), (Some(2), 1), "{complaint}");
    assert!(complaint.starts_with("portolan: cannot open the store /tmp/data/objects.redb: "), "{complaint}");
    assert!(complaint.ends_with("or forget it with `portolan down --purge`\n"), "{complaint}");
    assert_eq!(
        fs::read_to_string("/tmp/data/objects.redb").unwrap(),
        "these are no objects",
        "it is left for its owner"
    );
    host.succeeds(&["down", "--purge"]);
    host.assert_clean("objects that are damaged");
    assert!(!Path::new("/tmp/data").exists());
}

#[test]
fn manifests_that_are_none_are_refused_before_anything_is_made() {
    let Some(host) = Host::isolated() else { return };
    let rows = [
        ("yaml", "a: [", "no YAML: "),
        ("empty", "", "there is no object in it"),
        ("text", "hello", "no kind \"\" of apiVersion \"\" is served; `kubectl api-resources` shows which are"),
        (
            "kind",
            "apiVersion: v1\nkind: Gadget\nmetadata: {name: x}\n",
            "no kind \"Gadget\" of apiVersion \"v1\" is served",
        ),
        ("name", "apiVersion: v1\nkind: Service\nmetadata: {}\n", "a Service has no metadata.name; give it one"),
        ("binary", "\u{0}\u{1}", "no YAML: "),
    ];
    for (name, content, want) in rows {
        let path = format!("/tmp/{name}");
        fs::write(&path, content).unwrap();
        for flags in [&["up", "-f"][..], &["up", "--detach", "-f"]] {
            let line = host.refused(&[flags, &[&path]].concat());
            assert!(line.starts_with(&format!("-f {path}: {want}")), "{name}: {line}");
        }
        for flags in [&["up", "-f", "-"][..], &["up", "--detach", "-f", "-"]] {
            let output = finish_given(host.command(flags), content, "up -f -");
            assert!(refusal("up -f -", &output).starts_with(&format!("-f -: {want}")), "{name}");
        }
    }
    for (path, want) in [("/tmp/nothing", "No such file"), ("/tmp", "Is a directory")] {
        let line = host.refused(&["up", "-f", path]);
        assert!(line.starts_with(&format!("-f {path}: {want}")), "{line}");
        assert!(line.ends_with("; give a file, or - for standard input"), "{line}");
    }
    assert_untouched(&host, "manifests that are none");
}

#[test]
fn archives_that_are_none_are_refused_and_leave_no_folder() {
    let Some(host) = Host::isolated() else { return };
    fs::write("/tmp/text", "this is no archive\n").unwrap();
    let mut image = testbed::Image::new();
    image.file("/hello", &[7; 100_000], 0o644).unwrap();
    image.write(Path::new("/tmp/whole.tar"), "hello:1", &["/hello"]).unwrap();
    let whole = fs::read("/tmp/whole.tar").unwrap();
    fs::write("/tmp/half.tar", &whole[..whole.len() / 2]).unwrap();
    let mut changed = whole.clone();
    changed[whole.len() / 3] ^= 1;
    fs::write("/tmp/changed.tar", changed).unwrap();
    let cure = "; give an archive in a file, of an OCI image layout or from `docker save`";
    for path in ["/tmp/nothing", "/tmp", "/tmp/text", "/tmp/half.tar", "/tmp/changed.tar", "/dev/null"] {
        let line = host.refused(&["image", "load", path]);
        assert!(line.starts_with(&format!("{path}: ")) && line.ends_with(cure), "{path}: {line}");
        assert_untouched(&host, path);
    }
    for arguments in [&["image", "list"][..], &["image", "rm", "hello:1"]] {
        let line = host.refused(arguments);
        assert!(
            line.starts_with("no cluster portolan here; `portolan up --name portolan` starts one, and `portolan image"),
            "{line}"
        );
    }
    assert_untouched(&host, "images of a cluster that is not there");
    host.succeeds(&["image", "load", "/tmp/whole.tar"]);
    let rows = [
        ("hello:2", "there is no image hello:2; `portolan image list` shows which there are"),
        ("portolan/echo", "the image portolan/echo is built in; `portolan image list` shows which there are"),
    ];
    for (name, want) in rows {
        assert_eq!(host.refused(&["image", "rm", name]), want);
    }
    host.succeeds(&["up", "--detach"]);
    host.note_groups();
    host.kubectl(&["run", "echo", "--image=portolan/echo"]);
    host.kubectl(&["wait", "pod/echo", "--for=condition=Ready", "--timeout=60s"]);
    host.succeeds(&["down", "--purge"]);
    host.assert_clean("images");
}

#[test]
fn nodes_and_doors_that_are_not_there_are_refused() {
    let Some(host) = Host::isolated() else { return };
    // A door that a killed `up` left, and a folder that nobody made anything from.
    let up = host.up(&[]).ready(&host);
    up.kill();
    let line = host.refused(&["stop-node", "node-1"]);
    assert_eq!(line, "no cluster portolan runs here; start it with `portolan up --name portolan`");
    let path = Path::new("/run/portolan/portolan/layout.json");
    let layout = fs::read(path).unwrap();
    fs::write(path, "{").unwrap();
    for arguments in [&["down"][..], &["up"], &["image", "list"]] {
        let line = host.refused(arguments);
        assert!(line.starts_with("/run/portolan/portolan/layout.json is damaged"), "{arguments:?}: {line}");
    }
    fs::write(path, layout).unwrap();
    host.succeeds(&["down"]);
    host.assert_clean("a damaged layout, mended");

    // While it starts, it has no door yet.
    let up = host.up(&[]);
    let lock = || fs::read_to_string("/run/portolan/portolan/lock").is_ok_and(|text| text.contains("\"up\""));
    testbed::wait_until(SOON, "it has begun", lock).unwrap();
    let line = host.refused(&["start-node", "node-1"]);
    assert_eq!(line, "the cluster portolan is starting; try again when it is ready");
    let up = up.ready(&host);
    up.signal(Signal::SIGTERM);
    assert!(up.ended().0.success());
    host.assert_clean("SIGTERM");
}
