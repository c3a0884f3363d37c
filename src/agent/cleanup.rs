//! Rules that are taken away for good: kube-proxy's when the agent has taken its place, or our own on the way back.
//!
//! kube-proxy's tables of nftables mode are taken away over netlink. Its chains of iptables mode are in tables that others share: they
//! are read with `iptables-save` and taken away in one transaction a table with `iptables-restore`, which is how a
//! machine keeps them; that both are run is this command's exception.
//!
//! Connections go on, as what the kernel knows of them is not in the rules; but it follows and translates connections
//! only while some rule of the network namespace asks for that (`nf_ct_netns_put`). So whoever takes over begins first,
//! and the rules of the other go last.

mod chains;

use std::fs;
use std::io;
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nft::{Batch, Family, ObjectId, Socket};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::refusal::Refusal;
use crate::stdio::say;
use chains::Removal;

/// kube-proxy's table in nftables mode, in each family.
const KUBE_PROXY: &str = "kube-proxy";
/// The programs that keep iptables' rules: both kinds of rules may be on a machine, and each family has its own.
const PROGRAMS: [&str; 4] = ["iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy"];
/// How long each of them may take: with 100,000 chains they take tens of seconds.
const PATIENCE: Duration = Duration::from_secs(120);
/// Where the kernel tells of kube-proxy's Services in ipvs mode.
const IPVS: &str = "/proc/net/ip_vs";

/// Takes our own tables away.
///
/// # Errors
/// When the kernel refuses.
pub fn own() -> Result<()> {
    let name = dataplane::Config::default().table;
    let removed = remove_tables(&name)?;
    if removed.is_empty() {
        say("no rules of portolan are here");
    }
    for table in removed {
        say(format_args!("removed table {table}"));
    }
    Ok(())
}

/// Takes away what kube-proxy has left, in nftables and in iptables mode.
///
/// # Errors
/// When the kernel refuses, or rules are there that cannot be taken away.
pub async fn kube_proxy() -> Result<()> {
    let mut found = false;
    for table in remove_tables(KUBE_PROXY)? {
        found = true;
        say(format_args!("removed table {table}"));
    }
    let mut installed = Vec::new();
    for program in PROGRAMS {
        let Some(saved) = save(program).await? else { continue };
        installed.push(program);
        let removal = chains::removal(&saved);
        for chain in &removal.kept {
            say(format_args!("{program}: {chain} stays: rules of somebody else lead to it"));
        }
        if removal.chains == 0 {
            continue;
        }
        found = true;
        restore(program, &removal).await?;
        say(format_args!(
            "{program}: removed {} chains and the {} rules that led to them",
            removal.chains, removal.rules
        ));
        if removal.forward_is_dropped {
            say(format_args!(
                "{program}: FORWARD drops what nobody accepts; kube-proxy accepted Services' packets: see that somebody else does"
            ));
        }
    }
    not_reached(&installed)?;
    if !found {
        say("no rules of kube-proxy are here");
    }
    Ok(())
}

/// Refuses to call it done when there are rules that could not be looked at.
fn not_reached(installed: &[&str]) -> Result<()> {
    let has = |program| installed.contains(&program);
    if !(has("iptables-nft") && has("ip6tables-nft")) && has_iptables_nft_chains()? {
        return Err(Refusal::new(
            "kube-proxy's iptables chains are here, but iptables-nft-save and iptables-nft-restore are not; install iptables, then run this again",
        )
        .into());
    }
    let legacy = |path: &str| fs::read_to_string(path).is_ok_and(|names| !names.trim().is_empty());
    if (!has("iptables-legacy") && legacy("/proc/net/ip_tables_names"))
        || (!has("ip6tables-legacy") && legacy("/proc/net/ip6_tables_names"))
    {
        return Err(Refusal::new(
            "there are rules of the older iptables that cannot be read: iptables-legacy-save is not here; install iptables, then run this again",
        )
        .into());
    }
    if fs::read_to_string(IPVS).is_ok_and(|text| text.lines().any(|l| l.starts_with("TCP") || l.starts_with("UDP"))) {
        return Err(Refusal::new(
            "kube-proxy's ipvs Services are here, which this command leaves alone; remove them with `ipvsadm --clear` and `ip link delete kube-ipvs0`",
        )
        .into());
    }
    Ok(())
}

/// Takes away the tables of a name, of both families, in one transaction; which there were.
fn remove_tables(name: &str) -> Result<Vec<String>> {
    let mut socket = Socket::in_current_netns().context("no netlink socket to nf_tables")?;
    let mut batch = Batch::new();
    let mut removed = Vec::new();
    for table in socket.tables().context("the tables cannot be listed")? {
        let id = table.object.id;
        if *id.name == *name && matches!(id.family, Family::Ip | Family::Ip6) {
            removed.push(id.to_string());
            batch.delete(ObjectId::Table(id));
        }
    }
    if !removed.is_empty() {
        socket.commit(&batch).with_context(|| format!("the kernel keeps the table {name}"))?;
    }
    Ok(removed)
}

/// Whether a chain of kube-proxy's is in a table that iptables-nft makes.
fn has_iptables_nft_chains() -> Result<bool> {
    let mut socket = Socket::in_current_netns().context("no netlink socket to nf_tables")?;
    for table in socket.tables().context("the tables cannot be listed")? {
        let chains = socket.chains(&table.object.id).context("the chains cannot be listed")?;
        if chains.iter().any(|chain| chains::is_kube_proxys(&chain.object.name)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// All rules, as `iptables-save` writes them; `None` where the program is not installed.
async fn save(program: &str) -> Result<Option<String>> {
    let program = format!("{program}-save");
    let mut command = Command::new(&program);
    let child =
        match command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("{program} cannot be run")),
        };
    let output = ended(&program, child).await?;
    Ok(Some(String::from_utf8(output.stdout).with_context(|| format!("{program} writes no text"))?))
}

/// Takes away what is to go, each table's part of it at once.
async fn restore(program: &str, removal: &Removal) -> Result<()> {
    let program = format!("{program}-restore");
    let mut command = Command::new(&program);
    command.args(["--noflush", "--wait=30"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().with_context(|| format!("{program} cannot be run"))?;
    let mut input = child.stdin.take().context("a process without standard input")?;
    let write = async move { input.write_all(removal.script.as_bytes()).await };
    // Of a process that failed, what it says is worth more than that it did not listen.
    let (written, ended) = tokio::join!(write, ended(&program, child));
    ended?;
    written.with_context(|| format!("{program} does not listen"))
}

/// Waits until a program has ended well; what it wrote. One that takes too long is killed.
async fn ended(program: &str, child: Child) -> Result<Output> {
    let Ok(output) = timeout(PATIENCE, child.wait_with_output()).await else {
        bail!("{program} does not end within {} s; see whether somebody holds /run/xtables.lock", PATIENCE.as_secs());
    };
    let output = output.with_context(|| format!("{program} was lost"))?;
    if !output.status.success() {
        bail!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output)
}
