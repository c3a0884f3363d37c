//! A provider of load balancers: takes Portolan's wishes over HTTP (`docs/load-balancer-provider.yaml`) and drives an
//! HAProxy on this machine, which it starts itself. To be read, taken and changed.
//!
//! ```text
//! haproxy_provider LISTEN FOLDER ADDRESS,ADDRESS… [TOKEN-FILE CERTIFICATE.pem KEY.pem]
//! haproxy_provider 192.0.2.9:8443 /var/lib/provider 192.0.2.9,192.0.2.10 /etc/provider/token cert.pem key.pem
//! ```
//!
//! Each load balancer gets one of the addresses, which are this machine's. TCP alone: HAProxy carries no UDP. What was
//! taken stands in FOLDER and is there again after a restart. `api` is the HTTP side, `haproxy` the other.

mod api;
mod haproxy;

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use api::{Door, Keys};
use haproxy::Haproxy;

#[tokio::main]
async fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("haproxy_provider: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Vec<String>) -> Result<(), Box<dyn std::error::Error>> {
    let usage = "usage: haproxy_provider LISTEN FOLDER ADDRESSES [TOKEN-FILE CERTIFICATE.pem KEY.pem]";
    let (listen, folder, addresses, keys) = match &arguments[..] {
        [listen, folder, addresses] => (listen, folder, addresses, None),
        [listen, folder, addresses, token, certificate, key] => {
            (listen, folder, addresses, Some(Keys::read(token.as_ref(), certificate.as_ref(), key.as_ref())?))
        }
        _ => return Err(usage.into()),
    };
    let addresses = addresses.split(',').map(str::parse).collect::<Result<Vec<IpAddr>, _>>()?;
    let haproxy = Haproxy::start(PathBuf::from(folder), addresses).await?;
    let door = Door::open(listen.parse()?, keys).await?;
    tokio::select! {
        ended = door.serve(haproxy) => Ok(ended?),
        told = tokio::signal::ctrl_c() => Ok(told?),
    }
}
