//! The machine that runs rules.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU16;
use std::sync::Arc;

use nft::expr::{CmpOp, CtKey, DynsetOp, FibFlags, FibResult, Lookup, MetaKey, Nat, NatKind};
use nft::{Data, Expr, Register, Rule, Value, Verdict};

use crate::model::Family;
use crate::route::Endpoint;
use crate::ruleset::TableContent;
use crate::trace::registers::Registers;
use crate::trace::{Flow, Remembered, TraceError, Tracer, header, lookup};

/// `NFT_JUMP_STACK_SIZE`
const MAX_DEPTH: usize = 16;
/// `NF_CT_STATE_BIT(IP_CT_NEW)`: the first packet of a connection is all that is traced.
const CT_STATE_NEW: u32 = 8;
/// `IPS_DST_NAT`
const CT_STATUS_DNAT: u32 = 1 << 5;
/// `RTN_UNICAST`, `RTN_LOCAL`
const UNICAST: u32 = 1;
const LOCAL: u32 = 2;

/// The packet's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Reject,
    Drop,
}

/// What an instruction says of the rule.
enum Next {
    /// On with the rule.
    Continue,
    /// On with the next rule.
    Break,
    /// The rule ends so.
    Verdict(Verdict),
    /// The packet ends.
    Stop(Stop),
}

/// Runs one base chain for one packet.
pub(super) struct Machine<'m, 'a> {
    tracer: &'m mut Tracer<'a>,
    table: &'a TableContent,
    flow: &'m mut Flow,
    random: &'m mut dyn FnMut(u32) -> u32,
    registers: Registers,
    chain: Arc<str>,
}

impl<'m, 'a> Machine<'m, 'a> {
    pub(super) fn new(
        tracer: &'m mut Tracer<'a>,
        table: &'a TableContent,
        flow: &'m mut Flow,
        random: &'m mut dyn FnMut(u32) -> u32,
    ) -> Machine<'m, 'a> {
        Machine { tracer, table, flow, random, registers: Registers::default(), chain: "".into() }
    }

    /// `None`: the chain accepts the packet.
    pub(super) fn run_base(&mut self, base: &Arc<str>) -> Result<Option<Stop>, TraceError> {
        // Where to go on after a jump: chain and rule.
        let mut stack: Vec<(Arc<str>, usize)> = Vec::new();
        self.chain = Arc::clone(base);
        let mut at = 0;
        loop {
            let rules = self.rules()?;
            let Some(rule) = rules.get(at) else {
                match stack.pop() {
                    Some((chain, rule)) => (self.chain, at) = (chain, rule),
                    None => return Ok(None),
                }
                continue;
            };
            at += 1;
            match self.run_rule(rule)? {
                Next::Continue | Next::Break => {}
                Next::Stop(stop) => return Ok(Some(stop)),
                Next::Verdict(Verdict::Accept) => return Ok(None),
                Next::Verdict(Verdict::Drop) => return Ok(Some(Stop::Drop)),
                Next::Verdict(Verdict::Return) => at = rules.len(),
                Next::Verdict(Verdict::Continue | Verdict::Break) => {}
                Next::Verdict(Verdict::Jump(target)) => {
                    stack.push((Arc::clone(&self.chain), at));
                    if stack.len() > MAX_DEPTH {
                        return Err(TraceError::Depth { chain: self.chain.to_string() });
                    }
                    (self.chain, at) = (target, 0);
                }
                Next::Verdict(Verdict::Goto(target)) => (self.chain, at) = (target, 0),
            }
        }
    }

    fn rules(&self) -> Result<&'a [Rule], TraceError> {
        let (_, rules) = self.table.chains.get(&self.chain).ok_or_else(|| self.missing(&self.chain))?;
        Ok(rules)
    }

    fn missing(&self, name: &str) -> TraceError {
        TraceError::Missing { chain: self.chain.to_string(), name: name.to_owned() }
    }

    fn run_rule(&mut self, rule: &Rule) -> Result<Next, TraceError> {
        self.registers = Registers::default();
        for expr in &rule.exprs {
            match self.run(expr)? {
                Next::Continue => {}
                Next::Break => return Ok(Next::Break),
                end => {
                    self.flow.steps.push(format!("{}: {}", self.chain, rule.text()));
                    return Ok(end);
                }
            }
        }
        self.flow.steps.push(format!("{}: {}", self.chain, rule.text()));
        Ok(Next::Continue)
    }

    fn run(&mut self, expr: &Expr) -> Result<Next, TraceError> {
        let known = match expr {
            Expr::Meta { key, dreg } => self.meta(*key, *dreg),
            Expr::MetaSet { key, sreg } => self.meta_set(*key, *sreg),
            Expr::Payload { base, offset, len, dreg } => {
                match header::bytes(&self.flow.packet, *base, *offset, *len) {
                    Some(bytes) => self.registers.store(*dreg, &bytes),
                    None => return Ok(Next::Break),
                }
                true
            }
            Expr::Immediate { dreg, value } => {
                self.registers.store(*dreg, value.as_slice());
                true
            }
            Expr::Bitwise { sreg, dreg, mask, xor } => {
                let source = self.registers.load(*sreg, mask.len());
                let bytes = source.iter().zip(mask.as_slice()).zip(xor.as_slice());
                let bytes: Vec<u8> = bytes.map(|((source, mask), xor)| (source & mask) ^ xor).collect();
                self.registers.store(*dreg, &bytes);
                true
            }
            // What a hash says is as good as random for who asks where packets may go.
            Expr::Numgen { dreg, modulus, offset, .. } | Expr::Jhash { dreg, modulus, offset, .. } => {
                let number = (self.random)(*modulus) % modulus;
                self.registers.store_number(*dreg, number + offset);
                true
            }
            Expr::Ct { key: CtKey::State, dreg, .. } => {
                self.registers.store_number(*dreg, CT_STATE_NEW);
                true
            }
            Expr::Ct { key: CtKey::Status, dreg, .. } => {
                let rewritten = if self.flow.forwarded.is_some() { CT_STATUS_DNAT } else { 0 };
                self.registers.store_number(*dreg, rewritten);
                true
            }
            Expr::Fib { result: FibResult::AddrType, flags, dreg } => self.fib(*flags, *dreg),
            Expr::Counter { .. } => true,
            Expr::Dup { address } => {
                self.flow.passed_on = self.address(*address);
                self.flow.passed_on.is_some()
            }
            Expr::Masquerade { .. } => {
                self.flow.masquerade = true;
                return Ok(Next::Verdict(Verdict::Accept));
            }
            Expr::Reject(_) => return Ok(Next::Stop(Stop::Reject)),
            Expr::Verdict(verdict) => return Ok(Next::Verdict(verdict.clone())),
            Expr::Cmp { op, sreg, value } => return Ok(self.compare(*op, *sreg, value)),
            Expr::Lookup { set, key, result } => return self.look_up(set, *key, *result),
            Expr::Dynset { set, op, key, data, timeout, .. } => {
                return self.dynset(set, *op, *key, *data, *timeout);
            }
            Expr::Nat(nat) => return Ok(self.nat(nat).unwrap_or(Next::Break)),
            // Elsewhere than on its way out a packet gets the address of the interface by which it came.
            Expr::Redirect { ports: Some((port, None)), .. } if self.flow.packet.made_here => {
                return Ok(self.redirect(*port).unwrap_or(Next::Break));
            }
            _ => false,
        };
        match known {
            true => Ok(Next::Continue),
            false => Err(TraceError::Unknown { chain: self.chain.to_string(), expr: format!("{expr:?}") }),
        }
    }

    fn meta(&mut self, key: MetaKey, dreg: Register) -> bool {
        match key {
            MetaKey::IifName => self.registers.store(dreg, self.flow.packet.interface.as_bytes()),
            MetaKey::L4proto => self.registers.store(dreg, &[self.flow.packet.protocol]),
            MetaKey::Mark => self.registers.store_number(dreg, self.flow.mark),
            MetaKey::Priority => self.registers.store_number(dreg, self.flow.priority),
            _ => return false,
        }
        true
    }

    fn meta_set(&mut self, key: MetaKey, sreg: Register) -> bool {
        match key {
            MetaKey::Mark => self.flow.mark = self.registers.number(sreg),
            MetaKey::Priority => self.flow.priority = self.registers.number(sreg),
            _ => return false,
        }
        true
    }

    fn fib(&mut self, flags: FibFlags, dreg: Register) -> bool {
        let address = match flags {
            FibFlags::SADDR => self.flow.packet.source,
            FibFlags::DADDR => self.flow.packet.destination,
            _ => return false,
        };
        let kind = if self.tracer.is_local(address) { LOCAL } else { UNICAST };
        self.registers.store_number(dreg, kind);
        true
    }

    fn compare(&self, op: CmpOp, sreg: Register, value: &Value) -> Next {
        let ordering = self.registers.load(sreg, value.len()).cmp(value.as_slice());
        let holds = match op {
            CmpOp::Eq => ordering.is_eq(),
            CmpOp::Ne => ordering.is_ne(),
            CmpOp::Lt => ordering.is_lt(),
            CmpOp::Le => ordering.is_le(),
            CmpOp::Gt => ordering.is_gt(),
            CmpOp::Ge => ordering.is_ge(),
        };
        if holds { Next::Continue } else { Next::Break }
    }

    fn look_up(&mut self, name: &Arc<str>, key: Register, result: Lookup) -> Result<Next, TraceError> {
        let (set, elements) = self.table.sets.get(name).ok_or_else(|| self.missing(name))?;
        let key = self.registers.value(key, set.key_len().next_multiple_of(4));
        let data = match self.remembered(name, &key) {
            Some(remembered) => Some(remembered.data.clone().map(Data::Value)),
            None => lookup::find(set, elements, &key).cloned(),
        };
        Ok(match (result, data) {
            (Lookup::NotContained, None) | (Lookup::Contained, Some(_)) => Next::Continue,
            (Lookup::Value(dreg), Some(Some(Data::Value(value)))) => {
                self.registers.store(dreg, value.as_slice());
                Next::Continue
            }
            (Lookup::Verdict, Some(Some(Data::Verdict(verdict)))) => Next::Verdict(verdict),
            _ => Next::Break,
        })
    }

    fn remembered(&self, set: &Arc<str>, key: &Value) -> Option<&Remembered> {
        let remembered = self.tracer.remembered.get(&(Arc::clone(set), key.clone()))?;
        remembered.until.is_none_or(|until| until > self.tracer.now).then_some(remembered)
    }

    fn dynset(
        &mut self,
        name: &Arc<str>,
        op: DynsetOp,
        key: Register,
        data: Option<Register>,
        timeout: Option<std::time::Duration>,
    ) -> Result<Next, TraceError> {
        let (set, _) = self.table.sets.get(name).ok_or_else(|| self.missing(name))?;
        let key = self.registers.value(key, set.key_len());
        let until = timeout.or(set.timeout).map(|timeout| self.tracer.now + timeout);
        let data = data.and_then(|data| Some(self.registers.value(data, set.data_len()?)));
        let at = (Arc::clone(name), key);
        let known = self.remembered(&at.0, &at.1).cloned();
        let size = set.size.map_or(usize::MAX, |size| size as usize);
        match (op, known) {
            (DynsetOp::Delete, _) => {
                self.tracer.remembered.remove(&at);
            }
            (DynsetOp::Add, Some(_)) => {}
            // As in the kernel, an element that is there keeps its data.
            (DynsetOp::Update, Some(old)) => {
                self.tracer.remembered.insert(at, Remembered { until, ..old });
            }
            (DynsetOp::Add | DynsetOp::Update, None) => {
                let now = self.tracer.now;
                self.tracer.remembered.retain(|_, old| old.until.is_none_or(|until| until > now));
                if self.tracer.remembered.keys().filter(|(set, _)| set == name).count() >= size {
                    return Ok(Next::Break);
                }
                self.tracer.remembered.insert(at, Remembered { data, until });
            }
        }
        Ok(Next::Continue)
    }

    /// `None`: the register holds no port.
    fn redirect(&mut self, port: Register) -> Option<Next> {
        let port = <[u8; 2]>::try_from(self.registers.load(port, 2)).ok()?;
        let port = NonZeroU16::new(u16::from_be_bytes(port))?;
        self.flow.packet.destination = match Family::of(self.flow.packet.destination) {
            Family::V4 => Ipv4Addr::LOCALHOST.into(),
            Family::V6 => Ipv6Addr::LOCALHOST.into(),
        };
        self.flow.packet.port = port.get();
        self.flow.redirected = Some(port);
        Some(Next::Verdict(Verdict::Accept))
    }

    /// An address of the packet's family that begins at a register.
    fn address(&self, register: Register) -> Option<IpAddr> {
        Some(match Family::of(self.flow.packet.destination) {
            Family::V4 => IpAddr::from(<[u8; 4]>::try_from(self.registers.load(register, 4)).ok()?),
            Family::V6 => IpAddr::from(<[u8; 16]>::try_from(self.registers.load(register, 16)).ok()?),
        })
    }

    /// `None`: the registers hold no address and port.
    fn nat(&mut self, nat: &Nat) -> Option<Next> {
        if nat.kind == NatKind::Snat {
            self.flow.masquerade = true;
            return Some(Next::Verdict(Verdict::Accept));
        }
        if let Some((register, _)) = nat.addresses {
            self.flow.packet.destination = self.address(register)?;
        }
        if let Some((register, _)) = nat.ports {
            let port = <[u8; 2]>::try_from(self.registers.load(register, 2)).ok()?;
            self.flow.packet.port = u16::from_be_bytes(port);
        }
        let port = NonZeroU16::new(self.flow.packet.port)?;
        self.flow.forwarded = Some(Endpoint { address: self.flow.packet.destination, port });
        Some(Next::Verdict(Verdict::Accept))
    }
}
