mod changes;
mod cluster;
mod completing;
mod histories;
mod pods;
mod replay;
mod rows;
mod searches;
mod sizes;
mod transfers;

use crate::asking;
use crate::reply::Transport;

/// Every row's question gets the row's answer.
#[test]
fn the_table_of_answers() {
    let index = cluster::index();
    let expand = |text: &str| text.replace('$', "shop.svc.cluster.local.");
    let mut names = std::collections::HashSet::new();
    let mut wrong = Vec::new();
    for (row, question, want) in rows::ALL.iter().copied().flatten() {
        assert!(names.insert(row), "two rows are called {row:?}");
        let (name, qtype) = question.split_once(' ').unwrap();
        let packet = asking::question(&expand(name), asking::rtype(qtype), None);
        let (_, message) = asking::ask(&index, &packet, Transport::Tcp);
        let told = asking::told(&message);
        if told != expand(want) {
            wrong.push(format!("{row}: {question}\n  told {told}\n  want {}", expand(want)));
        }
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), names.len(), wrong.join("\n"));
    assert!(names.len() >= 150, "only {} rows", names.len());
}
