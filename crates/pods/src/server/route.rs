//! Paths and parameters. Pure.

use http::Uri;
use jiff::{SignedDuration, Timestamp};

use crate::container::exec::Streams;
use crate::logs;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// A container's output.
    Logs(Logs),
    /// A program in a container.
    Exec(Exec),
    /// What kubelet has and this node has not.
    Later(&'static str),
}

/// A container by its names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub namespace: String,
    pub pod: String,
    pub uid: Option<String>,
    pub container: String,
}

/// Output that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logs {
    pub place: Place,
    pub options: logs::Options,
    /// Of the start before the last one.
    pub previous: bool,
}

/// A program that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    pub place: Place,
    pub command: Vec<String>,
    pub streams: Streams,
    pub terminal: bool,
}

/// What is not asked for properly.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadRoute {
    /// A path that leads nowhere.
    #[error("404 page not found")]
    Unknown,
    /// A parameter that cannot be.
    #[error("{0}: {1:?} is not a valid value")]
    Parameter(&'static str, String),
}

/// Takes a request's target apart.
pub fn parse(uri: &Uri) -> Result<Route, BadRoute> {
    let parts: Vec<String> = uri.path().split('/').skip(1).map(|part| decode(part, false)).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let query = Query::of(uri.query().unwrap_or_default());
    let place = |namespace: &str, pod: &str, uid: Option<&str>, container: &str| Place {
        namespace: namespace.to_owned(),
        pod: pod.to_owned(),
        uid: uid.map(str::to_owned),
        container: container.to_owned(),
    };
    match parts.as_slice() {
        ["containerLogs", namespace, pod, container] => logs(place(namespace, pod, None, container), &query),
        ["exec", namespace, pod, container] => Ok(exec(place(namespace, pod, None, container), &query)),
        ["exec", namespace, pod, uid, container] => Ok(exec(place(namespace, pod, Some(uid), container), &query)),
        ["attach", ..] => Ok(Route::Later("attach")),
        ["portForward", ..] => Ok(Route::Later("port-forward")),
        _ => Err(BadRoute::Unknown),
    }
}

fn logs(place: Place, query: &Query) -> Result<Route, BadRoute> {
    let since = match (query.number("sinceSeconds")?, query.get("sinceTime")) {
        (Some(seconds), _) => {
            let span = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
            Some(Timestamp::now().checked_sub(span).unwrap_or(Timestamp::MIN))
        }
        (None, Some(text)) => Some(text.parse().map_err(|_| BadRoute::Parameter("sinceTime", text.to_owned()))?),
        (None, None) => None,
    };
    let options = logs::Options {
        tail: query.number("tailLines")?,
        since,
        timestamps: query.flag("timestamps"),
        limit: query.number("limitBytes")?,
        follow: query.flag("follow"),
    };
    Ok(Route::Logs(Logs { place, options, previous: query.flag("previous") }))
}

/// An API server calls the streams as a Pod's subresource does, kubelet `input`, `output` and `error`.
fn exec(place: Place, query: &Query) -> Route {
    let either = |one: &str, other: &str| query.flag(one) || query.flag(other);
    let terminal = query.flag("tty");
    let streams = Streams {
        stdin: either("stdin", "input"),
        stdout: either("stdout", "output"),
        // A terminal has one output.
        stderr: either("stderr", "error") && !terminal,
    };
    Route::Exec(Exec { place, command: query.all("command"), streams, terminal })
}

/// Parameters in their order.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(text: &str) -> Self {
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name, true), decode(value, true))
        };
        Self(text.split('&').filter(|p| !p.is_empty()).map(pair).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str()).filter(|v| !v.is_empty())
    }

    fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(n, _)| n == name).map(|(_, value)| value.clone()).collect()
    }

    /// Set, and not to `false` or `0`.
    fn flag(&self, name: &str) -> bool {
        self.0.iter().any(|(n, value)| n == name && !matches!(value.as_str(), "false" | "0"))
    }

    fn number(&self, name: &'static str) -> Result<Option<u64>, BadRoute> {
        let text = self.get(name);
        text.map(|t| t.parse().map_err(|_| BadRoute::Parameter(name, t.to_owned()))).transpose()
    }
}

/// `%41` is `A`, and in a query `+` is a blank. What is no such escape stays as it is.
fn decode(text: &str, plus: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        let hex = |d: u8| char::from(d).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let escaped = match (byte, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escaped {
            Some((high, low)) => {
                bytes.push(high * 16 + low);
                rest = tail.get(2..).unwrap_or_default();
            }
            None if *byte == b'+' && plus => bytes.push(b' '),
            None => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;
