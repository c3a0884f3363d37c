//! Service-account tokens: JWTs that the cluster's own key signs (ES256).
//!
//! A token may be bound to a Pod, a Secret or a Node; when that is gone, or another of its name has taken its place, the token
//! is worth nothing. A Pod's token also says on which node the Pod was.
//!
//! A signature that was good stays good: it is checked once for each token, what it is bound to each time.

use std::collections::HashMap;
use std::sync::Arc;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use kinds::Kind;
use kinds::document::{at, text};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cache::Cache;
use crate::clock;
use crate::identity::User;

/// Who issues tokens, and for whom they are unless they say otherwise.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// How many tokens are remembered whose signatures are good.
const REMEMBERED: usize = 4096;
/// How long a token is good beyond its end, in seconds: clocks differ.
const LEEWAY: u64 = 60;

/// The claims of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Vec<String>,
    exp: i64,
    iat: i64,
    nbf: i64,
    #[serde(default)]
    jti: String,
    #[serde(rename = "kubernetes.io")]
    kubernetes: KubernetesClaims,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KubernetesClaims {
    namespace: String,
    serviceaccount: Bound,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<Bound>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<Bound>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<Bound>,
}

/// An object that a token belongs to, and without which it is worth nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// Its name.
    pub name: String,
    /// Its uid.
    #[serde(default)]
    pub uid: String,
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The account's namespace, and the Pod's and the Secret's.
    pub namespace: String,
    /// The account.
    pub account: Bound,
    /// The Pod that it is for, and only as long as it exists.
    pub pod: Option<Bound>,
    /// The Secret that it is bound to.
    pub secret: Option<Bound>,
    /// The Node that it is bound to or, with a Pod, on which that is.
    pub node: Option<Bound>,
    /// Who is to take it; [`ISSUER`] is the API server.
    pub audiences: Vec<String>,
}

impl Grant {
    /// A token for an account that is bound to nothing else.
    pub fn of_account(namespace: impl Into<String>, account: Bound, audiences: Vec<String>) -> Self {
        Self { namespace: namespace.into(), account, pod: None, secret: None, node: None, audiences }
    }
}

/// Why a token cannot be signed or checked at all.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The cluster's key is damaged.
    #[error("the service accounts' key is damaged")]
    Key(#[source] rcgen::Error),
    /// Signing failed.
    #[error("a token cannot be signed")]
    Sign(#[from] jsonwebtoken::errors::Error),
}

/// Why a token is not good, in Kubernetes' words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Invalid {
    /// It is none of ours, or was changed.
    #[error("invalid bearer token")]
    Unknown,
    #[error("[invalid bearer token, service account token has expired]")]
    Expired,
    #[error("[invalid bearer token, service account token is not valid yet]")]
    NotYet,
    #[error("[invalid bearer token, token audiences {given} is invalid for the target audiences {wanted}]")]
    Audience { given: String, wanted: String },
    /// What it is bound to is gone.
    #[error("[invalid bearer token, service account token has been invalidated]")]
    Gone,
    #[error("[invalid bearer token, {what} UID ({found}) does not match {claim} ({claimed})]")]
    Another { what: &'static str, claim: &'static str, found: String, claimed: String },
}

/// Signs and checks tokens.
pub struct ServiceAccountTokens {
    sign: EncodingKey,
    check: DecodingKey,
    /// By the SHA-256 of the token.
    signed: Mutex<HashMap<[u8; 32], Arc<Claims>>>,
}

impl ServiceAccountTokens {
    /// With the cluster's key (PKCS #8 PEM).
    ///
    /// # Errors
    /// When it is no key.
    pub fn new(key_pem: &str) -> Result<Self, TokenError> {
        let pair = rcgen::KeyPair::from_pem(key_pem).map_err(TokenError::Key)?;
        let check = DecodingKey::from_ec_pem(pair.public_key_pem().as_bytes())?;
        Ok(Self { sign: EncodingKey::from_ec_pem(key_pem.as_bytes())?, check, signed: Mutex::default() })
    }

    /// A token for so many seconds from `now` (seconds since the epoch).
    ///
    /// # Errors
    /// When signing fails.
    pub fn issue(&self, grant: Grant, now: i64, seconds: i64) -> Result<String, TokenError> {
        let Grant { namespace, account, pod, secret, node, audiences } = grant;
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: format!("system:serviceaccount:{namespace}:{}", account.name),
            aud: audiences,
            exp: now + seconds,
            iat: now,
            nbf: now,
            jti: uuid::Uuid::new_v4().to_string(),
            kubernetes: KubernetesClaims { namespace, serviceaccount: account, pod, secret, node },
        };
        Ok(jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &self.sign)?)
    }

    /// Whose token it is, and for which of the audiences.
    pub(crate) fn verify(
        &self,
        token: &str,
        audiences: &[&str],
        cache: &Cache,
    ) -> Result<(User, Vec<String>), Invalid> {
        let claims = self.claims(token, clock::now_seconds())?;
        let taken: Vec<String> = audiences.iter().map(|a| (*a).to_owned()).filter(|a| claims.aud.contains(a)).collect();
        if taken.is_empty() {
            let wanted: Vec<String> = audiences.iter().map(|a| (*a).to_owned()).collect();
            return Err(Invalid::Audience { given: print(&claims.aud), wanted: print(&wanted) });
        }
        claims.check(cache)?;
        Ok((claims.user(), taken))
    }

    /// What a token says, if it is ours and of now (seconds since the epoch).
    fn claims(&self, token: &str, now: i64) -> Result<Arc<Claims>, Invalid> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let known = self.signed.lock().get(&digest).cloned();
        if let Some(claims) = known {
            let is_over = now > claims.exp.saturating_add_unsigned(LEEWAY);
            if is_over {
                self.signed.lock().remove(&digest);
                return Err(Invalid::Expired);
            }
            return Ok(claims);
        }
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_issuer(&[ISSUER]);
        validation.leeway = LEEWAY;
        // Looked at by whoever asks, for its words.
        validation.validate_aud = false;
        validation.validate_nbf = true;
        let decoded = jsonwebtoken::decode::<Claims>(token, &self.check, &validation);
        let claims = decoded.map_err(|error| match error.kind() {
            ErrorKind::ExpiredSignature => Invalid::Expired,
            ErrorKind::ImmatureSignature => Invalid::NotYet,
            _ => Invalid::Unknown,
        })?;
        let claims = Arc::new(claims.claims);
        let mut signed = self.signed.lock();
        if signed.len() >= REMEMBERED {
            // Seldom, and each is checked once more then.
            signed.clear();
        }
        signed.insert(digest, claims.clone());
        Ok(claims)
    }
}

impl Claims {
    /// Whether what the token is bound to is still there.
    fn check(&self, cache: &Cache) -> Result<(), Invalid> {
        let KubernetesClaims { namespace, serviceaccount, pod, secret, node } = &self.kubernetes;
        let check = |kind: &'static Kind, namespace: &str, bound: &Bound, what: &'static str, claim: &'static str| {
            let found = cache.get(kind, namespace, &bound.name).ok_or(Invalid::Gone)?;
            let found = text(at(&found.document(), "metadata"), "uid").to_owned();
            let claimed = bound.uid.clone();
            if found == claimed { Ok(()) } else { Err(Invalid::Another { what, claim, found, claimed }) }
        };
        let account = &kinds::service_account::KIND;
        check(account, namespace, serviceaccount, "service account", "claim")?;
        if let Some(secret) = secret {
            let claim = "service account secret ref claim";
            check(&kinds::secret::KIND, namespace, secret, "secret", claim)?;
        }
        if let Some(pod) = pod {
            check(&kinds::pod::KIND, namespace, pod, "pod", "service account pod ref claim")?;
        }
        match (node, pod) {
            // A Pod's node is told, and not looked at.
            (Some(node), None) => check(&kinds::node::KIND, "", node, "node", "service account node ref claim"),
            _ => Ok(()),
        }
    }

    fn user(&self) -> User {
        let KubernetesClaims { namespace, serviceaccount, pod, node, .. } = self.kubernetes.clone();
        let groups = ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
        let name = format!("system:serviceaccount:{namespace}:{}", serviceaccount.name);
        let mut user = User::authenticated(name, groups);
        user.uid = serviceaccount.uid;
        let mut tell = |key: &str, value: String| {
            user.extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value]);
        };
        if !self.jti.is_empty() {
            tell("credential-id", format!("JTI={}", self.jti));
        }
        if let Some(pod) = pod {
            tell("pod-name", pod.name);
            tell("pod-uid", pod.uid);
        }
        if let Some(node) = node {
            tell("node-name", node.name);
            if !node.uid.is_empty() {
                tell("node-uid", node.uid);
            }
        }
        user
    }
}

/// `["a" "b"]`
fn print(values: &[String]) -> String {
    let quoted: Vec<String> = values.iter().map(|value| kinds::schema::quoted(value)).collect();
    format!("[{}]", quoted.join(" "))
}

#[cfg(test)]
mod tests;
