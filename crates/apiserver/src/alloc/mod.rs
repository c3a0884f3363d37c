//! Allocation for Services: families, cluster IPs, node ports, health-check node ports.

pub(crate) mod claims;

use serde_json::Value;

use crate::api::Api;
use crate::status::Status;
use claims::Claims;

pub(crate) fn create(_api: &Api, _service: &mut Value, _dry_run: bool) -> Result<Claims, Status> {
    Ok(Claims::default())
}

pub(crate) fn update(_api: &Api, _new: &mut Value, _old: &Value, _dry_run: bool) -> Result<Claims, Status> {
    Ok(Claims::default())
}

pub(crate) fn release(_service: &Value) -> Claims {
    Claims::default()
}
