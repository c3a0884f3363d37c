//! ServiceCIDRs: ready once they are there, and kept until nobody has an address that no other range has (KEP-1880).

pub mod plan;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::networking::v1::IPAddress;
use kube::api::ListParams;
use kube::{Api, Client};

use crate::context::Context;
use crate::objects::Meta;
use crate::queue::{Outcome, Queue, work};
use crate::write::WriteError;
use plan::{Next, Snapshot};

/// How many addresses are asked for at a time.
const PAGE: u32 = 500;
/// How long to wait until it is looked again whether addresses were given back. They are not watched: there may be very
/// many, and ranges seldom go.
const AGAIN: Duration = Duration::from_secs(5);

/// Registers what the controller has to be told of; the future is its work. Keys are names of ServiceCIDRs.
pub fn start(context: Arc<Context>, client: Client) -> BoxFuture<'static, ()> {
    let queue: Arc<Queue<String>> = Arc::default();
    let (add, known) = (queue.clone(), context.clone());
    context.caches.service_cidrs.on_change(move |_| {
        // Another range may be what one that ends waits for.
        for range in known.caches.service_cidrs.all() {
            add.add(range.name().to_owned());
        }
    });
    let stop = context.stop.clone();
    Box::pin(work("servicecidr", queue, 1, stop, move |name| sync(context.clone(), client.clone(), name)))
}

async fn sync(context: Arc<Context>, client: Client, name: String) -> Result<Outcome, WriteError> {
    let Some(range) = context.caches.service_cidrs.get("", &name) else { return Ok(Outcome::Done) };
    let all = context.caches.service_cidrs.all();
    let addresses = if range.deleting() && !plan::is_inside_others(&range, &all) {
        match taken(&client).await {
            Ok(addresses) => addresses,
            Err(error) => {
                tracing::warn!(%error, range = name, "addresses cannot be listed, it is tried again");
                return Ok(Outcome::Failed);
            }
        }
    } else {
        Vec::new()
    };
    let planned = plan::plan(&Snapshot { range: &range, all: &all, addresses: &addresses, now: Timestamp::now() });
    for change in &planned.changes {
        match context.apply(change).await {
            Ok(_) | Err(WriteError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(match planned.next {
        Next::Nothing => Outcome::Done,
        Next::AddressesGo => Outcome::After(AGAIN),
        Next::At(wait) => Outcome::After(wait),
    })
}

/// The addresses that Services have.
async fn taken(client: &Client) -> kube::Result<Vec<IpAddr>> {
    let api: Api<IPAddress> = Api::all(client.clone());
    let mut asked = ListParams::default().labels("ipaddress.kubernetes.io/managed-by=ipallocator.k8s.io").limit(PAGE);
    let mut found = Vec::new();
    loop {
        let page = api.list(&asked).await?;
        found.extend(page.items.iter().filter_map(|address| address.name().parse::<IpAddr>().ok()));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => asked = asked.continue_token(&token),
            None => return Ok(found),
        }
    }
}

#[cfg(test)]
mod tests;
