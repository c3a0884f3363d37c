//! Who has which address of which pool. Pure.
//!
//! The book is filled from what the Services say and never gives an address to two, unless both say the same sharing
//! key and cannot be confused: they have no port in common, and a client of either may be led to the same nodes. What
//! an owner has it keeps, whatever becomes of the pools: an address moves only when its owner asks for another.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use crate::pool::is_buggy;
use crate::selector::Labels;
use crate::settings::NamedPool;

/// On which terms an owner shares its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sharing {
    /// Who shares says the same.
    pub key: String,
    /// The protocols and ports that it uses.
    pub ports: BTreeSet<(String, u16)>,
    /// Whom it leads to, where only nodes with such endpoints may announce (`externalTrafficPolicy: Local`): who shares
    /// must lead to the same. `None`: every node may.
    pub backends: Option<String>,
}

impl Sharing {
    fn agrees(&self, other: &Self) -> bool {
        self.key == other.key && self.backends == other.backends && self.ports.is_disjoint(&other.ports)
    }
}

/// What a Service asks for.
#[derive(Clone, Debug)]
pub struct Request<O> {
    /// Who.
    pub owner: O,
    /// Its namespace.
    pub namespace: String,
    /// The labels of that.
    pub namespace_labels: Labels,
    /// Its own labels.
    pub labels: Labels,
    /// The families, `true` for IPv6, the most important first.
    pub families: Vec<bool>,
    /// Whether all families are needed; else the first is enough.
    pub all_families: bool,
    /// A pool by its name.
    pub pool: Option<String>,
    /// Addresses, at most one a family.
    pub addresses: Vec<IpAddr>,
    /// On which terms it shares; `None`: not at all.
    pub sharing: Option<Sharing>,
    /// What it has been shown as having, which it keeps if it asks for nothing else.
    pub shown: Vec<IpAddr>,
}

/// Why an address is not given.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refusal<O: fmt::Display + fmt::Debug> {
    /// No pool is for this Service.
    #[error("{0}")]
    NoPool(NoPool),
    /// All addresses of the family are taken in each pool that is for it.
    #[error("all {size} {} addresses of the {} are taken", family(*.ipv6), named(.pools))]
    Exhausted {
        /// The pools that were tried.
        pools: Vec<String>,
        /// Which family.
        ipv6: bool,
        /// How many addresses of the family they have.
        size: u128,
    },
    /// An address that was asked for is in none of the pools that are for it.
    #[error("{address} is not in {}", any_of(.pools))]
    NotInPool {
        /// The address.
        address: IpAddr,
        /// The pools that are for it.
        pools: Vec<String>,
    },
    /// An address that was asked for is another's.
    #[error("{address} is taken by {owner}{}", not_shared(.unshared))]
    InUse {
        /// The address.
        address: IpAddr,
        /// Whose it is.
        owner: O,
        /// Why the two cannot share it, when both want to share.
        unshared: Option<&'static str>,
    },
    /// An address that was asked for is of a family that the Service has not.
    #[error("{address} is of a family that the Service does not have (spec.ipFamilies)")]
    WrongFamily {
        /// The address.
        address: IpAddr,
    },
}

/// Why no pool is for a Service.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoPool {
    /// There is none at all.
    #[error("there is no pool of addresses")]
    None,
    /// The one that it names does not exist.
    #[error("there is no pool called {0}")]
    Unknown(String),
    /// The one that it names is not for it.
    #[error("the pool {0} is not for this Service: its selectors say for which it is")]
    NotAdmitted(String),
    /// There are some, and none is for it.
    #[error("no pool is for this Service: selectors or autoAssign: false keep it from each ({0})")]
    NoneAdmits(String),
    /// None of those that are for it has the family.
    #[error("the {} has no {} address", named(.0), family(*.1))]
    NoFamily(Vec<String>, bool),
}

fn family(ipv6: bool) -> &'static str {
    if ipv6 { "IPv6" } else { "IPv4" }
}

fn named(pools: &[String]) -> String {
    match pools {
        [one] => format!("pool {one}"),
        many => format!("pools {}", many.join(", ")),
    }
}

fn any_of(pools: &[String]) -> String {
    if pools.is_empty() { "any pool that is for this Service".to_owned() } else { format!("the {}", named(pools)) }
}

fn not_shared(why: &Option<&'static str>) -> String {
    why.map(|why| format!(", and cannot be shared: {why}")).unwrap_or_default()
}

/// One of those who have an address.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Holder<O> {
    owner: O,
    sharing: Option<Sharing>,
}

/// Who has which address. `O` names an owner.
#[derive(Clone, Debug)]
pub struct Book<O> {
    pools: Vec<NamedPool>,
    taken: BTreeMap<IpAddr, Vec<Holder<O>>>,
}

impl<O: Clone + PartialEq + fmt::Display + fmt::Debug> Book<O> {
    /// One in which nothing is taken.
    pub fn new(pools: Vec<NamedPool>) -> Self {
        Self { pools, taken: BTreeMap::new() }
    }

    /// The pools.
    pub fn pools(&self) -> &[NamedPool] {
        &self.pools
    }

    /// Other pools from now on. Who has an address keeps it, in a pool or not.
    pub fn set_pools(&mut self, pools: Vec<NamedPool>) {
        self.pools = pools;
    }

    /// The pool that an address is of.
    pub fn pool_of(&self, address: IpAddr) -> Option<&NamedPool> {
        self.pools.iter().find(|pool| pool.addresses.contains(address))
    }

    /// Notes that an address is an owner's, whether in a pool or not. False: it is another's, who does not share it.
    pub fn note(&mut self, address: IpAddr, owner: &O, sharing: Option<&Sharing>) -> bool {
        if self.obstacle(address, owner, sharing).is_some() {
            return false;
        }
        let holders = self.taken.entry(address).or_default();
        holders.retain(|holder| holder.owner != *owner);
        holders.push(Holder { owner: owner.clone(), sharing: sharing.cloned() });
        true
    }

    /// An address of each family for who asks: what it asks for, else what it has, else a free one. The addresses are
    /// its own from then on, beside those that it had; [`Book::release`] takes these back.
    ///
    /// # Errors
    /// When there is none; then nothing has changed.
    pub fn assign(&mut self, request: &Request<O>) -> Result<Vec<IpAddr>, Refusal<O>> {
        let mut given: Vec<IpAddr> = Vec::new();
        for address in &request.addresses {
            if !request.families.contains(&address.is_ipv6()) {
                return Err(Refusal::WrongFamily { address: *address });
            }
        }
        for (i, ipv6) in request.families.iter().enumerate() {
            match self.choose(request, *ipv6, &given) {
                Ok(address) => given.push(address),
                // One that was asked for is wanted, even if its family need not be there.
                Err(_) if i > 0 && !request.all_families && !request.addresses.iter().any(|a| a.is_ipv6() == *ipv6) => {
                }
                Err(refusal) => return Err(refusal),
            }
        }
        for address in &given {
            self.note(*address, &request.owner, request.sharing.as_ref());
        }
        Ok(given)
    }

    /// Takes back all addresses of an owner but those to keep; tells which it took.
    pub fn release(&mut self, owner: &O, keep: &[IpAddr]) -> Vec<IpAddr> {
        let freed: Vec<IpAddr> = self.addresses(owner).into_iter().filter(|address| !keep.contains(address)).collect();
        for address in &freed {
            if let Some(holders) = self.taken.get_mut(address) {
                holders.retain(|holder| holder.owner != *owner);
                if holders.is_empty() {
                    self.taken.remove(address);
                }
            }
        }
        freed
    }

    /// Whose an address is.
    pub fn owners(&self, address: IpAddr) -> Vec<&O> {
        self.taken.get(&address).into_iter().flatten().map(|holder| &holder.owner).collect()
    }

    /// The addresses that an owner has, in order.
    pub fn addresses(&self, owner: &O) -> Vec<IpAddr> {
        let has = |holders: &Vec<Holder<O>>| holders.iter().any(|holder| holder.owner == *owner);
        self.taken.iter().filter(|(_, holders)| has(holders)).map(|(address, _)| *address).collect()
    }

    /// How many addresses are taken.
    pub fn taken(&self) -> usize {
        self.taken.len()
    }

    /// Who keeps an address from an owner, and why it cannot be shared.
    fn obstacle(
        &self,
        address: IpAddr,
        owner: &O,
        sharing: Option<&Sharing>,
    ) -> Option<(&Holder<O>, Option<&'static str>)> {
        let mut others = self.taken.get(&address)?.iter().filter(|holder| holder.owner != *owner);
        others.find_map(|other| match (sharing, &other.sharing) {
            (Some(mine), Some(theirs)) if mine.agrees(theirs) => None,
            (Some(mine), Some(theirs)) => Some((other, Some(disagreement(mine, theirs)))),
            _ => Some((other, None)),
        })
    }

    fn choose(&self, request: &Request<O>, ipv6: bool, given: &[IpAddr]) -> Result<IpAddr, Refusal<O>> {
        if let Some(asked) = request.addresses.iter().find(|address| address.is_ipv6() == ipv6) {
            return self.asked(request, *asked);
        }
        let owner = &request.owner;
        let mut has = request.shown.iter().copied().chain(self.addresses(owner)).filter(|a| a.is_ipv6() == ipv6);
        let in_named = |address: &IpAddr| {
            request.pool.is_none()
                || self.pool_of(*address).is_some_and(|pool| Some(&pool.name) == request.pool.as_ref())
        };
        let mine = |address: &IpAddr| self.obstacle(*address, owner, request.sharing.as_ref()).is_none();
        if let Some(kept) = has.find(|address| in_named(address) && mine(address)) {
            return Ok(kept);
        }
        let pools = self.eligible(request).map_err(Refusal::NoPool)?;
        let names = |pools: &[&NamedPool]| pools.iter().map(|pool| pool.name.clone()).collect::<Vec<_>>();
        let of_family: Vec<&NamedPool> = pools.iter().copied().filter(|pool| pool.addresses.size(ipv6) > 0).collect();
        if of_family.is_empty() {
            return Err(Refusal::NoPool(NoPool::NoFamily(names(&pools), ipv6)));
        }
        // Both families from one pool, where that is possible.
        let first = given.first().and_then(|address| self.pool_of(*address)).map(|pool| pool.name.as_str());
        let (same, others): (Vec<_>, Vec<_>) =
            of_family.iter().copied().partition(|pool| Some(pool.name.as_str()) == first);
        let free = |pool: &NamedPool| {
            self.shared(request, pool, ipv6).or_else(|| pool.addresses.first_free(ipv6, pool.avoid_buggy, &self.taken))
        };
        same.into_iter().chain(others).find_map(free).ok_or_else(|| Refusal::Exhausted {
            size: of_family.iter().fold(0, |sum, pool| sum.saturating_add(pool.addresses.size(ipv6))),
            pools: names(&of_family),
            ipv6,
        })
    }

    fn asked(&self, request: &Request<O>, address: IpAddr) -> Result<IpAddr, Refusal<O>> {
        // What it has already it may keep, whatever became of the pools.
        let has = request.shown.contains(&address) && self.owners(address).contains(&&request.owner);
        if !has {
            let admits = |pool: &&NamedPool| {
                pool.admits(&request.namespace, &request.namespace_labels, &request.labels)
                    && request.pool.as_ref().is_none_or(|name| pool.name == *name)
            };
            let pools: Vec<&NamedPool> = self.pools.iter().filter(admits).collect();
            if !pools.iter().any(|pool| pool.addresses.contains(address)) {
                let pools = pools.iter().map(|pool| pool.name.clone()).collect();
                return Err(Refusal::NotInPool { address, pools });
            }
        }
        match self.obstacle(address, &request.owner, request.sharing.as_ref()) {
            Some((other, unshared)) => Err(Refusal::InUse { address, owner: other.owner.clone(), unshared }),
            None => Ok(address),
        }
    }

    /// The pools that are for who asks.
    fn eligible(&self, request: &Request<O>) -> Result<Vec<&NamedPool>, NoPool> {
        let admits = |pool: &NamedPool| pool.admits(&request.namespace, &request.namespace_labels, &request.labels);
        if let Some(name) = &request.pool {
            let pool = self.pools.iter().find(|pool| pool.name == *name);
            let pool = pool.ok_or_else(|| NoPool::Unknown(name.clone()))?;
            return if admits(pool) { Ok(vec![pool]) } else { Err(NoPool::NotAdmitted(name.clone())) };
        }
        if self.pools.is_empty() {
            return Err(NoPool::None);
        }
        let pools: Vec<&NamedPool> = self.pools.iter().filter(|pool| pool.auto_assign && admits(pool)).collect();
        if pools.is_empty() {
            let all: Vec<String> = self.pools.iter().map(|pool| pool.name.clone()).collect();
            return Err(NoPool::NoneAdmits(all.join(", ")));
        }
        Ok(pools)
    }

    /// An address of a pool that others have who share it with who asks.
    fn shared(&self, request: &Request<O>, pool: &NamedPool, ipv6: bool) -> Option<IpAddr> {
        let sharing = request.sharing.as_ref()?;
        let usable = |address: &IpAddr| {
            address.is_ipv6() == ipv6
                && pool.addresses.contains(*address)
                && !(pool.avoid_buggy && is_buggy(*address))
                && self.obstacle(*address, &request.owner, Some(sharing)).is_none()
        };
        self.taken.keys().copied().find(usable)
    }
}

fn disagreement(mine: &Sharing, theirs: &Sharing) -> &'static str {
    if mine.key != theirs.key {
        "their sharing keys differ"
    } else if mine.backends != theirs.backends {
        "with externalTrafficPolicy Local both need the same selector and policy"
    } else {
        "they have a port in common"
    }
}

#[cfg(test)]
mod tests;
