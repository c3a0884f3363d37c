//! The passwords of BGP sessions that stand in Secrets of `kube-system`. They are read one by one, by name, so that a node
//! needs the right to get just these.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::follow::reason;

const NAMESPACE: &str = "kube-system";
/// How often they are read again.
const EVERY: Duration = Duration::from_secs(30);
/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A Secret's name, and a key in it.
pub(super) type Place = (String, String);
/// What stands there.
pub(super) type Passwords = BTreeMap<Place, String>;

/// Reads what is wanted now and again, and tells it, until told to stop. What cannot be read any more stays as it was.
pub(super) async fn keep(
    client: Client,
    mut wanted: watch::Receiver<BTreeSet<Place>>,
    tell: watch::Sender<Passwords>,
    stop: CancellationToken,
) {
    let secrets: Api<Secret> = Api::namespaced(client, NAMESPACE);
    let mut said: BTreeMap<Place, String> = BTreeMap::new();
    loop {
        let places = wanted.borrow_and_update().clone();
        let read = join_all(places.iter().map(|place| read(&secrets, place))).await;
        let mut known: Passwords = tell.borrow().clone();
        known.retain(|place, _| places.contains(place));
        said.retain(|place, _| places.contains(place));
        for (place, found) in places.into_iter().zip(read) {
            match found {
                Ok(password) => {
                    said.remove(&place);
                    known.insert(place, password);
                }
                Err(error) => {
                    if said.get(&place) != Some(&error) {
                        let (secret, key) = &place;
                        tracing::warn!(
                            secret,
                            key,
                            error,
                            "the password of a BGP session cannot be read: it is not begun"
                        );
                        said.insert(place, error);
                    }
                }
            }
        }
        tell.send_if_modified(|held| {
            let changed = *held != known;
            *held = known;
            changed
        });
        let again = !wanted.borrow().is_empty();
        tokio::select! {
            () = stop.cancelled() => return,
            changed = wanted.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(EVERY), if again => {}
        }
    }
}

async fn read(secrets: &Api<Secret>, (name, key): &Place) -> Result<String, String> {
    let found = tokio::time::timeout(PATIENCE, secrets.get(name)).await;
    let secret = found.map_err(|_| "the server does not answer".to_owned())?.map_err(|error| reason(&error))?;
    let value = secret.data.and_then(|mut data| data.remove(key)).ok_or_else(|| format!("no key {key}"))?;
    let text = String::from_utf8(value.0).map_err(|_| "it is no text".to_owned())?;
    // A file that it was made of often ends with a newline, which no router has.
    let text = text.trim_end_matches(['\r', '\n']);
    if (1..=80).contains(&text.len()) { Ok(text.to_owned()) } else { Err("it has 1 to 80 bytes".to_owned()) }
}

#[cfg(test)]
mod tests;
