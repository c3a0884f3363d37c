//! Which of iptables' chains and rules are kube-proxy's, and how they are taken away. Pure: a text in, a text out.

use std::collections::BTreeSet;

/// kube-proxy's chains that are one of a kind. kubelet's (`KUBE-FIREWALL`, `KUBE-KUBELET-CANARY`, `KUBE-IPTABLES-HINT`)
/// and other programs' that begin alike (`KUBE-ROUTER-…`) are not among them.
const CHAINS: [&str; 14] = [
    "KUBE-SERVICES",
    "KUBE-EXTERNAL-SERVICES",
    "KUBE-NODEPORTS",
    "KUBE-POSTROUTING",
    "KUBE-FORWARD",
    "KUBE-PROXY-FIREWALL",
    "KUBE-PROXY-CANARY",
    "KUBE-MARK-MASQ",
    "KUBE-LOAD-BALANCER",
    "KUBE-NODE-PORT",
    "KUBE-SOURCE-RANGES-FIREWALL",
    "KUBE-IPVS-FILTER",
    "KUBE-IPVS-OUT-FILTER",
    "KUBE-LOAD-BALANCER-SOURCE-RANGES",
];
/// How its chains of Services and endpoints begin.
const PREFIXES: [&str; 6] = ["KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-SEP-", "KUBE-FW-", "KUBE-XLB-"];

/// Whether a chain of this name is kube-proxy's.
pub fn is_kube_proxys(chain: &str) -> bool {
    CHAINS.contains(&chain) || PREFIXES.iter().any(|prefix| chain.starts_with(prefix))
}

/// What is to be taken away.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Removal {
    /// What `iptables-restore --noflush` is to be told.
    pub script: String,
    /// How many chains go.
    pub chains: usize,
    /// How many rules of chains that stay go with them.
    pub rules: usize,
    /// Chains of kube-proxy's that stay, because chains of somebody else lead to them.
    pub kept: Vec<String>,
    /// Whether packets that are forwarded are dropped unless a rule accepts them.
    pub forward_is_dropped: bool,
}

/// One table of `iptables-save`.
#[derive(Default)]
struct Table<'a> {
    name: &'a str,
    chains: Vec<&'a str>,
    /// The kernel's own chains, which have a policy.
    built_in: BTreeSet<&'a str>,
    /// Chain and whole line of each rule.
    rules: Vec<(&'a str, &'a str)>,
}

/// Reads what `iptables-save` wrote, and says what of it is kube-proxy's.
pub fn removal(saved: &str) -> Removal {
    let mut removal = Removal::default();
    let mut table = Table::default();
    for line in saved.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = Table { name, ..Table::default() };
        } else if let Some((chain, policy)) = line.strip_prefix(':').and_then(|rest| rest.split_once(' ')) {
            table.chains.push(chain);
            if !policy.starts_with('-') {
                table.built_in.insert(chain);
            }
            removal.forward_is_dropped |= table.name == "filter" && chain == "FORWARD" && policy.starts_with("DROP");
        } else if let Some(rest) = rule(line) {
            let chain = rest.split(' ').next().unwrap_or_default();
            table.rules.push((chain, rest));
        } else if line == "COMMIT" {
            table.remove(&mut removal);
        }
    }
    removal
}

/// A rule without its `-A` and, in front of that, its counters.
fn rule(line: &str) -> Option<&str> {
    let line = match line.strip_prefix('[') {
        Some(rest) => rest.split_once("] ")?.1,
        None => line,
    };
    line.strip_prefix("-A ")
}

/// The chain that a rule leads to.
fn target(rule: &str) -> Option<&str> {
    let mut words = rule.split(' ');
    words.find(|word| matches!(*word, "-j" | "-g"))?;
    words.next()
}

impl<'a> Table<'a> {
    fn remove(&self, removal: &mut Removal) {
        let mut kept: BTreeSet<&str> = BTreeSet::new();
        // What others lead to stays, and what that leads to in turn.
        let mut roots: Vec<&str> = self.chains.iter().copied().filter(|c| self.is_somebody_elses(c)).collect();
        while let Some(from) = roots.pop() {
            for to in self.rules.iter().filter(|(chain, _)| *chain == from).filter_map(|(_, rule)| target(rule)) {
                if is_kube_proxys(to) && kept.insert(to) {
                    roots.push(to);
                }
            }
        }
        let goes = |chain: &str| is_kube_proxys(chain) && !kept.contains(chain);
        let going: Vec<&str> = self.chains.iter().copied().filter(|chain| goes(chain)).collect();
        removal.kept.extend(kept.iter().map(|chain| (*chain).to_owned()));
        if going.is_empty() {
            return;
        }
        let leading = self.rules.iter().filter(|(chain, rule)| !goes(chain) && target(rule).is_some_and(goes));
        let leading: Vec<&str> = leading.map(|(_, rule)| *rule).collect();
        let mut script = format!("*{}\n", self.name);
        // To declare a chain is to empty it.
        going.iter().for_each(|chain| script.push_str(&format!(":{chain} - [0:0]\n")));
        leading.iter().for_each(|rule| script.push_str(&format!("-D {rule}\n")));
        going.iter().for_each(|chain| script.push_str(&format!("-X {chain}\n")));
        script.push_str("COMMIT\n");
        removal.script.push_str(&script);
        removal.chains += going.len();
        removal.rules += leading.len();
    }

    fn is_somebody_elses(&self, chain: &str) -> bool {
        !self.built_in.contains(chain) && !is_kube_proxys(chain)
    }
}

#[cfg(test)]
mod tests;
