//! kube-proxy's configuration file: `KubeProxyConfiguration` of `kubeproxy.config.k8s.io/v1alpha1`. Read as kube-proxy
//! reads it: a field that is not known is said and left out; a value that is none is refused with its field's name.

use std::net::IpAddr;

use serde_json::{Map, Value};

use super::config::{HEALTH_PORT, METRICS_PORT, NodePorts};
use super::options::{self, Bind, LocalMode, Options};

/// What the file must be.
const API_VERSION: &str = "kubeproxy.config.k8s.io/v1alpha1";
const KIND: &str = "KubeProxyConfiguration";

/// Fields that are kube-proxy's and mean nothing here: what they tune is done otherwise, or there is nothing like it.
/// A name that ends in a dot stands for everything below it.
const WITHOUT_MEANING: [&str; 22] = [
    "featureGates.",
    "logging.",
    "winkernel.",
    "ipvs.",
    "clientConnection.acceptContentTypes",
    "clientConnection.contentType",
    "clientConnection.qps",
    "clientConnection.burst",
    "enableProfiling",
    "showHiddenMetricsForVersion",
    "configSyncPeriod",
    "portRange",
    "udpIdleTimeout",
    "resourceContainer",
    "windowsRunAsService",
    "conntrack.max",
    "iptables.localhostNodePorts",
    "iptables.snatNodeInternalIP",
    "iptables.syncPeriod",
    "iptables.minSyncPeriod",
    "nftables.syncPeriod",
    "nftables.minSyncPeriod",
];

/// Why a file is refused, in one line with the cure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// No YAML, or no mapping.
    #[error("{0}; give a KubeProxyConfiguration of {API_VERSION}, as YAML or JSON")]
    Unreadable(String),
    /// A field has a value that it cannot have.
    #[error("{field}: {problem}")]
    Field {
        /// The field's path: `conntrack.maxPerCore`.
        field: String,
        /// What is wrong, and the cure.
        problem: String,
    },
}

/// A file that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct File {
    /// What it says.
    pub options: Options,
    /// Fields that nobody knows.
    pub unknown: Vec<String>,
    /// Fields that say something that has no meaning here.
    pub ignored: Vec<String>,
    /// kube-proxy's mode, if it is another than ours.
    pub mode: Option<String>,
}

/// Reads a file's text.
///
/// # Errors
/// When it is no such file, or a field has a value that it cannot have.
pub fn read(text: &str) -> Result<File, FileError> {
    let value: Value = serde_saphyr::from_str(text)
        .map_err(|error| FileError::Unreadable(format!("it is no YAML ({})", first_line(&error.to_string()))))?;
    let Value::Object(fields) = value else {
        return Err(FileError::Unreadable("it holds no fields".to_owned()));
    };
    let mut reader = Reader { fields };
    reader.fixed("apiVersion", API_VERSION)?;
    reader.fixed("kind", KIND)?;
    let mode = reader.text("mode")?;
    let options = Options {
        kubeconfig: reader.text("clientConnection.kubeconfig")?.map(Into::into),
        node_name: reader.text("hostnameOverride")?.map(|name| name.trim().to_lowercase()),
        bind_address: reader.parsed("bindAddress", |text| {
            text.parse::<IpAddr>().map_err(|_| format!("{text:?} is no address; give one such as 192.0.2.7 or 0.0.0.0"))
        })?,
        health: reader.parsed("healthzBindAddress", |t| options::parse_bind(t, HEALTH_PORT).map(Bind::At))?,
        metrics: reader.parsed("metricsBindAddress", |t| options::parse_bind(t, METRICS_PORT).map(Bind::At))?,
        bind_hard_fail: reader.truth("bindAddressHardFail")?,
        local_mode: reader.parsed("detectLocalMode", options::parse_local_mode)?.or(Some(LocalMode::ClusterCidr)),
        cluster_cidrs: reader.parsed("clusterCIDR", options::parse_cluster_cidrs)?,
        bridge_interface: reader.parsed("detectLocal.bridgeInterface", options::parse_interface)?,
        interface_name_prefix: reader.parsed("detectLocal.interfaceNamePrefix", options::parse_interface)?,
        node_ports: reader.node_ports(mode.as_deref())?,
        masquerade_all: reader.of_mode(mode.as_deref(), "masqueradeAll", Reader::truth)?,
        masquerade_bit: reader.of_mode(mode.as_deref(), "masqueradeBit", |reader, field| {
            reader.number(field)?.map(|n| options::parse_mark_bit(n).map_err(|p| wrong(field, p))).transpose()
        })?,
        oom_score_adj: reader
            .number("oomScoreAdj")?
            .map(|n| options::parse_oom_score_adj(n).map_err(|problem| wrong("oomScoreAdj", problem)))
            .transpose()?,
        conntrack: reader.conntrack()?,
        ..Options::default()
    };
    let (unknown, ignored) = reader.rest();
    Ok(File { options, unknown, ignored, mode: mode.filter(|mode| mode != "nftables") })
}

fn wrong(field: &str, problem: impl Into<String>) -> FileError {
    FileError::Field { field: field.to_owned(), problem: problem.into() }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default().trim()
}

/// The fields that were not read yet.
#[derive(Debug)]
struct Reader {
    fields: Map<String, Value>,
}

impl Reader {
    /// Takes a field out, by its path of one or two names. What is `null` was not said.
    fn take(&mut self, path: &str) -> Result<Option<Value>, FileError> {
        let value = match path.split_once('.') {
            None => self.fields.remove(path),
            Some((section, field)) => match self.fields.get_mut(section) {
                None | Some(Value::Null) => None,
                Some(Value::Object(fields)) => fields.remove(field),
                Some(_) => return Err(wrong(section, "it holds no fields; indent the ones that belong to it")),
            },
        };
        Ok(value.filter(|value| !value.is_null()))
    }

    fn fixed(&mut self, field: &str, wanted: &str) -> Result<(), FileError> {
        match self.text(field)? {
            Some(text) if text == wanted => Ok(()),
            Some(text) => Err(wrong(field, format!("{text:?} is not what this agent reads; it must be {wanted}"))),
            None => Err(wrong(field, format!("it is missing; it must be {wanted}"))),
        }
    }

    /// A text; an empty one was not said.
    fn text(&mut self, field: &str) -> Result<Option<String>, FileError> {
        match self.take(field)? {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
            Some(other) => Err(wrong(field, format!("{other} is no text; put it into quotes"))),
        }
    }

    fn parsed<T>(
        &mut self,
        field: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, FileError> {
        let text = self.text(field)?;
        text.map(|text| parse(&text).map_err(|problem| wrong(field, problem))).transpose()
    }

    fn truth(&mut self, field: &str) -> Result<Option<bool>, FileError> {
        match self.take(field)? {
            None => Ok(None),
            Some(Value::Bool(truth)) => Ok(Some(truth)),
            Some(other) => Err(wrong(field, format!("{other} is neither true nor false; write one of these"))),
        }
    }

    fn number(&mut self, field: &str) -> Result<Option<i64>, FileError> {
        match self.take(field)? {
            None => Ok(None),
            Some(value) => match value.as_i64() {
                Some(number) => Ok(Some(number)),
                None => Err(wrong(field, format!("{value} is no whole number; write one"))),
            },
        }
    }

    fn count(&mut self, field: &str) -> Result<Option<u32>, FileError> {
        let number = self.number(field)?;
        let count = number.map(|n| {
            // conntrack's own limit is a signed number.
            u32::try_from(n).ok().filter(|n| i32::try_from(*n).is_ok()).ok_or(n)
        });
        count
            .transpose()
            .map_err(|n| wrong(field, format!("{n} is out of range; write 0, which leaves it as it is, or more")))
    }

    fn duration(&mut self, field: &str) -> Result<Option<std::time::Duration>, FileError> {
        self.parsed(field, options::parse_duration)
    }

    /// A field of the section of the mode; where no mode was said, of the one that says it.
    fn of_mode<T>(
        &mut self,
        mode: Option<&str>,
        field: &str,
        mut read: impl FnMut(&mut Reader, &str) -> Result<Option<T>, FileError>,
    ) -> Result<Option<T>, FileError> {
        let nftables = read(self, &format!("nftables.{field}"))?;
        let iptables = read(self, &format!("iptables.{field}"))?;
        Ok(match mode {
            Some("nftables") => nftables,
            Some(_) => iptables,
            None => nftables.or(iptables),
        })
    }

    /// In the modes iptables and ipvs node ports answer at all addresses unless it is said where.
    fn node_ports(&mut self, mode: Option<&str>) -> Result<Option<NodePorts>, FileError> {
        let field = "nodePortAddresses";
        let all = || NodePorts { primary: false, ranges: options::everything().to_vec() };
        let items = match self.take(field)? {
            Some(Value::Array(items)) if !items.is_empty() => items,
            None | Some(Value::Array(_)) => return Ok(matches!(mode, Some("iptables" | "ipvs")).then(all)),
            Some(other) => return Err(wrong(field, format!("{other} is no list; write one, such as [primary]"))),
        };
        let texts: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
        let texts = texts.ok_or_else(|| wrong(field, "it holds something that is no text; put it into quotes"))?;
        options::parse_node_ports(texts).map(Some).map_err(|problem| wrong(field, problem))
    }

    fn conntrack(&mut self) -> Result<options::ConntrackOptions, FileError> {
        Ok(options::ConntrackOptions {
            max_per_core: self.count("conntrack.maxPerCore")?,
            min: self.count("conntrack.min")?,
            tcp_established: self.duration("conntrack.tcpEstablishedTimeout")?,
            tcp_close_wait: self.duration("conntrack.tcpCloseWaitTimeout")?,
            // Files that kubeadm writes say `false` where nobody chose anything.
            tcp_be_liberal: self.truth("conntrack.tcpBeLiberal")?.filter(|liberal| *liberal),
            udp: self.duration("conntrack.udpTimeout")?,
            udp_stream: self.duration("conntrack.udpStreamTimeout")?,
        })
    }

    /// What is left: fields that nobody knows, and those that say something without meaning.
    fn rest(self) -> (Vec<String>, Vec<String>) {
        let (mut unknown, mut ignored) = (Vec::new(), Vec::new());
        for (section, value) in self.fields {
            let paths = match value {
                Value::Null => Vec::new(),
                Value::Object(fields) if !WITHOUT_MEANING.contains(&format!("{section}.").as_str()) => {
                    let said = fields.into_iter().filter(|(_, value)| !value.is_null());
                    said.map(|(field, value)| (format!("{section}.{field}"), value)).collect()
                }
                value => vec![(section, value)],
            };
            for (path, value) in paths {
                let known =
                    |known: &&str| known.strip_suffix('.').is_some_and(|section| section == path) || *known == path;
                if !WITHOUT_MEANING.iter().any(known) {
                    unknown.push(path);
                } else if !says_nothing(&value) {
                    ignored.push(path);
                }
            }
        }
        (unknown, ignored)
    }
}

/// Whether a value is what a field has that was not said.
fn says_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || text == "0s",
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.values().all(says_nothing),
    }
}

#[cfg(test)]
mod tests;
