//! The same objects, read from protobuf. The numbers are those of Kubernetes' `generated.proto` files.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::protobuf::{Fields, Malformed};
use crate::views::{
    AffinityConfig, ClientIpConfig, Conditions, Endpoint, EndpointPort, EndpointSlice, Hints, Ingress, Named, Service,
    ServicePort, ServiceSpec, ServiceStatus, TargetRef,
};

/// Something that is read from a protobuf message.
pub(crate) trait FromProtobuf: Sized {
    /// Fields that are not read are passed over.
    fn from_protobuf(message: Fields<'_>) -> Result<Self, Malformed>;
}

impl FromProtobuf for ObjectMeta {
    fn from_protobuf(message: Fields<'_>) -> Result<ObjectMeta, Malformed> {
        let mut metadata = ObjectMeta::default();
        for field in message {
            let field = field?;
            match field.number {
                1 => metadata.name = field.said()?,
                3 => metadata.namespace = field.said()?,
                6 => metadata.resource_version = field.said()?,
                11 => entry(metadata.labels.get_or_insert_default(), field.fields()?)?,
                12 => entry(metadata.annotations.get_or_insert_default(), field.fields()?)?,
                _ => {}
            }
        }
        Ok(metadata)
    }
}

/// One entry of a map: a message of key and value.
fn entry(map: &mut BTreeMap<String, String>, message: Fields<'_>) -> Result<(), Malformed> {
    let (mut key, mut value) = (String::new(), String::new());
    for field in message {
        let field = field?;
        match field.number {
            1 => key = field.text()?,
            2 => value = field.text()?,
            _ => {}
        }
    }
    map.insert(key, value);
    Ok(())
}

impl FromProtobuf for Service {
    fn from_protobuf(message: Fields<'_>) -> Result<Service, Malformed> {
        let mut service = Service::default();
        for field in message {
            let field = field?;
            match field.number {
                1 => service.metadata = ObjectMeta::from_protobuf(field.fields()?)?,
                2 => service.spec = ServiceSpec::from_protobuf(field.fields()?)?,
                3 => service.status = ServiceStatus::from_protobuf(field.fields()?)?,
                _ => {}
            }
        }
        Ok(service)
    }
}

impl FromProtobuf for ServiceSpec {
    fn from_protobuf(message: Fields<'_>) -> Result<ServiceSpec, Malformed> {
        let mut spec = ServiceSpec::default();
        for field in message {
            let field = field?;
            match field.number {
                1 => spec.ports.push(ServicePort::from_protobuf(field.fields()?)?),
                4 => spec.kind = field.text()?,
                5 => spec.external_ips.push(field.text()?),
                7 => spec.session_affinity = field.said()?,
                9 => spec.load_balancer_source_ranges.push(field.text()?),
                10 => spec.external_name = field.said()?,
                11 => spec.external_traffic_policy = field.said()?,
                12 => spec.health_check_node_port = Some(field.number()?).filter(|port| *port != 0),
                13 => spec.publish_not_ready_addresses = field.flag()?,
                14 => spec.session_affinity_config = Some(AffinityConfig::from_protobuf(field.fields()?)?),
                18 => spec.cluster_ips.push(field.text()?),
                22 => spec.internal_traffic_policy = field.said()?,
                23 => spec.traffic_distribution = field.said()?,
                _ => {}
            }
        }
        Ok(spec)
    }
}

impl FromProtobuf for ServicePort {
    fn from_protobuf(message: Fields<'_>) -> Result<ServicePort, Malformed> {
        use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
        let mut port = ServicePort::default();
        for field in message {
            let field = field?;
            match field.number {
                1 => port.name = field.said()?,
                2 => port.protocol = field.said()?,
                3 => port.port = field.number()?,
                4 => {
                    // Which of the two it is, then the number, then the text.
                    let (mut is_text, mut number, mut text) = (false, 0, String::new());
                    for part in field.fields()? {
                        let part = part?;
                        match part.number {
                            1 => is_text = part.flag()?,
                            2 => number = part.number()?,
                            3 => text = part.text()?,
                            _ => {}
                        }
                    }
                    port.target_port = Some(if is_text { IntOrString::String(text) } else { IntOrString::Int(number) });
                }
                5 => port.node_port = Some(field.number()?).filter(|port| *port != 0),
                _ => {}
            }
        }
        Ok(port)
    }
}

impl FromProtobuf for AffinityConfig {
    fn from_protobuf(message: Fields<'_>) -> Result<AffinityConfig, Malformed> {
        let mut config = AffinityConfig::default();
        for field in message {
            let field = field?;
            if field.number != 1 {
                continue;
            }
            let mut client_ip = ClientIpConfig::default();
            for part in field.fields()? {
                let part = part?;
                if part.number == 1 {
                    client_ip.timeout_seconds = Some(part.number()?);
                }
            }
            config.client_ip = Some(client_ip);
        }
        Ok(config)
    }
}

impl FromProtobuf for ServiceStatus {
    fn from_protobuf(message: Fields<'_>) -> Result<ServiceStatus, Malformed> {
        let mut status = ServiceStatus::default();
        for field in message {
            let field = field?;
            if field.number != 1 {
                continue;
            }
            for part in field.fields()? {
                let part = part?;
                if part.number == 1 {
                    status.load_balancer.ingress.push(Ingress::from_protobuf(part.fields()?)?);
                }
            }
        }
        Ok(status)
    }
}

impl FromProtobuf for Ingress {
    fn from_protobuf(message: Fields<'_>) -> Result<Ingress, Malformed> {
        let mut ingress = Ingress::default();
        for field in message {
            let field = field?;
            match field.number {
                1 => ingress.ip = field.said()?,
                3 => ingress.ip_mode = field.said()?,
                _ => {}
            }
        }
        Ok(ingress)
    }
}

impl FromProtobuf for EndpointSlice {
    fn from_protobuf(message: Fields<'_>) -> Result<EndpointSlice, Malformed> {
        let mut slice = EndpointSlice::default();
        for field in message {
            let field = field?;
            match field.number {
                1 => slice.metadata = ObjectMeta::from_protobuf(field.fields()?)?,
                2 => slice.endpoints.get_or_insert_default().push(Endpoint::from_protobuf(field.fields()?)?),
                3 => slice.ports.get_or_insert_default().push(EndpointPort::from_protobuf(field.fields()?)?),
                4 => slice.address_type = field.text()?,
                _ => {}
            }
        }
        Ok(slice)
    }
}

impl FromProtobuf for Endpoint {
    fn from_protobuf(message: Fields<'_>) -> Result<Endpoint, Malformed> {
        let mut endpoint = Endpoint::default();
        for field in message {
            let field = field?;
            match field.number {
                1 => endpoint.addresses.push(field.text()?),
                2 => endpoint.conditions = Some(Conditions::from_protobuf(field.fields()?)?),
                3 => endpoint.hostname = field.said()?,
                4 => endpoint.target_ref = Some(TargetRef::from_protobuf(field.fields()?)?),
                6 => endpoint.node_name = field.said()?,
                7 => endpoint.zone = field.said()?,
                8 => endpoint.hints = Some(Hints::from_protobuf(field.fields()?)?),
                _ => {}
            }
        }
        Ok(endpoint)
    }
}

impl FromProtobuf for Conditions {
    fn from_protobuf(message: Fields<'_>) -> Result<Conditions, Malformed> {
        let mut conditions = Conditions::default();
        for field in message {
            let field = field?;
            match field.number {
                1 => conditions.ready = Some(field.flag()?),
                2 => conditions.serving = Some(field.flag()?),
                3 => conditions.terminating = Some(field.flag()?),
                _ => {}
            }
        }
        Ok(conditions)
    }
}

impl FromProtobuf for Hints {
    fn from_protobuf(message: Fields<'_>) -> Result<Hints, Malformed> {
        let mut hints = Hints::default();
        for field in message {
            let field = field?;
            match field.number {
                1 => hints.for_zones.push(Named::from_protobuf(field.fields()?)?),
                2 => hints.for_nodes.push(Named::from_protobuf(field.fields()?)?),
                _ => {}
            }
        }
        Ok(hints)
    }
}

impl FromProtobuf for Named {
    fn from_protobuf(message: Fields<'_>) -> Result<Named, Malformed> {
        let mut named = Named::default();
        for field in message {
            let field = field?;
            if field.number == 1 {
                named.name = field.text()?;
            }
        }
        Ok(named)
    }
}

impl FromProtobuf for TargetRef {
    fn from_protobuf(message: Fields<'_>) -> Result<TargetRef, Malformed> {
        let mut target = TargetRef::default();
        for field in message {
            let field = field?;
            match field.number {
                1 => target.kind = field.said()?,
                3 => target.name = field.said()?,
                _ => {}
            }
        }
        Ok(target)
    }
}

impl FromProtobuf for EndpointPort {
    fn from_protobuf(message: Fields<'_>) -> Result<EndpointPort, Malformed> {
        let mut port = EndpointPort::default();
        for field in message {
            let field = field?;
            match field.number {
                1 => port.name = field.said()?,
                2 => port.protocol = field.said()?,
                3 => port.port = Some(field.number()?),
                _ => {}
            }
        }
        Ok(port)
    }
}

#[cfg(test)]
mod tests;
