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
