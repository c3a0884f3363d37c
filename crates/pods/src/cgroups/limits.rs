//! From requests and limits to the values of control files. Pure.

use k8s_openapi::api::core::v1::{Container, Pod, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::quantity;

/// Version of a hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A hierarchy for each controller, or for several together.
    One,
    /// One for all.
    Two,
}

/// A value to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Whose file it is.
    pub controller: &'static str,
    /// Its name in the group's directory.
    pub file: &'static str,
    /// What is written.
    pub value: String,
    /// Whether a kernel may lack it.
    pub optional: bool,
}

/// What a group may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Thousandths of a processor that it gets when all want more.
    pub cpu_request: i64,
    /// Thousandths of a processor that it gets at most.
    pub cpu_limit: Option<i64>,
    /// Bytes of memory at most.
    pub memory_limit: Option<i64>,
}

/// In microseconds, as kubelet has it.
const PERIOD: i64 = 100_000;

impl Limits {
    /// Of a container.
    #[must_use]
    pub fn of_container(container: &Container) -> Self {
        let resources = container.resources.clone().unwrap_or_default();
        let positive = |q: Option<i64>| q.filter(|n| *n > 0);
        let cpu_limit = positive(limit(&resources, "cpu").and_then(quantity::milli));
        let cpu_request = request(&resources, "cpu").and_then(quantity::milli).or(cpu_limit).unwrap_or(0);
        let memory_limit = positive(limit(&resources, "memory").and_then(quantity::units));
        Self { cpu_request, cpu_limit, memory_limit }
    }

    /// Of a Pod: what its containers have together, with a limit only where each has one. Init containers run one after
    /// the other, beside the sidecars that were started before.
    #[must_use]
    pub fn of_pod(pod: &Pod) -> Self {
        let Some(spec) = &pod.spec else { return Self::default() };
        let inits: Vec<&Container> = spec.init_containers.iter().flatten().collect();
        let sidecar = |c: &&Container| c.restart_policy.as_deref() == Some("Always");
        let lasting: Vec<Self> =
            spec.containers.iter().chain(inits.iter().copied().filter(sidecar)).map(Self::of_container).collect();
        let sum = |field: fn(&Self) -> Option<i64>| lasting.iter().map(field).sum::<Option<i64>>();
        let mut whole = Self {
            cpu_request: lasting.iter().map(|l| l.cpu_request).sum(),
            cpu_limit: sum(|l| l.cpu_limit),
            memory_limit: sum(|l| l.memory_limit),
        };
        for init in inits.into_iter().filter(|c| !sidecar(c)).map(Self::of_container) {
            whole.cpu_request = whole.cpu_request.max(init.cpu_request);
            whole.cpu_limit = whole.cpu_limit.and_then(|l| init.cpu_limit.map(|i| l.max(i)));
            whole.memory_limit = whole.memory_limit.and_then(|l| init.memory_limit.map(|i| l.max(i)));
        }
        whole
    }

    /// The control files of a version, with their values.
    #[must_use]
    pub fn settings(&self, version: Version) -> Vec<Setting> {
        let set = |controller, file, value: String| Setting { controller, file, value, optional: controller == "cpu" };
        let shares = (self.cpu_request * 1024 / 1000).clamp(2, 262_144);
        let quota = self.cpu_limit.map(|milli| (milli * PERIOD / 1000).max(1000));
        let mut all = Vec::new();
        match version {
            Version::One => {
                all.push(set("cpu", "cpu.shares", shares.to_string()));
                if let Some(quota) = quota {
                    all.push(set("cpu", "cpu.cfs_period_us", PERIOD.to_string()));
                    all.push(set("cpu", "cpu.cfs_quota_us", quota.to_string()));
                }
                let bytes = self.memory_limit.map(|bytes| bytes.to_string());
                all.extend(bytes.map(|bytes| set("memory", "memory.limit_in_bytes", bytes)));
            }
            Version::Two => {
                // 2 to 262144 shares are 1 to 10000 of weight.
                all.push(set("cpu", "cpu.weight", (1 + (shares - 2) * 9999 / 262_142).to_string()));
                all.extend(quota.map(|quota| set("cpu", "cpu.max", format!("{quota} {PERIOD}"))));
                if let Some(bytes) = self.memory_limit {
                    all.push(set("memory", "memory.max", bytes.to_string()));
                    all.push(set("memory", "memory.oom.group", "1".to_owned()));
                }
            }
        }
        all
    }
}

/// How likely the kernel is to choose a process of the container when memory is short, by the Pod's quality of service:
/// a guaranteed one last, one without requests first, the others by what they asked of the node's memory (in bytes).
#[must_use]
pub fn oom_score_adj(pod: &Pod, container: &Container, memory: u64) -> i32 {
    match qos_class(pod) {
        "Guaranteed" => -997,
        "BestEffort" => 1000,
        _ => {
            let resources = container.resources.clone().unwrap_or_default();
            let request = request(&resources, "memory").and_then(quantity::units).unwrap_or(0).max(0);
            let part = i128::from(request) * 1000 / i128::from(memory.max(1));
            i32::try_from((1000 - part).clamp(3, 999)).unwrap_or(999)
        }
    }
}

/// `Guaranteed`, `Burstable` or `BestEffort`, by cpu and memory of all containers.
#[must_use]
pub fn qos_class(pod: &Pod) -> &'static str {
    let Some(spec) = &pod.spec else { return "BestEffort" };
    let containers = || spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let nonzero = |q: Option<&Quantity>| q.filter(|q| quantity::milli(q).is_some_and(|n| n > 0)).cloned();
    let (mut any, mut guaranteed) = (false, true);
    for container in containers() {
        let resources = container.resources.clone().unwrap_or_default();
        for name in ["cpu", "memory"] {
            let limit = nonzero(limit(&resources, name));
            let request = nonzero(request(&resources, name)).or_else(|| limit.clone());
            any |= limit.is_some() || request.is_some();
            let same = |l: &Quantity, r: &Quantity| quantity::milli(l) == quantity::milli(r);
            guaranteed &= matches!((&limit, &request), (Some(l), Some(r)) if same(l, r));
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

fn limit<'a>(resources: &'a ResourceRequirements, name: &str) -> Option<&'a Quantity> {
    resources.limits.as_ref()?.get(name)
}

fn request<'a>(resources: &'a ResourceRequirements, name: &str) -> Option<&'a Quantity> {
    resources.requests.as_ref()?.get(name)
}

#[cfg(test)]
mod tests;
