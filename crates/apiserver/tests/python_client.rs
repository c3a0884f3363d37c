//! The client library for Python asks a server that listens: the program in `clients/python`, with its library in a folder
//! of the test's own, where Python is and the library can be had.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;

use std::path::{Path, PathBuf};
use std::process::Command;

use cluster::Cluster;
use testbed::Namespace;

/// How long pip may wait for an answer, in seconds.
const PIP_TIMEOUT: &str = "15";

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/python")
}

/// A Python that has the library; made once, as long as the same version is wanted. An error says why it cannot be had.
fn interpreter() -> Result<PathBuf, String> {
    let wanted = std::fs::read_to_string(source().join("requirements.txt")).unwrap();
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let (python, mark) = (dir.join("bin/python"), dir.join("installed.txt"));
    if std::fs::read_to_string(&mark).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&dir))?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1", "--timeout"];
    run(Command::new(&python).args(pip).arg(PIP_TIMEOUT).arg("-r").arg(source().join("requirements.txt")))?;
    std::fs::write(&mark, wanted).unwrap();
    Ok(python)
}

fn run(command: &mut Command) -> Result<(), String> {
    let ran = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = String::from_utf8_lossy(&ran.stderr);
    if ran.status.success() { Ok(()) } else { Err(format!("{command:?}: {}", said.trim())) }
}

#[test]
fn the_client_for_python_gets_what_it_asks_for() {
    if testbed::skip_unless_root().is_some() {
        return;
    }
    let python = match interpreter() {
        Ok(python) => python,
        Err(why) => return testbed::privilege::skip(&format!("the client library for Python is not to be had: {why}")),
    };
    let namespace = Namespace::new("python-client").unwrap();
    let ran = namespace.run(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let listen = vec!["127.0.0.1:0".parse().unwrap()];
            let cluster = Cluster::start_with(tempfile::tempdir().unwrap(), |config| config.listen = listen).await;
            let path = cluster.dir.path().join("kubeconfig");
            std::fs::write(&path, cluster.kubeconfig()).unwrap();
            let mut clients = Command::new(python);
            clients.arg(source().join("clients.py")).arg(path);
            let ran = tokio::task::spawn_blocking(move || clients.output()).await;
            cluster.stop().await;
            ran.unwrap().unwrap()
        })
    });
    let ran = ran.unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    print!("{said}");
    assert!(ran.status.success(), "{said}");
}
