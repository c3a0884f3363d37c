//! This API server beside kube-apiserver with etcd: `cargo bench -p apiserver --bench api_server`.
//!
//! Each in turn is a process of its own (ours is this program again), in one network namespace, with one client that speaks
//! HTTP/1.1 over TLS to both and knows them by certificates of one authority. The programs of the peers are looked for in
//! `PORTOLAN_PEERS` (default: `~/.cache/portolan-peers`). Printed, never asserted. All of it takes ten minutes or so;
//! `--services 2000 --pods 20000` takes two, and `--only portolan` or `--only kubernetes` leaves the other one out.
//!
//! Reading order: [`peer`] (who is measured), [`client`] (how it is asked), [`arrival`] (when it told), [`work`] (what is
//! measured), [`report`].
#![expect(clippy::expect_used, reason = "a benchmark says by a panic what it could not do")]

mod arrival;
mod client;
mod peer;
mod report;
mod work;

use std::path::{Path, PathBuf};

use peer::{Kind, Peer};
use report::Figures;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What to run; each is `--NAME NUMBER`.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Services that are made, patched and got.
    services: usize,
    /// Of them, those that are listed: the first.
    listed: usize,
    /// Pods of which a list wants none.
    pods: usize,
    /// Watches, each on a connection of its own.
    watchers: usize,
    /// How long what has no end of its own goes on, in seconds.
    seconds: usize,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [serve, address, dir] = arguments.as_slice()
        && serve == "--serve"
    {
        return peer::serve(address, Path::new(dir));
    }
    let number = |name: &str, default: usize| {
        let at = arguments.iter().position(|a| a == name);
        at.and_then(|at| arguments.get(at + 1)).map_or(default, |n| n.parse().expect("a number"))
    };
    let sizes = Sizes {
        services: number("--services", 10_000),
        listed: number("--listed", 2_000),
        pods: number("--pods", 100_000),
        watchers: number("--watchers", 1_000),
        seconds: number("--seconds", 5),
    };
    if testbed::skip_unless_root().is_some() {
        return;
    }
    let peers = std::env::var_os("PORTOLAN_PEERS").map_or_else(default_peers, PathBuf::from);
    if let Some(missing) = ["etcd", "kube-apiserver"].iter().find(|program| !peers.join(program).is_file()) {
        println!("skipped: {} is not there; name the peers' folder in PORTOLAN_PEERS", peers.join(missing).display());
        return;
    }
    testbed::isolate(&[Path::new("/run")]).expect("namespaces of its own");
    let work = tempfile::tempdir().expect("a folder to work in");
    println!("{sizes:?}, {} CPUs", std::thread::available_parallelism().map_or(0, usize::from));
    let only = arguments.iter().position(|a| a == "--only").and_then(|at| arguments.get(at + 1));
    if let Some(only) = only {
        let kind = [Kind::Portolan, Kind::Kubernetes].into_iter().find(|kind| only == kind.name());
        measure(kind.expect("--only portolan or --only kubernetes"), &peers, work.path(), sizes);
        return;
    }
    let measured = [Kind::Portolan, Kind::Kubernetes].map(|kind| measure(kind, &peers, work.path(), sizes));
    report::print(&measured[0], &measured[1]);
}

fn measure(kind: Kind, peers: &Path, work: &Path, sizes: Sizes) -> Figures {
    let dir = work.join(format!("{kind:?}"));
    let mut peer = Peer::start(kind, peers, &dir);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut figures = Figures { memory_empty: peer.memory(), ..Figures::default() };
    runtime.block_on(async {
        work::prepare(&peer).await;
        let first = work::create_services(&peer, 0, sizes.listed).await;
        figures.list = work::list(&peer, "/api/v1/services", sizes.seconds).await;
        let rest = work::create_services(&peer, sizes.listed, sizes.services).await;
        figures.create = sizes.services.max(sizes.listed) as f64 / (first + rest);
        figures.patch = work::patch(&peer, sizes).await;
        figures.get = work::get(&peer, sizes).await;
        figures.watch = work::watch(&peer, sizes).await;
        work::create_slices(&peer, sizes.services).await;
    });
    figures.memory = peer.memory();
    figures.start = peer.restart();
    runtime.block_on(async {
        work::create_pods(&peer, sizes.pods).await;
        figures.list_none = work::list(&peer, "/api/v1/pods?labelSelector=app%3Dnowhere", sizes.seconds).await;
    });
    println!("{kind:?}: {figures:#?}");
    figures
}

fn default_peers() -> PathBuf {
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
    home.join(".cache/portolan-peers")
}
