use std::fs;
use std::net::SocketAddr;

use node::proxy::options::Bind;

use super::ConfigFile;

const HEAD: &str = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";

fn metrics(file: &ConfigFile) -> Option<Bind> {
    file.options().metrics
}

#[test]
fn only_what_says_something_else_and_can_be_used_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yaml");
    let at = |port| Some(Bind::At(SocketAddr::from(([127, 0, 0, 1], port))));
    let write = |lines: &str| fs::write(&path, format!("{HEAD}{lines}\n")).unwrap();
    write("metricsBindAddress: 127.0.0.1:1");
    let mut file = ConfigFile::read(&path).unwrap();
    assert_eq!(metrics(&file), at(1));

    assert!(!file.is_other(), "nothing has changed");
    write("metricsBindAddress: 127.0.0.1:1 # the same");
    assert!(!file.is_other(), "another text that says the same");
    write("metricsBindAddress: nowhere");
    assert!(!file.is_other());
    assert_eq!(metrics(&file), at(1), "a mistake changes nothing");
    fs::remove_file(&path).unwrap();
    assert!(!file.is_other());
    assert_eq!(metrics(&file), at(1), "nor does a file that is gone");
    write("metricsBindAddress: 127.0.0.1:2");
    assert!(file.is_other());
    assert_eq!(metrics(&file), at(2));
}

#[tokio::test]
async fn another_file_in_its_place_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let link = |name: &str| {
        // As a mounted ConfigMap changes: the name leads elsewhere from one moment to the next.
        std::os::unix::fs::symlink(path(name), path("new")).unwrap();
        fs::rename(path("new"), path("config.yaml")).unwrap();
    };
    fs::write(path("one"), format!("{HEAD}oomScoreAdj: 1\n")).unwrap();
    fs::write(path("two"), format!("{HEAD}oomScoreAdj: 22\n")).unwrap();
    link("one");
    let mut file = ConfigFile::read(&path("config.yaml")).unwrap();
    let (changed, ()) = tokio::join!(tokio::time::timeout(std::time::Duration::from_secs(20), file.changed()), async {
        link("two");
    });
    changed.unwrap();
    assert_eq!(file.options().oom_score_adj, Some(22));
}
