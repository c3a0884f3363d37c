//! The chains and their rules.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use nft::expr::{CmpOp, DynsetOp, Lookup, MetaKey, Nat, NatFamily, NatFlags, NatKind, NumgenMode, Reject};
use nft::{Chain, ChainType, Expr, Field, Hook, Register, Rule, Value, Verdict};

use crate::compile::elements::{first_slot, list_bit};
use crate::compile::intervals::loopback;
use crate::compile::key::Key;
use crate::compile::{Action, Class, Compiler, FIRST_UNPRIVILEGED, Map, Pick, Stay};
use crate::model::{Family, Protocol};
use crate::route::{Block, Masquerade};

/// ICMP "port unreachable".
const ICMP_PORT_UNREACHABLE: u8 = 3;
/// The same for ICMPv6.
const ICMPV6_PORT_UNREACHABLE: u8 = 4;
/// `RTN_LOCAL`: an address of this machine.
const LOCAL: u32 = 2;
/// `IPS_DST_NAT`: the connection's destination was rewritten.
const CT_STATUS_DNAT: u32 = 1 << 5;
/// Where destinations are rewritten, and sources (`NF_IP_PRI_NAT_DST`, `NF_IP_PRI_NAT_SRC`).
const DSTNAT: i32 = -100;
const SRCNAT: i32 = 100;

/// What the first rule says of itself where elements bear comments.
const COMMENTED: &str = "a port of a Service; elements bear its name";
const CHAIN_SERVICES: &str = "services";
/// Where what is refused is refused.
const CHAIN_REJECT: &str = "reject";
/// Where sources are replaced.
const CHAIN_MASQUERADE: &str = "masquerade";

/// A register that no key reaches, in either family.
pub(super) const SCRATCH: Register = Register::R15;

impl Compiler {
    /// The chains that are always there, in the order in which packets meet them, with their rules.
    pub fn program(&self) -> Vec<(Chain, Vec<Rule>)> {
        let nat = |name, hook, priority| Chain::base(&self.table, name, ChainType::Nat, hook, priority);
        let rule = |chain: &str, exprs, comment| Rule::new(&self.table, chain, exprs).with_comment(comment);
        let jump = |chain| Rule::new(&self.table, chain, vec![Expr::jump(CHAIN_SERVICES)]);
        let services = vec![
            rule(CHAIN_SERVICES, self.dispatch(Key::Address), self.first_comment()),
            rule(CHAIN_SERVICES, self.other_port(), "another port of a Service's cluster IP"),
            rule(CHAIN_SERVICES, self.nobody(), "a cluster IP that no Service has"),
            rule(CHAIN_SERVICES, self.dispatch(Key::NodePort), "a node port"),
        ];
        let relay = rule("output", self.relay_loopback(), "a node port at a loopback address");
        let output = vec![jump("output"), relay];
        let postrouting = vec![
            rule("postrouting", self.masquerade_marked(), "what was marked for it"),
            rule("postrouting", self.masquerade_hairpin(), "from a Pod to itself"),
        ];
        let regular = |name| Chain::regular(&self.table, name);
        let chains = [
            (nat("prerouting", Hook::Prerouting, DSTNAT), "what comes from elsewhere", vec![jump("prerouting")]),
            (nat("output", Hook::Output, DSTNAT), "what this machine sends", output),
            (nat("postrouting", Hook::Postrouting, SRCNAT), "what leaves: whose source is replaced", postrouting),
            (regular(CHAIN_SERVICES), "finds the port, and goes where it is served", services),
            (regular(CHAIN_REJECT), "tells the sender", self.rules(CHAIN_REJECT, self.reject())),
            (regular(CHAIN_MASQUERADE), "replaces the source", self.masquerade()),
        ];
        let commented =
            |(chain, comment, rules): (Chain, &str, _)| (Chain { comment: Some(comment.to_owned()), ..chain }, rules);
        chains.into_iter().map(commented).collect()
    }

    /// Says for the table whether its elements bear comments: they are not compared one by one.
    fn first_comment(&self) -> &'static str {
        if self.comments { COMMENTED } else { "a port of a Service" }
    }

    /// Whether a table's elements were made with another choice of [`Config::comments`](crate::Config::comments). One
    /// whose first rule is gone does not say it: its elements stay as they are.
    pub(crate) fn differs_in_comments(&self, chains: &BTreeMap<Arc<str>, (Chain, Vec<Rule>)>) -> bool {
        let first = chains.get(CHAIN_SERVICES).and_then(|(_, rules)| rules.first());
        first.is_some_and(|rule| (rule.comment.as_deref() == Some(COMMENTED)) != self.comments)
    }

    /// What a class's number leads to.
    pub fn verdict(&self, class: &Class) -> Verdict {
        Verdict::Goto(class.to_string().into())
    }

    /// The chains that a class needs besides those of the program, each before those that go to it, with their rules.
    pub fn chains(&self, class: &Class) -> Vec<(Chain, Vec<Rule>)> {
        let drop = |key| {
            let action = Action::Drop(key);
            self.chain(&action, action.comment(), self.refuse(key, Expr::Verdict(Verdict::Drop)))
        };
        let own = |rules| self.chain(&class.action, class.action.comment(), rules);
        let mut chains = match class.action {
            Action::Reject(key) => {
                vec![own(self.refuse(key, Expr::goto(CHAIN_REJECT)))]
            }
            Action::Drop(key) => vec![drop(key)],
            Action::Forward { masquerade, pick } => {
                let mut chains = vec![self.pick_chain(&pick)];
                if pick.is_consistent() {
                    chains.push(self.pass_on_chain());
                }
                if masquerade != Masquerade::Never {
                    chains.push(own(self.masquerade_and_pick(masquerade, &pick)));
                }
                chains
            }
            Action::BySource { cluster, local } => {
                let mut chains = vec![self.pick_chain(&cluster)];
                chains.push(local.map_or_else(|| drop(cluster.key), |local| self.pick_chain(&local)));
                chains.push(own(self.by_source(&cluster, local.as_ref())));
                chains
            }
        };
        if !class.sources.is_empty() {
            let drop = drop(Key::Address);
            if chains.iter().all(|(chain, _)| chain.name != drop.0.name) {
                chains.insert(0, drop);
            }
            chains.push(self.chain(class, class.comment(), self.firewall(class)));
        }
        chains
    }

    fn chain(&self, name: &impl ToString, comment: Cow<'_, str>, rules: Vec<Vec<Expr>>) -> (Chain, Vec<Rule>) {
        let name = name.to_string();
        let chain = Chain { comment: Some(comment.into_owned()), ..Chain::regular(&self.table, &name) };
        (chain, self.rules(&name, rules))
    }

    fn rules(&self, chain: &str, rules: Vec<Vec<Expr>>) -> Vec<Rule> {
        rules.into_iter().map(|exprs| Rule::new(&self.table, chain, exprs)).collect()
    }

    fn pick_chain(&self, pick: &Pick) -> (Chain, Vec<Rule>) {
        let (chain, mut rules) = self.chain(pick, pick.comment(), self.pick(pick));
        if pick.affinity.is_some() {
            let comments = ["a client that is known", "any other client", "there is no place to remember it"];
            rules = rules.into_iter().zip(comments).map(|(rule, comment)| rule.with_comment(comment)).collect();
        }
        let counting = self.count(pick.key, Map::counters(pick.key).0);
        let counting = counting.map(|exprs| Rule::new(&self.table, &chain.name, exprs));
        (chain, counting.into_iter().chain(rules).collect())
    }

    /// Counts, and ends with a verdict that serves nobody.
    fn refuse(&self, key: Key, verdict: Expr) -> Vec<Vec<Expr>> {
        let counting = self.count(key, Map::counters(key).1);
        counting.into_iter().chain([vec![verdict]]).collect()
    }

    /// A rule of its own: that it fails where the set is full must not end another.
    fn count(&self, key: Key, map: Map) -> Option<Vec<Expr>> {
        self.counted?;
        let mut rule = Vec::new();
        self.load_key(key, &mut rule);
        let (set, exprs) = (map.name().into(), vec![Expr::counter()]);
        rule.push(Expr::Dynset { set, op: DynsetOp::Add, key: Register::R0, data: None, timeout: None, exprs });
        Some(rule)
    }

    /// Finds the destination's class and goes to its chain.
    fn dispatch(&self, key: Key) -> Vec<Expr> {
        let mut rule = Vec::new();
        self.load_key(key, &mut rule);
        rule.push(lookup(Map::classes(key), Lookup::Value(SCRATCH)));
        if key == Key::NodePort {
            rule.push(self.destination().load(Register::R0));
            rule.push(lookup(Map::NodePortAddresses, Lookup::Contained));
            rule.extend(is_local(Field::FibDaddrType));
        }
        rule.push(Expr::MetaSet { key: MetaKey::Priority, sreg: SCRATCH });
        rule.push(load_scratch(Register::R0));
        rule.push(lookup(Map::Classes, Lookup::Verdict));
        rule
    }

    /// A packet to a loopback address cannot leave the machine with a rewritten destination: its source is a loopback
    /// address too, and the kernel takes no answer to that from outside (`route_localnet` would make it, and would let
    /// others reach what listens on loopback alone). So a process of this machine takes it, and connects anew.
    fn relay_loopback(&self) -> Vec<Expr> {
        let mut rule = vec![self.destination().load(Register::R0)];
        rule.extend(self.is_loopback());
        self.load_key(Key::NodePort, &mut rule);
        rule.push(lookup(Map::NodePorts, Lookup::Value(SCRATCH)));
        // Which class it is does not matter here. A look-up whose result nobody takes is not listed by nft.
        rule.push(Expr::MetaSet { key: MetaKey::Priority, sreg: SCRATCH });
        rule.extend(clear_scratch());
        rule.push(Field::L4proto.load(Register::R0));
        rule.push(lookup(Map::LoopbackRelay, Lookup::Value(SCRATCH)));
        rule.push(Expr::Redirect { ports: Some((SCRATCH, None)), flags: NatFlags::NONE });
        rule
    }

    /// Ends the rule unless the first register holds an address of 127.0.0.0/8, or ::1.
    fn is_loopback(&self) -> Vec<Expr> {
        match loopback(self.family) {
            IpNet::V4(net) => {
                let (mask, xor) = (Value::new().ip(net.netmask().into()), Value::new().host_u32(0));
                let masked = Expr::Bitwise { sreg: Register::R0, dreg: Register::R0, mask, xor };
                vec![masked, Expr::eq(Register::R0, Value::new().ip(net.network().into()))]
            }
            IpNet::V6(net) => vec![Expr::eq(Register::R0, Value::new().ip(net.addr().into()))],
        }
    }

    fn other_port(&self) -> Vec<Expr> {
        let destination = self.destination().load(Register::R0);
        vec![destination, lookup(Map::ClusterIps, Lookup::Contained), Expr::goto(CHAIN_REJECT)]
    }

    fn nobody(&self) -> Vec<Expr> {
        let destination = self.destination().load(Register::R0);
        vec![destination, lookup(Map::ServiceCidrs, Lookup::Contained), Expr::Verdict(Verdict::Drop)]
    }

    /// TCP gets a reset, which ends a connect at once. (An ICMP error that arrives while connect still sends only ends
    /// it at the next attempt, after a second.) All else gets ICMP, which ends a wait for a datagram.
    fn reject(&self) -> Vec<Vec<Expr>> {
        let tcp = Value::bytes(&[Protocol::Tcp.number()]);
        let code = match self.family {
            Family::V4 => ICMP_PORT_UNREACHABLE,
            Family::V6 => ICMPV6_PORT_UNREACHABLE,
        };
        let reset =
            vec![Field::L4proto.load(Register::R0), Expr::eq(Register::R0, tcp), Expr::Reject(Reject::TcpReset)];
        vec![reset, vec![Expr::Reject(Reject::Icmp(code))]]
    }

    fn masquerade_marked(&self) -> Vec<Expr> {
        let mark = Value::new().host_u32(self.mark);
        let mut rule = vec![
            Field::Mark.load(Register::R0),
            Expr::and(Register::R0, self.mark),
            Expr::eq(Register::R0, mark),
            Field::Mark.load(Register::R0),
            Expr::and(Register::R0, !self.mark),
            Expr::MetaSet { key: MetaKey::Mark, sreg: Register::R0 },
        ];
        rule.push(Expr::goto(CHAIN_MASQUERADE));
        rule
    }

    /// Only where the destination was rewritten: a process of this machine that connects to its own address is left
    /// alone, though a Pod with the host's network may have that address too.
    fn masquerade_hairpin(&self) -> Vec<Expr> {
        let mut rule = Field::concat(Register::R0, &[self.source(), self.destination()]);
        rule.push(lookup(Map::Hairpins, Lookup::Contained));
        rule.push(Field::CtStatus.load(Register::R0));
        rule.push(Expr::and(Register::R0, CT_STATUS_DNAT));
        rule.push(Expr::ne(Register::R0, Value::new().host_u32(0)));
        rule.push(Expr::goto(CHAIN_MASQUERADE));
        rule
    }

    /// From a port that is no node port. Two ranges are drawn from in turn: with the usual node ports they are of about
    /// the same size.
    fn masquerade(&self) -> Vec<Rule> {
        let port = |number: u16| Value::bytes(&number.to_be_bytes());
        let mut rules = Vec::new();
        let mut rule = |exprs, comment| {
            rules.push(Rule::new(&self.table, CHAIN_MASQUERADE, exprs).with_comment(comment));
        };
        let privileged = Expr::Cmp { op: CmpOp::Lt, sreg: Register::R0, value: port(FIRST_UNPRIVILEGED) };
        rule(vec![Field::ThSport.load(Register::R0), privileged, masquerade(None)], "privileged ports stay privileged");
        for (n, range) in self.masquerade_ports.iter().enumerate() {
            let mut exprs = Vec::new();
            if n + 1 < self.masquerade_ports.len() {
                exprs.push(Field::RandomMod(2).load(Register::R0));
                exprs.push(Expr::eq(Register::R0, Value::new().host_u32(0)));
            }
            exprs.push(Expr::Immediate { dreg: Register::R0, value: port(*range.start()) });
            exprs.push(Expr::Immediate { dreg: Register::R1, value: port(*range.end()) });
            exprs.push(masquerade(Some((Register::R0, Some(Register::R1)))));
            rule(exprs, "never from a node port");
        }
        rules
    }

    fn mark_for_masquerade(&self) -> [Expr; 3] {
        let set = Expr::MetaSet { key: MetaKey::Mark, sreg: Register::R0 };
        [Field::Mark.load(Register::R0), Expr::or(Register::R0, self.mark), set]
    }

    fn masquerade_and_pick(&self, masquerade: Masquerade, pick: &Pick) -> Vec<Vec<Expr>> {
        let mut mark = Vec::new();
        if masquerade == Masquerade::FromOutside {
            mark.push(self.source().load(Register::R0));
            mark.push(lookup(Map::PodCidrs, Lookup::NotContained));
            mark.push(Field::IifName.load(Register::R0));
            mark.push(lookup(Map::PodInterfaces, Lookup::NotContained));
        }
        mark.extend(self.mark_for_masquerade());
        vec![mark, vec![Expr::goto(&pick.to_string())]]
    }

    fn by_source(&self, cluster: &Pick, local: Option<&Pick>) -> Vec<Vec<Expr>> {
        let known =
            |field: Field, set| vec![field.load(Register::R0), lookup(set, Lookup::Contained), goto_pick(cluster)];
        let from_pod = known(self.source(), Map::PodCidrs);
        let by_pods_interface = known(Field::IifName, Map::PodInterfaces);
        let mut from_node: Vec<Expr> = is_local(Field::FibSaddrType).into();
        from_node.extend(self.mark_for_masquerade());
        from_node.push(goto_pick(cluster));
        let others = local.map_or_else(|| Expr::goto(&Action::Drop(cluster.key).to_string()), goto_pick);
        vec![from_pod, by_pods_interface, from_node, vec![others]]
    }

    /// For each length a look at whether the source's network of that length is let in.
    fn firewall(&self, class: &Class) -> Vec<Vec<Expr>> {
        let let_in = class.sources.iter().map(|length| {
            let mut rule = vec![
                Expr::Immediate { dreg: SCRATCH, value: Value::new().host_u32(length.into()) },
                Expr::MetaSet { key: MetaKey::Priority, sreg: SCRATCH },
            ];
            let behind = self.load_key(Key::Address, &mut rule);
            rule.push(self.source().load(behind));
            let (mask, xor) = (self.netmask(length), self.netmask(0));
            rule.push(Expr::Bitwise { sreg: behind, dreg: behind, mask, xor });
            rule.push(load_scratch(behind.plus(self.address_words())));
            rule.push(lookup(Map::Sources, Lookup::Contained));
            rule.push(Expr::goto(&class.action.to_string()));
            rule
        });
        let_in.chain([vec![Expr::goto(&Action::Drop(Key::Address).to_string())]]).collect()
    }

    fn pick(&self, pick: &Pick) -> Vec<Vec<Expr>> {
        match pick.affinity {
            None if pick.is_consistent() => vec![self.pick_by_hash(pick)],
            None => vec![self.pick_any(pick)],
            Some(stay) => self.pick_with_affinity(pick, stay),
        }
    }

    fn pick_any(&self, pick: &Pick) -> Vec<Expr> {
        let mut rule: Vec<Expr> = clear_scratch().into();
        self.load_slot(pick, &mut rule);
        let endpoint = self.endpoint_register();
        rule.push(lookup(Map::endpoints(pick.key), Lookup::Value(endpoint)));
        rule.push(self.dnat(endpoint));
        rule
    }

    /// Three rules: a client that is known and whose endpoint is still there; any other client; and, should the map of
    /// clients be full, a choice that is not remembered. Each begins with a random slot: its number says which port it is.
    fn pick_with_affinity(&self, pick: &Pick, stay: Stay) -> Vec<Vec<Expr>> {
        let mut known = Vec::new();
        self.choose_into_scratch(pick, &mut known);
        self.load_client(stay, &mut known);
        known.push(lookup(Map::Affinity, Lookup::Value(SCRATCH)));
        known.push(Expr::MetaSet { key: MetaKey::Priority, sreg: SCRATCH });
        let endpoint = self.load_endpoint_of_scratch(pick, &mut known);
        known.extend(self.remember(DynsetOp::Update, stay));
        known.extend(clear_scratch());
        known.push(self.dnat(endpoint));

        let mut new = Vec::new();
        self.choose_into_scratch(pick, &mut new);
        let endpoint = self.load_endpoint_of_scratch(pick, &mut new);
        // What is known of the client leads to an endpoint that is gone; an update would keep it.
        new.extend(self.remember(DynsetOp::Delete, stay));
        new.extend(self.remember(DynsetOp::Update, stay));
        new.extend(clear_scratch());
        new.push(self.dnat(endpoint));

        let mut unremembered = Vec::new();
        self.choose_into_scratch(pick, &mut unremembered);
        let endpoint = self.load_endpoint_of_scratch(pick, &mut unremembered);
        unremembered.extend(clear_scratch());
        unremembered.push(self.dnat(endpoint));
        vec![known, new, unremembered]
    }

    /// The packet's key and a random slot of the list.
    fn load_slot(&self, pick: &Pick, rule: &mut Vec<Expr>) {
        let behind = self.load_key(pick.key, rule);
        let (modulus, offset) = (pick.count, first_slot(pick.list));
        rule.push(Expr::Numgen { dreg: behind, modulus, offset, mode: NumgenMode::Random });
    }

    fn choose_into_scratch(&self, pick: &Pick, rule: &mut Vec<Expr>) {
        self.load_slot(pick, rule);
        rule.push(lookup(Map::affinity_slots(pick.key), Lookup::Value(SCRATCH)));
        rule.push(Expr::MetaSet { key: MetaKey::Priority, sreg: SCRATCH });
    }

    /// Loads the client and the port of the number in the scratch: by these it is remembered.
    fn load_client(&self, stay: Stay, rule: &mut Vec<Expr>) {
        rule.push(self.source().load(Register::R0));
        let port = Register::R0.plus(self.address_words());
        rule.push(load_scratch(port));
        rule.push(Expr::and(port, Block::mask(stay.wide)));
    }

    /// The endpoint of the list whose number is in the scratch. Ends the rule if there is none.
    fn load_endpoint_of_scratch(&self, pick: &Pick, rule: &mut Vec<Expr>) -> Register {
        rule.push(load_scratch(Register::R0));
        if list_bit(pick.list) != 0 {
            let (mask, xor) = (Value::new().host_u32(u32::MAX), Value::new().host_u32(list_bit(pick.list)));
            rule.push(Expr::Bitwise { sreg: Register::R0, dreg: Register::R0, mask, xor });
        }
        let endpoint = self.endpoint_register();
        rule.push(lookup(Map::AffinityEndpoints, Lookup::Value(endpoint)));
        endpoint
    }

    /// Behind the longest key, a slot's.
    pub(super) fn endpoint_register(&self) -> Register {
        Register::R0.plus(self.address_words() + 3)
    }

    fn remember(&self, op: DynsetOp, stay: Stay) -> Vec<Expr> {
        let mut exprs = Vec::new();
        self.load_client(stay, &mut exprs);
        exprs.push(load_scratch(SCRATCH));
        let timeout = (op == DynsetOp::Update).then_some(Duration::from_secs(stay.seconds.into()));
        let set = Map::Affinity.name().into();
        exprs.push(Expr::Dynset { set, op, key: Register::R0, data: Some(SCRATCH), timeout, exprs: Vec::new() });
        exprs
    }

    pub(super) fn dnat(&self, endpoint: Register) -> Expr {
        let family = match self.family {
            Family::V4 => NatFamily::Ip,
            Family::V6 => NatFamily::Ip6,
        };
        Expr::Nat(Nat::to(NatKind::Dnat, family, endpoint, Some(endpoint.plus(self.address_words()))))
    }
}

pub(super) fn lookup(map: Map, result: Lookup) -> Expr {
    Expr::Lookup { set: map.name().into(), key: Register::R0, result }
}

fn goto_pick(pick: &Pick) -> Expr {
    Expr::goto(&pick.to_string())
}

fn is_local(field: Field) -> [Expr; 2] {
    [field.load(Register::R0), Expr::eq(Register::R0, Value::new().host_u32(LOCAL))]
}

pub(super) fn load_scratch(dreg: Register) -> Expr {
    Expr::Meta { key: MetaKey::Priority, dreg }
}

pub(super) fn clear_scratch() -> [Expr; 2] {
    let zero = Expr::Immediate { dreg: SCRATCH, value: Value::new().host_u32(0) };
    [zero, Expr::MetaSet { key: MetaKey::Priority, sreg: SCRATCH }]
}

fn masquerade(ports: Option<(Register, Option<Register>)>) -> Expr {
    Expr::Masquerade { flags: NatFlags::FULLY_RANDOM, ports }
}
