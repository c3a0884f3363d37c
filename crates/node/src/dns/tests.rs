use std::collections::BTreeSet;

use dns::config::Config;
use tokio_util::sync::CancellationToken;

use super::*;

#[test]
fn everywhere_is_both_families_where_there_are_both() {
    let addresses: BTreeSet<_> = everywhere(53).into_iter().collect();
    assert!(addresses.contains(&"0.0.0.0:53".parse().unwrap()));
    assert!(addresses.iter().all(|address| address.ip().is_unspecified() && address.port() == 53));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_a_cluster_need_its_api() {
    let mut config = Config { health: None, ready: None, metrics: None, ..Config::default() };
    config.server.listen = vec!["127.0.0.1:0".parse().unwrap()];
    let ended = run(config.into(), None, CancellationToken::new()).await;
    assert!(matches!(ended, Err(DnsError::NoCluster)));
}

#[test]
fn what_the_command_line_says_is_stronger_than_the_file() {
    let read = || dns::corefile::parse("a.test:5300 {\n forward . 192.0.2.1\n log . {\n class error\n }\n}").unwrap();
    let mut whole = read();
    Beside::default().apply(&mut whole);
    assert!(whole.config.server.listen.contains(&"0.0.0.0:5300".parse().unwrap()));
    assert_eq!((whole.log.clone().unwrap().sink, whole.log.unwrap().one_in), (Sink::Stdout, 1));
    let (listen, clients) = (vec!["192.0.2.53:53".parse().unwrap()], vec!["10.0.0.0/8".parse().unwrap()]);
    let query_log = Some((Sink::File("/var/log/questions".into()), 10));
    let beside = Beside { listen: listen.clone(), clients: clients.clone(), query_log };
    let mut whole = read();
    beside.apply(&mut whole);
    assert_eq!((whole.config.server.listen, whole.config.clients), (listen, Some(clients)));
    let log = whole.log.unwrap();
    assert_eq!((log.sink, log.one_in), (Sink::File("/var/log/questions".into()), 10));
    assert!(log.classes.error && !log.classes.success, "classes are the file's");
}
