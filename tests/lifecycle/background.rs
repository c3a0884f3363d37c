//! `up --detach`: the same, in the background.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::host::{Host, SOON, finish_with};

#[test]
fn detached_it_returns_when_it_is_ready_and_says_the_same() {
    let Some(host) = Host::isolated() else { return };
    let text = host.succeeds(&["up", "--detach"]);
    host.note_groups();
    assert!(text.contains("ready in ") && text.contains("\nTry:\n"), "{text}");
    assert!(!text.contains('\u{4}'), "what is meant for the one in front is not shown");
    assert_eq!(host.kubectl(&["get", "nodes", "-o", "name"]).lines().count(), 3);
    let line = host.refused(&["up", "--detach", "--data-dir", "/tmp/x"]);
    assert!(line.starts_with("the cluster portolan runs already"), "the exit code follows: {line}");
    host.succeeds(&["down"]);
    host.assert_clean("down");
}

#[test]
fn a_reader_that_goes_away_ends_nothing() {
    let Some(host) = Host::isolated() else { return };
    // Detached: `portolan up --detach | head -1`.
    let mut child = host.command(&["up", "--detach"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert_eq!(first, "cluster portolan\n");
    let mut complaints = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaints).unwrap();
    assert_eq!((child.wait().unwrap().code(), complaints.as_str()), (Some(0), ""));
    assert_eq!(host.kubectl(&["get", "nodes", "-o", "name"]).lines().count(), 3);
    host.note_groups();
    host.succeeds(&["down"]);
    host.assert_clean("a reader that went away from up --detach");

    // In the foreground: nobody reads anything, on either output.
    let mut child = host.command(&["up"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    let kubeconfig = "/var/lib/portolan/portolan/kubeconfig";
    let door = "/run/portolan/portolan/control.sock";
    testbed::wait_until(SOON, "the cluster is ready", || std::fs::exists(door).unwrap()).unwrap();
    host.note_groups();
    // It complains of a node that ended, and goes on.
    let (_, node) = host.node_processes("portolan").remove(0);
    kill(node, Signal::SIGKILL).unwrap();
    testbed::wait_until(SOON, "it has noticed", || host.run(&["start-node", "node-1"]).status.success()).unwrap();
    host.kubectl_of(kubeconfig, &["get", "nodes"]);
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    assert!(child.wait().unwrap().success());
    host.assert_clean("an up that nobody listened to");
}

#[test]
fn told_to_end_before_it_is_ready_it_takes_the_one_in_the_background_along() {
    let Some(host) = Host::isolated() else { return };
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut child =
            host.command(&["up", "--detach"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let process = Pid::from_raw(child.id().try_into().unwrap());
        // The cables are there, the nodes are not ready yet.
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("network") {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "it ended early");
        }
        host.note_groups();
        kill(process, signal).unwrap();
        child.stdout = Some(said.into_inner());
        let output = finish_with(child, "up --detach");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{complaint}");
        assert_eq!(complaint, "portolan: ended before the cluster was ready; nothing of it is left but its objects\n");
        host.assert_clean(&format!("{signal} for up --detach"));
    }
    // By `down` from elsewhere, too: then the exit code says that there is no cluster.
    let child = host.command(&["up", "--detach"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lock = "/run/portolan/portolan/lock";
    let started = || std::fs::read_to_string(lock).is_ok_and(|text| text.contains("\"up\""));
    testbed::wait_until(SOON, "it has begun", started).unwrap();
    host.succeeds(&["down"]);
    let output = finish_with(child, "up --detach");
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    host.assert_clean("down of a cluster that starts in the background");
}
