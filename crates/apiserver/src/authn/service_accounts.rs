//! Service-account tokens: JWTs that the cluster's own key signs (ES256).

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use kinds::document::{at, text};
use serde::{Deserialize, Serialize};

use crate::cache::Cache;
use crate::identity::User;
use crate::resources;

/// Who issues tokens, and for whom they are unless they say otherwise.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// The claims of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Vec<String>,
    exp: i64,
    iat: i64,
    nbf: i64,
    #[serde(rename = "kubernetes.io")]
    kubernetes: KubernetesClaims,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct KubernetesClaims {
    namespace: String,
    serviceaccount: Bound,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<Bound>,
}

/// An object that a token belongs to, and without which it is worth nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The account's namespace, and the Pod's.
    pub namespace: String,
    /// The account.
    pub account: Bound,
    /// The Pod that it is for, and only as long as it exists.
    pub pod: Option<Bound>,
    /// Who is to take it; [`ISSUER`] is the API server.
    pub audiences: Vec<String>,
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

/// Signs and checks tokens.
pub struct ServiceAccountTokens {
    sign: EncodingKey,
    check: DecodingKey,
}

impl ServiceAccountTokens {
    /// With the cluster's key (PKCS #8 PEM).
    ///
    /// # Errors
    /// When it is no key.
    pub fn new(key_pem: &str) -> Result<Self, TokenError> {
        let pair = rcgen::KeyPair::from_pem(key_pem).map_err(TokenError::Key)?;
        let check = DecodingKey::from_ec_pem(pair.public_key_pem().as_bytes())?;
        Ok(Self { sign: EncodingKey::from_ec_pem(key_pem.as_bytes())?, check })
    }

    /// A token for so many seconds from `now` (seconds since the epoch).
    ///
    /// # Errors
    /// When signing fails.
    pub fn issue(&self, grant: Grant, now: i64, seconds: i64) -> Result<String, TokenError> {
        let Grant { namespace, account, pod, audiences } = grant;
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: format!("system:serviceaccount:{namespace}:{}", account.name),
            aud: audiences,
            exp: now + seconds,
            iat: now,
            nbf: now,
            kubernetes: KubernetesClaims { namespace, serviceaccount: account, pod },
        };
        Ok(jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &self.sign)?)
    }

    /// Whose token it is; `None` when it is not good, or what it is bound to is gone.
    pub(crate) fn verify(&self, token: &str, cache: &Cache) -> Option<User> {
        let mut validation = Validation::new(Algorithm::ES256);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[ISSUER]);
        validation.validate_nbf = true;
        let claims = jsonwebtoken::decode::<Claims>(token, &self.check, &validation).ok()?.claims;
        let KubernetesClaims { namespace, serviceaccount, pod } = claims.kubernetes;
        let exists = |plural: &str, bound: &Bound| {
            let object = resources::kind("", plural).and_then(|kind| cache.get(kind, &namespace, &bound.name));
            object.is_some_and(|object| text(at(&object.document(), "metadata"), "uid") == bound.uid)
        };
        if !exists("serviceaccounts", &serviceaccount) || pod.as_ref().is_some_and(|pod| !exists("pods", pod)) {
            return None;
        }
        let groups = ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
        let name = format!("system:serviceaccount:{namespace}:{}", serviceaccount.name);
        let mut user = User::authenticated(name, groups);
        user.uid = serviceaccount.uid;
        if let Some(pod) = pod {
            user.extra.insert("authentication.kubernetes.io/pod-name".to_owned(), vec![pod.name]);
            user.extra.insert("authentication.kubernetes.io/pod-uid".to_owned(), vec![pod.uid]);
        }
        Some(user)
    }
}
