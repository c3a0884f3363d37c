//! Tokens of a Pod's service account, asked for once and again before they are no good any more.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use tokio::sync::Mutex;

use super::objects::TokenKey;
use crate::sources::{Sources, TokenRequest, Unavailable};

/// Those of one Pod.
#[derive(Default)]
pub struct Tokens(Mutex<BTreeMap<TokenKey, Held>>);

struct Held {
    token: String,
    /// When four fifths of its time are over.
    again_at: Timestamp,
}

impl Tokens {
    /// A token for this Pod that is good for a while.
    ///
    /// # Errors
    /// The cluster does not answer, or issues none.
    pub async fn get(&self, pod: &Pod, key: &TokenKey, sources: &dyn Sources) -> Result<String, Unavailable> {
        let mut held = self.0.lock().await;
        let now = Timestamp::now();
        if let Some(good) = held.get(key).filter(|h| now < h.again_at) {
            return Ok(good.token.clone());
        }
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let account = pod.spec.as_ref().and_then(|s| s.service_account_name.clone()).filter(|name| !name.is_empty());
        let request = TokenRequest {
            namespace: text(&pod.metadata.namespace),
            service_account: account.unwrap_or_else(|| "default".to_owned()),
            pod_name: text(&pod.metadata.name),
            pod_uid: text(&pod.metadata.uid),
            audience: key.audience.clone(),
            expiration_seconds: key.expiration_seconds,
        };
        let fresh = sources.token(request).await?;
        let good = fresh.expires_at.duration_since(now).as_secs().max(0);
        let again_at = now.checked_add(SignedDuration::from_secs(good / 5 * 4)).unwrap_or(now);
        held.insert(key.clone(), Held { token: fresh.token.clone(), again_at });
        Ok(fresh.token)
    }
}
