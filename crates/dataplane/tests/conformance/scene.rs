//! Services for the tests that are not rows: the table's own words, under names and addresses of their own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use dataplane::model::{EndpointSlice, Model};
use dataplane::{Config, Dataplane, NamespacedName};

use crate::packets::{Cluster, Met};
use crate::row::{self, Row};
use crate::world;

/// What a row says of a Service: `given | endpoints`.
pub fn row(given: &str, endpoints: &str) -> Row {
    row::rows(&format!("scene | {given} | {endpoints} | p>vip | pass")).remove(0)
}

/// Adds or replaces the Service `name` at the cluster IP 10.96.0.`last`.
pub fn set(model: &mut Model, name: &str, last: u8, given: &str, endpoints: &str) {
    let mut row = row(given, endpoints);
    let own = NamespacedName::new("default", name);
    for address in &mut row.service.cluster_ips {
        *address = world::ip(&format!("10.96.0.{last}"));
    }
    model.set_service(own.clone(), row.service);
    let (_, slices) = model.known();
    let prefix = format!("{name}-");
    for gone in slices.iter().filter(|slice| slice.name().starts_with(&prefix)).skip(row.slices.len()) {
        model.remove_slice(gone);
    }
    for (n, slice) in row.slices.into_iter().enumerate() {
        let slice = EndpointSlice { service: own.clone(), ..slice };
        model.set_slice(NamespacedName::new("default", &format!("{name}-{n}")), slice);
    }
}

/// Takes the Service `name` and its slices away.
pub fn remove(model: &mut Model, name: &str) {
    model.remove_service(&NamespacedName::new("default", name));
    let (_, slices) = model.known();
    let prefix = format!("{name}-");
    slices.iter().filter(|slice| slice.name().starts_with(&prefix)).for_each(|slice| model.remove_slice(slice));
}

/// The node's kernel.
pub type Kernel = Dataplane<dataplane::backend::nftables::Backend>;

/// A cluster with a kernel that knows nothing yet.
pub fn cluster(test: &str) -> anyhow::Result<(Cluster, Kernel)> {
    let cluster = Cluster::new(test)?;
    let kernel = cluster.dataplane(Config::default())?;
    Ok((cluster, kernel))
}

/// Port 80 of the cluster IP 10.96.0.`last`.
pub fn vip(last: u8) -> SocketAddr {
    SocketAddr::new(world::ip(&format!("10.96.0.{last}")), world::PORT)
}

/// The name of the endpoint that answers; on a busy machine an answer may be late.
pub fn server(cluster: &Cluster, who: &str, protocol: u8, to: SocketAddr) -> anyhow::Result<String> {
    let mut met = Met::Silence;
    for _ in 0..5 {
        met = cluster.ask(who, protocol, to)?;
        if met != Met::Silence {
            break;
        }
    }
    match met {
        Met::Server(name, _) => Ok(name.split(':').next().unwrap_or_default().to_owned()),
        other => anyhow::bail!("{who} to {to}: {other:?}"),
    }
}

/// A connection that is held.
pub struct Stream {
    stream: TcpStream,
}

impl Stream {
    /// Connects.
    pub fn open(cluster: &Cluster, who: &str, to: SocketAddr) -> anyhow::Result<Stream> {
        let stream = cluster.place(who).run(|| TcpStream::connect_timeout(&to, Duration::from_secs(5)))??;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let stream = Stream { stream };
        stream.line()?;
        Ok(stream)
    }

    /// Sends a line, and has it back.
    pub fn echo(&self) -> anyhow::Result<()> {
        (&self.stream).write_all(b"still there?\n")?;
        let line = self.line()?;
        anyhow::ensure!(line == "still there?\n", "{line:?}");
        Ok(())
    }

    /// A server says no more than a line at once.
    fn line(&self) -> anyhow::Result<String> {
        let mut line = String::new();
        BufReader::new(&self.stream).read_line(&mut line)?;
        Ok(line)
    }
}
