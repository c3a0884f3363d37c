//! Kubernetes' own client library asks a server that listens: the program in `clients/go`, built where Go is and its
//! modules can be had.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use std::path::{Path, PathBuf};
use std::process::Command;

use cluster::Cluster;
use testbed::Namespace;

/// Builds the program; an error says why it cannot be had.
fn build(dir: &Path) -> Result<PathBuf, String> {
    let program = dir.join("clients");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/go");
    let mut build = Command::new("go");
    build.args(["build", "-mod=readonly", "-o"]).arg(&program).arg(".").current_dir(source);
    let built = build.env("CGO_ENABLED", "0").output().map_err(|error| format!("Go cannot be run: {error}"))?;
    let said = String::from_utf8_lossy(&built.stderr);
    // That a module cannot be fetched is the machine's fault, that it does not compile is ours.
    match built.status.success() {
        true => Ok(program),
        false if said.contains("go: ") && !said.contains(".go:") => {
            Err(format!("Go's modules are not to be had: {said}"))
        }
        false => panic!("it does not compile:\n{said}"),
    }
}

#[test]
fn kubernetes_own_clients_get_what_they_ask_for() {
    if testbed::skip_unless_root().is_some() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let program = match build(dir.path()) {
        Ok(program) => program,
        Err(why) => return testbed::privilege::skip(&why),
    };
    let namespace = Namespace::new("go-clients").unwrap();
    let ran = namespace.run(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let listen = vec!["127.0.0.1:0".parse().unwrap()];
            let cluster = Cluster::start_with(tempfile::tempdir().unwrap(), |config| config.listen = listen).await;
            let path = dir.path().join("kubeconfig");
            std::fs::write(&path, cluster.kubeconfig()).unwrap();
            let ran = tokio::task::spawn_blocking(move || Command::new(program).arg(path).output()).await;
            cluster.stop().await;
            ran.unwrap().unwrap()
        })
    });
    let ran = ran.unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    print!("{said}");
    assert!(ran.status.success(), "{said}");
}
