//! What is answered. Pure but for the switches that a request may turn.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::mpsc::Sender;

/// A request, as far as the answer needs it.
#[derive(Clone, Debug)]
pub struct Asked {
    pub client: SocketAddr,
    pub method: String,
    pub path: String,
    pub query: String,
    pub version: String,
    /// In the order in which they came.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub content_type: &'static str,
    pub body: String,
}

/// Its name, and whether it claims to be well.
#[derive(Clone)]
pub struct Health(Arc<Switches>);

struct Switches {
    name: String,
    delay: Duration,
    fails_at: Option<Instant>,
    unhealthy: AtomicBool,
    unready: AtomicBool,
    exit: Sender<i32>,
}

impl Health {
    pub fn new(name: String, delay: Duration, fails_at: Option<Instant>, exit: Sender<i32>) -> Self {
        let (unhealthy, unready) = (AtomicBool::new(false), AtomicBool::new(false));
        Self(Arc::new(Switches { name, delay, fails_at, unhealthy, unready, exit }))
    }

    /// How long to wait before the answer.
    pub fn delay(&self, query: &str) -> Duration {
        parameter(query, "delay").and_then(|ms| ms.parse().ok()).map_or(self.0.delay, Duration::from_millis)
    }

    /// The answer to a datagram.
    pub fn datagram(&self, client: SocketAddr, bytes: &[u8]) -> Vec<u8> {
        let mut answer = format!("pod: {}\nclient: {}\n\n", self.0.name, canonical(client)).into_bytes();
        answer.extend_from_slice(bytes);
        answer
    }

    /// The answer to a request.
    pub fn answer(&self, asked: &Asked) -> Answer {
        match (asked.path.as_str(), asked.method.as_str()) {
            ("/hostname", _) => text(200, format!("{}\n", self.0.name)),
            ("/healthz", "POST") => self.turn(&self.0.unhealthy, &asked.query),
            ("/readyz", "POST") => self.turn(&self.0.unready, &asked.query),
            ("/healthz", _) => {
                let late = self.0.fails_at.is_some_and(|at| Instant::now() >= at);
                state(late || self.0.unhealthy.load(Ordering::Relaxed))
            }
            ("/readyz", _) => state(self.0.unready.load(Ordering::Relaxed)),
            ("/exit", "POST") => {
                let code = parameter(&asked.query, "code").unwrap_or("0").parse().unwrap_or(1);
                match self.0.exit.try_send(code) {
                    Ok(()) => text(200, format!("exiting with {code}\n")),
                    Err(_) => text(409, "exiting already\n".into()),
                }
            }
            _ => self.echo(asked),
        }
    }

    fn turn(&self, switch: &AtomicBool, query: &str) -> Answer {
        let fail = match (parameter(query, "fail"), parameter(query, "ok")) {
            (Some(_), None) => true,
            (None, Some(_)) => false,
            _ => return text(400, "say ?fail or ?ok\n".into()),
        };
        switch.store(fail, Ordering::Relaxed);
        text(200, if fail { "failing from now on\n" } else { "well from now on\n" }.into())
    }

    fn echo(&self, asked: &Asked) -> Answer {
        let wants_json = asked.headers.iter().any(|(k, v)| k == "accept" && v.contains("application/json"));
        let (client, body) = (canonical(asked.client), String::from_utf8_lossy(&asked.body));
        let target =
            if asked.query.is_empty() { asked.path.clone() } else { format!("{}?{}", asked.path, asked.query) };
        if wants_json {
            let headers: Vec<[&String; 2]> = asked.headers.iter().map(|(k, v)| [k, v]).collect();
            let answer = json!({
                "pod": self.0.name, "client": client.to_string(), "method": asked.method, "path": target,
                "headers": headers, "body": body
            });
            return Answer { status: 200, content_type: "application/json", body: format!("{answer}\n") };
        }
        let mut out = format!("pod: {}\nclient: {client}\n{} {target} {}\n", self.0.name, asked.method, asked.version);
        for (name, value) in &asked.headers {
            // Writing to a String does not fail.
            let _ = writeln!(out, "{name}: {value}");
        }
        if !body.is_empty() {
            let _ = write!(out, "\n{body}");
        }
        text(200, out)
    }
}

fn state(failing: bool) -> Answer {
    if failing { text(503, "failing\n".into()) } else { text(200, "ok\n".into()) }
}

fn text(status: u16, body: String) -> Answer {
    Answer { status, content_type: "text/plain; charset=utf-8", body }
}

/// An IPv4 client of a socket of both families is shown as one.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    })
}

#[cfg(test)]
mod tests;
