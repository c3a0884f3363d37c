//! ConfigMaps and Secrets that a Pod refers to: which they are, fetched once, then looked at without waiting.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    ConfigMap, Container, Pod, Secret, ServiceAccountTokenProjection, Volume, VolumeProjection,
};

use super::error::EnvironmentError;
use crate::sources::{Sources, Unavailable};

/// Names of what is referred to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// ConfigMaps.
    pub config_maps: BTreeSet<String>,
    /// Secrets.
    pub secrets: BTreeSet<String>,
    /// Tokens of the Pod's account.
    pub tokens: BTreeSet<TokenKey>,
}

/// A token, as far as a volume chooses it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenKey {
    /// For whom it is; none is for the API server.
    pub audience: Option<String>,
    /// How long it is to be good, in seconds.
    pub expiration_seconds: i64,
}

impl TokenKey {
    /// As a volume asks for it.
    #[must_use]
    pub fn of(projection: &ServiceAccountTokenProjection) -> Self {
        let audience = projection.audience.clone().filter(|a| !a.is_empty());
        Self { audience, expiration_seconds: projection.expiration_seconds.unwrap_or(3600) }
    }
}

/// What was found. A name that was asked for and is not there does not exist.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    namespace: String,
    config_maps: BTreeMap<String, ConfigMap>,
    secrets: BTreeMap<String, Secret>,
    tokens: BTreeMap<TokenKey, String>,
}

impl References {
    /// Of a container's environment.
    #[must_use]
    pub fn of_container(container: &Container) -> Self {
        let mut all = Self::default();
        for source in container.env_from.iter().flatten() {
            all.config_maps.extend(source.config_map_ref.iter().map(|r| r.name.clone()));
            all.secrets.extend(source.secret_ref.iter().map(|r| r.name.clone()));
        }
        for source in container.env.iter().flatten().filter_map(|e| e.value_from.as_ref()) {
            all.config_maps.extend(source.config_map_key_ref.iter().map(|r| r.name.clone()));
            all.secrets.extend(source.secret_key_ref.iter().map(|r| r.name.clone()));
        }
        all
    }

    /// Of a Pod's volumes.
    #[must_use]
    pub fn of_volumes(pod: &Pod) -> Self {
        let mut all = Self::default();
        for volume in pod.spec.iter().flat_map(|s| s.volumes.iter().flatten()) {
            all.add_volume(volume);
        }
        all
    }

    fn add_volume(&mut self, volume: &Volume) {
        self.config_maps.extend(volume.config_map.iter().map(|c| c.name.clone()));
        self.secrets.extend(volume.secret.iter().filter_map(|s| s.secret_name.clone()));
        let sources = volume.projected.iter().flat_map(|p| p.sources.iter().flatten());
        for VolumeProjection { config_map, secret, service_account_token, .. } in sources {
            self.tokens.extend(service_account_token.iter().map(TokenKey::of));
            self.config_maps.extend(config_map.iter().map(|c| c.name.clone()));
            self.secrets.extend(secret.iter().map(|s| s.name.clone()));
        }
    }

    /// Gets all of them.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub async fn fetch(&self, namespace: &str, sources: &dyn Sources) -> Result<Objects, Unavailable> {
        let mut objects = Objects { namespace: namespace.to_owned(), ..Objects::default() };
        for name in &self.config_maps {
            objects.config_maps.extend(sources.config_map(namespace, name).await?.map(|found| (name.clone(), found)));
        }
        for name in &self.secrets {
            objects.secrets.extend(sources.secret(namespace, name).await?.map(|found| (name.clone(), found)));
        }
        Ok(objects)
    }
}

impl Objects {
    #[cfg(test)]
    pub fn of(namespace: &str, config_maps: Vec<ConfigMap>, secrets: Vec<Secret>) -> Self {
        let named = |name: &Option<String>| name.clone().unwrap_or_default();
        Self {
            namespace: namespace.to_owned(),
            config_maps: config_maps.into_iter().map(|c| (named(&c.metadata.name), c)).collect(),
            secrets: secrets.into_iter().map(|s| (named(&s.metadata.name), s)).collect(),
            tokens: BTreeMap::new(),
        }
    }

    /// Adds a token that was issued.
    pub fn add_token(&mut self, key: TokenKey, token: String) {
        self.tokens.insert(key, token);
    }

    /// A token, if it was issued.
    #[must_use]
    pub fn token(&self, key: &TokenKey) -> Option<&str> {
        self.tokens.get(key).map(String::as_str)
    }

    /// A ConfigMap, if it exists.
    #[must_use]
    pub fn config_map(&self, name: &str) -> Option<&ConfigMap> {
        self.config_maps.get(name)
    }

    /// A Secret, if it exists.
    #[must_use]
    pub fn secret(&self, name: &str) -> Option<&Secret> {
        self.secrets.get(name)
    }

    /// All texts of a ConfigMap; none of an optional one that does not exist.
    ///
    /// # Errors
    /// It does not exist and has to.
    pub fn whole_config_map(&self, name: &str, optional: bool) -> Result<BTreeMap<String, String>, EnvironmentError> {
        match self.config_map(name) {
            Some(found) => Ok(found.data.clone().unwrap_or_default()),
            None if optional => Ok(BTreeMap::new()),
            None => Err(missing("configmap", name)),
        }
    }

    /// All values of a Secret that are texts; none of an optional one that does not exist.
    ///
    /// # Errors
    /// It does not exist and has to, or a value is not a text.
    pub fn whole_secret(&self, name: &str, optional: bool) -> Result<BTreeMap<String, String>, EnvironmentError> {
        let Some(found) = self.secret(name) else {
            return if optional { Ok(BTreeMap::new()) } else { Err(missing("secret", name)) };
        };
        let text = |(key, value): (&String, &k8s_openapi::ByteString)| {
            let text = String::from_utf8(value.0.clone()).map_err(|_| EnvironmentError::NotText(key.clone()))?;
            Ok((key.clone(), text))
        };
        found.data.iter().flatten().map(text).collect()
    }

    /// One text of a ConfigMap; `None` when it is optional and not there.
    ///
    /// # Errors
    /// It is not there and has to be.
    pub fn config_map_key(&self, name: &str, key: &str, optional: bool) -> Result<Option<String>, EnvironmentError> {
        let found = match self.config_map(name) {
            None if !optional => return Err(missing("configmap", name)),
            found => found.and_then(|c| c.data.as_ref()?.get(key)),
        };
        self.key("ConfigMap", name, key, found.cloned(), optional)
    }

    /// One value of a Secret; `None` when it is optional and not there.
    ///
    /// # Errors
    /// It is not there and has to be, or is not a text.
    pub fn secret_key(&self, name: &str, key: &str, optional: bool) -> Result<Option<String>, EnvironmentError> {
        let found = match self.secret(name) {
            None if !optional => return Err(missing("secret", name)),
            found => found.and_then(|s| s.data.as_ref()?.get(key)),
        };
        let text = found.map(|bytes| String::from_utf8(bytes.0.clone())).transpose();
        let text = text.map_err(|_| EnvironmentError::NotText(key.to_owned()))?;
        self.key("Secret", name, key, text, optional)
    }

    fn key(
        &self,
        kind: &'static str,
        name: &str,
        key: &str,
        found: Option<String>,
        optional: bool,
    ) -> Result<Option<String>, EnvironmentError> {
        if found.is_some() || optional {
            return Ok(found);
        }
        let (namespace, name, key) = (self.namespace.clone(), name.to_owned(), key.to_owned());
        Err(EnvironmentError::MissingKey { kind, namespace, name, key })
    }
}

fn missing(kind: &'static str, name: &str) -> EnvironmentError {
    EnvironmentError::Missing { kind, name: name.to_owned() }
}
