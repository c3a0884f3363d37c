//! Where the settings of load balancers come from: the ConfigMap, else what the process was started with.

use ::loadbalancer::settings::Settings;
use k8s_openapi::api::core::v1::ConfigMap;

use crate::caches::LOAD_BALANCER_SETTINGS;
use crate::config::Config;

/// The settings that hold when there is no ConfigMap; `None`: this cluster has no load balancer of ours.
pub fn without_config_map(config: &Config) -> Option<Settings> {
    config.load_balancer.clone().or_else(|| config.load_balancer_pool.clone().map(Settings::of_pool))
}

/// What the ConfigMap says.
///
/// # Errors
/// With everything that is wrong with it, in one line.
pub fn of_config_map(map: &ConfigMap) -> Result<Settings, String> {
    let (_, _, key) = LOAD_BALANCER_SETTINGS;
    let text = map.data.as_ref().and_then(|data| data.get(key));
    let text = text.ok_or_else(|| format!("its data has no key {key}"))?;
    Settings::parse(text).map_err(|error| error.to_string())
}
