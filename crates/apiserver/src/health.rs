//! `/livez`, `/readyz` and, for those who have not heard of them, `/healthz`: named checks, listed with `?verbose`, left out with `?exclude=NAME`.

use http::{Response, StatusCode};

use crate::api::Api;
use crate::query::Query;
use crate::response::{self, Body};

/// A check: its name, and what is wrong if something is.
type Check = (&'static str, fn(&Api) -> Result<(), &'static str>);

const ALIVE: &[Check] = &[("ping", |_| Ok(())), ("store", store)];
const HEALTHY: &[Check] = &[("ping", |_| Ok(())), ("store", store), ("bootstrap", bootstrap)];
const READY: &[Check] = &[("ping", |_| Ok(())), ("store", store), ("bootstrap", bootstrap), ("shutdown", shutdown)];

fn store(api: &Api) -> Result<(), &'static str> {
    // Readers may be a moment behind, but not far.
    if api.store.revision().saturating_sub(api.cache.revision()) > 10_000 {
        Err("readers are far behind")
    } else {
        Ok(())
    }
}

fn bootstrap(api: &Api) -> Result<(), &'static str> {
    if api.is_ready() { Ok(()) } else { Err("not finished") }
}

fn shutdown(api: &Api) -> Result<(), &'static str> {
    if api.stopping.is_cancelled() { Err("process is shutting down") } else { Ok(()) }
}

/// Answers `/healthz`, `/livez`, `/readyz`, and the single checks below them.
pub(crate) fn answer(api: &Api, path: &str, query: &Query) -> Response<Body> {
    let (set, one) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
    let checks = match set {
        "healthz" => HEALTHY,
        "livez" => ALIVE,
        "readyz" => READY,
        _ => return response::text(StatusCode::NOT_FOUND, "404 page not found\n"),
    };
    let excluded = query.all("exclude");
    let (mut lines, mut failed) = (String::new(), false);
    let mut found = one.is_empty();
    for (name, check) in checks.iter().filter(|(name, _)| one.is_empty() || *name == one) {
        found = true;
        lines += &if excluded.contains(name) {
            format!("[+]{name} excluded: ok\n")
        } else {
            match check(api) {
                Ok(()) => format!("[+]{name} ok\n"),
                Err(why) => {
                    tracing::info!(set, name, why, "a health check fails");
                    failed = true;
                    format!("[-]{name} failed: {why}\n")
                }
            }
        };
    }
    if !found {
        return response::text(StatusCode::NOT_FOUND, "404 page not found\n");
    }
    if failed {
        return response::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{lines}{set} check failed\n"));
    }
    let verbose = query.has("verbose") && one.is_empty();
    response::text(StatusCode::OK, if verbose { format!("{lines}{set} check passed\n") } else { "ok".to_owned() })
}
