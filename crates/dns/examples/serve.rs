//! Serves a Corefile without a cluster, to try forwarding, hosts and rewriting by hand:
//!
//! ```text
//! cargo run -p dns --example serve -- Corefile 127.0.0.1:5300
//! ```

use std::net::SocketAddr;
use std::path::Path;

use dns::Server;
use dns::service::{CorefileOnDisk, Pieces};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), Some(listen)) = (arguments.next(), arguments.next()) else {
        return Err("give a Corefile and IP:PORT".into());
    };
    let (_, mut whole) = CorefileOnDisk::open(Path::new(&path))?;
    if whole.config.cluster.take().is_some() {
        eprintln!("kubernetes is left out");
    }
    whole.config.server.listen = vec![listen.parse::<SocketAddr>()?];
    let pieces = Pieces::default().after(&whole)?;
    let server = Server::start_with(&whole.config.server, pieces.sources(&whole, None))?;
    println!("answering at {:?}", server.addresses());
    tokio::signal::ctrl_c().await?;
    server.shutdown().await;
    Ok(())
}
