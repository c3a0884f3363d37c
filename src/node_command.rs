//! `portolan node`: a node alone. This is also the process that `up` starts, once for each node.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::cli;
use crate::ends::Ends;
use crate::refusal::Refusal;
use crate::{kubeconfig, layout, preflight, server};

/// How often a node renews its lease: the controller gives it up after four of these.
const LEASE_RENEWAL: Duration = Duration::from_secs(1);

/// Runs a node until it is told to end. Its Pods go on without it, as they do without a kubelet.
///
/// # Errors
/// When it cannot start.
pub async fn run(args: cli::Node) -> Result<()> {
    let ends = Ends::listen()?;
    preflight::is_root()?;
    preflight::has_nf_tables()?;
    let name = name_or_hostname(args.name, "--name")?;
    let ranges = [("--service-cidr", args.service_cidr), ("--pod-cidr", args.pod_cidr)];
    layout::check_ranges(&ranges)?;
    layout::check_service_cidr(args.service_cidr)?;
    preflight::is_own_address(args.address)?;
    let credentials = kubeconfig::read(&args.kubeconfig).await?;
    let upstream_dns = match args.upstream_dns {
        given if !given.is_empty() || args.no_upstream_dns => given,
        _ => server::machine_resolvers(),
    };
    let config = node::Config {
        name,
        address: args.address,
        zone: args.zone,
        pod_cidr: args.pod_cidr,
        service_cidr: args.service_cidr,
        cluster_dns: server::cluster_dns(args.service_cidr),
        cluster_domain: server::CLUSTER_DOMAIN.to_owned(),
        upstream_dns,
        complete_searches: args.complete_searches,
        image_dir: args.image_dir.unwrap_or_else(|| args.data_dir.join("images")),
        data_dir: args.data_dir,
        run_dir: args.run_dir,
        cgroup_parent: args.cgroup_parent,
        program: std::env::current_exe().context("cannot tell where this program is")?,
        authority_pem: credentials.authority_pem,
        certificate_pem: credentials.certificate_pem,
        key_pem: credentials.key_pem,
        lease_renewal: LEASE_RENEWAL,
    };
    node::run(config, credentials.client, ends.token()).await.context("the node cannot go on")
}

/// A node's name where none was given by the flag: the machine's, as kubelet has it.
///
/// # Errors
/// When the machine has none.
pub fn name_or_hostname(given: Option<String>, flag: &str) -> Result<String, Refusal> {
    let own = || nix::unistd::gethostname().ok()?.into_string().ok().filter(|name| !name.is_empty());
    match given.or_else(|| Some(own()?.trim().to_lowercase())) {
        Some(name) => Ok(name),
        None => Err(Refusal::new(format!("this machine has no host name; give {flag}"))),
    }
}
