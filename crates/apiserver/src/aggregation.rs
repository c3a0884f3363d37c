//! ClusterRoles whose rules are those of others: `view`, `edit` and `admin` are made of whatever roles are labelled for them.

use std::sync::Arc;
use std::time::Duration;

use kinds::cluster_role;
use kinds::document::{at, given, list, text};
use kinds::labels;
use serde_json::Value;

use crate::api::Api;
use crate::ownership;
use crate::query::WriteOptions;
use crate::verbs::update::{Part, Update};

/// How long a write that failed waits.
const RETRY: Duration = Duration::from_secs(1);

/// How often one such role may select another: `admin` selects `edit`, which selects `view`.
const DEPTH: usize = 4;

/// How far it came.
#[derive(Clone, Copy, Default)]
struct Round {
    wrote: bool,
    failed: bool,
}

/// Writes their rules once, before anybody asks what they allow.
pub(crate) async fn settle(api: &Api) {
    for _ in 0..DEPTH {
        if !aggregate(api).await.wrote {
            return;
        }
    }
}

/// Keeps the rules of such roles until the server stops.
pub(crate) async fn keep(api: Arc<Api>) {
    let mut changed = api.cache.subscribe(&cluster_role::KIND);
    loop {
        changed.borrow_and_update();
        let Round { failed, .. } = aggregate(&api).await;
        tokio::select! {
            () = api.stopping.cancelled() => return,
            alive = changed.changed() => if alive.is_err() { return },
            () = tokio::time::sleep(RETRY), if failed => {}
        }
    }
}

/// Writes the rules that are not as they should be.
async fn aggregate(api: &Api) -> Round {
    let roles: Vec<Value> =
        api.cache.list(&cluster_role::KIND, "").objects.iter().map(|role| role.document()).collect();
    let mut round = Round::default();
    for role in roles.iter().filter(|role| given(role, "aggregationRule").is_some()) {
        let rules = aggregated(role, &roles);
        if list(role, "rules") == rules {
            continue;
        }
        let name = text(at(role, "metadata"), "name");
        let update = Update { kind: &cluster_role::KIND, namespace: "", name, part: Part::Object };
        let options = WriteOptions { manager: ownership::SERVER.to_owned(), ..WriteOptions::default() };
        let written = update.run(api, &options, |old| {
            let mut new = old.clone();
            if given(old, "aggregationRule").is_some() {
                new["rules"] = rules.clone().into();
            }
            Ok(new)
        });
        match written.await {
            Ok(_) => round.wrote = true,
            Err(status) => {
                tracing::warn!(role = name, why = status.message, "the rules of a role could not be gathered");
                round.failed = true;
            }
        }
    }
    round
}

/// The rules of all roles that a role selects, in the order of their names, each once.
fn aggregated(role: &Value, roles: &[Value]) -> Vec<Value> {
    let selectors = list(at(role, "aggregationRule"), "clusterRoleSelectors");
    let name = |role: &Value| text(at(role, "metadata"), "name").to_owned();
    let selected = |other: &&Value| {
        let of_other = at(at(other, "metadata"), "labels");
        name(other) != name(role) && selectors.iter().any(|selector| labels::matches(selector, of_other))
    };
    let mut selected: Vec<&Value> = roles.iter().filter(selected).collect();
    selected.sort_by_key(|role| name(role));
    let mut rules: Vec<Value> = Vec::new();
    for rule in selected.into_iter().flat_map(|role| list(role, "rules")) {
        if !rules.contains(rule) {
            rules.push(rule.clone());
        }
    }
    rules
}
