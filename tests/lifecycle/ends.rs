//! Whatever ends a cluster, and whenever, nothing of it stays; and one that was killed is cleaned away by the next
//! command, whichever that is.

use std::fs;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};

use crate::host::{Host, SOON, finish, finish_with, refusal, said};

/// A moment's wait is what these tests are about: a start is cut short after a part of the time that it takes.
fn wait_for_the_moment(part: Duration) {
    sleep(part);
}

/// A cluster with Pods on disk, and how long its start takes until they run.
fn cluster_with_pods(host: &Host) -> Duration {
    let up = host.up(&[]).ready(host);
    host.kubectl(&["create", "deployment", "web", "--image=portolan/echo", "--replicas=4"]);
    host.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    host.succeeds(&["down"]);
    assert!(up.ended().0.success());
    let started = Instant::now();
    let up = host.up(&[]).ready(host);
    host.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    let takes = started.elapsed();
    host.succeeds(&["down"]);
    assert!(up.ended().0.success());
    host.assert_clean("down");
    takes
}

#[test]
fn each_signal_ends_it_at_any_point_of_its_start() {
    let Some(host) = Host::isolated() else { return };
    let takes = cluster_with_pods(&host);
    let points = 15;
    for point in 0..points {
        let signal = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP][point as usize % 3];
        let part = takes * point / points;
        let up = host.up(&[]);
        wait_for_the_moment(part);
        host.note_groups();
        up.signal(signal);
        let told = Instant::now();
        let (status, out, err) = up.ended();
        let what = format!("{signal} after {part:?} of {takes:?}");
        // In its first milliseconds it has nothing yet and is just ended by the signal.
        let died = out.is_empty() && std::os::unix::process::ExitStatusExt::signal(&status).is_some();
        assert!(status.success() || died, "{what}: {status}\n{out}{err}");
        assert_eq!(err, "", "{what}: nothing went wrong on the way out");
        assert!(told.elapsed() < Duration::from_secs(15), "{what} took {:?}", told.elapsed());
        host.assert_clean(&what);
    }
    // Told twice, it ends once.
    let up = host.up(&[]).ready(&host);
    up.signal(Signal::SIGINT);
    up.signal(Signal::SIGINT);
    up.signal(Signal::SIGTERM);
    assert!(up.ended().0.success());
    host.assert_clean("several signals");
}

#[test]
fn started_by_nohup_it_outlives_its_terminal() {
    let Some(host) = Host::isolated() else { return };
    let up = host.up_by_nohup().ready(&host);
    assert!(up.ignores(Signal::SIGHUP) && !up.ignores(Signal::SIGTERM));
    up.signal(Signal::SIGHUP);
    assert_eq!(host.names("nodes").len(), 3);
    up.signal(Signal::SIGTERM);
    let (status, out, err) = up.ended();
    assert!(status.success(), "{status}\n{out}{err}");
    host.assert_clean("nohup");
}

#[test]
fn down_cleans_up_after_a_kill_at_any_point_of_its_start() {
    let Some(host) = Host::isolated() else { return };
    let takes = cluster_with_pods(&host);
    let points = 12;
    for point in 1..=points {
        let part = takes * point / points;
        let up = host.up(&[]);
        wait_for_the_moment(part);
        host.note_groups();
        up.kill();
        let what = format!("kill -9 after {part:?} of {takes:?} and down");
        let output = host.run(&["down"]);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        // So early that there was nothing yet: then down says that nothing runs.
        let nothing = output.status.code() == Some(2) && err.contains("no cluster portolan runs here");
        assert!(output.status.success() || nothing, "{what}: {out}{err}");
        host.assert_clean(&what);
    }
}

#[test]
fn the_next_up_cleans_up_after_a_kill_at_any_point() {
    let Some(host) = Host::isolated() else { return };
    let takes = cluster_with_pods(&host);
    let points = 8;
    for point in 1..=points {
        let up = host.up(&[]);
        wait_for_the_moment(takes * point / points);
        host.note_groups();
        up.kill();
    }
    let up = host.up(&[]).ready(&host);
    assert!(up.said().contains("  cleaned   what an earlier run had left"), "{}", up.said());
    assert_eq!(up.complained(), "");
    host.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    assert_eq!(host.names("pods").len(), 4, "the same objects");
    host.succeeds(&["down"]);
    assert!(up.ended().0.success());
    host.assert_clean("eight kills, up and down");
}

#[test]
fn down_cleans_up_after_everything_was_killed() {
    let Some(host) = Host::isolated() else { return };
    let up = host.up(&[]).ready(&host);
    host.kubectl(&["create", "deployment", "web", "--image=portolan/echo", "--replicas=4"]);
    host.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    let nodes = host.node_processes("portolan");
    assert_eq!(nodes.len(), 3);
    up.kill();
    for (_, process) in nodes {
        kill(process, Signal::SIGKILL).unwrap();
    }
    assert!(!host.processes().is_empty(), "the Pods go on");
    host.succeeds(&["down"]);
    host.assert_clean("kill -9 of up and of its nodes, and down");

    // A node that nobody wrote down: `up` was killed between starting it and that.
    let up = host.up(&[]).ready(&host);
    fs::remove_file("/run/portolan/portolan/nodes/node-2.json").unwrap();
    up.kill();
    host.succeeds(&["down"]);
    host.assert_clean("a node that nobody wrote down");
}

#[test]
fn commands_that_act_on_a_cluster_at_the_same_time_are_told_of_each_other() {
    let Some(host) = Host::isolated() else { return };
    let up = host.up(&[]).ready(&host);
    let line = host.refused(&["up"]);
    let pid = up.pid();
    assert_eq!(
        line,
        format!(
            "the cluster portolan runs already (process {pid}); take it down with `portolan down --name portolan`, or give another --name"
        )
    );
    assert_eq!(refusal("up --detach", &host.run(&["up", "--detach"])), line);

    // A node that does not listen keeps `down` busy for some seconds.
    let (_, node) = host.node_processes("portolan").remove(0);
    kill(node, Signal::SIGSTOP).unwrap();
    up.kill();
    let mut down = host.command(&["down"]);
    let down = down.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = down.id();
    let lock = "/run/portolan/portolan/lock";
    let has_it = || fs::read_to_string(lock).is_ok_and(|t| t.contains(&format!("\"pid\":{pid}")));
    testbed::wait_until(SOON, "down has the cluster", has_it).unwrap();
    let busy = format!("the cluster portolan is being taken down (process {pid}); try again when that is done");
    let ends = "the cluster portolan is being taken down; start it with `portolan up --name portolan`";
    let commands = [
        (&["down"][..], &*busy),
        (&["up"], &busy),
        (&["up", "--detach"], &busy),
        (&["down", "--purge"], &busy),
        (&["stop-node", "node-1"], ends),
    ];
    // All at once, as `down` is busy for some seconds only.
    let started = commands.map(|(command, line)| {
        let child = host.command(command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        (command.join(" "), child, line)
    });
    for (command, child, line) in started {
        assert_eq!(refusal(&command, &finish_with(child, &command)), line, "{command}");
    }
    assert!(said("down", &finish_with(down, "down")).starts_with("the cluster portolan is down"));
    host.assert_clean("a node that did not listen");
}

#[test]
fn a_down_that_was_killed_itself_is_finished_by_the_next() {
    let Some(host) = Host::isolated() else { return };
    cluster_with_pods(&host);
    let up = host.up(&[]).ready(&host);
    host.kubectl(&["rollout", "status", "deployment/web", "--timeout=60s"]);
    up.kill();
    for milliseconds in [5, 20, 40, 60, 80, 120] {
        let mut down = host.command(&["down"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_for_the_moment(Duration::from_millis(milliseconds));
        down.kill().unwrap();
        down.wait().unwrap();
    }
    let output = host.run(&["down"]);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() || complaint.contains("no cluster portolan runs here"), "{complaint}");
    host.assert_clean("six downs that were killed, and one that was not");
}

#[test]
fn down_in_another_network_namespace_cleans_up_where_up_was_run() {
    let Some(host) = Host::isolated() else { return };
    let elsewhere = testbed::Namespace::new("elsewhere").unwrap();
    for is_killed in [true, false] {
        let up = host.up(&[]).ready(&host);
        if is_killed {
            up.kill();
        }
        let mut down = elsewhere.command(env!("CARGO_BIN_EXE_portolan"));
        down.arg("down");
        assert!(said("down elsewhere", &finish(down, "down elsewhere")).starts_with("the cluster portolan is down"));
        host.assert_clean("down in another network namespace");
    }
}
