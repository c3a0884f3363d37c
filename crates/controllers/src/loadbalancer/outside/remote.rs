//! A provider over HTTP. The client is that of the Kubernetes API: it knows TLS, tokens and timeouts.

use std::time::Duration;

use ::loadbalancer::settings::Outside;
use futures::future::BoxFuture;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use k8s_openapi::ByteString;
use kube::Client;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde::de::DeserializeOwned;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Balancer, Provider, ProviderError, Standing};

/// How often a request is made until it has failed for now, and how long is waited first; then twice as long.
const TRIES: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// The longest answer.
const LONGEST: usize = 64 * 1024;
/// The longest part of an answer that is shown to people.
const SHOWN: usize = 300;

/// A provider over HTTP.
pub struct Remote {
    client: Client,
    timeout: Duration,
}

/// What an answer says beside its body.
struct Answer {
    status: StatusCode,
    after: Option<Duration>,
    body: Vec<u8>,
}

impl Remote {
    /// The one that was chosen; `token` is shown to it.
    ///
    /// # Errors
    /// When the settings are of no use: a certificate that is none, an impossible URL.
    pub async fn open(chosen: &Outside, token: Option<&str>) -> Result<Self, String> {
        let mut cluster = json!({"server": chosen.url});
        if let Some(ca) = &chosen.ca {
            cluster["certificate-authority-data"] = json!(ByteString(ca.clone().into_bytes()));
        }
        let user = token.map_or(json!({}), |token| json!({"token": token}));
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": cluster}], "users": [{"name": "it", "user": user}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        });
        let shown = |error: &dyn std::error::Error| error.to_string();
        let config: Kubeconfig = serde_json::from_value(config).map_err(|error| shown(&error))?;
        let options = KubeConfigOptions::default();
        let config = kube::Config::from_custom_kubeconfig(config, &options).await.map_err(|error| shown(&error))?;
        let client = Client::try_from(config).map_err(|error| shown(&error))?;
        Ok(Self { client, timeout: chosen.timeout })
    }

    /// Asks, again when that may help.
    async fn ask(&self, method: Method, id: &str, body: Option<&[u8]>) -> Result<Answer, ProviderError> {
        let mut wait = FIRST_WAIT;
        let mut tries = 1;
        loop {
            match self.once(method.clone(), id, body).await {
                Err(ProviderError::Unavailable { after: None, .. }) if tries < TRIES => {}
                done => return done,
            }
            tokio::time::sleep(wait).await;
            (wait, tries) = (wait * 2, tries + 1);
        }
    }

    async fn once(&self, method: Method, id: &str, body: Option<&[u8]>) -> Result<Answer, ProviderError> {
        let path = format!("/v1/load-balancers/{id}");
        let request = Request::builder().method(method.clone()).uri(path).header(CONTENT_TYPE, "application/json");
        // Who asks the same again says the same key: what was done already is not done twice.
        let key = Sha256::digest([method.as_str().as_bytes(), id.as_bytes(), body.unwrap_or_default()].concat());
        let key: String = key.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        let request = request.header("idempotency-key", key).body(Body::from(body.unwrap_or_default().to_vec()));
        let request = request.map_err(|error| ProviderError::Refused(error.to_string()))?;
        let unavailable = |what: String| ProviderError::Unavailable { what, after: None };
        let asked = async {
            let answer = self.client.send(request).await.map_err(|error| unavailable(chain(&error)))?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, LONGEST).collect().await.map_err(|error| unavailable(error.to_string()))?;
            let seconds = parts.headers.get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
            let after = seconds.map(Duration::from_secs);
            Ok::<_, ProviderError>(Answer { status: parts.status, after, body: body.to_bytes().to_vec() })
        };
        let answer = tokio::time::timeout(self.timeout, asked).await;
        judge(answer.map_err(|_| unavailable(format!("no answer within {} s", self.timeout.as_secs())))??)
    }
}

/// An error with all that lies behind it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// What an answer means, as far as its status says it.
fn judge(answer: Answer) -> Result<Answer, ProviderError> {
    let status = answer.status;
    if status.is_success() || status == StatusCode::NOT_FOUND {
        return Ok(answer);
    }
    let said = String::from_utf8_lossy(&answer.body);
    let message = serde_json::from_slice::<serde_json::Value>(&answer.body).ok();
    let message = message.as_ref().and_then(|body| body["message"].as_str()).unwrap_or(said.trim());
    let what = format!("{status}: {}", message.chars().take(SHOWN).collect::<String>());
    let later = status.is_server_error()
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::CONFLICT)
        // A token that is not known yet may be tomorrow.
        || matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    Err(if later { ProviderError::Unavailable { what, after: answer.after } } else { ProviderError::Refused(what) })
}

fn read<T: DeserializeOwned>(answer: &Answer) -> Result<T, ProviderError> {
    serde_json::from_slice(&answer.body).map_err(|error| ProviderError::Unavailable {
        what: format!("an answer that cannot be read: {error}"),
        after: answer.after,
    })
}

impl Provider for Remote {
    fn ensure<'a>(&'a self, wanted: &'a Balancer) -> BoxFuture<'a, Result<Standing, ProviderError>> {
        Box::pin(async move {
            let body = serde_json::to_vec(wanted).map_err(|error| ProviderError::Refused(error.to_string()))?;
            let answer = self.ask(Method::PUT, &wanted.id, Some(&body)).await?;
            if answer.status == StatusCode::NOT_FOUND {
                return Err(ProviderError::Refused("404 Not Found: there is no such API".to_owned()));
            }
            read(&answer)
        })
    }

    fn get<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Standing>, ProviderError>> {
        Box::pin(async move {
            let answer = self.ask(Method::GET, id, None).await?;
            if answer.status == StatusCode::NOT_FOUND { Ok(None) } else { read(&answer).map(Some) }
        })
    }

    fn delete<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<bool, ProviderError>> {
        Box::pin(async move {
            let answer = self.ask(Method::DELETE, id, None).await?;
            Ok(answer.status != StatusCode::ACCEPTED)
        })
    }
}
