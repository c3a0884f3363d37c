//! One question, however it is asked.

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    Container, ExecAction, GRPCAction, HTTPGetAction, LifecycleHandler, Probe, TCPSocketAction,
};

use super::outcome::Outcome;
use super::{connect, grpc, http};
use crate::bundle::ExecRequest;
use crate::container::exec::{self, ExecError};
use crate::process::ProcessId;
use crate::spec;

/// As much of a program's output is kept for a message, in bytes.
const OUTPUT: usize = 10 * 1024;

/// The container that is asked.
#[derive(Clone, Debug)]
pub struct Target {
    /// The Pod's address.
    pub address: String,
    /// This program, for exec.
    pub program: PathBuf,
    /// The start's bundle.
    pub bundle: PathBuf,
    /// Its first process.
    pub process: ProcessId,
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// A program in the container, which ends with 0.
    Exec(Vec<String>),
    /// A page.
    Http(http::Get),
    /// A connection: host and port.
    Tcp(String, u16),
    /// gRPC's health protocol: port and service.
    Grpc(u16, String),
    /// Nothing but time.
    Sleep(Duration),
    /// What cannot be asked: a port that is not there.
    Impossible(String),
}

impl Check {
    /// That of a probe.
    #[must_use]
    pub fn of_probe(probe: &Probe, container: &Container, address: &str) -> Self {
        if let Some(ExecAction { command }) = &probe.exec {
            return Self::Exec(command.clone().unwrap_or_default());
        }
        if let Some(get) = &probe.http_get {
            return Self::of_http(get, container, address);
        }
        if let Some(socket) = &probe.tcp_socket {
            return Self::of_tcp(socket, container, address);
        }
        if let Some(GRPCAction { port, service }) = &probe.grpc {
            return match u16::try_from(*port) {
                Ok(port) => Self::Grpc(port, service.clone().unwrap_or_default()),
                Err(_) => Self::Impossible(format!("{port} is no port")),
            };
        }
        Self::Impossible("the probe asks nothing".into())
    }

    /// That of a lifecycle hook.
    #[must_use]
    pub fn of_hook(hook: &LifecycleHandler, container: &Container, address: &str) -> Self {
        if let Some(ExecAction { command }) = &hook.exec {
            return Self::Exec(command.clone().unwrap_or_default());
        }
        if let Some(get) = &hook.http_get {
            return Self::of_http(get, container, address);
        }
        if let Some(socket) = &hook.tcp_socket {
            return Self::of_tcp(socket, container, address);
        }
        if let Some(sleep) = &hook.sleep {
            return Self::Sleep(spec::seconds(sleep.seconds));
        }
        Self::Impossible("the hook does nothing".into())
    }

    fn of_http(get: &HTTPGetAction, container: &Container, address: &str) -> Self {
        let Some(port) = spec::port(&get.port, container) else {
            return Self::Impossible(format!("port {:?} is not one of the container", get.port));
        };
        let host = get.host.clone().filter(|h| !h.is_empty()).unwrap_or_else(|| address.to_owned());
        let path = get.path.clone().filter(|p| !p.is_empty()).unwrap_or_else(|| "/".into());
        let path = if path.starts_with('/') { path } else { format!("/{path}") };
        let headers = get.http_headers.iter().flatten().map(|h| (h.name.clone(), h.value.clone())).collect();
        let tls = get.scheme.as_deref().is_some_and(|s| s.eq_ignore_ascii_case("https"));
        Self::Http(http::Get { tls, host, port, path, headers })
    }

    fn of_tcp(socket: &TCPSocketAction, container: &Container, address: &str) -> Self {
        match spec::port(&socket.port, container) {
            Some(port) => {
                let host = socket.host.clone().filter(|h| !h.is_empty()).unwrap_or_else(|| address.to_owned());
                Self::Tcp(host, port)
            }
            None => Self::Impossible(format!("port {:?} is not one of the container", socket.port)),
        }
    }

    /// Asks, and waits for the answer so long at most.
    pub async fn ask(&self, target: &Target, patience: Duration) -> Outcome {
        match self {
            Self::Exec(command) => run(command, target, patience).await,
            Self::Impossible(why) => Outcome::Unknown(why.clone()),
            Self::Sleep(time) => {
                tokio::time::sleep(*time).await;
                Outcome::Well
            }
            over_network => match tokio::time::timeout(patience, over_network.call(target)).await {
                Ok(outcome) => outcome,
                Err(_) => Outcome::Ill(format!("no answer within {}s", patience.as_secs())),
            },
        }
    }

    async fn call(&self, target: &Target) -> Outcome {
        match self {
            Self::Http(get) => http::ask(get).await,
            Self::Grpc(port, service) => grpc::ask(&target.address, *port, service).await,
            Self::Tcp(host, port) => match connect::tcp(host, *port).await {
                Ok(_) => Outcome::Well,
                Err(e) => Outcome::Ill(format!("dial tcp {host}:{port}: {e}")),
            },
            Self::Exec(_) | Self::Sleep(_) | Self::Impossible(_) => Outcome::Well,
        }
    }
}

async fn run(command: &[String], target: &Target, patience: Duration) -> Outcome {
    let request = ExecRequest {
        bundle: target.bundle.clone(),
        process: target.process.clone(),
        args: command.to_vec(),
        terminal: false,
    };
    match exec::run(&target.program, &request, patience, OUTPUT).await {
        Ok(finished) if finished.code == 0 => Outcome::Well,
        Ok(finished) => {
            let said = String::from_utf8_lossy(&finished.output).trim_end().to_owned();
            Outcome::Ill(if said.is_empty() { format!("exit code {}", finished.code) } else { said })
        }
        Err(error @ ExecError::Late(_)) => Outcome::Ill(error.to_string()),
        // A program that is not there is a container that is not well; a machine that refuses says nothing about it.
        Err(ExecError::Fault(fault)) if fault.kind == crate::bundle::FaultKind::Program => Outcome::Ill(fault.message),
        Err(error) => Outcome::Unknown(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
