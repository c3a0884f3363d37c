//! Whatever others do to the rules, the next comparison gives back those of a fresh start: nothing less, nothing more.

use std::sync::Arc;

use dataplane::backend::Backend as _;
use dataplane::ruleset::{Ruleset, TableContent};
use nft::{
    Batch, Chain, ChainType, Data, Element, Expr, Hook, ObjectId, Operation, Rule, Set, SetData, Table, TableId, Type,
    Value, Verdict,
};
use proptest::prelude::*;
use proptest::test_runner::{Config as Cases, TestRunner};

use crate::history::{Said, Step, check_against_a_fresh_start, config, failed, in_memory, step};
use crate::packets::Cluster;
use crate::plain::plain;

/// One deed. Numbers choose among what is there.
#[derive(Debug, Clone)]
enum Deed {
    /// Elements go: each third.
    Delete(usize, usize),
    /// Elements come that are nobody's: with the key of another, but for one byte.
    Forge(usize, usize, u8),
    /// An element carries what another does.
    Swap(usize),
    FlushSet(usize),
    /// A set is made otherwise.
    Redefine(usize),
    FlushChain(usize),
    /// A rule of somebody else's, before ours or behind.
    Rule(usize, bool),
    /// A chain of somebody else's, perhaps called by a hook.
    Chain(bool),
    /// A chain of ours is called by another hook, or by none.
    Hook(usize),
    ForeignSet,
    FlushTable,
    Sleep,
    DeleteTable,
}

fn deed() -> impl Strategy<Value = Deed> {
    let n = 0..64usize;
    prop_oneof![
        4 => (n.clone(), 0..3usize).prop_map(|(set, third)| Deed::Delete(set, third)),
        4 => (n.clone(), n.clone(), any::<u8>()).prop_map(|(set, at, byte)| Deed::Forge(set, at, byte)),
        2 => n.clone().prop_map(Deed::Swap),
        2 => n.clone().prop_map(Deed::FlushSet),
        2 => n.clone().prop_map(Deed::Redefine),
        2 => n.clone().prop_map(Deed::FlushChain),
        2 => (n.clone(), any::<bool>()).prop_map(|(chain, before)| Deed::Rule(chain, before)),
        2 => any::<bool>().prop_map(Deed::Chain),
        1 => n.prop_map(Deed::Hook),
        1 => Just(Deed::ForeignSet),
        1 => Just(Deed::FlushTable),
        1 => Just(Deed::Sleep),
        1 => Just(Deed::DeleteTable),
    ]
}

/// The deed on a table. What a kernel would not take is refused, and then it was no deed.
fn batch(deed: &Deed, id: &TableId, held: &TableContent) -> Batch {
    let mut batch = Batch::new();
    let sets: Vec<_> = held.sets.values().collect();
    let chains: Vec<&Arc<str>> = held.chains.keys().collect();
    let elements = |n: usize| -> Option<(&Arc<Set>, Vec<Element>)> {
        let (set, elements) = sets.get(n % sets.len().max(1))?;
        Some((set, elements.iter().map(|(at, data)| at.clone().with(data.clone())).collect()))
    };
    let chain = |n: usize| chains.get(n % chains.len().max(1)).copied().cloned();
    match deed {
        Deed::Delete(n, third) => {
            let Some((set, all)) = elements(*n) else { return batch };
            batch.delete_elements(set, all.into_iter().skip(*third).step_by(3).collect());
        }
        Deed::Forge(n, at, byte) => {
            let Some((set, all)) = elements(*n).filter(|(_, all)| !all.is_empty()) else { return batch };
            let mut forged = all[at % all.len()].clone();
            let mut bytes = forged.key.as_slice().to_vec();
            let place = at % bytes.len();
            bytes[place] ^= byte | 1;
            forged.key = Value::bytes(&bytes);
            batch.add_elements(set, vec![forged]);
        }
        Deed::Swap(n) => {
            let Some((set, all)) = elements(*n).filter(|(_, all)| all.len() > 1) else { return batch };
            let other = Element { data: all[1].data.clone(), ..all[0].clone() };
            batch.delete_elements(set, vec![all[0].clone()]);
            batch.add_elements(set, vec![other]);
        }
        Deed::FlushSet(n) => {
            let Some((set, _)) = elements(*n) else { return batch };
            batch.push(Operation::FlushSet(id.clone(), Arc::clone(&set.name)));
        }
        Deed::Redefine(n) => {
            let Some((set, _)) = elements(*n) else { return batch };
            batch.push(Operation::FlushTable(id.clone()));
            batch.delete(ObjectId::Set(id.clone(), Arc::clone(&set.name)));
            let data = set.data.clone().map(|_| SetData::Value(vec![Type::Mark]));
            batch.add_set(&Arc::new(Set { data, ..Set::new(id, &set.name, &[Type::Mark, Type::Mark]) }));
        }
        Deed::FlushChain(n) => {
            let Some(chain) = chain(*n) else { return batch };
            batch.push(Operation::FlushChain(id.clone(), chain));
        }
        Deed::Rule(n, before) => {
            let Some(chain) = chain(*n) else { return batch };
            let mut rules = held.chains[&chain].1.clone();
            let own = Rule::new(id, &chain, vec![Expr::Verdict(Verdict::Return)]);
            rules.insert(if *before { 0 } else { rules.len() }, own);
            batch.push(Operation::FlushChain(id.clone(), chain));
            rules.into_iter().for_each(|rule| batch.add_rule(rule));
        }
        Deed::Chain(hook) => {
            batch.add_chain(match hook {
                true => Chain::base(id, "theirs", ChainType::Filter, Hook::Forward, 5),
                false => Chain::regular(id, "theirs"),
            });
            batch.add_rule(Rule::new(id, "theirs", vec![Expr::Verdict(Verdict::Drop)]));
        }
        Deed::Hook(n) => {
            let Some(chain) = chain(*n) else { return batch };
            batch.push(Operation::FlushTable(id.clone()));
            for (set, elements) in held.sets.values().filter(|(set, _)| set.data == Some(SetData::Verdict)) {
                let goes = |data: &Option<Data>| matches!(data, Some(Data::Verdict(to)) if to.chain() == Some(&chain));
                let leading = elements.iter().filter(|(_, data)| goes(data));
                let leading = leading.map(|(at, data)| at.clone().with(data.clone())).collect();
                batch.delete_elements(set, leading);
            }
            batch.delete(ObjectId::Chain(id.clone(), Arc::clone(&chain)));
            batch.add_chain(match held.chains[&chain].0.base {
                Some(_) => Chain::regular(id, &chain),
                None => Chain::base(id, &chain, ChainType::Filter, Hook::Input, 0),
            });
        }
        Deed::ForeignSet => batch.add_set(&Arc::new(Set::new(id, "theirs", &[Type::Mark]))),
        Deed::FlushTable => batch.push(Operation::FlushTable(id.clone())),
        Deed::Sleep => batch.add_table(Table { dormant: true, ..Table::new(id.clone()) }),
        Deed::DeleteTable => batch.delete(ObjectId::Table(id.clone())),
    }
    batch
}

type Life = (Vec<Step>, Vec<(bool, Vec<Deed>)>);

/// A cluster, and several times something that is done to the one table or the other.
fn life() -> impl Strategy<Value = Life> {
    let deeds = (any::<bool>(), proptest::collection::vec(deed(), 1..6));
    (proptest::collection::vec(step(), 5..30), proptest::collection::vec(deeds, 1..4))
}

#[test]
fn rules_in_memory_are_given_back() {
    let mut runner = TestRunner::new(Cases { cases: 600, failure_persistence: None, ..Cases::default() });
    let run = runner.run(&life(), |(history, attacks)| {
        let mut dataplane = in_memory(config(false, true), Ruleset::new());
        let mut said = Said::default();
        history.iter().for_each(|step| said.say(step));
        said.repeat(dataplane.model_mut());
        dataplane.sync().map_err(|error| failed(&error))?;
        for (last, deeds) in attacks {
            for deed in deeds {
                let tables = &dataplane.backend().ruleset.tables;
                let Some((id, held)) = (if last { tables.last_key_value() } else { tables.first_key_value() }) else {
                    continue;
                };
                let batch = batch(&deed, id, held);
                // What a kernel would not take did not happen.
                _ = dataplane.backend_mut().tamper("meddler", &batch);
            }
            dataplane.forget();
            let report = dataplane.sync().map_err(|error| failed(&error))?;
            prop_assert!(report.refused.is_empty());
            check_against_a_fresh_start(&said, &dataplane)?;
        }
        Ok(())
    });
    run.unwrap();
}

#[test]
fn a_kernels_rules_are_given_back() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let cluster = Cluster::new("tampering")?;
    let other = std::cell::RefCell::new(cluster.node.run(nft::Socket::in_current_netns)??);
    let mut runner = TestRunner::new(Cases { cases: 40, failure_persistence: None, ..Cases::default() });
    let run = runner.run(&life(), |(history, attacks)| {
        let mut kernel = cluster.dataplane(config(false, true)).map_err(|error| failed(&error))?;
        // What a life that failed left behind.
        kernel.backend_mut().cleanup().map_err(|error| failed(&error))?;
        let mut fresh = in_memory(config(false, true), Ruleset::new());
        let mut said = Said::default();
        history.iter().for_each(|step| said.say(step));
        said.repeat(kernel.model_mut());
        said.repeat(fresh.model_mut());
        kernel.sync().map_err(|error| failed(&error))?;
        fresh.sync().map_err(|error| failed(&error))?;
        kernel.listen();
        let tables: Vec<TableId> = fresh.backend().ruleset.tables.keys().cloned().collect();
        for (last, deeds) in attacks {
            let id = &tables[usize::from(last)];
            for deed in deeds {
                let Some(held) = kernel.backend_mut().read(id).map_err(|error| failed(&error))? else { continue };
                // What the kernel does not take did not happen.
                _ = other.borrow_mut().commit(&batch(&deed, id, &held));
            }
            // What is not heard has changed nothing.
            if kernel.listen() {
                let due = kernel.due().unwrap();
                let report = kernel.sync_at(due).map_err(|error| failed(&error))?;
                prop_assert!(report.refused.is_empty() && report.mended.is_some());
            }
            for (id, expected) in &fresh.backend().ruleset.tables {
                let held = kernel.backend_mut().read(id).map_err(|error| failed(&error))?;
                prop_assert_eq!(held.as_ref().map(plain), Some(plain(expected)));
            }
            kernel.forget();
            prop_assert_eq!(kernel.sync().map_err(|error| failed(&error))?.changes, 0);
        }
        Ok(())
    });
    run.map_err(|error| anyhow::anyhow!("{error}"))
}
