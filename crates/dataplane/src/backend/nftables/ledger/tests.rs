use nft::Family;

use super::*;

const OWN: u32 = 7;
const OTHER: u32 = 8;

fn table(name: &str) -> TableId {
    TableId::new(Family::Ip, name)
}

fn ledger(generation: u32) -> Ledger {
    Ledger::new(OWN, vec![table("portolan")], generation)
}

fn elements(ledger: &mut Ledger, port: u32, of: &str) {
    ledger.hear(Notification { port, change: Change::Elements(table(of), "services".into(), true) });
}

fn end(ledger: &mut Ledger, port: u32, id: u32) {
    let change = Change::Generation { id, thread: port * 100, name: format!("process-{port}") };
    ledger.hear(Notification { port, change });
}

#[test]
fn only_others_changes_of_our_tables_are_found_and_each_culprit_once() {
    let mut ledger = ledger(10);
    ledger.committed();
    elements(&mut ledger, OWN, "portolan");
    end(&mut ledger, OWN, 11);
    elements(&mut ledger, OTHER, "somebodys");
    end(&mut ledger, OTHER, 12);
    assert_eq!(ledger.take(), Interference::default());
    for id in 13..16 {
        elements(&mut ledger, OTHER, "somebodys");
        elements(&mut ledger, OTHER, "portolan");
        end(&mut ledger, OTHER, id);
    }
    let found = ledger.take();
    assert_eq!(found.by, [Culprit { thread: 800, name: "process-8".to_owned() }]);
    assert!(found.concerns_us() && !found.lost && !found.beside);
    assert!(!ledger.take().concerns_us(), "it is told once");
}

#[test]
fn what_was_missed_is_no_loss_if_it_was_all_ours() {
    let mut ledger = ledger(u32::MAX - 1);
    for _ in 0..3 {
        ledger.committed();
    }
    // The kernel leaves zero out.
    ledger.missed(2);
    assert!(!ledger.take().lost);
    ledger.committed();
    ledger.missed(4);
    assert!(ledger.take().lost, "one more than ours");
    ledger.missed(4);
    assert!(!ledger.take().lost);
    // Half a transaction was heard.
    elements(&mut ledger, OTHER, "portolan");
    ledger.missed(4);
    assert!(ledger.take().lost);
}

#[test]
fn own_transactions_that_are_heard_of_late_do_not_hide_others() {
    let mut ledger = ledger(10);
    ledger.committed();
    ledger.missed(11);
    end(&mut ledger, OWN, 11);
    ledger.committed();
    ledger.missed(12);
    assert!(!ledger.take().lost);
    ledger.missed(13);
    assert!(ledger.take().lost);
}

#[test]
fn rules_of_kube_proxy_are_noticed_as_they_come() {
    let mut ledger = ledger(10);
    ledger.hear(Notification { port: OTHER, change: Change::Table(table("kube-proxy"), true) });
    end(&mut ledger, OTHER, 11);
    let found = ledger.take();
    assert!(found.beside && !found.concerns_us());
    ledger.hear(Notification { port: OTHER, change: Change::Chain(table("nat"), "KUBE-SERVICES".into(), true) });
    assert!(ledger.take().beside);
    ledger.hear(Notification { port: OTHER, change: Change::Chain(table("nat"), "DOCKER".into(), true) });
    assert!(!ledger.take().beside);
}
