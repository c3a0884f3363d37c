//! What is chosen about outside providers: load balancers that somebody else drives, over HTTP.

use std::time::Duration;

use serde::Deserialize;

use super::CLASS;
use super::routers::WireSecret;

/// How long a request may take, if nothing is said; in seconds.
const TIMEOUT: u64 = 10;

/// A provider, and for whom it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outside {
    /// Services ask for it by this class.
    pub class: String,
    /// Where it is; paths of its API are added.
    pub url: String,
    /// The Secret in `kube-system` that has the token which is shown to it, and the key there.
    pub token: Option<(String, String)>,
    /// The certificates, in PEM, that its own is checked against; `None`: those of the machine.
    pub ca: Option<String>,
    /// How long a request may take.
    pub timeout: Duration,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Wire {
    class: String,
    url: String,
    token_secret: Option<WireSecret>,
    ca: Option<String>,
    #[serde(default = "timeout")]
    timeout_seconds: u64,
}

fn timeout() -> u64 {
    TIMEOUT
}

impl Wire {
    pub(super) fn check(self, mistakes: &mut Vec<String>) -> Outside {
        let class = &self.class;
        let mut wrong = |why: String| mistakes.push(format!("provider {class}: {why}"));
        let named = class.split_once('/').is_some_and(|(domain, name)| !domain.is_empty() && !name.is_empty());
        if !named || class == CLASS {
            wrong("class is one of its own, as example.com/name".to_owned());
        }
        let host = ["https://", "http://"].iter().find_map(|scheme| self.url.strip_prefix(scheme));
        if host.is_none_or(|host| host.is_empty() || host.contains(['?', '#', ' '])) {
            wrong(format!("{:?} is no URL: give https://HOST:PORT/PATH", self.url));
        }
        if self.token_secret.is_some() && !self.url.starts_with("https://") {
            wrong("a token is shown over https alone".to_owned());
        }
        if self.ca.as_ref().is_some_and(|ca| !ca.contains("-----BEGIN CERTIFICATE-----")) {
            wrong("ca has no certificate in PEM".to_owned());
        }
        if !(1..=60).contains(&self.timeout_seconds) {
            wrong("timeoutSeconds is at least 1 and at most 60".to_owned());
        }
        Outside {
            url: self.url.trim_end_matches('/').to_owned(),
            class: self.class,
            token: self.token_secret.map(|secret| (secret.name, secret.key.unwrap_or_else(|| "token".to_owned()))),
            ca: self.ca,
            timeout: Duration::from_secs(self.timeout_seconds),
        }
    }
}
